/*
 * varve_perf_store.c - a store with a history in it, made through the library like any VM makes one.
 *
 * The images of some commits are kept beside it (varve_perf_state.c): restores go from one of them to another.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "varve_perf.h"

/* What the VM does besides, before each commit whose time is of interest: time for background work to begin. */
#define PAUSE_NS 2000000
#define COMMIT_BLOCK 10u

static int failed(const char *what)
{
	return perf_fail("%s: %s", what, varve_last_error());
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static int open_image(struct varve_session *session, const struct image *image, bool new, struct varve_memory **memory)
{
	int r = new ? varve_session_deploy(session, &image->id, image->size, memory)
	            : varve_session_module(session, &image->id, memory);
	if (!r)
		r = varve_memory_resize(*memory, image->size);
	return r ? failed("writing an image") : 0;
}

/* Writes only what differs, as a VM would. */
static int write_image(struct varve_session *session, const struct image *image, bool new)
{
	struct varve_memory *memory;
	if (open_image(session, image, new, &memory) < 0)
		return -1;
	uint8_t *to = varve_memory_base(memory);
	if (!image->file) {
		for (size_t i = 0; i < image->spans_count; i++)
			memcpy(to + image->spans[i].at, image->data + image->spans[i].at, image->spans[i].size);
		return 0;
	}
	for (uint64_t at = 0; at < image->size; at += PERF_PAGE) {
		size_t n = image->size - at < PERF_PAGE ? (size_t)(image->size - at) : PERF_PAGE;
		if (memcmp(to + at, image->data + at, n) != 0)
			memcpy(to + at, image->data + at, n);
	}
	return 0;
}

static int commit_images(struct store *store, struct source *source, size_t known, struct varve_id *id, double *seconds)
{
	struct varve_session *session;
	if (varve_session_begin(store->vm, 10000, &session) < 0)
		return failed("beginning a session");
	int r = 0;
	for (size_t i = 0; i < source->modules && !r; i++)
		if (source->images[i].active)
			r = write_image(session, &source->images[i], i >= known);
	double start = perf_now();
	if (!r && varve_session_commit(session, NULL, id) < 0)
		r = failed("committing");
	*seconds = perf_now() - start;
	if (r)
		varve_session_abandon(session);
	return r;
}

enum { NOT_KEPT, KEPT_FOR_STEPS, KEPT };

/* Which commits to keep: all, or random ones, each with one nearby (which mostly has the same size), and the newest. */
static uint8_t *choose_kept(const struct spec *spec, size_t commits, uint64_t seed)
{
	uint8_t *kept = calloc(commits, sizeof(*kept));
	size_t sample = spec->keep.sample, near = commits / 16 + 1;
	for (size_t i = 0; kept && i < commits; i++)
		kept[i] = sample ? NOT_KEPT : KEPT;
	for (size_t i = 2; kept && sample && i < spec->keep.steps + 2 && i <= commits; i++)
		for (size_t back = 0; back <= 8; back += back ? 7 : 1)
			if (i + back <= commits)
				kept[commits - i - back] = KEPT_FOR_STEPS;
	for (size_t i = 0; kept && i < sample; i++) {
		size_t at = (size_t)random_below(&seed, commits), from = at > near ? at - near : 0;
		size_t to = at + near < commits ? at + near : commits - 1;
		kept[at] = KEPT;
		kept[from + random_below(&seed, to - from + 1)] = KEPT;
	}
	return kept;
}

/* In turns of COMMIT_BLOCK commits: background work is finished before each commit; or goes on while the VM works. */
static int settle_background(struct store *store, size_t index)
{
	struct timespec pause = {.tv_nsec = PAUSE_NS};
	if (index / COMMIT_BLOCK % 2 && varve_optimize(store->vm) < 0)
		return failed("finishing the background work");
	nanosleep(&pause, NULL);
	return 0;
}

static int commit_one(struct store *store, const struct spec *spec, struct source *source, size_t index,
    struct series *times, struct varve_id *id, struct perf_case *measured)
{
	size_t known = source->modules;
	double seconds = 0;
	if (!source->recording && index == 0)
		known = 0;
	if (source_next(source, index) < 0 || (spec->with & WITH_COMMITS && settle_background(store, index) < 0) ||
	    commit_images(store, source, known, id, &seconds) < 0 || series_add(times, seconds) < 0)
		return -1;
	/* The first commits have little to be merged. */
	if (!(spec->with & WITH_COMMITS) || index < 2 * COMMIT_BLOCK)
		return 0;
	return row_add(measured, index / COMMIT_BLOCK % 2 ? SCHEME_COMMIT_IDLE : SCHEME_COMMIT_BUSY, 0, seconds, NULL);
}

static int commit_history(struct store *store, const struct settings *settings, const struct spec *spec,
    struct source *source, struct perf_case *measured)
{
	struct series times = {0};
	struct varve_id id;
	uint8_t *kept = choose_kept(spec, source->commits, settings->seed);
	int r = kept ? 0 : perf_fail("out of memory");
	for (size_t i = 0; i < source->commits && !r; i++) {
		perf_progress("committing %zu of %zu", i + 1, source->commits);
		r = perf_stopped() ? -1 : commit_one(store, spec, source, i, &times, &id, measured);
		if (!r && kept[i])
			r = states_keep(&store->states, store->copies, source, i, &id, kept[i] == KEPT);
	}
	if (!r && varve_persist(store->vm) < 0)
		r = failed("persisting");
	/* A history made in a second leaves the background work behind; that of a store in use is done. */
	perf_progress("finishing the background work");
	if (!r && varve_optimize(store->vm) < 0)
		r = failed("finishing the background work");
	store->commit_seconds = series_quantile(&times, 0.5);
	free(times.seconds);
	free(kept);
	return r;
}

static void note_method(struct store *store)
{
	struct varve_stat *stat;
	if (varve_stat(store->vm, &stat) < 0)
		return;
	snprintf(store->io_method, sizeof(store->io_method), "%s", stat->io_method);
	snprintf(store->io_reason, sizeof(store->io_reason), "%s", stat->io_reason);
	varve_stat_free(stat);
}

static int open_store(struct store *store)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	options.workers = store->workers;
	return varve_vm_open(store->path, &options, &store->vm) < 0 ? failed("opening the store") : 0;
}

