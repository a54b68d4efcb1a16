/*
 * history_ids.c - the ids that commits get when their maker names none.
 *
 * 256 bits are made of two XXH3-128 with different seeds. They find accidents, not attackers; an id is never taken as
 * proof of what it names.
 */
#include "history_private.h"

#include <errno.h>
#include <string.h>

#include "err.h"

#define SEED_MODULE_COMMIT UINT64_C(0x56415256454d4f44)
#define SEED_COMMIT UINT64_C(0x5641525645434f4d)
/** Bytes that one module adds to what a commit's id is made of. */
#define PART_BYTES (2 * VARVE_ID_SIZE + 4)

static void hash_to_id(const void *data, size_t size, uint64_t seed, struct varve_id *id)
{
	hash128(data, size, seed, id->bytes);
	hash128(data, size, ~seed, id->bytes + 16);
}

void history_default_module_id(const struct image_hash *hash, struct varve_id *id)
{
	hash_to_id(hash->bytes, sizeof(hash->bytes), SEED_MODULE_COMMIT, id);
}

static int by_id(const void *a, const void *b, void *arg)
{
	const struct catalog *catalog = arg;
	return memcmp(&catalog_module(catalog, *(const uint32_t *)a)->id,
	    &catalog_module(catalog, *(const uint32_t *)b)->id, sizeof(struct varve_id));
}

/* The modules ascending by id. They are sorted when there are new ones, not at every commit. */
static const uint32_t *sorted_modules(const struct history *history)
{
	struct history_index *index = history->index;
	uint32_t count = catalog_count(history->catalog);
	if (index->order && index->order_count == count)
		return index->order;
	uint32_t *order = history_alloc(index->order, ((size_t)count + 1) * sizeof(*order));
	if (!order)
		return NULL;
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	qsort_r(order, count, sizeof(*order), by_id, history->catalog);
	index->order = order;
	index->order_count = count;
	return order;
}

int history_default_commit_id(
    const struct history *history, uint32_t parent, const uint32_t *table, struct varve_id *id)
{
	const struct catalog *catalog = history->catalog;
	uint32_t count = catalog_count(catalog);
	const uint32_t *order = sorted_modules(history);
	uint8_t *data = history_alloc(NULL, VARVE_ID_SIZE + 8 + (size_t)count * PART_BYTES);
	if (!order || !data) {
		free(data);
		return fail(ENOMEM, "no memory for the id of a commit of %u modules", count);
	}
	memset(data, 0, VARVE_ID_SIZE);
	if (parent != COMMIT_NONE)
		memcpy(data, &history->commits[parent].id, VARVE_ID_SIZE);
	put_le64(data + VARVE_ID_SIZE, history->count);
	uint8_t *p = data + VARVE_ID_SIZE + 8;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t module = order[i];
		if (table[module] == CHAIN_NONE)
			continue;
		const struct chain_entry *entry = chain_entry(catalog, module, table[module]);
		memcpy(p, &catalog_module(catalog, module)->id, VARVE_ID_SIZE);
		memcpy(p + VARVE_ID_SIZE, &entry->id, VARVE_ID_SIZE);
		put_le32(p + PART_BYTES - 4, entry->ordinal);
		p += PART_BYTES;
	}
	hash_to_id(data, (size_t)(p - data), SEED_COMMIT, id);
	free(data);
	return 0;
}
