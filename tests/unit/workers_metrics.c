/*
 * workers_metrics.c - figures as text: numbers that go together, and labels that nobody can break out of.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"

static struct figures figures;
static struct varve_stat shown = {
    .store = "/s", .io_method = "pread", .io_reason = "", .sandbox = "on", .sandbox_reason = ""};

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

static void expect_none(const char *piece)
{
	char *all = text();
	cr_assert_null(strstr(all, piece), "%s in\n%s", piece, all);
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
	expect("varve_operation_latency_seconds{store=\"/s\",operation=\"restore\",quantile=\"0.5\"} 1.6896e-05\n");
	expect("varve_operation_latency_seconds{store=\"/s\",operation=\"restore\",quantile=\"1\"} 90\n");
	expect("varve_operation_latency_seconds_count{store=\"/s\",operation=\"restore\"} 3\n");
	expect_none("varve_operation_latency_seconds{store=\"/s\",operation=\"commit\"");
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
	struct varve_worker_stat workers[2] = {{.pid = 5,
	                                           .jobs = 6,
	                                           .busy = true,
	                                           .busy_seconds = 1.5,
	                                           .restarts = 4,
	                                           .state = VARVE_WORKER_BUSY,
	                                           .job = "restore"},
	    {.job = ""}},
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
	shown.backing_bytes = 50;
	shown.history_bytes = 60;
	shown.disk_bytes = 1 + 2 + 3 + 10 + 20 + 100 + 5 + 50 + 60 + 7;
	expect("varve_disk_bytes{store=\"/s\",kind=\"backing\"} 50\n");
	expect("varve_disk_bytes{store=\"/s\",kind=\"history\"} 60\n");
	expect("varve_disk_bytes{store=\"/s\",kind=\"other\"} 62\n");
	expect("varve_store_bytes{store=\"/s\"} 258\n");
	expect("varve_workers_running{store=\"/s\"} 1\n");
	expect("varve_workers_limit{store=\"/s\"} 2\n");
	expect("varve_worker_busy_seconds_total{store=\"/s\",pool=\"main\",worker=\"0\"} 1.5\n");
	expect("varve_worker_read_bytes_total{store=\"/s\",pool=\"background\",worker=\"0\"} 8\n");
	expect("varve_worker_restarts_total{store=\"/s\",pool=\"main\",worker=\"0\"} 4\n");
	expect("varve_worker_state{store=\"/s\",pool=\"main\",worker=\"0\",state=\"busy\"} 1\n");
	expect("varve_worker_state{store=\"/s\",pool=\"main\",worker=\"0\",state=\"idle\"} 0\n");
	expect("varve_worker_job{store=\"/s\",pool=\"background\",worker=\"0\",job=\"tiers\"} 1\n");
	expect_none("worker=\"1\""); /* one that does not run has no figures */
}

/* One series for each of a thousand clients would be a thousand that come and go. */
Test(metrics, operations_under_way_are_put_together_by_kind)
{
	struct varve_operation_stat operations[] = {
	    {.name = "restore", .done = 3, .total = 8, .seconds = 2},
	    {.name = "checkout", .total = 1, .seconds = 0.5},
	    {.name = "background", .done = 9, .seconds = 4},
	    {.name = "checkout", .done = 1, .total = 1, .seconds = 0.25},
	    {.name = "restore", .waiting = true, .seconds = 1},
	};
	shown.operations = operations;
	shown.operations_count = 5;
	expect("varve_operations{store=\"/s\",operation=\"checkout\",state=\"running\"} 2\n");
	expect("varve_operations{store=\"/s\",operation=\"restore\",state=\"waiting\"} 1\n");
	expect("varve_operation_age_seconds{store=\"/s\",operation=\"checkout\",state=\"running\"} 0.5\n");
	expect("varve_operation_modules_done{store=\"/s\",operation=\"restore\",state=\"running\"} 3\n");
	expect("varve_operation_modules{store=\"/s\",operation=\"restore\",state=\"running\"} 8\n");
	expect("varve_operation_modules{store=\"/s\",operation=\"checkout\",state=\"running\"} 2\n");
	expect("varve_operation_modules_done{store=\"/s\",operation=\"background\",state=\"running\"} 9\n");
	expect_none("varve_operation_modules{store=\"/s\",operation=\"background\"");
	expect_none("varve_operation_modules_done{store=\"/s\",operation=\"restore\",state=\"waiting\"");
}

/* A reason is a sentence of any length, and may quote what a system says. */
Test(metrics, what_is_missing_is_told_with_its_reason)
{
	static char lengthy[1024];
	memset(lengthy, '"', sizeof(lengthy) - 1);
	shown.io_reason = lengthy;
	shown.sandbox = "partial";
	shown.sandbox_reason = "no \"Landlock\"";
	expect("varve_io_info{store=\"/s\",method=\"pread\",reason=\"\\\"\\\"");
	expect("varve_sandbox_info{store=\"/s\",state=\"partial\",reason=\"no \\\"Landlock\\\"\"} 1\n");
}
