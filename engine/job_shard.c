/*
 * job_shard.c - one part of a large module's restore: several workers build it at once, by address.
 *
 *   HASH    a job a shard: the pages that deltas touch are built and hashed, the hashes of all others are known from
 *           before; together they are written to .varve/<ModId>.table
 *   (all)   the hash of that table decides whether it is the image that it should be (split.c)
 *   WRITE   a job a shard: its pages are built once more, compared with the backing file, and written
 *
 * A page is written only if it has the hash that the table has, and the table only counts if it is right as a whole: so
 * nothing wrong is written, though nobody ever has the whole image. Nor does it matter whether what was known from before
 * was right. Building twice costs less than keeping: only pages that deltas touch are built, all others are read from a
 * whole image where they are.
 *
 * What a job has in memory is the touched pages of its shard and, mapped, the whole image's bytes of it, SHARD_MOST bytes
 * each at the most; and SHARD_WINDOW bytes of the backing file.
 *
 * Shards begin where delta sections do, so that none is decoded twice.
 */
#include "job_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fault.h"
#include "pages.h"
#include "plan.h"
#include "rebuild.h"
#include "split.h"

struct shard {
	struct job_context *context;
	struct job *job;
	struct rebuild rebuild;
	struct place place; /* of the backing file */
	const struct chain_entry *start; /* of the whole image that it is made of */
	enum pages kept; /* the file of its page hashes */
	uint64_t *known; /* room for these */
	int whole_fd;
	uint64_t whole_at; /* where in it the image begins */
	struct map whole; /* its bytes of the shard */
	struct map now;
	struct place marks;
	int marks_fd;
};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The whole image's bytes of the shard. */
static int map_whole(struct shard *x)
{
	struct job_context *context = x->context;
	const struct job *job = x->job;
	const struct start *start = &context->scratch->steps->start;
	struct place place;
	x->start = chain_entry(context->catalog, job->module, start->entry);
	x->whole_at = start->frame;
	x->kept = start->entry ? PAGES_LAST : PAGES_BASE;
	x->rebuild.whole_size = x->start->size;
	x->rebuild.at = job->from;
	place_source(context, job->module, start, &place);
	map_close(&x->whole);
	close_fd(x->whole_fd);
	x->whole_fd = file_open(place.dir, place.name, O_RDONLY);
	if (x->whole_fd < 0)
		return x->whole_fd;
	uint64_t end = job->to < x->start->size ? job->to : x->start->size;
	size_t size = end > job->from ? (size_t)(end - job->from) : 0;
	return size ? map_window(&x->whole, x->whole_fd, x->whole_at + job->from, size, size, true) : 0;
}

/* The pages that the steps touch in the shard, from the base or the last. */
static int build_by(struct shard *x, enum way way)
{
	struct job_context *context = x->context;
	struct job *job = x->job;
	struct job_scratch *s = context->scratch;
	int r = plan_rebuild(context, job->module, job->target, way, s->steps);
	if (!r)
		r = map_whole(x);
	if (!r)
		r = image_begin_shard(&s->image, x->whole.data, x->start->size, job->from, job->to);
	job->bytes_read = job->deltas_applied = 0;
	if (!r)
		r = steps_run(context, job, s->steps, &s->image, false, NULL, NULL);
	if (!r && s->image.size != chain_entry(context->catalog, job->module, job->target)->size)
		r = fail(EBADMSG, "the deltas of a module lead to another size");
	job->delta_bytes = job->bytes_read;
	return r;
}

static int build(struct shard *x)
{
	int r = build_by(x, WAY_ANY);
	return r && r != -ECANCELED && plan_other(x->context->scratch->steps) == WAY_FORWARD ? build_by(x, WAY_FORWARD)
	                                                                                     : r;
}

/* Where the whole image's bytes from @at on are; a hole in it needs no reading. */
static void look_at(struct shard *x, uint64_t at, uint64_t end)
{
	struct rebuild *b = &x->rebuild;
	if (end > b->whole_size)
		end = b->whole_size;
	b->whole = at >= end || file_is_hole(x->whole_fd, x->whole_at + at, end - at) ? NULL : x->whole.data;
	x->job->bytes_read += b->whole ? end - at : 0;
}

