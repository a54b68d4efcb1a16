/*
 * varve_perf_compare.c - `varve-perf compare`: what got slower, what got faster, and what is noise.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_compare.h"

enum by { BY_AUTO, BY_COPY, BY_TIME };

struct options {
	const char *files[2];
	size_t files_count;
	enum by by;
	double least;
	bool json, all;
};

enum { KEY_BY = 256, KEY_LEAST, KEY_JSON, KEY_ALL };

static const struct argp_option option_list[] = {
    {"by", KEY_BY, "copy|time|auto", 0,
        "Compare ratios to the copy of the same case, or times (default auto: by copy if the machines or the copies "
        "differ)",
        0},
    {"least", KEY_LEAST, "PERCENT", 0, "Smaller differences are none (default 5)", 0},
    {"all", KEY_ALL, NULL, 0, "Also list what does not differ", 0},
    {"json", KEY_JSON, NULL, 0, "The same as JSON", 0},
    {0},
};

static const char help[] =
    "Compare two results of varve-perf: what got slower from BEFORE to AFTER, what faster, largest first.\v"
    "A difference counts if it is unlikely to be chance (Mann-Whitney and Welch tests on all samples, five per cent of "
    "false discoveries by Benjamini and Hochberg), if the 95 % interval of the ratio of medians keeps clear of 1, if "
    "it is at least --least, and if it exceeds what the copies, naive walks and other programs of the two runs differ "
    "in, which no change of Varve's restores explains.\n\n"
    "Exit codes: 0 nothing got slower, 1 something did, 2 trouble or wrong usage.\n\n"
    "Example: varve-perf compare before.json after.json";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;
	switch (key) {
	case KEY_BY:
		if (strcmp(arg, "copy") != 0 && strcmp(arg, "time") != 0 && strcmp(arg, "auto") != 0)
			argp_error(state, "--by copy, --by time or --by auto, not '%s'", arg);
		o->by = arg[0] == 'c' ? BY_COPY : arg[0] == 't' ? BY_TIME : BY_AUTO;
		break;
	case KEY_LEAST:
		o->least = strtod(arg, &end) / 100;
		if (end == arg || *end || !(o->least >= 0 && o->least <= 10))
			argp_error(state, "'%s' is not a number from 0 to 1000", arg);
		break;
	case KEY_ALL:
		o->all = true;
		break;
	case KEY_JSON:
		o->json = true;
		break;
	case ARGP_KEY_ARG:
		if (o->files_count == 2)
			argp_error(state, "two results are compared, not more");
		o->files[o->files_count++] = arg;
		break;
	case ARGP_KEY_END:
		if (o->files_count < 2)
			argp_error(state, "which results? Two files that 'varve-perf --json FILE' wrote");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- two results ------------------------------------------------------------------------------------------------ */

struct comparison {
	const struct options *options;
	struct document before, after;
	struct pairs pairs;
	double copies; /* after to before */
	bool by_copy;
	const char *why; /* by copy */
};

static bool same_machine(const struct document *a, const struct document *b)
{
	return !strcmp(a->cpu, b->cpu) && !strcmp(a->architecture, b->architecture) && !strcmp(a->kernel, b->kernel) &&
	       !strcmp(a->filesystem, b->filesystem) && !strcmp(a->io_method, b->io_method) &&
	       (a->cpus == b->cpus || (isnan(a->cpus) && isnan(b->cpus)));
}

static int judge(struct comparison *c)
{
	bool differ;
	int r = pairs_copies(&c->pairs, c->options->least, &c->copies, &differ);
	if (r)
		return r;
	bool other = !same_machine(&c->before, &c->after);
	c->by_copy = c->options->by == BY_COPY || (c->options->by == BY_AUTO && (other || differ));
	c->why = c->options->by == BY_COPY ? "as asked for" : other ? "as the machines differ" : "as the copies differ";
	return pairs_judge(&c->pairs, c->by_copy, c->options->least);
}

static size_t count_of(const struct comparison *c, enum verdict verdict, bool control)
{
	size_t n = 0;
	for (size_t i = 0; i < c->pairs.count; i++)
		n += c->pairs.list[i].verdict == verdict && pair_is_control(&c->pairs.list[i]) == control;
	return n;
}

