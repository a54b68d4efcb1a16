/*
 * job_publish.c - put in sight what job_commit() wrote, once the commit is decided; and mend what a crash left.
 *
 * The files of module M while entry t becomes the newest (t >= 2, no id recurs):
 *
 *   step  .varve/                       in sight
 *   0     M.delta (of t-1)  M.next      M_C(t-1)                the whole image of t-1
 *   1     M.next                        M_C(t-1)  M_C(t-1)_k    the delta of t-1 is published
 *   2     M.next  M.last                M_C(t-1)_k              the last leaves sight: its bytes are about to change
 *   3     M.next  M.last                M_C(t-1)_k              pages that changed are written, M.last is image t
 *   4     M.next                        M_C(t-1)_k  M_Ct
 *   5     M.delta (of t)                M_C(t-1)_k  M_Ct
 *
 * M.next is the redo record: while it is there, step 5 has not been reached. Each step can be done again. A worker that
 * takes over from a dead one starts from step 0 and copies the same pages from the backing file, which nobody changes
 * until the commit ends. After a crash of the coordinator the backing file proves nothing any more: job_repair() then
 * rebuilds M.last from the chain, of which M.next is a part.
 *
 * Where t has the base's id, M_Ct is the base's name: then M.last stays in .varve/ as image t. If it has the base's
 * content, too, nothing is missing from sight; else M.next is published at once instead of step 5, so that image t
 * can be had without .varve/.
 */
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fault.h"

#define COPY_BYTES (1u << 20)
/** The kernel copies at most so much at a time, so that there are signs of life in between. */
#define RANGE_BYTES ((size_t)64 << 20)

void publish_names_of(const struct job_context *context, uint32_t module, struct publish_names *names)
{
	const struct varve_id *id = &catalog_module(context->catalog, module)->id;
	name_backing(names->backing, id);
	name_private(names->next, id, "next");
	name_private(names->delta, id, "delta");
	name_private(names->last, id, "last");
}

/* Image t differs from the base's although it has the base's id: its delta must be in sight. */
static bool needs_delta_in_sight(const struct job_context *context, uint32_t module, uint32_t index)
{
	return last_hides(context, module, index) && !hash_equal(&chain_entry(context->catalog, module, index)->hash,
	                                                 &chain_entry(context->catalog, module, 0)->hash);
}

/* ---- the pending delta ------------------------------------------------------------------------------------------ */

/* Makes the delta of the newest entry @t again, from the images on both sides of it. */
static int rebuild_pending(struct job_context *context, uint32_t module, uint32_t t, const struct publish_names *names)
{
	struct job_scratch *s = context->scratch;
	struct job scan = {.module = module};
	struct image before = {.source = -1}, after = {.source = -1};
	const struct chain_entry *entry = chain_entry(context->catalog, module, t);
	struct place place;
	place_last(context, module, t, &place);
	int r = image_walk(context, &scan, t - 1, &before);
	if (!r)
		r = image_load(context, &place, entry->size, &after);
	if (!r) {
		struct image_hash hash;
		hash_image(after.data, after.size, &hash);
		if (!hash_equal(&hash, &entry->hash))
			r = fail(EBADMSG, "%s%s: the image is damaged", place.dir->label, place.name);
	}
	if (!r)
		r = diff_images(before.data, before.size, after.data, after.size, &s->window_runs);
	buf_clear(&s->out);
	if (!r)
		r = delta_encode(s->encoder, before.data, before.size, after.data, after.size, &s->window_runs,
		    &entry->hash, 0, &s->out);
	if (!r)
		r = file_publish(context->priv, context->priv, names->delta, s->out.data, s->out.size, false);
	image_free(&before);
	image_free(&after);
	return r;
}

/* Sees to it that the delta of the newest entry @t >= 1 is where place_delta() says. 1: that takes the whole chain, which is
 * not for this process to walk. */
int publish_ensure_pending(
    struct job_context *context, const struct job *job, uint32_t t, const struct publish_names *names)
{
	uint32_t module = job->module;
	const struct chain_entry *entry = chain_entry(context->catalog, module, t);
	struct place pending = {.dir = context->priv}, published;
	snprintf(pending.name, sizeof(pending.name), "%s", names->delta);
	sight_delta(context, module, t, &published);
	if (needs_delta_in_sight(context, module, t) && file_exists(published.dir, published.name))
		return 0;
	if (file_exists(pending.dir, pending.name) && delta_matches(context, &pending, entry))
		return 0;
	if (file_exists(published.dir, published.name) && delta_matches(context, &published, entry))
		return sight_one(context, job, SIGHT_DELTA_BACK, t);
	if (context->most && job->kind == JOB_PUBLISH)
		return 1;
	return rebuild_pending(context, module, t, names);
}

