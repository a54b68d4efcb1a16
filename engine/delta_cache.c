/*
 * delta_cache.c - a table with one place for each key, by hash: who falls on a place that is taken gets it. Where the bytes
 * would be too many, places are emptied in turn.
 */
#include "delta_cache.h"

#include <stdlib.h>

#define PLACES 16384u

struct kept {
	struct delta_key key;
	uint8_t *data; /* NULL: the place is empty */
	size_t size;
};

struct delta_cache {
	struct kept places[PLACES];
	size_t bytes;
	uint32_t hand; /* the place to empty next */
};

struct delta_key delta_key(const struct catalog *catalog, uint32_t module, uint32_t entry)
{
	return (struct delta_key) {.module = module,
	    .entry = entry,
	    .before = chain_entry(catalog, module, entry - 1)->hash,
	    .after = chain_entry(catalog, module, entry)->hash};
}

static uint32_t place_of(const struct delta_key *key)
{
	return (uint32_t)hash64(key, sizeof(*key)) % PLACES;
}

static void empty(struct delta_cache *cache, struct kept *kept)
{
	cache->bytes -= kept->data ? kept->size : 0;
	free(kept->data);
	kept->data = NULL;
}

const uint8_t *delta_cache_find(const struct delta_cache *cache, const struct delta_key *key, size_t *size)
{
	const struct kept *kept = cache ? &cache->places[place_of(key)] : NULL;
	if (!kept || !kept->data || memcmp(&kept->key, key, sizeof(*key)) != 0)
		return NULL;
	*size = kept->size;
	return kept->data;
}

void delta_cache_keep(struct delta_cache **cache, const struct delta_key *key, const uint8_t *data, size_t size)
{
	if (!size || size > DELTA_CACHE_FILE || (!*cache && !(*cache = calloc(1, sizeof(**cache)))))
		return;
	struct delta_cache *c = *cache;
	struct kept *kept = &c->places[place_of(key)];
	empty(c, kept);
	while (c->bytes + size > DELTA_CACHE_BYTES)
		empty(c, &c->places[c->hand++ % PLACES]);
	kept->data = malloc(size);
	if (!kept->data)
		return;
	memcpy(kept->data, data, size);
	kept->key = *key;
	kept->size = size;
	c->bytes += size;
}

void delta_cache_drop(struct delta_cache *cache, uint32_t module)
{
	for (uint32_t i = 0; cache && i < PLACES; i++)
		if (cache->places[i].data && cache->places[i].key.module == module)
			empty(cache, &cache->places[i]);
}

void delta_cache_free(struct delta_cache *cache)
{
	for (uint32_t i = 0; cache && i < PLACES; i++)
		empty(cache, &cache->places[i]);
	free(cache);
}
