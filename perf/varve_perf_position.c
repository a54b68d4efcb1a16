/*
 * varve_perf_position.c - every commit of a history restored, from random others: is there a place in the chain that is
 * dear to get to?
 */
#include <stdio.h>
#include <stdlib.h>

#include "varve_perf.h"

#define ROUNDS_MIN 5

static int turn(
    struct store *store, const struct state *from, const struct state *to, unsigned workers, struct perf_case *c)
{
	struct varve_report report;
	if (copy_prepare(store, from, to) < 0)
		return -1;
	double start = perf_now();
	if (copy_images(store, to) < 0)
		return -1;
	double middle = perf_now();
	if (row_add(c, SCHEME_COPY, 0, middle - start, NULL) < 0 || copy_check(store, to) < 0 ||
	    restore_to(store, &from->commit, workers, NULL) < 0 || store_unstamp(store, to) < 0)
		return -1;
	start = perf_now();
	if (restore_to(store, &to->commit, workers, &report) < 0)
		return -1;
	double seconds = perf_now() - start;
	return state_check(to, store->path) < 0 ? -1 : row_add(c, SCHEME_RESTORE, workers, seconds, &report);
}

/* In another order each time, so that what else the machine does does not meet the same commits. */
static void shuffle(size_t *order, size_t count, uint64_t *random)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = (size_t)random_below(random, i), t = order[i - 1];
		order[i - 1] = order[j];
		order[j] = t;
	}
}

static int rounds(struct store *store, const struct settings *settings, struct perf_case *cases, size_t *order)
{
	size_t count = store->states.count;
	uint64_t random = settings->seed;
	double start = perf_now();
	for (size_t round = 0; round < settings->runs; round++) {
		if (round >= ROUNDS_MIN && perf_now() - start > settings->budget)
			break;
		shuffle(order, count, &random);
		for (size_t i = 0; i < count; i++) {
			const struct state *to = &store->states.list[order[i]];
			const struct state *from = &store->states.list[random_below(&random, count)];
			perf_progress("round %zu of %zu, %zu of %zu", round + 1, settings->runs, i + 1, count);
			if (perf_stopped() || turn(store, from, to, settings->cpus, &cases[order[i]]) < 0)
				return -1;
		}
	}
	return 0;
}

static int name_case(struct perf_case *c, const struct store *store, const struct spec *spec, const struct state *state)
{
	if (case_begin(c, store, spec) < 0)
		return -1;
	snprintf(c->name, sizeof(c->name), "position-%zu", state->index);
	c->x = (double)state->index;
	c->position = (long)state->index;
	c->image_bytes = state->bytes;
	return 0;
}

int measure_positions(
    struct store *store, const struct settings *settings, const struct spec *spec, struct report *report)
{
	size_t count = store->states.count;
	struct perf_case *cases = calloc(count, sizeof(*cases));
	size_t *order = calloc(count, sizeof(*order));
	int r = cases && order ? 0 : perf_fail("out of memory");
	for (size_t i = 0; i < count && !r; i++) {
		order[i] = i;
		r = name_case(&cases[i], store, spec, &store->states.list[i]);
	}
	if (!r)
		r = rounds(store, settings, cases, order);
	for (size_t i = 0; i < count && !r; i++)
		r = report_add(report, &cases[i]);
	for (size_t i = 0; cases && i < count; i++)
		case_release(&cases[i]);
	free(cases);
	free(order);
	return r;
}
