/*
 * hash.c - picks the hash functions for the processor that runs them.
 *
 * The choice is made at the first call and kept in one pointer. Threads that race for it all write the same value, so
 * it needs no lock, only that it is read and written whole.
 */
#include "hash.h"

#include <stdatomic.h>

#include "hash_vector.h"

static _Atomic(const struct hash_method *) chosen;

static const struct hash_method *choose(void)
{
	const struct hash_method *method = &hash_plain;

#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		method = &hash_avx512;
	else if (__builtin_cpu_supports("avx2"))
		method = &hash_avx2;
#endif
	atomic_store_explicit(&chosen, method, memory_order_relaxed);
	return method;
}

static inline const struct hash_method *method(void)
{
	const struct hash_method *m = atomic_load_explicit(&chosen, memory_order_relaxed);

	return __builtin_expect(m != NULL, 1) ? m : choose();
}

uint64_t hash64(const void *data, size_t size)
{
	return method()->hash64(data, size);
}

void hash128(const void *data, size_t size, uint64_t seed, uint8_t out[16])
{
	method()->hash128(data, size, seed, out);
}

void hash_pages(const void *image, uint64_t size, uint64_t *table)
{
	method()->pages(image, size, table);
}

void hash_table(const uint64_t *table, uint64_t size, struct image_hash *hash)
{
	method()->table(table, size, hash);
}

void hash_image(const void *image, uint64_t size, struct image_hash *hash)
{
	method()->image(image, size, hash);
}
