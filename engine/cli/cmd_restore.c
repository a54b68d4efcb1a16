/*
 * cmd_restore.c - varve restore: bring all modules to a commit.
 */
#include <errno.h>
#include <stdio.h>

#include "cli.h"

static const char not_persisted[] =
    "interrupted: the commit was restored, but this is not persisted; varve restore it again";

static int restore_progress(void *arg, const struct varve_report *report)
{
	(void)arg;
	progress_update(report->share, report->modules, report->modules_total, report->bytes_written);
	return interrupted();
}

static void restore_json(const struct varve_report *report)
{
	print_json(json_pack("{s:o, s:o, s:o, s:o, s:o, s:f, s:o}", "commit", json_id(&report->commit), "modules",
	    json_number(report->modules), "bytes_written", json_number(report->bytes_written), "bytes_read",
	    json_number(report->bytes_read), "deltas_applied", json_number(report->deltas_applied), "seconds",
	    report->seconds, "workers", json_number(report->workers)));
}

static void restore_text(const struct cli *cli, const struct varve_report *report)
{
	if (cli->dry_run) {
		printf("Restoring %s would bring %s to it:\n", text_short(&report->commit).s,
		    text_count(report->modules, "module", "modules").s);
		printf("  %s to read, %s to apply, %s to write\n", text_size(report->bytes_read).s,
		    text_count(report->deltas_applied, "delta", "deltas").s, text_size(report->bytes_written).s);
		return;
	}
	printf("Restored %s: %s in %s", text_short(&report->commit).s,
	    text_count(report->modules, "module", "modules").s, text_seconds(report->seconds).s);
	if (report->workers)
		printf(" by %s\n", text_count(report->workers, "worker", "workers").s);
	else
		printf(" by the coordinator\n");
	printf("  %s read, %s applied, %s written (%s)\n", text_size(report->bytes_read).s,
	    text_count(report->deltas_applied, "delta", "deltas").s, text_size(report->bytes_written).s,
	    text_rate(report->bytes_written, report->seconds).s);
}

static int restore_run(struct cli *cli)
{
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_report report;
	struct varve_id commit;
	int err, code = store_open(cli, STORE_EXISTS);

	if (!code)
		code = store_resolve(cli, cli->args[1], &commit);
	if (code)
		return code;
	options.workers = cli->workers;
	options.dry_run = cli->dry_run;
	options.progress = restore_progress;
	interrupts_catch(cli->vm);
	progress_begin("restore", "modules");
	err = varve_restore(cli->vm, &commit, &options, &report);
	progress_end();
	if (err == -ECANCELED)
		return complain("interrupted: %s", varve_last_error());
	if (err)
		return complain_about(err, NULL);
	interrupts_catch(NULL);
	if (!cli->dry_run && interrupts_end(not_persisted))
		return complain("%s", not_persisted);
	err = cli->dry_run ? 0 : varve_persist(cli->vm);
	if (err)
		return complain_about(err, "%s was restored, but this was not persisted", text_short(&commit).s);
	if (cli->json)
		restore_json(&report);
	else
		restore_text(cli, &report);
	return EXIT_DONE;
}

static const struct argp_option restore_options[] = {OPTIONS_JSON,
    {"workers", OPTION_WORKERS, "N", 0, "At most N modules at a time, by at least N worker processes", 0},
    {"dry-run", OPTION_DRY_RUN, NULL, 0, "Only say what would be read and written", 0}, OPTIONS_STORE, {0}};

const struct command command_restore = {.name = "restore",
    .args = "STORE COMMIT",
    .help = "Bring all modules to a commit, which becomes the current one.\n\n"
            "All modules' backing files are brought to COMMIT, or, should anything fail, none. The commits made after "
            "it stay in the history and can be restored as well. That COMMIT is the current one is persisted.\v"
            "Example:\n"
            "  varve restore store/ HEAD~1        take the last commit back\n"
            "  varve restore store/ @100 --workers 4\n",
    .options = restore_options,
    .min = 2,
    .max = 2,
    .run = restore_run};
