/*
 * pages.h - tables of page hashes, kept in .varve/.
 *
 * A file is a u64 for each page, nothing else: whether it is that of a given image is told by hashing it (hash.h), so it
 * is never believed wrongly, whatever crash or stranger has been at it.
 */
#ifndef ENGINE_PAGES_H
#define ENGINE_PAGES_H

#include "image.h"

enum pages {
	PAGES_BACKING, /**< M.pages: of what the backing file holds */
	PAGES_BASE, /**< M.base-pages, M.last-pages: of the whole images, if they are large */
	PAGES_LAST,
	PAGES_TABLE, /**< M.table: of the large image that is being restored */
};

void pages_place(
    const struct dir *priv, const struct catalog *catalog, uint32_t module, enum pages which, struct place *place);

/** pages_read() - all page hashes of the image of @entry into @table; false if the file has others. */
bool pages_read(const struct dir *priv, const struct catalog *catalog, uint32_t module, enum pages which,
    const struct chain_entry *entry, uint64_t *table);

/** pages_write() - keep table[@first] to table[@end - 1], and what else is there. That it can not be written is no error:
 * it is missed only by the next restore, which then does without. */
void pages_write(struct job_context *context, uint32_t module, enum pages which, const uint64_t *table, uint64_t first,
    uint64_t end);

/** pages_load() - what the backing file holds: the page hashes of the image of @entry into scratch->tables, with room for
 * those of an image of @room bytes; false if the file has others. */
bool pages_load(
    struct job_context *context, uint32_t module, const struct chain_entry *entry, uint64_t room, uint64_t **table);

/** pages_store() - that the backing file holds an image of @size bytes with page hashes @table. */
void pages_store(struct job_context *context, uint32_t module, const uint64_t *table, uint64_t size);

#endif
