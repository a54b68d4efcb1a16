/*
 * dispatch_jobs.c - one job of an operation: who may run beside whom, who runs it, and what happens when it has ended.
 */
#include "dispatch_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "names.h"
#include "undo.h"

/** Images up to HERE_BYTES, with at most so many deltas to them that are not merged, are worth no hand-over. */
#define HERE_DELTAS 64
/** So are restores by difference, of images up to NEAR_BYTES, over deltas that are not more than NEAR_DELTAS bytes. */
#define NEAR_BYTES (16u << 20)
#define NEAR_DELTAS (48u << 10)

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

bool dispatch_may_run(struct dispatch *d, const struct job *job)
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

/* The size of the largest image in the module's chain: whatever is looked at on the way to any of them is no larger. */
static uint64_t largest(struct dispatch *d, uint32_t module)
{
	struct module_use *use = use_of(d, module);
	for (; use->measured < catalog_module(&d->store->catalog, module)->length; use->measured++) {
		uint64_t size = chain_entry(&d->store->catalog, module, use->measured)->size;
		use->largest = size > use->largest ? size : use->largest;
	}
	return use->largest;
}

/* Whether handing @job over would cost more than doing it, if files are as long as they should be. */
static bool is_small(struct dispatch *d, const struct op *op, const struct job *job)
{
	if (d->never_inline || !op->single)
		return false;
	switch (job->kind) {
	case JOB_RESTORE:
		return job->target <= store_work(d->store, job->module).tiers_to + HERE_DELTAS &&
		       largest(d, job->module) <= HERE_BYTES;
	case JOB_COMMIT:
		return catalog_module(&d->store->catalog, job->module)->length && largest(d, job->module) <= HERE_BYTES;
	case JOB_PUBLISH:
		return largest(d, job->module) <= HERE_BYTES;
	default:
		return false;
	}
}

/* Whether it is no step at all, or a small one, from what the backing file holds, as far as can be told without looking
 * at files: the job may say yet that this way does not lead there. */
static bool is_near(const struct dispatch *d, const struct op *op, const struct job *job)
{
	const struct catalog *catalog = &d->store->catalog;
	uint32_t from = job->stamp.entry, to = job->target, length = catalog_module(catalog, job->module)->length;
	uint64_t bytes = 0;
	if (d->never_inline || !op->single || job->kind != JOB_RESTORE || from >= length || to >= length)
		return false;
	if (from == to)
		return true;
	/* Back there are undo deltas, if they have been made. */
	if (to < from && (length - 1 - to > UNDO_KEEP || store_work(d->store, job->module).undo_to < from))
		return false;
	for (uint32_t i = to < from ? to : from; i <= (to < from ? from : to); i++) {
		const struct chain_entry *entry = chain_entry(catalog, job->module, i);
		bytes += i == (to < from ? to : from) ? 0 : entry->delta_bytes;
		if (entry->size > NEAR_BYTES || bytes > NEAR_DELTAS)
			return false;
	}
	return true;
}

/* Does it at once, if that is quick. The job may find that it is not, and then has done nothing. Returns whether that did
 * it. */
static bool run_here(struct dispatch *d, struct op *op, struct job *job)
{
	struct job posted = *job;
	bool small = is_small(d, op, job);
	if (!small && !is_near(d, op, job))
		return false;
	if (!small)
		job->flags |= JOB_NEAR;
	job_run(&d->own, job);
	if (!job->result && job->far) {
		*job = posted;
		return false;
	}
	d->jobs_here++;
	return true;
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
	    [JOB_HASH_SHARD] = "restoring",
	    [JOB_WRITE_SHARD] = "restoring",
	    [JOB_TIERS] = "merging the deltas of",
	    [JOB_SYNC_FILES] = "syncing"};
	char name[NAME_MAX_SIZE], text[sizeof(job->text)];
	name_backing(name, &catalog_module(&d->store->catalog, job->module)->id);
	memcpy(text, job->text, sizeof(text));
	snprintf(
	    job->text, sizeof(job->text), "%s module %s: %.*s", doing[job->kind], name, (int)sizeof(text) - 160, text);
	d->events.notice(d->events.arg, job->text);
}

void dispatch_on_done(void *arg, void *cookie, struct job *job)
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

void dispatch_on_found(void *arg, void *cookie, bool damage, const char *file, const char *problem)
{
	(void)arg;
	op_verify_found(((struct flight *)cookie)->op, damage, file, problem);
}

void dispatch_on_dropped(void *arg, void *cookie)
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

static void hand_over(struct dispatch *d, struct op *op, struct job *job)
{
	struct flight *flight = malloc(sizeof(*flight));
	int r = flight ? 0 : fail_sys(ENOMEM, "memory for a job");
	struct pool *pool = r ? NULL : op->kind->background ? dispatch_background_pool(d) : dispatch_pool(d);
	if (!r && !pool)
		r = -EAGAIN;
	if (!r) {
		*flight = (struct flight) {op, job->module, job->kind};
		r = pool_post(pool, job, op->limit, flight, op->fd);
	}
	if (!r) {
		op->handed++;
		return;
	}
	free(flight);
	job_fails(d, op, job, r);
}

void dispatch_start_job(struct dispatch *d, struct op *op, struct job *job)
{
	use_begin(d, job);
	op->running++;
	if (run_here(d, op, job))
		job_ended(d, op, job);
	else
		hand_over(d, op, job);
}
