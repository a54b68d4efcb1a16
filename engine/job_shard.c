/*
 * job_shard.c - one part of a large module's restore: several workers build it at once, by address.
 *
 *   HASH    a job a shard: its pages are built, and their hashes written to .varve/<ModId>.table
 *   (all)   the hash of that table decides whether it is the image that it should be (split.c)
 *   WRITE   a job a shard: its pages are built once more, compared with the backing file, and written
 *
 * A page is written only if it has the hash that the table has, and the table only counts if it is right as a whole: so
 * nothing wrong is written, though nobody ever has the whole image. Building twice costs little: only pages that deltas
 * touch are built, all others are read from a whole image where they are. What a job has in memory is the touched pages
 * of its shard, which is SHARD_MOST bytes at the most; files are mapped WINDOW bytes at a time.
 *
 * Shards begin where delta sections do, so that none is decoded twice.
 */
#include "job_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fault.h"
#include "plan.h"
#include "rebuild.h"
#include "split.h"

/** Bytes of files that are mapped at a time. */
#define WINDOW (4u << 20)

struct shard {
	struct job_context *context;
	struct job *job;
	struct rebuild rebuild;
	struct place place; /* of the backing file */
	int whole_fd;
	uint64_t whole_at; /* where in it the image begins */
	struct map whole;
	struct map now;
};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The pages that the steps touch in the shard, from the base or the last. */
static int build_by(struct shard *x, enum way way)
{
	struct job_context *context = x->context;
	struct job *job = x->job;
	struct job_scratch *s = context->scratch;
	struct place place;
	int r = plan_rebuild(context, job->module, job->target, way, s->steps);
	if (r)
		return r;
	const struct start *start = &s->steps->start;
	place_source(context, job->module, start, &place);
	uint64_t size = chain_entry(context->catalog, job->module, start->entry)->size;
	close_fd(x->whole_fd);
	x->whole_fd = file_open(place.dir, place.name, O_RDONLY);
	if (x->whole_fd < 0)
		return x->whole_fd;
	r = image_begin_shard(&s->image, x->whole_fd, size, size, job->from, job->to);
	s->image.source_at = x->whole_at = start->frame;
	if (!r)
		r = steps_run(context, job, s->steps, &s->image, false, NULL, NULL);
	if (!r && s->image.size != chain_entry(context->catalog, job->module, job->target)->size)
		r = fail(EBADMSG, "the deltas of a module lead to another size");
	x->rebuild.whole_size = size;
	return r;
}

static int build(struct shard *x)
{
	int r = build_by(x, WAY_ANY);
	return r && r != -ECANCELED && plan_other(x->context->scratch->steps) == WAY_FORWARD ? build_by(x, WAY_FORWARD)
	                                                                                     : r;
}

/* Maps the window's bytes of the whole image; a hole in it needs no reading. */
static int map_whole(struct shard *x, uint64_t at, uint64_t end)
{
	struct rebuild *b = &x->rebuild;
	if (end > b->whole_size)
		end = b->whole_size;
	b->whole = NULL;
	b->at = at;
	if (at >= end || file_is_hole(x->whole_fd, x->whole_at + at, end - at))
		return 0;
	int r = map_window(&x->whole, x->whole_fd, x->whole_at + at, (size_t)(end - at), (size_t)(end - at), true);
	b->whole = x->whole.data;
	x->job->bytes_read += end - at;
	return r;
}

static uint64_t window_end(const struct shard *x, uint64_t at)
{
	uint64_t end = x->job->to < x->rebuild.image->size ? x->job->to : x->rebuild.image->size;
	return end - at < WINDOW ? end : at + WINDOW;
}

static int hash_windows(struct shard *x)
{
	int r = 0;
	for (uint64_t at = x->job->from, end; !r && (end = window_end(x, at)) > at; at = end) {
		r = job_goes_on(x->context);
		if (!r)
			r = map_whole(x, at, end);
		if (!r)
			r = rebuild_hash(&x->rebuild, NULL, at / PAGE_BYTES, pages_of(end));
	}
	return r;
}

