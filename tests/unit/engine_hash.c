/*
 * engine_hash.c - hashes are on users' disks and in ids: they are the same on every processor, for ever.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <xxhash.h>

#include "bytes.h"
#include "hash_vector.h"

#define MANY 24

static void fill(uint8_t *to, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		to[i] = (uint8_t)(seed >> 56);
	}
}

/* The methods that this processor can run. */
static size_t methods(const struct hash_method *list[3])
{
	size_t n = 0;

	list[n++] = &hash_plain;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		list[n++] = &hash_avx2;
	if (__builtin_cpu_supports("avx512f"))
		list[n++] = &hash_avx512;
#endif
	return n;
}

/* The definition in hash.h, written down once more, with xxHash's own library. */
static struct image_hash by_definition(const uint8_t *image, uint64_t size)
{
	uint64_t pages = (size + 4095) / 4096;
	uint8_t *text = malloc(8 + 8 * pages);
	XXH128_canonical_t canonical;
	struct image_hash hash;

	put_le64(text, size);
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t at = i * 4096;
		put_le64(text + 8 + 8 * i, XXH3_64bits(image + at, size - at < 4096 ? size - at : 4096));
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(text, 8 + 8 * pages));
	memcpy(hash.bytes, canonical.digest, 16);
	free(text);
	return hash;
}

/* From xxHash's published test values: if these change, every store in the world is "damaged". */
Test(hash, the_values_of_nothing_are_xxhash_s_own)
{
	static const uint8_t expected[16] = {
	    0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8, 0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
	uint8_t out[16];

	cr_assert_eq(hash64("", 0), 0x2d06800538d394c2u);
	hash128("", 0, 0, out);
	cr_assert_arr_eq(out, expected, 16);
}

/* A store is carried from one machine to another. */
Test(hash, all_vector_paths_give_the_values_of_xxhash_s_library)
{
	const struct hash_method *list[3];
	uint8_t data[8192], out[16];
	XXH128_canonical_t canonical;

	fill(data, sizeof(data), 1);
	for (size_t n = methods(list); n-- > 0;) {
		for (size_t size = 0; size < sizeof(data); size += 1 + size / MANY) {
			cr_assert_eq(list[n]->hash64(data, size), XXH3_64bits(data, size), "size %zu", size);
			list[n]->hash128(data, size, 77, out);
			XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(data, size, 77));
			cr_assert_arr_eq(out, canonical.digest, 16, "size %zu", size);
		}
	}
}

Test(hash, an_image_s_hash_is_as_defined_at_every_kind_of_size)
{
	static const uint64_t sizes[] = {0, 1, 4095, 4096, 4097, 8192, 65536, 65537, (16u << 20) - 4096, 16u << 20,
	    (16u << 20) + 1, (33u << 20) + 777};
	uint64_t most = sizes[sizeof(sizes) / sizeof(sizes[0]) - 1];
	const struct hash_method *list[3];
	size_t count = methods(list);
	uint8_t *image = malloc(most);

	cr_assert(image);
	for (uint64_t i = 0; i + 8 <= most; i += 8)
		put_le64(image + i, i * 0x9e3779b97f4a7c15u);
	memset(image + 8192, 0, 65536);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct image_hash expected = by_definition(image, sizes[i]), hash;
		hash_image(image, sizes[i], &hash);
		cr_assert(hash_equal(&hash, &expected), "size %lu", (unsigned long)sizes[i]);
		for (size_t n = 0; n < count; n++) {
			list[n]->image(image, sizes[i], &hash);
			cr_assert(hash_equal(&hash, &expected), "size %lu, method %zu", (unsigned long)sizes[i], n);
		}
	}
	free(image);
}

/* A commit hashes the pages that changed and takes the others from the table. */
Test(hash, a_table_with_one_page_s_hash_replaced_gives_the_hash_of_the_whole)
{
	uint8_t image[5 * PAGE_BYTES + 100];
	struct image_hash whole, from_table;
	uint64_t table[6];

	fill(image, sizeof(image), 3);
	cr_assert_eq(pages_of(sizeof(image)), 6);
	hash_pages(image, sizeof(image), table);
	image[3 * PAGE_BYTES + 5] ^= 1;
	hash_image(image, sizeof(image), &whole);
	hash_table(table, sizeof(image), &from_table);
	cr_assert_not(hash_equal(&whole, &from_table));
	hash_pages(image + 3 * PAGE_BYTES, PAGE_BYTES, &table[3]);
	hash_table(table, sizeof(image), &from_table);
	cr_assert(hash_equal(&whole, &from_table));
}

/* Zero pages have a way of their own through hash_pages(); a page that only starts with zeros must not take it. */
Test(hash, a_page_of_zeros_but_for_one_byte_has_a_hash_of_its_own)
{
	uint8_t page[PAGE_BYTES] = {0};
	uint64_t zero, other;

	hash_pages(page, PAGE_BYTES, &zero);
	cr_assert_eq(zero, XXH3_64bits(page, PAGE_BYTES));
	for (size_t i = 0; i < PAGE_BYTES; i++) {
		page[i] = 1;
		hash_pages(page, PAGE_BYTES, &other);
		cr_assert_eq(other, XXH3_64bits(page, PAGE_BYTES), "byte %zu", i);
		page[i] = 0;
	}
}

/* Two images that differ only in how many zero bytes they end with are two images. */
Test(hash, the_length_is_part_of_the_hash)
{
	uint8_t zeros[2 * PAGE_BYTES] = {0};
	struct image_hash hashes[4];
	static const uint64_t sizes[4] = {0, 1, PAGE_BYTES, 2 * PAGE_BYTES};

	for (size_t i = 0; i < 4; i++) {
		hash_image(zeros, sizes[i], &hashes[i]);
		for (size_t j = 0; j < i; j++)
			cr_assert_not(hash_equal(&hashes[i], &hashes[j]));
	}
}

Test(hash, an_image_may_lie_at_any_address)
{
	uint8_t room[3 * PAGE_BYTES + 64];
	struct image_hash first, hash;

	for (size_t shift = 0; shift < 64; shift++) {
		fill(room + shift, 3 * PAGE_BYTES, 9);
		hash_image(room + shift, 3 * PAGE_BYTES, &hash);
		if (shift == 0)
			first = hash;
		cr_assert(hash_equal(&hash, &first), "shift %zu", shift);
	}
}
