/*
 * op_restore.c - bring all modules to a commit, or none.
 *
 *   SHRINK    the VM of the session makes the tails of memories that get shorter inaccessible
 *   FORWARD   each module is brought to where it stood at the commit (bring.c)
 *   decide    the current commit moves, in the history and on disk
 *   BACK      only if anything failed, or was cancelled: what was touched goes back to where it stood
 *
 * A crash in FORWARD leaves modules without a stamp and the current commit where it was: the next coordinator brings
 * them back (S3).
 *
 * Who cancels wants to go on soon. Of a large module only what may have been written to is brought back: all else is what
 * it was before. Files of a session were written to by its VM, anywhere: these are brought back as a whole, unless nothing
 * at all was touched. Whoever answers need not wait for BACK: it is nobody's business but that of the next operation,
 * which begins when this one has ended.
 */
#include "op_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bring.h"
#include "cpu.h"
#include "fault.h"

enum phase { SHRINK, FORWARD, BACK, END };

struct op_restore {
	struct op op;
	enum phase phase;
	bool dry;
	uint32_t commit;
	uint32_t count; /* modules */
	uint32_t *to; /* by module */
	uint32_t *from;
	bool *touched;
	bool touched_any;
	bool *mapped; /* by a memory of the session */
	struct shrink *shrinks;
	uint32_t shrinks_count;
	bool shrunk;
	struct bring forward;
	struct bring back;
	uint64_t started_ns;
	uint64_t bytes; /* of all images that are to be there */
	uint64_t bytes_done;
	uint64_t *done_of; /* of that, by module */
	struct varve_report report;
};

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* Everything is where it should be: say so on disk, then to the session. */
static int decide(struct op_restore *r)
{
	struct store *store = r->op.store;
	int e = fault_at("restore.decide");
	if (e)
		return fail_sys(-e, "the restore");
	e = store_set_current(store, r->commit);
	if (e)
		return e;
	session_undeploy(store);
	struct session *s = &store->session;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t m = s->modules[i].module;
		if (m == MODULE_NONE || m >= r->count || r->to[m] == CHAIN_NONE)
			continue;
		s->modules[kept] = s->modules[i];
		s->modules[kept].basis = r->to[m];
		s->modules[kept].before = CHAIN_NONE;
		kept++;
	}
	s->count = kept;
	store->restores++;
	return 0;
}

static enum op_step end(struct op_restore *r)
{
	r->phase = END;
	bring_end(&r->forward);
	bring_end(&r->back);
	r->report.seconds = (double)(clock_now() - r->started_ns) / 1e9;
	r->report.workers = r->op.handed < r->report.workers ? r->op.handed : r->report.workers;
	if (!r->op.store->session.owner)
		session_unlock(r->op.store);
	return OP_END;
}

/* The next job forward; 0: there is none now. */
static int next_of_modules(struct op_restore *r, struct job *job)
{
	if (r->op.result || r->op.cancelled)
		return 0;
	int more = bring_next(&r->forward, job);
	if (more < 0)
		op_fail(&r->op, more);
	if (more > 0 && !r->dry && job->kind != JOB_HASH_SHARD)
		r->touched[job->module] = r->touched_any = true;
	return more > 0;
}

/* What is to go back. A module of the session that the restore had no job for keeps nothing of what the session wrote
 * either, so that all are at one commit; but where it was cancelled before anything was done nothing is. */
static void turn_back(struct op_restore *r)
{
	r->phase = BACK;
	if (r->op.cancelled && !r->touched_any)
		return;
	for (uint32_t m = 0; m < r->count; m++) {
		const struct split *split = bring_split(&r->forward, m);
		bool begun = r->touched[m] || (split && !r->op.cancelled);
		if (r->from[m] == CHAIN_NONE || !(begun || r->mapped[m]))
			continue;
		bool only_written = split && r->op.cancelled && !r->mapped[m];
		bring_add(&r->back, m, r->from[m], only_written ? split_cut(split) : 0);
	}
}

static enum op_step next_forward(struct op_restore *r, struct job *job)
{
	struct op *op = &r->op;
	if (next_of_modules(r, job))
		return OP_JOB;
	if (op->running)
		return OP_WAIT;
	if (op->cancelled)
		op_fail(op, fail(ECANCELED, "the restore was cancelled; every module is where it was"));
	if (!op->result && !r->dry)
		op_fail(op, decide(r));
	if (!op->result || r->dry)
		return end(r);
	turn_back(r);
	return OP_WAIT;
}

