/*
 * job_commit.c - compare a backing file with the module's last image, and write what a new module commit needs.
 *
 * All that is written goes to .varve/<ModId>.next: the whole image if it is the module's first commit, else the delta
 * against the last. Nothing that a reader knows of is touched, so a commit that comes to nothing just unlinks it.
 * job_publish() puts it in sight once the commit is decided.
 *
 * The last image's bytes are checked against their hash before a delta is made against them: a delta against bytes
 * that are wrong would end the chain for good.
 */
#include "job_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "history.h"
#include "map.h"
#include "pages.h"
#include "split.h"
#include "warm.h"

/** Images are compared and hashed in windows of so many bytes; holes in both files are skipped. */
#define WINDOW (4u << 20)

/** A file's bytes: read into memory if it is small, else mapped. */
struct view {
	int fd;
	uint64_t size;
	const uint8_t *data;
	struct map map; /* of nothing, where they are in memory */
};

/* The size that it has now is what counts from here on, whatever is done to the file meanwhile. 1: it has more bytes than
 * this process may look at. */
static int view_open(
    const struct job_context *context, struct view *view, const struct place *place, struct image *memory)
{
	*view = (struct view) {.fd = file_open(place->dir, place->name, O_RDONLY)};
	if (view->fd < 0)
		return view->fd;
	struct stat st;
	if (fstat(view->fd, &st) < 0)
		return fail_sys(errno, "%s%s", place->dir->label, place->name);
	view->size = (uint64_t)st.st_size;
	if (context->most && view->size > context->most)
		return 1;
	if (view->size > IMAGE_SMALL) {
		int r = map_open(&view->map, view->fd, (size_t)view->size, false);
		if (r)
			err_prefix("%s%s: ", place->dir->label, place->name);
		view->data = view->map.data;
		return r;
	}
	int r = image_reserve(memory, view->size);
	if (!r)
		r = file_read_at(view->fd, memory->data, (size_t)view->size, 0, place->dir, place->name);
	view->data = memory->data;
	return r;
}

static void view_close(struct view *view)
{
	map_close(&view->map);
	if (view->fd >= 0)
		close(view->fd);
	*view = (struct view) {.fd = -1};
}

/* Where a mapped file was not there, there were zeros: whatever was made of them is not to be believed. */
static int check_mapped(struct job_context *context, const struct job *job)
{
	char name[NAME_MAX_SIZE];
	if (!map_failed())
		return 0;
	warm_drop(context, job->module); /* it may have been one of those that are kept */
	name_backing(name, &catalog_module(context->catalog, job->module)->id);
	err_prefix("%s, or its last image: ", name);
	return -EIO;
}

/* What there is of [from, from + WINDOW) in a view. */
static uint64_t part_of(const struct view *view, uint64_t from)
{
	if (view->size <= from)
		return 0;
	return view->size - from < WINDOW ? view->size - from : WINDOW;
}

/* That window will hardly be looked at again: a large file must not count as this process's memory as a whole. The pages
 * stay where they are, in the page cache. */
static void let_go(const struct view *view, uint64_t from)
{
	uint64_t part = part_of(view, from);
	if (view->map.data && part)
		madvise((void *)(uintptr_t)(view->data + from), (size_t)part, MADV_DONTNEED);
}

/* Compares and hashes window by window: scratch->runs, and the two tables of page hashes. */
static int compare(struct job_context *context, const struct view *old, const struct view *new, uint64_t *old_table,
    uint64_t *new_table)
{
	struct job_scratch *s = context->scratch;
	uint64_t end = old->size > new->size ? old->size : new->size;
	s->runs.count = 0;
	for (uint64_t at = 0; at < end; at += WINDOW) {
		int r = job_goes_on(context);
		if (r)
			return r;
		uint64_t old_part = part_of(old, at), new_part = part_of(new, at);
		bool old_hole = !old_part || (old->map.data && file_is_hole(old->fd, at, old_part));
		bool new_hole = !new_part || (new->map.data &&file_is_hole(new->fd, at, new_part));
		if (old_part)
			hash_window(old->data + at, at, old_part, old_hole, old_table);
		if (new_part)
			hash_window(new->data + at, at, new_part, new_hole, new_table);
		s->window_runs.count = 0;
		if (new_part && !(old_hole && new_hole))
			r = diff_images(
			    old_part ? old->data + at : NULL, old_part, new->data + at, new_part, &s->window_runs);
		if (!r)
			r = runs_append(&s->runs, &s->window_runs, at);
		if (r)
			return r;
		let_go(old, at);
		let_go(new, at);
	}
	return 0;
}

