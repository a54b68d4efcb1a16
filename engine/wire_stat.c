/*
 * wire_stat.c - the two large answers, the log and the figures of a store.
 *
 * Each is decoded in two passes over the same bytes: the first checks all of them and counts, the second fills one
 * allocation of exactly that size. What comes out is larger than what came in by a small factor only, so a hostile
 * count can not make the receiver allocate more than it was sent.
 *
 *   commit   u64 index, id, u64 parent index, id parent, str label, u64 time, u8 current, u32 n, n x module commit
 *            module commit: id module, id commit, u8 kind, u32 ordinal, u64 size, u64 stored bytes
 *   stat     str store, u64 commits, persisted, u8 has current, id current, u32 coordinator pid, f64 uptime,
 *            u32 clients, u32 session pid, str io method, str io reason, u64 restores, checkouts, commits made, jobs,
 *            u32 n, n x worker, u32 n, n x module
 *            worker: u32 pid, u8 busy, u64 jobs, bytes read, bytes written, f64 busy share, u32 restarts
 *            module: id, u64 size, commits, base bytes, deltas bytes, last bytes, private bytes
 */
#include <errno.h>
#include <stdlib.h>

#include "wire.h"

/** What the first pass counts. */
struct tally {
	size_t rows; /**< commits, or workers */
	size_t modules;
	size_t chars; /**< of all strings, with a NUL each */
};

/** The allocation that the second pass fills: all rows, then all modules, then all strings. */
struct room {
	void *modules;
	char *chars;
};

static char *room_string(struct room *room, struct cursor *c)
{
	uint32_t length;
	const char *from = wire_get_string(c, &length);
	char *text = room->chars;
	if (length)
		memcpy(text, from, length);
	text[length] = 0;
	room->chars += length + 1;
	return text;
}

static void tally_string(struct tally *tally, struct cursor *c)
{
	uint32_t length;
	wire_get_string(c, &length);
	tally->chars += (size_t)length + 1;
}

static void put_count(struct buf *b, size_t count)
{
	if (count > UINT32_MAX)
		b->bad = true;
	buf_u32(b, (uint32_t)count);
}

/* ---- log -------------------------------------------------------------------------------------------------------- */

static void put_module_info(struct buf *b, const struct varve_module_info *module)
{
	wire_put_id(b, &module->module);
	wire_put_id(b, &module->commit);
	buf_u8(b, (uint8_t)module->kind);
	buf_u32(b, module->ordinal);
	buf_u64(b, module->size);
	buf_u64(b, module->stored_bytes);
}

static void get_module_info(struct cursor *c, struct varve_module_info *module)
{
	wire_get_id(c, &module->module);
	wire_get_id(c, &module->commit);
	uint8_t kind = cursor_u8(c);
	if (kind > VARVE_KIND_LAST)
		c->bad = true;
	module->kind = (enum varve_kind)kind;
	module->ordinal = cursor_u32(c);
	module->size = cursor_u64(c);
	module->stored_bytes = cursor_u64(c);
}

void wire_put_commit(struct buf *b, const struct varve_commit_info *commit)
{
	buf_u64(b, commit->index);
	wire_put_id(b, &commit->commit);
	buf_u64(b, commit->parent_index);
	wire_put_id(b, &commit->parent);
	wire_put_string(b, commit->label);
	buf_u64(b, (uint64_t)commit->time);
	buf_u8(b, commit->current);
	put_count(b, commit->modules_count);
	for (size_t i = 0; i < commit->modules_count; i++)
		put_module_info(b, &commit->modules[i]);
}

/* The fields before the label, and those between it and the modules. */
static void get_commit_head(struct cursor *c, struct varve_commit_info *commit)
{
	commit->index = cursor_u64(c);
	wire_get_id(c, &commit->commit);
	commit->parent_index = cursor_u64(c);
	wire_get_id(c, &commit->parent);
}

static void get_commit_tail(struct cursor *c, struct varve_commit_info *commit)
{
	commit->time = (int64_t)cursor_u64(c);
	commit->current = wire_get_bool(c);
	commit->modules_count = cursor_u32(c);
}

static bool tally_log(struct cursor c, struct tally *tally)
{
	struct varve_commit_info commit;
	struct varve_module_info module;
	tally->rows = cursor_u32(&c);
	for (size_t i = 0; i < tally->rows && !c.bad; i++) {
		get_commit_head(&c, &commit);
		tally_string(tally, &c);
		get_commit_tail(&c, &commit);
		for (size_t k = 0; k < commit.modules_count && !c.bad; k++)
			get_module_info(&c, &module);
		tally->modules += commit.modules_count;
	}
	return !c.bad;
}

