/*
 * varve_perf_plots_curves.c - plots of time over something that is a number.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_plots.h"

/* ---- over something that is counted ----------------------------------------------------------------------------- */

static double x_of(const struct doc_case *c)
{
	return !strcmp(c->group, "image") && c->image_bytes > 0 ? c->image_bytes : c->x;
}

/* Time over x, all contestants; @rate: bytes of the image per second instead. */
static void over(struct maker *m, const char *group, const char *state, const char *name, const char *title,
    const char *x_label, enum axis axis, bool rate)
{
	const struct document *d = m->d;
	unsigned most = plot_usual_workers(d, group);
	struct plot *plot = plot_begin(m, group, name, title);
	if (!plot)
		return;
	plot->log_x = plot->log_y = true;
	plot_axes(plot, x_label, axis, rate ? "bytes of the final image per second" : "time",
	    rate ? AXIS_RATE : AXIS_SECONDS);
	snprintf(plot->note, sizeof(plot->note), "%s Both axes are logarithmic. %s", WHISKERS,
	    !strcmp(state, "cold") ? "Cold: the files are out of the page cache."
	                           : "Warm: all files are in the page cache.");
	for (size_t k = 0; k < BESIDE && !m->err; k++) {
		/* A step moves next to nothing of the image: no throughput. */
		if (rate && plot_beside[k].look == LOOK_BACK)
			continue;
		struct curve *curve = plot_contestant(m, plot, &plot_beside[k], most);
		for (size_t i = 0; i < d->cases_count; i++) {
			const struct doc_case *c = &d->cases[i];
			const struct doc_row *row =
			    plot_in(c, group, state) ? plot_row(c, &plot_beside[k], most) : NULL;
			double x = x_of(c), size = c->image_bytes;
			if (!row || !(x >= 1e-3) || (rate && !(size > 0)))
				continue;
			if (rate)
				plot_add(
				    m, curve, x, size / row->median, size / row->three_quarters, size / row->quarter);
			else
				plot_add(m, curve, x, row->median, row->quarter, row->three_quarters);
		}
	}
	plot_end(m, plot, 2);
}

/* ---- over workers ----------------------------------------------------------------------------------------------- */

static void over_workers(struct maker *m, const char *group, const char *name, const char *title)
{
	const struct document *d = m->d;
	struct plot *plot = plot_begin(m, group, name, title);
	unsigned most = plot_most_workers(d, group);
	int look = 1;
	if (!plot)
		return;
	plot_axes(plot, "workers", AXIS_COUNT, "time, in copies of the same images", AXIS_TIMES);
	snprintf(plot->note, sizeof(plot->note),
	    "%s 1 is the time of the copy, which is always made by one thread. The machine has %s CPUs.", WHISKERS,
	    text_count(d->cpus).s);
	for (size_t i = 0; i < d->cases_count && !m->err; i++) {
		const struct doc_case *c = &d->cases[i];
		char label[64];
		if (!plot_in(c, group, NULL) || plot->curves_count == 10)
			continue;
		snprintf(label, sizeof(label), "%.50s, %s", c->name, c->state);
		struct curve *curve = plot_curve(plot, label, look++);
		for (size_t j = 0; j < c->rows_count; j++) {
			const struct doc_row *row = &c->rows[j];
			double copy = row->median / row->to_copy;
			if (row->workers && !strcmp(row->scheme, "restore") && !isnan(copy))
				plot_add(m, curve, row->workers, row->to_copy, row->quarter / copy,
				    row->three_quarters / copy);
		}
	}
	struct curve *copy = plot_curve(plot, "copy", LOOK_COPY);
	if (copy)
		copy->line = true;
	plot_add(m, copy, 1, 1, 1, 1);
	plot_add(m, copy, most, 1, 1, 1);
	plot_end(m, plot, 2);
}

/* ---- over the position in the chain ----------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median_of(struct maker *m, const struct curve *curve)
{
	double *all = malloc((curve->count + 1) * sizeof(*all));
	if (!all) {
		m->err = fail(ENOMEM, "out of memory");
		return 0;
	}
	for (size_t i = 0; i < curve->count; i++)
		all[i] = curve->points[i].y;
	qsort(all, curve->count, sizeof(*all), compare_doubles);
	double median = curve->count ? all[curve->count / 2] : 0;
	free(all);
	return median;
}

static void over_position(struct maker *m)
{
	const struct document *d = m->d;
	unsigned most = plot_most_workers(d, "position");
	struct plot *plot = plot_begin(m, "position", "position", "A restore to each commit of the chain");
	double last = 0, middle = 0;
	if (!plot)
		return;
	plot->kind = PLOT_DOTS;
	plot_axes(plot, "commit, counted from the first", AXIS_COUNT, "time", AXIS_SECONDS);
	snprintf(plot->note, sizeof(plot->note), "%s No dot should lie above twice the median of them all.", WHISKERS);
	for (size_t k = 0; k < BESIDE && !m->err; k++) {
		struct curve *curve = plot_contestant(m, plot, &plot_beside[k], most);
		for (size_t i = 0; i < d->cases_count; i++) {
			const struct doc_case *c = &d->cases[i];
			const struct doc_row *row =
			    plot_in(c, "position", NULL) ? plot_row(c, &plot_beside[k], most) : NULL;
			if (!row || isnan(c->position))
				continue;
			plot_add(m, curve, c->position, row->median, row->quarter, row->three_quarters);
			last = c->position > last ? c->position : last;
		}
		if (curve && curve->count && !strcmp(plot_beside[k].scheme, "restore"))
			middle = median_of(m, curve);
	}
	struct curve *twice = middle > 0 ? plot_curve(plot, "twice the median", LOOK_WALK) : NULL;
	if (twice) {
		twice->line = true;
		plot_add(m, twice, 0, 2 * middle, 2 * middle, 2 * middle);
		plot_add(m, twice, last, 2 * middle, 2 * middle, 2 * middle);
	}
	plot_end(m, plot, 2);
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

void plots_curves(struct maker *m)
{
	static const char *const states[] = {"warm", "cold"};
	for (size_t i = 0; i < COUNT(states); i++) {
		const char *state = states[i];
		char name[32];
		snprintf(name, sizeof(name), "chain-%s", state);
		over(m, "chain", state, name, "Time over the length of the chain", "commits in the chain", AXIS_COUNT,
		    false);
		snprintf(name, sizeof(name), "image-%s", state);
		over(
		    m, "image", state, name, "Time over the size of the image", "size of the image", AXIS_BYTES, false);
		snprintf(name, sizeof(name), "modules-%s", state);
		over(m, "modules", state, name, "Time over the number of modules", "modules", AXIS_COUNT, false);
	}
	over(m, "image", "warm", "throughput", "Throughput over the size of the image", "size of the image", AXIS_BYTES,
	    true);
	over_workers(m, "workers", "workers", "Time over the number of workers");
	over_position(m);
	over_workers(m, "recordings", "workers-recordings", "Real programs, over the number of workers");
}
