/*
 * varve_perf_noise.c - is one series of times another than the other, or is it noise?
 *
 * Times have a hard floor and a long tail, so means mislead, and no distribution can be assumed. Each pair of series is
 * tested in two ways, as neither serves for all of them:
 *
 *   ranks     H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is stochastically larger
 *             than the other", 1947: does not mind outliers, but can not find anything in few samples (five against
 *             five give no p below 0.008). Exact where there are few samples and no ties.
 *   logs      B. L. Welch, "The generalization of Student's problem when several different population variances are
 *             involved", 1947, on the logarithms: finds a clear difference in few samples, but an outlier spoils it.
 *
 * The smaller p counts, doubled (Bonferroni). The interval of the ratio of medians is a percentile bootstrap (B. Efron
 * and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13), with a fixed seed, so that the same files
 * give the same words. Whoever makes many such tests finds differences where there are none: noise_adjust() is Y.
 * Benjamini and Y. Hochberg, "Controlling the false discovery rate", 1995.
 *
 * What no test on the samples of two runs can know is how much two runs of the same program differ from each other:
 * varve_perf_pairs.c.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "varve_perf_report.h"

enum { RESAMPLES = 2000, EXACT = 400 };

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* A sorted copy; NULL without memory. */
static double *sorted(struct samples s)
{
	double *list = malloc((s.count + 1) * sizeof(*list));
	if (!list)
		return NULL;
	if (s.count)
		memcpy(list, s.list, s.count * sizeof(*list));
	qsort(list, s.count, sizeof(*list), compare_doubles);
	return list;
}

static double middle(const double *sorted_list, size_t n)
{
	if (!n)
		return 1;
	return n % 2 ? sorted_list[n / 2] : (sorted_list[n / 2 - 1] + sorted_list[n / 2]) / 2;
}

/* ---- ranks ------------------------------------------------------------------------------------------------------ */

/*
 * Two-sided p of U by counting: ways[i * (nm + 1) + u] is in how many ways i of the first j values of the merged order
 * can be of the one series so that they come after u of the other. Doubles count far enough.
 */
static int exact_p(size_t n, size_t m, double u, double *p)
{
	size_t width = n * m + 1;
	double *ways = calloc((n + 1) * width, sizeof(*ways)), all = 0, tail = 0;
	if (!ways)
		return fail(ENOMEM, "out of memory");
	ways[0] = 1;
	for (size_t j = 1; j <= n + m; j++)
		for (size_t i = j < n ? j : n; i > 0; i--) {
			size_t before = j - i; /* of the other series */
			for (size_t v = before <= m ? before : width; v < width; v++)
				ways[i * width + v] += ways[(i - 1) * width + v - before];
		}
	double far = u < (double)(n * m) - u ? u : (double)(n * m) - u;
	for (size_t v = 0; v < width; v++) {
		all += ways[n * width + v];
		tail += (double)v <= far ? ways[n * width + v] : 0;
	}
	free(ways);
	*p = fmin(1, 2 * tail / all);
	return 0;
}

/* @a, @b sorted. U: how often a value of @b is above one of @a, ties half; @ties: sum of t^3 - t. */
static double count_above(const double *a, size_t n, const double *b, size_t m, double *ties)
{
	double u = 0;
	*ties = 0;
	for (size_t i = 0, j = 0; i < n || j < m;) {
		double at = j >= m || (i < n && a[i] <= b[j]) ? a[i] : b[j];
		size_t same_a = 0, same_b = 0;
		while (i + same_a < n && a[i + same_a] == at)
			same_a++;
		while (j + same_b < m && b[j + same_b] == at)
			same_b++;
		u += (double)same_b * ((double)i + (double)same_a / 2);
		double t = (double)(same_a + same_b);
		*ties += t * t * t - t;
		i += same_a;
		j += same_b;
	}
	return u;
}

static int rank_p(const double *a, size_t n, const double *b, size_t m, double *p)
{
	double ties, u = count_above(a, n, b, m, &ties), nm = (double)n * (double)m, all = (double)(n + m);
	if (ties == 0 && n * m <= EXACT)
		return exact_p(n, m, u, p);
	double variance = nm / 12 * (all + 1 - ties / (all * (all - 1)));
	double away = fmax(0, fabs(u - nm / 2) - 0.5);
	*p = variance > 0 ? erfc(away / sqrt(2 * variance)) : 1;
	return 0;
}

/* ---- logarithms ------------------------------------------------------------------------------------------------- */

/* The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz' method. */
static double beta_fraction(double a, double b, double x)
{
	double c = 1, d = 1 - (a + b) * x / (a + 1);
	d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
	double h = d;
	for (int m = 1; m <= 500; m++) {
		double terms[] = {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
		    -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))};
		double step = 1;
		for (int i = 0; i < 2; i++) {
			d = 1 + terms[i] * d;
			c = 1 + terms[i] / c;
			d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
			c = fabs(c) < 1e-300 ? 1e-300 : c;
			step = d * c;
			h *= step;
		}
		if (fabs(step - 1) < 1e-14)
			break;
	}
	return h;
}

/* Two-sided p of Student's t: the regularised incomplete beta function of df / (df + t^2), df / 2, 1 / 2. */
double noise_student(double t, double df)
{
	double a = df / 2, b = 0.5, x = df / (df + t * t);
	if (!(x > 0))
		return 0;
	if (x >= 1)
		return 1;
	double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	if (x < (a + 1) / (a + b + 2))
		return fmin(1, front * beta_fraction(a, b, x) / a);
	return fmax(0, 1 - front * beta_fraction(b, a, 1 - x) / b);
}

struct welch {
	double difference, variance, divisor;
};

