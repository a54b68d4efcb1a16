/*
 * split.c - one large module, several workers.
 *
 *   HASH --all hashed, table right--> WRITE --all written--> DONE
 *     `--a shard, or the table, is not right--> ALONE
 *
 * The table of page hashes is checked here once more before anything is written, and in each writing job. When all is
 * written it becomes the file of page hashes of what the backing file holds (pages.h). Where there is a table of the
 * image already, because the file goes back to what it held before, the first round is left out.
 *
 * .varve/<ModId>.written has a byte for each window of the file, which is not 0 if anything may have been written there:
 * should the restore be cancelled, only these are brought back.
 */
#include "split.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "op_private.h"
#include "pages.h"

bool split_wanted(const struct store *store, uint32_t module, uint32_t target)
{
	return store->priv.fd >= 0 && !store->read_only &&
	       chain_entry(&store->catalog, module, target)->size > SPLIT_MORE_THAN;
}

/* Whether a table of the image is kept; then it is in @fd, too. */
static bool take_kept(const struct split *split, const struct store *store, int fd, const struct place *place)
{
	const struct chain_entry *entry = chain_entry(&store->catalog, split->module, split->target);
	size_t size = (size_t)pages_of(split->size) * sizeof(uint64_t);
	uint64_t *table = malloc(size);
	bool took = table && pages_read(&store->priv, &store->catalog, split->module, PAGES_BACKING, entry, table) &&
	            file_write_at(fd, table, size, 0, place->dir, place->name) == 0;
	free(table);
	return took;
}

void split_begin(
    struct split *split, struct store *store, uint32_t module, uint32_t target, uint32_t flags, uint64_t cut)
{
	uint64_t size = chain_entry(&store->catalog, module, target)->size, shard = size / 16;
	struct place place;
	shard += DELTA_SECTION - 1;
	shard -= shard % DELTA_SECTION;
	*split = (struct split) {.module = module,
	    .target = target,
	    .flags = flags | (cut ? JOB_MARKED : 0),
	    .size = size,
	    .shard = shard < SHARD_MOST ? shard : SHARD_MOST,
	    .cut = cut};
	pages_place(&store->priv, &store->catalog, module, PAGES_TABLE, &place);
	int fd = file_create(place.dir, place.name);
	if (fd < 0) {
		split->state = SPLIT_ALONE;
		return;
	}
	if (take_kept(split, store, fd, &place))
		split->state = SPLIT_WRITE;
	close(fd);
}

void split_end(const struct split *split, const struct store *store)
{
	struct place place;
	pages_place(&store->priv, &store->catalog, split->module, PAGES_TABLE, &place);
	file_unlink(place.dir, place.name);
	split_place_marks(&store->priv, &store->catalog, split->module, &place);
	file_unlink(place.dir, place.name);
}

void split_place_marks(const struct dir *priv, const struct catalog *catalog, uint32_t module, struct place *place)
{
	place->dir = priv;
	name_private(place->name, &catalog_module(catalog, module)->id, "written");
}

/* Without them all of the module has to be brought back, should it come to that. */
static void make_marks(struct split *split, const struct store *store)
{
	uint64_t windows = (split->size + SHARD_WINDOW - 1) / SHARD_WINDOW;
	struct place place;
	if (split->cut)
		return;
	split_place_marks(&store->priv, &store->catalog, split->module, &place);
	int fd = file_create(place.dir, place.name);
	if (fd >= 0 && file_resize(fd, windows, place.dir, place.name) == 0)
		split->flags |= JOB_MARK;
	if (fd >= 0)
		close(fd);
}

/* Before the first shard is written the stamp goes, and the file gets its size. */
static int begin_writing(struct split *split, struct store *store)
{
	struct place place;
	if (split->flags & JOB_DRY)
		return 0;
	int r = stamps_clear(&store->stamps, split->module);
	if (r)
		return r;
	make_marks(split, store);
	int fd = backing_open(&store->base, &store->catalog, split->module, true, &place);
	if (fd < 0)
		return fd;
	r = file_resize(fd, split->size, place.dir, place.name);
	close(fd);
	return r;
}

static int next_shard(struct split *split, struct store *store, struct job *job)
{
	op_job(store, job, split->state == SPLIT_HASH ? JOB_HASH_SHARD : JOB_WRITE_SHARD, split->module, split->target);
	job->flags = split->flags;
	job->from = split->at;
	job->to = split->at += split->shard;
	job->size = split->cut;
	split->running++;
	return 1;
}

int split_next(struct split *split, struct store *store, struct job *job)
{
	if (split->failed || split->cancelled)
		return 0;
	if (split->state == SPLIT_HASH)
		return split->at < split->size ? next_shard(split, store, job) : 0;
	if (split->state != SPLIT_WRITE || split->at >= split->size)
		return 0;
	int r = split->at ? 0 : begin_writing(split, store);
	if (r) {
		split->state = SPLIT_DONE;
		return r;
	}
	return next_shard(split, store, job);
}

uint64_t split_cut(const struct split *split)
{
	return split->state == SPLIT_WRITE && split->flags & JOB_MARK ? split->size : 0;
}

/* Whether the table that the shards have written is that of the image. */
static bool table_right(const struct split *split, const struct store *store)
{
	const struct chain_entry *entry = chain_entry(&store->catalog, split->module, split->target);
	uint64_t *table = malloc((size_t)pages_of(split->size) * sizeof(*table));
	bool right = table && pages_read(&store->priv, &store->catalog, split->module, PAGES_TABLE, entry, table);
	free(table);
	return right;
}

/* Of a file that others may have written to, and that was not looked at as a whole, nothing is said. */
static int finish(struct split *split, const struct store *store)
{
	struct place table, pages, backing;
	split->stamp.entry = CHAIN_NONE;
	if (split->flags & JOB_DRY || split->cut)
		return 0;
	int fd = backing_open(&store->base, &store->catalog, split->module, true, &backing);
	if (fd < 0)
		return fd;
	int r = stamp_take(fd, split->target, &split->stamp);
	close(fd);
	pages_place(&store->priv, &store->catalog, split->module, PAGES_TABLE, &table);
	pages_place(&store->priv, &store->catalog, split->module, PAGES_BACKING, &pages);
	if (!r)
		file_rename(table.dir, table.name, pages.dir, pages.name); /* only the next restore would miss it */
	return r;
}

int split_done(struct split *split, struct store *store, const struct job *job)
{
	int r = 0;
	split->running--;
	split->cancelled |= job->result == -ECANCELED;
	split->failed |= (job->result && job->result != -ECANCELED) || job->far;
	if (split->running)
		return 0;
	if (split->failed) {
		split->state = SPLIT_ALONE;
		return 0;
	}
	if (split->at < split->size || split->cancelled)
		return 0;
	if (split->state == SPLIT_HASH) {
		split->state = table_right(split, store) ? SPLIT_WRITE : SPLIT_ALONE;
		split->at = 0;
	} else {
		r = finish(split, store);
		split->state = SPLIT_DONE;
	}
	return r;
}

void split_count(struct split *split, const struct job *job, uint64_t *bytes_read, uint64_t *deltas)
{
	bool first = !split->counted;
	split->counted = true;
	*deltas = first ? job->deltas_applied : 0;
	*bytes_read =
	    (job->kind == JOB_WRITE_SHARD ? job->bytes_read - job->delta_bytes : 0) + (first ? job->delta_bytes : 0);
}
