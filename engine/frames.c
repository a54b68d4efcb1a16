/*
 * frames.c - where keyframes are.
 */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t round_up(uint64_t size)
{
	return pages_of(size) * PAGE_BYTES;
}

uint64_t frame_bytes(uint64_t size)
{
	return round_up(size) + pages_of(size) * sizeof(uint64_t);
}

const uint64_t *frame_table(const struct map *file, uint64_t frame, uint64_t size)
{
	return (const uint64_t *)(const void *)(file->data + frame + round_up(size));
}

/* That of entry @at, if there is one. Its slot says what it takes on disk. */
static bool find_at(const struct job_context *context, uint32_t module, const struct map *file, uint32_t at,
    uint64_t *frame, uint64_t *stored)
{
	struct tier tier = {TIER_FRAME, at / ANCHOR_EVERY - 1};
	return tier_find(context, module, file, tier, frame, stored) && *frame % PAGE_BYTES == 0 &&
	       frame_bytes(chain_entry(context->catalog, module, at)->size) <= file->size - *frame;
}

bool frame_find(
    const struct job_context *context, uint32_t module, const struct map *file, uint32_t to, struct start *start)
{
	uint64_t stored;
	for (uint32_t at = to - to % ANCHOR_EVERY; at >= FRAME_FIRST; at -= ANCHOR_EVERY)
		if (find_at(context, module, file, at, &start->frame, &stored)) {
			start->entry = at;
			return true;
		}
	*start = (struct start) {0};
	return false;
}

int frame_append(
    struct job_context *context, uint32_t module, uint32_t at, const struct image *image, const uint64_t *table)
{
	struct tier tier = {TIER_FRAME, at / ANCHOR_EVERY - 1};
	struct tier_writer w;
	uint64_t written = 0;
	int r = tier_begin(context, module, &w);
	if (r)
		return r;
	uint64_t from = round_up(w.end);
	r = write_sparse(w.fd, image->data, image->size, from, &w.place, &written);
	if (!r)
		r = file_write_at(w.fd, table, (size_t)pages_of(image->size) * sizeof(*table),
		    from + round_up(image->size), w.place.dir, w.place.name);
	return tier_end(context, module, tier, &w, from, frame_stored(table, image->size), r);
}

/* ---- how much ---------------------------------------------------------------------------------------------------- */

uint64_t frame_stored(const uint64_t *table, uint64_t size)
{
	static const uint8_t zeros[PAGE_BYTES];
	uint64_t zero = hash64(zeros, PAGE_BYTES), stored = frame_bytes(size);
	for (uint64_t page = 0; page < pages_of(size); page++)
		stored -= table[page] == zero ? PAGE_BYTES : 0;
	return stored;
}

struct frames_sum frames_sum(const struct job_context *context, uint32_t module, const struct map *file)
{
	uint32_t last = catalog_module(context->catalog, module)->length - 1;
	struct frames_sum sum = {0};
	uint64_t frame, stored;
	for (uint32_t at = FRAME_FIRST; at <= last; at += ANCHOR_EVERY)
		if (find_at(context, module, file, at, &frame, &stored)) {
			/* And what is left free before it. */
			sum.bytes += frame_bytes(chain_entry(context->catalog, module, at)->size) + PAGE_BYTES;
			sum.stored += stored + PAGE_BYTES;
		}
	return sum;
}

bool frame_whole(const struct job_context *context, uint32_t module, const struct map *file, const struct start *start)
{
	const struct chain_entry *entry = chain_entry(context->catalog, module, start->entry);
	const uint64_t *table = frame_table(file, start->frame, entry->size);
	struct image_hash hash;
	hash_table(table, entry->size, &hash);
	bool whole = hash_equal(&hash, &entry->hash);
	for (uint64_t page = 0; whole && page < pages_of(entry->size); page++) {
		uint64_t at = page * PAGE_BYTES, left = entry->size - at, is;
		hash_pages(file->data + start->frame + at, left < PAGE_BYTES ? left : PAGE_BYTES, &is);
		whole = is == table[page];
	}
	return whole;
}

bool frames_whole(const struct job_context *context, uint32_t module, const struct map *file)
{
	uint32_t to = catalog_module(context->catalog, module)->length - 1;
	struct start start;
	for (; frame_find(context, module, file, to, &start); to = start.entry - 1)
		if (!frame_whole(context, module, file, &start))
			return false;
	return true;
}
