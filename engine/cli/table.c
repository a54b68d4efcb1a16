/*
 * table.c - tables for people, and JSON for programs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void table_begin(struct table *table, const char *align)
{
	*table = (struct table) {.align = align};
}

void table_cell(struct table *table, const char *format, ...)
{
	va_list args;
	char *text;

	if (table->count == table->room) {
		size_t room = table->room ? 2 * table->room : 64;
		char **cells = memory_take(room, sizeof(*cells));

		if (table->count)
			memcpy(cells, table->cells, table->count * sizeof(*cells));
		free(table->cells);
		table->cells = cells;
		table->room = room;
	}
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = memory_take(1, 1);
	va_end(args);
	table->cells[table->count++] = text_clean(text, true);
	free(text);
}

/* Characters, not bytes: a label may be in any script. */
static size_t cell_width(const char *cell)
{
	size_t width = 0;

	for (; *cell; cell++)
		width += (*cell & 0xc0) != 0x80;
	return width;
}

static void cell_print(FILE *to, const char *cell, char align, size_t width, bool last)
{
	int padding = (int)(width - cell_width(cell));

	if (align == 'r')
		fprintf(to, "%*s%s", padding, "", cell);
	else
		fprintf(to, "%s%*s", cell, last ? 0 : padding, "");
	fputs(last ? "\n" : "  ", to);
}

void table_write(FILE *to, struct table *table)
{
	size_t columns = strlen(table->align);
	size_t *widths = memory_take(columns, sizeof(*widths));

	for (size_t i = 0; i < table->count; i++) {
		size_t width = cell_width(table->cells[i]);

		if (width > widths[i % columns])
			widths[i % columns] = width;
	}
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % columns;

		cell_print(to, table->cells[i], table->align[column], widths[column], column + 1 == columns);
		free(table->cells[i]);
	}
	free(table->cells);
	free(widths);
	*table = (struct table) {.align = table->align};
}

void table_print(struct table *table)
{
	table_write(stdout, table);
}

void print_json(json_t *value)
{
	/* Nine digits: nanoseconds, and no 0.10000000000000001. */
	json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	fputc('\n', stdout);
	json_decref(value);
}

json_t *json_id(const struct varve_id *id)
{
	return json_string(text_id(id).s);
}

json_t *json_number(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *json_text(const char *text)
{
	char *clean = text_clean(text, false);
	json_t *value = json_string(clean);

	free(clean);
	return value;
}
