/*
 * cli_tune_advice.c - which number of workers and which reading method `varve tune` advises, on made-up times: real ones
 * are never the same twice.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "tune.h"

#define ROUNDS 16
#define TRIALS_MAX 8

static double times[TRIALS_MAX][ROUNDS];
static struct trial trials[TRIALS_MAX];
static char no_reason[] = "";
static struct tune tune;
static struct advice advice;

void *memory_take(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	cr_assert(memory);
	return memory;
}

static void tune_begin(size_t rounds)
{
	tune = (struct tune) {.usual = 2, .io_reason = no_reason, .trials = trials, .rounds = rounds};
}

/* In every other round it takes @odd instead of @even milliseconds. */
static void add_trial(enum varve_io io, unsigned workers, double even, double odd)
{
	struct trial *trial = &trials[tune.trials_count];

	*trial = (struct trial) {.io = io, .workers = workers, .seconds = times[tune.trials_count++], .handed = 1};
	for (size_t i = 0; i < tune.rounds; i++)
		trial->seconds[i] = (i % 2 ? odd : even) / 1e3;
}

static void advise(enum varve_io io, unsigned workers)
{
	for (size_t i = 0; i < tune.trials_count; i++)
		trial_sum_up(&trials[i], tune.rounds);
	advice_find(&advice, &tune);
	cr_expect_eq(advice.use->workers, workers, "%u workers: %s", advice.use->workers, advice.why);
	cr_expect_eq(advice.use->io, io, "%s: %s", io_name(advice.use->io), advice.why);
	cr_expect_eq(advice.set_workers, workers != tune.usual);
	cr_expect_eq(advice.set_io, io != trials[0].io);
	cr_expect(*advice.why);
}

/* Each worker takes memory, and a CPU from the VM. */
Test(tune_advice, the_fewest_workers_within_five_percent_of_the_fastest_are_advised)
{
	tune_begin(ROUNDS);
	add_trial(VARVE_IO_URING, 1, 10, 10);
	add_trial(VARVE_IO_URING, 2, 6, 6);
	add_trial(VARVE_IO_URING, 3, 4.1, 4.1);
	add_trial(VARVE_IO_URING, 4, 4, 4);
	advise(VARVE_IO_URING, 3);
	cr_expect_eq(advice.best->workers, 4);
	cr_expect_float_eq(advice.usual_slower, 6 / 4.1, 1e-9);
}

/* Rounds restore different commits, and so differ by more than ways do: within a round they do not. */
Test(tune_advice, ways_are_compared_within_their_rounds)
{
	tune_begin(ROUNDS);
	tune.usual = 8;
	add_trial(VARVE_IO_URING, 1, 10, 100);
	add_trial(VARVE_IO_URING, 4, 6, 60);
	add_trial(VARVE_IO_URING, 5, 5.9, 59);
	advise(VARVE_IO_URING, 4);
	cr_expect(advice.noisy);
}

/* Times of a busy machine: what is advised today would not be tomorrow, and it is shown beside quartiles that say so. */
Test(tune_advice, another_number_of_workers_is_not_advised_where_the_quartiles_overlap)
{
	tune_begin(ROUNDS);
	add_trial(VARVE_IO_URING, 1, 2.73, 3.89);
	add_trial(VARVE_IO_URING, 2, 2.97, 4.92);
	advise(VARVE_IO_URING, 2);
	cr_expect(advice.unproven);
	cr_expect(strstr(advice.why, "no more than the noise"), "%s", advice.why);

	tune_begin(ROUNDS);
	add_trial(VARVE_IO_URING, 1, 2.73, 2.89);
	add_trial(VARVE_IO_URING, 2, 2.97, 4.92);
	advise(VARVE_IO_URING, 1);
	cr_expect(!advice.unproven);
}

/* Whoever follows advice made by chance gets other advice the next day, and stops believing any. */
Test(tune_advice, more_workers_are_not_advised_for_what_may_be_chance)
{
	tune_begin(ROUNDS);
	add_trial(VARVE_IO_URING, 1, 20, 20);
	add_trial(VARVE_IO_URING, 2, 10, 9.9);
	add_trial(VARVE_IO_URING, 4, 5, 11);
	advise(VARVE_IO_URING, 2);
	cr_expect(advice.unproven);
}

Test(tune_advice, a_few_rounds_prove_nothing)
{
	tune_begin(TUNE_ROUNDS_MIN - 1);
	add_trial(VARVE_IO_URING, 2, 10, 10);
	add_trial(VARVE_IO_URING, 4, 5, 5);
	add_trial(VARVE_IO_PREAD, 2, 4, 4);
	add_trial(VARVE_IO_PREAD, 4, 4, 4);
	advise(VARVE_IO_URING, 2);
	tune_begin(TUNE_ROUNDS_MIN - 1);
	add_trial(VARVE_IO_URING, 1, 5, 5);
	add_trial(VARVE_IO_URING, 2, 10, 10);
	advise(VARVE_IO_URING, 2);
	tune_begin(TUNE_ROUNDS_MIN);
	add_trial(VARVE_IO_URING, 2, 10, 10);
	add_trial(VARVE_IO_URING, 4, 5, 5);
	advise(VARVE_IO_URING, 4);
}

Test(tune_advice, another_method_than_the_default_is_advised_only_if_it_is_surely_faster)
{
	tune_begin(ROUNDS);
	add_trial(VARVE_IO_URING, 1, 10, 10);
	add_trial(VARVE_IO_URING, 2, 5, 5);
	add_trial(VARVE_IO_PREAD, 1, 8, 8);
	add_trial(VARVE_IO_PREAD, 2, 4, 4);
	advise(VARVE_IO_PREAD, 2);
	cr_expect(strstr(advice.why, "io_uring takes 25 % longer"), "%s", advice.why);

	tune_begin(ROUNDS);
	add_trial(VARVE_IO_URING, 1, 10, 10);
	add_trial(VARVE_IO_URING, 2, 5, 5);
	add_trial(VARVE_IO_PREAD, 1, 8, 8);
	add_trial(VARVE_IO_PREAD, 2, 3, 5.5);
	advise(VARVE_IO_URING, 2);
	cr_expect(strstr(advice.why, "no clear difference"), "%s", advice.why);
}

Test(tune_advice, where_the_default_was_not_tried_there_is_still_advice)
{
	tune_begin(ROUNDS);
	add_trial(VARVE_IO_PREAD, 1, 10, 10);
	advise(VARVE_IO_PREAD, 1);
	cr_expect_null(advice.usual);
}

Test(tune_advice, quartiles_are_those_of_the_rounds)
{
	tune_begin(5);
	add_trial(VARVE_IO_URING, 2, 0, 0);
	for (size_t i = 0; i < 5; i++)
		trials[0].seconds[i] = (double)((i * 2) % 5);
	trial_sum_up(&trials[0], 5);
	cr_expect_float_eq(trials[0].low, 1, 1e-12);
	cr_expect_float_eq(trials[0].median, 2, 1e-12);
	cr_expect_float_eq(trials[0].high, 3, 1e-12);
}
