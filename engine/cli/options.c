/*
 * options.c - the arguments of a command. An option means the same wherever it is allowed, so one function reads them
 * all; which are allowed is in the command's own table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define LABEL_MAX 4096
#define WORKERS_MAX 1024
#define IDLE_MAX 31536000
#define SECONDS_MAX 86400
#define ROUNDS_MAX 20000

bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || __builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	if (value < min || value > max)
		return false;
	*number = value;
	return true;
}

/* A setting that the coordinator reads, and knows the range of. */
static void setting_option(struct cli *cli, const char *name, const char *arg, struct argp_state *state)
{
	char *before = cli->settings, *all;

	if (!*arg || strpbrk(arg, " ,\t\n")) {
		argp_error(state, "`%s' is not a value of --%s", arg, name);
		return;
	}
	if (asprintf(&all, "%s%s%s=%s", before ? before : "", before ? " " : "", name, arg) < 0)
		argp_failure(state, EXIT_FAILED, 0, "out of memory");
	free(before);
	cli->settings = all;
}

/* The name of an option of the command that is run. */
static const char *option_name(const struct cli *cli, int key)
{
	const struct argp_option *option = cli->command->options;

	while (option->key != key)
		option++;
	return option->name;
}

static void change_option(struct cli *cli, int key, const char *arg, struct argp_state *state)
{
	uint64_t number;

	if (!number_parse(arg, key == OPTION_MAX, WORKERS_MAX, &number))
		argp_error(state, "`%s' is not a number of workers: it goes from %d to %d", arg, key == OPTION_MAX,
		    WORKERS_MAX);
	else if (key == OPTION_MAX)
		cli->change.most = (int64_t)number;
	else
		cli->change.min = (int64_t)number;
}

static void idle_option(struct cli *cli, const char *arg, struct argp_state *state)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (!*arg || *end || strspn(arg, "0123456789.") != strlen(arg) || seconds > IDLE_MAX ||
	    (seconds > 0 && seconds < 0.01))
		argp_error(state, "`%s' is not a time-out: it goes from 0.01 to %d seconds; 0 is never", arg, IDLE_MAX);
	else
		cli->change.idle_ms = (int64_t)(seconds * 1000 + 0.5);
}

static void interval_option(struct cli *cli, const char *arg, struct argp_state *state)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (!*arg || *end || strspn(arg, "0123456789.") != strlen(arg) || seconds < 0.05 || seconds > 86400)
		argp_error(state, "`%s' is not an interval: it goes from 0.05 to 86400 seconds", arg);
	else
		cli->interval = seconds;
}

static void workers_option(struct cli *cli, const char *arg, struct argp_state *state)
{
	uint64_t number;

	if (!number_parse(arg, 1, WORKERS_MAX, &number)) {
		argp_error(state, "`%s' is not a number of workers: it goes from 1 to %d", arg, WORKERS_MAX);
		return;
	}
	cli->workers = (unsigned)number;
}

static void tune_option(struct cli *cli, int key, const char *arg, struct argp_state *state)
{
	uint64_t number = 0;

	if (key == OPTION_COLD)
		cli->cold = true;
	else if (key == OPTION_SCRATCH)
		cli->scratch = arg;
	else if (key == OPTION_ROUNDS && !number_parse(arg, 1, ROUNDS_MAX, &number))
		argp_error(state, "`%s' is not a number of rounds: it goes from 1 to %d", arg, ROUNDS_MAX);
	else if (key == OPTION_SECONDS && !number_parse(arg, 1, SECONDS_MAX, &number))
		argp_error(state, "`%s' is not a time to measure: it goes from 1 to %d seconds", arg, SECONDS_MAX);
	else
		*(key == OPTION_ROUNDS ? &cli->rounds : &cli->seconds) = (unsigned)number;
}

static void label_option(struct cli *cli, const char *arg, struct argp_state *state)
{
	json_t *text = json_string(arg); /* refuses what is not UTF-8 */

	if (!text)
		argp_error(state, "the label is not UTF-8");
	json_decref(text);
	if (strlen(arg) > LABEL_MAX)
		argp_error(state, "the label has %zu bytes, more than %d", strlen(arg), LABEL_MAX);
	cli->label = arg;
}

