/*
 * op_persist.c - sync the files that are new, then bring the journal's records to `commits`.
 *
 * A few files are synced one by one; where there are many, syncing the file system costs less.
 */
#include "op_private.h"

#include <unistd.h>

#define SYNC_EACH_MAX 32

struct op_persist {
	struct op op;
	uint32_t at;
	uint32_t modules;
	bool everything; /* sync the file system at once */
	bool renamed; /* there are new files, which are of no use without their names */
};

static uint32_t synced(const struct store *store, uint32_t module)
{
	return module < store->synced_count ? store->synced[module] : 0;
}

static uint32_t length(const struct store *store, uint32_t module)
{
	return catalog_module(&store->catalog, module)->length;
}

static int remember(struct store *store, uint32_t modules)
{
	if (modules > store->synced_count) {
		uint32_t *list = realloc(store->synced, modules * sizeof(*list));
		if (!list)
			return fail_sys(ENOMEM, "memory for persisting");
		store->synced = list;
	}
	for (uint32_t m = 0; m < modules; m++)
		store->synced[m] = length(store, m);
	store->synced_count = modules;
	return 0;
}

/* Before `commits` says that they are there. A rename is in both directories. */
static int sync_names(const struct store *store)
{
	int r = dir_sync(&store->priv);
	return r ? r : dir_sync(&store->base);
}

static enum op_step next(struct op *op, struct job *job)
{
	struct op_persist *p = (struct op_persist *)op;
	struct store *store = op->store;
	if (store->sync == VARVE_SYNC_NONE)
		p->at = p->modules;
	for (; p->at < p->modules && !op->result; p->at++) {
		uint32_t m = p->at;
		if (length(store, m) == synced(store, m))
			continue;
		op_job(store, job, JOB_SYNC_FILES, m, length(store, m) - 1);
		/* The entry that was the newest then has been synced as pending delta, and lies elsewhere now. */
		job->basis = synced(store, m) ? synced(store, m) - 1 : 0;
		job->flags = p->everything ? JOB_SYNC : 0;
		p->at = p->everything ? p->modules : p->at + 1;
		p->renamed = true;
		return OP_JOB;
	}
	if (op->running)
		return OP_WAIT;
	if (!op->result && p->renamed && !p->everything)
		op_fail(op, sync_names(store));
	if (!op->result)
		op_fail(op, journal_persist(&store->journal, store->sync != VARVE_SYNC_NONE));
	if (!op->result)
		op_fail(op, remember(store, p->modules));
	return OP_END;
}

static void done(struct op *op, const struct job *job)
{
	op_fail_job(op, job);
}

static const struct op_kind persist_kind = {"persist", true, false, next, done, NULL};

struct op *op_persist(struct store *store)
{
	struct op_persist *p = op_new(store, &persist_kind, sizeof(*p));
	if (!p)
		return NULL;
	p->modules = catalog_count(&store->catalog);
	uint64_t files = 0;
	for (uint32_t m = 0; m < p->modules; m++)
		if (length(store, m) != synced(store, m))
			files += length(store, m) - synced(store, m) + 2;
	p->everything = files > SYNC_EACH_MAX;
	return &p->op;
}
