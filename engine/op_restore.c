/*
 * op_restore.c - bring all modules to a commit, or none.
 *
 *   SHRINK    the VM of the session makes the tails of memories that get shorter inaccessible
 *   FORWARD   one JOB_RESTORE a module to where it stood at the commit; a large one that can not be brought there by
 *             difference is split (split.c)
 *   decide    the current commit moves, in the history and on disk
 *   BACK      only if anything failed, or was cancelled: what was touched goes back to where it stood
 *
 * A crash in FORWARD leaves modules without a stamp and the current commit where it was: the next coordinator brings
 * them back (S3).
 */
#include "op_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cpu.h"
#include "fault.h"
#include "split.h"

enum phase { SHRINK, FORWARD, BACK, END };

struct op_restore {
	struct op op;
	enum phase phase;
	bool dry;
	uint32_t commit;
	uint32_t count; /* modules */
	uint32_t at;
	uint32_t *order; /* modules, the largest first: what ends last should be short */
	uint32_t *to; /* by module */
	uint32_t *from;
	bool *touched;
	bool *mapped; /* by a memory of the session */
	struct shrink *shrinks;
	uint32_t shrinks_count;
	bool shrunk;
	struct split *splits; /* large modules that are under way, or done; room for all of them */
	uint32_t splits_count;
	uint64_t started_ns;
	struct varve_report report;
};

/* ---- forward ---------------------------------------------------------------------------------------------------- */

static int hand_out(struct op_restore *r, struct job *job, uint32_t module, uint32_t target)
{
	struct store *store = r->op.store;
	op_job(store, job, JOB_RESTORE, module, target);
	if (r->dry) {
		job->flags = JOB_DRY;
		return 0;
	}
	r->touched[module] = true;
	return job->stamp.entry == target ? 0 : stamps_clear(&store->stamps, module);
}

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
	for (uint32_t i = 0; i < r->splits_count; i++)
		split_end(&r->splits[i], r->op.store);
	r->report.seconds = (double)(clock_now() - r->started_ns) / 1e9;
	r->report.workers = r->op.handed < r->report.workers ? r->op.handed : r->report.workers;
	if (!r->op.store->session.owner)
		session_unlock(r->op.store);
	return OP_END;
}

/* A large module of whose backing file nothing is known. */
static void split_up(struct op_restore *r, uint32_t module)
{
	struct store *store = r->op.store;
	struct split *split = &r->splits[r->splits_count++];
	int e = r->dry ? 0 : stamps_clear(&store->stamps, module);
	r->touched[module] |= !r->dry;
	split_begin(split, store, module, r->to[module], r->dry ? JOB_DRY : 0);
	op_fail(&r->op, e);
}

/* A job of a module that was split up. */
static bool next_of_splits(struct op_restore *r, struct job *job)
{
	for (uint32_t i = 0; i < r->splits_count; i++) {
		struct split *split = &r->splits[i];
		if (split_next(split, r->op.store, job))
			return true;
		if (split->state == SPLIT_ALONE) {
			split->state = SPLIT_DONE;
			op_fail(&r->op, hand_out(r, job, split->module, split->target));
			return !r->op.result;
		}
	}
	return false;
}

/* A job of the next module that has one. */
static bool next_of_modules(struct op_restore *r, struct job *job)
{
	for (; r->at < r->count && !r->op.result; r->at++) {
		uint32_t m = r->order[r->at];
		if (r->to[m] == CHAIN_NONE)
			continue;
		bool large = split_wanted(r->op.store, m, r->to[m]);
		if (large && store_stamp(r->op.store, m).entry == CHAIN_NONE) {
			split_up(r, m);
			r->at++;
			return next_of_splits(r, job);
		}
		op_fail(&r->op, hand_out(r, job, m, r->to[m]));
		job->flags |= large ? JOB_NEAR : 0;
		r->at++;
		return !r->op.result;
	}
	return false;
}

static enum op_step next_forward(struct op_restore *r, struct job *job)
{
	struct op *op = &r->op;
	if (!op->result && !op->cancelled && (next_of_splits(r, job) || next_of_modules(r, job)))
		return OP_JOB;
	if (op->running)
		return OP_WAIT;
	if (op->cancelled)
		op_fail(op, fail(ECANCELED, "the restore was cancelled; every module is where it was"));
	if (!op->result && !r->dry)
		op_fail(op, decide(r));
	if (!op->result || r->dry)
		return end(r);
	r->phase = BACK;
	r->at = 0;
	return OP_WAIT;
}

/* ---- back ------------------------------------------------------------------------------------------------------- */

/* A module of the session that the restore had no job for keeps what the session wrote. One that it touched goes back
 * to the commit; a session's other modules with it, so that all are at one commit. */
