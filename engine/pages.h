/*
 * pages.h - the page hashes of what a backing file holds, kept in .varve/<ModId>.pages.
 *
 * The file is a u64 for each page, nothing else: whether it is that of a given image is told by hashing it (hash.h), so
 * it is never believed wrongly, whatever crash or stranger has been at it.
 */
#ifndef ENGINE_PAGES_H
#define ENGINE_PAGES_H

#include "image.h"

/** pages_load() - the page hashes of the image of @entry into scratch->tables, with room for those of an image of @room
 * bytes; false if the file has others. */
bool pages_load(
    struct job_context *context, uint32_t module, const struct chain_entry *entry, uint64_t room, uint64_t **table);

/** pages_store() - keep @table for an image of @size bytes. That it can not be written is no error: it is missed only by
 * the next restore, which then compares. */
void pages_store(struct job_context *context, uint32_t module, const uint64_t *table, uint64_t size);

#endif