/* Those that matter first, and of these the largest difference. What is about the machine comes last. */
static int compare_pairs(const void *a, const void *b)
{
	static const int order[] = {[VERDICT_SLOWER] = 0, [VERDICT_FASTER] = 1, [VERDICT_SAME] = 2, [VERDICT_FEW] = 3};
	const struct pair *p = a, *q = b;
	int controls = (int)pair_is_control(p) - (int)pair_is_control(q);
	if (controls)
		return controls;
	if (order[p->verdict] != order[q->verdict])
		return order[p->verdict] - order[q->verdict];
	double x = fabs(log(p->difference.ratio)), y = fabs(log(q->difference.ratio));
	return (x < y) - (x > y);
}

/* ---- on the terminal -------------------------------------------------------------------------------------------- */

static void columns(struct tables *tables, struct table *t)
{
	static const char *const texts[] = {"case", "state", "scheme"};
	static const char *const numbers[] = {"workers", "before", "after", "ratio", "95 % interval", "q"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		table_column(tables, t, COLUMN_TEXT, texts[i]);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		table_column(tables, t, COLUMN_NUMBER, numbers[i]);
}

static void line(struct tables *tables, struct table *t, const struct pair *p)
{
	const struct difference *d = &p->difference;
	table_cell(tables, t, p->name);
	table_cell(tables, t, p->state);
	table_cell(tables, t, p->scheme);
	if (p->workers)
		table_cellf(tables, t, "%u", p->workers);
	else
		table_cell(tables, t, "");
	if (p->by_copy) {
		table_cellf(tables, t, "%s x copy", text_ratio(d->before / d->copy_before).s);
		table_cellf(tables, t, "%s x copy", text_ratio(d->after / d->copy_after).s);
	} else {
		table_cell(tables, t, text_duration(d->before).s);
		table_cell(tables, t, text_duration(d->after).s);
	}
	table_cellf(tables, t, "%s%.3f", p->scaled ? "~" : "", d->ratio);
	table_cellf(tables, t, "%.3f to %.3f", d->low, d->high);
	table_cellf(tables, t, p->few ? "-" : "%.2g", p->q);
}

/* Controls have a table of their own: they are about the machine. */
static int print_those(const struct comparison *c, const char *title, enum verdict verdict, bool controls)
{
	struct tables tables = {0};
	size_t n = count_of(c, verdict, controls);
	if (!n)
		return 0;
	struct table *t = tables_add(&tables, "", "");
	columns(&tables, t);
	for (size_t i = 0; i < c->pairs.count; i++) {
		const struct pair *p = &c->pairs.list[i];
		if (p->verdict == verdict && pair_is_control(p) == controls)
			line(&tables, t, p);
	}
	int err = tables.err;
	if (!err) {
		printf("\n%s: %zu\n", title, n);
		terminal_table(stdout, t);
	}
	tables_release(&tables);
	return err;
}

static void print_head(const struct comparison *c)
{
	char machine[1024];
	const struct document *documents[] = {&c->before, &c->after};
	for (size_t i = 0; i < 2; i++) {
		machine_sentence(documents[i], machine, sizeof(machine));
		printf("%s %s: %s\n", i ? "after " : "before", c->options->files[i], machine);
	}
	if (c->by_copy)
		printf("\nRatios to the copy of the same case are compared, %s; copies took %.3f times as long as "
		       "before.\n",
		    c->why, c->copies);
	else
		printf("\nTimes are compared; copies took %.3f times as long as before.\n", c->copies);
	printf("A difference counts from %.1f %% on. What no change of restores explains differs",
	    100 * c->options->least);
	if (c->pairs.warm.deviation > 0 || c->pairs.cold.deviation > 0)
		printf(
		    " by %.1f %% (warm) and %.1f %% (cold), as a standard deviation; only what exceeds that is told.\n",
		    100 * expm1(c->pairs.warm.deviation), 100 * expm1(c->pairs.cold.deviation));
	else
		puts(" by an unknown amount: there are too few copies, walks and other programs to say.");
}

static int print_text(const struct comparison *c)
{
	print_head(c);
	int r = print_those(c, "Slower", VERDICT_SLOWER, false);
	if (!r)
		r = print_those(c, "Faster", VERDICT_FASTER, false);
	if (!r && c->options->all)
		r = print_those(c, "No difference beyond the noise", VERDICT_SAME, false);
	if (!r && c->options->all)
		r = print_those(c, "Too few samples to say", VERDICT_FEW, false);
	if (!r)
		r = print_those(c, "The machine, or other programs: slower", VERDICT_SLOWER, true);
	if (!r)
		r = print_those(c, "The machine, or other programs: faster", VERDICT_FASTER, true);
	for (size_t i = 0; i < c->pairs.count && !r; i++)
		if (c->pairs.list[i].scaled) {
			puts("\n~: it has no copy beside it; the median ratio of all copies is taken out.");
			break;
		}
	if (!r)
		printf(
		    "\n%zu slower, %zu faster, %zu without a difference beyond the noise, %zu with too few samples to "
		    "say; %zu rows only before, %zu only after.\n",
		    count_of(c, VERDICT_SLOWER, false), count_of(c, VERDICT_FASTER, false),
		    count_of(c, VERDICT_SAME, false), count_of(c, VERDICT_FEW, false), c->pairs.only_before,
		    c->pairs.only_after);
	return r;
}

/* ---- as JSON ---------------------------------------------------------------------------------------------------- */

static json_t *pair_json(const struct pair *p)
{
	static const char *const verdicts[] = {[VERDICT_SAME] = "same",
	    [VERDICT_SLOWER] = "slower",
	    [VERDICT_FASTER] = "faster",
	    [VERDICT_FEW] = "too few samples"};
	const struct difference *d = &p->difference;
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "case",
	    p->name, "state", p->state, "scheme", p->scheme, "verdict", verdicts[p->verdict], "control",
	    pair_is_control(p), "by_copy", p->by_copy || p->scaled, "before", d->before, "after", d->after, "ratio",
	    d->ratio, "low", d->low, "high", d->high, "p", d->p, "q", p->q, "samples_before",
	    (json_int_t)p->before.count, "samples_after", (json_int_t)p->after.count);
	if (json)
		json_object_set_new(json, "workers", p->workers ? json_integer(p->workers) : json_null());
	return json;
}

