/*
 * tiers.h - merged deltas, so that a restore decodes a handful of them however long the chain is.
 *
 * A tier of level l is one delta from entry i * F^l of a chain to entry (i + 1) * F^l, F = TIER_FAN: as in an LSM tree,
 * or SVN's skip-deltas, runs of commits are merged in powers of F. An anchor is one delta from the base to entry
 * i * F^2: where changes keep falling on the same bytes it is hardly larger than a tier, and saves all of them up to it.
 *
 *   base --------------- anchor ---------------> 128 -- tier --> 136 -- tier --> 144 -d-> 145 -d-> 146
 *
 * All of a module's are in one file, .varve/<ModId>.tiers, which is only appended to; they depend on the chain only, so
 * branches of history need nothing special, and they never go stale. The file can be removed at any time. It never
 * holds tiers of more than 1.5 times the bytes of the deltas, and an anchor is made only where the deltas since the one
 * before weigh 1.5 times that one: so anchors take a bounded part of it, however large they are. Keyframes, which it
 * holds as well, are in frames.h.
 *
 * File: TIER_INDEX bytes of slots, sparse, then the tiers, coded as any delta. A slot is 24 bytes: offset u64, size u64,
 * XXH3-64 of both and of the hashes of the images at both ends, so that a file of another history is not believed.
 * How large F should be, and how tiers are coded, is measured in README.md.
 */
#ifndef ENGINE_TIERS_H
#define ENGINE_TIERS_H

#include "image.h"
#include "map.h"

#define TIER_FAN 8u
#define TIER_LEVELS 6
#define TIER_SLOT 24u
/** Room for the slots of a chain of 2^22 entries. */
#define TIER_INDEX (16u << 20)
/** Entries between places where an anchor can be: TIER_FAN squared. */
#define ANCHOR_EVERY 64u
/** An anchor is made where the deltas since the one before weigh so many halves of that one. */
#define ANCHOR_HALVES 3u
/** Tiers and anchors take at most so many hundredths of what the deltas take; with keyframes it is as the context says. */
#define TIER_PERCENT 150u

/** tier_span() - entries that a tier of @level (from 1) spans. */
static inline uint32_t tier_span(unsigned level)
{
	uint32_t span = 1;
	while (level--)
		span *= TIER_FAN;
	return span;
}

/** The level of anchors: anchor i leads from entry 0 to entry (i + 1) * ANCHOR_EVERY. That of keyframes (frames.h), which
 * are where anchors could be. */
#define TIER_ANCHOR (TIER_LEVELS + 1)
#define TIER_FRAME (TIER_LEVELS + 2)

/** What has a slot: a tier, an anchor, a keyframe. */
struct tier {
	unsigned level;
	uint32_t index;
};

/** tier_from(), tier_to() - the entries that it leads from and to. */
static inline uint32_t tier_from(struct tier tier)
{
	return tier.level >= TIER_ANCHOR ? 0 : tier.index * tier_span(tier.level);
}

static inline uint32_t tier_to(struct tier tier)
{
	return (tier.index + 1) * (tier.level >= TIER_ANCHOR ? ANCHOR_EVERY : tier_span(tier.level));
}

/** tier_find() - whether it is in @file, the module's file of tiers, and where. */
bool tier_find(const struct job_context *context, uint32_t module, const struct map *file, struct tier tier,
    uint64_t *offset, uint64_t *size);

/** tiers_want() - have of @file read what is needed to find a way to any entry of @module, and, where the chain is short,
 * to go it. */
void tiers_want(const struct job_context *context, uint32_t module, const struct map *file);

/** tier_append() - add it to the module's file, made if it is not there. */
int tier_append(struct job_context *context, uint32_t module, struct tier tier, const struct buf *delta);

/** What is being added to a file of tiers: from tier_begin() to tier_end(), which closes it, and takes back what was
 * written if @r says that it failed. */
struct tier_writer {
	struct place place;
	int fd;
	uint64_t end; /**< of the file before */
};
int tier_begin(const struct job_context *context, uint32_t module, struct tier_writer *writer);
int tier_end(const struct job_context *context, uint32_t module, struct tier tier, struct tier_writer *writer,
    uint64_t offset, uint64_t size, int r);

/** tiers_mend() - look at all tiers up to entry @last, and remove the file if one of them is damaged: they will be made
 * again. Returns whether it did. */
bool tiers_mend(struct job_context *context, uint32_t module, uint32_t last);

/** tiers_room() - bytes that may be added to the module's file, @file or none yet, when its chain has come to entry @to:
 * of tiers and anchors, or of a keyframe. */
uint64_t tiers_room(
    const struct job_context *context, uint32_t module, const struct map *file, uint32_t to, bool frame);

/** place_tiers() - the file of tiers. */
void place_tiers(const struct job_context *context, uint32_t module, struct place *place);

#endif