/* Step 1, for entry @index, which is the newest but one. */
int publish_delta(struct job_context *context, const struct job *job, uint32_t index, const struct publish_names *names,
    struct sight_steps *steps)
{
	struct place pending = {.dir = context->priv}, published;
	int r = 0;
	snprintf(pending.name, sizeof(pending.name), "%s", names->delta);
	sight_delta(context, job->module, index, &published);
	/* The whole image goes next. This is the last time that a damaged delta can be made again. */
	if (!delta_matches(context, &pending, chain_entry(context->catalog, job->module, index))) {
		if (file_exists(published.dir, published.name))
			return 0;
		r = publish_ensure_pending(context, job, index, names);
	}
	if (!r)
		sight_add(steps, SIGHT_DELTA, index);
	return r;
}

/* ---- the last image --------------------------------------------------------------------------------------------- */

static int copy_range(const struct job_context *context, int from, int to, uint64_t offset, uint64_t size)
{
	while (size) {
		loff_t in = (loff_t)offset, out = (loff_t)offset;
		size_t part = size < RANGE_BYTES ? (size_t)size : RANGE_BYTES;
		ssize_t n = copy_file_range(from, &in, to, &out, part, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
		job_goes_on(context);
	}
	return 0;
}

static int copy_by_hand(
    struct job_context *context, int from, int to, uint64_t offset, uint64_t size, const struct publish_names *names)
{
	struct image *buffer = &context->scratch->old;
	int r = image_reserve(buffer, COPY_BYTES);
	for (uint64_t done = 0; !r && done < size; done += COPY_BYTES) {
		size_t part = size - done < COPY_BYTES ? (size_t)(size - done) : COPY_BYTES;
		r = file_read_at(from, buffer->data, part, offset + done, context->base, names->backing);
		if (!r)
			r = file_write_at(to, buffer->data, part, offset + done, context->priv, names->last);
		job_goes_on(context);
	}
	return r;
}

/* Copies what @from has, leaving holes holes; by cloning where the file system can. */
static int copy_file(struct job_context *context, int from, int to, uint64_t size, const struct publish_names *names)
{
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	int r = file_resize(to, size, context->priv, names->last);
	off_t end = 0;
	while (!r) {
		off_t data = lseek(from, end, SEEK_DATA);
		if (data < 0 || (uint64_t)data >= size)
			break;
		end = lseek(from, data, SEEK_HOLE);
		if (end < 0 || (uint64_t)end > size)
			end = (off_t)size;
		r = copy_range(context, from, to, (uint64_t)data, (uint64_t)(end - data));
		if (r == -EXDEV || r == -ENOSYS || r == -EOPNOTSUPP || r == -EINVAL)
			r = copy_by_hand(context, from, to, (uint64_t)data, (uint64_t)(end - data), names);
		else if (r)
			r = fail_sys(-r, "%s%s: copying the image", context->priv->label, names->last);
	}
	return r;
}

/* Steps 2 and 3 for t = 1: there is no last yet, the whole image is copied from the backing file. */
static int first_last(struct job_context *context, struct job *job, int backing, const struct publish_names *names)
{
	int fd = file_create(context->priv, names->last);
	if (fd < 0)
		return fd;
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, job->target);
	int r = copy_file(context, backing, fd, entry->size, names);
	if (!r && (job->flags & JOB_SYNC))
		r = file_sync(fd, context->priv, names->last);
	close(fd);
	return r;
}

