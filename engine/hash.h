/*
 * hash.h - XXH3, and the two-level hash of an image.
 *
 * An image's hash is XXH3-128 (seed 0, canonical big-endian form as xxHash writes it) over the image's length, 8 bytes
 * little-endian, followed by the XXH3-64 (seed 0), 8 bytes little-endian each, of its 4,096-byte pages in order; the
 * last page is hashed as long as it is. So whoever holds the pages' hashes hashes only the pages that changed.
 * The vector path (AVX2, AVX-512, SSE2, NEON, scalar) is picked at run time; all give the same values.
 */
#ifndef ENGINE_HASH_H
#define ENGINE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PAGE_BYTES 4096u

struct image_hash {
	uint8_t bytes[16];
};

static inline bool hash_equal(const struct image_hash *a, const struct image_hash *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/** pages_of() - how many pages an image of @size bytes has; the last may be short. */
static inline uint64_t pages_of(uint64_t size)
{
	return size / PAGE_BYTES + (size % PAGE_BYTES != 0);
}

/** hash64() - XXH3-64, seed 0. */
uint64_t hash64(const void *data, size_t size);

/** hash128() - XXH3-128 with @seed, canonical form. */
void hash128(const void *data, size_t size, uint64_t seed, uint8_t out[16]);

/** hash_pages() - write the hash of each page of @image to @table (pages_of(size) entries). All-zero pages are quick. */
void hash_pages(const void *image, uint64_t size, uint64_t *table);

/** hash_table() - the image hash of an image of @size bytes whose pages hash to @table. */
void hash_table(const uint64_t *table, uint64_t size, struct image_hash *hash);

/** hash_image() - both steps, without keeping a table: memory does not depend on @size. */
void hash_image(const void *image, uint64_t size, struct image_hash *hash);

#endif
