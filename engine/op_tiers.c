/*
 * op_tiers.c - background work: tiers and undo deltas for all modules that want some.
 *
 * In the background it is an operation like any other, but that the executor gives it a turn only when there is no
 * other, and one job at a time. Asked for by a client it runs with all workers.
 */
#include "op_private.h"

#include <errno.h>
#include <stdio.h>

#include "tiers.h"

struct op_tiers {
	struct op op;
	uint32_t at;
	bool others; /**< when it began another operation was at a module */
	int failed; /**< why the first that could not be worked on could not: told at the end, others come first */
	char text[ERR_TEXT];
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

/* Whoever asks may have repaired what was in the way. */
static void try_all_again(struct store *store)
{
	for (uint32_t m = 0; m < store->work_count; m++)
		store->work[m].failed_at = 0;
}

static bool is_busy(const struct store *store)
{
	for (uint32_t m = 0; m < store->work_count; m++)
		if (store->work[m].busy)
			return true;
	return false;
}

/* The next module in turn that wants work; MODULE_NONE: none does. */
static uint32_t next_module(struct op_tiers *t)
{
	const struct store *store = t->op.store;
	for (uint32_t looked = 0; looked < catalog_count(&store->catalog); looked++) {
		uint32_t m = t->at++ % catalog_count(&store->catalog);
		if (wants_work(store, m))
			return m;
	}
	return MODULE_NONE;
}

static enum op_step begin(struct op *op, uint32_t m, struct job *job)
{
	struct store *store = op->store;
	struct module_work work = store_work(store, m);
	op_job(store, job, JOB_TIERS, m, catalog_module(&store->catalog, m)->length - 1);
	job->tiers_to = work.tiers_to;
	job->undo_to = work.undo_to;
	job->flags = op->kind->background ? 0 : JOB_PATIENT;
	work.busy = true;
	if (!store_set_work(store, m, work))
		return OP_JOB;
	op_fail(op, -ENOMEM);
	return op->running ? OP_WAIT : OP_END;
}

static enum op_step next(struct op *op, struct job *job)
{
	struct op_tiers *t = (struct op_tiers *)op;
	if (op->cancelled) {
		op_fail(op, fail(ECANCELED, "making what restores are fast by was cancelled; what is done stays"));
		return op->running ? OP_WAIT : OP_END;
	}
	uint32_t m = next_module(t);
	/* What another operation is at may be given up, and then it is ours to do. */
	if (m == MODULE_NONE && (op->running || is_busy(op->store)))
		return OP_WAIT;
	/* Or it has failed, and nobody here has heard why. */
	if (m == MODULE_NONE && t->others) {
		t->others = false;
		try_all_again(op->store);
		m = next_module(t);
	}
	if (m != MODULE_NONE)
		return begin(op, m, job);
	if (t->failed)
		op_fail(op, fail_with(-t->failed, t->text));
	return OP_END;
}

/* Whether the system stands in the way until somebody does something about it. Not so what was put off, nor damage: that is
 * for those to find who need what is damaged, and who look for it. */
static bool is_lasting(int result)
{
	static const int reasons[] = {
	    ENOMEM, ENOSPC, EDQUOT, EFBIG, EIO, EROFS, EACCES, EPERM, EMFILE, ENFILE, EAGAIN, ENOTRECOVERABLE};
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (result == -reasons[i])
			return true;
	return false;
}

static void done(struct op *op, const struct job *job)
{
	struct op_tiers *t = (struct op_tiers *)op;
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
	if (t->failed || !is_lasting(job->result))
		return;
	t->failed = job->result;
	snprintf(t->text, sizeof(t->text), "%s", job->text);
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
	if (t && !background) {
		t->others = is_busy(store);
		try_all_again(store);
	}
	return t ? &t->op : NULL;
}
