/*
 * delta_cache.h - the bytes of small delta files, kept from job to job.
 *
 * Of a short delta most of the time goes into opening, reading and closing its file. What is kept is parsed again each
 * time, checksum and all, and stands for an entry of a chain by the hashes of both its images, so it can be old but not
 * wrong.
 */
#ifndef ENGINE_DELTA_CACHE_H
#define ENGINE_DELTA_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog.h"

/** Files up to this size are kept, bytes. */
#define DELTA_CACHE_FILE (64u << 10)
/** Bytes that are kept in all. */
#define DELTA_CACHE_BYTES (16u << 20)

/** The delta from entry @entry - 1 to @entry. */
struct delta_key {
	uint32_t module;
	uint32_t entry;
	struct image_hash before;
	struct image_hash after;
};

struct delta_cache;

struct delta_key delta_key(const struct catalog *catalog, uint32_t module, uint32_t entry);

/** delta_cache_find() - its bytes, valid until the next delta_cache_keep() or drop; NULL: it is not kept. @cache may be
 * NULL. */
const uint8_t *delta_cache_find(const struct delta_cache *cache, const struct delta_key *key, size_t *size);

/** delta_cache_keep() - keep a copy; *cache is made when it is first needed. That there is no memory is no error. */
void delta_cache_keep(struct delta_cache **cache, const struct delta_key *key, const uint8_t *data, size_t size);

/** delta_cache_drop() - forget all of a module. */
void delta_cache_drop(struct delta_cache *cache, uint32_t module);
void delta_cache_free(struct delta_cache *cache);

#endif
