/*
 * varve_perf_table.c - rows and columns of text, which terminal, Markdown and HTML then show in their way.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_report.h"

static void out_of_memory(struct tables *tables)
{
	tables->err = fail(ENOMEM, "out of memory");
}

struct table *tables_add(struct tables *tables, const char *group, const char *title)
{
	struct table *list = realloc(tables->list, (tables->count + 1) * sizeof(*list));
	if (!list) {
		out_of_memory(tables);
		return NULL;
	}
	tables->list = list;
	struct table *table = &list[tables->count++];
	*table = (struct table) {.group = group};
	snprintf(table->title, sizeof(table->title), "%s", title);
	return table;
}

void table_column(struct tables *tables, struct table *table, enum column kind, const char *head)
{
	if (!table)
		return;
	enum column *kinds = realloc(table->kinds, (table->columns + 1) * sizeof(*kinds));
	if (kinds)
		table->kinds = kinds;
	char **heads = realloc(table->heads, (table->columns + 1) * sizeof(*heads));
	if (heads)
		table->heads = heads;
	char *copy = strdup(head);
	if (!kinds || !heads || !copy) {
		free(copy);
		out_of_memory(tables);
		return;
	}
	kinds[table->columns] = kind;
	heads[table->columns++] = copy;
}

void table_cell(struct tables *tables, struct table *table, const char *text)
{
	if (!table)
		return;
	if (table->cells_count == table->capacity) {
		size_t capacity = table->capacity ? 2 * table->capacity : 64;
		char **cells = realloc(table->cells, capacity * sizeof(*cells));
		if (!cells) {
			out_of_memory(tables);
			return;
		}
		table->cells = cells;
		table->capacity = capacity;
	}
	char *copy = strdup(text);
	if (!copy)
		out_of_memory(tables);
	else
		table->cells[table->cells_count++] = copy;
}

void table_cellf(struct tables *tables, struct table *table, const char *format, ...)
{
	va_list args;
	char *text = NULL;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (!text) {
		out_of_memory(tables);
		return;
	}
	table_cell(tables, table, text);
	free(text);
}

size_t table_rows(const struct table *table)
{
	return table->columns ? table->cells_count / table->columns : 0;
}

size_t table_width(const struct table *table, size_t column)
{
	size_t width = text_width(table->heads[column]);
	for (size_t i = column; i < table->cells_count; i += table->columns) {
		size_t w = text_width(table->cells[i]);
		width = w > width ? w : width;
	}
	return width;
}

bool table_below(const struct table *table)
{
	size_t last = table->columns - 1;
	return table->columns > 1 && table->kinds[last] == COLUMN_TEXT && table_width(table, last) > 40;
}

void tables_release(struct tables *tables)
{
	for (size_t i = 0; i < tables->count; i++) {
		struct table *table = &tables->list[i];
		for (size_t j = 0; j < table->columns; j++)
			free(table->heads[j]);
		for (size_t j = 0; j < table->cells_count; j++)
			free(table->cells[j]);
		free(table->heads);
		free(table->kinds);
		free(table->cells);
	}
	free(tables->list);
	*tables = (struct tables) {0};
}
