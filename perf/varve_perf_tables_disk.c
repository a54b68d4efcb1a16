/*
 * varve_perf_tables_disk.c - what the stores of a result took on disk, as tables.
 */
#include <math.h>
#include <string.h>

#include "varve_perf_report.h"

/* The same store, cold: nothing new. */
static bool seen_warm(const struct document *d, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (!strcmp(d->cases[j].name, d->cases[i].name) && !strcmp(d->cases[j].group, d->cases[i].group))
			return true;
	return false;
}

static double disk_sum(const struct doc_case *c)
{
	double sum = 0;
	for (size_t i = 0; i < DISK_PARTS; i++)
		sum += isnan(c->disk[i]) ? 0 : c->disk[i];
	return sum;
}

static void disk_line(struct tables *tables, struct table *t, const struct doc_case *c)
{
	double tiers = c->disk[DISK_TIERS], deltas = c->disk[DISK_DELTAS];
	table_cell(tables, t, c->name);
	table_cell(tables, t, text_bytes(c->image_bytes).s);
	for (size_t i = 0; i < DISK_PARTS; i++)
		table_cell(tables, t, text_bytes(c->disk[i]).s);
	table_cell(tables, t, text_bytes(disk_sum(c)).s);
	table_cell(tables, t, deltas > 0 ? text_ratio(tiers / deltas).s : "");
}

/* Whether disk use is something that the group is about. */
static bool is_question(const char *group)
{
	static const char *const groups[] = {"chain", "pattern", "recordings", "rivals"};
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (!strcmp(group, groups[i]))
			return true;
	return false;
}

static void disk(struct tables *tables, const struct document *d, const char *group)
{
	struct table *t = NULL;
	for (size_t i = 0; i < d->cases_count && strcmp(group, "position") != 0; i++) {
		const struct doc_case *c = &d->cases[i];
		if (strcmp(c->group, group) != 0 || seen_warm(d, i) || disk_sum(c) <= 0)
			continue;
		if (!t) {
			t = tables_add(tables, group, "Disk");
			if (!t)
				return;
			/* Where it is not the question. */
			t->detail = !is_question(group);
			table_column(tables, t, COLUMN_TEXT, "case");
			table_column(tables, t, COLUMN_NUMBER, "one image");
			for (size_t j = 0; j < DISK_PARTS; j++)
				table_column(tables, t, COLUMN_NUMBER, disk_part_names[j]);
			table_column(tables, t, COLUMN_NUMBER, "in all");
			table_column(tables, t, COLUMN_NUMBER, "tiers / deltas");
		}
		disk_line(tables, t, c);
	}
}

static void rivals_disk(struct tables *tables, const struct document *d)
{
	struct table *t = NULL;
	for (size_t i = 0; i < d->cases_count; i++)
		for (size_t j = 0; j < d->cases[i].rows_count && !seen_warm(d, i); j++) {
			const struct doc_case *c = &d->cases[i];
			const char *scheme = c->rows[j].scheme;
			/* These are Varve's own files, with and without what is in .varve/. */
			bool own = !strcmp(scheme, "restore") || !strcmp(scheme, "naive walk");
			if (isnan(c->rows[j].disk_bytes) || strcmp(c->group, "rivals") != 0 || own)
				continue;
			if (!t) {
				t = tables_add(tables, "rivals", "Disk, the others");
				if (!t)
					return;
				table_column(tables, t, COLUMN_TEXT, "case");
				table_column(tables, t, COLUMN_TEXT, "scheme");
				table_column(tables, t, COLUMN_NUMBER, "disk");
				table_column(tables, t, COLUMN_NUMBER, "to Varve's");
			}
			table_cell(tables, t, c->name);
			table_cell(tables, t, strcmp(scheme, "copy") != 0 ? scheme : "every image whole");
			table_cell(tables, t, text_bytes(c->rows[j].disk_bytes).s);
			table_cell(tables, t, disk_sum(c) > 0 ? text_ratio(c->rows[j].disk_bytes / disk_sum(c)).s : "");
		}
}

void tables_disk(struct tables *tables, const struct document *d, const char *group)
{
	disk(tables, d, group);
	if (!strcmp(group, "rivals"))
		rivals_disk(tables, d);
}
