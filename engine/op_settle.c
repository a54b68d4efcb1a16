/*
 * op_settle.c - bring modules to where they stand at the current commit: after a session was abandoned or its VM died,
 * after a crash, and before a module without a stamp is instantiated.
 */
#include "op_private.h"

struct target {
	uint32_t module;
	uint32_t entry;
};

struct op_settle {
	struct op op;
	uint32_t what;
	struct target *targets;
	uint32_t count;
	uint32_t at;
	bool failed;
};

static enum op_step next(struct op *op, struct job *job)
{
	struct op_settle *s = (struct op_settle *)op;
	while (s->at < s->count) {
		struct target *t = &s->targets[s->at++];
		op_job(op->store, job, JOB_RESTORE, t->module, t->entry);
		int r = job->stamp.entry == t->entry ? 0 : stamps_clear(&op->store->stamps, t->module);
		if (!r)
			return OP_JOB;
		s->failed = true;
		op_fail(op, r);
	}
	if (op->running)
		return OP_WAIT;
	/* What could not be brought back now is, before the next session begins, or by the next coordinator. */
	if (s->what == OP_SETTLE_ALL || s->failed)
		op->store->unsettled = s->failed;
	if (!op->store->session.owner)
		session_unlock(op->store);
	return OP_END;
}

static void done(struct op *op, const struct job *job)
{
	struct op_settle *s = (struct op_settle *)op;
	op_fail_job(op, job);
	if (job->result)
		s->failed = true;
	else
		stamps_set(&op->store->stamps, job->module, &job->stamp);
}

static void settle_free(struct op *op)
{
	free(((struct op_settle *)op)->targets);
}

static const struct op_kind settle_kind = {"settle", true, false, next, done, settle_free};

static void add(struct op_settle *s, uint32_t module, uint32_t entry)
{
	if (entry != CHAIN_NONE)
		s->targets[s->count++] = (struct target) {module, entry};
}

struct op *op_settle(struct store *store, uint32_t what)
{
	struct op_settle *s = op_new(store, &settle_kind, sizeof(*s));
	if (!s)
		return NULL;
	s->what = what;
	uint32_t modules = catalog_count(&store->catalog);
	s->targets = malloc((modules + 1) * sizeof(*s->targets));
	if (!s->targets || session_lock(store)) {
		if (!s->targets)
			fail_sys(ENOMEM, "memory for an operation");
		op_free(&s->op);
		return NULL;
	}
	if (what == OP_SETTLE_ALL) {
		for (uint32_t m = 0; m < modules; m++)
			add(s, m, store_standing(store, m));
	} else if (what == OP_SETTLE_SESSION) {
		for (uint32_t i = 0; i < store->session.count; i++) {
			const struct session_module *m = &store->session.modules[i];
			if (m->module != MODULE_NONE)
				add(s, m->module,
				    m->basis == CHAIN_NONE ? m->before : store_standing(store, m->module));
		}
	} else {
		add(s, what, store_standing(store, what));
	}
	s->op.single = s->count <= 1;
	return &s->op;
}
