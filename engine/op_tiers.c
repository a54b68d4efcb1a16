/*
 * op_tiers.c - background work: tiers and undo deltas for all modules that want some.
 *
 * In the background it is an operation like any other, but that the executor gives it a turn only when there is no
 * other, and one job at a time. Asked for by a client it runs with all workers.
 */
#include "op_private.h"

#include "tiers.h"

struct op_tiers {
	struct op op;
	uint32_t at;
};

/** A module that could not be worked on is left alone until it has a new commit. */
static bool wants_work(const struct store *store, uint32_t module)
{
	uint32_t length = catalog_module(&store->catalog, module)->length;
	struct module_work work = store_work(store, module);
	if (length < 2 || work.busy || work.failed_at == length)
		return false;
	return work.undo_to < length - 1 || work.tiers_to / TIER_FAN < (length - 1) / TIER_FAN;
}

bool op_tiers_wanted(const struct store *store)
{
	if (store->read_only)
		return false;
	for (uint32_t m = 0; m < catalog_count(&store->catalog); m++)
		if (wants_work(store, m))
			return true;
	return false;
}

static enum op_step next(struct op *op, struct job *job)
{
	struct op_tiers *t = (struct op_tiers *)op;
	struct store *store = op->store;
	if (op->cancelled) {
		op_fail(op, fail(ECANCELED, "making what restores are fast by was cancelled; what is done stays"));
		return op->running ? OP_WAIT : OP_END;
	}
	bool busy = false;
	for (uint32_t looked = 0; looked < catalog_count(&store->catalog); looked++) {
		uint32_t m = t->at++ % catalog_count(&store->catalog);
		struct module_work work = store_work(store, m);
		busy |= work.busy;
		if (!wants_work(store, m))
			continue;
		op_job(store, job, JOB_TIERS, m, catalog_module(&store->catalog, m)->length - 1);
		job->tiers_to = work.tiers_to;
		job->undo_to = work.undo_to;
		job->flags = op->kind->background ? 0 : JOB_PATIENT;
		work.busy = true;
		if (store_set_work(store, m, work))
			return OP_END;
		return OP_JOB;
	}
	/* What another operation is at may be given up, and then it is ours to do. */
	return op->running || busy ? OP_WAIT : OP_END;
}

static void done(struct op *op, const struct job *job)
{
	struct store *store = op->store;
	struct module_work work = store_work(store, job->module);
	work.busy = false;
	if (!job->result) {
		work.tiers_to = job->tiers_to <= job->target ? job->tiers_to : 0;
		work.undo_to = job->undo_to <= job->target ? job->undo_to : 0;
	} else if (job->result != -EINTR && job->result != -ECANCELED) {
		work.failed_at = job->target + 1;
	}
	store_set_work(store, job->module, work);
}

static const struct op_kind foreground_kind = {"optimize", false, false, next, done, NULL};
static const struct op_kind background_kind = {"background", false, true, next, done, NULL};

struct op *op_tiers(struct store *store, bool background)
{
	struct op_tiers *t = op_new(store, background ? &background_kind : &foreground_kind, sizeof(*t));
	if (t)
		t->op.cancels_jobs = true;
	if (t && background)
		t->op.limit = 1;
	return t ? &t->op : NULL;
}
