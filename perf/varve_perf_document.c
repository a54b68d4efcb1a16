/*
 * varve_perf_document.c - a result that varve-perf wrote, read and checked.
 *
 * It may have been sent by anybody, so nothing is believed: types and ranges are checked, control characters are taken
 * out of text (a terminal would obey them), and the statistics are computed again from the samples. What is missing,
 * or null, is missing; what is there and wrong is an error that says where.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_report.h"

#define FORMAT "varve-perf 2"

const char *const disk_part_names[DISK_PARTS] = {"base", "deltas", "last", "tiers", "undo deltas"};

/* Where in the document we are. */
struct place {
	const char *file;
	char where[64];
};

static int wrong(const struct place *place, const char *key, const char *what)
{
	return fail(
	    EBADMSG, "%s: %s%s%s: %s", place->file, place->where, place->where[0] && key[0] ? "." : "", key, what);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Control characters become spaces: C0, DEL, and C1 (in UTF-8: C2 80 to C2 9F). */
static int clean(json_t *text)
{
	char *s = strdup(json_string_value(text));
	if (!s)
		return fail(ENOMEM, "out of memory");
	bool dirty = false;
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (*p == 0xC2 && p[1] >= 0x80 && p[1] <= 0x9F)
			p[0] = p[1] = ' ', dirty = true;
		else if (*p < 0x20 || *p == 0x7F)
			*p = ' ', dirty = true;
	}
	int r = dirty && json_string_set(text, s) < 0 ? fail(ENOMEM, "out of memory") : 0;
	free(s);
	return r;
}

static int get_text(const struct place *place, const json_t *object, const char *key, const char **text)
{
	json_t *value = json_object_get(object, key);
	*text = "";
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return wrong(place, key, "it must be a text");
	int r = clean(value);
	*text = json_string_value(value);
	return r;
}

static int get_number(const struct place *place, const json_t *object, const char *key, double *number)
{
	const json_t *value = json_object_get(object, key);
	*number = NAN;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_number(value))
		return wrong(place, key, "it must be a number");
	*number = json_number_value(value);
	if (!(*number >= 0 && *number < 1e19))
		return wrong(place, key, "it must be a number from 0 to 1e19");
	return 0;
}

struct text_field {
	const char *key;
	const char **text;
};

struct number_field {
	const char *key;
	double *number;
};

static int get_texts(const struct place *place, const json_t *object, const struct text_field *fields, size_t count)
{
	int r = 0;
	for (size_t i = 0; i < count && !r; i++)
		r = get_text(place, object, fields[i].key, fields[i].text);
	return r;
}

