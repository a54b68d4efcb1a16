/*
 * varve_perf_result.c - what was measured, in memory, and the statistics of it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "varve_perf.h"

int series_add(struct series *series, double seconds)
{
	if (series->count == series->capacity) {
		size_t capacity = series->capacity ? 2 * series->capacity : 16;
		double *list = realloc(series->seconds, capacity * sizeof(*list));
		if (!list)
			return perf_fail("out of memory");
		series->seconds = list;
		series->capacity = capacity;
	}
	series->seconds[series->count++] = seconds;
	return 0;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Between two samples, in proportion: so the median of an even number is the mean of the two in the middle. */
double series_quantile(const struct series *series, double quantile)
{
	size_t n = series->count;
	double *s = n ? malloc(n * sizeof(*s)) : NULL;
	if (!s)
		return 0;
	memcpy(s, series->seconds, n * sizeof(*s));
	qsort(s, n, sizeof(*s), compare_doubles);
	double at = quantile * (double)(n - 1);
	size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
	double value = s[low] + (s[high] - s[low]) * (at - (double)low);
	free(s);
	return value;
}

/* ---- cases ------------------------------------------------------------------------------------------------------ */

const struct row *case_find(const struct perf_case *c, const char *scheme, unsigned workers)
{
	for (size_t i = 0; i < c->rows_count; i++)
		if (c->rows[i].workers == workers && !strcmp(c->rows[i].scheme, scheme))
			return &c->rows[i];
	return NULL;
}

struct row *case_row(struct perf_case *c, const char *scheme, unsigned workers)
{
	const struct row *found = case_find(c, scheme, workers);
	if (found)
		return &c->rows[found - c->rows];
	struct row *rows = realloc(c->rows, (c->rows_count + 1) * sizeof(*rows));
	if (!rows) {
		perf_fail("out of memory");
		return NULL;
	}
	c->rows = rows;
	rows[c->rows_count] = (struct row) {.scheme = scheme, .workers = workers, .pages_dirtied = -1};
	return &rows[c->rows_count++];
}

int row_add(
    struct perf_case *c, const char *scheme, unsigned workers, double seconds, const struct varve_report *report)
{
	struct row *row = case_row(c, scheme, workers);
	if (!row || series_add(&row->series, seconds) < 0)
		return -1;
	if (report) {
		row->reported = true;
		row->inside += report->seconds;
		row->bytes_written += report->bytes_written;
		row->bytes_read += report->bytes_read;
		row->deltas += report->deltas_applied;
	}
	return 0;
}

void case_leave_out(struct perf_case *c, const char *format, ...)
{
	size_t used = strlen(c->left_out), room = sizeof(c->left_out) - used;
	va_list args;
	if (used && room > 2) {
		memcpy(c->left_out + used, "; ", 3);
		used += 2;
		room -= 2;
	}
	va_start(args, format);
	vsnprintf(c->left_out + used, room, format, args);
	va_end(args);
}

void case_release(struct perf_case *c)
{
	for (size_t i = 0; i < c->rows_count; i++)
		free(c->rows[i].series.seconds);
	free(c->rows);
	*c = (struct perf_case) {0};
}

/* ---- the report ------------------------------------------------------------------------------------------------- */

int report_add(struct report *report, struct perf_case *c)
{
	struct perf_case *cases = realloc(report->cases, (report->cases_count + 1) * sizeof(*cases));
	if (!cases) {
		case_release(c);
		return perf_fail("out of memory");
	}
	report->cases = cases;
	cases[report->cases_count++] = *c;
	*c = (struct perf_case) {0};
	return 0;
}

const struct perf_case *report_find(const struct report *report, const char *name, bool cold)
{
	for (size_t i = 0; i < report->cases_count; i++)
		if (report->cases[i].cold == cold && !strcmp(report->cases[i].name, name))
			return &report->cases[i];
	return NULL;
}

void report_release(struct report *report)
{
	for (size_t i = 0; i < report->cases_count; i++)
		case_release(&report->cases[i]);
	free(report->cases);
	free(report->figures);
	*report = (struct report) {0};
}
