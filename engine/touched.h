/*
 * touched.h - the pages of an image that a restore by difference touches, packed together.
 *
 *   image     [ 0 ][ 1 ][ 2 ][ 3 ][ 4 ][ 5 ][ 6 ] ...     of which deltas name 1, 2 and 5
 *   places           1    2              3
 *   data      [ 1 ][ 2 ][ 5 ]
 *
 * An image of 10 MB of which 250 pages change takes 1 MB, which is the same 1 MB for each restore and so stays in the
 * CPU's caches. And the pages that one delta names are loaded in order: they are, as they lie here, the prefix that the
 * delta's literals are unpacked with.
 */
#ifndef ENGINE_TOUCHED_H
#define ENGINE_TOUCHED_H

#include "image.h"

struct touched {
	uint64_t size; /**< of the image now */
	const uint8_t *mapped; /**< where pages come from: bytes in memory, or, where this is NULL, @fd */
	int fd;
	uint64_t source_at; /**< where in @fd its bytes begin; 0 unless it is set after touched_begin() */
	uint64_t source_size; /**< of its bytes, those that still count: what lies behind was cut off, or never there */
	struct buf places; /**< u32 by page of the image: its place in data, from 1; 0: it is not touched */
	uint64_t pages; /**< that places has room for */
	struct image packed; /**< memory only: pages, by their places */
	uint32_t count; /**< of them */
};

/** touched_begin() - nothing is touched of an image of @size bytes, which @mapped (must stay) or @fd holds. It has at most
 * @most bytes on the way. 0 or -ENOMEM. */
int touched_begin(struct touched *touched, const uint8_t *mapped, int fd, uint64_t size, uint64_t most);

/** touched_need() - see to it that these pages of the image are there. 0, -ENOMEM, -EBADMSG, -EIO. */
int touched_need(struct touched *touched, uint64_t page, uint64_t pages);

/** touched_apply() - the next step: load what the parsed @delta names, and apply it. 0 or -errno; then it is unspecified
 * what the pages hold. */
int touched_apply(struct touched *touched, struct delta_decoder *decoder, const struct delta *delta);

/** touched_cut() - the image is @size bytes, not more than before: what is cut off is forgotten, the rest of the last page
 * zero. */
void touched_cut(struct touched *touched, uint64_t size);

/** touched_places() - by page, from 1; 0: not touched. They change with the next page that is loaded. */
static inline uint32_t *touched_places(const struct touched *touched)
{
	return (uint32_t *)(void *)touched->places.data;
}

/** touched_page() - the bytes of the page at @place. */
static inline uint8_t *touched_page(const struct touched *touched, uint32_t place)
{
	return touched->packed.data + (size_t)(place - 1) * PAGE_BYTES;
}

/** touched_of() - the one that a process keeps from job to job. NULL: no memory. */
struct touched *touched_of(struct job_scratch *scratch);

/** touched_trim() - memory that only a large restore needed goes back. NULL is allowed. */
void touched_trim(struct touched *touched);

/** touched_free() - NULL is allowed. */
void touched_free(struct touched *touched);

#endif
