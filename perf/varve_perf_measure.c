/*
 * varve_perf_measure.c - the measurements of one history.
 *
 * Rounds: in each, every contestant has one turn, so that a disturbance of the machine meets all of them alike. What
 * prepares a turn, and the check of every byte after it, is outside the timed part. All turns of a round go to the same
 * commit, and start from the same other one. The naive walk, and the programs of others, are slow and steady: they take
 * part in a few rounds only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "varve_perf.h"

#define WALKS_MAX 5
#define WALK_SECONDS_MAX 4.0
/* A naive walk makes about so many bytes of images a second: for leaving out those that would take too long. */
#define WALK_RATE 1e9
#define WORKERS_MAX 64
#define ROUNDS_MIN 3
/* Steps back and forth: over so many of the newest commits, if they are kept. */
#define STEPS 50u
#define NEARLY 20u /* one page in so many was written */

/* All that is measured in one state of the page cache. */
struct bench {
	struct store *store;
	const struct settings *settings;
	const struct spec *spec;
	struct rivals *rivals;
	struct perf_case c;
	unsigned workers[WORKERS_MAX];
	size_t workers_count;
	uint64_t random;
	double restored_bytes; /* sum over the rounds */
	double slow_seconds; /* that walks and rivals have had */
	size_t slow_turns, steps;
	bool counting; /* no time is taken: how many pages get dirty? */
};

/* As many workers as CPUs, but two at least: what is said of two workers is to be had everywhere. */
static unsigned wide(const struct bench *bench)
{
	return bench->settings->cpus > 2 ? bench->settings->cpus : 2;
}

static void choose_workers(struct bench *bench)
{
	bool all = bench->spec->with & WITH_ALL_WORKERS;
	unsigned most = all ? bench->settings->workers : wide(bench);
	for (unsigned n = 1; n < most && bench->workers_count < WORKERS_MAX - 1; n = n < 4 ? n + 1 : n * 2)
		if (all || n <= 2)
			bench->workers[bench->workers_count++] = n;
	bench->workers[bench->workers_count++] = most;
}

/* ---- which commits ---------------------------------------------------------------------------------------------- */

/* A random one of those that stand for any commit, not @but, and with @alike's sizes if that is given; NULL: there is
 * none. */
static const struct state *choose(struct bench *bench, const struct state *but, const struct state *alike)
{
	const struct state *chosen = NULL;
	uint64_t seen = 0;
	for (size_t i = 0; i < bench->store->states.count; i++) {
		const struct state *state = &bench->store->states.list[i];
		if (!state->sampled || state == but || (alike && !states_alike(state, alike)))
			continue;
		if (random_below(&bench->random, ++seen) == 0)
			chosen = state;
	}
	return chosen;
}

static const struct state *choose_target(struct bench *bench)
{
	if (bench->spec->with & WITH_LAST_BUT_ONE)
		return states_find(&bench->store->states, bench->store->commits - 2);
	return choose(bench, NULL, NULL);
}

/* Whether steps back can be taken from commit @index: images of where they lead are kept. */
static bool steps_from(const struct store *store, size_t index)
{
	return index && states_find(&store->states, index) && states_find(&store->states, index - 1) &&
	       (store->commits < 10 || (index >= 8 && states_find(&store->states, index - 8)));
}

