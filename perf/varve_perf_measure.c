/*
 * varve_perf_measure.c - the measurements of one history.
 *
 * Rounds: in each, every contestant has one turn, so that a disturbance of the machine meets all of them alike. What
 * prepares a turn, and the check of every byte after it, is outside the timed part. The naive walk is slow and steady:
 * it takes part in a few rounds only.
 */
#include <stdio.h>
#include <stdlib.h>

#include "varve_perf.h"

#define WALKS_MAX 5
#define WALK_SECONDS_MAX 4.0
#define WORKERS_MAX 64

/* All that is measured in one state of the page cache. */
struct bench {
	struct store *store;
	const struct settings *settings;
	const char *history;
	bool cold;
	unsigned workers[WORKERS_MAX];
	size_t workers_count;
	struct series copy, walk, back, forward;
	struct series restores[WORKERS_MAX];
};

/* 1, 2, 3, 4, then powers of two, and the most of all. */
static void choose_workers(struct bench *bench)
{
	unsigned most = bench->settings->workers;
	for (unsigned n = 1; n <= most && bench->workers_count < WORKERS_MAX - 1; n = n < 4 ? n + 1 : n * 2)
		bench->workers[bench->workers_count++] = n;
	if (bench->workers[bench->workers_count - 1] != most)
		bench->workers[bench->workers_count++] = most;
}

static int restore(struct bench *bench, const struct varve_id *commit, unsigned workers)
{
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	options.workers = workers;
	if (varve_restore(bench->store->vm, commit, &options, NULL) < 0)
		return perf_fail("restoring: %s", varve_last_error());
	return 0;
}

static int cool(struct bench *bench)
{
	return bench->cold ? store_drop_cache(bench->store) : 0;
}

/* Backing files far away from the target, and nothing known of them. */
static int turn_restore(struct bench *bench, unsigned workers, struct series *series)
{
	if (restore(bench, &bench->store->start, workers) < 0 || store_unstamp(bench->store) < 0 || cool(bench) < 0)
		return -1;
	double start = perf_now();
	if (restore(bench, &bench->store->target, workers) < 0)
		return -1;
	double seconds = perf_now() - start;
	return store_check(bench->store) < 0 ? -1 : series_add(series, seconds);
}

/* From the target back by one commit, and forward again: backing files are known all the way. */
static int turn_steps(struct bench *bench)
{
	unsigned workers = bench->settings->workers;
	if (restore(bench, &bench->store->target, workers) < 0 || cool(bench) < 0)
		return -1;
	double start = perf_now();
	if (restore(bench, &bench->store->before, workers) < 0)
		return -1;
	double middle = perf_now();
	if (restore(bench, &bench->store->target, workers) < 0)
		return -1;
	double end = perf_now();
	if (store_check(bench->store) < 0 || series_add(&bench->back, middle - start) < 0)
		return -1;
	return series_add(&bench->forward, end - middle);
}

static int turn_rival(struct bench *bench, int (*run)(const struct store *store), struct series *series)
{
	if (cool(bench) < 0)
		return -1;
	double start = perf_now();
	if (run(bench->store) < 0)
		return -1;
	double seconds = perf_now() - start;
	return copy_check(bench->store) < 0 ? -1 : series_add(series, seconds);
}

static int round_of_all(struct bench *bench, size_t round)
{
	double walked = 0;
	for (size_t i = 0; i < bench->walk.count; i++)
		walked += bench->walk.seconds[i];
	if (turn_rival(bench, copy_images, &bench->copy) < 0)
		return -1;
	for (size_t i = 0; i < bench->workers_count; i++)
		if (turn_restore(bench, bench->workers[i], &bench->restores[i]) < 0)
			return -1;
	/* After a cold round the first step would measure how fast the cache warms. */
	if (!bench->cold && turn_steps(bench) < 0)
		return -1;
	if (round < WALKS_MAX && walked < WALK_SECONDS_MAX)
		return turn_rival(bench, walk_images, &bench->walk);
	return 0;
}

static int add_result(
    struct bench *bench, enum scheme scheme, unsigned workers, struct series *series, struct report *report)
{
	struct result result = {
	    .history = bench->history,
	    .cold = bench->cold,
	    .scheme = scheme,
	    .workers = workers,
	    .modules = bench->store->goals_count,
	    .image_bytes = bench->store->image_bytes,
	};
	return series->count ? report_add(report, &result, series) : 0;
}

static int add_results(struct bench *bench, struct report *report)
{
	if (add_result(bench, SCHEME_COPY, 0, &bench->copy, report) < 0)
		return -1;
	for (size_t i = 0; i < bench->workers_count; i++)
		if (add_result(bench, SCHEME_RESTORE, bench->workers[i], &bench->restores[i], report) < 0)
			return -1;
	unsigned most = bench->settings->workers;
	if (add_result(bench, SCHEME_BACK, most, &bench->back, report) < 0 ||
	    add_result(bench, SCHEME_FORWARD, most, &bench->forward, report) < 0)
		return -1;
	return add_result(bench, SCHEME_WALK, 0, &bench->walk, report);
}

static int measure_state(struct bench *bench, struct report *report)
{
	double start = perf_now();
	int r = 0;
	choose_workers(bench);
	/* At least three rounds, whatever they take: a median of fewer is none. */
	for (size_t i = 0; i < bench->settings->runs && !r; i++) {
		if (i >= 3 && perf_now() - start > bench->settings->budget)
			break;
		perf_progress("%s, %s: round %zu of %zu", bench->history, bench->cold ? "cold" : "warm", i + 1,
		    bench->settings->runs);
		r = round_of_all(bench, i);
	}
	if (!r)
		r = add_results(bench, report);
	free(bench->copy.seconds);
	free(bench->walk.seconds);
	free(bench->back.seconds);
	free(bench->forward.seconds);
	for (size_t i = 0; i < bench->workers_count; i++)
		free(bench->restores[i].seconds);
	return r;
}

int measure(struct store *store, const struct settings *settings, const char *history, struct report *report)
{
	for (int cold = 0; cold <= !settings->no_cold; cold++) {
		struct bench bench = {.store = store, .settings = settings, .history = history, .cold = cold};
		if (measure_state(&bench, report) < 0)
			return -1;
	}
	return 0;
}