static int print_json(const struct comparison *c)
{
	json_t *rows = json_array();
	for (size_t i = 0; i < c->pairs.count; i++)
		json_array_append_new(rows, pair_json(&c->pairs.list[i]));
	json_t *root = json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:o}", "before",
	    c->options->files[0], "after", c->options->files[1], "by", c->by_copy ? "copy" : "time", "copies",
	    c->copies, "least", c->options->least, "spread_warm", c->pairs.warm.deviation, "spread_cold",
	    c->pairs.cold.deviation, "slower", (json_int_t)count_of(c, VERDICT_SLOWER, false), "faster",
	    (json_int_t)count_of(c, VERDICT_FASTER, false), "only_before", (json_int_t)c->pairs.only_before,
	    "only_after", (json_int_t)c->pairs.only_after, "rows", rows);
	if (!root || json_array_size(rows) != c->pairs.count) {
		json_decref(root);
		return fail(ENOMEM, "the JSON could not be made; file names must be UTF-8");
	}
	int r = json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	json_decref(root);
	putchar('\n');
	return r < 0 ? fail(EIO, "the JSON could not be written") : 0;
}

/* ---- entry ------------------------------------------------------------------------------------------------------ */

static int compare_documents(struct comparison *c)
{
	int r = pairs_find(&c->pairs, &c->before, &c->after);
	if (r)
		return r;
	r = judge(c);
	if (!r) {
		qsort(c->pairs.list, c->pairs.count, sizeof(*c->pairs.list), compare_pairs);
		r = c->options->json ? print_json(c) : print_text(c);
	}
	if (!r)
		r = count_of(c, VERDICT_SLOWER, false) > 0;
	pairs_release(&c->pairs);
	return r;
}

/* 1: something got slower. */
static int compare_files(const struct options *options)
{
	struct comparison c = {.options = options};
	int r = document_read(&c.before, options->files[0]);
	if (r)
		return r;
	r = document_read(&c.after, options->files[1]);
	if (!r) {
		r = compare_documents(&c);
		document_release(&c.after);
	}
	document_release(&c.before);
	if (r >= 0 && fflush(stdout) != 0)
		r = fail_sys(errno, "the comparison could not be written");
	return r;
}

int compare_main(int argc, char **argv)
{
	static const struct argp argp = {option_list, parse, "BEFORE.json AFTER.json", help, NULL, NULL, NULL};
	struct options options = {.least = 0.05};
	static char name[] = "varve-perf compare";
	argp_err_exit_status = 2;
	argv[0] = name;
	if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
		return 2;
	int r = compare_files(&options);
	if (r >= 0)
		return r;
	fflush(stdout);
	fprintf(stderr, "varve-perf compare: %s\n", err_text());
	return 2;
}
