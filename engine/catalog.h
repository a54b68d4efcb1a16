/*
 * catalog.h - every module and every module commit, in memory that the coordinator writes and workers read.
 *
 * Append-only: an entry never moves and never changes once chain_append() has made it visible, but for the fields said
 * otherwise. A chain is a segmented array: segment k of a module holds 16 << k entries, so that indices are turned
 * into addresses without a table that grows. One writer (the coordinator), any number of readers; a worker reads only
 * entries that were there when its job was posted.
 */
#ifndef ENGINE_CATALOG_H
#define ENGINE_CATALOG_H

#include <stdint.h>

#include "hash.h"
#include "shm.h"
#include "varve.h"

#define CATALOG_SEGMENTS 26
#define CATALOG_MODULES_MAX (1u << 20)
#define MODULE_NONE UINT32_MAX
#define CHAIN_NONE UINT32_MAX

/** One module commit. Entry 0 is the base, the newest is the last, those between are deltas. */
struct chain_entry {
	struct varve_id id;
	struct image_hash hash;
	uint64_t size; /**< of the image, bytes */
	uint64_t delta_bytes; /**< length of the delta file against the entry before; 0 for the base */
	uint32_t ordinal; /**< earlier entries, base excluded, with this id; set by chain_append() */
	uint32_t commit; /**< index of the commit that made it; set by history_add_commit() */
};

struct catalog_module {
	struct varve_id id;
	uint32_t length; /**< entries in the chain; 0: deployed, never committed */
	uint32_t reserved;
	uint64_t segments[CATALOG_SEGMENTS]; /**< offset of each segment from the catalog's start; 0: none */
};

struct catalog {
	struct shm shm;
	struct catalog_header *header; /**< = shm.base */
	struct catalog_writer *writer; /**< the writer's indices by id, in its own memory */
};

/** catalog_create() - an empty one. -ENOMEM and others. */
int catalog_create(struct catalog *catalog);
void catalog_close(struct catalog *catalog);

uint32_t catalog_count(const struct catalog *catalog);

/** catalog_module() - module @index, which must be < catalog_count(). */
const struct catalog_module *catalog_module(const struct catalog *catalog, uint32_t index);

/** catalog_find() - the module with @id; MODULE_NONE if there is none. The writer's only. */
uint32_t catalog_find(const struct catalog *catalog, const struct varve_id *id);

/** catalog_add() - a module with an empty chain; its index, or -ENOSPC, -ENOMEM. The caller knows that it is new. */
int64_t catalog_add(struct catalog *catalog, const struct varve_id *id);

/** catalog_drop_newest() - take back the newest catalog_add(); the module's chain must be empty. */
void catalog_drop_newest(struct catalog *catalog);

/** chain_entry() - entry @index, which must be < the module's length. */
const struct chain_entry *chain_entry(const struct catalog *catalog, uint32_t module, uint32_t index);

/** chain_append() - add @entry as the newest of its module's chain. Its index, or -ENOSPC, -ENOMEM. */
int64_t chain_append(struct catalog *catalog, uint32_t module, const struct chain_entry *entry);

/** chain_truncate() - forget the newest entry: for a commit that fails after its entries were added. */
void chain_truncate(struct catalog *catalog, uint32_t module);

/** chain_ordinal() - the ordinal that a new entry with @id will have: earlier entries, base excluded, with that id.
 * Costs no walk along the chain in the usual case (an index by id, kept by the writer only). */
uint32_t chain_ordinal(const struct catalog *catalog, uint32_t module, const struct varve_id *id);

#endif
