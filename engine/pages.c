/*
 * pages.c - the files of page hashes.
 */
#include "pages.h"

#include <fcntl.h>
#include <unistd.h>

void pages_place(
    const struct dir *priv, const struct catalog *catalog, uint32_t module, enum pages which, struct place *place)
{
	static const char *const suffixes[] = {[PAGES_BACKING] = "pages",
	    [PAGES_BASE] = "base-pages",
	    [PAGES_LAST] = "last-pages",
	    [PAGES_TABLE] = "table"};
	place->dir = priv;
	name_private(place->name, &catalog_module(catalog, module)->id, suffixes[which]);
}

bool pages_read(const struct dir *priv, const struct catalog *catalog, uint32_t module, enum pages which,
    const struct chain_entry *entry, uint64_t *table)
{
	size_t size = (size_t)pages_of(entry->size) * sizeof(*table);
	struct image_hash hash;
	struct place place;
	if (priv->fd < 0)
		return false;
	pages_place(priv, catalog, module, which, &place);
	int fd = file_open(place.dir, place.name, O_RDONLY);
	if (fd < 0)
		return false;
	ssize_t n = pread(fd, table, size, 0);
	close(fd);
	if (n != (ssize_t)size)
		return false;
	hash_table(table, entry->size, &hash);
	return hash_equal(&hash, &entry->hash);
}

void pages_write(
    struct job_context *context, uint32_t module, enum pages which, const uint64_t *table, uint64_t first, uint64_t end)
{
	struct place place;
	if (context->priv->fd < 0)
		return;
	pages_place(context->priv, context->catalog, module, which, &place);
	int fd = file_open(place.dir, place.name, O_WRONLY);
	/* Of several who write a part each, one may make it: file_create() would take away what others have written. */
	if (fd < 0 && first == 0)
		fd = file_create(place.dir, place.name);
	if (fd < 0)
		return;
	/* A file that is longer than the image needs does no harm, one that is half written tells by itself. */
	if (pwrite(fd, table + first, (size_t)(end - first) * sizeof(*table), (off_t)(first * sizeof(*table))) < 0)
		file_unlink(place.dir, place.name);
	close(fd);
}

bool pages_load(
    struct job_context *context, uint32_t module, const struct chain_entry *entry, uint64_t room, uint64_t **table)
{
	*table = image_table(context, room > entry->size ? room : entry->size);
	return *table && pages_read(context->priv, context->catalog, module, PAGES_BACKING, entry, *table);
}

void pages_store(struct job_context *context, uint32_t module, const uint64_t *table, uint64_t size)
{
	pages_write(context, module, PAGES_BACKING, table, 0, pages_of(size));
}
