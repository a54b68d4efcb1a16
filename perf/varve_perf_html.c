/*
 * varve_perf_html.c - a report as one page: no network, no scripts, light and dark, wide and narrow.
 *
 * All text that comes from a result goes through text_html(). Pictures are put into the page as they come from gnuplot,
 * whose text is harmless already (varve_perf_plot.c).
 */
#include <string.h>

#include "varve_perf_report.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d2126;--soft:#59616b;--paper:#fff;--line:#d8dce1;--shade:#f4f6f8;"
    "--good:#13743f;--bad:#b03a00}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e7ea;--soft:#a0a8b1;--paper:#16181c;--line:#3a3f46;"
    "--shade:#1f2227;--good:#5fd394;--bad:#ff9a5c}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--paper);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.7rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2.5rem 0 .3rem;padding-top:1rem;"
    "border-top:1px solid var(--line)}h3{font-size:1rem;margin:1.5rem 0 .2rem}\n"
    "p,figcaption,li{max-width:46rem}.soft,figcaption{color:var(--soft);font-size:.9rem}\n"
    "nav a{margin-right:1rem;white-space:nowrap}a{color:inherit}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;margin:.4rem 0}\n"
    "th,td{padding:.25rem .7rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}\n"
    "th{color:var(--soft);font-weight:600;white-space:nowrap}td.n,th.n{text-align:right;white-space:nowrap}\n"
    "tbody tr:hover{background:var(--shade)}td.long{min-width:18rem}"
    "tr.open td{border-bottom:0}td.below{color:var(--soft);padding-top:0;font-size:.8rem}\n"
    ".good{color:var(--good);white-space:nowrap}.bad{color:var(--bad);font-weight:600;white-space:nowrap}\n"
    "figure{margin:1rem 0}figure svg{display:block;width:100%;min-width:34rem;max-width:50rem;height:auto}\n"
    /* What gnuplot draws in black is ink here; its text has a colour of its own. */
    "figure svg g[color=black],figure svg g[stroke=none]{color:var(--ink)}figure svg text{fill:var(--ink)}"
    "figure svg [stroke=black]{stroke:var(--ink)}\n"
    "details{margin:.8rem 0}summary{cursor:pointer;color:var(--soft)}\n"
    "@media print{details{display:none}}\n";

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static void element(FILE *out, const char *name, const char *class, const char *text)
{
	fprintf(out, class ? "<%s class=\"%s\">" : "<%s>", name, class);
	text_html(out, text);
	fprintf(out, "</%s>", name);
}

static const char *cell_class(enum column kind, const char *text)
{
	if (kind == COLUMN_VERDICT)
		return !strcmp(text, "reached") ? "good" : !strcmp(text, "NOT REACHED") ? "bad" : "soft";
	if (kind == COLUMN_NUMBER)
		return "n";
	return text_width(text) > 60 ? "long" : NULL;
}

static void row(FILE *out, const struct table *t, char *const *cells, size_t columns)
{
	bool below = columns < t->columns && cells[columns][0];
	fputs(below ? "<tr class=\"open\">" : "<tr>", out);
	for (size_t i = 0; i < columns; i++)
		element(out, "td", cell_class(t->kinds[i], cells[i]), cells[i]);
	fputs("</tr>\n", out);
	if (!below)
		return;
	fprintf(out, "<tr><td colspan=\"%zu\" class=\"below\">", columns);
	text_html(out, cells[columns]);
	fputs("</td></tr>\n", out);
}

static void one_table(FILE *out, const struct table *t)
{
	fputs(t->detail ? "<details><summary>" : t->group[0] ? "<h3>" : "<h2>", out);
	text_html(out, t->title);
	fputs(t->detail ? "</summary>\n" : t->group[0] ? "</h3>\n" : "</h2>\n", out);
	if (t->note[0])
		element(out, "p", "soft", t->note);
	size_t columns = t->columns - table_below(t);
	fputs("<div class=\"wide\"><table><thead><tr>", out);
	for (size_t i = 0; i < columns; i++)
		element(out, "th", t->kinds[i] == COLUMN_NUMBER ? "n" : NULL, t->heads[i]);
	fputs("</tr></thead>\n<tbody>\n", out);
	for (size_t i = 0; i < table_rows(t); i++)
		row(out, t, &t->cells[i * t->columns], columns);
	fputs("</tbody></table></div>\n", out);
	if (t->detail)
		fputs("</details>\n", out);
}

