/*
 * cmd_status.c - varve status: the store, and the processes that serve it.
 */
#include "status.h"

static int usage(const char *sentence)
{
	complain("%s", sentence);
	return EXIT_USAGE;
}

static int status_run(struct cli *cli)
{
	struct varve_stat *stat;
	int err, code;

	if (cli->count > 1 && !cli->openmetrics)
		return usage("a FILE is for --openmetrics only");
	if (cli->openmetrics && (cli->watch || cli->json))
		return usage("--openmetrics goes neither with --watch nor with --json");
	if (cli->interval > 0 && !cli->watch)
		return usage("--interval says how often --watch looks; give that as well");
	code = store_open(cli, STORE_EXISTS);
	if (code)
		return code;
	if (cli->openmetrics)
		return status_metrics(cli);
	if (cli->watch)
		return status_watch(cli);
	err = varve_stat(cli->vm, &stat);
	if (err)
		return complain_about(err, NULL);
	if (cli->json)
		print_json(status_json(stat));
	else
		status_print(stdout, stat, NULL);
	varve_stat_free(stat);
	return EXIT_DONE;
}

static const struct argp_option status_options[] = {
    {"watch", OPTION_WATCH, NULL, 0, "Keep the screen up to date until q or Ctrl-C; without a terminal, write lines",
        0},
    {"interval", OPTION_INTERVAL, "SECONDS", 0, "How often --watch looks (1)", 0},
    {"openmetrics", OPTION_OPENMETRICS, NULL, 0, "Write OpenMetrics text, into FILE if it is given", 0}, OPTIONS_JSON,
    OPTIONS_STORE, {0}};

const struct command command_status = {.name = "status",
    .args = "STORE [FILE]",
    .help = "Show the store, its coordinator and its workers.\n\n"
            "For each worker: what it does, jobs done, bytes read and written, and the share of its time that it was "
            "busy; for restores, checkouts and commits: how long they took; what is under way, and how far; for each "
            "module: how long its chain is, and what it takes on disk. With no coordinator running, one is started for "
            "this, so that figures of processes begin at zero. --watch keeps it running; with --json it writes an "
            "object for each look. With --openmetrics, FILE is replaced whole, for the textfile collector of a node "
            "exporter; what is no file (a FIFO, a device) is written to.\v"
            "Example:\n"
            "  varve status store/ --watch\n"
            "  varve status store/ --openmetrics /var/lib/node_exporter/varve.prom\n",
    .options = status_options,
    .min = 1,
    .max = 2,
    .run = status_run};
