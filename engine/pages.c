/*
 * pages.c - the file of page hashes.
 */
#include "pages.h"

#include <fcntl.h>
#include <unistd.h>

static void place_pages(const struct job_context *context, uint32_t module, struct place *place)
{
	place->dir = context->priv;
	name_private(place->name, &catalog_module(context->catalog, module)->id, "pages");
}

bool pages_load(
    struct job_context *context, uint32_t module, const struct chain_entry *entry, uint64_t room, uint64_t **table)
{
	size_t size = (size_t)pages_of(entry->size) * sizeof(**table);
	struct image_hash hash;
	struct place place;
	*table = image_table(context, room > entry->size ? room : entry->size);
	if (!*table || context->priv->fd < 0)
		return false;
	place_pages(context, module, &place);
	int fd = file_open(place.dir, place.name, O_RDONLY);
	if (fd < 0)
		return false;
	ssize_t n = pread(fd, *table, size, 0);
	close(fd);
	if (n != (ssize_t)size)
		return false;
	hash_table(*table, entry->size, &hash);
	return hash_equal(&hash, &entry->hash);
}

void pages_store(struct job_context *context, uint32_t module, const uint64_t *table, uint64_t size)
{
	struct place place;
	if (context->priv->fd < 0)
		return;
	place_pages(context, module, &place);
	int fd = file_open(place.dir, place.name, O_WRONLY);
	if (fd < 0)
		fd = file_create(place.dir, place.name);
	if (fd < 0)
		return;
	/* A file that is longer than the image needs does no harm, one that is half written tells by itself. */
	if (pwrite(fd, table, (size_t)pages_of(size) * sizeof(*table), 0) < 0)
		file_unlink(place.dir, place.name);
	close(fd);
}
