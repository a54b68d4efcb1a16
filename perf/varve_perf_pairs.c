/*
 * varve_perf_pairs.c - two results: the rows that both have, and which of them differ beyond the noise.
 *
 * A row is beyond the noise if
 *
 *   1. such a difference of its samples would be a rare accident (varve_perf_noise.c), and the interval of the ratio keeps
 *      clear of 1;
 *   2. it would be one among the differences that two runs have anyway. Where a file happened to lie, what the caches
 *      hold and how warm the processor is stay the same for a whole run, so that samples of one run know nothing of it
 *      (T. Kalibera and R. Jones, "Rigorous benchmarking in reasonable time", 2013). But there are rows which no change
 *      of Varve's restores makes faster or slower: copies, naive walks, other programs. The spread of their ratios is what
 *      chance does (negative controls), warm and cold apart;
 *   3. both are so although there are many rows (the larger of the two p, by Benjamini and Hochberg, is at most 0.05);
 *   4. the difference is worth a word (5 % unless told otherwise).
 *
 * Every position of a chain is a case with few samples: they are one row here, whose samples are the positions' medians.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_compare.h"

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *list, size_t n)
{
	qsort(list, n, sizeof(*list), compare_doubles);
	return n % 2 ? list[n / 2] : (list[n / 2 - 1] + list[n / 2]) / 2;
}

bool pair_is_control(const struct pair *pair)
{
	static const char *const schemes[] = {
	    "copy", "naive walk", "bspatch", "xdelta3", "zstd --patch-from", "git cat-file"};
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (!strcmp(pair->scheme, schemes[i]))
			return true;
	return false;
}

/* ---- finding them ----------------------------------------------------------------------------------------------- */

static bool same_case(const struct doc_case *a, const struct doc_case *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->state, b->state);
}

static const struct doc_case *find_case(const struct document *d, const struct doc_case *like)
{
	for (size_t i = 0; i < d->cases_count; i++)
		if (same_case(&d->cases[i], like))
			return &d->cases[i];
	return NULL;
}

/* Unlike case_row_find(), 0 workers is a number like any other. */
static const struct doc_row *find_row(const struct doc_case *c, const char *scheme, unsigned workers)
{
	for (size_t i = 0; c && i < c->rows_count; i++)
		if (!strcmp(c->rows[i].scheme, scheme) && c->rows[i].workers == workers)
			return &c->rows[i];
	return NULL;
}

static bool is_position(const struct doc_case *c)
{
	return !strcmp(c->group, "position") && !isnan(c->position);
}

static struct pair *add(struct pairs *pairs, const char *name, const char *state, const struct doc_row *row)
{
	struct pair *list = realloc(pairs->list, (pairs->count + 1) * sizeof(*list));
	if (!list)
		return NULL;
	pairs->list = list;
	struct pair *pair = &list[pairs->count++];
	*pair = (struct pair) {.name = name, .state = state, .scheme = row->scheme, .workers = row->workers};
	return pair;
}

static int take(double **list, size_t *count, const double *from, size_t n)
{
	double *longer = realloc(*list, (*count + n + 1) * sizeof(*longer));
	if (!longer)
		return fail(ENOMEM, "out of memory");
	memcpy(longer + *count, from, n * sizeof(*longer));
	*list = longer;
	*count += n;
	return 0;
}

static int take_series(struct side *side, const struct doc_case *c, const struct doc_row *row)
{
	const struct doc_row *copy = case_row_find(c, "copy", 0);
	int r = take(&side->seconds, &side->count, row->seconds, row->count);
	if (!r && copy)
		r = take(&side->copies, &side->copies_count, copy->seconds, copy->count);
	return r;
}

static int take_position(struct side *side, const struct doc_case *c, const struct doc_row *row)
{
	const struct doc_row *copy = case_row_find(c, "copy", 0);
	int r = take(&side->seconds, &side->count, &row->median, 1);
	if (!r && copy)
		r = take(&side->copies, &side->copies_count, &copy->median, 1);
	return r;
}

/* The row of all positions; made when the first is met. */
static struct pair *positions_pair(struct pairs *pairs, const struct doc_case *c, const struct doc_row *row)
{
	for (size_t i = 0; i < pairs->count; i++) {
		struct pair *p = &pairs->list[i];
		if (p->positions && p->workers == row->workers && !strcmp(p->scheme, row->scheme) &&
		    !strcmp(p->state, c->state))
			return p;
	}
	struct pair *p = add(pairs, "every position", c->state, row);
	if (p)
		p->positions = true;
	return p;
}

