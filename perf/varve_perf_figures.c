/*
 * varve_perf_figures.c - the targets, and what was reached: each one number of one run on one machine.
 *
 * A target is judged only if what it needs was measured. "Copy" is the median of the copies in the same rounds.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "varve_perf.h"

static double median_of(const struct perf_case *c, const char *scheme, unsigned workers)
{
	const struct row *row = c ? case_find(c, scheme, workers) : NULL;
	return row ? series_quantile(&row->series, 0.5) : 0;
}

static __attribute__((format(printf, 2, 3))) void remark(struct figure *figure, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(figure->remark, sizeof(figure->remark), format, args);
	va_end(args);
}

/* @over / @under is the value; adds nothing, and returns NULL, where one was not measured. */
static struct figure *judge(
    struct report *report, const char *name, double target, double over, double under, bool more)
{
	struct figure *list =
	    over > 0 && under > 0 ? realloc(report->figures, (report->figures_count + 1) * sizeof(*list)) : NULL;
	if (!list)
		return NULL;
	report->figures = list;
	struct figure *figure = &list[report->figures_count++];
	*figure = (struct figure) {.unit = "x", .target = target, .value = over / under, .more = more};
	snprintf(figure->name, sizeof(figure->name), "%s", name);
	return figure;
}

/* ---- a restore against the copy --------------------------------------------------------------------------------- */

/* What is known of where its time goes. */
static void explain(struct figure *figure, const struct perf_case *c, const struct row *row)
{
	double n = (double)row->series.count, mean = 0;
	for (size_t i = 0; i < row->series.count; i++)
		mean += row->series.seconds[i] / n;
	remark(figure,
	    "median %.3g ms, the copy %.3g ms; on the mean %.3g ms, %.3g of them from the coordinator's getting the "
	    "request to "
	    "its answer, %.1f deltas, %.0f KiB read, %.0f KiB written; %zu samples",
	    series_quantile(&row->series, 0.5) * 1e3, median_of(c, SCHEME_COPY, 0) * 1e3, mean * 1e3,
	    row->inside / n * 1e3, (double)row->deltas / n, (double)row->bytes_read / n / 1024,
	    (double)row->bytes_written / n / 1024, row->series.count);
}

static void against_copy(struct report *report, const char *name, double target, const struct perf_case *c,
    const char *scheme, unsigned workers)
{
	const struct row *row = c ? case_find(c, scheme, workers) : NULL;
	struct figure *figure =
	    row ? judge(report, name, target, series_quantile(&row->series, 0.5), median_of(c, SCHEME_COPY, 0), false)
	        : NULL;
	if (!figure)
		return;
	figure->unit = "x copy";
	explain(figure, c, row);
}

/* ---- one restore against another -------------------------------------------------------------------------------- */

static void against_one_worker(struct report *report, const char *name, double target, const struct perf_case *c)
{
	double two = median_of(c, SCHEME_RESTORE, 2), one = median_of(c, SCHEME_RESTORE, 1);
	struct figure *figure = judge(report, name, target, two, one, false);
	if (figure)
		remark(figure, "%.3g ms with two workers, %.3g ms with one, a copy %.3g ms", two * 1e3, one * 1e3,
		    median_of(c, SCHEME_COPY, 0) * 1e3);
}

static void against_shorter(
    struct report *report, const char *name, double target, const struct perf_case *c, const struct perf_case *shorter)
{
	double longer = median_of(c, SCHEME_RESTORE, 2), less = median_of(shorter, SCHEME_RESTORE, 2);
	struct figure *figure = judge(report, name, target, longer, less, false);
	if (figure)
		remark(figure, "%.3g ms against %.3g ms; copies beside them took %.3g and %.3g ms", longer * 1e3,
		    less * 1e3, median_of(c, SCHEME_COPY, 0) * 1e3, median_of(shorter, SCHEME_COPY, 0) * 1e3);
}

static void against_walk(struct report *report, const char *name, double target, const struct perf_case *c)
{
	double walk = median_of(c, SCHEME_WALK, 0), restore = median_of(c, SCHEME_RESTORE, 2);
	struct figure *figure = judge(report, name, target, walk, restore, true);
	if (!figure)
		return;
	figure->unit = "x faster";
	remark(figure, "the walk took %.3g ms, the restore %.3g ms, a copy %.3g ms", walk * 1e3, restore * 1e3,
	    median_of(c, SCHEME_COPY, 0) * 1e3);
}

/* ---- places in the chain, disk, memory, commits ----------------------------------------------------------------- */