/* Copies the pages of scratch->delta's runs from the backing file. */
static int copy_changed(
    struct job_context *context, struct job *job, int backing, int fd, const struct publish_names *names)
{
	struct job_scratch *s = context->scratch;
	const struct delta *delta = &s->delta;
	uint64_t next = 0, page, pages;
	size_t cursor = 0;
	int r = image_reserve(&s->old, COPY_BYTES);
	while (!r && (pages = runs_next_pages(&delta->runs, &cursor, &next, &page))) {
		uint64_t at = page * PAGE_BYTES, end = (page + pages) * PAGE_BYTES;
		if (end > delta->new_size)
			end = delta->new_size;
		for (; !r && at < end; at += COPY_BYTES) {
			size_t part = end - at < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
			r = file_read_at(backing, s->old.data, part, at, context->base, names->backing);
			if (!r)
				r = file_write_at(fd, s->old.data, part, at, context->priv, names->last);
			job->bytes_written += part;
			job_goes_on(context);
		}
	}
	return r;
}

/* Steps 1 and 2. */
static int clear_sight(struct job_context *context, const struct job *job, const struct publish_names *names)
{
	struct sight_steps steps = {0};
	struct place before;
	int r = publish_delta(context, job, job->target - 1, names, &steps);
	if (!r)
		r = fault_at("publish.delta") ? fail_sys(EIO, "%s", names->delta) : 0;
	if (r)
		return r;
	place_last(context, job->module, job->target - 1, &before);
	if (before.dir == context->base && file_exists(before.dir, before.name))
		sight_add(&steps, SIGHT_HIDE, job->target - 1);
	return sight_ask(context, job, &steps);
}

/* Step 3. */
static int carry_last(struct job_context *context, struct job *job, int backing, const struct publish_names *names)
{
	struct job_scratch *s = context->scratch;
	int r = fault_at("publish.hidden");
	if (r)
		return fail_sys(-r, "%s", names->last);
	struct place next = {.dir = context->priv};
	snprintf(next.name, sizeof(next.name), "%s", names->next);
	buf_clear(&s->file);
	r = delta_load(&next, chain_entry(context->catalog, job->module, job->target), &s->file);
	if (!r)
		r = delta_parse(&s->delta, s->file.data, s->file.size);
	if (r)
		return r;
	int fd = file_open(context->priv, names->last, O_RDWR);
	if (fd < 0)
		return fd == -ENOENT ? fail(EBADMSG, "%s%s: the last image has gone", context->priv->label, names->last)
		                     : fd;
	if (s->delta.old_size != s->delta.new_size)
		r = file_resize(fd, s->delta.new_size, context->priv, names->last);
	if (!r)
		r = copy_changed(context, job, backing, fd, names);
	if (!r && (job->flags & JOB_SYNC))
		r = file_sync(fd, context->priv, names->last);
	close(fd);
	return r;
}

/* Steps 4 and 5. */
static int put_in_sight(struct job_context *context, const struct job *job, const struct publish_names *names)
{
	uint32_t t = job->target;
	struct sight_steps steps = {0};
	struct place last;
	int r = fault_at("publish.carried");
	if (r)
		return fail_sys(-r, "%s", names->last);
	place_last(context, job->module, t, &last);
	if (last.dir == context->base)
		sight_add(&steps, SIGHT_LAST, t);
	sight_add(&steps, needs_delta_in_sight(context, job->module, t) ? SIGHT_NEXT : SIGHT_KEEP, t);
	r = sight_tell(context, job, &steps);
	return r ? r : fault_at("publish.last") ? fail_sys(EIO, "%s", last.name) : 0;
}

static int publish_next(struct job_context *context, struct job *job, const struct publish_names *names)
{
	int backing = file_open(context->base, names->backing, O_RDONLY);
	if (backing < 0)
		return backing;
	struct stat st;
	int r = fstat(backing, &st) < 0 ? fail_sys(errno, "%s", names->backing) : 0;
	if (!r && context->most && (uint64_t)st.st_size > context->most)
		r = 1;
	if (!r && job->target >= 2)
		r = clear_sight(context, job, names);
	if (!r)
		r = job->target == 1 ? first_last(context, job, backing, names)
		                     : carry_last(context, job, backing, names);
	close(backing);
	return r ? r : put_in_sight(context, job, names);
}

int job_publish(struct job_context *context, struct job *job)
{
	struct publish_names names;
	publish_names_of(context, job->module, &names);
	struct stat st;
	if (file_stat(context->priv, names.next, &st))
		return 0; /* another worker was through with it before it died */
	if (job->target > 0) {
		int r = publish_next(context, job, &names);
		job->far = r == 1;
		return job->far ? 0 : r;
	}
	struct sight_steps steps = {0};
	sight_add(&steps, SIGHT_BASE, 0);
	return sight_tell(context, job, &steps);
}
