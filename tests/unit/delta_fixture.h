/*
 * delta_fixture.h - images to make deltas of, and the round trip that every one of them has to survive.
 */
#ifndef DELTA_FIXTURE_H
#define DELTA_FIXTURE_H

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>

#include "delta_format.h"
#include "err.h"

/* What a page holds that must not be touched. */
#define UNTOUCHED 0xa5

struct codec {
	struct delta_encoder *encoder;
	struct delta_decoder *decoder;
	struct delta delta;
	struct runs runs;
	struct buf file;
	uint64_t random;
};

static struct codec c;

static inline void codec_open(void)
{
	c = (struct codec) {.random = 88172645463325252u};
	cr_assert_eq(delta_encoder_open(&c.encoder), 0);
	cr_assert_eq(delta_decoder_open(&c.decoder), 0);
}

static inline void codec_close(void)
{
	delta_encoder_close(c.encoder);
	delta_decoder_close(c.decoder);
	delta_free(&c.delta);
	runs_free(&c.runs);
	buf_free(&c.file);
}

static inline uint64_t next_random(void)
{
	c.random ^= c.random << 13;
	c.random ^= c.random >> 7;
	c.random ^= c.random << 17;
	return c.random;
}

static inline void fill_random(uint8_t *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)(next_random() >> 11);
}

/* The delta from @old to @new is in c.file. */
static inline void encode(const uint8_t *old, uint64_t old_size, const uint8_t *new, uint64_t new_size)
{
	struct image_hash hash;

	hash_image(new, new_size, &hash);
	cr_assert_eq(diff_images(old, old_size, new, new_size, &c.runs), 0);
	buf_clear(&c.file);
	cr_assert_eq(delta_encode(c.encoder, old, old_size, new, new_size, &c.runs, &hash, 0, &c.file), 0);
}

/* A window of exactly @size bytes: the pages that c.delta names are from the old image, no other page was loaded. */
static inline uint8_t *load_window(const uint8_t *old, uint64_t old_size, uint64_t size)
{
	uint8_t *window = malloc(size ? size : 1);
	uint64_t next = 0, page, pages;
	size_t cursor = 0;

	cr_assert(window);
	memset(window, UNTOUCHED, size);
	while ((pages = runs_next_pages(&c.delta.runs, &cursor, &next, &page))) {
		uint64_t at = page * PAGE_BYTES, end = (page + pages) * PAGE_BYTES;
		for (end = end < size ? end : size; at < end; at++)
			window[at] = at < old_size ? old[at] : 0;
	}
	return window;
}

/* Each page of the window is the new image's, or it was not touched, and did not have to be. */
static inline void check_window(
    const uint8_t *window, const uint8_t *old, uint64_t old_size, const uint8_t *new, uint64_t new_size)
{
	uint8_t untouched[PAGE_BYTES], zeros[PAGE_BYTES] = {0};

	memset(untouched, UNTOUCHED, sizeof(untouched));
	for (uint64_t at = 0; at < new_size; at += PAGE_BYTES) {
		size_t size = new_size - at < PAGE_BYTES ? (size_t)(new_size - at) : PAGE_BYTES;
		if (!memcmp(window + at, new + at, size))
			continue;
		size_t had = at >= old_size ? 0 : old_size - at < size ? (size_t)(old_size - at) : size;
		cr_assert(!memcmp(window + at, untouched, size) && (!had || !memcmp(new + at, old + at, had)) &&
		              !memcmp(new + at + had, zeros, size - had),
		    "page at %lu is wrong", (unsigned long)at);
	}
}

/* Encodes, parses, applies and compares. The delta stays in c.file and c.delta. */
static inline void round_trip(const uint8_t *old, uint64_t old_size, const uint8_t *new, uint64_t new_size)
{
	struct image_hash hash;

	encode(old, old_size, new, new_size);
	uint8_t *bytes = malloc(c.file.size);
	cr_assert(bytes);
	memcpy(bytes, c.file.data, c.file.size);
	cr_assert_eq(delta_parse(&c.delta, bytes, c.file.size), 0, "%s", err_text());
	cr_assert_eq(c.delta.old_size, old_size);
	cr_assert_eq(c.delta.new_size, new_size);
	hash_image(new, new_size, &hash);
	cr_assert(hash_equal(&hash, &c.delta.hash));
	uint8_t *window = load_window(old, old_size, new_size);
	cr_assert_eq(delta_apply(c.decoder, &c.delta, window, 0, new_size), 0, "%s", err_text());
	check_window(window, old, old_size, new, new_size);
	free(window);
	free(bytes);
}

/* Puts the checksum behind what is in @file, so that only what the test is about is wrong with it. */
static inline int parse_sealed(struct buf *file)
{
	uint8_t checksum[DELTA_CHECKSUM];

	put_le64(checksum, hash64(file->data, file->size));
	buf_put(file, checksum, sizeof(checksum));
	int r = delta_parse(&c.delta, file->data, file->size);
	return r;
}

#endif
