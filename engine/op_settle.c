/*
 * op_settle.c - bring modules to where they stand at the current commit: after a session was abandoned or its VM died,
 * after a crash, and before a module without a stamp is instantiated.
 */
#include "op_private.h"

#include "bring.h"

struct op_settle {
	struct op op;
	uint32_t what;
	struct bring bring;
	bool failed;
};

static void fails(struct op_settle *s, int result)
{
	s->failed = true;
	op_fail(&s->op, result);
}

static enum op_step next(struct op *op, struct job *job)
{
	struct op_settle *s = (struct op_settle *)op;
	int more;
	while ((more = bring_next(&s->bring, job)) < 0)
		fails(s, more);
	if (more)
		return OP_JOB;
	if (op->running)
		return OP_WAIT;
	bring_end(&s->bring);
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
	struct stamp stamp;
	int there = bring_done(&s->bring, job, &stamp);
	if (there < 0)
		fails(s, there);
	else if (there)
		stamps_set(&op->store->stamps, job->module, &stamp);
}

static void settle_free(struct op *op)
{
	bring_close(&((struct op_settle *)op)->bring);
}

static const struct op_kind settle_kind = {"settle", true, false, next, done, settle_free};

static void add(struct op_settle *s, uint32_t module, uint32_t entry)
{
	if (entry != CHAIN_NONE)
		bring_add(&s->bring, module, entry, 0);
}

struct op *op_settle(struct store *store, uint32_t what)
{
	struct op_settle *s = op_new(store, &settle_kind, sizeof(*s));
	if (!s)
		return NULL;
	s->what = what;
	uint32_t modules = catalog_count(&store->catalog);
	if (bring_open(&s->bring, store, modules, 0) || session_lock(store)) {
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
	s->op.single = s->bring.count <= 1;
	return &s->op;
}
