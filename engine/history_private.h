/*
 * history_private.h - what the files of the history share among themselves.
 */
#ifndef ENGINE_HISTORY_PRIVATE_H
#define ENGINE_HISTORY_PRIVATE_H

#include <stdlib.h>

#include "fault.h"
#include "history.h"
#include "idmap.h"

#define LABEL_MAX 4096u
#define IMAGE_BYTES_MAX (UINT64_C(1) << 46)
#define DELTA_BYTES_MAX (UINT64_C(1) << 47)
/** No number in the records: modules are counted there in the order of their own records. */
#define NUMBER_NONE UINT32_MAX

/** A module's record. */
struct module_record {
	uint32_t module; /**< index in the catalog */
	uint64_t sequence;
};

struct history_index {
	struct idmap commits; /**< id to index */
	uint32_t *number_of; /**< catalog index to number in the records; NUMBER_NONE: it has no record */
	uint32_t known; /**< entries of number_of; modules beyond have no record */
	struct module_record *numbers; /**< number to catalog index */
	uint32_t numbers_count;
	uint32_t numbers_capacity;
	uint32_t *order; /**< the modules' indices, ascending by id; valid while order_count == catalog_count() */
	uint32_t order_count;
	bool loaded; /**< a file has given the history its `store` */
};

/** One commit to be added, as the caller or a record describes it. */
struct commit_draft {
	struct varve_id id;
	uint32_t parent;
	int64_t time;
	const char *label; /**< label_size bytes, not terminated */
	size_t label_size;
	const struct fresh_entry *fresh; /**< ascending by module */
	uint32_t fresh_count;
	const struct standing *changes; /**< fresh ones included, ascending by module */
	uint32_t changes_count;
};

/** history_alloc() - as realloc(), and fails where a test asks for it. */
static inline void *history_alloc(void *old, size_t size)
{
	return fault_at("alloc") ? NULL : realloc(old, size);
}

/** module_number() - the number that @module has in records, or NUMBER_NONE. */
uint32_t module_number(const struct history *history, uint32_t module);

/** history_record_module() - give @module the next number in the records; its record is number @sequence. */
int history_record_module(struct history *history, uint32_t module, uint64_t sequence);

/** history_forget_modules() - take back the records of modules after number @sequence. */
void history_forget_modules(struct history *history, uint64_t sequence);

/** history_modules_until() - how many modules have records up to number @sequence. */
uint32_t history_modules_until(const struct history *history, uint64_t sequence);

/** history_apply_commit() - check @draft and add it, as record number @sequence; make it current. Returns 0, -EEXIST,
 * -EINVAL, -ENOSPC, -ENOMEM; then nothing has changed. */
int history_apply_commit(struct history *history, const struct commit_draft *draft, uint64_t sequence);

/** history_checkpoint() - after commit @index was added: put a checkpoint above it if it has none near. */
void history_checkpoint(struct history *history, uint32_t index);

/** history_commits_until() - how many commits have records up to number @sequence. */
uint32_t history_commits_until(const struct history *history, uint64_t sequence);

/* history_write.c: records. */
void write_module(struct buf *records, uint64_t sequence, const struct varve_id *id);
void write_commit(
    const struct history *history, struct buf *records, uint64_t sequence, const struct commit_draft *draft);
void write_current(struct buf *records, uint64_t sequence, uint32_t commit);

#define STORE_MAGIC "VarveRec"
#define STORE_FORMAT 1u

#endif