static void judge_positions(struct report *report)
{
	struct series medians = {0};
	double largest = 0;
	long where = -1;
	for (size_t i = 0; i < report->cases_count; i++) {
		const struct perf_case *c = &report->cases[i];
		if (c->position < 0)
			continue;
		for (size_t j = 0; j < c->rows_count; j++) {
			double median =
			    strcmp(c->rows[j].scheme, SCHEME_RESTORE) ? 0 : series_quantile(&c->rows[j].series, 0.5);
			if (median <= 0 || series_add(&medians, median) < 0)
				continue;
			where = median > largest ? c->position : where;
			largest = median > largest ? median : largest;
		}
	}
	double median = series_quantile(&medians, 0.5);
	struct figure *figure =
	    judge(report, "every position in the chain: largest against median", 2, largest, median, false);
	if (figure)
		remark(figure, "largest %.3g ms, to commit %ld; median of %zu positions %.3g ms, smallest %.3g ms",
		    largest * 1e3, where, medians.count, median * 1e3, series_quantile(&medians, 0) * 1e3);
	free(medians.seconds);
}

static void judge_tiers(struct report *report, const struct perf_case *c)
{
	char name[120];
	snprintf(name, sizeof(name), "%s: disk of the merged deltas against the deltas", c->name);
	struct figure *figure =
	    judge(report, name, 1.5, (double)c->disk.tier_bytes, (double)c->disk.delta_bytes, false);
	if (figure)
		remark(figure, "deltas %.2f MB, merged deltas %.2f MB, undo deltas %.2f MB",
		    (double)c->disk.delta_bytes / 1e6, (double)c->disk.tier_bytes / 1e6,
		    (double)c->disk.undo_bytes / 1e6);
}

/* The program itself, and what it shares with the others, is part of a process's memory, too. */
static void judge_memory(struct report *report, const struct perf_case *c)
{
	double image = c ? (double)c->image_bytes / (double)c->modules : 0;
	struct figure *figure = judge(report, "memory of a worker: most it ever had, one module of 256 MiB", 2,
	    c ? (double)c->worker_peak_bytes : 0, image, false);
	if (!figure)
		return;
	figure->unit = "x image";
	remark(figure, "%.1f MB (VmHWM, so with the program itself and all that is shared)",
	    (double)c->worker_peak_bytes / 1e6);
}

static void judge_commits(struct report *report, const struct perf_case *c)
{
	double busy = median_of(c, SCHEME_COMMIT_BUSY, 0), idle = median_of(c, SCHEME_COMMIT_IDLE, 0);
	struct figure *figure = judge(
	    report, "a commit while merged deltas are being made, against one while none are", 1.05, busy, idle, false);
	if (figure)
		remark(
		    figure, "medians %.3g and %.3g ms, eight modules, in turns of ten commits", busy * 1e3, idle * 1e3);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static void judge_sqlite(struct report *report, const struct perf_case *c)
{
	against_copy(report, "sqlite, commit 198 of 200, no stamp, 2 workers", 2, c, SCHEME_RESTORE, 2);
	against_copy(report, "sqlite, back by one commit, stamped", 0.15, c, SCHEME_BACK, 2);
	against_copy(report, "sqlite, forward by one commit, stamped", 0.15, c, SCHEME_FORWARD, 2);
	against_copy(report, "sqlite, back by eight commits, stamped", 0.5, c, SCHEME_EIGHT, 2);
}

void figures_judge(struct report *report)
{
	const struct perf_case *one = report_find(report, "chain-200", false),
	                       *many = report_find(report, "modules-64", false),
	                       *large = report_find(report, "image-256-MiB", false),
	                       *sqlite = report_find(report, "sqlite", false);
	against_copy(report, "one module, 200 commits, any commit, no stamp", 3, one, SCHEME_RESTORE, 2);
	against_copy(report, "64 modules, 200 commits, any commit, no stamp, 2 workers", 1.25, many, SCHEME_RESTORE, 2);
	against_shorter(
	    report, "one module, 10,000 commits against 200", 1.3, report_find(report, "chain-10000", false), one);
	against_shorter(report, "8 modules, 10,000 commits against 200", 1.3,
	    report_find(report, "modules-8-chain-10000", false), report_find(report, "modules-8", false));
	against_shorter(report, "64 modules, 10,000 commits against 200", 1.3,
	    report_find(report, "modules-64-chain-10000", false), many);
	judge_sqlite(report, sqlite);
	against_one_worker(report, "one module of 256 MiB, 200 commits, 2 workers against 1", 0.7, large);
	against_one_worker(report, "64 modules, 2 workers against 1", 0.6, many);
	against_copy(report, "cold, 64 modules, 200 commits, 2 workers, against a cold copy", 2,
	    report_find(report, "modules-64", true), SCHEME_RESTORE, 2);
	against_walk(report, "sqlite, against the naive walk", 50, sqlite);
	judge_memory(report, large);
	judge_positions(report);
	for (size_t i = 0; i < report->cases_count; i++)
		if (!strcmp(report->cases[i].group, "recordings") && !report->cases[i].cold)
			judge_tiers(report, &report->cases[i]);
	judge_commits(report, report_find(report, "commit-background", false));
}