static enum op_step next_back(struct op_restore *r, struct job *job)
{
	for (; r->at < r->count; r->at++) {
		uint32_t m = r->at;
		if (r->from[m] == CHAIN_NONE || !(r->touched[m] || r->mapped[m]))
			continue;
		if (hand_out(r, job, m, r->from[m]))
			continue;
		r->at++;
		return OP_JOB;
	}
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

/* A job that was cancelled has changed nothing, but one whose worker died may have, before it was run again: hashing never
 * has; of the others the stamp tells. Such a module need not be brought back. */
static void keep_untouched(struct op_restore *r, const struct job *job)
{
	struct store *store = r->op.store;
	struct place place;
	if (r->dry || r->phase != FORWARD)
		return;
	if (job->kind == JOB_HASH_SHARD)
		r->touched[job->module] = false;
	place_backing(&store->base, &store->catalog, job->module, &place);
	bool tells = job->kind == JOB_RESTORE && job->stamp.entry != CHAIN_NONE;
	int fd = tells ? file_open(place.dir, place.name, O_RDONLY) : -1;
	if (fd < 0)
		return;
	if (stamp_holds(&job->stamp, fd)) {
		r->touched[job->module] = false;
		if (!r->mapped[job->module])
			stamps_set(&store->stamps, job->module, &job->stamp);
	}
	close(fd);
}

static struct split *find_split(const struct op_restore *r, uint32_t module)
{
	for (uint32_t i = 0; i < r->splits_count; i++)
		if (r->splits[i].module == module)
			return &r->splits[i];
	return NULL;
}

static void done(struct op *op, const struct job *job)
{
	struct op_restore *r = (struct op_restore *)op;
	if (job->module >= r->count)
		return;
	if (job->result && r->phase == BACK) {
		/* It stays without a stamp, and is brought to its commit before it is next used. */
		if (op->store->unsettled)
			return; /* said once is enough */
		op->store->unsettled = true;
		size_t used = strlen(op->text);
		snprintf(
		    op->text + used, sizeof(op->text) - used, "; and bringing a module back failed: %s", job->text);
		return;
	}
	bool ended = true;
	struct stamp stamp = job->stamp;
	if (job->kind == JOB_HASH_SHARD || job->kind == JOB_WRITE_SHARD) {
		struct split *split = find_split(r, job->module);
		op_fail(op, split_done(split, op->store, job));
		ended = split->state == SPLIT_DONE;
		stamp = split->stamp;
	}
	op_fail_job(op, job);
	if (job->result == -ECANCELED)
		keep_untouched(r, job);
	if (job->result || op->result)
		return;
	if (job->far && r->phase == FORWARD && split_wanted(op->store, job->module, r->to[job->module]) &&
	    !find_split(r, job->module)) {
		split_up(r, job->module);
		return;
	}
	if (ended && !r->dry && !r->mapped[job->module])
		stamps_set(&op->store->stamps, job->module, &stamp);
	if (r->phase == BACK)
		return;
	r->report.modules += ended;
	r->report.bytes_read += job->bytes_read;
	r->report.bytes_written += job->bytes_written;
	r->report.deltas_applied += job->from ? 0 : job->deltas_applied;
}

static void restore_free(struct op *op)
{
	struct op_restore *r = (struct op_restore *)op;
	free(r->to);
	free(r->from);
	free(r->order);
	free(r->touched);
	free(r->mapped);
	free(r->shrinks);
	free(r->splits);
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

static void put_in_order(struct op_restore *r)
{
	struct sized *list = malloc((r->count + 1) * sizeof(*list));
	for (uint32_t m = 0; m < r->count; m++) {
		r->order[m] = m;
		if (list)
			list[m] = (struct sized) {m, size_at(r->op.store, m, r->to[m], 0)};
	}
	if (!list)
		return; /* then in any order */
	qsort(list, r->count, sizeof(*list), larger_first);
	for (uint32_t i = 0; i < r->count; i++)
		r->order[i] = list[i].module;
	free(list);
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
	r->order = malloc((r->count + 1) * sizeof(*r->order));
	r->touched = calloc(r->count + 1, sizeof(*r->touched));
	r->mapped = calloc(r->count + 1, sizeof(*r->mapped));
	r->splits = calloc(r->count + 1, sizeof(*r->splits));
	if (!r->splits || !r->to || !r->from || !r->order || !r->touched || !r->mapped) {
		fail_sys(ENOMEM, "memory for a restore");
		op_free(&r->op);
		return NULL;
	}
	history_table(&store->history, commit, r->to);
	history_table(&store->history, store->history.current, r->from);
	put_in_order(r);
	r->report.commit = store->history.commits[commit].id;
	for (uint32_t i = 0; i < r->count; i++)
		r->report.modules_total += r->to[i] != CHAIN_NONE;
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

bool op_is_restore(const struct op *op)
{
	return op->kind == &restore_kind;
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
