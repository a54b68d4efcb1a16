/*
 * cmd_tune.c - varve tune: find out how many workers, and which reading method, restore this store fastest.
 */
#include <stdlib.h>

#include "tune.h"

#define SECONDS_DEFAULT 10

static void tune_release(struct tune *tune)
{
	bench_close(tune);
	scratch_remove(&tune->scratch);
	for (size_t i = 0; i < tune->trials_count; i++)
		free(tune->trials[i].seconds);
	free(tune->trials);
	free(tune->commits);
	free(tune->modules);
	free(tune->io_reason);
}

static int tune_run(struct cli *cli)
{
	struct tune tune = {.cli = cli};
	struct advice advice;
	int code;

	if (!cli->seconds)
		cli->seconds = SECONDS_DEFAULT;
	interrupts_catch(NULL); /* from here on there is something to be tidied up */
	code = scratch_make(&tune.scratch, cli);
	if (!code)
		code = bench_learn(&tune);
	if (!code)
		code = bench_run(&tune);
	if (!code)
		advice_find(&advice, &tune);
	if (!code && cli->json)
		tune_json(&tune, &advice);
	else if (!code)
		tune_print(&tune, &advice);
	tune_release(&tune);
	return code;
}

static const struct argp_option tune_options[] = {OPTIONS_JSON,
    {"max", OPTION_MAX, "N", 0, "Try up to N workers (default: twice the CPUs that this process has)", 0},
    {"io", OPTION_IO, "METHOD", 0, "Try one reading method only: uring or pread; auto tries both", 0},
    {"seconds", OPTION_SECONDS, "N", 0, "Measure for about N seconds (default: 10); one round in any case", 0},
    {"rounds", OPTION_ROUNDS, "N", 0, "Measure for N rounds at most", 0},
    {"cold", OPTION_COLD, NULL, 0,
        "Take the files out of the page cache before each restore. That also goes for the store's own deltas", 0},
    {"scratch", OPTION_SCRATCH, "DIR", 0, "Where to try: a directory on the store's file system, if it is to tell much",
        0},
    {0}};

const struct command command_tune = {.name = "tune",
    .args = "STORE",
    .help =
        "Find the number of workers and the reading method that suit a store.\n\n"
        "Restores commits taken at random by different numbers of workers and both reading methods, and says which "
        "to use and why. STORE is not changed, and VMs may go on with it: restores are tried in a second store with "
        "the same history, STORE/.varve/tune, which is removed at the end. It takes the space of the newest and the "
        "first images, twice; deltas are shared with STORE by hard links. What else the machine does meanwhile is "
        "measured as well: for a result to keep, choose a time like those in which restores will happen.\v"
        "Example:\n"
        "  varve tune store/\n"
        "  varve tune store/ --cold --seconds 60\n",
    .options = tune_options,
    .min = 1,
    .max = 1,
    .run = tune_run};
