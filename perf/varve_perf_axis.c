/*
 * varve_perf_axis.c - the marks of a plot's axes, as commands for gnuplot.
 *
 * gnuplot's own units are powers of ten with a letter; "100 µs", "64 KiB" and "10,000" are easier to read.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_report.h"

static struct text mark(enum axis axis, double value)
{
	struct text text;
	switch (axis) {
	case AXIS_SECONDS:
		return text_duration(value);
	case AXIS_BYTES:
		return text_bytes(value);
	case AXIS_RATE:
		text = text_bytes(value);
		strcat(text.s, "/s");
		return text;
	case AXIS_TIMES:
		snprintf(text.s, sizeof(text.s), "%g", value);
		return text;
	default:
		return value >= 1 ? text_count(value) : text_ratio(value);
	}
}

/* "1.00 ms" says no more than "1 ms". */
static void shorten(char *text)
{
	char *point = strchr(text, '.');
	if (!point)
		return;
	size_t digits = strspn(point + 1, "0123456789"), zeros = digits;
	while (zeros > 0 && point[zeros] == '0')
		zeros--;
	char *keep = zeros ? point + 1 + zeros : point;
	memmove(keep, point + 1 + digits, strlen(point + 1 + digits) + 1);
}

static void one_mark(FILE *out, enum axis axis, double value, bool *first)
{
	struct text text = mark(axis, value);
	shorten(text.s);
	fprintf(out, "%s'%s' %.9g", *first ? "" : ", ", text.s, value);
	*first = false;
}

struct range plot_range(const struct plot *plot, bool of_x)
{
	struct range r = {INFINITY, -INFINITY};
	for (size_t i = 0; i < plot->curves_count; i++)
		for (size_t j = 0; j < plot->curves[i].count; j++) {
			const struct point *p = &plot->curves[i].points[j];
			double low = of_x ? p->x : p->low, high = of_x ? p->x : p->high;
			r.least = low < r.least ? low : r.least;
			r.most = high > r.most ? high : r.most;
		}
	return r;
}

/* Powers of ten (of 1,024, times 1, 4, 16, ... for bytes), and 2 and 5 where there are few of them. */
void axis_logarithmic(FILE *out, char which, enum axis axis, struct range range)
{
	bool first = true, bytes = axis == AXIS_BYTES || axis == AXIS_RATE;
	double step = bytes ? 4 : 10;
	double from = pow(step, floor(log(range.least) / log(step) + 1e-9));
	double to = pow(step, ceil(log(range.most) / log(step) - 1e-9));
	/* A curve that keeps to one height needs some room. */
	if (to / from < step * 1.01)
		to = from * step;
	bool few = !bytes && to / from < 1500;
	fprintf(out, "set logscale %c\nset %crange [%.9g:%.9g]\nset %ctics (", which, which, from, to, which);
	for (double at = from; at <= to * 1.001; at *= step) {
		one_mark(out, axis, at, &first);
		if (few && at < to / 1.001) {
			one_mark(out, axis, 2 * at, &first);
			one_mark(out, axis, 5 * at, &first);
		}
	}
	fputs(")\n", out);
}

/* From 0 to what is above the largest: 1, 2 or 5 times a power of ten (of two for bytes) apart. */
void axis_even(FILE *out, char which, enum axis axis, double most)
{
	bool first = true, bytes = axis == AXIS_BYTES || axis == AXIS_RATE;
	double step;
	if (bytes) {
		step = pow(2, ceil(log2(most / 6)));
	} else {
		double power = pow(10, floor(log10(most / 5)));
		double times = most / 5 / power;
		step = power * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
	}
	int steps = (int)ceil(most * 1.001 / step);
	fprintf(out, "set %crange [0:%.9g]\nset %ctics (", which, step * steps, which);
	for (int i = 0; i <= steps; i++)
		if (i == 0)
			fputs("'0' 0", out), first = false;
		else
			one_mark(out, axis, i * step, &first);
	fputs(")\n", out);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Where measurements are: at the values measured, with some room at both ends. */
int axis_measured(FILE *out, const struct plot *plot)
{
	size_t count = 0, n = 0;
	for (size_t i = 0; i < plot->curves_count; i++)
		count += plot->curves[i].count;
	double *all = malloc((count + 1) * sizeof(*all));
	bool first = true;
	if (!all)
		return fail(ENOMEM, "out of memory");
	for (size_t i = 0; i < plot->curves_count; i++)
		for (size_t j = 0; j < plot->curves[i].count; j++)
			all[n++] = plot->curves[i].points[j].x;
	qsort(all, n, sizeof(*all), compare_doubles);
	double span = plot->log_x ? log(all[n - 1] / all[0]) : all[n - 1] - all[0];
	double last = -INFINITY;
	fputs("set xtics (", out);
	for (size_t i = 0; i < n; i++) {
		double at = plot->log_x ? log(all[i]) : all[i];
		/* Names that would run into each other are left out. */
		if (at - last < span / 14)
			continue;
		one_mark(out, plot->x_axis, all[i], &first);
		last = at;
	}
	fputs(")\n", out);
	if (plot->log_x)
		fprintf(out, "set logscale x\nset xrange [%.9g:%.9g]\n", all[0] / (exp(span * 0.04) + 0.02),
		    all[n - 1] * (exp(span * 0.04) + 0.02));
	else
		fprintf(out, "set xrange [%.9g:%.9g]\n", all[0] - span * 0.04 - 0.1, all[n - 1] + span * 0.04 + 0.1);
	free(all);
	return 0;
}
