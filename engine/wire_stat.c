/*
 * wire_stat.c - the figures of a store, and of a restore, as answers.
 *
 *   stat     str store, u64 commits, persisted, u8 has current, id current, u32 coordinator pid, f64 uptime,
 *            u32 clients, u32 session pid, str io method, str io reason, u64 restores, checkouts, commits made, jobs,
 *            u32 n, n x worker, u32 n, n x module, u32 n, n x worker of the background,
 *            u64 jobs waiting, jobs running, worker deaths, damage found, 3 x latency (restore, checkout, commit),
 *            u32 n, n x operation, u64 disk bytes, backing bytes, history bytes
 *            worker: u32 pid, u8 busy, u64 jobs, bytes read, bytes written, f64 busy share, u32 restarts, u8 state,
 *            f64 busy seconds, str job, id module
 *            module: id, u64 size, commits, base bytes, deltas bytes, last bytes, private, tiers, undo bytes
 *            latency: u64 count, failed, f64 sum, p50, p95, p99, max
 *            operation: str name, u32 pid, u8 waiting, u8 has commit, id commit, u64 done, total, f64 seconds, share
 *
 * Each structure's fields stand once, in the order in which they are sent: whoever writes, counts, or reads goes through
 * the same list (struct pass).
 */
#include "wire_room.h"

enum way {
	WRITE,
	COUNT, /* read, checked, and thrown away */
	FILL,
};

/** One walk along the fields. */
struct pass {
	enum way way;
	struct buf *to; /* WRITE */
	struct cursor *from; /* else */
	struct tally tally; /* COUNT */
	struct room room; /* FILL */
	void *rows[3]; /* FILL: where the next worker, module, operation goes */
};

/** What there are lists of. */
enum list {
	WORKERS,
	MODULES,
	OPERATIONS,
};

/* ---- values ----------------------------------------------------------------------------------------------------- */

static void pass_u32(struct pass *p, uint32_t *value)
{
	if (p->way == WRITE)
		buf_u32(p->to, *value);
	else
		*value = cursor_u32(p->from);
}

static void pass_pid(struct pass *p, int *value)
{
	uint32_t number = (uint32_t)*value;
	pass_u32(p, &number);
	*value = (int)number;
}

static void pass_u64(struct pass *p, uint64_t *value)
{
	if (p->way == WRITE)
		buf_u64(p->to, *value);
	else
		*value = cursor_u64(p->from);
}

static void pass_double(struct pass *p, double *value)
{
	if (p->way == WRITE)
		wire_put_double(p->to, *value);
	else
		*value = wire_get_double(p->from);
}

static void pass_bool(struct pass *p, bool *value)
{
	if (p->way == WRITE)
		buf_u8(p->to, *value);
	else
		*value = wire_get_bool(p->from);
}

static void pass_id(struct pass *p, struct varve_id *id)
{
	if (p->way == WRITE)
		wire_put_id(p->to, id);
	else
		wire_get_id(p->from, id);
}

static void pass_string(struct pass *p, const char **text)
{
	if (p->way == WRITE)
		wire_put_string(p->to, *text ? *text : "");
	else if (p->way == COUNT)
		tally_string(&p->tally, p->from);
	else
		*text = room_string(&p->room, p->from);
}

/* ---- structures ------------------------------------------------------------------------------------------------- */

static void pass_state(struct pass *p, enum varve_worker_state *state)
{
	if (p->way == WRITE) {
		buf_u8(p->to, (uint8_t)*state);
		return;
	}
	uint8_t value = cursor_u8(p->from);
	if (value > VARVE_WORKER_ENDING)
		p->from->bad = true;
	*state = (enum varve_worker_state)value;
}

static void pass_worker(struct pass *p, void *row)
{
	struct varve_worker_stat *worker = row;
	pass_pid(p, &worker->pid);
	pass_bool(p, &worker->busy);
	pass_u64(p, &worker->jobs);
	pass_u64(p, &worker->bytes_read);
	pass_u64(p, &worker->bytes_written);
	pass_double(p, &worker->busy_share);
	pass_u32(p, &worker->restarts);
	pass_state(p, &worker->state);
	pass_double(p, &worker->busy_seconds);
	pass_string(p, &worker->job);
	pass_id(p, &worker->module);
}

static void pass_module(struct pass *p, void *row)
{
	struct varve_module_stat *module = row;
	pass_id(p, &module->module);
	pass_u64(p, &module->size);
	pass_u64(p, &module->commits);
	pass_u64(p, &module->base_bytes);
	pass_u64(p, &module->deltas_bytes);
	pass_u64(p, &module->last_bytes);
	pass_u64(p, &module->private_bytes);
	pass_u64(p, &module->tiers_bytes);
	pass_u64(p, &module->undo_bytes);
}

static void pass_latency(struct pass *p, struct varve_latency *latency)
{
	pass_u64(p, &latency->count);
	pass_u64(p, &latency->failed);
	pass_double(p, &latency->sum);
	pass_double(p, &latency->p50);
	pass_double(p, &latency->p95);
	pass_double(p, &latency->p99);
	pass_double(p, &latency->max);
}

