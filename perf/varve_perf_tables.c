/*
 * varve_perf_tables.c - which tables a result gives.
 *
 * For each group of cases: what it took, a line for each case, a column for each contestant, the ratio to the copy of
 * the same case in brackets; the same for files of which more is known; and, as a detail, every row with its spread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_report.h"

static const struct section sections[] = {
    {"chain", "How long may the chain be?",
        "One module, restored from one random commit to another, nothing known of its backing file. The copy does not "
        "know of commits; what rises above it is what history costs."},
    {"image", "How large may an image be?",
        "One module of one size from the first commit to the last. The copy moves every byte of the image; a restore "
        "looks at every byte, and writes only what differs."},
    {"modules", "How many modules?", "All of them change in every commit; all of them are restored, or none."},
    {"workers", "What do more workers bring?", "The same restores, by more worker processes."},
    {"position", "Is a place in the chain dear to get to?",
        "A restore to every commit of the history, from the same commit each time."},
    {"pattern", "Does it matter where changes lie?", "Eight modules; changes lie in three ways."},
    {"recordings", "Real programs", "Memories of real wasm modules, as recorded, restored to the last commit but one."},
    {"rivals", "What would people use instead?",
        "One module of a recording, restored from what other programs keep. They are started as a user would start "
        "them, a process for each patch."},
    {"figures", "Other cases", "What no other group has, but the targets ask for."},
    {NULL, NULL, NULL},
};

const struct section *sections_list(void)
{
	return sections;
}

/* ---- columns of contestants ------------------------------------------------------------------------------------- */

/* In the order of a table. What is not named here comes last. */
static const char *const main_schemes[] = {"copy", "restore", "naive walk", NULL};
static const char *const known_schemes[] = {
    "copy", "restore same size", "restore nearly right", "back by one", "forward by one", "back by eight", NULL};

enum { MOST_COLUMNS = 24 };

struct contestant {
	const char *scheme;
	unsigned workers; /* 0: any */
};

struct contestants {
	struct contestant list[MOST_COLUMNS];
	size_t count;
};

static size_t rank(const char *const *schemes, const char *scheme)
{
	size_t i = 0;
	while (schemes[i] && strcmp(schemes[i], scheme) != 0)
		i++;
	return i;
}

static bool of_group(const struct doc_case *c, const char *group)
{
	return !strcmp(c->group, group);
}

/* Keeps the list in order, each once. More than there are columns for are to be found in the details only. */
static void contestants_add(struct contestants *set, const char *const *schemes, const struct doc_row *row)
{
	unsigned workers = strcmp(row->scheme, "restore") != 0 ? 0 : row->workers;
	size_t at = 0, mine = rank(schemes, row->scheme);
	for (; at < set->count; at++) {
		const struct contestant *other = &set->list[at];
		size_t theirs = rank(schemes, other->scheme);
		if (!strcmp(other->scheme, row->scheme) && other->workers == workers)
			return;
		if (theirs > mine || (theirs == mine && schemes[mine] && other->workers > workers))
			break;
	}
	if (set->count == MOST_COLUMNS)
		return;
	memmove(&set->list[at + 1], &set->list[at], (set->count - at) * sizeof(set->list[0]));
	set->list[at] = (struct contestant) {row->scheme, workers};
	set->count++;
}

/* @known: only those of known_schemes; else all others, and the copy. */
static void contestants_of(struct contestants *set, const struct document *d, const char *group, bool known)
{
	*set = (struct contestants) {0};
	for (size_t i = 0; i < d->cases_count; i++)
		for (size_t j = 0; j < d->cases[i].rows_count && of_group(&d->cases[i], group); j++) {
			const struct doc_row *row = &d->cases[i].rows[j];
			bool is_known = known_schemes[rank(known_schemes, row->scheme)] != NULL;
			if (!strcmp(row->scheme, "copy") || is_known == known)
				contestants_add(set, known ? known_schemes : main_schemes, row);
		}
}

static void head_of(const struct contestant *c, char *head, size_t size)
{
	if (!strcmp(c->scheme, "restore") && c->workers)
		snprintf(head, size, "%u worker%s", c->workers, c->workers == 1 ? "" : "s");
	else if (!strncmp(c->scheme, "restore ", 8))
		snprintf(head, size, "%s", c->scheme + 8);
	else
		snprintf(head, size, "%s", c->scheme);
}

static void case_cells(struct tables *tables, struct table *t, const struct doc_case *c)
{
	table_cell(tables, t, c->name);
	table_cell(tables, t, c->state);
}

static void case_columns(struct tables *tables, struct table *t)
{
	table_column(tables, t, COLUMN_TEXT, "case");
	table_column(tables, t, COLUMN_TEXT, "state");
}

