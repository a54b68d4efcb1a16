/*
 * split.c - one large module, several workers.
 *
 *   HASH --all hashed, table right--> WRITE --all written--> DONE
 *     `--a shard, or the table, is not right--> ALONE
 *
 * The table of page hashes is checked here once more before anything is written, and in each writing job. When all is
 * written it becomes the file of page hashes of what the backing file holds (pages.h).
 */
#include "split.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "op_private.h"

void split_place(const struct dir *priv, const struct catalog *catalog, uint32_t module, struct place *place)
{
	place->dir = priv;
	name_private(place->name, &catalog_module(catalog, module)->id, "table");
}

bool split_wanted(const struct store *store, uint32_t module, uint32_t target)
{
	return store->priv.fd >= 0 && !store->read_only &&
	       chain_entry(&store->catalog, module, target)->size > SPLIT_MORE_THAN;
}

void split_begin(struct split *split, struct store *store, uint32_t module, uint32_t target, uint32_t flags)
{
	uint64_t size = chain_entry(&store->catalog, module, target)->size, shard = size / 8;
	struct place place;
	shard += DELTA_SECTION - 1;
	shard -= shard % DELTA_SECTION;
	*split = (struct split) {.module = module,
	    .target = target,
	    .flags = flags,
	    .size = size,
	    .shard = shard < SHARD_MOST ? shard : SHARD_MOST};
	split_place(&store->priv, &store->catalog, module, &place);
	int fd = file_create(place.dir, place.name);
	if (fd >= 0)
		close(fd);
	else
		split->state = SPLIT_ALONE;
}

void split_end(const struct split *split, const struct store *store)
{
	struct place place;
	split_place(&store->priv, &store->catalog, split->module, &place);
	file_unlink(place.dir, place.name);
}

bool split_next(struct split *split, struct store *store, struct job *job)
{
	if (split->failed || split->at >= split->size || (split->state != SPLIT_HASH && split->state != SPLIT_WRITE))
		return false;
	op_job(store, job, split->state == SPLIT_HASH ? JOB_HASH_SHARD : JOB_WRITE_SHARD, split->module, split->target);
	job->flags = split->flags;
	job->from = split->at;
	job->to = split->at += split->shard;
	split->running++;
	return true;
}

/* Whether the table that the shards have written is that of the image. */
static bool table_right(const struct split *split, const struct store *store)
{
	const struct chain_entry *entry = chain_entry(&store->catalog, split->module, split->target);
	size_t bytes = (size_t)pages_of(split->size) * sizeof(uint64_t);
	struct buf b = {0};
	struct image_hash hash;
	struct place place;
	split_place(&store->priv, &store->catalog, split->module, &place);
	bool right = file_load(place.dir, place.name, bytes, &b) == 0 && b.size == bytes;
	if (right) {
		hash_table((const uint64_t *)(const void *)b.data, split->size, &hash);
		right = hash_equal(&hash, &entry->hash);
	}
	buf_free(&b);
	return right;
}

/* Gives the backing file its size, before the first shard is written. */
static int begin_writing(const struct split *split, const struct store *store)
{
	struct place place;
	if (split->flags & JOB_DRY)
		return 0;
	int fd = backing_open(&store->base, &store->catalog, split->module, true, &place);
	if (fd < 0)
		return fd;
	int r = file_resize(fd, split->size, place.dir, place.name);
	close(fd);
	return r;
}

static int finish(struct split *split, const struct store *store)
{
	char pages[NAME_MAX_SIZE];
	struct place table, backing;
	split_place(&store->priv, &store->catalog, split->module, &table);
	name_private(pages, &catalog_module(&store->catalog, split->module)->id, "pages");
	if (split->flags & JOB_DRY)
		return 0;
	int fd = backing_open(&store->base, &store->catalog, split->module, true, &backing);
	if (fd < 0)
		return fd;
	int r = stamp_take(fd, split->target, &split->stamp);
	close(fd);
	if (!r)
		file_rename(table.dir, table.name, table.dir, pages); /* only the next restore would miss it */
	return r;
}

int split_done(struct split *split, struct store *store, const struct job *job)
{
	int r = 0;
	split->running--;
	split->failed |= job->result || job->far;
	if (split->running || (!split->failed && split->at < split->size))
		return 0;
	if (split->failed || (split->state == SPLIT_HASH && !table_right(split, store))) {
		split->state = SPLIT_ALONE;
	} else if (split->state == SPLIT_HASH) {
		r = begin_writing(split, store);
		split->state = SPLIT_WRITE;
		split->at = 0;
	} else {
		r = finish(split, store);
		split->state = SPLIT_DONE;
	}
	return r;
}