static void pass_operation(struct pass *p, void *row)
{
	struct varve_operation_stat *operation = row;
	pass_string(p, &operation->name);
	pass_pid(p, &operation->pid);
	pass_bool(p, &operation->waiting);
	pass_bool(p, &operation->has_commit);
	pass_id(p, &operation->commit);
	pass_u64(p, &operation->done);
	pass_u64(p, &operation->total);
	pass_double(p, &operation->seconds);
	pass_double(p, &operation->share);
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

static const struct {
	size_t size;
	void (*pass)(struct pass *p, void *row);
} rows_of[] = {
    [WORKERS] = {sizeof(struct varve_worker_stat), pass_worker},
    [MODULES] = {sizeof(struct varve_module_stat), pass_module},
    [OPERATIONS] = {sizeof(struct varve_operation_stat), pass_operation},
};

static size_t *tally_of(struct tally *tally, enum list list)
{
	return list == WORKERS ? &tally->rows : list == MODULES ? &tally->modules : &tally->operations;
}

/** pass_list() - its length and its rows; FILL: where it lies is returned, WRITE: @rows. */
static const void *pass_list(struct pass *p, enum list list, const void *rows, size_t *count)
{
	union {
		struct varve_worker_stat worker;
		struct varve_module_stat module;
		struct varve_operation_stat operation;
	} row;
	size_t size = rows_of[list].size;
	memset(&row, 0, sizeof(row));
	if (p->way == WRITE)
		put_count(p->to, *count);
	else
		*count = cursor_u32(p->from);
	if (p->way == FILL)
		rows = p->rows[list];
	for (size_t i = 0; i < *count && !(p->way == COUNT && p->from->bad); i++) {
		if (p->way == WRITE)
			memcpy(&row, (const char *)rows + i * size, size);
		rows_of[list].pass(p, p->way == FILL ? (char *)p->rows[list] + i * size : (void *)&row);
	}
	if (p->way == COUNT)
		*tally_of(&p->tally, list) += *count;
	if (p->way == FILL)
		p->rows[list] = (char *)p->rows[list] + *count * size;
	return rows;
}

static void pass_stat(struct pass *p, struct varve_stat *stat)
{
	pass_string(p, &stat->store);
	pass_u64(p, &stat->commits);
	pass_u64(p, &stat->persisted);
	pass_bool(p, &stat->has_current);
	pass_id(p, &stat->current);
	pass_pid(p, &stat->coordinator_pid);
	pass_double(p, &stat->uptime);
	pass_u32(p, &stat->clients);
	pass_pid(p, &stat->session_pid);
	pass_string(p, &stat->io_method);
	pass_string(p, &stat->io_reason);
	pass_string(p, &stat->sandbox);
	pass_string(p, &stat->sandbox_reason);
	pass_u64(p, &stat->restores);
	pass_u64(p, &stat->checkouts);
	pass_u64(p, &stat->commits_made);
	pass_u64(p, &stat->jobs);
	stat->workers = pass_list(p, WORKERS, stat->workers, &stat->workers_count);
	stat->modules = pass_list(p, MODULES, stat->modules, &stat->modules_count);
	stat->background = pass_list(p, WORKERS, stat->background, &stat->background_count);
	pass_u64(p, &stat->jobs_waiting);
	pass_u64(p, &stat->jobs_running);
	pass_u64(p, &stat->worker_deaths);
	pass_u64(p, &stat->damage_found);
	pass_latency(p, &stat->restore_latency);
	pass_latency(p, &stat->checkout_latency);
	pass_latency(p, &stat->commit_latency);
	stat->operations = pass_list(p, OPERATIONS, stat->operations, &stat->operations_count);
	pass_u64(p, &stat->disk_bytes);
	pass_u64(p, &stat->backing_bytes);
	pass_u64(p, &stat->history_bytes);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

void wire_put_stat(struct buf *b, const struct varve_stat *stat)
{
	struct pass p = {.way = WRITE, .to = b};
	struct varve_stat copy = *stat;
	pass_stat(&p, &copy);
}

struct varve_stat *wire_get_stat(struct cursor *c)
{
	struct cursor first = *c;
	struct pass p = {.way = COUNT, .from = &first};
	struct varve_stat scratch = {0};
	pass_stat(&p, &scratch);
	if (first.bad) {
		c->bad = true;
		return NULL;
	}
	size_t workers = p.tally.rows * sizeof(struct varve_worker_stat);
	size_t modules = p.tally.modules * sizeof(struct varve_module_stat);
	size_t operations = p.tally.operations * sizeof(struct varve_operation_stat);
	struct varve_stat *stat = calloc(1, sizeof(*stat) + workers + modules + operations + p.tally.chars);
	if (!stat)
		return NULL;
	p.way = FILL;
	p.from = c;
	p.rows[WORKERS] = stat + 1;
	p.rows[MODULES] = (char *)p.rows[WORKERS] + workers;
	p.rows[OPERATIONS] = (char *)p.rows[MODULES] + modules;
	p.room.chars = (char *)p.rows[OPERATIONS] + operations;
	pass_stat(&p, stat);
	return stat;
}

static void pass_report(struct pass *p, struct varve_report *report)
{
	pass_id(p, &report->commit);
	pass_u64(p, &report->modules);
	pass_u64(p, &report->modules_total);
	pass_u64(p, &report->bytes_written);
	pass_u64(p, &report->bytes_read);
	pass_u64(p, &report->deltas_applied);
	pass_double(p, &report->seconds);
	pass_u32(p, &report->workers);
	pass_double(p, &report->share);
}

void wire_put_report(struct buf *b, const struct varve_report *report)
{
	struct pass p = {.way = WRITE, .to = b};
	struct varve_report copy = *report;
	pass_report(&p, &copy);
}

void wire_get_report(struct cursor *c, struct varve_report *report)
{
	struct pass p = {.way = FILL, .from = c};
	memset(report, 0, sizeof(*report));
	pass_report(&p, report);
}
