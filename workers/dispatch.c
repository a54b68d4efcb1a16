/*
 * dispatch.c - from operations to jobs to workers.
 *
 * Operations take turns: each gives one job, then goes to the end of the line, so that a checkout does not wait for a
 * restore of 1,000 modules to end. No more jobs are handed out than two for each worker, so that one that comes later
 * is not far behind.
 */
#include "dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "fault.h"
#include "image.h"
#include "names.h"

/** Images up to this size, with at most so many deltas to them that are not merged, are worth no hand-over. */
#define HERE_BYTES (1u << 20)
#define HERE_DELTAS 64
/** Where all CPUs are busy, background work may get none for long: nobody waits for it. */
#define BACKGROUND_PATIENCE 20u

/** A job at a worker. */
struct flight {
	struct op *op;
	uint32_t module;
	uint32_t kind;
};

/* ---- who may run beside whom ------------------------------------------------------------------------------------ */

static bool writes(uint32_t kind)
{
	return kind == JOB_PUBLISH || kind == JOB_REPAIR;
}

static bool reads(uint32_t kind)
{
	return kind == JOB_CHECKOUT || kind == JOB_VERIFY;
}

static struct module_use *use_of(struct dispatch *d, uint32_t module)
{
	if (module >= d->uses_count) {
		uint32_t count = module + 64 + module / 2;
		struct module_use *uses = realloc(d->uses, count * sizeof(*uses));
		if (!uses)
			return NULL;
		memset(uses + d->uses_count, 0, (count - d->uses_count) * sizeof(*uses));
		d->uses = uses;
		d->uses_count = count;
	}
	return &d->uses[module];
}

static bool may_run(struct dispatch *d, const struct job *job)
{
	struct module_use *use = use_of(d, job->module);
	if (!use)
		return false;
	if (writes(job->kind)) {
		use->wanted = use->readers || use->writer;
		return !use->wanted;
	}
	return !(reads(job->kind) && (use->writer || use->wanted || d->store->publishing));
}

static void use_begin(struct dispatch *d, const struct job *job)
{
	struct module_use *use = use_of(d, job->module);
	if (writes(job->kind))
		use->writer = true;
	else if (reads(job->kind))
		use->readers++;
}

static void use_end(struct dispatch *d, uint32_t kind, uint32_t module)
{
	struct module_use *use = use_of(d, module);
	if (writes(kind))
		use->writer = false;
	else if (reads(kind))
		use->readers--;
}

/* ---- running jobs ----------------------------------------------------------------------------------------------- */

/* Whether handing @job over would cost more than doing it. */
static bool is_small(const struct dispatch *d, const struct op *op, const struct job *job)
{
	if (d->never_inline || !op->single)
		return false;
	const struct catalog_module *module = catalog_module(&d->store->catalog, job->module);
	uint64_t size = module->length ? chain_entry(&d->store->catalog, job->module, module->length - 1)->size : 0;
	switch (job->kind) {
	case JOB_RESTORE:
		return job->stamp.entry == job->target ||
		       (size <= HERE_BYTES &&
		           chain_entry(&d->store->catalog, job->module, job->target)->size <= HERE_BYTES &&
		           job->target <= store_work(d->store, job->module).tiers_to + HERE_DELTAS);
	case JOB_COMMIT:
		return module->length && size <= HERE_BYTES;
	case JOB_PUBLISH:
		return size <= HERE_BYTES;
	default:
		return false;
	}
}

static void job_ended(struct dispatch *d, struct op *op, const struct job *job)
{
	use_end(d, job->kind, job->module);
	op->running--;
	op->ended++;
	op->kind->done(op, job);
	if (job->tiers_gone)
		store_tiers_gone(d->store, job->module);
	d->again = true;
}