/* Room for the page hashes of two images. */
static uint64_t *tables(struct job_scratch *s, uint64_t old_size, uint64_t new_size, uint64_t **second)
{
	size_t pages = (size_t)(pages_of(old_size) + pages_of(new_size) + 2);
	buf_clear(&s->tables);
	uint64_t *table = (uint64_t *)(void *)buf_reserve(&s->tables, pages * sizeof(*table));
	if (table)
		*second = table + pages_of(old_size) + 1;
	return table;
}

static int write_first(struct job_context *context, struct job *job, const struct view *new)
{
	struct place place = {.dir = context->priv};
	name_private(place.name, &catalog_module(context->catalog, job->module)->id, "next");
	int fd = file_create(place.dir, place.name);
	if (fd < 0)
		return fd;
	int r = file_resize(fd, new->size, place.dir, place.name);
	for (uint64_t at = 0; !r && at < new->size; at += WINDOW) {
		uint64_t part = part_of(new, at);
		if (!(new->map.data &&file_is_hole(new->fd, at, part)))
			r = write_sparse(fd, new->data + at, part, at, &place, &job->bytes_written);
		let_go(new, at);
		if (!r)
			r = job_goes_on(context);
	}
	if (!r && (job->flags & JOB_SYNC))
		r = file_sync(fd, place.dir, place.name);
	close(fd);
	return r;
}

static int write_delta(struct job_context *context, struct job *job, const struct view *old, const struct view *new)
{
	struct job_scratch *s = context->scratch;
	buf_clear(&s->out);
	int r = delta_encode(
	    s->encoder, old->data, old->size, new->data, new->size, &s->runs, &job->entry.hash, 0, &s->out);
	if (r)
		return r;
	char name[NAME_MAX_SIZE];
	name_private(name, &catalog_module(context->catalog, job->module)->id, "next");
	int fd = file_create(context->priv, name);
	if (fd < 0)
		return fd;
	r = file_write_at(fd, s->out.data, s->out.size, 0, context->priv, name);
	if (!r && (job->flags & JOB_SYNC))
		r = file_sync(fd, context->priv, name);
	close(fd);
	job->entry.delta_bytes = s->out.size;
	job->bytes_written += s->out.size;
	return r;
}

/* Whether the new image is, byte for byte, what entry @index is. A hash that is the same is only a reason to look. */
static int same_as(struct job_context *context, struct job *job, uint32_t index, const struct view *new)
{
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, index);
	if (entry->size != new->size || !hash_equal(&entry->hash, &job->entry.hash))
		return 0;
	struct job scan = *job;
	struct image image = {.source = -1};
	int r = image_build(context, &scan, index, &image);
	bool same = !r;
	for (uint64_t at = 0; same && at < new->size; at += WINDOW) {
		same = memcmp(image.data + at, new->data + at, (size_t)part_of(new, at)) == 0;
		let_go(new, at);
	}
	image_free(&image);
	return r ? r : same;
}

/* Rebuilds the last image. 1: that takes the whole chain, which is not for this process to walk. */
static int repair_last(struct job_context *context, const struct job *job)
{
	struct job repair = {.kind = JOB_REPAIR,
	    .module = job->module,
	    .target = catalog_module(context->catalog, job->module)->length - 1};
	return context->most ? 1 : job_repair(context, &repair);
}

/* Opens the last image; one that is missing, cut or wrong is rebuilt from the chain first. 1: that, or to look at it, is not
 * for this process to do. */
static int open_last(struct job_context *context, struct job *job, struct view *old)
{
	uint32_t last = catalog_module(context->catalog, job->module)->length - 1;
	struct place place;
	place_last(context, job->module, last, &place);
	int r = view_open(context, old, &place, &context->scratch->old);
	if (!r && old->size == chain_entry(context->catalog, job->module, last)->size)
		return 0;
	if (last == 0)
		return r ? r : fail(EBADMSG, "%s: it is cut short; restore it from a backup", place.name);
	view_close(old);
	r = repair_last(context, job);
	return r ? r : view_open(context, old, &place, &context->scratch->old);
}

