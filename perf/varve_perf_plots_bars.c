/*
 * varve_perf_plots_bars.c - plots of time and of disk use by name: patterns, recordings, other programs.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_plots.h"

/* ---- bars ------------------------------------------------------------------------------------------------------- */

/* Room for as many labels as there are cases, and @more for each. */
static bool room(struct maker *m, struct plot *plot, size_t each)
{
	plot->labels = calloc(m->d->cases_count * each + 1, sizeof(*plot->labels));
	if (!plot->labels)
		m->err = fail(ENOMEM, "out of memory");
	return plot->labels != NULL;
}

/* "rivals-contract" is "contract" among the rivals. */
static const char *short_name(const struct doc_case *c)
{
	size_t length = strlen(c->group);
	bool begins = !strncmp(c->name, c->group, length) && c->name[length] == '-' && c->name[length + 1];
	return begins ? c->name + length + 1 : c->name;
}

/* A label for each case of the group, a bar for each contestant: time, or time in copies. */
static void bars(struct maker *m, const char *group, const char *name, const char *title,
    const struct contestant *contestants, size_t count, bool in_copies)
{
	const struct document *d = m->d;
	unsigned most = plot_usual_workers(d, group);
	struct plot *plot = plot_begin(m, group, name, title);
	if (!plot || !room(m, plot, 1))
		return;
	plot->kind = PLOT_BARS;
	plot->log_y = !in_copies;
	plot_axes(plot, "", AXIS_COUNT, in_copies ? "time, in copies of the same images" : "time",
	    in_copies ? AXIS_TIMES : AXIS_SECONDS);
	snprintf(plot->note, sizeof(plot->note), "Bars are medians, whiskers quartiles. %s Warm.",
	    in_copies ? "1 is the time of the copy." : "The axis is logarithmic.");
	for (size_t i = 0; i < d->cases_count; i++)
		if (plot_in(&d->cases[i], group, "warm"))
			snprintf(plot->labels[plot->labels_count++], sizeof(plot->labels[0]), "%.60s",
			    short_name(&d->cases[i]));
	for (size_t k = 0; k < count && !m->err; k++) {
		struct curve *curve = plot_contestant(m, plot, &contestants[k], most);
		double x = 0;
		for (size_t i = 0; i < d->cases_count; i++) {
			const struct doc_case *c = &d->cases[i];
			if (!plot_in(c, group, "warm"))
				continue;
			const struct doc_row *row = plot_row(c, &contestants[k], most);
			double unit = row && in_copies ? row->median / row->to_copy : 1;
			if (row && !isnan(unit))
				plot_add(
				    m, curve, x, row->median / unit, row->quarter / unit, row->three_quarters / unit);
			x++;
		}
	}
	plot_end(m, plot, 1);
}

static double disk_sum(const struct doc_case *c)
{
	double sum = 0;
	for (size_t i = 0; i < DISK_PARTS; i++)
		sum += c->disk[i] > 0 ? c->disk[i] : 0;
	return sum;
}

/* The same store, cold, has nothing new. */
static bool has_disk(const struct doc_case *c, const char *group)
{
	return plot_in(c, group, "warm") && disk_sum(c) > 0 && c->image_bytes > 0;
}

static void disk_bar(struct maker *m, struct plot *plot, const struct doc_case *c, const char *label, double unit)
{
	double x = (double)plot->labels_count;
	snprintf(plot->labels[plot->labels_count++], sizeof(plot->labels[0]), "%.60s", label);
	for (size_t k = 0; k < DISK_PARTS; k++)
		if (c->disk[k] > 0)
			plot_add(m, &plot->curves[k], x, c->disk[k] / unit, c->disk[k] / unit, c->disk[k] / unit);
}

static struct plot *begin_disk(struct maker *m, const char *group, const char *name, const char *title, size_t each)
{
	static const int looks[DISK_PARTS] = {0, LOOK_MOST, 6, 5, 7};
	struct plot *plot = plot_begin(m, group, name, title);
	if (!plot || !room(m, plot, each))
		return NULL;
	plot->kind = PLOT_STACKS;
	for (size_t k = 0; k < DISK_PARTS && !m->err; k++)
		if (!plot_curve(plot, disk_part_names[k], looks[k]))
			m->err = fail(ENOMEM, "out of memory");
	return m->err ? NULL : plot;
}

static void disk(struct maker *m, const char *group, const char *name, const char *title, bool in_images)
{
	struct plot *plot = begin_disk(m, group, name, title, 1);
	if (!plot)
		return;
	plot_axes(plot, "", AXIS_COUNT, in_images ? "disk, in final images of all modules" : "disk",
	    in_images ? AXIS_TIMES : AXIS_BYTES);
	snprintf(plot->note, sizeof(plot->note),
	    "Base and last are whole images; deltas are the history; tiers and undo deltas can be made again at any "
	    "time.");
	for (size_t i = 0; i < m->d->cases_count; i++)
		if (has_disk(&m->d->cases[i], group))
			disk_bar(m, plot, &m->d->cases[i], short_name(&m->d->cases[i]),
			    in_images ? m->d->cases[i].image_bytes : 1);
	plot_end(m, plot, 1);
}

/* Another program; not Varve by another name. */
static bool is_other(const char *scheme)
{
	static const char *const ours[] = {"copy", "restore", "naive walk"};
	for (size_t i = 0; i < COUNT(ours); i++)
		if (!strcmp(scheme, ours[i]))
			return false;
	return true;
}

static void rivals_disk(struct maker *m)
{
	enum { OTHERS = 4 };
	struct plot *plot = begin_disk(m, "rivals", "rivals-disk", "What the same history takes on disk", 1 + OTHERS);
	struct curve *others = plot ? plot_curve(plot, "what the other program keeps", 1) : NULL;
	if (!others)
		return;
	plot_axes(plot, "", AXIS_COUNT, "disk, in final images", AXIS_TIMES);
	snprintf(plot->note, sizeof(plot->note),
	    "Varve keeps the newest image whole as well, so that a commit never waits for the chain.");
	for (size_t i = 0; i < m->d->cases_count; i++) {
		const struct doc_case *c = &m->d->cases[i];
		char label[128];
		if (!has_disk(c, "rivals"))
			continue;
		snprintf(label, sizeof(label), "%.40s: Varve", short_name(c));
		disk_bar(m, plot, c, label, c->image_bytes);
		size_t n = 0;
		for (size_t j = 0; j < c->rows_count && n < OTHERS; j++) {
			double disk_bytes = c->rows[j].disk_bytes, x = (double)plot->labels_count;
			if (!(disk_bytes > 0) || !is_other(c->rows[j].scheme))
				continue;
			n++;
			snprintf(
			    plot->labels[plot->labels_count++], sizeof(plot->labels[0]), "%.60s", c->rows[j].scheme);
			plot_add(m, others, x, disk_bytes / c->image_bytes, 0, 0);
		}
	}
	plot_end(m, plot, 1);
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

void plots_bars(struct maker *m)
{
	bars(m, "pattern", "pattern", "Time by how changes lie", plot_known, KNOWN, true);
	bars(m, "recordings", "recordings", "Real programs, by what is known of the backing files", plot_known, KNOWN,
	    true);
	disk(m, "recordings", "disk-recordings", "Disk, real programs", true);
	disk(m, "pattern", "disk-pattern", "Disk, by how changes lie", true);
	disk(m, "chain", "disk-chain", "Disk, over the length of the chain", false);
	bars(m, "rivals", "rivals-time", "Varve and what people would use instead", plot_beside, BESIDE, false);
	rivals_disk(m);
}
