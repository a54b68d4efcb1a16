/*
 * cmd_workers.c - varve workers: show or change how many there are.
 */
#include <stdio.h>

#include "cli.h"

static void show(const struct cli *cli, const struct varve_workers *now)
{
	if (cli->json) {
		print_json(json_pack("{s:o,s:o,s:o,s:f}", "workers", json_number((uint64_t)now->most), "min",
		    json_number((uint64_t)now->min), "running", json_number((uint64_t)now->running), "idle_timeout",
		    (double)now->idle_ms / 1000));
		return;
	}
	printf("%s\n", text_count((uint64_t)now->most, "worker", "workers").s);
	printf("  %lld running", (long long)now->running);
	if (now->idle_ms && now->min < now->most)
		printf("; beyond %lld they end after %s without a job", (long long)now->min,
		    text_seconds((double)now->idle_ms / 1000).s);
	putchar('\n');
}

static int workers_run(struct cli *cli)
{
	struct varve_workers now = VARVE_WORKERS_INIT;
	uint64_t count = 0;

	if (cli->count > 1 && !number_parse(cli->args[1], 1, 1024, &count)) {
		complain("`%s' is not a number of workers: it goes from 1 to 1024", cli->args[1]);
		return EXIT_USAGE;
	}
	if (count && cli->change.most >= 0) {
		complain("both N and --max say how many workers there can be; give one of them");
		return EXIT_USAGE;
	}
	if (count)
		cli->change.most = (int64_t)count;
	if (cli->change.most >= 0 && cli->change.min > cli->change.most) {
		complain("--min is %lld, more than there can be", (long long)cli->change.min);
		return EXIT_USAGE;
	}
	int code = store_open(cli, STORE_EXISTS);
	if (code)
		return code;
	int err = varve_workers(cli->vm, &cli->change, &now);
	if (err)
		return complain_about(err, NULL);
	show(cli, &now);
	if (now.passing && (cli->change.most >= 0 || cli->change.min >= 0 || cli->change.idle_ms >= 0))
		note("no coordinator was running, and the one that was started for this ends with it: nothing has "
		     "changed; set VARVE_WORKERS, VARVE_MIN_WORKERS, VARVE_IDLE_TIMEOUT for the programs that open the "
		     "store, or run `varve serve' with --workers or with workers in /etc/varve.conf");
	return EXIT_DONE;
}

static const struct argp_option workers_options[] = {
    {"min", OPTION_MIN, "N", 0, "Workers that are kept while there is nothing to do, 0 to 1024", 0},
    {"max", OPTION_MAX, "N", 0, "The same as N", 0},
    {"idle-timeout", OPTION_IDLE, "SECONDS", 0, "When a worker without a job ends; 0: never", 0}, OPTIONS_JSON,
    OPTIONS_STORE, {0}};

const struct command command_workers = {.name = "workers",
    .args = "STORE [N]",
    .help = "Show or change the number of worker processes.\n\n"
            "The running coordinator is told to have at most N workers, 1 to 1024. They are started when jobs wait for "
            "them; one that is to go ends after its job. Without anything to change, says how many there are. The "
            "coordinator that a command starts ends with its last client: to change something for good, run `varve "
            "serve', or set VARVE_WORKERS, VARVE_MIN_WORKERS, VARVE_IDLE_TIMEOUT.\v"
            "Example:\n"
            "  varve workers store/ 8\n"
            "  varve workers store/ --min 2 --idle-timeout 600\n",
    .options = workers_options,
    .min = 1,
    .max = 2,
    .run = workers_run};
