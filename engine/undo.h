/*
 * undo.h - deltas backwards, for the newest entries of a chain: the most frequent restore of all takes back the last few
 * commits.
 *
 *   n - 64 <-packed- ... <-packed- n - 41 <-quick- n - 40 ... <-quick- n - 1 <-quick- n
 *
 * That of entry i turns its image into that of entry i - 1. They are *quick*, which is not compressed at all, as long as
 * those from the newest on take no more than one image does; the others *packed*, as tightly as the chain's own. There
 * are none for entries whose image is shorter than the one before: such steps are taken the long way.
 *
 * Quick ones are applied page by page (layers.h): of many commits each page is loaded, hashed and written once.
 *
 * File .varve/<ModId>.undo: UNDO_KEEP slots, that of entry i at i % UNDO_KEEP, then the deltas, coded as any, in no order.
 * A slot is 32 bytes: offset u64, size u64, form u64 (enum undo_form), XXH3-64 of these and of the hashes of both images;
 * so one of another entry, or of another history, is not believed. A delta that is made takes room that no other needs
 * any more, then its slot is written: who reads meanwhile meets with a checksum that is wrong, or in the end with an image
 * that is, and goes another way. The file can be removed at any time.
 */
#ifndef ENGINE_UNDO_H
#define ENGINE_UNDO_H

#include "image.h"
#include "map.h"

/** Undo deltas are kept for so many of the newest entries. */
#define UNDO_KEEP 64u
#define UNDO_SLOT 32u
/** Bytes of slots. */
#define UNDO_INDEX (UNDO_KEEP * UNDO_SLOT)
/** Bytes of the file that are read ahead. */
#define UNDO_WANT (4u << 20)

enum undo_form {
	UNDO_PACKED, /**< coded as the chain's deltas are */
	UNDO_QUICK, /**< DELTA_STORED */
};

/** Where one is in the file. */
struct undo {
	uint64_t offset;
	uint64_t size;
	enum undo_form form;
};

void place_undo(const struct job_context *context, uint32_t module, struct place *place);

/** undo_find() - whether that of entry @index, to the one before, is in @file, the module's file of them, and where. */
bool undo_find(
    const struct job_context *context, uint32_t module, const struct map *file, uint32_t index, struct undo *undo);

/** undo_parse() - the one that undo_find() has found, into @delta, which points into the file then. 0 or -EBADMSG, … */
int undo_parse(const struct job_context *context, uint32_t module, const struct map *file, uint32_t index,
    const struct undo *undo, struct delta *delta);

/** undo_load() - that of entry @index into scratch->delta. -ENOENT: there is none. */
int undo_load(struct job_context *context, uint32_t module, uint32_t index);

/** undo_write() - make the parsed runs scratch->runs, which turn @image (of entry @index) into @before, the undo delta of
 * entry @index. */
int undo_write(struct job_context *context, uint32_t module, uint32_t index, enum undo_form form,
    const struct image *image, const struct image *before);

#endif
