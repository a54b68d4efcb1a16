/*
 * varve_perf_plots.c - which plots a result gives: what they have in common, and all of them.
 *
 * Points are medians, whiskers reach from the lower to the upper quartile. A plot for which there is no data is not
 * drawn: a result of `--only chain` has plots of chains only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_plots.h"

/* ---- contestants ------------------------------------------------------------------------------------------------ */

const struct contestant plot_beside[BESIDE] = {
    {"copy", ANY, LOOK_COPY, "copy"},
    {"restore", ONE, LOOK_ONE, "restore, 1 worker"},
    {"restore", MOST, LOOK_MOST, "restore, %u workers"},
    {"back by one", ANY, LOOK_BACK, "back by one, files known"},
    {"naive walk", ANY, LOOK_WALK, "naive walk"},
    {"bspatch", ANY, 4, "bspatch"},
    {"xdelta3", ANY, 5, "xdelta3"},
    {"zstd --patch-from", ANY, 7, "zstd --patch-from"},
    {"git cat-file", ANY, 8, "git cat-file"},
};

const struct contestant plot_known[KNOWN] = {
    {"restore", MOST, LOOK_MOST, "nothing known, %u workers"},
    {"restore same size", ANY, LOOK_ONE, "the same, same size"},
    {"restore nearly right", ANY, 9, "nearly right"},
    {"back by one", ANY, LOOK_BACK, "back by one"},
    {"forward by one", ANY, 5, "forward by one"},
    {"back by eight", ANY, 4, "back by eight"},
};

/* The most workers that any case of the group has: with more cases a curve is one number of workers all along. */
unsigned plot_most_workers(const struct document *d, const char *group)
{
	unsigned most = 0;
	for (size_t i = 0; i < d->cases_count; i++)
		for (size_t j = 0; j < d->cases[i].rows_count && !strcmp(d->cases[i].group, group); j++)
			if (!strcmp(d->cases[i].rows[j].scheme, "restore") && d->cases[i].rows[j].workers > most)
				most = d->cases[i].rows[j].workers;
	return most;
}

/* In a group that tries many numbers of workers, as many as CPUs say what to expect. */
unsigned plot_usual_workers(const struct document *d, const char *group)
{
	unsigned most = plot_most_workers(d, group);
	return d->cpus >= 1 && d->cpus < most ? (unsigned)d->cpus : most;
}

/* NULL: the case has it not, or it is the same as the one before in the list. */
const struct doc_row *plot_row(const struct doc_case *c, const struct contestant *who, unsigned most)
{
	if (who->workers == ANY)
		return case_row_find(c, who->scheme, 0);
	if (who->workers == MOST)
		return most > 1 ? case_row_find(c, who->scheme, most) : NULL;
	return case_row_find(c, who->scheme, 1);
}

bool plot_in(const struct doc_case *c, const char *group, const char *state)
{
	return !strcmp(c->group, group) && (!state || !strcmp(c->state, state));
}

/* ---- keeping plots ---------------------------------------------------------------------------------------------- */

struct plot *plot_begin(struct maker *m, const char *group, const char *name, const char *title)
{
	struct plot *list = m->err ? NULL : realloc(m->plots->list, (m->plots->count + 1) * sizeof(*list));
	if (!list) {
		m->err = m->err ? m->err : fail(ENOMEM, "out of memory");
		return NULL;
	}
	m->plots->list = list;
	struct plot *plot = &list[m->plots->count++];
	*plot = (struct plot) {.group = group};
	snprintf(plot->name, sizeof(plot->name), "%s", name);
	snprintf(plot->title, sizeof(plot->title), "%s", title);
	return plot;
}

void plot_axes(struct plot *plot, const char *x, enum axis x_axis, const char *y, enum axis y_axis)
{
	snprintf(plot->x_label, sizeof(plot->x_label), "%s", x);
	snprintf(plot->y_label, sizeof(plot->y_label), "%s", y);
	plot->x_axis = x_axis;
	plot->y_axis = y_axis;
}

void plot_add(struct maker *m, struct curve *curve, double x, double y, double low, double high)
{
	if (!m->err)
		m->err = curve_add(curve, x, y, low, high);
}

static int compare_points(const void *a, const void *b)
{
	const struct point *p = a, *q = b;
	return (p->x > q->x) - (p->x < q->x);
}

/* Takes curves away that stayed empty, and the plot if it has less than @least values of x, or nothing beside a copy. */
void plot_end(struct maker *m, struct plot *plot, size_t least)
{
	size_t kept = 0;
	bool news = false, enough = false;
	for (size_t i = 0; plot && i < plot->curves_count; i++) {
		struct curve *c = &plot->curves[i];
		if (!c->count) {
			free(c->points);
			continue;
		}
		qsort(c->points, c->count, sizeof(*c->points), compare_points);
		news = news || (c->look != LOOK_COPY && !c->line);
		enough = enough || (c->points[c->count - 1].x > c->points[0].x) + 1u >= least;
		plot->curves[kept++] = *c;
	}
	if (!plot)
		return;
	plot->curves_count = kept;
	if (!news || !enough) {
		plot_release(plot);
		m->plots->count--;
	}
}

struct curve *plot_contestant(struct maker *m, struct plot *plot, const struct contestant *who, unsigned most)
{
	char label[64];
	const char *number = strstr(who->label, "%u");
	if (number)
		snprintf(label, sizeof(label), "%.*s%u%s", (int)(number - who->label), who->label, most, number + 2);
	else
		snprintf(label, sizeof(label), "%s", who->label);
	struct curve *curve = plot_curve(plot, label, who->look);
	if (!curve)
		m->err = fail(ENOMEM, "out of memory");
	return curve;
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

int plots_make(struct plots *plots, const struct document *d, bool background)
{
	struct maker m = {d, plots, 0};
	*plots = (struct plots) {0};
	plots_curves(&m);
	plots_bars(&m);
	for (size_t i = 0; i < plots->count && !m.err; i++)
		m.err = plot_draw(&plots->list[i], background);
	if (!m.err)
		return 0;
	plots_release(plots);
	if (m.err == -ENOENT) {
		snprintf(plots->missing, sizeof(plots->missing), "%s", err_text());
		m.err = 0;
	}
	return m.err;
}

void plots_release(struct plots *plots)
{
	for (size_t i = 0; i < plots->count; i++)
		plot_release(&plots->list[i]);
	free(plots->list);
	*plots = (struct plots) {0};
}
