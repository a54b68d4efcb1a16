/*
 * cmd_serve.c - varve serve: run the coordinator in the foreground.
 */
#include <stdio.h>

#include "cli.h"

static int serve_run(struct cli *cli)
{
	struct varve_options options = store_options(cli);

	options.workers = cli->workers;
	return complain_about(varve_serve(cli->args[0], &options), NULL);
}

static const struct argp_option serve_options[] = {
    {"workers", OPTION_WORKERS, "N", 0, "Worker processes, 1 to 1024 (default: the CPUs this process has)", 0},
    {"io", OPTION_IO, "METHOD", 0, "How workers read files: auto, uring or pread", 0},
    {"sync", OPTION_SYNC, "WHEN", 0, "When files are synced to the device: persist, commit or none", 0}, {0}};

const struct command command_serve = {.name = "serve",
    .args = "STORE",
    .help = "Run the coordinator in the foreground.\n\n"
            "It serves VMs and commands that open STORE, until SIGTERM or SIGINT, whether or not there is a client. "
            "There is no need for it: a coordinator is started when a store is opened and ends with its last client. "
            "STORE is made if it is not there.\v"
            "Example:\n"
            "  varve serve /var/lib/vm/store --workers 8\n",
    .options = serve_options,
    .min = 1,
    .max = 1,
    .run = serve_run};