/* ---- back ------------------------------------------------------------------------------------------------------- */

/* It stays without a stamp, and is brought to its commit before it is next used. */
static void stays_away(struct op_restore *r)
{
	struct op *op = &r->op;
	if (op->store->unsettled)
		return; /* said once is enough */
	op->store->unsettled = true;
	size_t used = strlen(op->text);
	snprintf(op->text + used, sizeof(op->text) - used, "; and bringing a module back failed: %s", err_text());
}

static enum op_step next_back(struct op_restore *r, struct job *job)
{
	int more;
	while ((more = bring_next(&r->back, job)) < 0)
		stays_away(r);
	if (more)
		return OP_JOB;
	return r->op.running ? OP_WAIT : end(r);
}

static enum op_step next(struct op *op, struct job *job)
{
	struct op_restore *r = (struct op_restore *)op;
	if (!r->started_ns)
		r->started_ns = clock_now();
	if (r->phase == SHRINK) {
		if (r->shrinks_count && !r->shrunk && !op->cancelled)
			return OP_WAIT;
		r->phase = FORWARD;
	}
	if (r->phase == FORWARD) {
		enum op_step step = next_forward(r, job);
		if (r->phase != BACK)
			return step;
	}
	return next_back(r, job);
}

/* A job that was cancelled, or could do nothing, has changed nothing, but one whose worker died may have, before it was
 * run again: the stamp tells. Such a module need not be brought back. */
static void keep_untouched(struct op_restore *r, const struct job *job)
{
	struct store *store = r->op.store;
	struct place place;
	if (r->dry || job->kind != JOB_RESTORE || job->stamp.entry == CHAIN_NONE)
		return;
	place_backing(&store->base, &store->catalog, job->module, &place);
	int fd = file_open(place.dir, place.name, O_RDONLY);
	if (fd < 0)
		return;
	if (stamp_holds(&job->stamp, fd)) {
		r->touched[job->module] = false;
		if (!r->mapped[job->module])
			stamps_set(&store->stamps, job->module, &job->stamp);
	}
	close(fd);
}

/* How far it is. A shard is built twice, in each round half of the work; a round that was left out counts at the end. */
static void count(struct op_restore *r, const struct job *job, bool there)
{
	uint64_t size = chain_entry(&r->op.store->catalog, job->module, r->to[job->module])->size, done = 0;
	uint64_t *done_of = &r->done_of[job->module];
	if (there)
		done = size - *done_of;
	else if (job->kind != JOB_RESTORE)
		done = ((job->to < size ? job->to : size) - job->from) / 2;
	*done_of += done;
	r->bytes_done += done;
	r->report.share = r->bytes ? (double)r->bytes_done / (double)r->bytes : 1;
}

static void report(struct op_restore *r, const struct job *job, bool there)
{
	count(r, job, there);
	uint64_t bytes_read = job->bytes_read, deltas = job->deltas_applied;
	if (job->kind != JOB_RESTORE)
		bring_count(&r->forward, job, &bytes_read, &deltas);
	r->report.modules += there;
	r->report.bytes_read += bytes_read;
	r->report.bytes_written += job->bytes_written;
	r->report.deltas_applied += deltas;
}

static void done(struct op *op, const struct job *job)
{
	struct op_restore *r = (struct op_restore *)op;
	bool back = r->phase == BACK;
	struct stamp stamp;
	if (job->module >= r->count)
		return;
	if (!back)
		op_fail_job(op, job);
	int there = bring_done(back ? &r->back : &r->forward, job, &stamp);
	if (there < 0 && back)
		stays_away(r);
	else if (there < 0 && !job->result)
		op_fail(op, there);
	if (!back && (job->result == -ECANCELED || job->far))
		keep_untouched(r, job);
	if (job->result || (op->result && !back))
		return;
	if (there > 0 && !r->dry && !r->mapped[job->module] && stamp.entry != CHAIN_NONE)
		stamps_set(&op->store->stamps, job->module, &stamp);
	if (back)
		return;
	report(r, job, there > 0);
}

static void restore_free(struct op *op)
{
	struct op_restore *r = (struct op_restore *)op;
	free(r->to);
	free(r->from);
	free(r->touched);
	free(r->mapped);
	free(r->done_of);
	free(r->shrinks);
	bring_close(&r->forward);
	bring_close(&r->back);
}

static const struct op_kind restore_kind = {"restore", true, false, next, done, restore_free};

/* ---- starting --------------------------------------------------------------------------------------------------- */

