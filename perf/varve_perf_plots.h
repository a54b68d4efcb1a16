/*
 * varve_perf_plots.h - what the files that choose plots share.
 */
#ifndef VARVE_PERF_PLOTS_H
#define VARVE_PERF_PLOTS_H

#include "varve_perf_report.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WHISKERS "Points are medians, whiskers quartiles."

enum { LOOK_COPY, LOOK_WALK, LOOK_MOST, LOOK_BACK, LOOK_ONE = 6 };

/* ONE and MOST: restores by one worker, and by as many as the plot is about. */
enum { ANY, ONE, MOST };

struct contestant {
	const char *scheme;
	int workers;
	int look;
	const char *label;
};

enum { BESIDE = 9, KNOWN = 6 };
extern const struct contestant plot_beside[BESIDE]; /**< the copy, restores, what else there is */
extern const struct contestant plot_known[KNOWN]; /**< by what is known of the backing files */

/** Makes plots; after the first error it does nothing more. */
struct maker {
	const struct document *d;
	struct plots *plots;
	int err;
};

/** plot_most_workers() - the most that any restore of the group had; plot_usual_workers() - no more than CPUs, in a
 * group that tries many. */
unsigned plot_most_workers(const struct document *d, const char *group);
unsigned plot_usual_workers(const struct document *d, const char *group);

/** plot_row() - NULL: the case has it not. @most: what MOST means. */
const struct doc_row *plot_row(const struct doc_case *c, const struct contestant *who, unsigned most);

/** plot_in() - whether a case is of that group, and, if not NULL, that state. */
bool plot_in(const struct doc_case *c, const char *group, const char *state);

/** plot_begin() - a new plot, NULL after an error; plot_end() takes curves away that stayed empty, and the plot if it has
 * less than @least values of x, or nothing beside a copy. */
struct plot *plot_begin(struct maker *m, const char *group, const char *name, const char *title);
void plot_end(struct maker *m, struct plot *plot, size_t least);

void plot_axes(struct plot *plot, const char *x, enum axis x_axis, const char *y, enum axis y_axis);
struct curve *plot_contestant(struct maker *m, struct plot *plot, const struct contestant *who, unsigned most);
void plot_add(struct maker *m, struct curve *curve, double x, double y, double low, double high);

/** plots_bars() - those whose x is a name. */
void plots_bars(struct maker *m);

/** plots_curves() - those whose x is a number. */
void plots_curves(struct maker *m);

#endif
