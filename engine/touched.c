/*
 * touched.c - pages are loaded when a delta first names them, and appended. A page that is cut off loses its place; should
 * it come back it is loaded anew, as zeros, since its source ends where it was cut.
 */
#include "touched.h"

#include <errno.h>
#include <stdlib.h>

#include "err.h"

/** Room to begin with: larger is had by moving what is there. */
#define PACKED_START (2u << 20)

int touched_begin(struct touched *t, const uint8_t *mapped, int fd, uint64_t size, uint64_t most)
{
	uint64_t pages = pages_of(most > size ? most : size);
	size_t bytes = (size_t)pages * sizeof(uint32_t);
	buf_clear(&t->places);
	uint8_t *places = pages < UINT32_MAX ? buf_reserve(&t->places, bytes + 1) : NULL;
	if (!places)
		return fail_sys(ENOMEM, "memory for the pages of a restore");
	int r = image_reserve(&t->packed, PACKED_START);
	if (r)
		return r;
	memset(places, 0, bytes);
	t->size = t->source_size = size;
	t->mapped = mapped;
	t->fd = fd;
	t->source_at = 0;
	t->pages = pages;
	t->count = 0;
	return 0;
}

/* Bytes [at, at + size) of the source to @to. */
static int copy_source(const struct touched *t, uint8_t *to, uint64_t at, size_t size)
{
	if (t->mapped) {
		memcpy(to, t->mapped + at, size);
		return 0;
	}
	return image_read(t->fd, to, size, t->source_at + at);
}

/* Appends pages [page, page + pages), none of which is there. */
static int load(struct touched *t, uint64_t page, uint64_t pages)
{
	uint64_t at = page * PAGE_BYTES;
	size_t size = (size_t)(pages * PAGE_BYTES), has = 0;
	uint32_t *places = touched_places(t);
	int r = image_reserve(&t->packed, (uint64_t)t->count * PAGE_BYTES + size);
	if (r)
		return r;
	uint8_t *to = t->packed.data + (size_t)t->count * PAGE_BYTES;
	if (t->source_size > at)
		has = t->source_size - at < size ? (size_t)(t->source_size - at) : size;
	r = copy_source(t, to, at, has);
	if (r)
		return r;
	memset(to + has, 0, size - has);
	for (uint64_t p = page; p < page + pages; p++)
		places[p] = ++t->count;
	return 0;
}

int touched_need(struct touched *t, uint64_t page, uint64_t pages)
{
	const uint32_t *places = touched_places(t);
	uint64_t end = page + pages;
	if (end > t->pages)
		return fail(EBADMSG, "a page lies behind the end of its image");
	for (int r = 0; page < end;) {
		uint64_t start = page;
		while (page < end && !places[page])
			page++;
		r = page > start ? load(t, start, page - start) : 0;
		if (r)
			return r;
		while (page < end && places[page])
			page++;
	}
	return 0;
}

void touched_cut(struct touched *t, uint64_t size)
{
	uint32_t *places = touched_places(t);
	for (uint64_t page = pages_of(size); page < pages_of(t->size); page++)
		places[page] = 0;
	if (size % PAGE_BYTES && places[size / PAGE_BYTES])
		memset(touched_page(t, places[size / PAGE_BYTES]) + size % PAGE_BYTES, 0,
		    PAGE_BYTES - (size_t)(size % PAGE_BYTES));
	if (size < t->source_size)
		t->source_size = size;
	t->size = size;
}

int touched_apply(struct touched *t, struct delta_decoder *decoder, const struct delta *delta)
{
	size_t cursor = 0;
	uint64_t next = 0, page, pages;
	int r = 0;
	if (delta->old_size != t->size || pages_of(delta->new_size) > t->pages)
		return fail(EBADMSG, "a delta is for an image of another size");
	while (!r && (pages = runs_next_pages(&delta->runs, &cursor, &next, &page)))
		r = touched_need(t, page, pages);
	if (!r)
		r = delta_apply_packed(decoder, delta, t->packed.data, touched_places(t));
	if (!r && delta->new_size < t->size)
		touched_cut(t, delta->new_size);
	t->size = delta->new_size;
	return r;
}

struct touched *touched_of(struct job_scratch *scratch)
{
	if (!scratch->touched)
		scratch->touched = calloc(1, sizeof(*scratch->touched));
	return scratch->touched;
}

void touched_trim(struct touched *t)
{
	if (t && t->packed.capacity > IMAGE_KEEP)
		image_free(&t->packed);
	if (t && t->places.capacity > 2 * BATCH_BYTES)
		buf_free(&t->places);
}

void touched_free(struct touched *t)
{
	if (!t)
		return;
	buf_free(&t->places);
	image_free(&t->packed);
	free(t);
}
