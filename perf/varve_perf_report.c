/*
 * varve_perf_report.c - what came out, as a table for people.
 */
#include <stdio.h>
#include <string.h>

#include "varve_perf.h"

static const char *duration(double seconds, char text[16])
{
	if (seconds < 0.01)
		snprintf(text, 16, "%.0f us", seconds * 1e6);
	else if (seconds < 10)
		snprintf(text, 16, "%.1f ms", seconds * 1e3);
	else
		snprintf(text, 16, "%.2f s", seconds);
	return text;
}

static void print_row(const struct row *row, double copy)
{
	char workers[16] = "", median[16], p95[16], spread[40], min[16], max[16];
	double middle = series_quantile(&row->series, 0.5);
	if (row->workers)
		snprintf(workers, sizeof(workers), "%u", row->workers);
	duration(middle, median);
	duration(series_quantile(&row->series, 0.95), p95);
	snprintf(spread, sizeof(spread), "%s to %s", duration(series_quantile(&row->series, 0), min),
	    duration(series_quantile(&row->series, 1), max));
	printf("  %-20s  %7s  %10s  %10s  %22s  %7.2f  %3zu\n", row->scheme, workers, median, p95, spread,
	    copy > 0 ? middle / copy : 0, row->series.count);
}

static void print_case(const struct perf_case *c)
{
	const struct row *copy = case_find(c, SCHEME_COPY, 0);
	char commit[16];
	printf("\n%s: %s\n  %zu commits of %zu module%s, images of %.1f MB in all; a commit took %s\n", c->name,
	    c->title, c->commits, c->modules, c->modules == 1 ? "" : "s", (double)c->image_bytes / 1e6,
	    duration(c->commit_seconds, commit));
	printf("  %-20s  %7s  %10s  %10s  %22s  %7s  %3s\n", c->cold ? "COLD" : "WARM", "workers", "median", "p95",
	    "spread", "x copy", "n");
	for (size_t i = 0; i < c->rows_count; i++)
		if (c->rows[i].series.count)
			print_row(&c->rows[i], copy ? series_quantile(&copy->series, 0.5) : 0);
	if (c->left_out[0])
		printf("  left out: %s\n", c->left_out);
}

void report_print(const struct report *report, const struct settings *settings)
{
	printf("%u CPUs, varve %s, reading by %s\n", settings->cpus, varve_version(), report->io_method);
	for (size_t i = 0; i < report->cases_count; i++)
		if (report->cases[i].position < 0)
			print_case(&report->cases[i]);
	for (size_t i = 0; i < report->figures_count; i++) {
		const struct figure *f = &report->figures[i];
		bool reached = f->more ? f->value >= f->target : f->value <= f->target;
		printf("%s %-70s %8.2f %s %.2f %s  %s\n", reached ? "reached    " : "NOT REACHED", f->name, f->value,
		    f->more ? ">=" : "<=", f->target, f->unit, f->remark);
	}
}
