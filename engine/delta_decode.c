/*
 * delta_decode.c - applies a parsed delta to a window of an image.
 *
 * delta_parse() has checked where everything lies; only what is inside zstd's frames can still be wrong, and zstd
 * writes to a buffer of exactly the right size. The prefix is copied out of the window before anything in it is changed.
 */
#include "delta_format.h"

#include <errno.h>
#include <stdlib.h>

#include <zstd.h>

#include "err.h"

struct delta_decoder {
	ZSTD_DCtx *zstd;
	struct buf prefix;
	struct buf literals;
};

int delta_decoder_open(struct delta_decoder **decoder)
{
	struct delta_decoder *d = calloc(1, sizeof(*d));

	*decoder = NULL;
	if (d)
		d->zstd = delta_unpacker_open();
	if (!d || !d->zstd) {
		free(d);
		return fail_sys(ENOMEM, "memory for unpacking");
	}
	*decoder = d;
	return 0;
}

void delta_decoder_close(struct delta_decoder *decoder)
{
	if (!decoder)
		return;
	ZSTD_freeDCtx(decoder->zstd);
	buf_free(&decoder->prefix);
	buf_free(&decoder->literals);
	free(decoder);
}

/* The old bytes of the pages that the section's runs touch, as the encoder saw them. */
static int gather_prefix(struct delta_decoder *d, const struct delta *delta, const struct delta_section *s,
    const uint8_t *window, uint64_t from)
{
	const struct runs runs = {delta->runs.list + s->first, s->count, 0};
	uint64_t limit = delta->old_size < delta->new_size ? delta->old_size : delta->new_size;
	uint64_t next = 0, page, pages;
	size_t cursor = 0;

	buf_clear(&d->prefix);
	while ((pages = runs_next_pages(&runs, &cursor, &next, &page))) {
		uint64_t at = page * PAGE_BYTES, end = (page + pages) * PAGE_BYTES;
		if (end > limit)
			end = limit;
		if (at < end)
			buf_put(&d->prefix, window + (at - from), end - at);
	}
	return d->prefix.bad ? fail_sys(ENOMEM, "memory for unpacking a delta") : 0;
}

/* The section's literals, unpacked if need be; with the @size bytes of @prefix, if its mode says so. */
static int unpack(struct delta_decoder *d, const struct delta_section *s, const uint8_t *prefix, size_t size,
    const uint8_t **literals)
{
	*literals = s->stored;
	if (!s->literals || s->mode == DELTA_RAW)
		return 0;
	buf_clear(&d->literals);
	uint8_t *to = buf_reserve(&d->literals, s->literals);
	if (!to)
		return fail_sys(ENOMEM, "memory for unpacking a delta");
	/* A prefix is used once and then forgotten, by success and by failure; an empty one is none. */
	if (ZSTD_isError(ZSTD_DCtx_refPrefix(d->zstd, size ? prefix : NULL, size)))
		return fail_sys(ENOMEM, "memory for unpacking a delta");
	if (ZSTD_decompressDCtx(d->zstd, to, s->literals, s->stored, s->stored_size) != s->literals)
		return fail(EBADMSG, "damaged delta: the bytes of a section can not be unpacked");
	*literals = to;
	return 0;
}

static void scatter(
    const struct delta *delta, const struct delta_section *s, const uint8_t *literals, uint8_t *window, uint64_t from)
{
	const struct run *run = delta->runs.list + s->first;
	size_t zero = s->first_zero;

	for (size_t i = s->first; i < s->first + s->count; i++, run++) {
		uint8_t *to = window + (run->at - from);
		if (zero < delta->zeros_count && delta->zeros[zero] == i) {
			memset(to, 0, (size_t)run->size);
			zero++;
		} else {
			delta_copy_run(to, literals, (size_t)run->size);
			literals += run->size;
		}
	}
}

