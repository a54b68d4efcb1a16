/*
 * main.c - varve: find the command, let it run, and see that its result was really written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const struct command *const commands[] = {&command_import, &command_commit, &command_log, &command_show,
    &command_restore, &command_checkout, &command_verify, &command_status, &command_workers, &command_tune,
    &command_serve};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/** What stands in front of the command, and the command's own part of the command line. */
struct top {
	bool json;
	int argc;
	char **argv;
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

/* The list of commands is made from the commands, so that it can not forget one. */
static char *top_help(int key, const char *text, void *input)
{
	char *help = NULL;
	size_t size = 0;
	FILE *stream;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	stream = open_memstream(&help, &size);
	if (!stream)
		return NULL;
	fputs("Commands:\n", stream);
	for (size_t i = 0; i < COMMANDS; i++) {
		const char *line = commands[i]->help;

		fprintf(stream, "  %-9s %.*s\n", commands[i]->name, (int)strcspn(line, ".\n"), line);
	}
	fputs("  help      Explain a command: varve help COMMAND\n\n"
	      "COMMIT is a whole id, a prefix of at least 6 digits that only one commit has,\n"
	      "HEAD (the current commit), HEAD~n (its n-th ancestor), or @n (the n-th commit,\n"
	      "from 0).\n\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damage found.\n\n"
	      "Environment: VARVE_WORKERS, VARVE_IO (uring, pread) and the other settings that\n"
	      "`varve serve --help' lists are for a coordinator that a command starts;\n"
	      "VARVE_COORDINATOR is the path of its program.",
	    stream);
	return fclose(stream) ? NULL : help;
}

static error_t top_option(int key, char *arg, struct argp_state *state)
{
	struct top *top = state->input;

	switch (key) {
	case OPTION_JSON:
		top->json = true;
		return 0;
	case ARGP_KEY_ARG:
		/* What follows the command is the command's. */
		top->argc = state->argc - state->next + 1;
		top->argv = state->argv + state->next - 1;
		state->next = state->argc;
		(void)arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "a command is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option top_options[] = {OPTIONS_JSON, {0}};

static const struct argp top_argp = {.options = top_options,
    .parser = top_option,
    .args_doc = "COMMAND ...",
    .doc = "Keep the memory of a virtual machine's modules as a history of commits, and restore any of them.\v",
    .help_filter = top_help};

static void version_print(FILE *stream, struct argp_state *state)
{
	(void)state;
	fprintf(stream, "varve %s\n", varve_version());
}

/* A result that could not be written (disk full, say) must not look like one that was. */
static void stdout_close(void)
{
	bool failed = ferror(stdout) != 0;

	if (fclose(stdout) || failed) {
		if (errno != EPIPE)
			fprintf(stderr, "varve: standard output could not be written: %s\n", strerror(errno));
		_exit(EXIT_FAILED);
	}
}

/* Were one of the first three descriptors closed, the next file opened would get its number and our messages. */
static void descriptors_fill(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			_exit(EXIT_FAILED);
	}
}

static void *json_memory(size_t size)
{
	return memory_take(1, size);
}

static int usage_error(const char *format, const char *what)
{
	complain(format, what);
	fputs("Try `varve --help' for the list of commands.\n", stderr);
	return EXIT_USAGE;
}

/* `varve help COMMAND` is `varve COMMAND --help`. */
static void help_rewrite(struct top *top, char **help)
{
	static char option[] = "--help";

	if (top->argc > 2)
		exit(usage_error("help takes one command, not also `%s'", top->argv[2]));
	if (top->argc < 2 || top->argv[1][0] == '-' || !strcmp(top->argv[1], "help")) {
		argp_help(&top_argp, stdout, ARGP_HELP_STD_HELP & (unsigned)~ARGP_HELP_EXIT_OK, (char[]) {"varve"});
		exit(EXIT_DONE);
	}
	help[0] = top->argv[1];
	help[1] = option;
	top->argc = 2;
	top->argv = help;
}

int main(int argc, char **argv)
{
	struct top top = {0};
	struct cli cli = {.change = VARVE_WORKERS_INIT};
	char *help[3] = {NULL, NULL, NULL};
	char name[32] = "varve"; /* what messages begin with, whatever path it was started by */
	int code;

	descriptors_fill();
	atexit(stdout_close);
	json_set_alloc_funcs(json_memory, free);
	argp_err_exit_status = EXIT_USAGE;
	argp_program_version_hook = version_print;
	if (argc > 0)
		argv[0] = name;
	argp_parse(&top_argp, argc, argv, ARGP_IN_ORDER, NULL, &top);
	if (!strcmp(top.argv[0], "help"))
		help_rewrite(&top, help);

	cli.command = command_find(top.argv[0]);
	if (!cli.command)
		return usage_error("`%s' is not a command", top.argv[0]);
	snprintf(name, sizeof(name), "varve %s", cli.command->name);
	top.argv[0] = name;
	cli.json = top.json;
	command_parse(&cli, top.argc, top.argv);

	code = cli.command->run(&cli);
	interrupts_catch(NULL);
	varve_vm_close(cli.vm);
	free(cli.args);
	free(cli.settings);
	return code;
}
