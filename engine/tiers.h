/*
 * tiers.h - merged deltas, so that a restore opens a handful of files however long the chain is.
 *
 * A tier of level l is one delta from entry i * F^l of a chain to entry (i + 1) * F^l, F = TIER_FAN: as in an LSM tree,
 * or SVN's skip-deltas, runs of commits are merged in powers of F. A walk from entry 0 to any entry takes at most F - 1
 * steps of each level. All tiers of a module are in one file, .varve/<ModId>.tiers, which is only appended to; they
 * depend on the chain only, so branches of history need nothing special, and a tier never goes stale. The file can be
 * removed at any time.
 *
 * File: TIER_INDEX bytes of slots, sparse, then the tiers, coded as any delta. Slot (l, i) is 24 bytes: offset u64, size
 * u64, XXH3-64 of both and of the hashes of the images at both ends, so that a file of another history is not believed.
 * How large F should be is measured in README.md.
 */
#ifndef ENGINE_TIERS_H
#define ENGINE_TIERS_H

#include "image.h"

#define TIER_FAN 8u
#define TIER_LEVELS 6
#define TIER_SLOT 24u
/** Room for the slots of a chain of 2^22 entries. */
#define TIER_INDEX (16u << 20)
/** Undo deltas are kept for so many of the newest entries. */
#define UNDO_KEEP 64u

/** A delta to apply: from the image of entry @from to that of entry @to. */
struct step {
	uint32_t from;
	uint32_t to;
	bool tier; /**< in the file of tiers, at offset; else the delta file of entry @to */
	uint64_t offset;
	uint64_t size;
};

struct steps {
	struct step *list;
	size_t count;
	size_t capacity;
	uint64_t bytes; /**< sum of the sizes */
};

/** plan_forward() - the fewest steps from entry @from to entry @to >= @from. @tiers: use them. 0 or -ENOMEM. */
int plan_forward(
    struct job_context *context, uint32_t module, uint32_t from, uint32_t to, bool tiers, struct steps *steps);

void steps_free(struct steps *steps);

/** tier_span() - entries that a tier of @level (from 1) spans. */
static inline uint32_t tier_span(unsigned level)
{
	uint32_t span = 1;
	while (level--)
		span *= TIER_FAN;
	return span;
}

/** tier_find() - whether tier (@level, @index) is there; its place. @fd: the module's file of tiers. */
bool tier_find(const struct job_context *context, uint32_t module, int fd, unsigned level, uint32_t index,
    uint64_t *offset, uint64_t *size);

/** tier_append() - add it to the module's file, made if it is not there. */
int tier_append(struct job_context *context, uint32_t module, unsigned level, uint32_t index, const struct buf *delta);

/** place_tiers(), place_undo() - the file of tiers; the undo delta from entry @index to the one before. */
void place_tiers(const struct job_context *context, uint32_t module, struct place *place);
void place_undo(const struct job_context *context, uint32_t module, uint32_t index, struct place *place);

/** steps_run() - apply them to @image, which is at the first one's start. @seen is called for each before it is applied,
 * with the parsed delta in scratch->delta and the pages it needs loaded; may be NULL. */
int steps_run(struct job_context *context, struct job *job, const struct steps *steps, struct image *image, bool check,
    int (*seen)(void *arg, struct job_context *context), void *arg);

/** steps_pages() - call @seen for each step's delta, in scratch->delta, without applying any. */
int steps_pages(struct job_context *context, struct job *job, const struct steps *steps,
    int (*seen)(void *arg, struct job_context *context), void *arg);

/** undo_load() - the undo delta of entry @index into scratch->file, parsed into scratch->delta; -ENOENT: there is none. */
int undo_load(struct job_context *context, uint32_t module, uint32_t index);

#endif