/* Who has lost two workers wants to know of what. */
static void name_job(const struct dispatch *d, struct job *job)
{
	static const char *const doing[] = {[JOB_RESTORE] = "restoring",
	    [JOB_CHECKOUT] = "checking out",
	    [JOB_COMMIT] = "committing",
	    [JOB_PUBLISH] = "publishing the commit of",
	    [JOB_REPAIR] = "repairing",
	    [JOB_VERIFY] = "verifying",
	    [JOB_TIERS] = "merging the deltas of",
	    [JOB_SYNC_FILES] = "syncing"};
	char name[NAME_MAX_SIZE], text[sizeof(job->text)];
	name_backing(name, &catalog_module(&d->store->catalog, job->module)->id);
	memcpy(text, job->text, sizeof(text));
	snprintf(
	    job->text, sizeof(job->text), "%s module %s: %.*s", doing[job->kind], name, (int)sizeof(text) - 160, text);
	d->events.notice(d->events.arg, job->text);
}

static void on_done(void *arg, void *cookie, struct job *job)
{
	struct dispatch *d = arg;
	struct flight *flight = cookie;
	/* What a worker says it worked on is not taken on trust. */
	job->module = flight->module;
	job->kind = flight->kind;
	job->text[sizeof(job->text) - 1] = 0;
	if (job->result == -ENOTRECOVERABLE)
		name_job(d, job);
	struct op *op = flight->op;
	free(flight);
	job_ended(d, op, job);
}

static void on_found(void *arg, void *cookie, bool damage, const char *file, const char *problem)
{
	(void)arg;
	op_verify_found(((struct flight *)cookie)->op, damage, file, problem);
}

static void on_dropped(void *arg, void *cookie)
{
	(void)arg;
	free(cookie);
}

static void job_fails(struct dispatch *d, struct op *op, struct job *job, int result)
{
	job->result = result;
	strncpy(job->text, err_text(), sizeof(job->text) - 1);
	job_ended(d, op, job);
}

/* One worker, and so patient that it is not taken for dead where it gets no CPU for a while. */
static struct pool *background_pool(struct dispatch *d)
{
	if (!d->background && pool_open(&d->background_setup, &d->events, 1, d->epoll, &d->background))
		d->background = NULL;
	return d->background;
}

static void hand_over(struct dispatch *d, struct op *op, struct job *job)
{
	struct flight *flight = malloc(sizeof(*flight));
	int r = flight ? 0 : fail_sys(ENOMEM, "memory for a job");
	struct pool *pool = r ? NULL : op->kind->background ? background_pool(d) : dispatch_pool(d);
	if (!r && !pool)
		r = -EAGAIN;
	if (!r) {
		*flight = (struct flight) {op, job->module, job->kind};
		r = pool_post(pool, job, flight, op->fd);
	}
	if (!r) {
		op->handed++;
		return;
	}
	free(flight);
	job_fails(d, op, job, r);
}