static uint64_t size_at(const struct store *store, uint32_t module, uint32_t entry, uint64_t otherwise)
{
	return entry == CHAIN_NONE ? otherwise : chain_entry(&store->catalog, module, entry)->size;
}

/* A file may become as short as the shorter of both commits says: forward, or back. */
static int find_shrinks(struct op_restore *r)
{
	struct store *store = r->op.store;
	r->shrinks = calloc(store->session.count + 1, sizeof(*r->shrinks));
	if (!r->shrinks)
		return fail_sys(ENOMEM, "memory for a restore");
	for (uint32_t i = 0; i < store->session.count; i++) {
		uint32_t m = store->session.modules[i].module;
		char name[NAME_MAX_SIZE];
		struct stat st;
		if (m == MODULE_NONE)
			continue;
		r->mapped[m] = true;
		name_backing(name, &store->session.modules[i].id);
		if (file_stat(&store->base, name, &st))
			continue;
		uint64_t size = (uint64_t)st.st_size, to = size_at(store, m, r->to[m], size);
		uint64_t from = size_at(store, m, r->from[m], size);
		uint64_t least = to < from ? to : from;
		if (least < size)
			r->shrinks[r->shrinks_count++] = (struct shrink) {m, least};
	}
	return 0;
}

struct sized {
	uint32_t module;
	uint64_t size;
};

static int larger_first(const void *a, const void *b)
{
	const struct sized *x = a, *y = b;
	return x->size != y->size ? (x->size < y->size) - (x->size > y->size)
	                          : (x->module > y->module) - (x->module < y->module);
}

/* The largest first: what ends last should be short. */
static int put_in_order(struct op_restore *r)
{
	struct sized *list = malloc((r->count + 1) * sizeof(*list));
	uint32_t used = 0;
	if (!list)
		return fail_sys(ENOMEM, "memory for a restore");
	for (uint32_t m = 0; m < r->count; m++)
		if (r->to[m] != CHAIN_NONE)
			list[used++] = (struct sized) {m, size_at(r->op.store, m, r->to[m], 0)};
	qsort(list, used, sizeof(*list), larger_first);
	for (uint32_t i = 0; i < used; i++) {
		bring_add(&r->forward, list[i].module, r->to[list[i].module], 0);
		r->bytes += list[i].size;
	}
	r->report.modules_total = used;
	free(list);
	return 0;
}

struct op *op_restore(struct store *store, uint32_t commit, unsigned workers, bool dry)
{
	struct op_restore *r = op_new(store, &restore_kind, sizeof(*r));
	if (!r)
		return NULL;
	r->commit = commit;
	r->dry = dry;
	r->op.cancels_jobs = true;
	r->op.limit = workers;
	r->count = catalog_count(&store->catalog);
	r->to = malloc((r->count + 1) * sizeof(*r->to));
	r->from = malloc((r->count + 1) * sizeof(*r->from));
	r->touched = calloc(r->count + 1, sizeof(*r->touched));
	r->mapped = calloc(r->count + 1, sizeof(*r->mapped));
	r->done_of = calloc(r->count + 1, sizeof(*r->done_of));
	if (!r->to || !r->from || !r->touched || !r->mapped || !r->done_of ||
	    bring_open(&r->forward, store, r->count, dry ? JOB_DRY : 0) || bring_open(&r->back, store, r->count, 0)) {
		fail_sys(ENOMEM, "memory for a restore");
		op_free(&r->op);
		return NULL;
	}
	history_table(&store->history, commit, r->to);
	history_table(&store->history, store->history.current, r->from);
	if (put_in_order(r)) {
		op_free(&r->op);
		return NULL;
	}
	r->report.commit = store->history.commits[commit].id;
	r->op.single = r->report.modules_total == 1;
	if (!dry && (session_lock(store) || find_shrinks(r))) {
		op_free(&r->op);
		return NULL;
	}
	return &r->op;
}

const struct varve_report *op_restore_report(const struct op *op)
{
	return &((const struct op_restore *)op)->report;
}

void op_restore_workers(struct op *op, unsigned workers)
{
	((struct op_restore *)op)->report.workers = op->limit && op->limit < workers ? op->limit : workers;
}

uint32_t op_restore_shrinks(struct op *op, const struct shrink **list)
{
	struct op_restore *r = (struct op_restore *)op;
	*list = r->shrinks;
	return r->shrinks_count;
}

void op_restore_shrunk(struct op *op)
{
	if (op->kind == &restore_kind)
		((struct op_restore *)op)->shrunk = true;
}
