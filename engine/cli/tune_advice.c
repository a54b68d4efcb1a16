/*
 * tune_advice.c - which number of workers to use, which reading method, and why.
 *
 * Two trials are compared round by round, since both restored the same commits then and met the same machine: what counts
 * is the median of the ratios of their times. The smallest number of workers that is no more than TUNE_TOLERANCE slower
 * than the fastest one is the one to use: further workers cost memory, and CPUs that the VM may want. Another method counts
 * as faster only if it is by more than chance can explain: if 1 lies outside the interval that has the true median of the
 * ratios in it with a probability of about 95 % (by the binomial distribution, whatever the times' own is).
 *
 * Nothing but the default is advised unless the quartiles of the two, which is what is shown, lie apart: whoever sets
 * something shall see that it was worth it, also with commits and a machine that are not those of the very same round. On
 * one that is busy with other work, hardly anything is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune.h"

#define NOISY 0.5 /* quartiles that lie further apart say little */

const char *io_name(enum varve_io io)
{
	return io == VARVE_IO_URING ? "io_uring" : "pread";
}

const char *io_option(enum varve_io io)
{
	return io == VARVE_IO_URING ? "uring" : "pread";
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of sorted values; between two of them where none is at that share. */
static double quantile(const double *sorted, size_t count, double share)
{
	double at = share * (double)(count - 1);
	size_t index = (size_t)at;

	if (index + 1 >= count)
		return sorted[count - 1];
	return sorted[index] + (at - (double)index) * (sorted[index + 1] - sorted[index]);
}

void trial_sum_up(struct trial *trial, size_t rounds)
{
	double *sorted = memory_take(rounds, sizeof(*sorted));

	memcpy(sorted, trial->seconds, rounds * sizeof(*sorted));
	qsort(sorted, rounds, sizeof(*sorted), by_value);
	trial->low = quantile(sorted, rounds, 0.25);
	trial->median = quantile(sorted, rounds, 0.5);
	trial->high = quantile(sorted, rounds, 0.75);
	free(sorted);
}

/* How many times as long as @b the trial @a takes; *@least: what it is in all probability more than. */
static double slower(const struct tune *tune, const struct trial *a, const struct trial *b, double *least)
{
	double *ratios = memory_take(tune->rounds, sizeof(*ratios)), median;
	size_t n = tune->rounds, rank = 0;

	for (size_t i = 0; i < tune->rounds; i++)
		ratios[i] = a->seconds[i] / b->seconds[i];
	qsort(ratios, tune->rounds, sizeof(*ratios), by_value);
	median = quantile(ratios, tune->rounds, 0.5);
	/* The interval begins at rank n/2 - sqrt(n). */
	while (n - 2 * (rank + 1) < n && (n - 2 * (rank + 1)) * (n - 2 * (rank + 1)) >= 4 * n)
		rank++;
	if (least)
		*least = n < TUNE_ROUNDS_MIN ? 0 : ratios[rank];
	free(ratios);
	return median;
}

/* Whether @a is slower than @b, and not by chance. */
static bool surely_slower(const struct tune *tune, const struct trial *a, const struct trial *b)
{
	double least;

	return slower(tune, a, b, &least) > 1 + TUNE_TOLERANCE && least > 1;
}

/* Whether three quarters of the rounds of @a took longer than three quarters of those of @b. */
static bool apart(const struct trial *a, const struct trial *b)
{
	return a->low > b->high;
}

static const struct trial *fastest(const struct tune *tune, enum varve_io io)
{
	const struct trial *found = NULL;

	for (size_t i = 0; i < tune->trials_count; i++) {
		const struct trial *trial = &tune->trials[i];

		if (trial->io == io && (!found || trial->median < found->median))
			found = trial;
	}
	return found;
}

/* Trials are in order of their number of workers. */
static const struct trial *fewest(const struct tune *tune, const struct trial *best)
{
	for (size_t i = 0; i < tune->trials_count; i++) {
		const struct trial *trial = &tune->trials[i];

		if (trial->io == best->io && slower(tune, trial, best, NULL) <= 1 + TUNE_TOLERANCE)
			return trial;
	}
	return best;
}

/* What runs where nothing is set: io_uring if it works. */
static const struct trial *by_default(const struct tune *tune)
{
	enum varve_io io = tune->trials[0].io;

	for (size_t i = 0; i < tune->trials_count; i++) {
		if (tune->trials[i].io == io && tune->trials[i].workers == tune->usual)
			return &tune->trials[i];
	}
	return NULL;
}

/* ---- why -------------------------------------------------------------------------------------------------------- */

static bool handed_over(const struct tune *tune)
{
	for (size_t i = 0; i < tune->trials_count; i++) {
		if (tune->trials[i].handed)
			return true;
	}
	return false;
}

static unsigned most_tried(const struct tune *tune)
{
	return tune->trials[tune->trials_count - 1].workers;
}

static int why_workers(const struct advice *advice, const struct tune *tune, char *text, size_t size)
{
	const struct trial *use = advice->use, *best = advice->best;
	const struct trial *one = &tune->trials[use->io == tune->trials[0].io ? 0 : tune->trials_count / 2];
	double saved = 100 * (1 - 1 / slower(tune, use, best, NULL));
	unsigned most = most_tried(tune);

	if (!handed_over(tune))
		return snprintf(text, size, "The restores are so small that the coordinator did all by itself.");
	if (advice->unproven && tune->rounds < TUNE_ROUNDS_MIN)
		return snprintf(text, size, "So few rounds tell nothing from chance.");
	if (advice->unproven)
		return snprintf(
		    text, size, "Others differ from it by no more than the noise: their quartiles overlap.");
	if (most == 1)
		return snprintf(text, size, "No other number of workers was tried.");
	if (use->workers < best->workers && saved >= 1)
		return snprintf(text, size,
		    "More are not worth it: the fastest, %u, save %.0f %% of the time, and each worker takes memory.",
		    best->workers, saved);
	if (use->workers == 1)
		return snprintf(text, size, "More workers were not faster.");
	return snprintf(text, size, "One alone takes %.1f times as long%s.", slower(tune, one, use, NULL),
	    use->workers < most ? ", and more were not faster"
	                        : ", and no more were tried: see whether --max finds better");
}

static void why_io(
    const struct tune *tune, const struct trial *uring, const struct trial *pread, char *text, size_t size)
{
	double ratio;

	if (!uring || !pread) {
		if (*tune->io_reason)
			snprintf(text, size, " io_uring can not be used: %s.", tune->io_reason);
		return;
	}
	ratio = slower(tune, pread, uring, NULL);
	if (surely_slower(tune, pread, uring) || surely_slower(tune, uring, pread))
		snprintf(text, size, " Reading by %s takes %.0f %% longer.", ratio > 1 ? "pread" : "io_uring",
		    100 * ((ratio > 1 ? ratio : 1 / ratio) - 1));
	else
		snprintf(text, size, " The reading method makes no clear difference.");
}

void advice_find(struct advice *advice, const struct tune *tune)
{
	const struct trial *uring = fastest(tune, VARVE_IO_URING), *pread = fastest(tune, VARVE_IO_PREAD);
	int length;

	*advice = (struct advice) {.best = uring ? uring : pread, .usual = by_default(tune)};
	if (uring && pread && surely_slower(tune, uring, pread))
		advice->best = pread;
	advice->use = fewest(tune, advice->best);
	if (advice->usual && advice->use != advice->usual)
		advice->unproven = tune->rounds < TUNE_ROUNDS_MIN || !apart(advice->usual, advice->use);
	if (advice->unproven)
		advice->use = advice->usual;
	advice->set_workers = advice->use->workers != tune->usual;
	advice->set_io = advice->use->io != tune->trials[0].io;
	if (advice->usual)
		advice->usual_slower = slower(tune, advice->usual, advice->use, NULL);
	advice->noisy = advice->use->high > (1 + NOISY) * advice->use->low;
	length = why_workers(advice, tune, advice->why, sizeof(advice->why));
	if (length > 0 && (size_t)length < sizeof(advice->why))
		why_io(tune, uring, pread, advice->why + length, sizeof(advice->why) - (size_t)length);
}
