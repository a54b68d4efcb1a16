/*
 * wire_log.c - the log, as an answer.
 *
 *   commit   u64 index, id, u64 parent index, id parent, str label, u64 time, u8 current, u32 n, n x module commit
 *            module commit: id module, id commit, u8 kind, u32 ordinal, u64 size, u64 stored bytes
 */
#include "wire_room.h"

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