/* ---- plots ------------------------------------------------------------------------------------------------------ */

/* Pictures use the same names for the shapes that they define; in one page a name may be there once. */
static void names_apart(FILE *out, const char *svg, size_t number)
{
	static const char *const before[] = {" id='", " id=\"", "href='#", "href=\"#", "url(#"};
	while (*svg) {
		for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
			size_t length = strlen(before[i]);
			if (strncmp(svg, before[i], length) != 0)
				continue;
			fprintf(out, "%sp%zu_", before[i], number);
			svg += length;
			break;
		}
		putc(*svg++, out);
	}
}

static void one_plot(FILE *out, const struct plot *plot, size_t number)
{
	const char *svg = strstr(plot->svg, "<svg");
	const char *inside = svg ? strstr(svg, "</desc>") : NULL;
	if (!inside)
		return;
	fprintf(out, "<figure><h3>%s</h3>\n<div class=\"wide\">", plot->title);
	/* Its own head names a standard by an address, and gnuplot in a title that would be shown as a hint. */
	fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", PLOT_WIDTH, PLOT_HEIGHT);
	text_html(out, plot->title);
	fputs("\">", out);
	names_apart(out, inside + strlen("</desc>"), number);
	fputs("</div>\n", out);
	element(out, "figcaption", NULL, plot->note);
	fputs("</figure>\n", out);
}

/* ---- the page --------------------------------------------------------------------------------------------------- */

static bool has_group(const char *group, const struct tables *tables)
{
	for (size_t i = 0; i < tables->count; i++)
		if (!strcmp(tables->list[i].group, group))
			return true;
	return false;
}

static void head(FILE *out, const struct document *d, const struct tables *tables, const struct plots *plots)
{
	char machine[1024];
	machine_sentence(d, machine, sizeof(machine));
	fprintf(out,
	    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
	    "<title>Varve: what a restore costs</title>\n<style>\n%s</style></head>\n<body>\n"
	    "<h1>Varve: what a restore costs</h1>\n",
	    style);
	element(out, "p", NULL, machine);
	if (d->io_reason[0])
		element(out, "p", NULL, d->io_reason);
	if (plots->missing[0])
		element(out, "p", "bad", plots->missing);
	fputs("\n<nav>", out);
	for (const struct section *s = sections_list(); s->group; s++)
		if (has_group(s->group, tables)) {
			fprintf(out, "<a href=\"#%s\">", s->group);
			text_html(out, s->title);
			fputs("</a> ", out);
		}
	fputs(
	    "</nav>\n"
	    "<h2>How to read this</h2>\n<ul>\n"
	    "<li><b>Copy</b>: each final image is read from its cached file and written over the existing file, in one "
	    "process, one thread. No history is involved.</li>\n"
	    "<li><b>Naive walk</b>: the chain is walked from its base; at every commit the whole image is built "
	    "anew.</li>\n"
	    "<li>All contestants of a case take turns, so that whatever else the machine does meets all of them alike. "
	    "Ratios within a case mean more than times.</li>\n"
	    "<li>Every image is compared with what it must be, byte for byte, outside the timed part. One wrong byte "
	    "ends the run without a result.</li>\n"
	    "<li>Every sample is in the result file; <code>varve-perf compare</code> says what two of them differ "
	    "in.</li>\n</ul>\n",
	    out);
}

void html_report(FILE *out, const struct document *d, const struct tables *tables, const struct plots *plots)
{
	head(out, d, tables, plots);
	for (size_t i = 0; i < tables->count; i++)
		if (!tables->list[i].group[0])
			one_table(out, &tables->list[i]);
	for (const struct section *s = sections_list(); s->group; s++) {
		if (!has_group(s->group, tables))
			continue;
		fprintf(out, "<h2 id=\"%s\">%s</h2>\n<p>%s</p>\n", s->group, s->title, s->text);
		for (size_t i = 0; i < plots->count; i++)
			if (!strcmp(plots->list[i].group, s->group))
				one_plot(out, &plots->list[i], i);
		for (size_t i = 0; i < tables->count; i++)
			if (!strcmp(tables->list[i].group, s->group))
				one_table(out, &tables->list[i]);
	}
	fputs("</body></html>\n", out);
}
