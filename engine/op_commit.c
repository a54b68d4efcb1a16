/*
 * op_commit.c - commit the session's modules.
 *
 *   WRITE    one JOB_COMMIT a module, in parallel: compare, write .varve/<ModId>.next
 *   decide   new entries and the commit go into the history and, as records, into the journal: now it exists
 *   PUBLISH  one JOB_PUBLISH for each module that has a new entry
 *
 * Whatever fails before the decision leaves nothing but files that are unlinked again, and the session as it was. What
 * fails after it is mended before the module is next used, from .next: the commit has been made.
 */
#include "op_private.h"

#include <time.h>

#include "fault.h"
#include "image.h"

enum phase { WRITE, PUBLISH, END };

/* One module of the session, in the order of their indices. */
struct part {
	uint32_t module;
	uint32_t basis;
	bool has_id;
	bool unchanged;
	struct varve_id id;
	uint32_t entry; /* unchanged: the entry it stays at; else, once decided, the new one */
	struct chain_entry fresh;
	struct stamp stamp;
};

struct op_commit {
	struct op op;
	enum phase phase;
	struct part *parts;
	uint32_t count;
	uint32_t at;
	char *label;
	bool has_id;
	struct varve_id id;
	uint32_t modules_before; /* of the catalog */
	uint64_t sequence_before;
	struct buf records;
};

static int part_order(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	return (x->module > y->module) - (x->module < y->module);
}

static struct part *part_of(struct op_commit *c, uint32_t module)
{
	struct part key = {.module = module};
	return bsearch(&key, c->parts, c->count, sizeof(*c->parts), part_order);
}

/* ---- the decision ----------------------------------------------------------------------------------------------- */

/* The id made of where all modules will stand. The new entries are in their chains while it is made. */
static int default_id(struct op_commit *c, const struct fresh_entry *fresh, uint32_t fresh_count)
{
	struct store *store = c->op.store;
	uint32_t added = 0;
	uint32_t *table = malloc((catalog_count(&store->catalog) + 1) * sizeof(*table));
	if (!table)
		return fail_sys(ENOMEM, "memory for a commit");
	history_table(&store->history, store->history.current, table);
	for (uint32_t i = 0; i < c->count; i++)
		table[c->parts[i].module] = c->parts[i].entry;
	int r = 0;
	for (; !r && added < fresh_count; added += !r) {
		int64_t entry = chain_append(&store->catalog, fresh[added].module, &fresh[added].entry);
		r = entry < 0 ? (int)entry : 0;
	}
	if (!r)
		r = history_default_commit_id(&store->history, store->history.current, table, &c->id);
	while (added--)
		chain_truncate(&store->catalog, fresh[added].module);
	free(table);
	return r;
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Adds the commit to the history and writes its records. */
static int add(struct op_commit *c, struct fresh_entry *fresh, struct standing *changes)
{
	struct store *store = c->op.store;
	uint32_t fresh_count = 0, changes_count = 0, current = store->history.current;
	for (uint32_t i = 0; i < c->count; i++) {
		struct part *p = &c->parts[i];
		if (!p->unchanged) {
			p->entry = catalog_module(&store->catalog, p->module)->length;
			p->fresh.ordinal = chain_ordinal(&store->catalog, p->module, &p->fresh.id);
			fresh[fresh_count++] = (struct fresh_entry) {p->module, p->fresh};
		} else if (p->entry == store_standing(store, p->module)) {
			continue;
		}
		changes[changes_count++] = (struct standing) {p->module, p->entry};
	}
	int r = c->has_id ? 0 : default_id(c, fresh, fresh_count);
	if (r)
		return r;
	int64_t index = history_add_commit(
	    &store->history, &c->id, c->label, now(), fresh, fresh_count, changes, changes_count, &c->records);
	if (index < 0)
		return (int)index;
	/* What was written for it has its names there, and what the commit before has renamed, too. */
	r = store->sync == VARVE_SYNC_COMMIT ? dir_sync(&store->priv) : 0;
	if (!r)
		r = journal_append(&store->journal, &c->records, false, store->sync == VARVE_SYNC_COMMIT);
	if (r)
		history_drop_newest(&store->history, current, c->sequence_before);
	return r;
}

static int decide(struct op_commit *c)
{
	struct store *store = c->op.store;
	struct fresh_entry *fresh = malloc((c->count + 1) * sizeof(*fresh));
	struct standing *changes = malloc((c->count + 1) * sizeof(*changes));
	int r = fresh && changes ? fault_at("commit.decide") : -ENOMEM;
	if (r)
		fail_sys(-r, "the commit");
	else if (history_find(&store->history, &c->id) != COMMIT_NONE && c->has_id)
		r = fail(EEXIST, "there is a commit with this id already");
	if (!r)
		r = add(c, fresh, changes);
	free(fresh);
	free(changes);
	return r;
}

/* ---- before and after ------------------------------------------------------------------------------------------- */

/* Nothing came of it: the files and the modules that were only for it go. */
static void take_back(struct op_commit *c)
{
	struct store *store = c->op.store;
	for (uint32_t i = 0; i < c->count; i++) {
		char name[NAME_MAX_SIZE];
		name_private(name, &catalog_module(&store->catalog, c->parts[i].module)->id, "next");
		file_unlink(&store->priv, name);
	}
	history_drop_modules(&store->history, c->modules_before, c->sequence_before);
}

/* Puts stamps on: what the backing files hold is committed. */
static void stamp_all(struct op_commit *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		c->parts[i].stamp.entry = c->parts[i].entry;
		stamps_set(&c->op.store->stamps, c->parts[i].module, &c->parts[i].stamp);
	}
}

