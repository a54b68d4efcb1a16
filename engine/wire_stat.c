/*
 * wire_stat.c - the figures of a store, as an answer.
 *
 *   stat     str store, u64 commits, persisted, u8 has current, id current, u32 coordinator pid, f64 uptime,
 *            u32 clients, u32 session pid, str io method, str io reason, u64 restores, checkouts, commits made, jobs,
 *            u32 n, n x worker, u32 n, n x module, u32 n, n x worker of the background,
 *            u64 jobs waiting, jobs running, worker deaths, damage found, 3 x latency (restore, checkout, commit),
 *            u32 n, n x operation
 *            worker: u32 pid, u8 busy, u64 jobs, bytes read, bytes written, f64 busy share, u32 restarts, u8 state,
 *            f64 busy seconds, str job, id module
 *            module: id, u64 size, commits, base bytes, deltas bytes, last bytes, private, tiers, undo bytes
 *            latency: u64 count, failed, f64 sum, p50, p95, p99, max
 *            operation: str name, u32 pid, u8 waiting, u8 has commit, id commit, u64 done, total, f64 seconds
 */
#include "wire_room.h"

static void put_worker(struct buf *b, const struct varve_worker_stat *worker)
{
	buf_u32(b, (uint32_t)worker->pid);
	buf_u8(b, worker->busy);
	buf_u64(b, worker->jobs);
	buf_u64(b, worker->bytes_read);
	buf_u64(b, worker->bytes_written);
	wire_put_double(b, worker->busy_share);
	buf_u32(b, worker->restarts);
	buf_u8(b, (uint8_t)worker->state);
	wire_put_double(b, worker->busy_seconds);
	wire_put_string(b, worker->job ? worker->job : "");
	wire_put_id(b, &worker->module);
}

/* The fields before the name of the job. */
static void get_worker(struct cursor *c, struct varve_worker_stat *worker)
{
	worker->pid = (int)cursor_u32(c);
	worker->busy = wire_get_bool(c);
	worker->jobs = cursor_u64(c);
	worker->bytes_read = cursor_u64(c);
	worker->bytes_written = cursor_u64(c);
	worker->busy_share = wire_get_double(c);
	worker->restarts = cursor_u32(c);
	uint8_t state = cursor_u8(c);
	if (state > VARVE_WORKER_ENDING)
		c->bad = true;
	worker->state = (enum varve_worker_state)state;
	worker->busy_seconds = wire_get_double(c);
}

static void put_workers(struct buf *b, const struct varve_worker_stat *workers, size_t count)
{
	put_count(b, count);
	for (size_t i = 0; i < count; i++)
		put_worker(b, &workers[i]);
}

static void tally_workers(struct tally *tally, struct cursor *c)
{
	struct varve_worker_stat worker;
	size_t count = cursor_u32(c);
	for (size_t i = 0; i < count && !c->bad; i++) {
		get_worker(c, &worker);
		tally_string(tally, c);
		wire_get_id(c, &worker.module);
	}
	tally->rows += count;
}

/* As many as the message says; where the next ones go is returned. */
static struct varve_worker_stat *fill_workers(
    struct cursor *c, struct varve_worker_stat *workers, size_t *count, struct room *room)
{
	*count = cursor_u32(c);
	for (size_t i = 0; i < *count; i++) {
		get_worker(c, &workers[i]);
		workers[i].job = room_string(room, c);
		wire_get_id(c, &workers[i].module);
	}
	return workers + *count;
}

static void put_module_stat(struct buf *b, const struct varve_module_stat *module)
{
	wire_put_id(b, &module->module);
	buf_u64(b, module->size);
	buf_u64(b, module->commits);
	buf_u64(b, module->base_bytes);
	buf_u64(b, module->deltas_bytes);
	buf_u64(b, module->last_bytes);
	buf_u64(b, module->private_bytes);
	buf_u64(b, module->tiers_bytes);
	buf_u64(b, module->undo_bytes);
}

