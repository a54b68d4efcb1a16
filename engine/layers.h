/*
 * layers.h - several deltas at once, page by page.
 *
 *              page 4   page 5   page 6   page 7
 *   first      [ x  ]            [xxxx]              what a later one has wins
 *   second     [  y ]   [yy  ]
 *   third      [z   ]                     [ zz ]
 *
 * Deltas that are not compressed (DELTA_STORED) hold the bytes of their runs as they are, so no page is needed to unpack
 * them, and none has to be complete before another is begun: each is loaded, and gets the bytes of all of them, while it
 * is in the CPU's nearest cache.
 */
#ifndef ENGINE_LAYERS_H
#define ENGINE_LAYERS_H

#include "touched.h"

#define LAYERS_MAX 64u
/** Runs of all deltas that are parsed at a time, but always at least one's. */
#define LAYERS_RUNS (256u << 10)

/** A parsed delta, and how far it is applied. */
struct layer {
	struct delta delta;
	uint64_t page; /**< which the next bytes are of; UINT64_MAX: there are none */
	size_t run;
	uint64_t done; /**< bytes of that run */
	size_t zero; /**< in delta.zeros: the next */
	size_t section;
	const uint8_t *literals; /**< the next */
};

/** Zero-initialise it. */
struct layers {
	struct layer list[LAYERS_MAX];
	unsigned count;
	size_t runs;
};

/** layers_begin() - there are none. */
void layers_begin(struct layers *layers);

/** layers_next() - where to parse the next one, whose bytes must stay. NULL: there are as many as can be. */
struct delta *layers_next(struct layers *layers);

/** layers_push() - take what was parsed there; false: it is compressed, and can not be applied in this way. */
bool layers_push(struct layers *layers);

/** layers_apply() - apply all of them to the pages that they name, in the order in which they came; after it the image is
 * @size bytes, and no step on the way was to a longer one. 0 or -errno; then it is unspecified what the pages hold. */
int layers_apply(struct layers *layers, struct touched *touched, uint64_t size);

/** layers_of() - those that a process keeps from job to job. NULL: no memory. */
struct layers *layers_of(struct job_scratch *scratch);

/** layers_trim() - memory that only large deltas needed goes back. NULL is allowed, here and below. */
void layers_trim(struct layers *layers);
void layers_free(struct layers *layers);

#endif