static uint64_t window_end(uint64_t at, uint64_t end)
{
	return end - at < SHARD_WINDOW ? end : at + SHARD_WINDOW;
}

/* Where the shard ends in an image of @size bytes. */
static uint64_t shard_end(const struct shard *x, uint64_t size)
{
	return x->job->to < size ? x->job->to : size;
}

/* Whether its page hashes are kept: a keyframe has its own. */
static bool is_known(struct shard *x)
{
	struct job_context *context = x->context;
	struct image_hash hash;
	if (!x->whole_at)
		return pages_read(context->priv, context->catalog, x->job->module, x->kept, x->start, x->known);
	const uint64_t *table = frame_table(context->scratch->steps->tiers, x->whole_at, x->start->size);
	memcpy(x->known, table, (size_t)pages_of(x->start->size) * sizeof(*table));
	hash_table(x->known, x->start->size, &hash);
	return hash_equal(&hash, &x->start->hash);
}

/* The page hashes of the whole image. What is not known of them is found out, and kept for the next one. */
static int know(struct shard *x)
{
	struct job_context *context = x->context;
	uint64_t from = x->job->from, end = shard_end(x, x->start->size);
	int r = 0;
	if (is_known(x) || from >= end)
		return 0;
	for (uint64_t at = from, to; !r && at < end; at = to) {
		to = window_end(at, end);
		r = job_goes_on(context);
		look_at(x, at, to);
		hash_window(x->whole.data + (at - from), at, to - at, !x->rebuild.whole, x->known);
	}
	if (!r && !x->whole_at)
		pages_write(context, x->job->module, x->kept, x->known, from / PAGE_BYTES, pages_of(end));
	return r;
}

static int hash_windows(struct shard *x)
{
	uint64_t end = shard_end(x, x->rebuild.image->size);
	int r = know(x);
	x->rebuild.whole = x->whole.data;
	for (uint64_t at = x->job->from, to; !r && at < end; at = to) {
		to = window_end(at, end);
		r = job_goes_on(x->context);
		if (!r)
			r = rebuild_hash(&x->rebuild, x->known, at / PAGE_BYTES, pages_of(to));
	}
	return r;
}

/* ---- marks ------------------------------------------------------------------------------------------------------ */

static int marks_open(struct shard *x)
{
	if (!(x->job->flags & (JOB_MARK | JOB_MARKED)))
		return 0;
	split_place_marks(x->context->priv, x->context->catalog, x->job->module, &x->marks);
	x->marks_fd = file_open(x->marks.dir, x->marks.name, O_RDWR);
	return x->marks_fd < 0 ? x->marks_fd : 0;
}

/* Before anything is written there: its worker may die right afterwards. */
static int mark(struct shard *x, uint64_t at)
{
	static const uint8_t written = 1;
	if (!(x->job->flags & JOB_MARK))
		return 0;
	return file_write_at(x->marks_fd, &written, sizeof(written), at / SHARD_WINDOW, x->marks.dir, x->marks.name);
}

/* Whether window [at, to) is what it should be: nothing was written there. A mark that is missing, since the image it
 * should go back to is the longer one, is none that says so. */
