/*
 * cmd_workers.c - varve workers: show or change how many there are.
 */
#include <stdio.h>

#include "cli.h"

static int workers_run(struct cli *cli)
{
	struct varve_stat *stat;
	uint64_t count = 0;
	int err, code;

	if (cli->count > 1 && !number_parse(cli->args[1], 1, 1024, &count)) {
		complain("`%s' is not a number of workers: it goes from 1 to 1024", cli->args[1]);
		return EXIT_USAGE;
	}
	code = store_open(cli, STORE_EXISTS);
	if (code)
		return code;
	if (count) {
		err = varve_set_workers(cli->vm, (unsigned)count);
		if (err)
			return complain_about(err, NULL);
	} else {
		err = varve_stat(cli->vm, &stat);
		if (err)
			return complain_about(err, NULL);
		count = stat->workers_count;
		varve_stat_free(stat);
	}
	if (cli->json)
		print_json(json_pack("{s:o}", "workers", json_number(count)));
	else
		printf("%s\n", text_count(count, "worker", "workers").s);
	return EXIT_DONE;
}

static const struct argp_option workers_options[] = {OPTIONS_JSON, OPTIONS_STORE, {0}};

const struct command command_workers = {.name = "workers",
    .args = "STORE [N]",
    .help = "Show or change the number of worker processes.\n\n"
            "The running coordinator is told to have N workers, 1 to 1024; a worker that is to go ends after its job. "
            "Without N, says how many there are. The coordinator that a command starts ends with its last client: to "
            "change the number for good, run `varve serve', or set VARVE_WORKERS.\v"
            "Example:\n"
            "  varve workers store/ 8\n",
    .options = workers_options,
    .min = 1,
    .max = 2,
    .run = workers_run};
