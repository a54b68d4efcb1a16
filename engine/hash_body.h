/*
 * hash_body.h - the code behind one struct hash_method. The file that includes it defines HASH_METHOD, the method's
 * name, and XXH_VECTOR, and has turned on the instructions that go with it.
 *
 * xxHash is compiled in rather than called: Debian's library is built for SSE2 and ran at a third of the speed, and
 * a page's hash is short enough for the call and the dispatch in it to show.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bytes.h"
#include "hash_vector.h"

/* XXH3-64 of 4,096 zero bytes. Much of a wasm module's memory is zero. */
#define ZERO_PAGE_HASH 0x93d76fe148c689baull

/* Page hashes collected on the stack before they are hashed in turn: 16 MiB of image at a time. */
#define TABLE_BLOCK 4096u
#define TABLE_BLOCK_IMAGE ((uint64_t)TABLE_BLOCK * PAGE_BYTES)

static uint64_t do_hash64(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

static void do_hash128(const void *data, size_t size, uint64_t seed, uint8_t out[16])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(data, size, seed));
	memcpy(out, canonical.digest, 16);
}

static inline uint64_t page_hash(const uint8_t *page)
{
	uint64_t first;

	/* Nearly every page that is not zero shows it within its first bytes, so the test costs such a page nothing. */
	memcpy(&first, page, sizeof(first));
	if (first == 0 && memcmp(page, page + sizeof(first), PAGE_BYTES - sizeof(first)) == 0)
		return ZERO_PAGE_HASH;
	return XXH3_64bits(page, PAGE_BYTES);
}

static void do_pages(const void *image, uint64_t size, uint64_t *table)
{
	const uint8_t *at = image;
	uint64_t whole = size / PAGE_BYTES;

	for (uint64_t i = 0; i < whole; i++, at += PAGE_BYTES)
		table[i] = page_hash(at);
	if (size % PAGE_BYTES)
		table[whole] = XXH3_64bits(at, size % PAGE_BYTES);
}

/* The table is hashed in its little-endian form; where that is not how it lies in memory, a block at a time is turned. */
static void add_table(XXH3_state_t *state, const uint64_t *table, uint64_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	XXH3_128bits_update(state, table, count * 8);
#else
	for (uint64_t i = 0; i < count; i++) {
		uint8_t le[8];
		put_le64(le, table[i]);
		XXH3_128bits_update(state, le, sizeof(le));
	}
#endif
}

static void start_table(XXH3_state_t *state, uint64_t size)
{
	uint8_t le[8];

	XXH3_128bits_reset(state);
	put_le64(le, size);
	XXH3_128bits_update(state, le, sizeof(le));
}

static void end_table(const XXH3_state_t *state, struct image_hash *hash)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
	memcpy(hash->bytes, canonical.digest, sizeof(hash->bytes));
}

static void do_table(const uint64_t *table, uint64_t size, struct image_hash *hash)
{
	XXH3_state_t state;

	start_table(&state, size);
	add_table(&state, table, pages_of(size));
	end_table(&state, hash);
}

static void do_image(const void *image, uint64_t size, struct image_hash *hash)
{
	const uint8_t *at = image;
	uint64_t block[TABLE_BLOCK];
	XXH3_state_t state;

	start_table(&state, size);
	for (uint64_t left = size; left;) {
		uint64_t take = left < TABLE_BLOCK_IMAGE ? left : TABLE_BLOCK_IMAGE;

		do_pages(at, take, block);
		add_table(&state, block, pages_of(take));
		at += take;
		left -= take;
	}
	end_table(&state, hash);
}

const struct hash_method HASH_METHOD = {do_hash64, do_hash128, do_pages, do_table, do_image};