static int check_last(struct job_context *context, struct job *job, const struct view *old, const uint64_t *old_table)
{
	uint32_t last = catalog_module(context->catalog, job->module)->length - 1;
	struct image_hash hash;
	hash_table(old_table, old->size, &hash);
	if (hash_equal(&hash, &chain_entry(context->catalog, job->module, last)->hash))
		return 0;
	struct place place;
	place_last(context, job->module, last, &place);
	return fail(EBADMSG, "%s: the image is damaged", place.name);
}

/* Decides whether there is a new module commit at all; if so, writes its delta. */
static int commit_next(struct job_context *context, struct job *job, const struct view *old, const struct view *new)
{
	uint32_t last = catalog_module(context->catalog, job->module)->length - 1;
	const struct chain_entry *newest = chain_entry(context->catalog, job->module, last);
	bool as_last = context->scratch->runs.count == 0 && old->size == new->size;
	int same = 0;
	job->same_entry = last;
	if (as_last)
		same = job->basis == last || !job->has_id || id_equal(&job->id, &newest->id);
	if (!same && job->basis != CHAIN_NONE && job->basis != last) {
		same = same_as(context, job, job->basis, new);
		if (same > 0)
			job->same_entry = job->basis;
	}
	if (same < 0)
		return same;
	job->unchanged = same > 0;
	return job->unchanged ? 0 : write_delta(context, job, old, new);
}

/* Restores of large images are made of whole images whose page hashes they know. Should nothing come of this commit, what
 * is kept is of no image, which they notice. */
static void keep_table(
    struct job_context *context, const struct job *job, enum pages which, const uint64_t *table, uint64_t size)
{
	if (size > SPLIT_MORE_THAN)
		pages_write(context, job->module, which, table, 0, pages_of(size));
}

static int commit_against_last(struct job_context *context, struct job *job, const struct view *new, struct view *old)
{
	for (int attempt = 0;; attempt++) {
		int r = open_last(context, job, old);
		if (r)
			return r;
		uint64_t *new_table, *old_table = tables(context->scratch, old->size, new->size, &new_table);
		if (!old_table)
			return fail_sys(ENOMEM, "memory for page hashes");
		r = compare(context, old, new, old_table, new_table);
		if (!r)
			r = check_mapped(context, job);
		if (r)
			return r;
		hash_table(new_table, new->size, &job->entry.hash);
		r = check_last(context, job, old, old_table);
		if (!r) {
			pages_store(context, job->module, new_table, new->size);
			keep_table(context, job, PAGES_LAST, new_table, new->size);
			return commit_next(context, job, old, new);
		}
		if (attempt || catalog_module(context->catalog, job->module)->length == 1)
			return r;
		/* Its bytes are wrong: rebuild it, then once more. */
		view_close(old);
		r = repair_last(context, job);
		if (r)
			return r;
	}
}

static int commit_first(struct job_context *context, struct job *job, const struct view *new)
{
	uint64_t *new_table, *table = tables(context->scratch, 0, new->size, &new_table);
	if (!table)
		return fail_sys(ENOMEM, "memory for page hashes");
	for (uint64_t at = 0; at < new->size; at += WINDOW) {
		hash_window(new->data + at, at, part_of(new, at),
		    new->map.data &&file_is_hole(new->fd, at, part_of(new, at)), new_table);
		let_go(new, at);
		int r = job_goes_on(context);
		if (r)
			return r;
	}
	hash_table(new_table, new->size, &job->entry.hash);
	pages_store(context, job->module, new_table, new->size);
	keep_table(context, job, PAGES_BASE, new_table, new->size);
	return write_first(context, job, new);
}

int job_commit(struct job_context *context, struct job *job)
{
	const struct catalog_module *module = catalog_module(context->catalog, job->module);
	struct view new = {.fd = -1}, old = {.fd = -1};
	struct place place = {.dir = context->base};
	name_backing(place.name, &module->id);
	int r = view_open(context, &new, &place, &context->scratch->image);
	if (r)
		goto out;
	job->entry = (struct chain_entry) {.size = new.size};
	job->size = new.size;
	if (module->length == 0)
		r = commit_first(context, job, &new);
	else
		r = commit_against_last(context, job, &new, &old);
	if (!r)
		r = check_mapped(context, job);
	if (!r)
		r = fault_at("commit.written");
	if (!r && job->has_id)
		job->entry.id = job->id;
	else if (!r)
		history_default_module_id(&job->entry.hash, &job->entry.id);
	if (!r)
		r = stamp_take(new.fd, CHAIN_NONE, &job->stamp);
out:
	view_close(&new);
	view_close(&old);
	job->far = r == 1;
	return job->far ? 0 : r;
}
