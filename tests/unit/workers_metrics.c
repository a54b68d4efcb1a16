/*
 * workers_metrics.c - figures as text: numbers that go together, and labels that nobody can break out of.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"

static struct figures figures;
static struct varve_stat shown = {.store = "/s", .io_method = "pread", .io_reason = "", .sandbox = "on"};

static char *text(void)
{
	struct buf b = {0};
	metrics_write(&shown, &figures, &b);
	cr_assert(!b.bad);
	buf_u8(&b, 0);
	return (char *)b.data;
}

static void expect(const char *line)
{
	char *all = text();
	cr_assert(strstr(all, line), "no %s in\n%s", line, all);
	free(all);
}

TestSuite(metrics);

Test(metrics, a_histogram_has_the_times_that_were_noted_in_seconds)
{
	figures_note(&figures, WIRE_RESTORE, 16384, 0);
	figures_note(&figures, WIRE_RESTORE, 16385, 0);
	figures_note(&figures, WIRE_RESTORE, 90000000000, 0);
	figures_note(&figures, WIRE_RESTORE, 1, -EIO);
	figures_note(&figures, WIRE_COMMIT, 1000, -EBADMSG);
	expect("varve_operation_duration_seconds_bucket{store=\"/s\",operation=\"restore\",le=\"1.6384e-05\"} 1\n");
	expect("varve_operation_duration_seconds_bucket{store=\"/s\",operation=\"restore\",le=\"3.2768e-05\"} 2\n");
	expect("varve_operation_duration_seconds_bucket{store=\"/s\",operation=\"restore\",le=\"34.359738368\"} 2\n");
	expect("varve_operation_duration_seconds_bucket{store=\"/s\",operation=\"restore\",le=\"+Inf\"} 3\n");
	expect("varve_operation_duration_seconds_count{store=\"/s\",operation=\"restore\"} 3\n");
	expect("varve_operation_longest_seconds{store=\"/s\",operation=\"restore\"} 90\n");
	expect("varve_operation_failures_total{store=\"/s\",operation=\"restore\"} 1\n");
	expect("varve_operation_failures_total{store=\"/s\",operation=\"commit\"} 1\n");
	cr_assert_eq(figures.damage, 1);
}

/* Requests that only look, say, are no operations. */
Test(metrics, other_requests_are_not_counted_as_operations)
{
	figures_note(&figures, WIRE_LOG, 1000, 0);
	figures_note(&figures, WIRE_PERSIST, 1000, -EIO);
	expect("varve_operation_duration_seconds_count{store=\"/s\",operation=\"commit\"} 0\n");
	expect("varve_operation_failures_total{store=\"/s\",operation=\"commit\"} 0\n");
}

Test(metrics, a_path_with_quotes_newlines_and_broken_utf8_stays_one_label)
{
	shown.store = "/a\"} 1\nvarve_forged \\ \xff\xc3\xa9\xed\xa0\x80";
	expect("varve_commits{store=\"/a\\\"} 1\\nvarve_forged \\\\ "
	       "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"} 0\n");
}

Test(metrics, sizes_are_added_up_over_modules_and_workers_are_told_apart)
{
	struct varve_module_stat modules[2] = {
	    {.commits = 3,
	        .size = 10,
	        .base_bytes = 1,
	        .deltas_bytes = 2,
	        .last_bytes = 3,
	        .private_bytes = 100,
	        .tiers_bytes = 20,
	        .undo_bytes = 30},
	    {.commits = 7, .size = 20, .base_bytes = 10, .deltas_bytes = 20, .private_bytes = 5},
	};
	struct varve_worker_stat workers[2] =
	    {{.pid = 5, .jobs = 6, .busy = true, .busy_seconds = 1.5, .job = "restore"}, {.job = ""}},
	                         background = {.pid = 7, .bytes_read = 8, .job = "tiers"};
	shown.modules = modules;
	shown.modules_count = 2;
	shown.workers = workers;
	shown.workers_count = 2;
	shown.background = &background;
	shown.background_count = 1;
	expect("varve_chain_length_max{store=\"/s\"} 7\n");
	expect("varve_module_commits{store=\"/s\"} 10\n");
	expect("varve_disk_bytes{store=\"/s\",kind=\"deltas\"} 22\n");
	expect("varve_disk_bytes{store=\"/s\",kind=\"other\"} 55\n");
	expect("varve_workers_running{store=\"/s\"} 1\n");
	expect("varve_workers_limit{store=\"/s\"} 2\n");
	expect("varve_worker_busy_seconds_total{store=\"/s\",pool=\"main\",worker=\"0\"} 1.5\n");
	expect("varve_worker_read_bytes_total{store=\"/s\",pool=\"background\",worker=\"0\"} 8\n");
	char *all = text();
	cr_assert_null(strstr(all, "worker=\"1\""), "one that does not run has no figures");
	free(all);
}