/* The index of @arg in @names, a list that ends with NULL; @what is for the message. */
static unsigned choice_option(const char *arg, const char *const *names, const char *what, struct argp_state *state)
{
	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(names[i], arg))
			return i;
	}
	argp_error(state, "`%s' is not a value of --%s: %s, %s or %s", arg, what, names[0], names[1], names[2]);
	return 0;
}

static void position_add(struct cli *cli, char *arg, struct argp_state *state)
{
	if (cli->command->max >= 0 && cli->count == cli->command->max) {
		argp_error(state, "`%s' is one argument too many: it takes %s", arg, cli->command->args);
		return;
	}
	if (!*arg)
		argp_error(state, "an argument is empty: it takes %s", cli->command->args);
	cli->args[cli->count++] = arg;
}

static error_t command_option(int key, char *arg, struct argp_state *state)
{
	/* In the order of enum varve_io and enum varve_sync. */
	static const char *const io_names[] = {"auto", "uring", "pread", NULL};
	static const char *const sync_names[] = {"persist", "commit", "none", NULL};
	struct cli *cli = state->input;

	switch (key) {
	case OPTION_JSON:
		cli->json = true;
		return 0;
	case OPTION_DRY_RUN:
		cli->dry_run = true;
		return 0;
	case OPTION_COLD:
	case OPTION_ROUNDS:
	case OPTION_SECONDS:
	case OPTION_SCRATCH:
		tune_option(cli, key, arg, state);
		return 0;
	case OPTION_LABEL:
		label_option(cli, arg, state);
		return 0;
	case OPTION_WORKERS:
		workers_option(cli, arg, state);
		return 0;
	case OPTION_LIMIT:
		if (!number_parse(arg, 1, UINT64_MAX, &cli->limit))
			argp_error(state, "`%s' is not a number of commits", arg);
		return 0;
	case OPTION_CONFIG:
		cli->config = arg;
		return 0;
	case OPTION_METRICS:
		cli->metrics = arg;
		return 0;
	case OPTION_WATCH:
		cli->watch = true;
		return 0;
	case OPTION_INTERVAL:
		interval_option(cli, arg, state);
		return 0;
	case OPTION_OPENMETRICS:
		cli->openmetrics = true;
		return 0;
	case OPTION_CHECK_CONFIG:
		cli->check_config = true;
		return 0;
	case OPTION_MIN:
	case OPTION_MAX:
		change_option(cli, key, arg, state);
		return 0;
	case OPTION_IDLE:
		idle_option(cli, arg, state);
		return 0;
	case OPTION_IO:
		cli->io = (enum varve_io)choice_option(arg, io_names, "io", state);
		return 0;
	case OPTION_SYNC:
		cli->sync = (enum varve_sync)choice_option(arg, sync_names, "sync", state);
		return 0;
	case ARGP_KEY_ARG:
		position_add(cli, arg, state);
		return 0;
	case ARGP_KEY_END:
		if (cli->count < cli->command->min)
			argp_error(state, "arguments are missing: it takes %s", cli->command->args);
		return 0;
	default:
		if (key < OPTION_SETTING || key > OPTION_SETTING_LAST)
			return ARGP_ERR_UNKNOWN;
		setting_option(cli, option_name(cli, key), arg, state);
		return 0;
	}
}

/* Leaves out what argp says of arguments of short options: each is shown with the long one. */
static char *command_help(int key, const char *text, void *input)
{
	(void)input;
	return key == ARGP_KEY_HELP_DUP_ARGS_NOTE ? NULL : (char *)(uintptr_t)text;
}

void command_parse(struct cli *cli, int argc, char **argv)
{
	const struct argp argp = {.options = cli->command->options,
	    .parser = command_option,
	    .args_doc = cli->command->args,
	    .doc = cli->command->help,
	    .help_filter = command_help};

	cli->args = memory_take((size_t)argc, sizeof(*cli->args));
	argp_parse(&argp, argc, argv, 0, NULL, cli);
}