static int get_numbers(const struct place *place, const json_t *object, const struct number_field *fields, size_t count)
{
	int r = 0;
	for (size_t i = 0; i < count && !r; i++)
		r = get_number(place, object, fields[i].key, fields[i].number);
	return r;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* An array of objects: *@count, and memory for as many of @size. Not there: none. */
static int get_list(const struct place *place, const json_t *object, const char *key, size_t size, json_t **array,
    void **list, size_t *count)
{
	*array = json_object_get(object, key);
	*list = NULL;
	*count = 0;
	if (!*array || json_is_null(*array))
		return 0;
	if (!json_is_array(*array))
		return wrong(place, key, "it must be an array");
	for (size_t i = 0; i < json_array_size(*array); i++)
		if (!json_is_object(json_array_get(*array, i)))
			return wrong(place, key, "it must be an array of objects");
	if (json_array_size(*array) == 0)
		return 0;
	*list = calloc(json_array_size(*array), size);
	if (!*list)
		return fail(ENOMEM, "out of memory");
	*count = json_array_size(*array);
	return 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t count, double q)
{
	double at = q * (double)(count - 1);
	size_t i = (size_t)at;
	return i + 1 < count ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

static int row_statistics(struct doc_row *row)
{
	double *sorted = malloc(row->count * sizeof(*sorted));
	if (!sorted)
		return fail(ENOMEM, "out of memory");
	memcpy(sorted, row->seconds, row->count * sizeof(*sorted));
	qsort(sorted, row->count, sizeof(*sorted), compare_doubles);
	row->min = sorted[0];
	row->quarter = quantile(sorted, row->count, 0.25);
	row->median = quantile(sorted, row->count, 0.5);
	row->three_quarters = quantile(sorted, row->count, 0.75);
	row->p95 = quantile(sorted, row->count, 0.95);
	row->max = sorted[row->count - 1];
	free(sorted);
	return 0;
}

static int read_samples(const struct place *place, const json_t *object, struct doc_row *row)
{
	const json_t *array = json_object_get(object, "seconds");
	if (!json_is_array(array) || json_array_size(array) == 0)
		return wrong(place, "seconds", "it must be an array with a number for each sample");
	row->seconds = malloc(json_array_size(array) * sizeof(*row->seconds));
	if (!row->seconds)
		return fail(ENOMEM, "out of memory");
	for (size_t i = 0; i < json_array_size(array); i++) {
		double seconds = json_number_value(json_array_get(array, i));
		/* A time of no time has no ratio; less than a picosecond or more than a hundred years is no time. */
		if (!(seconds >= 1e-12 && seconds < 4e9))
			return wrong(place, "seconds", "each sample must be a time, in seconds");
		row->seconds[row->count++] = seconds;
	}
	return row_statistics(row);
}

static int read_row(const struct place *place, const json_t *object, struct doc_row *row)
{
	double workers;
	const struct number_field numbers[] = {{"workers", &workers}, {"bytes_written", &row->bytes_written},
	    {"bytes_read", &row->bytes_read}, {"pages_dirtied", &row->pages_dirtied}, {"disk_bytes", &row->disk_bytes}};
	row->to_copy = NAN;
	int r = get_text(place, object, "scheme", &row->scheme);
	if (!r && !row->scheme[0])
		r = wrong(place, "scheme", "it is missing");
	if (!r)
		r = get_numbers(place, object, numbers, COUNT(numbers));
	if (!r && workers > 100000)
		r = wrong(place, "workers", "so many do not exist");
	if (!r)
		r = read_samples(place, object, row);
	if (!r)
		row->workers = isnan(workers) ? 0 : (unsigned)workers;
	return r;
}

/* ---- cases ------------------------------------------------------------------------------------------------------ */

const struct doc_row *case_row_find(const struct doc_case *c, const char *scheme, unsigned workers)
{
	for (size_t i = 0; i < c->rows_count; i++)
		if (!strcmp(c->rows[i].scheme, scheme) && (!workers || c->rows[i].workers == workers))
			return &c->rows[i];
	return NULL;
}

static int read_disk(const struct place *at, const json_t *object, struct doc_case *c)
{
	static const char *const keys[DISK_PARTS] = {
	    "base_bytes", "delta_bytes", "last_bytes", "tier_bytes", "undo_bytes"};
	const json_t *disk = json_object_get(object, "disk");
	int r = 0;
	if (disk && !json_is_null(disk) && !json_is_object(disk))
		return wrong(at, "disk", "it must be an object");
	for (size_t i = 0; i < DISK_PARTS && !r; i++)
		r = get_number(at, disk, keys[i], &c->disk[i]);
	return r;
}

static int read_rows(const struct place *at, const json_t *object, struct doc_case *c)
{
	struct place place = {.file = at->file};
	json_t *array;
	size_t count;
	int r = get_list(at, object, "rows", sizeof(*c->rows), &array, (void **)&c->rows, &count);
	for (size_t i = 0; i < count && !r; i++) {
		snprintf(place.where, sizeof(place.where), "%.31s.rows[%zu]", at->where, i);
		c->rows_count++;
		r = read_row(&place, json_array_get(array, i), &c->rows[i]);
	}
	const struct doc_row *copy = case_row_find(c, "copy", 0);
	for (size_t i = 0; i < c->rows_count && !r && copy; i++)
		c->rows[i].to_copy = c->rows[i].median / copy->median;
	return r;
}

/* A group that this version does not know is shown with the other cases. */
static const char *known_group(const char *group)
{
	const struct section *s = sections_list();
	while (s->group && strcmp(s->group, group) != 0)
		s++;
	return s->group ? s->group : "figures";
}

static int read_case(const struct place *at, const json_t *object, struct doc_case *c)
{
	const struct text_field texts[] = {{"name", &c->name}, {"group", &c->group}, {"title", &c->title},
	    {"x_name", &c->x_name}, {"x_unit", &c->x_unit}, {"pattern", &c->pattern}, {"state", &c->state},
	    {"left_out", &c->left_out}};
	const struct number_field numbers[] = {{"x", &c->x}, {"commits", &c->commits}, {"modules", &c->modules},
	    {"image_bytes", &c->image_bytes}, {"position", &c->position}, {"commit_seconds", &c->commit_seconds},
	    {"worker_peak_bytes", &c->worker_peak_bytes}};
	int r = get_texts(at, object, texts, COUNT(texts));
	if (!r && !c->name[0])
		r = wrong(at, "name", "it is missing");
	if (!r && c->state[0] && strcmp(c->state, "warm") != 0 && strcmp(c->state, "cold") != 0)
		r = wrong(at, "state", "it must be \"warm\" or \"cold\"");
	if (!r)
		r = get_numbers(at, object, numbers, COUNT(numbers));
	if (!r)
		r = read_disk(at, object, c);
	if (!r)
		c->group = known_group(c->group);
	return r ? r : read_rows(at, object, c);
}

static int read_figure(const struct place *at, const json_t *object, struct doc_figure *f)
{
	const char *better;
	const struct text_field texts[] = {
	    {"name", &f->name}, {"unit", &f->unit}, {"remark", &f->remark}, {"better", &better}};
	const struct number_field numbers[] = {{"target", &f->target}, {"value", &f->value}};
	int r = get_texts(at, object, texts, COUNT(texts));
	if (!r && strcmp(better, "more") != 0 && strcmp(better, "less") != 0 && better[0])
		r = wrong(at, "better", "it must be \"less\" or \"more\"");
	if (!r)
		r = get_numbers(at, object, numbers, COUNT(numbers));
	f->more = !r && !strcmp(better, "more");
	return r;
}

int figure_reached(const struct doc_figure *f)
{
	if (isnan(f->target) || isnan(f->value))
		return -1;
	return f->more ? f->value >= f->target : f->value <= f->target;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static int read_machine(const struct place *root, struct document *d)
{
	const struct place at = {root->file, "machine"};
	json_t *machine = json_object_get(d->root, "machine");
	const struct text_field texts[] = {{"cpu", &d->cpu}, {"architecture", &d->architecture}, {"kernel", &d->kernel},
	    {"filesystem", &d->filesystem}, {"io_method", &d->io_method}, {"io_reason", &d->io_reason}};
	const struct number_field numbers[] = {{"cpus", &d->cpus}, {"memory_bytes", &d->memory_bytes}};
	if (machine && !json_is_null(machine) && !json_is_object(machine))
		return wrong(root, "machine", "it must be an object");
	int r = get_texts(&at, machine, texts, COUNT(texts));
	return r ? r : get_numbers(&at, machine, numbers, COUNT(numbers));
}

static int read_all(const struct place *root, struct document *d)
{
	struct place at = {.file = root->file};
	const struct text_field texts[] = {{"varve", &d->varve}, {"time", &d->time}};
	json_t *array;
	size_t count;
	int r = get_texts(root, d->root, texts, COUNT(texts));
	if (!r)
		r = get_number(root, d->root, "seed", &d->seed);
	if (!r)
		r = read_machine(root, d);
	if (!r)
		r = get_list(root, d->root, "cases", sizeof(*d->cases), &array, (void **)&d->cases, &count);
	for (size_t i = 0; !r && i < count; i++) {
		snprintf(at.where, sizeof(at.where), "cases[%zu]", i);
		d->cases_count++;
		r = read_case(&at, json_array_get(array, i), &d->cases[i]);
	}
	if (!r)
		r = get_list(root, d->root, "figures", sizeof(*d->figures), &array, (void **)&d->figures, &count);
	for (size_t i = 0; !r && i < count; i++) {
		snprintf(at.where, sizeof(at.where), "figures[%zu]", i);
		d->figures_count++;
		r = read_figure(&at, json_array_get(array, i), &d->figures[i]);
	}
	return r;
}

int document_read(struct document *d, const char *path)
{
	const struct place root = {.file = path};
	json_error_t error;
	*d = (struct document) {0};
	FILE *f = fopen(path, "re");
	if (!f)
		return fail_sys(errno, "%s", path);
	d->root = json_loadf(f, JSON_REJECT_DUPLICATES, &error);
	fclose(f);
	const char *format = json_string_value(json_object_get(d->root, "format"));
	int r = 0;
	if (!d->root)
		r = fail(EBADMSG, "%s: line %d: %s", path, error.line, error.text);
	else if (!format)
		r = fail(EBADMSG, "%s: it is no result of varve-perf: it has no \"format\"", path);
	else if (strcmp(format, FORMAT) != 0)
		r = fail(EBADMSG, "%s: its format is not \"" FORMAT "\"; use the varve-perf that wrote it", path);
	else
		r = read_all(&root, d);
	if (r)
		document_release(d);
	return r;
}

void document_release(struct document *d)
{
	for (size_t i = 0; i < d->cases_count; i++) {
		for (size_t j = 0; j < d->cases[i].rows_count; j++)
			free(d->cases[i].rows[j].seconds);
		free(d->cases[i].rows);
	}
	free(d->cases);
	free(d->figures);
	json_decref(d->root);
	*d = (struct document) {0};
}
