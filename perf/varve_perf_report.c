/*
 * varve_perf_report.c - `varve-perf report`: a result, made readable.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "varve_perf_report.h"

struct options {
	const char *result, *html, *markdown, *plots;
	bool quiet;
};

enum { KEY_HTML = 256 };

static const struct argp_option option_list[] = {
    {"html", KEY_HTML, "FILE", 0, "Write one page with tables and plots; it needs no network and no scripts", 0},
    {"markdown", 'm', "FILE", 0, "Write the same tables as Markdown", 0},
    {"plots", 'p', "DIR", 0, "Write each plot as DIR/<name>.svg, on white; DIR is made if it is not there", 0},
    {"quiet", 'q', NULL, 0, "No table on the terminal", 0},
    {0},
};

static const char help[] =
    "Show a result that varve-perf wrote (--json), as a table, as a page with plots, or both.\v"
    "Plots are made by gnuplot (Debian package gnuplot-nox); without it there are tables only.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.\n\n"
    "Example: varve-perf report result.json --html report.html";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case KEY_HTML:
		o->html = arg;
		break;
	case 'm':
		o->markdown = arg;
		break;
	case 'p':
		o->plots = arg;
		break;
	case 'q':
		o->quiet = true;
		break;
	case ARGP_KEY_ARG:
		if (o->result)
			argp_error(state, "one result at a time; two are compared by 'varve-perf compare'");
		o->result = arg;
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which result? A file that 'varve-perf --json FILE' wrote");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* A file that could not be written whole is not left behind, as it would look like a report. */
static int close_file(FILE *out, const char *path)
{
	int bad = ferror(out), error = EIO;
	if (fclose(out) != 0) {
		bad = 1;
		error = errno;
	}
	if (!bad)
		return 0;
	unlink(path);
	return fail_sys(error, "%s", path);
}

static int write_plots(const struct plots *plots, const char *directory)
{
	char path[4096];
	if (mkdir(directory, 0777) < 0 && errno != EEXIST)
		return fail_sys(errno, "%s", directory);
	for (size_t i = 0; i < plots->count; i++) {
		const struct plot *plot = &plots->list[i];
		if ((size_t)snprintf(path, sizeof(path), "%s/%s.svg", directory, plot->name) >= sizeof(path))
			return fail(ENAMETOOLONG, "%s: its name is too long", directory);
		FILE *out = fopen(path, "we");
		if (!out)
			return fail_sys(errno, "%s", path);
		fputs(plot->svg, out);
		int r = close_file(out, path);
		if (r)
			return r;
	}
	return 0;
}

static int make_html(const struct options *o, const struct document *d, const struct tables *tables)
{
	struct plots plots;
	int r = plots_make(&plots, d, false);
	if (r)
		return r;
	if (plots.missing[0])
		fprintf(stderr, "varve-perf report: %s\n", plots.missing);
	FILE *out = fopen(o->html, "we");
	if (!out) {
		r = fail_sys(errno, "%s", o->html);
	} else {
		html_report(out, d, tables, &plots);
		r = close_file(out, o->html);
	}
	plots_release(&plots);
	return r;
}

static int make_markdown(const struct options *o, const struct document *d, const struct tables *tables)
{
	FILE *out = fopen(o->markdown, "we");
	if (!out)
		return fail_sys(errno, "%s", o->markdown);
	markdown_report(out, d, tables);
	return close_file(out, o->markdown);
}

/* Whoever asks for plots alone has nothing without gnuplot: then it is a failure. */
static int make_plots(const struct options *o, const struct document *d)
{
	struct plots plots;
	int r = plots_make(&plots, d, true);
	if (!r)
		r = plots.missing[0] ? fail(ENOENT, "%s", plots.missing) : write_plots(&plots, o->plots);
	plots_release(&plots);
	return r;
}

static int make(const struct options *o, const struct document *d, const struct tables *tables)
{
	int r = 0;
	if (!o->quiet)
		terminal_report(stdout, d, tables);
	if (o->markdown)
		r = make_markdown(o, d, tables);
	if (!r && o->html)
		r = make_html(o, d, tables);
	if (!r && o->plots)
		r = make_plots(o, d);
	if (!r && o->html) {
		char *path = realpath(o->html, NULL);
		printf("%sAs a page with plots: %s\n", o->quiet ? "" : "\n", path ? path : o->html);
		free(path);
	}
	return r;
}

/* ---- entry ------------------------------------------------------------------------------------------------------ */

static int show(const struct options *o)
{
	struct document document;
	struct tables tables;
	int r = document_read(&document, o->result);
	if (r)
		return r;
	r = tables_make(&tables, &document);
	if (!r) {
		r = make(o, &document, &tables);
		tables_release(&tables);
	}
	document_release(&document);
	if (!r && fflush(stdout) != 0)
		r = fail_sys(errno, "the table could not be written");
	return r;
}

int report_main(int argc, char **argv)
{
	static const struct argp argp = {option_list, parse, "RESULT.json", help, NULL, NULL, NULL};
	struct options options = {0};
	static char name[] = "varve-perf report";
	argp_err_exit_status = 2;
	argv[0] = name;
	if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
		return 2;
	if (show(&options) == 0)
		return 0;
	fflush(stdout);
	fprintf(stderr, "varve-perf report: %s\n", err_text());
	return 1;
}