static void fill_commit(struct cursor *c, struct varve_commit_info *commit, struct room *room)
{
	struct varve_module_info *modules = room->modules;
	get_commit_head(c, commit);
	commit->label = room_string(room, c);
	get_commit_tail(c, commit);
	commit->modules = modules;
	for (size_t k = 0; k < commit->modules_count; k++)
		get_module_info(c, &modules[k]);
	room->modules = modules + commit->modules_count;
}

struct varve_log *wire_get_log(struct cursor *c)
{
	struct tally tally = {0};
	if (c->bad || !tally_log(*c, &tally)) {
		c->bad = true;
		return NULL;
	}
	size_t rows = sizeof(struct varve_log) + tally.rows * sizeof(struct varve_commit_info);
	size_t modules = tally.modules * sizeof(struct varve_module_info);
	struct varve_log *log = calloc(1, rows + modules + tally.chars);
	if (!log)
		return NULL;
	struct varve_commit_info *commits = (struct varve_commit_info *)(log + 1);
	struct room room = {(char *)log + rows, (char *)log + rows + modules};
	log->count = cursor_u32(c);
	log->commits = commits;
	for (size_t i = 0; i < log->count; i++)
		fill_commit(c, &commits[i], &room);
	return log;
}

/* ---- stat ------------------------------------------------------------------------------------------------------- */

static void put_worker(struct buf *b, const struct varve_worker_stat *worker)
{
	buf_u32(b, (uint32_t)worker->pid);
	buf_u8(b, worker->busy);
	buf_u64(b, worker->jobs);
	buf_u64(b, worker->bytes_read);
	buf_u64(b, worker->bytes_written);
	wire_put_double(b, worker->busy_share);
	buf_u32(b, worker->restarts);
}

static void get_worker(struct cursor *c, struct varve_worker_stat *worker)
{
	worker->pid = (int)cursor_u32(c);
	worker->busy = wire_get_bool(c);
	worker->jobs = cursor_u64(c);
	worker->bytes_read = cursor_u64(c);
	worker->bytes_written = cursor_u64(c);
	worker->busy_share = wire_get_double(c);
	worker->restarts = cursor_u32(c);
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
	buf_u64(b, stat->restores);
	buf_u64(b, stat->checkouts);
	buf_u64(b, stat->commits_made);
	buf_u64(b, stat->jobs);
	put_count(b, stat->workers_count);
	for (size_t i = 0; i < stat->workers_count; i++)
		put_worker(b, &stat->workers[i]);
	put_count(b, stat->modules_count);
	for (size_t i = 0; i < stat->modules_count; i++)
		put_module_stat(b, &stat->modules[i]);
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
	stat->workers_count = cursor_u32(c);
}

static bool tally_stat(struct cursor c, struct tally *tally)
{
	struct varve_stat stat;
	struct varve_worker_stat worker;
	struct varve_module_stat module;
	tally_string(tally, &c);
	get_stat_numbers(&c, &stat);
	tally_string(tally, &c);
	tally_string(tally, &c);
	get_stat_counters(&c, &stat);
	tally->rows = stat.workers_count;
	for (size_t i = 0; i < tally->rows && !c.bad; i++)
		get_worker(&c, &worker);
	tally->modules = cursor_u32(&c);
	for (size_t i = 0; i < tally->modules && !c.bad; i++)
		get_module_stat(&c, &module);
	return !c.bad;
}

struct varve_stat *wire_get_stat(struct cursor *c)
{
	struct tally tally = {0};
	if (c->bad || !tally_stat(*c, &tally)) {
		c->bad = true;
		return NULL;
	}
	size_t rows = sizeof(struct varve_stat) + tally.rows * sizeof(struct varve_worker_stat);
	size_t size = tally.modules * sizeof(struct varve_module_stat);
	struct varve_stat *stat = calloc(1, rows + size + tally.chars);
	if (!stat)
		return NULL;
	struct varve_worker_stat *workers = (struct varve_worker_stat *)(stat + 1);
	struct varve_module_stat *modules = (struct varve_module_stat *)((char *)stat + rows);
	struct room room = {modules, (char *)modules + size};
	stat->store = room_string(&room, c);
	get_stat_numbers(c, stat);
	stat->io_method = room_string(&room, c);
	stat->io_reason = room_string(&room, c);
	get_stat_counters(c, stat);
	for (size_t i = 0; i < stat->workers_count; i++)
		get_worker(c, &workers[i]);
	stat->modules_count = cursor_u32(c);
	for (size_t i = 0; i < stat->modules_count; i++)
		get_module_stat(c, &modules[i]);
	stat->workers = workers;
	stat->modules = modules;
	return stat;
}
