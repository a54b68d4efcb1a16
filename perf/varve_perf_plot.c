/*
 * varve_perf_plot.c - curves and bars, as a script for gnuplot.
 *
 * Data goes as numbers. Text that comes from a result is reduced to harmless characters (text_plain()), and quoted by '
 * and not by ", in which backquotes would be commands.
 *
 * The colours can be told apart on white and on black, and by the colour-blind; the shapes differ as well.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_report.h"

static const char *const colours[] = {
    "#808080", "#d55e00", "#3b82d6", "#1b9e5a", "#a65fd0", "#a8862a", "#1a97a8", "#d6488f", "#5c6bc0", "#8d6e63"};
static const int shapes[] = {6, 8, 7, 5, 9, 13, 11, 15, 4, 12};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct curve *plot_curve(struct plot *plot, const char *label, int look)
{
	struct curve *list = realloc(plot->curves, (plot->curves_count + 1) * sizeof(*list));
	if (!list)
		return NULL;
	plot->curves = list;
	struct curve *curve = &list[plot->curves_count++];
	*curve = (struct curve) {.look = look};
	snprintf(curve->label, sizeof(curve->label), "%s", label);
	return curve;
}

int curve_add(struct curve *curve, double x, double y, double low, double high)
{
	if (!curve)
		return fail(ENOMEM, "out of memory");
	struct point *points = realloc(curve->points, (curve->count + 1) * sizeof(*points));
	if (!points)
		return fail(ENOMEM, "out of memory");
	curve->points = points;
	points[curve->count++] = (struct point) {x, y, low, high};
	return 0;
}

void plot_release(struct plot *plot)
{
	for (size_t i = 0; i < plot->curves_count; i++)
		free(plot->curves[i].points);
	free(plot->curves);
	free(plot->labels);
	free(plot->svg);
	*plot = (struct plot) {0};
}

/* ---- the script ------------------------------------------------------------------------------------------------- */

static void quoted(FILE *out, const char *text)
{
	putc('\'', out);
	text_plain(out, text);
	putc('\'', out);
}

/* Labels of axes are our own. */
static void axis_label(FILE *out, char which, const char *label)
{
	if (label[0])
		fprintf(out, "set %clabel '%s' noenhanced\n", which, label);
}

static void script_look(FILE *out, const struct plot *plot, bool background)
{
	fputs("set encoding utf8\n", out);
	fprintf(out, "set terminal svg size %d,%d font 'sans-serif,14' linewidth 1.4 %s\n", PLOT_WIDTH, PLOT_HEIGHT,
	    background ? "background '#ffffff'" : "");
	fputs("set border 3 linewidth 0.8\nset tics nomirror scale 0.6 noenhanced\n"
	      "set grid ytics linetype 1 linewidth 0.4 linecolor rgb '#909090'\n"
	      "set key above horizontal Left reverse noenhanced samplen 2.2 width 1 font 'sans-serif,13'\n",
	    out);
	axis_label(out, 'x', plot->x_label);
	axis_label(out, 'y', plot->y_label);
}

/* How high the bars of the first @curves are at @x, lying upon each other. */
static double stacked(const struct plot *plot, size_t curves, double x)
{
	double sum = 0;
	for (size_t i = 0; i < curves; i++)
		for (size_t j = 0; j < plot->curves[i].count; j++)
			if (plot->curves[i].points[j].x == x)
				sum += plot->curves[i].points[j].y;
	return sum;
}

static int script_axes(FILE *out, const struct plot *plot)
{
	struct range y = plot_range(plot, false);
	bool bars = plot->kind == PLOT_BARS || plot->kind == PLOT_STACKS;
	for (size_t i = 0; plot->kind == PLOT_STACKS && i < plot->labels_count; i++) {
		double top = stacked(plot, plot->curves_count, (double)i);
		y.most = top > y.most ? top : y.most;
	}
	if (plot->log_y)
		axis_logarithmic(out, 'y', plot->y_axis, y);
	else
		axis_even(out, 'y', plot->y_axis, y.most);
	if (!bars)
		return plot->kind == PLOT_DOTS ? 0 : axis_measured(out, plot);
	size_t letters = 0;
	for (size_t i = 0; i < plot->labels_count; i++)
		letters += strlen(plot->labels[i]) + 3;
	fprintf(out, "set xrange [-0.6:%.9g]\nset xtics scale 0 %s(", (double)plot->labels_count - 0.4,
	    letters > 90 ? "rotate by -35 " : "");
	for (size_t i = 0; i < plot->labels_count; i++) {
		fputs(i ? ", " : "", out);
		quoted(out, plot->labels[i]);
		fprintf(out, " %zu", i);
	}
	fputs(")\n", out);
	return 0;
}

