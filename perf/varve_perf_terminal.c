/*
 * varve_perf_terminal.c - a report for the terminal, and the sentence about the machine that all reports have.
 */
#include <string.h>

#include "varve_perf_report.h"

enum { LINE = 110 };

void machine_sentence(const struct document *d, char *text, size_t size)
{
	const struct text cpus = text_count(d->cpus), memory = text_bytes(d->memory_bytes), seed = text_count(d->seed);
	const struct {
		const char *before, *what, *after;
	} parts[] = {
	    {"", d->cpu[0] ? d->cpu : "an unknown processor", ""},
	    {", ", cpus.s, " CPUs"},
	    {", ", memory.s, " of memory"},
	    {", ", d->architecture, ""},
	    {", Linux ", d->kernel, ""},
	    {", ", d->filesystem, ""},
	    {", reading by ", d->io_method, ""},
	    {"; Varve ", d->varve, ""},
	    {", ", d->time, ""},
	    {", seed ", seed.s, ""},
	};
	size_t used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && used < size; i++)
		if (parts[i].what[0])
			used += (size_t)snprintf(
			    text + used, size - used, "%s%s%s", parts[i].before, parts[i].what, parts[i].after);
}

static void spaces(FILE *out, size_t n)
{
	for (; n > 0; n--)
		putc(' ', out);
}

/* Words of @text on lines of LINE columns, each begun by @indent spaces. */
static void wrapped(FILE *out, const char *text, size_t indent)
{
	size_t at = 0;
	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		int length = (int)strcspn(text, " ");
		char word[512];
		snprintf(word, sizeof(word), "%.*s", length, text);
		size_t width = text_width(word);
		if (at && at + 1 + width > LINE) {
			putc('\n', out);
			at = 0;
		}
		spaces(out, at ? 1 : indent);
		fprintf(out, "%.*s", length, text);
		at += (at ? 1 : indent) + width;
		text += length;
	}
	if (at)
		putc('\n', out);
}

static void cell(FILE *out, const struct table *t, size_t column, const char *text, size_t width)
{
	size_t pad = width - text_width(text);
	if (t->kinds[column] == COLUMN_NUMBER)
		spaces(out, pad);
	fputs(text, out);
	if (t->kinds[column] != COLUMN_NUMBER && column + 1 < t->columns)
		spaces(out, pad);
}

void terminal_table(FILE *out, const struct table *t)
{
	size_t widths[64], columns = t->columns;
	if (!columns || columns > sizeof(widths) / sizeof(widths[0]))
		return;
	for (size_t i = 0; i < columns; i++)
		widths[i] = table_width(t, i);
	bool below = table_below(t);
	if (below)
		columns--;
	for (size_t row = 0; row <= table_rows(t); row++) {
		char **cells = row ? &t->cells[(row - 1) * t->columns] : t->heads;
		for (size_t i = 0; i < columns; i++) {
			spaces(out, 2);
			cell(out, t, i, cells[i], widths[i]);
		}
		putc('\n', out);
		if (below && row)
			wrapped(out, cells[columns], 6);
	}
}

static void one_table(FILE *out, const struct table *t)
{
	fprintf(out, "\n%s\n", t->title);
	wrapped(out, t->note, 2);
	terminal_table(out, t);
}

void terminal_report(FILE *out, const struct document *d, const struct tables *tables)
{
	char machine[1024];
	machine_sentence(d, machine, sizeof(machine));
	wrapped(out, machine, 0);
	wrapped(out, d->io_reason, 0);
	for (const struct section *s = sections_list(); s->group; s++) {
		bool head = false;
		for (size_t i = 0; i < tables->count; i++) {
			const struct table *t = &tables->list[i];
			if (t->detail || strcmp(t->group, s->group) != 0)
				continue;
			if (!head)
				fprintf(out, "\n==== %s\n", s->title);
			head = true;
			one_table(out, t);
		}
	}
	/* Last, where the eye is when it has ended. */
	for (size_t i = 0; i < tables->count; i++)
		if (!tables->list[i].group[0])
			one_table(out, &tables->list[i]);
}
