/*
 * varve_perf_report.h - the parts of `varve-perf report` and `varve-perf compare`.
 *
 *   document   a result that varve-perf wrote (JSON), read, checked, in memory
 *   text       quantities in units that people read; what has to be escaped where
 *   table      rows and columns of text; tables: which of them a result gives
 *   plot       curves or bars, drawn by gnuplot; plots: which of them a result gives
 *   terminal, markdown, html    a report, as they show it
 *   noise      the statistics of comparing two series; compare: two results, row by row
 *
 * They know nothing of how things were measured: a report can be made again from any result, on another machine, years
 * later. A result may have come from anybody: what it says is checked when it is read, and escaped where it is shown.
 *
 * Errors are negative errno, and a sentence by io/err.h.
 */
#ifndef VARVE_PERF_REPORT_H
#define VARVE_PERF_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* ---- varve_perf_document.c -------------------------------------------------------------------------------------- */

/* Numbers that are not there are NAN, text that is not there is "". */

/** What one scheme took in one case. */
struct doc_row {
	const char *scheme;
	unsigned workers; /**< 0: the scheme has none */
	double *seconds; /**< the samples in the order in which they were taken; each from 1e-12 to 4e9 */
	size_t count; /**< at least 1 */
	double median, p95, min, max, quarter, three_quarters;
	double to_copy; /**< median to the median of the copy of the same case */
	double bytes_written, bytes_read, pages_dirtied, disk_bytes;
};

enum { DISK_BASE, DISK_DELTAS, DISK_LAST, DISK_TIERS, DISK_UNDO, DISK_PARTS };
extern const char *const disk_part_names[DISK_PARTS];

struct doc_case {
	const char *name, *group, *title, *x_name, *x_unit, *pattern, *state, *left_out;
	double x, commits, modules, image_bytes, position, commit_seconds, worker_peak_bytes;
	double disk[DISK_PARTS];
	struct doc_row *rows;
	size_t rows_count;
};

struct doc_figure {
	const char *name, *unit, *remark;
	double target, value;
	bool more; /**< more is better */
};

struct document {
	json_t *root; /**< holds the text */
	const char *varve, *time;
	const char *cpu, *architecture, *kernel, *filesystem, *io_method, *io_reason;
	double cpus, memory_bytes, seed;
	struct doc_case *cases;
	size_t cases_count;
	struct doc_figure *figures;
	size_t figures_count;
};

/** document_read() - read @path. -ENOENT and the like; -EBADMSG: it is damaged, or no result; the sentence says where.
 * Statistics are computed from the samples where these are there. */
int document_read(struct document *document, const char *path);
void document_release(struct document *document);

/** case_row_find() - NULL: it has none like that. @workers 0: whatever they are. */
const struct doc_row *case_row_find(const struct doc_case *c, const char *scheme, unsigned workers);

/** figure_reached() - 1, 0, or -1: there is no value, or no target. */
int figure_reached(const struct doc_figure *figure);

/* ---- varve_perf_text.c ------------------------------------------------------------------------------------------ */

/** A short text that is returned whole: `duration(x).s` lives until the end of the statement. */
struct text {
	char s[48];
};

/* Three significant digits and the unit that fits; "" for NAN. */
struct text text_duration(double seconds);
struct text text_bytes(double bytes);
struct text text_ratio(double ratio);
struct text text_count(double count); /**< 12,345 */

/** text_width() - columns that UTF-8 text takes in a terminal, for text without wide or combining characters. */
size_t text_width(const char *text);

void text_html(FILE *out, const char *text);
void text_markdown(FILE *out, const char *text);

/** text_plain() - only letters, digits, spaces and harmless punctuation of @text stay; all else becomes '.': for
 * gnuplot, in whose strings backquotes are commands. */
void text_plain(FILE *out, const char *text);

/* ---- varve_perf_table.c ----------------------------------------------------------------------------------------- */

enum column { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_VERDICT };

struct table {
	const char *group; /**< as in a case; "figures", "" */
	char title[200];
	char note[400];
	bool detail; /**< for those who want to know exactly: not shown in the terminal, folded elsewhere */
	enum column *kinds;
	char **heads;
	size_t columns;
	char **cells; /**< row after row */
	size_t cells_count, capacity;
};

struct tables {
	struct table *list;
	size_t count;
	int err; /**< -ENOMEM: something of it could not be kept */
};

/** tables_add() - a new table at the end, or NULL; pointers to others are void then. The functions below accept NULL,
 * and remember in @tables what failed, so that only the end has to be looked at. */
