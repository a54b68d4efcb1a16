/*
 * history.h - the commits store in memory: commits, their parents and labels, where each module stood at each.
 *
 * Modules and chains live in the catalog, which the history appends to. Where a module stood at commit k is found by
 * walking parents to the nearest commit that says so, or to a checkpoint: along every line of parents some commits
 * carry the whole table, never more than 64 steps apart (with more than 4,096 modules: a 64th of their number).
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
	uint64_t sequence; /**< of its record */
	struct standing *changes; /**< against the parent, ascending by module */
	uint32_t changes_count;
	uint32_t walk; /**< at most so many steps to the nearest checkpoint above, or to the root */
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

/** history_open() - an empty history over an empty catalog, with a fresh random `store`. It must stay where it is: its
 * index points to it. */
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
 * @table  room for catalog_count() entries; CHAIN_NONE where a module is not part of it. Costs O(modules), and what
 * changed in the commits since the nearest checkpoint.
 */
void history_table(const struct history *history, uint32_t commit, uint32_t *table);

/** history_default_module_id() - the id made from an image hash. */
void history_default_module_id(const struct image_hash *hash, struct varve_id *id);

/**
 * history_default_commit_id() - the id made of the parent, the number that the commit will have, and where all modules
 * stand (@table, catalog_count() entries; they must be in their chains): two XXH3-128 with different seeds over the
 * parent's id (zero: none), the number, and (module, module commit, ordinal) sorted by module id. Returns 0 or -ENOMEM.
 */
int history_default_commit_id(
    const struct history *history, uint32_t parent, const uint32_t *table, struct varve_id *id);

/** One thing that is new: appended to the history by history_add_*() and to a file as a record, both or none. */

/**
 * history_add_module() - a module that is committed for the first time. Appends its record to @records.
 *
 * @records  NULL: put it into the catalog only; its record is written by the first commit that has an entry of it. So
 *           nothing needs to be taken back if that commit never comes.
 *
 * Its index, also if it is there already, or -errno.
 */
int64_t history_add_module(struct history *history, const struct varve_id *id, struct buf *records);

/**
 * history_add_commit() - append a commit, child of the current one, and make it current.
 *
 * @label    NULL or "": none
 * @fresh    chain entries that this commit makes, at most one a module; they are appended to the catalog
 * @changes  what differs from the parent, the fresh ones included, ascending by module
 *
 * Appends its record to @records (NULL: none), after those of modules that have none yet. Its index, or -errno:
 * -EEXIST (there is a commit with @id), -EINVAL (label longer than 4,096 bytes; entries that do not exist), -ENOSPC,
 * -ENOMEM; then nothing has changed.
 */
struct fresh_entry {
	uint32_t module;
	struct chain_entry entry;
};
int64_t history_add_commit(struct history *history, const struct varve_id *id, const char *label, int64_t time,
    const struct fresh_entry *fresh, uint32_t fresh_count, const struct standing *changes, uint32_t changes_count,
    struct buf *records);

/**
 * history_drop_newest() - take back what was added since record number @sequence (its records could not be written):
 * commits, their chain entries, and records of modules; current becomes @current again.
 *
 * Modules stay in the catalog, as if never committed: the next commit that has an entry of them writes their records.
 */
void history_drop_newest(struct history *history, uint32_t current, uint64_t sequence);

/** history_drop_modules() - take back history_add_module(): modules from index @count on, which have no entries, and
 * the records of modules since number @sequence. */
void history_drop_modules(struct history *history, uint32_t count, uint64_t sequence);

/** history_set_current() - move the current commit. Appends a record. */
void history_set_current(struct history *history, uint32_t commit, struct buf *records);

/** history_begin_file() - the RECORD_STORE record that a file of records starts with. It has the sequence number of
 * the last record that is elsewhere (0 in a new `commits`): the next record in the file has the one after it. */
void history_begin_file(const struct history *history, uint64_t sequence, struct buf *records);

/**
 * history_load() - replay a file of records into the history.
 *
 * The first file read gives the history its `store`. A second one (the journal) must be of the same store and go on
 * from a state that the history has been in, or -ESTALE; records that the history has already (sequence <=
 * history->sequence) are skipped; a gap between the two is -ESTALE, too. Every number in it is checked before it is
 * used.
 *
 * *@good: length of the part that is whole; shorter than @size if the last record is torn. It is 0 if not even the
 * first record is whole: as the first file (@size 0 included) that is -ENODATA, for `commits` never appears under its
 * name before it is whole, so it has been damaged; a journal that is read without a `commits` and gives -ENODATA was
 * cut off while it was made, and holds nothing. As the second file it is no error.
 *
 * Returns 0, -EBADMSG (with the offset), -EPROTONOSUPPORT, -ESTALE, -ENODATA, -ENOMEM, -ENOSPC; after an error nothing
 * was applied.
 */
int history_load(struct history *history, const void *bytes, size_t size, uint64_t *good);

/** history_lacks() - whether a file that history_load() has refused with -ESTALE goes on from more than there is, of the
 * same store: from so many commits, and record @sequence. */
bool history_lacks(
    const struct history *history, const void *bytes, size_t size, uint32_t *commits, uint64_t *sequence);

/** history_dump() - the whole history as a fresh file of records (for compaction): the same commits, and sequence
 * numbers that go on to history->sequence, which it may raise. Returns 0 or -ENOMEM; then nothing was added. */
int history_dump(struct history *history, struct buf *records);

#endif
