/*
 * frames.h - keyframes: whole images within a chain, to start from.
 *
 * A tier saves work where what it merges falls on the same bytes. Where it does not, the way from the base to an entry
 * decodes all that was ever written, however it is merged, so it is longer the longer the chain is. From a keyframe it
 * is no longer than from one keyframe to the next:
 *
 *   base -- tiers --> 256          keyframe 256 -- tiers --> 512          keyframe 512 -- tiers --> 520 -d-> 521
 *
 * They are in the module's file of tiers, with slots of their own, and go and come with it: uncompressed, beginning with
 * a page, so that a restore maps one as it does the base; pages of zeros are holes. The hashes of its pages are behind
 * it, from the next page on, 8 bytes each. Neither is believed: an image that was made with a keyframe has its hash
 * checked like any other.
 *
 * They are where anchors could be, at multiples of 64 entries. Which are made is in job_frames.c.
 */
#ifndef ENGINE_FRAMES_H
#define ENGINE_FRAMES_H

#include "image.h"
#include "map.h"
#include "tiers.h"

/** The first of a chain is not before this entry: up to there tiers do. */
#define FRAME_FIRST 256u
/** They are not nearer to each other than so many entries. */
#define FRAME_APART 128u
/** Larger images have none: who makes one has it in memory. */
#define FRAME_MOST (64u << 20)
/** The whole image that a walk begins with. */
struct start {
	uint32_t entry;
	uint64_t frame; /**< a keyframe: where in the file of tiers it begins. 0: it is the base, or the last */
};

/** frame_find() - the newest keyframe of the module that is not behind entry @to. Returns whether there is one. */
bool frame_find(
    const struct job_context *context, uint32_t module, const struct map *file, uint32_t to, struct start *start);

/** frame_table() - the page hashes of the one at @frame, an image of @size bytes. */
const uint64_t *frame_table(const struct map *file, uint64_t frame, uint64_t size);

/** frame_append() - add that of entry @at, a multiple of ANCHOR_EVERY; @image has all pages, and @table their hashes. */
int frame_append(
    struct job_context *context, uint32_t module, uint32_t at, const struct image *image, const uint64_t *table);

/** frame_bytes() - what one of an image of @size bytes takes in the file; frame_stored() - on disk, if it has this table:
 * its zero pages take nothing. */
uint64_t frame_bytes(uint64_t size);
uint64_t frame_stored(const uint64_t *table, uint64_t size);

/** What all of a module's take. */
struct frames_sum {
	uint64_t bytes; /**< of the file's length */
	uint64_t stored; /**< on disk */
};
struct frames_sum frames_sum(const struct job_context *context, uint32_t module, const struct map *file);

/** frame_whole() - whether the one at @start is what it should be; frames_whole() - whether all that are in the file
 * are what they should be. */
bool frame_whole(const struct job_context *context, uint32_t module, const struct map *file, const struct start *start);
bool frames_whole(const struct job_context *context, uint32_t module, const struct map *file);

/** frame_make() - make that of entry @at if it pays, in a job for its module. Returns whether it did, or -errno. */
int frame_make(struct job_context *context, struct job *job, uint32_t at);

#endif