int delta_apply(struct delta_decoder *decoder, const struct delta *delta, uint8_t *window, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < delta->sections_count; i++) {
		const struct delta_section *s = &delta->sections[i];
		const uint8_t *literals;
		int r = 0;
		if (s->at < from)
			continue;
		if (s->at >= to)
			break;
		buf_clear(&decoder->prefix);
		if (s->mode == DELTA_ZSTD_PREFIX)
			r = gather_prefix(decoder, delta, s, window, from);
		if (!r)
			r = unpack(decoder, s, decoder->prefix.data, decoder->prefix.size, &literals);
		if (r)
			return r;
		scatter(delta, s, literals, window, from);
	}
	return 0;
}

/* ---- pages that are packed together ----------------------------------------------------------------------------- */

/* The prefix where it lies in @packed, or, if the section's pages are not one behind the other, put together. */
static int find_prefix(struct delta_decoder *d, const struct delta *delta, const struct delta_section *s,
    const uint8_t *packed, const uint32_t *places, const uint8_t **prefix, size_t *size)
{
	const struct runs runs = {delta->runs.list + s->first, s->count, 0};
	uint64_t limit = delta->old_size < delta->new_size ? delta->old_size : delta->new_size;
	uint64_t next = 0, page, pages;
	size_t cursor = 0;
	bool together = true;

	*prefix = NULL;
	*size = 0;
	buf_clear(&d->prefix);
	while ((pages = runs_next_pages(&runs, &cursor, &next, &page)))
		for (uint64_t p = page; p < page + pages && p * PAGE_BYTES < limit; p++) {
			const uint8_t *bytes = packed + (size_t)(places[p] - 1) * PAGE_BYTES;
			size_t there = limit - p * PAGE_BYTES < PAGE_BYTES ? (size_t)(limit % PAGE_BYTES) : PAGE_BYTES;
			if (!*prefix)
				*prefix = bytes;
			if (together && bytes != *prefix + *size) {
				buf_put(&d->prefix, *prefix, *size);
				together = false;
			}
			if (!together)
				buf_put(&d->prefix, bytes, there);
			*size += there;
		}
	if (!together)
		*prefix = d->prefix.data;
	return d->prefix.bad ? fail_sys(ENOMEM, "memory for unpacking a delta") : 0;
}

/* A run, part by part: of adjacent pages each may be anywhere. */
static void put_run(const struct run *run, const uint8_t *literals, uint8_t *packed, const uint32_t *places)
{
	uint64_t at = run->at, end = run->at + run->size;

	while (at < end) {
		size_t in_page = at % PAGE_BYTES, left = PAGE_BYTES - in_page;
		size_t size = end - at < left ? (size_t)(end - at) : left;
		uint8_t *to = packed + (size_t)(places[at / PAGE_BYTES] - 1) * PAGE_BYTES + in_page;
		if (literals) {
			delta_copy_run(to, literals, size);
			literals += size;
		} else {
			memset(to, 0, size);
		}
		at += size;
	}
}

int delta_apply_packed(
    struct delta_decoder *decoder, const struct delta *delta, uint8_t *packed, const uint32_t *places)
{
	for (size_t i = 0; i < delta->sections_count; i++) {
		const struct delta_section *s = &delta->sections[i];
		const uint8_t *literals, *prefix = NULL;
		size_t size = 0, zero = s->first_zero;
		int r = 0;
		if (s->mode == DELTA_ZSTD_PREFIX)
			r = find_prefix(decoder, delta, s, packed, places, &prefix, &size);
		if (!r)
			r = unpack(decoder, s, prefix, size, &literals);
		if (r)
			return r;
		for (size_t at = s->first; at < s->first + s->count; at++) {
			const struct run *run = delta->runs.list + at;
			bool zeros = zero < delta->zeros_count && delta->zeros[zero] == at;
			put_run(run, zeros ? NULL : literals, packed, places);
			zero += zeros;
			if (!zeros)
				literals += run->size;
		}
	}
	return 0;
}