static int add_pair(struct pairs *pairs, const struct doc_case *before, const struct doc_row *row_before,
    const struct doc_case *after, const struct doc_row *row_after)
{
	bool position = is_position(before);
	struct pair *p =
	    position ? positions_pair(pairs, before, row_before) : add(pairs, before->name, before->state, row_before);
	if (!p)
		return fail(ENOMEM, "out of memory");
	int r = position ? take_position(&p->before, before, row_before) : take_series(&p->before, before, row_before);
	if (!r)
		r = position ? take_position(&p->after, after, row_after) : take_series(&p->after, after, row_after);
	return r;
}

int pairs_find(struct pairs *pairs, const struct document *before, const struct document *after)
{
	int r = 0;
	*pairs = (struct pairs) {0};
	for (size_t i = 0; i < before->cases_count; i++) {
		const struct doc_case *b = &before->cases[i], *a = find_case(after, b);
		for (size_t j = 0; j < b->rows_count && !r; j++) {
			const struct doc_row *row = find_row(a, b->rows[j].scheme, b->rows[j].workers);
			if (row)
				r = add_pair(pairs, b, &b->rows[j], a, row);
			else
				pairs->only_before++;
		}
	}
	for (size_t i = 0; i < after->cases_count; i++) {
		const struct doc_case *a = &after->cases[i], *b = find_case(before, a);
		for (size_t j = 0; j < a->rows_count; j++)
			pairs->only_after += !find_row(b, a->rows[j].scheme, a->rows[j].workers);
	}
	if (!r && !pairs->count)
		r = fail(ENODATA, "the two results have no case in common");
	if (r)
		pairs_release(pairs);
	return r;
}

void pairs_release(struct pairs *pairs)
{
	for (size_t i = 0; i < pairs->count; i++) {
		free(pairs->list[i].before.seconds);
		free(pairs->list[i].before.copies);
		free(pairs->list[i].after.seconds);
		free(pairs->list[i].after.copies);
	}
	free(pairs->list);
	*pairs = (struct pairs) {0};
}

/* ---- judging ---------------------------------------------------------------------------------------------------- */

enum { FEWEST = 3, CONTROLS = 5 };

static bool has_copies(const struct pair *p)
{
	return p->before.copies_count && p->after.copies_count;
}

static int measure(struct pair *p, bool by_copy)
{
	bool divide = by_copy && has_copies(p) && strcmp(p->scheme, "copy") != 0;
	p->by_copy = divide;
	return noise_compare((struct samples) {p->before.seconds, p->before.count},
	    (struct samples) {p->after.seconds, p->after.count},
	    (struct samples) {p->before.copies, divide ? p->before.copies_count : 0},
	    (struct samples) {p->after.copies, divide ? p->after.copies_count : 0}, &p->difference);
}

/* The probability of such a difference between two runs, by what the controls of its state differ in. */
static double between_runs(const struct pairs *pairs, const struct pair *p)
{
	const struct spread *s = !strcmp(p->state, "cold") ? &pairs->cold : &pairs->warm;
	return s->deviation > 0 ? noise_student(log(p->difference.ratio) / s->deviation, s->freedom) : 0;
}

/* Adjusts the p of those that are judged: controls, or all others. */
static int adjust(struct pairs *pairs, bool controls)
{
	double *p = malloc((pairs->count + 1) * sizeof(*p));
	size_t n = 0;
	if (!p)
		return fail(ENOMEM, "out of memory");
	for (size_t i = 0; i < pairs->count; i++) {
		struct pair *pair = &pairs->list[i];
		pair->few = pair->before.count < FEWEST || pair->after.count < FEWEST;
		if (pair_is_control(pair) == controls && !pair->few)
			p[n++] = controls ? pair->difference.p : fmax(pair->difference.p, between_runs(pairs, pair));
	}
	int r = noise_adjust(p, n);
	n = 0;
	for (size_t i = 0; i < pairs->count && !r; i++) {
		struct pair *pair = &pairs->list[i];
		if (pair_is_control(pair) == controls)
			pair->q = pair->few ? 1 : p[n++];
	}
	free(p);
	return r;
}

static enum verdict verdict_of(const struct pair *p, double least)
{
	const struct difference *d = &p->difference;
	if (p->few)
		return VERDICT_FEW;
	if (p->q > 0.05)
		return VERDICT_SAME;
	if (d->low > 1 && d->ratio >= 1 + least)
		return VERDICT_SLOWER;
	if (d->high < 1 && d->ratio <= 1 / (1 + least))
		return VERDICT_FASTER;
	return VERDICT_SAME;
}

