/*
 * varve_perf_markdown.c - a report as Markdown, for a README or a pull request.
 */
#include <string.h>

#include "varve_perf_report.h"

static void row(FILE *out, const struct table *t, char *const *cells)
{
	putc('|', out);
	for (size_t i = 0; i < t->columns; i++) {
		putc(' ', out);
		if (t->kinds[i] == COLUMN_VERDICT && !strcmp(cells[i], "NOT REACHED"))
			fputs("**not reached**", out);
		else
			text_markdown(out, cells[i]);
		fputs(" |", out);
	}
	putc('\n', out);
}

static void one_table(FILE *out, const struct table *t)
{
	if (t->detail)
		fprintf(out, "\n<details><summary>%s</summary>\n", t->title);
	else
		fprintf(out, "\n%s %s\n", t->group[0] ? "###" : "##", t->title);
	if (t->note[0]) {
		putc('\n', out);
		text_markdown(out, t->note);
		putc('\n', out);
	}
	putc('\n', out);
	row(out, t, t->heads);
	putc('|', out);
	for (size_t i = 0; i < t->columns; i++)
		fputs(t->kinds[i] == COLUMN_NUMBER ? " ---: |" : " --- |", out);
	putc('\n', out);
	for (size_t i = 0; i < table_rows(t); i++)
		row(out, t, &t->cells[i * t->columns]);
	if (t->detail)
		fputs("\n</details>\n", out);
}

static void tables_of(FILE *out, const struct section *s, const struct tables *tables)
{
	bool head = false;
	for (size_t i = 0; i < tables->count; i++) {
		const struct table *t = &tables->list[i];
		if (strcmp(t->group, s->group) != 0)
			continue;
		if (!head)
			fprintf(out, "\n## %s\n\n%s\n", s->title, s->text);
		head = true;
		one_table(out, t);
	}
}

void markdown_report(FILE *out, const struct document *d, const struct tables *tables)
{
	char machine[1024];
	machine_sentence(d, machine, sizeof(machine));
	fputs("# What a restore costs\n\n", out);
	text_markdown(out, machine);
	fputs(".\n", out);
	if (d->io_reason[0]) {
		putc('\n', out);
		text_markdown(out, d->io_reason);
		putc('\n', out);
	}
	fputs("\n*Copy*: each final image is read from its cached file and written over the existing file, in one "
	      "process, "
	      "one thread.\n*Naive walk*: the chain is walked from its base, the whole image built anew at every "
	      "commit.\n"
	      "All contestants of a case take turns, so that whatever else the machine does meets all of them alike:\n"
	      "ratios mean more than times.\n",
	    out);
	for (size_t i = 0; i < tables->count; i++)
		if (!tables->list[i].group[0])
			one_table(out, &tables->list[i]);
	for (const struct section *s = sections_list(); s->group; s++)
		tables_of(out, s, tables);
}