static int write_windows(struct shard *x)
{
	struct stat st;
	if (fstat(x->rebuild.fd, &st) < 0)
		return fail_sys(errno, "%s", x->place.name);
	uint64_t size = (uint64_t)st.st_size;
	int r = 1;
	for (uint64_t at = x->job->from, end; r == 1 && (end = window_end(x, at)) > at; at = end) {
		uint64_t there = size <= at ? 0 : size < end ? size - at : end - at;
		bool hole = !there || file_is_hole(x->rebuild.fd, at, there);
		r = job_goes_on(x->context);
		if (!r)
			r = map_whole(x, at, end);
		if (!r && !hole)
			r = map_window(&x->now, x->rebuild.fd, at, (size_t)there, (size_t)there, true);
		if (!r)
			r = rebuild_write(
			    &x->rebuild, hole ? NULL : x->now.data, there, at / PAGE_BYTES, pages_of(end));
	}
	return r == 1 ? 0 : r ? r : fail(EBADMSG, "a page has changed while it was restored");
}

/* The part of the table that belongs to the shard goes to, or the whole of it comes from, .varve/<ModId>.table. */
static int table_io(struct shard *x, bool store)
{
	struct place place;
	const struct job *job = x->job;
	uint64_t size = chain_entry(x->context->catalog, job->module, job->target)->size;
	uint64_t first = job->from / PAGE_BYTES, end = pages_of(job->to < size ? job->to : size);
	split_place(x->context->priv, x->context->catalog, job->module, &place);
	int fd = file_open(place.dir, place.name, store ? O_WRONLY : O_RDONLY), r;
	if (fd < 0)
		return fd;
	uint64_t *table = x->rebuild.table;
	if (store)
		r = file_write_at(fd, table + first, (size_t)(end - first) * sizeof(*table), first * sizeof(*table),
		    place.dir, place.name);
	else
		r = file_read_at(fd, table, (size_t)pages_of(size) * sizeof(*table), 0, place.dir, place.name);
	close(fd);
	return r;
}

/* What went wrong with a shard is found out, and put right, by whoever restores the module as one. What it has done is
 * right; cancelling is no fault, nor is a disk that is full. */
static int far_or(struct shard *x, int r)
{
	if (map_failed())
		r = -EIO;
	if (!r || r == -ECANCELED || r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
		return r;
	x->job->far = true;
	return 0;
}

static int finish(struct shard *x, int r)
{
	map_close(&x->whole);
	map_close(&x->now);
	close_fd(x->whole_fd);
	close_fd(x->rebuild.fd);
	x->rebuild.image->source = -1;
	return far_or(x, r);
}

static int begin(struct shard *x, struct job_context *context, struct job *job)
{
	*x = (struct shard) {.context = context, .job = job, .whole_fd = -1};
	x->rebuild = (struct rebuild) {.job = job, .image = &context->scratch->image, .fd = -1, .place = &x->place};
	x->rebuild.table = image_table(context, chain_entry(context->catalog, job->module, job->target)->size);
	return x->rebuild.table ? 0 : -ENOMEM;
}

int job_hash_shard(struct job_context *context, struct job *job)
{
	struct shard x;
	int r = begin(&x, context, job);
	if (!r)
		r = build(&x);
	if (!r)
		r = hash_windows(&x);
	if (!r)
		r = table_io(&x, true);
	return finish(&x, r);
}

int job_write_shard(struct job_context *context, struct job *job)
{
	const struct chain_entry *to = chain_entry(context->catalog, job->module, job->target);
	struct shard x;
	struct image_hash hash;
	int r = begin(&x, context, job);
	if (!r)
		r = table_io(&x, false);
	if (!r) {
		hash_table(x.rebuild.table, to->size, &hash);
		r = hash_equal(&hash, &to->hash) ? 0 : fail(EBADMSG, "the image has another hash than was recorded");
	}
	if (!r)
		r = build(&x);
	if (!r)
		r = fault_at("restore.built");
	if (!r)
		r = x.rebuild.fd = backing_for_job(context, job, &x.place);
	if (r >= 0)
		r = write_windows(&x);
	if (!r)
		r = fault_at("restore.written");
	return finish(&x, r);
}