static enum op_step end(struct op_commit *c)
{
	c->op.store->publishing = false;
	if (c->op.result) {
		take_back(c);
	} else {
		stamp_all(c);
		session_deployed(c->op.store);
		session_end(c->op.store);
		c->op.store->commits++;
	}
	c->phase = END;
	return OP_END;
}

static enum op_step next_write(struct op_commit *c, struct job *job)
{
	if (c->at < c->count && !c->op.result && !c->op.cancelled) {
		const struct part *p = &c->parts[c->at++];
		op_job(c->op.store, job, JOB_COMMIT, p->module, CHAIN_NONE);
		job->basis = p->basis;
		job->has_id = p->has_id;
		job->id = p->id;
		job->flags = c->op.store->sync == VARVE_SYNC_COMMIT ? JOB_SYNC : 0;
		return OP_JOB;
	}
	if (c->op.running)
		return OP_WAIT;
	if (c->op.cancelled)
		op_fail(&c->op, fail(ECANCELED, "the commit was cancelled; nothing was committed"));
	if (!c->op.result)
		op_fail(&c->op, decide(c));
	if (c->op.result)
		return end(c);
	c->phase = PUBLISH;
	c->op.cancels_jobs = false; /* it has been made: nothing can take it back */
	c->op.store->publishing = true;
	c->at = 0;
	return OP_WAIT;
}

static enum op_step next(struct op *op, struct job *job)
{
	struct op_commit *c = (struct op_commit *)op;
	if (c->phase == WRITE) {
		enum op_step step = next_write(c, job);
		if (c->phase != PUBLISH)
			return step;
	}
	while (c->at < c->count && c->parts[c->at].unchanged)
		c->at++;
	if (c->at < c->count) {
		const struct part *p = &c->parts[c->at++];
		op_job(op->store, job, JOB_PUBLISH, p->module, p->entry);
		job->flags = op->store->sync == VARVE_SYNC_COMMIT ? JOB_SYNC : 0;
		return OP_JOB;
	}
	return op->running ? OP_WAIT : end(c);
}

static void done(struct op *op, const struct job *job)
{
	struct op_commit *c = (struct op_commit *)op;
	struct part *p = part_of(c, job->module);
	if (!p)
		return;
	if (c->phase == PUBLISH) {
		/* What failed is mended before it is next used: the commit is made. That nothing has need not be believed. */
		op->store->unpublished |= job->result != 0 || store_wants_repair(op->store, job->module);
		return;
	}
	if (job->result) {
		op_fail_job(op, job);
		return;
	}
	p->unchanged = job->unchanged;
	p->entry = job->same_entry;
	p->fresh = job->entry;
	p->stamp = job->stamp;
}

static void commit_free(struct op *op)
{
	struct op_commit *c = (struct op_commit *)op;
	free(c->parts);
	free(c->label);
	buf_free(&c->records);
}

static const struct op_kind commit_kind = {"commit", true, false, next, done, commit_free};

/* ---- starting --------------------------------------------------------------------------------------------------- */

static int set_ids(struct op_commit *c, const struct varve_module_id *ids, uint32_t ids_count)
{
	for (uint32_t i = 0; i < ids_count; i++) {
		uint32_t m = history_module(&c->op.store->history, &ids[i].module);
		struct part *p = m == MODULE_NONE ? NULL : part_of(c, m);
		if (!p)
			continue;
		p->has_id = true;
		p->id = ids[i].commit;
	}
	return 0;
}

/* The session's modules, those deployed in it made known to the history. */
static int set_parts(struct op_commit *c)
{
	struct store *store = c->op.store;
	struct session *session = &store->session;
	c->parts = calloc(session->count + 1, sizeof(*c->parts));
	if (!c->parts)
		return fail_sys(ENOMEM, "memory for a commit");
	for (uint32_t i = 0; i < session->count; i++) {
		const struct session_module *m = &session->modules[i];
		struct part *p = &c->parts[c->count];
		int64_t index = m->module;
		if (m->module == MODULE_NONE)
			index = history_add_module(&store->history, &m->id, &c->records);
		if (index < 0)
			return (int)index;
		p->module = (uint32_t)index;
		p->basis = m->basis;
		c->count++;
	}
	qsort(c->parts, c->count, sizeof(*c->parts), part_order);
	return 0;
}

struct op *op_commit(struct store *store, const struct varve_id *id, const char *label,
    const struct varve_module_id *ids, uint32_t ids_count)
{
	struct op_commit *c = op_new(store, &commit_kind, sizeof(*c));
	if (!c)
		return NULL;
	c->modules_before = catalog_count(&store->catalog);
	c->sequence_before = store->history.sequence;
	c->has_id = id != NULL;
	if (id)
		c->id = *id;
	int r = 0;
	if (label && *label) {
		c->label = strdup(label);
		r = c->label ? 0 : fail_sys(ENOMEM, "memory for a commit");
	}
	if (!r)
		r = set_parts(c);
	if (!r)
		r = set_ids(c, ids, ids_count);
	if (r) {
		history_drop_modules(&store->history, c->modules_before, c->sequence_before);
		op_free(&c->op);
		return NULL;
	}
	c->op.single = c->count <= 1;
	c->op.cancels_jobs = true;
	return &c->op;
}

void op_commit_id(const struct op *op, struct varve_id *id)
{
	*id = ((const struct op_commit *)op)->id;
}