static void get_module_stat(struct cursor *c, struct varve_module_stat *module)
{
	wire_get_id(c, &module->module);
	module->size = cursor_u64(c);
	module->commits = cursor_u64(c);
	module->base_bytes = cursor_u64(c);
	module->deltas_bytes = cursor_u64(c);
	module->last_bytes = cursor_u64(c);
	module->private_bytes = cursor_u64(c);
	module->tiers_bytes = cursor_u64(c);
	module->undo_bytes = cursor_u64(c);
}

static void put_latency(struct buf *b, const struct varve_latency *latency)
{
	buf_u64(b, latency->count);
	buf_u64(b, latency->failed);
	wire_put_double(b, latency->sum);
	wire_put_double(b, latency->p50);
	wire_put_double(b, latency->p95);
	wire_put_double(b, latency->p99);
	wire_put_double(b, latency->max);
}

static void get_latency(struct cursor *c, struct varve_latency *latency)
{
	latency->count = cursor_u64(c);
	latency->failed = cursor_u64(c);
	latency->sum = wire_get_double(c);
	latency->p50 = wire_get_double(c);
	latency->p95 = wire_get_double(c);
	latency->p99 = wire_get_double(c);
	latency->max = wire_get_double(c);
}

static void put_operation(struct buf *b, const struct varve_operation_stat *operation)
{
	wire_put_string(b, operation->name);
	buf_u32(b, (uint32_t)operation->pid);
	buf_u8(b, operation->waiting);
	buf_u8(b, operation->has_commit);
	wire_put_id(b, &operation->commit);
	buf_u64(b, operation->done);
	buf_u64(b, operation->total);
	wire_put_double(b, operation->seconds);
}

/* The fields behind the name. */
static void get_operation(struct cursor *c, struct varve_operation_stat *operation)
{
	operation->pid = (int)cursor_u32(c);
	operation->waiting = wire_get_bool(c);
	operation->has_commit = wire_get_bool(c);
	wire_get_id(c, &operation->commit);
	operation->done = cursor_u64(c);
	operation->total = cursor_u64(c);
	operation->seconds = wire_get_double(c);
}

void wire_put_stat(struct buf *b, const struct varve_stat *stat)
{
	wire_put_string(b, stat->store);
	buf_u64(b, stat->commits);
	buf_u64(b, stat->persisted);
	buf_u8(b, stat->has_current);
	wire_put_id(b, &stat->current);
	buf_u32(b, (uint32_t)stat->coordinator_pid);
	wire_put_double(b, stat->uptime);
	buf_u32(b, stat->clients);
	buf_u32(b, (uint32_t)stat->session_pid);
	wire_put_string(b, stat->io_method);
	wire_put_string(b, stat->io_reason);
	wire_put_string(b, stat->sandbox);
	wire_put_string(b, stat->sandbox_reason);
	buf_u64(b, stat->restores);
	buf_u64(b, stat->checkouts);
	buf_u64(b, stat->commits_made);
	buf_u64(b, stat->jobs);
	put_workers(b, stat->workers, stat->workers_count);
	put_count(b, stat->modules_count);
	for (size_t i = 0; i < stat->modules_count; i++)
		put_module_stat(b, &stat->modules[i]);
	put_workers(b, stat->background, stat->background_count);
	buf_u64(b, stat->jobs_waiting);
	buf_u64(b, stat->jobs_running);
	buf_u64(b, stat->worker_deaths);
	buf_u64(b, stat->damage_found);
	put_latency(b, &stat->restore_latency);
	put_latency(b, &stat->checkout_latency);
	put_latency(b, &stat->commit_latency);
	put_count(b, stat->operations_count);
	for (size_t i = 0; i < stat->operations_count; i++)
		put_operation(b, &stat->operations[i]);
}

