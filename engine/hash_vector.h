/*
 * hash_vector.h - the hash functions, once for each kind of vector registers.
 *
 * Included by hash_avx512.c, hash_avx2.c and hash_plain.c: each says which vectors xxHash shall use, and the compiler
 * which instructions it may. hash.c picks one at run time.
 */
#ifndef ENGINE_HASH_VECTOR_H
#define ENGINE_HASH_VECTOR_H

#include "hash.h"

struct hash_method {
	uint64_t (*hash64)(const void *data, size_t size);
	void (*hash128)(const void *data, size_t size, uint64_t seed, uint8_t out[16]);
	void (*pages)(const void *image, uint64_t size, uint64_t *table);
	void (*table)(const uint64_t *table, uint64_t size, struct image_hash *hash);
	void (*image)(const void *image, uint64_t size, struct image_hash *hash);
};

extern const struct hash_method hash_plain;
#if defined(__x86_64__)
extern const struct hash_method hash_avx2;
extern const struct hash_method hash_avx512;
#endif

#endif
