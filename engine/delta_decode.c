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

/* The section's literals, unpacked if need be. */
static int unpack(struct delta_decoder *d, const struct delta *delta, const struct delta_section *s,
    const uint8_t *window, uint64_t from, const uint8_t **literals)
{
	int r = 0;

	*literals = s->stored;
	if (!s->literals || s->mode == DELTA_RAW)
		return 0;
	buf_clear(&d->literals);
	uint8_t *to = buf_reserve(&d->literals, s->literals);
	if (!to)
		return fail_sys(ENOMEM, "memory for unpacking a delta");
	if (s->mode == DELTA_ZSTD_PREFIX)
		r = gather_prefix(d, delta, s, window, from);
	if (r)
		return r;
	/* A prefix is used once and then forgotten, by success and by failure; an empty one is none. */
	size_t n = s->mode == DELTA_ZSTD_PREFIX ? d->prefix.size : 0;
	if (ZSTD_isError(ZSTD_DCtx_refPrefix(d->zstd, n ? d->prefix.data : NULL, n)))
		return fail_sys(ENOMEM, "memory for unpacking a delta");
	if (ZSTD_decompressDCtx(d->zstd, to, s->literals, s->stored, s->stored_size) != s->literals)
		return fail(EBADMSG, "damaged delta: the bytes of a section can not be unpacked");
	*literals = to;
	return 0;
}

/* Most runs are a word or two, for which a call costs more than the copy. */
static inline void copy_run(uint8_t *to, const uint8_t *from, size_t size)
{
	if (size >= 8 && size <= 16) {
		uint64_t head, tail;
		memcpy(&head, from, 8);
		memcpy(&tail, from + size - 8, 8);
		memcpy(to, &head, 8);
		memcpy(to + size - 8, &tail, 8);
	} else if (size >= 4 && size < 8) {
		uint32_t head, tail;
		memcpy(&head, from, 4);
		memcpy(&tail, from + size - 4, 4);
		memcpy(to, &head, 4);
		memcpy(to + size - 4, &tail, 4);
	} else if (size < 4) {
		for (size_t i = 0; i < size; i++)
			to[i] = from[i];
	} else {
		memcpy(to, from, size);
	}
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
			copy_run(to, literals, (size_t)run->size);
			literals += run->size;
		}
	}
}

int delta_apply(struct delta_decoder *decoder, const struct delta *delta, uint8_t *window, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < delta->sections_count; i++) {
		const struct delta_section *s = &delta->sections[i];
		const uint8_t *literals;
		if (s->at < from)
			continue;
		if (s->at >= to)
			break;
		int r = unpack(decoder, delta, s, window, from, &literals);
		if (r)
			return r;
		scatter(delta, s, literals, window, from);
	}
	return 0;
}
