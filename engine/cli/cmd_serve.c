/*
 * cmd_serve.c - varve serve: run the coordinator in the foreground.
 *
 * Its settings are handed on as they were written: the coordinator knows their ranges, and says what is wrong.
 */
#include <stdio.h>

#include "cli.h"

static int serve_run(struct cli *cli)
{
	struct varve_options options = VARVE_OPTIONS_INIT;

	options.settings = cli->settings;
	options.config = cli->config;
	options.metrics = cli->metrics;
	if (cli->check_config)
		return complain_about(varve_serve_check(cli->args[0], &options, cli->json), NULL);
	return complain_about(varve_serve(cli->args[0], &options), NULL);
}

static const struct argp_option serve_options[] = {
    {"config", OPTION_CONFIG, "FILE", 0, "Configuration file (default: /etc/varve.conf, if it is there)", 0},
    {"check-config", OPTION_CHECK_CONFIG, NULL, 0, "Show the settings and where each comes from; serve nothing", 0},
    {"json", OPTION_JSON, NULL, 0, "Show them as JSON", 0},
    {"metrics", OPTION_METRICS, "SOCKET", 0, "Give OpenMetrics text to whoever connects to this Unix socket", 0},
    {NULL, 0, NULL, 0, "Settings:", 1},
    {"workers", OPTION_SETTING, "N", 0, "Most worker processes, 1 to 1024 (default: the CPUs this process has)", 1},
    {"min-workers", OPTION_SETTING + 1, "N", 0, "Workers that are kept while there is nothing to do (0)", 1},
    {"idle-timeout", OPTION_SETTING + 2, "SECONDS", 0, "When a worker without a job ends; 0: never (60)", 1},
    {"memory-limit", OPTION_SETTING + 3, "BYTES", 0, "What a worker may take for its jobs: 512M, 2G; 0: no limit (0)",
        1},
    {"io", OPTION_SETTING + 4, "METHOD", 0, "How workers read files: auto, uring or pread (auto)", 1},
    {"queue-depth", OPTION_SETTING + 5, "N", 0, "Files that a worker reads at a time, 1 to 256 (64)", 1},
    {"sync", OPTION_SETTING + 6, "WHEN", 0, "When files are synced to the device: persist, commit or none (persist)",
        1},
    {"background-nice", OPTION_SETTING + 7, "N", 0, "How nice background work is, 0 to 19 (10)", 1},
    {"background-io", OPTION_SETTING + 8, "CLASS", 0, "Its I/O priority: normal, low or idle (low)", 1},
    {"background-disk", OPTION_SETTING + 11, "PERCENT", 0,
        "What merged deltas and keyframes may take of the deltas' disk, 0 to 1000 (350)", 1},
    {"sandbox", OPTION_SETTING + 10, "MODE", 0, "Confine workers: on, off, or require: all of it, or no worker (on)",
        1},
    {"log-level", OPTION_SETTING + 9, "LEVEL", 0, "What is logged to stderr: off, error, warning, info or debug (info)",
        1},
    {0}};

const struct command command_serve = {.name = "serve",
    .args = "STORE",
    .help = "Run the coordinator in the foreground.\n\n"
            "It serves VMs and commands that open STORE, until SIGTERM or SIGINT, whether or not there is a client. "
            "There is no need for it: a coordinator is started when a store is opened and ends with its last client. "
            "STORE is made if it is not there. A setting is taken from the command line, else from the environment "
            "(VARVE_WORKERS, VARVE_MIN_WORKERS, and so on), else from the configuration file.\v"
            "Example:\n"
            "  varve serve /var/lib/vm/store --workers 8 --min-workers 1\n"
            "  varve serve /var/lib/vm/store --check-config\n",
    .options = serve_options,
    .min = 1,
    .max = 1,
    .run = serve_run};