/* Whether all workers run, and wait for jobs. */
static bool all_wait(struct store *store)
{
	struct varve_stat *stat;
	if (varve_stat(store->vm, &stat) < 0)
		return false;
	size_t waiting = 0;
	for (size_t i = 0; i < stat->workers_count; i++)
		waiting += stat->workers[i].state == VARVE_WORKER_IDLE;
	bool all = waiting >= store->workers;
	varve_stat_free(stat);
	return all;
}

int store_reopen(struct store *store)
{
	struct timespec moment = {0, 1000000};
	varve_vm_close(store->vm);
	store->vm = NULL;
	if (open_store(store) < 0)
		return -1;
	/* The first look starts them. */
	for (unsigned i = 0; i < 1000 && !all_wait(store); i++)
		nanosleep(&moment, NULL);
	return 0;
}

int store_make(struct store *store, const struct settings *settings, const struct spec *spec, struct source *source,
    struct perf_case *measured)
{
	*store = (struct store) {.commits = source->commits};
	if (asprintf(&store->path, "%s/%s.store", settings->dir, spec->name) < 0) {
		store->path = NULL;
		return perf_fail("out of memory");
	}
	if (asprintf(&store->copies, "%s/%s.copies", settings->dir, spec->name) < 0) {
		store->copies = NULL;
		return perf_fail("out of memory");
	}
	if (mkdir(store->copies, 0700) < 0)
		return perf_fail("%s: %s", store->copies, strerror(errno));
	store->workers = spec->with & WITH_ALL_WORKERS ? settings->workers : settings->cpus > 2 ? settings->cpus : 2;
	if (open_store(store) < 0)
		return -1;
	note_method(store);
	return commit_history(store, settings, spec, source, measured);
}

/* ---- the chains, for the naive walk ----------------------------------------------------------------------------- */

static int compare_links(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	int order = memcmp(&x->info.module, &y->info.module, sizeof(x->info.module));
	return order ? order : (x->commit > y->commit) - (x->commit < y->commit);
}

int store_chains(struct store *store)
{
	struct varve_log *log;
	if (varve_log(store->vm, &log) < 0)
		return failed("reading the log");
	size_t count = 0;
	for (size_t i = 0; i < log->count; i++)
		count += log->commits[i].modules_count;
	store->chain = calloc(count + 1, sizeof(*store->chain));
	if (!store->chain) {
		varve_log_free(log);
		return perf_fail("out of memory");
	}
	for (size_t i = 0; i < log->count; i++)
		for (size_t j = 0; j < log->commits[i].modules_count; j++)
			store->chain[store->chain_count++] = (struct link) {log->commits[i].modules[j], i};
	varve_log_free(log);
	qsort(store->chain, store->chain_count, sizeof(*store->chain), compare_links);
	return 0;
}

void store_release(struct store *store, bool keep)
{
	varve_vm_close(store->vm);
	states_release(&store->states);
	free(store->chain);
	if (!keep && store->path)
		perf_remove(store->path);
	if (!keep && store->copies)
		perf_remove(store->copies);
	free(store->path);
	free(store->copies);
	*store = (struct store) {0};
}