static bool is_intact(const struct shard *x, uint64_t at, uint64_t to)
{
	uint8_t written = 1;
	if (!(x->job->flags & JOB_MARKED) || to > x->job->size)
		return false;
	return pread(x->marks_fd, &written, sizeof(written), (off_t)(at / SHARD_WINDOW)) == sizeof(written) && !written;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static bool nothing_to_do(const struct shard *x)
{
	uint64_t end = shard_end(x, chain_entry(x->context->catalog, x->job->module, x->job->target)->size);
	bool intact = true;
	for (uint64_t at = x->job->from, to; intact && at < end; at = to) {
		to = window_end(at, end);
		intact = is_intact(x, at, to);
	}
	return intact;
}

/* Window [at, to); the file has @size bytes. As rebuild_write(). */
static int write_window(struct shard *x, uint64_t at, uint64_t to, uint64_t size)
{
	uint64_t there = size <= at ? 0 : size < to ? size - at : to - at;
	bool hole = !there || file_is_hole(x->rebuild.fd, at, there);
	int r = job_goes_on(x->context);
	if (!r && !hole)
		r = map_window(&x->now, x->rebuild.fd, at, (size_t)there, (size_t)there, true);
	if (!r)
		r = mark(x, at);
	if (r)
		return r;
	look_at(x, at, to);
	return rebuild_write(&x->rebuild, hole ? NULL : x->now.data, there, at / PAGE_BYTES, pages_of(to));
}

static int write_windows(struct shard *x)
{
	struct stat st;
	uint64_t end = shard_end(x, x->rebuild.image->size);
	int r = 1;
	if (fstat(x->rebuild.fd, &st) < 0)
		return fail_sys(errno, "%s", x->place.name);
	for (uint64_t at = x->job->from, to; r == 1 && at < end; at = to) {
		to = window_end(at, end);
		if (!is_intact(x, at, to))
			r = write_window(x, at, to, (uint64_t)st.st_size);
	}
	return r == 1 ? 0 : r ? r : fail(EBADMSG, "a page has changed while it was restored");
}

/* The part of the table that belongs to the shard goes to .varve/<ModId>.table, which is there. */
static int table_store(struct shard *x)
{
	struct place place;
	const struct job *job = x->job;
	uint64_t first = job->from / PAGE_BYTES, end = pages_of(shard_end(x, x->rebuild.image->size));
	pages_place(x->context->priv, x->context->catalog, job->module, PAGES_TABLE, &place);
	int fd = file_open(place.dir, place.name, O_WRONLY);
	if (fd < 0)
		return fd;
	uint64_t *table = x->rebuild.table;
	int r = file_write_at(
	    fd, table + first, (size_t)(end - first) * sizeof(*table), first * sizeof(*table), place.dir, place.name);
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
	close_fd(x->marks_fd);
	x->rebuild.image->mapped = NULL;
	return far_or(x, r);
}

/* The largest of the images that it may be made of. */
static uint64_t largest_whole(const struct job_context *context, const struct job *job)
{
	uint32_t last = catalog_module(context->catalog, job->module)->length - 1;
	uint64_t most = chain_entry(context->catalog, job->module, last)->size;
	for (uint32_t e = 0; e <= job->target; e += ANCHOR_EVERY) {
		uint64_t size = chain_entry(context->catalog, job->module, e)->size;
		most = size > most ? size : most;
	}
	return most;
}

static int begin(struct shard *x, struct job_context *context, struct job *job)
{
	*x = (struct shard) {.context = context, .job = job, .whole_fd = -1, .marks_fd = -1};
	x->rebuild = (struct rebuild) {.job = job, .image = &context->scratch->image, .fd = -1, .place = &x->place};
	uint64_t size = chain_entry(context->catalog, job->module, job->target)->size;
	x->rebuild.table = image_table(context, size + PAGE_BYTES + largest_whole(context, job));
	x->known = x->rebuild.table ? x->rebuild.table + pages_of(size) : NULL;
	return x->known ? 0 : -ENOMEM;
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
		r = table_store(&x);
	return finish(&x, r);
}

int job_write_shard(struct job_context *context, struct job *job)
{
	const struct chain_entry *to = chain_entry(context->catalog, job->module, job->target);
	struct shard x;
	int r = begin(&x, context, job);
	if (!r)
		r = marks_open(&x);
	if (!r && nothing_to_do(&x))
		return finish(&x, 0);
	if (!r && !pages_read(context->priv, context->catalog, job->module, PAGES_TABLE, to, x.rebuild.table))
		r = fail(EBADMSG, "the table of page hashes is not that of the image");
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
