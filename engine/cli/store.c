/*
 * store.c - opening the store, naming a commit, and ending cleanly on Ctrl-C.
 *
 * A signal does no work of its own: it sets a flag that loops and progress callbacks look at, and cancels the library
 * call that may be blocking, which is allowed in a handler. The handlers are taken off by the first signal, so that a
 * second Ctrl-C ends a program that does not end by itself. Where what was asked for is done, and only syncing is left, the
 * first one does that.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static _Atomic(struct varve_vm *) cancel_vm;
static atomic_bool was_interrupted;
static _Atomic(const char *) last_words;

static void on_signal(int number)
{
	int saved = errno;
	struct varve_vm *vm = atomic_load(&cancel_vm);

	(void)number;
	atomic_store(&was_interrupted, true);
	const char *words = atomic_load(&last_words);
	if (words) {
		static const char name[] = "varve: ";
		ssize_t ignored = write(STDERR_FILENO, name, sizeof(name) - 1);
		ignored = write(STDERR_FILENO, words, strlen(words));
		ignored = write(STDERR_FILENO, "\n", 1);
		(void)ignored;
		_exit(EXIT_FAILED);
	}
	if (vm)
		varve_vm_cancel(vm);
	errno = saved;
}

void interrupts_catch(struct varve_vm *vm)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	static bool caught;
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};

	atomic_store(&cancel_vm, vm);
	if (caught)
		return;
	caught = true;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;

		/* A signal that is ignored, as under nohup, stays ignored. */
		if (!sigaction(numbers[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}

bool interrupts_end(const char *words)
{
	atomic_store(&last_words, words);
	return interrupted();
}

bool interrupted(void)
{
	return atomic_load(&was_interrupted);
}

struct varve_options store_options(const struct cli *cli)
{
	struct varve_options options = VARVE_OPTIONS_INIT;

	options.io = cli->io;
	options.sync = cli->sync;
	return options;
}

static void notices_print(const char *notice)
{
	char *lines = strdup(notice);
	char *rest = NULL;

	if (!lines)
		return;
	for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		note(line);
	free(lines);
}

int store_open(struct cli *cli, enum store_mode mode)
{
	struct varve_options options = store_options(cli);
	const char *path = cli->args[0];
	int err;

	options.must_exist = mode == STORE_EXISTS;
	err = varve_vm_open(path, &options, &cli->vm);
	if (err == -ENOENT && mode == STORE_EXISTS)
		return complain("%s: there is no store here; check the name, or make one with `varve import' or "
		                "`varve commit'",
		    path);
	if (err)
		return complain_about(err, NULL);
	notices_print(varve_vm_notice(cli->vm));
	return EXIT_DONE;
}

void store_optimize(struct cli *cli)
{
	static bool told;
	char text[1024];
	int err = varve_optimize(cli->vm);

	if (!err || err == -ECANCELED || told)
		return;
	told = true;
	snprintf(text, sizeof(text), "what makes restores fast can not all be made: %s", varve_last_error());
	note(text);
}

int store_resolve(struct cli *cli, const char *text, struct varve_id *commit)
{
	int err = varve_resolve(cli->vm, text, commit);

	switch (err) {
	case 0:
		return EXIT_DONE;
	case -EINVAL:
		complain("`%s' does not name a commit: it takes a whole id, a prefix of at least 6 digits, HEAD, "
		         "HEAD~n or @n",
		    text);
		return EXIT_USAGE;
	case -ENOENT:
		return complain("%s: the store has no commit `%s'; `varve log %s' lists what it has", cli->args[0],
		    text, cli->args[0]);
	case -ENOTUNIQ:
		return complain("%s: several commits begin with `%s'; give more of its digits", cli->args[0], text);
	default:
		return complain_about(err, NULL);
	}
}
