/*
 * varve_perf_result.c - what was measured, in memory, and the statistics of it.
 */
#include <stdlib.h>
#include <string.h>

#include "varve_perf.h"

const char *const scheme_names[] = {"copy", "naive walk", "restore", "back by one", "forward by one"};

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

/* The median of the copies of the same history in the same state, which come first. */
static double copy_median(const struct report *report, const struct result *result)
{
	for (size_t i = report->results_count; i-- > 0;) {
		const struct result *other = &report->results[i];
		if (other->scheme == SCHEME_COPY && other->cold == result->cold &&
		    !strcmp(other->history, result->history))
			return other->median;
	}
	return result->median;
}

int report_add(struct report *report, const struct result *what, const struct series *series)
{
	struct result *results = realloc(report->results, (report->results_count + 1) * sizeof(*results));
	if (!results)
		return perf_fail("out of memory");
	report->results = results;
	struct result *result = &results[report->results_count];
	double *s = series->seconds;
	size_t n = series->count;
	*result = *what;
	qsort(s, n, sizeof(*s), compare_doubles);
	result->count = n;
	result->median = n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
	result->p95 = s[(n - 1) * 95 / 100 + ((n - 1) * 95 % 100 != 0)];
	result->min = s[0];
	result->max = s[n - 1];
	result->to_copy = result->median / copy_median(report, result);
	report->results_count++;
	return 0;
}

int report_add_history(struct report *report, const struct history_figures *figures)
{
	struct history_figures *list = realloc(report->histories, (report->histories_count + 1) * sizeof(*list));
	if (!list)
		return perf_fail("out of memory");
	report->histories = list;
	list[report->histories_count++] = *figures;
	return 0;
}

void report_release(struct report *report)
{
	free(report->results);
	free(report->histories);
	*report = (struct report) {0};
}
