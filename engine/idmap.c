/*
 * idmap.c - a hash table from ids to numbers.
 *
 * Open addressing with linear probing, at most three quarters full. Ids are chosen by whoever commits, so the hash is
 * SipHash-1-3 with a random key: with a hash that can be foreseen, ids that all fall on one slot would make each
 * commit cost the length of the history. A removed slot is closed by moving back what probed past it, so that no
 * tombstones gather. A slot keeps its 32-bit hash: growing and most comparisons need no look at the ids.
 */
#include "idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "bytes.h"
#include "err.h"
#include "fault.h"

#define SLOTS_MIN 16u
#define SLOTS_MAX (1u << 31)

static inline uint64_t rotate(uint64_t v, unsigned bits)
{
	return v << bits | v >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint32_t hash_key(const struct idmap *map, uint32_t owner, const struct varve_id *id)
{
	uint64_t v[4] = {map->key[0] ^ 0x736f6d6570736575, map->key[1] ^ 0x646f72616e646f6d,
	    map->key[0] ^ 0x6c7967656e657261, map->key[1] ^ 0x7465646279746573};
	for (size_t i = 0; i <= VARVE_ID_SIZE; i += 8) {
		/* the last word takes the owner and, as SipHash has it, the length: 36 bytes */
		uint64_t word = i < VARVE_ID_SIZE ? get_le64(id->bytes + i) : owner | UINT64_C(36) << 56;
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

int idmap_open(struct idmap *map,
    bool (*same)(const void *arg, const struct idmap_slot *slot, const struct varve_id *id), const void *arg)
{
	*map = (struct idmap) {.same = same, .arg = arg};
	if (getrandom(map->key, sizeof(map->key), 0) != (ssize_t)sizeof(map->key))
		return fail_sys(errno, "getrandom()");
	return 0;
}

void idmap_close(struct idmap *map)
{
	free(map->slots);
	map->slots = NULL;
	map->mask = map->used = 0;
}

struct idmap_slot *idmap_find(const struct idmap *map, uint32_t owner, const struct varve_id *id)
{
	if (!map->slots)
		return NULL;
	uint32_t hash = hash_key(map, owner, id);
	for (uint32_t i = hash & map->mask; map->slots[i].count; i = (i + 1) & map->mask) {
		struct idmap_slot *slot = &map->slots[i];
		if (slot->hash == hash && slot->owner == owner && map->same(map->arg, slot, id))
			return slot;
	}
	return NULL;
}

/* Put a slot where its hash leads; there is room. */
static void place(struct idmap_slot *slots, uint32_t mask, const struct idmap_slot *slot)
{
	uint32_t i = slot->hash & mask;
	while (slots[i].count)
		i = (i + 1) & mask;
	slots[i] = *slot;
}

int idmap_reserve(struct idmap *map, uint32_t more)
{
	uint64_t need = (uint64_t)map->used + more;
	uint64_t have = map->slots ? (uint64_t)map->mask + 1 : 0;
	if (need * 4 <= have * 3)
		return 0;
	uint64_t slots = have ? have : SLOTS_MIN;
	while (need * 4 > slots * 3)
		slots *= 2;
	struct idmap_slot *table = slots > SLOTS_MAX || fault_at("alloc") ? NULL : calloc(slots, sizeof(*table));
	if (!table)
		return fail(ENOMEM, "no memory for an index of %llu ids", (unsigned long long)need);
	for (uint64_t i = 0; i < have; i++)
		if (map->slots[i].count)
			place(table, (uint32_t)(slots - 1), &map->slots[i]);
	free(map->slots);
	map->slots = table;
	map->mask = (uint32_t)(slots - 1);
	return 0;
}

void idmap_add(struct idmap *map, uint32_t owner, const struct varve_id *id, uint32_t value)
{
	struct idmap_slot slot = {.hash = hash_key(map, owner, id), .owner = owner, .value = value, .count = 1};
	place(map->slots, map->mask, &slot);
	map->used++;
}

void idmap_remove(struct idmap *map, struct idmap_slot *slot)
{
	uint32_t hole = (uint32_t)(slot - map->slots);
	for (uint32_t i = (hole + 1) & map->mask; map->slots[i].count; i = (i + 1) & map->mask) {
		/* It may move back to the hole unless the place where its search begins lies behind the hole. */
		uint32_t home = map->slots[i].hash & map->mask;
		if (((i - home) & map->mask) >= ((i - hole) & map->mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole].count = 0;
	map->used--;
}
