/*
 * dispatch.c - operations take turns: each gives one job, then goes to the end of the line, so that a checkout does not
 * wait for a restore of 1,000 modules to end. No more jobs are handed out than two for each worker, so that one that
 * comes later is not far behind.
 */
#include "dispatch_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "fault.h"

/** Where all CPUs are busy, background work may get none for long: nobody waits for it. */
#define BACKGROUND_PATIENCE 20u

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
	if (op->limit && op->running >= POOL_JOBS_EACH * op->limit)
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
		if (!dispatch_may_run(d, &op->parked_job) || !has_room(d, op))
			return false;
		op->parked = false;
		job = op->parked_job;
	} else {
		/* One that was cancelled may have nothing left to do but to end: that needs no room. */
		bool room = has_room(d, op);
		op->hungry = !room;
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
		if (!room || !dispatch_may_run(d, &job)) {
			op->parked = true;
			op->parked_job = job;
			return false;
		}
	}
	*progress = true;
	dispatch_start_job(d, op, &job);
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

bool dispatch_hungry(const struct dispatch *d)
{
	unsigned waited_for = 0;
	bool hungry = true;
	for (const struct op *op = d->ops; op; op = op->next_op) {
		if (op->kind->background)
			continue;
		waited_for++;
		hungry &= op->hungry && !op->cancelled;
	}
	return waited_for == 1 && hungry;
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

/* It will be tried again, and fail again, with each commit: the log shall have each reason once, not each module. */
static void background_ended(void *arg, struct op *op)
{
	struct dispatch *d = arg;
	char text[ERR_TEXT + 64];
	size_t i = 0;
	if (!op->result || op->result == -ECANCELED)
		return;
	while (i < DISPATCH_STANDING && d->background_told[i] && d->background_told[i] != op->result)
		i++;
	if (i == DISPATCH_STANDING || d->background_told[i])
		return;
	d->background_told[i] = op->result;
	snprintf(text, sizeof(text), "what makes restores fast can not all be made: %s", op->text);
	d->events.notice(d->events.arg, text);
}

void dispatch_background(struct dispatch *d)
{
	for (const struct op *op = d->ops; op; op = op->next_op)
		if (op->kind->background)
			return;
	struct op *op = op_tiers_wanted(d->store) ? op_tiers(d->store, true) : NULL;
	if (!op)
		return;
	op->complete = background_ended;
	op->arg = d;
	start(&d->executor, op);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

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
	d->background_setup.writes_backing = false;
}

/* Both pools say it, the log shall have it once. */
static void on_standing(void *arg, const char *text)
{
	struct dispatch *d = arg;
	for (size_t i = 0; i < DISPATCH_STANDING; i++) {
		if (strcmp(d->standing[i], text) == 0)
			return;
		if (d->standing[i][0])
			continue;
		snprintf(d->standing[i], sizeof(d->standing[i]), "%s", text);
		break;
	}
	d->events.notice(d->events.arg, text);
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
	        .most = HERE_BYTES,
	        .tiers_percent = (uint32_t)set[SET_BACKGROUND_DISK],
	        .take_fd = no_fd,
	        .found = no_finding},
	    .setup = {.base = &store->base,
	        .priv = &store->priv,
	        .catalog = &store->catalog,
	        .lock = store->lock,
	        .writes_backing = true,
	        .method = (enum read_method)set[SET_IO],
	        .depth = (unsigned)set[SET_QUEUE_DEPTH],
	        .min = (unsigned)set[SET_MIN_WORKERS],
	        .idle_ms = set[SET_IDLE_TIMEOUT] < UINT32_MAX ? (unsigned)set[SET_IDLE_TIMEOUT] : UINT32_MAX,
	        .hang_ms = (unsigned)settings->variables[VARIABLE_HANG_MS],
	        .tiers_percent = (unsigned)set[SET_BACKGROUND_DISK],
	        .memory_limit = set[SET_MEMORY_LIMIT],
	        .sandbox = (enum sandbox_mode)set[SET_SANDBOX]},
	    .events = {dispatch_on_done, dispatch_on_found, notice, d, dispatch_on_dropped, on_standing},
	};
	set_up_background(d, set);
	/* Whoever requires a sandbox wants nothing to be decoded outside of it. */
	d->never_inline = !settings->variables[VARIABLE_INLINE] || set[SET_SANDBOX] == SANDBOX_REQUIRE;
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
