/*
 * rebuild.h - pages of an image, made from a whole image and the steps to it, hashed, compared and written. Private to
 * engine/.
 */
#ifndef ENGINE_REBUILD_H
#define ENGINE_REBUILD_H

#include "image.h"
#include "map.h"

/** The image of job->target as far as the steps to it touch it, and what holds its other pages. */
struct rebuild {
	struct job *job;
	struct image *image; /**< lazy */
	uint64_t whole_size; /**< of the whole image that it is made of */
	const uint8_t *whole; /**< its bytes [at, end of the window); NULL: they are zeros */
	uint64_t at;
	uint64_t *table; /**< page hashes of the image */
	bool proven; /**< those of pages in `image` were made of these very bytes */
	int fd; /**< the backing file; -1 in a dry run of a file that is not there */
	const struct place *place;
};

/** rebuild_hash() - hashes of pages [@page, @end) into rebuild->table; @known: those of the whole image, NULL: they are
 * hashed now. */
int rebuild_hash(struct rebuild *rebuild, const uint64_t *known, uint64_t page, uint64_t end);

/** rebuild_write() - compare pages [@page, @end) with the backing file's bytes @now, @there bytes from the first page on
 * (behind them it has zeros; NULL: all zeros), and write those that differ. Returns 1, 0 where a page has not the hash
 * that the table says, or -errno. What it writes has. */
int rebuild_write(struct rebuild *rebuild, const uint8_t *now, uint64_t there, uint64_t page, uint64_t end);

/**
 * restore_rebuild() - bring the backing file @fd, @old_size bytes long, of which nothing is known, to entry job->target.
 * Returns 1 if it did, 0 if it must be done in another way (no page was written that is not right), or -errno.
 */
int restore_rebuild(struct job_context *context, struct job *job, int fd, const struct place *place, uint64_t old_size);

#endif