static void start_job(struct dispatch *d, struct op *op, struct job *job)
{
	use_begin(d, job);
	op->running++;
	if (!is_small(d, op, job)) {
		hand_over(d, op, job);
		return;
	}
	job_run(&d->own, job);
	d->jobs_here++;
	job_ended(d, op, job);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

/* Operations that somebody waits for. */
static bool somebody_waits(const struct dispatch *d)
{
	for (const struct op *op = d->ops; op; op = op->next_op)
		if (!op->kind->background)
			return true;
	return false;
}

static bool has_room(const struct dispatch *d, const struct op *op)
{
	if (op->kind->background && !op->cancelled && somebody_waits(d))
		return false;
	if (op->limit && op->running >= op->limit)
		return false;
	const struct pool *pool = op->kind->background ? d->background : d->pool;
	return !pool || pool_room(pool) > 0;
}

static bool is_of(const void *op, const void *cookie)
{
	return ((const struct flight *)cookie)->op == op;
}

/* Once, when the operation was cancelled: what it hands out afterwards puts right what it has done. One that has failed
 * already does nothing else. */
static void tell_cancel(struct dispatch *d, struct op *op)
{
	if (!op->cancelled || op->cancel_told)
		return;
	op->cancel_told = true;
	if (!op->cancels_jobs || op->result)
		return;
	if (d->pool)
		pool_cancel(d->pool, is_of, op);
	if (!op->parked)
		return;
	op->parked = false;
	op->parked_job.result = -ECANCELED;
	op->kind->done(op, &op->parked_job);
}

/* Gives @op one turn. Returns whether it has ended. */
static bool turn(struct dispatch *d, struct op *op, bool *progress)
{
	struct job job;
	tell_cancel(d, op);
	if (op->parked) {
		if (!may_run(d, &op->parked_job) || !has_room(d, op))
			return false;
		op->parked = false;
		job = op->parked_job;
	} else {
		/* One that was cancelled may have nothing left to do but to end: that needs no room. */
		bool room = has_room(d, op);
		if (!room && !op->cancelled)
			return false;
		switch (op->kind->next(op, &job)) {
		case OP_END:
			return true;
		case OP_WAIT:
			return false;
		case OP_JOB:
			break;
		}
		if (!room || !may_run(d, &job)) {
			op->parked = true;
			op->parked_job = job;
			return false;
		}
	}
	*progress = true;
	start_job(d, op, &job);
	return false;
}

static void remove_op(struct dispatch *d, struct op *op)
{
	struct op **at = &d->ops;
	while (*at && *at != op)
		at = &(*at)->next_op;
	if (*at)
		*at = op->next_op;
}

static void end_op(struct dispatch *d, struct op *op)
{
	remove_op(d, op);
	if (op->complete)
		op->complete(op->arg, op);
	op_free(op);
	d->again = true;
}

bool dispatch_run(struct dispatch *d)
{
	bool happened = false, progress;
	do {
		if (d->background)
			pool_set_urgent(d->background, somebody_waits(d));
		progress = d->again;
		d->again = false;
		struct op *next;
		for (struct op *op = d->ops; op; op = next) {
			next = op->next_op;
			if (!turn(d, op, &progress))
				continue;
			end_op(d, op);
			progress = true;
			break; /* the list may be another one now */
		}
		happened |= progress;
	} while (progress || d->again);
	return happened;
}

static void start(struct executor *executor, struct op *op)
{
	struct dispatch *d = (struct dispatch *)executor;
	struct op **at = &d->ops;
	while (*at)
		at = &(*at)->next_op;
	op->next_op = NULL;
	op->started_ns = clock_now();
	*at = op;
	d->again = true;
}

static void kick(struct executor *executor)
{
	((struct dispatch *)executor)->again = true;
}

bool dispatch_reap(struct dispatch *d)
{
	bool some = d->pool && pool_reap(d->pool) > 0;
	return (d->background && pool_reap(d->background) > 0) || some;
}

bool dispatch_changing(const struct dispatch *d)
{
	for (const struct op *op = d->ops; op; op = op->next_op)
		if (op->kind->changes)
			return true;
	return false;
}

bool dispatch_idle(const struct dispatch *d)
{
	return !somebody_waits(d);
}

void dispatch_background(struct dispatch *d)
{
	for (const struct op *op = d->ops; op; op = op->next_op)
		if (op->kind->background)
			return;
	struct op *op = op_tiers_wanted(d->store) ? op_tiers(d->store, true) : NULL;
	if (op)
		start(&d->executor, op);
}

/* ---- the pool --------------------------------------------------------------------------------------------------- */

struct pool *dispatch_pool(struct dispatch *d)
{
	if (!d->pool && pool_open(&d->setup, &d->events, d->workers, d->epoll, &d->pool))
		d->pool = NULL;
	return d->pool;
}

int dispatch_resize(struct dispatch *d, unsigned min, unsigned most)
{
	if (most < 1 || most > RING_WORKERS)
		return fail(EINVAL, "%u workers: there can be 1 to %d", most, RING_WORKERS);
	if (min > most)
		return fail(EINVAL, "at least %u workers, but at most %u: that can not be", min, most);
	int r = d->pool ? pool_resize(d->pool, min, most) : 0;
	if (!r) {
		d->setup.min = min;
		d->workers = most;
	}
	return r;
}

void dispatch_set_idle(struct dispatch *d, unsigned idle_ms)
{
	d->setup.idle_ms = d->background_setup.idle_ms = idle_ms;
	if (d->pool)
		pool_set_idle(d->pool, idle_ms);
	if (d->background)
		pool_set_idle(d->background, idle_ms);
}

uint64_t dispatch_jobs(const struct dispatch *d)
{
	return d->jobs_here + (d->pool ? pool_jobs(d->pool) : 0) + (d->background ? pool_jobs(d->background) : 0);
}

bool dispatch_event(struct dispatch *d, const void *tag)
{
	struct pool *pool = tag == d->pool ? d->pool : tag == d->background ? d->background : NULL;
	if (pool)
		pool_dispatch(pool);
	return pool != NULL;
}

int dispatch_timeout(const struct dispatch *d)
{
	int first = d->pool ? pool_timeout(d->pool) : -1;
	int second = d->background ? pool_timeout(d->background) : -1;
	return first < 0 || (second >= 0 && second < first) ? second : first;
}

void dispatch_tick(struct dispatch *d)
{
	if (d->pool && pool_timeout(d->pool) == 0)
		pool_tick(d->pool);
	if (d->background && pool_timeout(d->background) == 0)
		pool_tick(d->background);
}

bool dispatch_sleep_begin(struct dispatch *d)
{
	if (d->pool && !pool_sleep_begin(d->pool))
		return false;
	if (!d->background || pool_sleep_begin(d->background))
		return true;
	if (d->pool)
		pool_sleep_end(d->pool);
	return false;
}

void dispatch_sleep_end(struct dispatch *d)
{
	if (d->pool)
		pool_sleep_end(d->pool);
	if (d->background)
		pool_sleep_end(d->background);
}

static int no_fd(void *arg, const struct job *job)
{
	(void)arg;
	(void)job;
	return fail(EBADF, "a job that needs a descriptor is run by a worker");
}

static void no_finding(void *arg, const struct job *job, bool damage, const char *file, const char *problem)
{
	(void)arg, (void)job, (void)damage, (void)file, (void)problem;
}

/* What the background's worker has of its own. */
static void set_up_background(struct dispatch *d, const uint64_t *set)
{
	d->background_setup = d->setup;
	d->background_setup.min = 0;
	d->background_setup.nice = (unsigned)set[SET_BACKGROUND_NICE];
	d->background_setup.io = (enum pool_io)set[SET_BACKGROUND_IO];
	d->background_setup.patience = BACKGROUND_PATIENCE;
	d->background_setup.name = "bg";
}

int dispatch_open(struct dispatch *d, struct store *store, const struct settings *settings, int epoll,
    void (*notice)(void *arg, const char *text))
{
	const uint64_t *set = settings->values;
	*d = (struct dispatch) {
	    .executor = {start, kick},
	    .store = store,
	    .workers = (unsigned)set[SET_WORKERS],
	    .epoll = epoll,
	    .own = {.base = &store->base,
	        .priv = &store->priv,
	        .catalog = &store->catalog,
	        .take_fd = no_fd,
	        .found = no_finding},
	    .setup = {.base = &store->base,
	        .priv = &store->priv,
	        .catalog = &store->catalog,
	        .lock = store->lock,
	        .method = (enum read_method)set[SET_IO],
	        .depth = (unsigned)set[SET_QUEUE_DEPTH],
	        .min = (unsigned)set[SET_MIN_WORKERS],
	        .idle_ms = (unsigned)set[SET_IDLE_TIMEOUT],
	        .memory_limit = set[SET_MEMORY_LIMIT],
	        .sandbox = (enum sandbox_mode)set[SET_SANDBOX]},
	    .events = {on_done, on_found, notice, d, on_dropped},
	};
	set_up_background(d, set);
	const char *here = getenv("VARVE_INLINE");
	/* Whoever requires a sandbox wants nothing to be decoded outside of it. */
	d->never_inline = (here && strcmp(here, "0") == 0) || set[SET_SANDBOX] == SANDBOX_REQUIRE;
	store->executor = &d->executor;
	int r = reader_open(READ_PREAD, 1, &d->own.reader);
	return r ? r : job_context_open(&d->own);
}

void dispatch_close(struct dispatch *d)
{
	if (d->background) {
		pool_set_urgent(d->background, true);
		pool_close(d->background, 1000);
	}
	if (d->pool)
		pool_close(d->pool, 1000);
	while (d->ops) {
		struct op *op = d->ops;
		d->ops = op->next_op;
		op_free(op);
	}
	job_context_close(&d->own);
	if (d->own.reader)
		reader_close(d->own.reader);
	free(d->uses);
}