static void pivot(struct tables *tables, const struct document *d, const char *group, bool known)
{
	struct contestants set;
	char head[64];
	contestants_of(&set, d, group, known);
	if (set.count < (known ? 2 : 1))
		return;
	struct table *t = tables_add(tables, group, known ? "Where more is known of the backing files" : "Time");
	if (!t)
		return;
	snprintf(t->note, sizeof(t->note),
	    known
	        ? "Medians; in brackets the ratio to the copy. Same size: between commits whose images are as long. "
	          "Nearly right: one page in twenty was written since. Back, forward: Varve knows what the files hold."
	        : "Medians; in brackets the ratio to the copy of the same case. N workers: a restore by so many.");
	case_columns(tables, t);
	for (size_t i = 0; i < set.count; i++) {
		head_of(&set.list[i], head, sizeof(head));
		table_column(tables, t, COLUMN_NUMBER, head);
	}
	for (size_t i = 0; i < d->cases_count; i++) {
		const struct doc_case *c = &d->cases[i];
		bool any = false;
		for (size_t j = 0; j < set.count && of_group(c, group); j++)
			any = any || (strcmp(set.list[j].scheme, "copy") != 0 &&
			                 case_row_find(c, set.list[j].scheme, set.list[j].workers));
		if (!any)
			continue;
		case_cells(tables, t, c);
		for (size_t j = 0; j < set.count; j++) {
			const struct doc_row *row = case_row_find(c, set.list[j].scheme, set.list[j].workers);
			if (!row)
				table_cell(tables, t, "");
			else if (isnan(row->to_copy) || !strcmp(row->scheme, "copy"))
				table_cell(tables, t, text_duration(row->median).s);
			else
				table_cellf(
				    tables, t, "%s (%s)", text_duration(row->median).s, text_ratio(row->to_copy).s);
		}
	}
}

/* ---- every position --------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void position_line(
    struct tables *tables, struct table *t, const struct document *d, const struct contestant *who)
{
	const struct doc_case *least = NULL, *most = NULL;
	double low = INFINITY, high = 0;
	double *medians = calloc(d->cases_count, sizeof(*medians));
	size_t n = 0;
	if (!medians) {
		tables->err = fail(ENOMEM, "out of memory");
		return;
	}
	for (size_t i = 0; i < d->cases_count; i++) {
		const struct doc_case *c = &d->cases[i];
		const struct doc_row *row =
		    of_group(c, "position") ? case_row_find(c, who->scheme, who->workers) : NULL;
		if (!row)
			continue;
		if (row->median < low)
			low = row->median, least = c;
		if (row->median > high)
			high = row->median, most = c;
		medians[n++] = row->median;
	}
	if (n) {
		qsort(medians, n, sizeof(*medians), compare_doubles);
		double middle = n % 2 ? medians[n / 2] : (medians[n / 2 - 1] + medians[n / 2]) / 2;
		char head[64];
		head_of(who, head, sizeof(head));
		table_cell(tables, t, head);
		table_cellf(tables, t, "%zu", n);
		table_cell(tables, t, text_duration(middle).s);
		table_cellf(tables, t, "%s (%s)", text_duration(low).s, least->name);
		table_cellf(tables, t, "%s (%s)", text_duration(high).s, most->name);
		table_cell(tables, t, text_ratio(high / middle).s);
	}
	free(medians);
}

static void positions(struct tables *tables, const struct document *d)
{
	static const char *const heads[] = {"positions", "median", "smallest", "largest", "largest / median"};
	struct contestants set;
	contestants_of(&set, d, "position", false);
	if (!set.count)
		return;
	struct table *t = tables_add(tables, "position", "Time");
	if (!t)
		return;
	snprintf(t->note, sizeof(t->note), "Of the medians of each position.");
	table_column(tables, t, COLUMN_TEXT, "scheme");
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		table_column(tables, t, COLUMN_NUMBER, heads[i]);
	for (size_t i = 0; i < set.count; i++)
		position_line(tables, t, d, &set.list[i]);
}

/* ---- details ---------------------------------------------------------------------------------------------------- */

static void detail_line(struct tables *tables, struct table *t, const struct doc_case *c, const struct doc_row *row)
{
	case_cells(tables, t, c);
	table_cell(tables, t, row->scheme);
	if (row->workers)
		table_cellf(tables, t, "%u", row->workers);
	else
		table_cell(tables, t, "");
	table_cellf(tables, t, "%zu", row->count);
	table_cell(tables, t, text_duration(row->median).s);
	table_cellf(tables, t, "%s to %s", text_duration(row->quarter).s, text_duration(row->three_quarters).s);
	table_cell(tables, t, text_duration(row->p95).s);
	table_cellf(tables, t, "%s to %s", text_duration(row->min).s, text_duration(row->max).s);
	table_cell(tables, t, text_ratio(row->to_copy).s);
	table_cell(tables, t, text_bytes(row->bytes_read).s);
	table_cell(tables, t, text_bytes(row->bytes_written).s);
	table_cell(tables, t, text_count(row->pages_dirtied).s);
}