/*
 * Q_n: the lower quartile of the distances between any two, as a standard deviation. Some wild ones do not move it, it
 * needs no centre, and of what a standard deviation makes of normal data it keeps 82 % (P. J. Rousseeuw and C. Croux,
 * "Alternatives to the median absolute deviation", 1993): so many degrees of freedom are told.
 */
static int robust_spread(const double *logs, size_t n, struct spread *spread)
{
	size_t half = n / 2 + 1, count = 0;
	double *distances = malloc(n * (n - 1) / 2 * sizeof(*distances));
	if (!distances)
		return fail(ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			distances[count++] = fabs(logs[i] - logs[j]);
	qsort(distances, count, sizeof(*distances), compare_doubles);
	double few = (double)n / ((double)n + (n % 2 ? 1.4 : 3.8)); /* of few it would be too large */
	*spread = (struct spread) {2.2219 * few * distances[half * (half - 1) / 2 - 1], 0.82 * (double)(n - 1)};
	free(distances);
	return 0;
}

/* What two runs differ in anyway, in one state. Without enough controls it is not known, and nothing is made of it. */
static int spread_of_controls(struct pairs *pairs, const char *state, bool by_copy, struct spread *spread)
{
	double *logs = malloc((pairs->count + 1) * sizeof(*logs));
	size_t n = 0;
	*spread = (struct spread) {0};
	if (!logs)
		return fail(ENOMEM, "out of memory");
	for (size_t i = 0; i < pairs->count; i++) {
		const struct pair *p = &pairs->list[i];
		bool counts = pair_is_control(p) && !p->few && !strcmp(p->state, state);
		if (counts && (!by_copy || p->by_copy))
			logs[n++] = log(p->difference.ratio);
	}
	int r = n >= CONTROLS ? robust_spread(logs, n, spread) : 0;
	free(logs);
	return r;
}

/* How the machines compare: the median ratio of all copies of that state; of all, if it has none; 1 if there are none. */
static int machine_ratio(struct pairs *pairs, const char *state, double *ratio)
{
	double *list = malloc((pairs->count + 1) * sizeof(*list));
	size_t n = 0;
	*ratio = 1;
	if (!list)
		return fail(ENOMEM, "out of memory");
	for (size_t i = 0; i < pairs->count; i++)
		if (!strcmp(pairs->list[i].scheme, "copy") && (!state || !strcmp(pairs->list[i].state, state)))
			list[n++] = pairs->list[i].difference.ratio;
	if (n)
		*ratio = median(list, n);
	free(list);
	return !n && state ? machine_ratio(pairs, NULL, ratio) : 0;
}

int pairs_copies(struct pairs *pairs, double least, double *ratio, bool *differ)
{
	int r = 0;
	*differ = false;
	for (size_t i = 0; i < pairs->count && !r; i++)
		r = measure(&pairs->list[i], false);
	if (!r)
		r = adjust(pairs, true);
	for (size_t i = 0; i < pairs->count && !r; i++) {
		enum verdict v = verdict_of(&pairs->list[i], least);
		bool copy = !strcmp(pairs->list[i].scheme, "copy");
		*differ = *differ || (copy && (v == VERDICT_SLOWER || v == VERDICT_FASTER));
	}
	return r ? r : machine_ratio(pairs, NULL, ratio);
}

/* A row without a copy beside it has the machine's ratio taken out, if by copies is how it is done. */
static int scale(struct pairs *pairs, struct pair *p)
{
	double ratio;
	int r = machine_ratio(pairs, p->state, &ratio);
	if (r || ratio == 1)
		return r;
	for (size_t i = 0; i < p->after.count; i++)
		p->after.seconds[i] /= ratio;
	r = measure(p, false);
	for (size_t i = 0; i < p->after.count; i++)
		p->after.seconds[i] *= ratio;
	p->difference.after *= ratio;
	p->scaled = true;
	return r;
}

int pairs_judge(struct pairs *pairs, bool by_copy, double least)
{
	int r = 0;
	/* pairs_copies() has measured all by time; what has a copy beside it is measured again. */
	for (size_t i = 0; i < pairs->count && !r && by_copy; i++) {
		struct pair *p = &pairs->list[i];
		if (!strcmp(p->scheme, "copy"))
			continue;
		r = has_copies(p) ? measure(p, true) : scale(pairs, p);
	}
	if (!r)
		r = spread_of_controls(pairs, "warm", by_copy, &pairs->warm);
	if (!r)
		r = spread_of_controls(pairs, "cold", by_copy, &pairs->cold);
	if (!r)
		r = adjust(pairs, false);
	if (!r)
		r = adjust(pairs, true);
	for (size_t i = 0; i < pairs->count && !r; i++)
		pairs->list[i].verdict = verdict_of(&pairs->list[i], least);
	return r;
}
