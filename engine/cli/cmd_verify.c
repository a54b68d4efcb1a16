/*
 * cmd_verify.c - varve verify: read and check every file.
 */
#include <errno.h>
#include <stdio.h>

#include "cli.h"

struct verify {
	const struct cli *cli;
	json_t *findings;
};

/* For people, a finding is shown as it comes: a large store takes its time. */
static void verify_found(void *arg, const struct varve_finding *finding)
{
	struct verify *verify = arg;

	if (verify->cli->json) {
		json_array_append_new(
		    verify->findings, json_pack("{s:b, s:o, s:o}", "damage", finding->damage, "file",
		                          json_text(finding->file), "problem", json_text(finding->problem)));
		return;
	}
	fputs(finding->damage ? "damaged: " : "odd: ", stdout);
	print_clean(stdout, finding->file);
	fputs(": ", stdout);
	print_clean(stdout, finding->problem);
	putchar('\n');
	fflush(stdout);
}

static void verify_print(const struct verify *verify, const struct varve_verify_report *report)
{
	if (verify->cli->json) {
		print_json(json_pack("{s:o, s:o, s:o, s:o, s:o, s:O}", "modules", json_number(report->modules), "files",
		    json_number(report->files), "bytes", json_number(report->bytes), "images",
		    json_number(report->images), "damaged", json_number(report->damaged), "findings",
		    verify->findings));
		return;
	}
	printf("%s of %s checked, %s read, %s rebuilt and compared: ", text_count(report->files, "file", "files").s,
	    text_count(report->modules, "module", "modules").s, text_size(report->bytes).s,
	    text_count(report->images, "image", "images").s);
	if (report->damaged)
		printf("%llu damaged\n", (unsigned long long)report->damaged);
	else
		printf("no damage\n");
}

static int verify_run(struct cli *cli)
{
	struct verify verify = {.cli = cli};
	struct varve_verify_report report;
	int err, code = store_open(cli, STORE_EXISTS);

	if (code)
		return code;
	verify.findings = json_array();
	interrupts_catch(cli->vm);
	err = varve_verify(cli->vm, verify_found, &verify, &report);
	if (err == -ECANCELED) {
		code = complain("interrupted; not everything was checked");
	} else if (err) {
		code = complain_about(err, NULL);
	} else {
		verify_print(&verify, &report);
		code = report.damaged ? EXIT_DAMAGE : EXIT_DONE;
	}
	json_decref(verify.findings);
	return code;
}

static const struct argp_option verify_options[] = {OPTIONS_JSON, OPTIONS_STORE, {0}};

const struct command command_verify = {.name = "verify",
    .args = "STORE",
    .help = "Read and check every file of the store.\n\n"
            "Each module commit is rebuilt and compared with its hash. Each damaged or missing file is named on a line "
            "of its own, and so is what is odd but does no harm, such as a file that nothing refers to. Exit code 3 "
            "means that there is damage.\v"
            "Example:\n"
            "  varve verify store/ || echo 'look at this'\n",
    .options = verify_options,
    .min = 1,
    .max = 1,
    .run = verify_run};
