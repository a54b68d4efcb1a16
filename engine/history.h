/*
 * history.h - the commits store in memory: commits, their parents and labels, where each module stood at each.
 *
 * Modules and chains live in the catalog, which the history appends to. Where a module stood at commit k is found by
 * walking parents to the nearest commit that says so, or to a checkpoint: every 64th commit along a line of parents
 * carries the whole table.
 */
#ifndef ENGINE_HISTORY_H
#define ENGINE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog.h"
#include "record.h"

#define COMMIT_NONE UINT32_MAX

/** Where a module stands: entry @entry of its chain. */
struct standing {
	uint32_t module;
	uint32_t entry;
};

struct commit {
	struct varve_id id;
	uint32_t parent; /**< COMMIT_NONE: none */
	uint32_t depth; /**< ancestors */
	int64_t time; /**< nanoseconds since 1970 */
	char *label; /**< NULL: none */
	struct standing *changes; /**< against the parent, ascending by module */
	uint32_t changes_count;
	uint32_t
	    *checkpoint; /**< NULL, or the entry at which each module < checkpoint_count stands, CHAIN_NONE: not part */
	uint32_t checkpoint_count;
};

struct history {
	struct catalog *catalog;
	uint8_t store[16]; /**< random, made with the store */
	uint64_t sequence; /**< of the newest record; 0: none yet */
	struct commit *commits;
	uint32_t count;
	uint32_t capacity;
	uint32_t current; /**< COMMIT_NONE: there is no commit */
	struct history_index *index; /**< ids to indices, private */
};

/** history_open() - an empty history over an empty catalog, with a fresh random `store`. */
int history_open(struct history *history, struct catalog *catalog);
void history_close(struct history *history);

/** history_module() - the module with @id; MODULE_NONE if there is none. */
uint32_t history_module(const struct history *history, const struct varve_id *id);

/** history_find() - the commit with @id; COMMIT_NONE if there is none. */
uint32_t history_find(const struct history *history, const struct varve_id *id);

/** history_resolve() - as varve_resolve(); the sentence says what was looked for. */
int history_resolve(const struct history *history, const char *text, uint32_t *commit);

/** history_standing() - the entry at which @module stands at @commit; CHAIN_NONE: it is not part of it. */
uint32_t history_standing(const struct history *history, uint32_t commit, uint32_t module);

/**
 * history_table() - where all modules stand at @commit (COMMIT_NONE: nowhere).
 * @table  room for catalog_count() entries; CHAIN_NONE where a module is not part of it. O(modules + 64 commits).
 */
void history_table(const struct history *history, uint32_t commit, uint32_t *table);

/** history_default_module_id() - the id made from an image hash. */
void history_default_module_id(const struct image_hash *hash, struct varve_id *id);

/**
 * history_default_commit_id() - the id made of the parent, the number that the commit will have, and where all modules
 * stand (@table, catalog_count() entries): two XXH3-128 with different seeds over the parent's id (zero: none), the
 * number, and (module, module commit, ordinal) sorted by module id.
 */
int history_default_commit_id(
    const struct history *history, uint32_t parent, const uint32_t *table, struct varve_id *id);

/** One thing that is new: appended to the history by history_add_*() and to a file as a record, both or none. */

/** history_add_module() - a module that is committed for the first time. Appends its record to @records (NULL: none).
 * Its index, or -errno. */
int64_t history_add_module(struct history *history, const struct varve_id *id, struct buf *records);

/**
 * history_add_commit() - append a commit, child of the current one, and make it current.
 *
 * @fresh    chain entries that this commit makes, at most one a module; they are appended to the catalog
 * @changes  what differs from the parent, the fresh ones included, ascending by module
 *
 * Appends its record to @records (NULL: none). Its index, or -errno; then nothing has changed.
 */
struct fresh_entry {
	uint32_t module;
	struct chain_entry entry;
};
int64_t history_add_commit(struct history *history, const struct varve_id *id, const char *label, int64_t time,
    const struct fresh_entry *fresh, uint32_t fresh_count, const struct standing *changes, uint32_t changes_count,
    struct buf *records);

/** history_drop_newest() - take back the newest history_add_commit() (its record could not be written): the commit,
 * its chain entries, and modules that have no entries any more; current becomes @current again. */
void history_drop_newest(struct history *history, uint32_t current, uint64_t sequence);

/** history_set_current() - move the current commit. Appends a record. */
void history_set_current(struct history *history, uint32_t commit, struct buf *records);

/** history_begin_file() - the RECORD_STORE record that a file of records starts with. It has the sequence number of
 * the last record that is elsewhere (0 in a new `commits`): the next record in the file has the one after it. */
void history_begin_file(const struct history *history, uint64_t sequence, struct buf *records);

/**
 * history_load() - replay a file of records into the history.
 *
 * The first file read gives the history its `store`. A second one (the journal) must be of the same store, or
 * -ESTALE; records that the history has already (sequence <= history->sequence) are skipped; if there is a gap between
 * the two, -ESTALE, and nothing was applied. Every number in it is checked before it is used.
 * *@good: length of the part that is whole; shorter than @size if the last record is torn.
 * Returns 0, -EBADMSG (with the offset), -EPROTONOSUPPORT, -ESTALE, -ENOMEM.
 */
int history_load(struct history *history, const void *bytes, size_t size, uint64_t *good);

/** history_dump() - the whole history as a fresh file of records (for compaction): the same commits, and sequence
 * numbers that go on to history->sequence, which it may raise. */
int history_dump(struct history *history, struct buf *records);

#endif