static void details(struct tables *tables, const struct document *d, const char *group)
{
	static const char *const heads[] = {
	    "workers", "samples", "median", "quartiles", "p95", "range", "x copy", "read", "written", "pages dirtied"};
	struct table *t = NULL;
	for (size_t i = 0; i < d->cases_count; i++) {
		const struct doc_case *c = &d->cases[i];
		if (!of_group(c, group) || !c->rows_count)
			continue;
		if (!t) {
			t = tables_add(tables, group, "Every row");
			if (!t)
				return;
			t->detail = true;
			case_columns(tables, t);
			table_column(tables, t, COLUMN_TEXT, "scheme");
			for (size_t j = 0; j < sizeof(heads) / sizeof(heads[0]); j++)
				table_column(tables, t, COLUMN_NUMBER, heads[j]);
		}
		for (size_t j = 0; j < c->rows_count; j++)
			detail_line(tables, t, c, &c->rows[j]);
	}
}

static void questions(struct tables *tables, const struct document *d, const char *group)
{
	static const char *const heads[] = {"commits", "modules", "images", "one commit took"};
	struct table *t = NULL;
	for (size_t i = 0; i < d->cases_count && strcmp(group, "position") != 0; i++) {
		const struct doc_case *c = &d->cases[i];
		if (!of_group(c, group))
			continue;
		if (!t) {
			t = tables_add(tables, group, "Every case");
			if (!t)
				return;
			t->detail = true;
			case_columns(tables, t);
			table_column(tables, t, COLUMN_TEXT, "question");
			table_column(tables, t, COLUMN_TEXT, "changes");
			for (size_t j = 0; j < sizeof(heads) / sizeof(heads[0]); j++)
				table_column(tables, t, COLUMN_NUMBER, heads[j]);
			table_column(tables, t, COLUMN_TEXT, "left out");
		}
		case_cells(tables, t, c);
		table_cell(tables, t, c->title);
		table_cell(tables, t, c->pattern);
		table_cell(tables, t, text_count(c->commits).s);
		table_cell(tables, t, text_count(c->modules).s);
		table_cell(tables, t, text_bytes(c->image_bytes).s);
		table_cell(tables, t, text_duration(c->commit_seconds).s);
		table_cell(tables, t, c->left_out);
	}
}

/* ---- targets ---------------------------------------------------------------------------------------------------- */

static void figures(struct tables *tables, const struct document *d)
{
	size_t reached = 0;
	if (!d->figures_count)
		return;
	struct table *t = tables_add(tables, "", "Targets");
	if (!t)
		return;
	table_column(tables, t, COLUMN_VERDICT, "");
	table_column(tables, t, COLUMN_TEXT, "what");
	table_column(tables, t, COLUMN_NUMBER, "target");
	table_column(tables, t, COLUMN_NUMBER, "value");
	table_column(tables, t, COLUMN_TEXT, "remark");
	for (size_t i = 0; i < d->figures_count; i++) {
		static const char *const verdicts[] = {"not measured", "NOT REACHED", "reached"};
		const struct doc_figure *f = &d->figures[i];
		int verdict = figure_reached(f);
		reached += verdict == 1;
		table_cell(tables, t, verdicts[verdict + 1]);
		table_cell(tables, t, f->name);
		table_cellf(tables, t, "%s %s", f->more ? "≥" : "≤", text_ratio(f->target).s);
		table_cellf(
		    tables, t, "%s%s%s", text_ratio(f->value).s, isnan(f->value) || !f->unit[0] ? "" : " ", f->unit);
		table_cell(tables, t, f->remark);
	}
	snprintf(t->note, sizeof(t->note), "%zu of %zu reached.", reached, d->figures_count);
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

static void group_tables(struct tables *tables, const struct document *d, const char *group)
{
	if (!strcmp(group, "position")) {
		positions(tables, d);
	} else {
		pivot(tables, d, group, false);
		pivot(tables, d, group, true);
	}
	tables_disk(tables, d, group);
	questions(tables, d, group);
	details(tables, d, group);
}

int tables_make(struct tables *tables, const struct document *d)
{
	*tables = (struct tables) {0};
	figures(tables, d);
	for (const struct section *s = sections; s->group; s++)
		group_tables(tables, d, s->group);
	int err = tables->err;
	if (err)
		tables_release(tables);
	return err;
}