/* One more series, counted for or against; of the copies as well, whose noise is a part of what is compared. */
static void welch_add(struct welch *w, struct samples s, double sign)
{
	double mean = 0, squares = 0, n = (double)s.count;
	if (!s.count)
		return;
	for (size_t i = 0; i < s.count; i++)
		mean += log(s.list[i]) / n;
	for (size_t i = 0; i < s.count; i++)
		squares += (log(s.list[i]) - mean) * (log(s.list[i]) - mean);
	w->difference += sign * mean;
	if (s.count < 2)
		return;
	double variance = squares / (n - 1) / n;
	w->variance += variance;
	w->divisor += variance * variance / (n - 1);
}

static double welch_p(const struct welch *w)
{
	if (!(w->divisor > 0)) /* no noise at all */
		return fabs(w->difference) > 1e-12 ? 0 : 1;
	return noise_student(w->difference / sqrt(w->variance), w->variance * w->variance / w->divisor);
}

/* ---- bootstrap -------------------------------------------------------------------------------------------------- */

/* splitmix64: a seed means the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* The median of as many values, drawn with putting back: counted by rank, so that nothing has to be sorted. */
static double drawn_median(const double *sorted_list, size_t n, uint32_t *counts, uint64_t *random)
{
	if (!n)
		return 1;
	memset(counts, 0, n * sizeof(*counts));
	for (size_t i = 0; i < n; i++)
		counts[(size_t)(((next_random(random) >> 32) * (uint64_t)n) >> 32)]++;
	size_t seen = 0, at = 0;
	while (seen + counts[at] <= (n - 1) / 2)
		seen += counts[at++];
	double low = sorted_list[at];
	while (seen + counts[at] <= n / 2)
		seen += counts[at++];
	return (low + sorted_list[at]) / 2;
}

enum { BEFORE, AFTER, COPY_BEFORE, COPY_AFTER, SERIES };

static int bootstrap(double *const lists[SERIES], const size_t n[SERIES], struct difference *d)
{
	size_t most = 1;
	for (size_t i = 0; i < SERIES; i++)
		most = n[i] > most ? n[i] : most;
	uint32_t *counts = malloc(most * sizeof(*counts));
	double *ratios = malloc(RESAMPLES * sizeof(*ratios));
	uint64_t random = 1;
	if (!counts || !ratios) {
		free(counts);
		free(ratios);
		return fail(ENOMEM, "out of memory");
	}
	for (size_t k = 0; k < RESAMPLES; k++) {
		double m[SERIES];
		for (size_t i = 0; i < SERIES; i++)
			m[i] = drawn_median(lists[i], n[i], counts, &random);
		ratios[k] = m[AFTER] / m[COPY_AFTER] / (m[BEFORE] / m[COPY_BEFORE]);
	}
	qsort(ratios, RESAMPLES, sizeof(*ratios), compare_doubles);
	d->low = ratios[RESAMPLES * 25 / 1000];
	d->high = ratios[RESAMPLES * 975 / 1000 - 1];
	free(counts);
	free(ratios);
	return 0;
}

/* ---- together --------------------------------------------------------------------------------------------------- */

static int judge(double *const lists[SERIES], const size_t n[SERIES], struct difference *d)
{
	struct welch w = {0};
	double by_rank = 1;
	static const double signs[SERIES] = {-1, 1, 1, -1};
	d->before = middle(lists[BEFORE], n[BEFORE]);
	d->after = middle(lists[AFTER], n[AFTER]);
	d->copy_before = middle(lists[COPY_BEFORE], n[COPY_BEFORE]);
	d->copy_after = middle(lists[COPY_AFTER], n[COPY_AFTER]);
	d->ratio = d->after / d->copy_after / (d->before / d->copy_before);
	for (size_t i = 0; i < SERIES; i++)
		welch_add(&w, (struct samples) {lists[i], n[i]}, signs[i]);
	int r = bootstrap(lists, n, d);
	for (size_t i = 0; i < n[BEFORE]; i++)
		lists[BEFORE][i] /= d->copy_before;
	for (size_t i = 0; i < n[AFTER]; i++)
		lists[AFTER][i] /= d->copy_after;
	if (!r)
		r = rank_p(lists[BEFORE], n[BEFORE], lists[AFTER], n[AFTER], &by_rank);
	if (!r)
		d->p = fmin(1, 2 * fmin(by_rank, welch_p(&w)));
	return r;
}

int noise_compare(struct samples before, struct samples after, struct samples copy_before, struct samples copy_after,
    struct difference *d)
{
	const struct samples all[SERIES] = {before, after, copy_before, copy_after};
	double *lists[SERIES];
	size_t n[SERIES];
	int r = 0;
	for (size_t i = 0; i < SERIES; i++) {
		lists[i] = sorted(all[i]);
		n[i] = all[i].count;
		if (!lists[i])
			r = fail(ENOMEM, "out of memory");
	}
	if (!r)
		r = judge(lists, n, d);
	for (size_t i = 0; i < SERIES; i++)
		free(lists[i]);
	return r;
}

struct ranked {
	double p;
	size_t at;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	return (x->p > y->p) - (x->p < y->p);
}

int noise_adjust(double *p, size_t count)
{
	struct ranked *list = malloc((count + 1) * sizeof(*list));
	double least = 1;
	if (!list)
		return fail(ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		list[i] = (struct ranked) {p[i], i};
	qsort(list, count, sizeof(*list), compare_ranked);
	for (size_t i = count; i-- > 0;) {
		least = fmin(least, list[i].p * (double)count / (double)(i + 1));
		p[list[i].at] = least;
	}
	free(list);
	return 0;
}