/* The @n-th commit from which steps back can be taken, from the newest on, over and over; NULL: there is none. */
static const struct state *choose_step(const struct store *store, size_t n)
{
	size_t last = store->commits - 1, end = store->commits > STEPS ? store->commits - STEPS : 1, count = 0;
	for (size_t i = last; i >= end; i--)
		count += steps_from(store, i);
	n = count ? n % count : 0;
	for (size_t i = last; i >= end; i--)
		if (steps_from(store, i) && n-- == 0)
			return states_find(&store->states, i);
	return NULL;
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

int restore_to(const struct store *store, const struct varve_id *commit, unsigned workers, struct varve_report *report)
{
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	options.workers = workers;
	if (varve_restore(store->vm, commit, &options, report) < 0)
		return perf_fail("restoring: %s", varve_last_error());
	return 0;
}

/* What a process has mapped stays in the page cache, whoever asks for what. */
static int cool(struct bench *bench)
{
	if (!bench->c.cold)
		return 0;
	return store_reopen(bench->store) < 0 ? -1 : store_drop_cache(bench->store);
}

/* What the kernel counts, or, where it does not, what the library says that it has written. */
static int count_dirty(struct bench *bench, const char *scheme, unsigned workers, const struct state *to,
    const struct varve_report *report)
{
	struct row *row = case_row(&bench->c, scheme, workers);
	if (!row)
		return -1;
	row->pages_dirtied = store_dirty_pages(bench->store, to);
	if (row->pages_dirtied < 0 || (row->pages_dirtied == 0 && report->bytes_written))
		row->pages_dirtied = (int64_t)((report->bytes_written + PERF_PAGE - 1) / PERF_PAGE);
	return 0;
}

static int timed_restore(struct bench *bench, const char *scheme, unsigned workers, const struct state *to)
{
	struct varve_report report;
	if (bench->counting && store_clean(bench->store, to) < 0)
		return -1;
	double start = perf_now();
	if (restore_to(bench->store, &to->commit, workers, &report) < 0)
		return -1;
	double seconds = perf_now() - start;
	int r = bench->counting ? count_dirty(bench, scheme, workers, to, &report)
	                        : row_add(&bench->c, scheme, workers, seconds, &report);
	return r < 0 ? r : state_check(to, bench->store->path);
}

/* Backing files that are at another commit, and nothing known of them. A history of one commit has no other: there each
 * byte is made another one. */
static int turn_restore(
    struct bench *bench, const char *scheme, unsigned workers, const struct state *from, const struct state *to)
{
	const struct store *store = bench->store;
	if (restore_to(store, &from->commit, wide(bench), NULL) < 0 || (from == to && store_scribble(store, to) < 0) ||
	    store_unstamp(store, to) < 0 || cool(bench) < 0)
		return -1;
	return timed_restore(bench, scheme, workers, to);
}

/* One page in NEARLY has a word changed. */
static int scribble_memory(struct varve_memory *memory, uint64_t *random)
{
	uint8_t *base = varve_memory_base(memory);
	for (uint64_t at = 0; at + PERF_PAGE <= varve_memory_size(memory); at += PERF_PAGE)
		if (random_below(random, NEARLY) == 0)
			base[at + random_below(random, PERF_PAGE)] ^= 0xff;
	return 0;
}

/* A VM works, on one page in NEARLY, and is brought back to where it began, its session open. */
static int turn_nearly(struct bench *bench, const struct state *to)
{
	struct varve_session *session;
	struct varve_memory *memory;
	int r = restore_to(bench->store, &to->commit, wide(bench), NULL);
	if (!r && varve_session_begin(bench->store->vm, 10000, &session) < 0)
		r = perf_fail("beginning a session: %s", varve_last_error());
	if (r)
		return r;
	for (size_t i = 0; i < to->count && !r; i++) {
		if (varve_session_module(session, &to->images[i].id, &memory) < 0)
			r = perf_fail("instantiating a module: %s", varve_last_error());
		else
			r = scribble_memory(memory, &bench->random);
	}
	if (!r)
		r = timed_restore(bench, SCHEME_NEARLY, wide(bench), to);
	if (varve_session_abandon(session) < 0 && !r)
		r = perf_fail("abandoning a session: %s", varve_last_error());
	return r;
}

/* From a commit back by one, forward again, then back by eight: backing files are known all the way. */
static int turn_steps(struct bench *bench)
{
	const struct states *states = &bench->store->states;
	const struct state *at = choose_step(bench->store, bench->steps++);
	if (!at)
		return 0;
	const struct state *eight = at->index >= 8 ? states_find(states, at->index - 8) : NULL;
	if (restore_to(bench->store, &at->commit, wide(bench), NULL) < 0 ||
	    timed_restore(bench, SCHEME_BACK, wide(bench), states_find(states, at->index - 1)) < 0 ||
	    timed_restore(bench, SCHEME_FORWARD, wide(bench), at) < 0)
		return -1;
	return eight ? timed_restore(bench, SCHEME_EIGHT, wide(bench), eight) : 0;
}

static int turn_copy(struct bench *bench, const struct state *from, const struct state *to)
{
	if (copy_prepare(bench->store, from, to) < 0 || cool(bench) < 0)
		return -1;
	double start = perf_now();
	if (copy_images(bench->store, to) < 0)
		return -1;
	double seconds = perf_now() - start;
	return copy_check(bench->store, to) < 0 ? -1 : row_add(&bench->c, SCHEME_COPY, 0, seconds, NULL);
}

static int turn_walk(struct bench *bench, const struct state *from, const struct state *to)
{
	if (copy_prepare(bench->store, from, to) < 0 || cool(bench) < 0)
		return -1;
	double start = perf_now();
	if (walk_images(bench->store, to) < 0)
		return -1;
	double seconds = perf_now() - start;
	return copy_check(bench->store, to) < 0 ? -1 : row_add(&bench->c, SCHEME_WALK, 0, seconds, NULL);
}

/* ---- rounds ----------------------------------------------------------------------------------------------------- */

static int slow_turns(struct bench *bench, const struct state *from, const struct state *to)
{
	double start = perf_now();
	if (bench->slow_turns >= WALKS_MAX || bench->slow_seconds > WALK_SECONDS_MAX)
		return 0;
	bench->slow_turns++;
	if (bench->store->chain && turn_walk(bench, from, to) < 0)
		return -1;
	if (bench->rivals && rivals_turn(bench->rivals, to, &bench->c) < 0)
		return -1;
	bench->slow_seconds += perf_now() - start;
	return 0;
}

/* Those with backing files that are known, or nearly right: after a cold round they would measure how the cache warms. */
static int warm_turns(struct bench *bench, const struct state *to)
{
	unsigned with = bench->spec->with;
	const struct state *alike = with & WITH_SAME_SIZE ? choose(bench, to, to) : NULL;
	if (alike && turn_restore(bench, SCHEME_SAME_SIZE, wide(bench), alike, to) < 0)
		return -1;
	if (with & WITH_NEARLY && turn_nearly(bench, to) < 0)
		return -1;
	/* Where there are STEPS to choose from, all get their turn. */
	size_t steps = bench->spec->keep.sample ? 1 : (STEPS + bench->settings->runs - 1) / bench->settings->runs;
	for (size_t i = 0; with & WITH_STEPS && i < steps; i++)
		if (turn_steps(bench) < 0)
			return -1;
	return 0;
}

static int round_of_all(struct bench *bench)
{
	const struct state *to = choose_target(bench), *from = choose(bench, to, NULL);
	if (!from)
		from = to;
	bench->restored_bytes += (double)to->bytes;
	if (turn_copy(bench, from, to) < 0)
		return -1;
	for (size_t i = 0; i < bench->workers_count; i++)
		if (turn_restore(bench, SCHEME_RESTORE, bench->workers[i], from, to) < 0)
			return -1;
	if (!bench->c.cold && warm_turns(bench, to) < 0)
		return -1;
	return slow_turns(bench, from, to);
}

/* How many pages get dirty: once more, without taking the time, since everything is written out in between. */
static int count_pages(struct bench *bench)
{
	const struct state *to = choose_target(bench), *from = choose(bench, to, NULL);
	bench->counting = true;
	int r = turn_restore(bench, SCHEME_RESTORE, wide(bench), from ? from : to, to);
	if (!r)
		r = warm_turns(bench, to);
	bench->counting = false;
	return r;
}

/* ---- cases ------------------------------------------------------------------------------------------------------ */

/* What does not depend on what is measured. */
int case_begin(struct perf_case *c, const struct store *store, const struct spec *spec)
{
	snprintf(c->name, sizeof(c->name), "%s", spec->name);
	snprintf(c->title, sizeof(c->title), "%s", spec->title);
	c->group = spec->group;
	c->x = spec->x;
	c->x_name = spec->x_name;
	c->x_unit = spec->x_unit;
	c->pattern = spec->shape.pattern;
	c->commits = store->commits;
	c->modules = store->states.list[store->states.count - 1].count;
	c->position = -1;
	c->commit_seconds = store->commit_seconds;
	return store_disk(store, c);
}

/* The walk goes along the whole chain, image by image. */
static void prepare_walk(struct bench *bench)
{
	const struct state *newest = &bench->store->states.list[bench->store->states.count - 1];
	double seconds = (double)newest->bytes * (double)bench->store->commits / WALK_RATE;
	if (!(bench->spec->with & WITH_WALK) || bench->store->chain)
		return;
	if (seconds > bench->settings->budget + WALK_SECONDS_MAX)
		case_leave_out(&bench->c, "the naive walk, which would take about %.0f seconds each time", seconds);
	else
		store_chains(bench->store);
}

static int measure_state(struct bench *bench)
{
	const struct settings *settings = bench->settings;
	size_t rounds = settings->runs * (bench->spec->often ? bench->spec->often : 1);
	double start = perf_now();
	int r = 0;
	/* At least three rounds, whatever they take: a median of fewer is none. */
	for (size_t i = 0; i < rounds && !r; i++) {
		if (i >= ROUNDS_MIN && perf_now() - start > settings->budget)
			break;
		perf_progress("%s, round %zu of %zu", bench->c.cold ? "cold" : "warm", i + 1, rounds);
		r = perf_stopped() ? -1 : round_of_all(bench);
		bench->c.image_bytes = (uint64_t)(bench->restored_bytes / (double)(i + 1));
	}
	if (!r && !bench->c.cold)
		r = count_pages(bench);
	bench->c.worker_peak_bytes = store_worker_peak(bench->store);
	return r;
}

static void set_disk(struct perf_case *c, const char *scheme, uint64_t bytes)
{
	for (size_t i = 0; i < c->rows_count; i++)
		if (!strcmp(c->rows[i].scheme, scheme))
			c->rows[i].disk_bytes = bytes;
}

/* What each way of keeping the history takes on disk: whole images, deltas, deltas and what makes them quick. */
static void compare_disk(struct bench *bench)
{
	struct perf_case *c = &bench->c;
	uint64_t images = 0, chain = c->disk.base_bytes + c->disk.delta_bytes + c->disk.last_bytes;
	for (size_t i = 0; i < bench->store->states.count; i++)
		images += bench->store->states.list[i].bytes;
	set_disk(c, SCHEME_COPY, images);
	set_disk(c, SCHEME_WALK, chain);
	set_disk(c, SCHEME_RESTORE, chain + c->disk.tier_bytes + c->disk.undo_bytes);
}

static int measure_case(struct bench *bench, struct report *report)
{
	int r = case_begin(&bench->c, bench->store, bench->spec);
	choose_workers(bench);
	prepare_walk(bench);
	if (!r && bench->spec->with & WITH_RIVALS) {
		perf_progress("other programs make their chains");
		r = rivals_open(&bench->rivals, bench->store, &bench->c);
	}
	if (!r)
		r = measure_state(bench);
	rivals_close(bench->rivals);
	if (!r && bench->spec->with & WITH_RIVALS)
		compare_disk(bench);
	if (!r)
		return report_add(report, &bench->c);
	case_release(&bench->c);
	return r;
}

int measure(struct store *store, const struct settings *settings, const struct spec *spec, struct report *report)
{
	bool cold = spec->with & WITH_COLD && !settings->no_cold;
	for (int state = 0; state <= cold; state++) {
		struct bench bench = {.store = store, .settings = settings, .spec = spec, .random = settings->seed};
		bench.c.cold = state;
		if (measure_case(&bench, report) < 0)
			return -1;
	}
	return 0;
}