struct table *tables_add(struct tables *tables, const char *group, const char *title);
void table_column(struct tables *tables, struct table *table, enum column kind, const char *head);
void table_cell(struct tables *tables, struct table *table, const char *text);
void table_cellf(struct tables *tables, struct table *table, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t table_rows(const struct table *table);

/** table_width() - of the widest text in a column. */
size_t table_width(const struct table *table, size_t column);

/** table_below() - whether its last column is text so long that it is better shown below each row. */
bool table_below(const struct table *table);
void tables_release(struct tables *tables);

/* ---- varve_perf_tables.c ---------------------------------------------------------------------------------------- */

/** A part of a report: a question that a group of cases answers. */
struct section {
	const char *group, *title, *text;
};

/** sections_list() - the groups known, in the order of a report; ends with one whose group is NULL. */
const struct section *sections_list(void);

/** tables_make() - all tables of a report. */
int tables_make(struct tables *tables, const struct document *document);

/* ---- varve_perf_tables_disk.c ----------------------------------------------------------------------------------- */

/** tables_disk() - what the stores of a group took. */
void tables_disk(struct tables *tables, const struct document *document, const char *group);

/* ---- varve_perf_plot.c ------------------------------------------------------------------------------------------ */

enum { PLOT_WIDTH = 760, PLOT_HEIGHT = 440 };

struct point {
	double x, y, low, high;
};

struct curve {
	char label[64];
	int look; /**< colour and shape; the same scheme looks the same everywhere */
	bool line; /**< nothing measured, but where something would be */
	struct point *points;
	size_t count;
};

/** What an axis counts. */
enum axis { AXIS_COUNT, AXIS_BYTES, AXIS_SECONDS, AXIS_RATE, AXIS_TIMES };

struct plot {
	char name[32]; /**< of the file: name.svg */
	const char *group;
	char title[160];
	char note[300];
	char x_label[80], y_label[80];
	enum axis x_axis, y_axis;
	bool log_x, log_y;
	enum { PLOT_CURVES, PLOT_DOTS, PLOT_BARS, PLOT_STACKS } kind;
	char (*labels)[64]; /**< of bars: point x is an index into them */
	size_t labels_count;
	struct curve *curves;
	size_t curves_count;
	char *svg;
};

struct plots {
	struct plot *list;
	size_t count;
	char missing[200]; /**< why there are none; "" */
};

/** plot_curve() - one more curve, or NULL without memory; curve_add() a point of it. */
struct curve *plot_curve(struct plot *plot, const char *label, int look);
int curve_add(struct curve *curve, double x, double y, double low, double high);
void plot_release(struct plot *plot);

/** plot_script() - what gnuplot has to be told. With a white background, or none, for light and dark pages. */
int plot_script(FILE *out, const struct plot *plot, bool background);

struct range {
	double least, most;
};

/** plot_range() - of all its points, whiskers included. */
struct range plot_range(const struct plot *plot, bool of_x);

/* ---- varve_perf_axis.c ------------------------------------------------------------------------------------------ */

/** axis_logarithmic() - axis @which ('x', 'y') from one round number to another, around the range. */
void axis_logarithmic(FILE *out, char which, enum axis axis, struct range range);

/** axis_even() - from 0 to what is above @most. */
void axis_even(FILE *out, char which, enum axis axis, double most);

/** axis_measured() - the x axis, marked at the values measured. The plot must have points. */
int axis_measured(FILE *out, const struct plot *plot);

/* ---- varve_perf_gnuplot.c --------------------------------------------------------------------------------------- */

/** plot_draw() - let gnuplot draw it: plot->svg. -ENOENT: gnuplot is not installed. */
int plot_draw(struct plot *plot, bool background);

/* ---- varve_perf_plots.c ----------------------------------------------------------------------------------------- */

/** plots_make() - all plots that the document has data for, drawn. Without gnuplot there are none, and plots->missing
 * says why; that is no error. */
int plots_make(struct plots *plots, const struct document *document, bool background);
void plots_release(struct plots *plots);

/* ---- how it is shown -------------------------------------------------------------------------------------------- */

void terminal_table(FILE *out, const struct table *table);
void terminal_report(FILE *out, const struct document *document, const struct tables *tables);
void markdown_report(FILE *out, const struct document *document, const struct tables *tables);
void html_report(FILE *out, const struct document *document, const struct tables *tables, const struct plots *plots);

/** machine_sentence() - what it was measured on. */
void machine_sentence(const struct document *document, char *text, size_t size);

/* ---- varve_perf_report.c ---------------------------------------------------------------------------------------- */

/** report_main() - `varve-perf report RESULT.json [OPTION...]`; argv[0] is "report". Returns the exit code. */
int report_main(int argc, char **argv);

/* ---- varve_perf_noise.c ----------------------------------------------------------------------------------------- */

/** Samples, above 0. */
struct samples {
	const double *list;
	size_t count;
};

/** What two series of the same thing say. */
struct difference {
	double before, after, copy_before, copy_after; /**< medians; 1 for copies that are not there */
	double ratio; /**< medians, after to before */
	double low, high; /**< 95 % interval of it */
	double p; /**< probability of such a difference, or a greater one, if there was none */
};

/** noise_compare() - is @after another time than @before? The copies, if there are any (count 0 otherwise), are what
 * each of them is divided by; the noise of the copies counts as well. -ENOMEM. */
int noise_compare(struct samples before, struct samples after, struct samples copy_before, struct samples copy_after,
    struct difference *difference);

/** noise_student() - two-sided p of Student's t with @df degrees of freedom. */
double noise_student(double t, double df);

/** noise_adjust() - Benjamini and Hochberg: from p values to q values, in place. -ENOMEM. */
int noise_adjust(double *p, size_t count);

/* ---- varve_perf_compare.c --------------------------------------------------------------------------------------- */

/** compare_main() - `varve-perf compare BEFORE.json AFTER.json [OPTION...]`; argv[0] is "compare". Returns the exit
 * code. */
int compare_main(int argc, char **argv);

#endif
