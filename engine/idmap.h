/*
 * idmap.h - a hash table from ids to numbers, for the one process that writes the history.
 *
 * Keys are not kept: a slot holds a number, and the owner of the table says whether what it stands for has the id.
 */
#ifndef ENGINE_IDMAP_H
#define ENGINE_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "varve.h"

struct idmap_slot {
	uint32_t hash;
	uint32_t owner; /**< second part of the key: the module whose chain it is, or 0 */
	uint32_t value;
	uint32_t count; /**< the owner's to change; 0: the slot is free */
};

struct idmap {
	struct idmap_slot *slots;
	uint32_t mask; /**< slots less one; 0: none */
	uint32_t used;
	uint64_t key[2]; /**< random: whoever picks ids can not pick their places */
	bool (*same)(const void *arg, const struct idmap_slot *slot, const struct varve_id *id);
	const void *arg;
};

/** idmap_open() - an empty table; @same says whether what a slot stands for has the id. Returns 0 or -errno. */
int idmap_open(struct idmap *map,
    bool (*same)(const void *arg, const struct idmap_slot *slot, const struct varve_id *id), const void *arg);
void idmap_close(struct idmap *map);

/** idmap_find() - the slot of (@owner, @id), valid until the table changes; NULL if there is none. */
struct idmap_slot *idmap_find(const struct idmap *map, uint32_t owner, const struct varve_id *id);

/** idmap_reserve() - room for @more slots, so that adding so many can not fail. Returns 0 or -ENOMEM. */
int idmap_reserve(struct idmap *map, uint32_t more);

/** idmap_add() - a slot for (@owner, @id), which has none yet, with count 1. Room was reserved. */
void idmap_add(struct idmap *map, uint32_t owner, const struct varve_id *id, uint32_t value);

/** idmap_remove() - free a slot that idmap_find() has given. */
void idmap_remove(struct idmap *map, struct idmap_slot *slot);

#endif
