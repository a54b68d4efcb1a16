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

/* The pages that c.delta names, packed together: in order if @random is 0, else anyhow. Places by page, from 1. */
static inline uint8_t *pack_pages(const uint8_t *old, uint64_t old_size, uint64_t size, bool random, uint32_t *places)
{
	uint64_t next = 0, page, pages, count = 0, total = size / PAGE_BYTES + 2;
	uint8_t *packed = malloc((size_t)total * PAGE_BYTES);
	size_t cursor = 0;

	cr_assert(packed);
	memset(packed, UNTOUCHED, (size_t)total * PAGE_BYTES);
	memset(places, 0, (size_t)total * sizeof(*places));
	while ((pages = runs_next_pages(&c.delta.runs, &cursor, &next, &page)))
		for (uint64_t p = page; p < page + pages; p++)
			places[p] = (uint32_t)++count;
	for (uint64_t p = 0; p < total; p++) {
		uint64_t other = random ? next_random() % total : p;
		uint32_t place = places[p];
		if (!place || !places[other])
			continue;
		places[p] = places[other];
		places[other] = place;
	}
	for (uint64_t p = 0; p < total; p++)
		for (uint64_t i = 0; places[p] && i < PAGE_BYTES; i++)
			packed[(places[p] - 1) * PAGE_BYTES + i] =
			    p * PAGE_BYTES + i < old_size ? old[p * PAGE_BYTES + i] : 0;
	return packed;
}

/* The same as delta_apply(), for pages that are packed together. */
static inline void check_packed(
    const uint8_t *old, uint64_t old_size, const uint8_t *new, uint64_t new_size, bool random)
{
	uint64_t size = old_size > new_size ? old_size : new_size;
	uint32_t *places = calloc(size / PAGE_BYTES + 2, sizeof(*places));
	cr_assert(places);
	uint8_t *packed = pack_pages(old, old_size, size, random, places);
	cr_assert_eq(delta_apply_packed(c.decoder, &c.delta, packed, places), 0, "%s", err_text());
	for (uint64_t p = 0; p * PAGE_BYTES < new_size; p++) {
		uint64_t left = new_size - p * PAGE_BYTES;
		if (places[p])
			cr_assert(!memcmp(packed + (size_t)(places[p] - 1) * PAGE_BYTES, new + p *PAGE_BYTES,
			              left < PAGE_BYTES ? (size_t)left : PAGE_BYTES),
			    "page %lu is wrong where pages are packed", (unsigned long)p);
	}
	free(packed);
	free(places);
}

/* Encodes, parses, applies and compares. The delta stays in c.file and c.delta. */
static inline void round_trip(const uint8_t *old, uint64_t old_size, const uint8_t *new, uint64_t new_size)
{
	struct image_hash hash;

	encode(old, old_size, new, new_size);
	/* A longer one would not be read. */
	cr_assert_leq(c.file.size, delta_most(new_size));
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
	check_packed(old, old_size, new, new_size, false);
	check_packed(old, old_size, new, new_size, true);
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