static void get_stat_numbers(struct cursor *c, struct varve_stat *stat)
{
	stat->commits = cursor_u64(c);
	stat->persisted = cursor_u64(c);
	stat->has_current = wire_get_bool(c);
	wire_get_id(c, &stat->current);
	stat->coordinator_pid = (int)cursor_u32(c);
	stat->uptime = wire_get_double(c);
	stat->clients = cursor_u32(c);
	stat->session_pid = (int)cursor_u32(c);
}

static void get_stat_counters(struct cursor *c, struct varve_stat *stat)
{
	stat->restores = cursor_u64(c);
	stat->checkouts = cursor_u64(c);
	stat->commits_made = cursor_u64(c);
	stat->jobs = cursor_u64(c);
}

static void get_stat_processes(struct cursor *c, struct varve_stat *stat)
{
	stat->jobs_waiting = cursor_u64(c);
	stat->jobs_running = cursor_u64(c);
	stat->worker_deaths = cursor_u64(c);
	stat->damage_found = cursor_u64(c);
	get_latency(c, &stat->restore_latency);
	get_latency(c, &stat->checkout_latency);
	get_latency(c, &stat->commit_latency);
}

static bool tally_stat(struct cursor c, struct tally *tally)
{
	struct varve_stat stat;
	struct varve_module_stat module;
	struct varve_operation_stat operation;
	tally_string(tally, &c);
	get_stat_numbers(&c, &stat);
	for (unsigned i = 0; i < 4; i++)
		tally_string(tally, &c);
	get_stat_counters(&c, &stat);
	tally_workers(tally, &c);
	tally->modules = cursor_u32(&c);
	for (size_t i = 0; i < tally->modules && !c.bad; i++)
		get_module_stat(&c, &module);
	tally_workers(tally, &c);
	get_stat_processes(&c, &stat);
	tally->operations = cursor_u32(&c);
	for (size_t i = 0; i < tally->operations && !c.bad; i++) {
		tally_string(tally, &c);
		get_operation(&c, &operation);
	}
	return !c.bad;
}

static void fill_stat(struct cursor *c, struct varve_stat *stat, const struct tally *tally)
{
	struct varve_worker_stat *workers = (struct varve_worker_stat *)(stat + 1);
	struct varve_module_stat *modules = (struct varve_module_stat *)(workers + tally->rows);
	struct varve_operation_stat *operations = (struct varve_operation_stat *)(modules + tally->modules);
	struct room room = {.chars = (char *)(operations + tally->operations)};
	stat->store = room_string(&room, c);
	get_stat_numbers(c, stat);
	stat->io_method = room_string(&room, c);
	stat->io_reason = room_string(&room, c);
	stat->sandbox = room_string(&room, c);
	stat->sandbox_reason = room_string(&room, c);
	get_stat_counters(c, stat);
	stat->workers = workers;
	stat->background = fill_workers(c, workers, &stat->workers_count, &room);
	stat->modules = modules;
	stat->modules_count = cursor_u32(c);
	for (size_t i = 0; i < stat->modules_count; i++)
		get_module_stat(c, &modules[i]);
	fill_workers(c, workers + stat->workers_count, &stat->background_count, &room);
	get_stat_processes(c, stat);
	stat->operations = operations;
	stat->operations_count = cursor_u32(c);
	for (size_t i = 0; i < stat->operations_count; i++) {
		operations[i].name = room_string(&room, c);
		get_operation(c, &operations[i]);
	}
}

struct varve_stat *wire_get_stat(struct cursor *c)
{
	struct tally tally = {0};
	if (c->bad || !tally_stat(*c, &tally)) {
		c->bad = true;
		return NULL;
	}
	struct varve_stat *stat = calloc(1, sizeof(*stat) + tally.rows * sizeof(struct varve_worker_stat) +
	                                        tally.modules * sizeof(struct varve_module_stat) +
	                                        tally.operations * sizeof(struct varve_operation_stat) + tally.chars);
	if (stat)
		fill_stat(c, stat, &tally);
	return stat;
}