static void data_curves(FILE *out, const struct plot *plot)
{
	for (size_t i = 0; i < plot->curves_count; i++) {
		fprintf(out, "$c%zu << E\n", i);
		for (size_t j = 0; j < plot->curves[i].count; j++) {
			const struct point *p = &plot->curves[i].points[j];
			fprintf(out, "%.9g %.9g %.9g %.9g\n", p->x, p->y, p->low, p->high);
		}
		fputs("E\n", out);
	}
}

/* gnuplot leaves a halo around a point with a whisker, which eats its neighbours: so these are drawn apart. */
static void draw_whiskers(FILE *out, size_t curve, const char *x, const char *colour)
{
	fprintf(out, "$c%zu using %s with vectors nohead linetype 1 linewidth 0.8 linecolor rgb '%s' notitle", curve, x,
	    colour);
}

static void draw_curve(FILE *out, const struct plot *plot, size_t i)
{
	const struct curve *c = &plot->curves[i];
	const char *colour = colours[(unsigned)c->look % COUNT(colours)];
	bool dots = plot->kind == PLOT_DOTS;
	if (!c->line) {
		draw_whiskers(out, i, "1:3:(0):($4-$3)", colour);
		fputs(", \\\n ", out);
	}
	fprintf(out, "$c%zu using 1:2 with %s linetype 1 linecolor rgb '%s' dashtype %d", i,
	    c->line ? "lines"
	    : dots  ? "points"
	            : "linespoints",
	    colour, c->line || c->look == 0 ? 2 : 1);
	if (!c->line)
		fprintf(
		    out, " pointtype %d pointsize %s", shapes[(unsigned)c->look % COUNT(shapes)], dots ? "0.4" : "0.7");
	fputs(" title ", out);
	quoted(out, c->label);
}

static void draw_curves(FILE *out, const struct plot *plot)
{
	for (size_t i = 0; i < plot->curves_count; i++) {
		fputs(i ? ", \\\n " : "plot ", out);
		draw_curve(out, plot, i);
	}
	putc('\n', out);
}

/* Boxes from where to where, side by side or upon each other, as gnuplot's own histograms have no place for whiskers and
 * none for bars that are missing. */
static void data_bars(FILE *out, const struct plot *plot)
{
	bool stack = plot->kind == PLOT_STACKS;
	double width = stack ? 0.6 : 0.84 / (double)plot->curves_count;
	double bottom = plot->log_y ? plot_range(plot, false).least / 1e3 : 0;
	for (size_t i = 0; i < plot->curves_count; i++) {
		double aside = stack ? 0 : ((double)i - ((double)plot->curves_count - 1) / 2) * width;
		fprintf(out, "$c%zu << E\n", i);
		for (size_t j = 0; j < plot->curves[i].count; j++) {
			const struct point *p = &plot->curves[i].points[j];
			double from = stack ? stacked(plot, i, p->x) : bottom;
			/* x, top, left, right, bottom, top; the whisker's ends */
			fprintf(out, "%.9g %.9g %.9g %.9g %.9g %.9g %.9g %.9g\n", p->x + aside,
			    stack ? from + p->y : p->y, p->x + aside - width * 0.46, p->x + aside + width * 0.46, from,
			    stack ? from + p->y : p->y, p->low, p->high);
		}
		fputs("E\n", out);
	}
}

static void draw_bars(FILE *out, const struct plot *plot)
{
	fputs("set style fill solid 0.85 noborder\n", out);
	for (size_t i = 0; i < plot->curves_count; i++) {
		const struct curve *c = &plot->curves[i];
		const char *colour = colours[(unsigned)c->look % COUNT(colours)];
		fprintf(out, "%s $c%zu using 1:2:3:4:5:6 with boxxyerror linetype 1 linecolor rgb '%s' title ",
		    i ? ", \\\n" : "plot", i, colour);
		quoted(out, c->label);
		if (plot->kind == PLOT_BARS) {
			fputs(", \\\n ", out);
			draw_whiskers(out, i, "1:7:(0):($8-$7)", "#606060");
		}
	}
	putc('\n', out);
}

int plot_script(FILE *out, const struct plot *plot, bool background)
{
	script_look(out, plot, background);
	int r = script_axes(out, plot);
	if (r)
		return r;
	if (plot->kind == PLOT_BARS || plot->kind == PLOT_STACKS) {
		data_bars(out, plot);
		draw_bars(out, plot);
	} else {
		data_curves(out, plot);
		draw_curves(out, plot);
	}
	return 0;
}
