/*
 * job_restore.c - an image of the past into a backing file, or into a descriptor of the caller's.
 *
 * Three ways, each of which verifies the image before it writes, and writes only pages that differ: by difference, where
 * it is known what the backing file holds (near.c); from files that are mapped already (rebuild.c); and from files that
 * are read anew, which is what remains when either meets with something wrong. The backing file keeps its inode: mappings
 * of it stay valid, and its cached pages warm.
 */
#include "job_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fault.h"
#include "near.h"
#include "pages.h"
#include "rebuild.h"
#include "split.h"
#include "warm.h"

/** Bytes of the backing file that are compared at a time: they should stay in the second-level cache. */
#define COMPARE_WINDOW (256u << 10)

/* Brings @fd, @old_size bytes long, to scratch->image, which is whole and verified. */
static int write_backing(
    struct job_context *context, struct job *job, int fd, const struct place *place, uint64_t old_size)
{
	struct job_scratch *s = context->scratch;
	struct rebuild b = {.job = job, .image = &s->image, .proven = true, .fd = fd, .place = place};
	uint64_t size = s->image.size;
	int r = image_reserve(&s->old, COMPARE_WINDOW);
	if (!r && !(job->flags & JOB_DRY) && size != old_size)
		r = file_resize(fd, size, place->dir, place->name);
	for (uint64_t at = 0; !r && at < size; at += COMPARE_WINDOW) {
		uint64_t end = size - at < COMPARE_WINDOW ? size : at + COMPARE_WINDOW;
		uint64_t there = old_size <= at ? 0 : old_size < end ? old_size - at : end - at;
		r = job_goes_on(context);
		if (!r)
			r = file_read_at(fd, s->old.data, (size_t)there, at, place->dir, place->name);
		if (!r)
			r = rebuild_write(&b, s->old.data, there, at / PAGE_BYTES, pages_of(end));
		r = r == 1 ? 0 : r;
	}
	return r;
}

/* The way that trusts nothing that is kept: the whole image from its files, read anew. */
static int restore_whole(
    struct job_context *context, struct job *job, int fd, const struct place *place, uint64_t old_size)
{
	warm_drop(context, job->module);
	int r = image_build(context, job, job->target, &context->scratch->image);
	if (!r)
		r = fault_at("restore.built");
	if (!r && fd >= 0)
		r = write_backing(context, job, fd, place, old_size);
	else if (!r)
		job->bytes_written += job->size;
	return r;
}

/* One way after the other, until one leads there. */
static int bring(struct job_context *context, struct job *job, int fd, const struct place *place)
{
	struct stat st = {0};
	if (fd >= 0 && stamp_holds(&job->stamp, fd)) {
		int r = job->stamp.entry == job->target ? 1 : restore_near(context, job, fd, place);
		if (r)
			return r < 0 ? r : 0;
	}
	if (fd >= 0 && fstat(fd, &st) < 0)
		return fail_sys(errno, "%s", place->name);
	if (job->flags & JOB_NEAR || (context->most && (uint64_t)st.st_size > context->most)) {
		job->far = true;
		return 0;
	}
	job->bytes_read = job->bytes_written = job->deltas_applied = 0;
	/* A large module comes here only where shards did not lead there, which is the same way. */
	int r = job->size > SPLIT_MORE_THAN ? 0 : restore_rebuild(context, job, fd, place, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	if (!r) {
		job->bytes_read = job->bytes_written = job->deltas_applied = 0;
		r = restore_whole(context, job, fd, place, (uint64_t)st.st_size);
		if (r)
			return r;
	}
	if (!(job->flags & JOB_DRY))
		pages_store(
		    context, job->module, (const uint64_t *)(const void *)context->scratch->tables.data, job->size);
	return 0;
}

int job_restore(struct job_context *context, struct job *job)
{
	struct place place;
	int fd = backing_for_job(context, job, &place);
	if (fd < 0 && !(fd == -ENOENT && (job->flags & JOB_DRY)))
		return fd;
	job->size = chain_entry(context->catalog, job->module, job->target)->size;
	int r = bring(context, job, fd, &place);
	if (!r)
		r = fault_at("restore.written");
	if (!r && !(job->flags & JOB_DRY) && !job->far)
		r = stamp_take(fd, job->target, &job->stamp);
	if (fd >= 0)
		close(fd);
	return r;
}

int job_checkout(struct job_context *context, struct job *job)
{
	struct image *image = &context->scratch->image;
	int r = image_build(context, job, job->target, image);
	if (r)
		return r;
	int fd = context->take_fd(context->arg, job);
	if (fd < 0)
		return fd;
	struct place place = {.dir = context->base, .name = "the file to check out into"};
	struct stat st;
	if (fstat(fd, &st) < 0)
		r = fail_sys(errno, "%s", place.name);
	if (!r && (uint64_t)st.st_size != image->size)
		r = file_resize(fd, image->size, place.dir, place.name);
	if (!r && st.st_size == 0)
		r = write_sparse(fd, image->data, image->size, 0, &place, &job->bytes_written);
	else if (!r) {
		r = file_write_at(fd, image->data, image->size, 0, place.dir, place.name);
		job->bytes_written += image->size;
	}
	job->size = image->size;
	close(fd);
	return r;
}
