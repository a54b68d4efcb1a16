/*
 * job_tiers.c - background work for one module: merge deltas into tiers, make undo deltas.
 *
 * A tier of level l from entry a to entry e is made of the F tiers of level l - 1 (or deltas) that it spans. The pages
 * that these name are put aside as they were at a, then the steps are applied; what differs afterwards is the tier. An
 * undo delta is the same with both sides exchanged. Nothing here is hashed as a whole: what it makes is checked when it
 * is used, and a restore that finds it wrong goes without it.
 *
 * A job does one tier boundary, or one undo delta, and says how far it has come; it gives up between steps when somebody
 * waits for a worker.
 */
#include "job_kinds.h"
#include "tiers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fault.h"

/** Boundaries that are looked at in one job where there is nothing to do. */
#define LOOK_AT 256u

/* ---- two states of the same pages ------------------------------------------------------------------------------- */

/* Puts aside the pages that scratch->delta is about to change, as they are now. */
static int keep_old(void *arg, struct job_context *context)
{
	struct job_scratch *s = context->scratch;
	size_t cursor = 0;
	uint64_t next = 0, page, pages;
	const struct job *job = arg;
	if (!(job->flags & JOB_PATIENT) && context->urgent && context->urgent(context->arg))
		return fail(EINTR, "somebody waits for the worker");
	while ((pages = runs_next_pages(&s->delta.runs, &cursor, &next, &page)))
		for (uint64_t p = page; p < page + pages && p < pages_of(s->old.size); p++) {
			if (image_has(&s->old, p))
				continue;
			memcpy(s->old.data + p * PAGE_BYTES, s->image.data + p * PAGE_BYTES, PAGE_BYTES);
			image_mark(&s->old, p);
		}
	return 0;
}

static uint64_t part(uint64_t size, uint64_t from, uint64_t end)
{
	return size <= from ? 0 : size < end ? size - from : end - from;
}

/* What differs between @from and @to in [at, end), into scratch->runs. */
static int diff_part(struct job_scratch *s, const struct image *from, const struct image *to, uint64_t at, uint64_t end)
{
	uint64_t from_size = part(from->size, at, end), to_size = part(to->size, at, end);
	if (!to_size)
		return 0;
	int r = diff_images(from->data + at, from_size, to->data + at, to_size, &s->window_runs);
	return r ? r : runs_append(&s->runs, &s->window_runs, at);
}

/* What differs between the two in the pages that image @touched has. */
static int diff_touched(
    struct job_scratch *s, const struct image *from, const struct image *to, const struct image *touched)
{
	uint64_t pages = pages_of(to->size);
	int r = 0;
	s->runs.count = 0;
	for (uint64_t page = 0; !r && page < pages;) {
		uint64_t start = page;
		while (page < pages && page / 64 < touched->loaded_words && image_has(touched, page))
			page++;
		if (page > start)
			r = diff_part(s, from, to, start * PAGE_BYTES, page * PAGE_BYTES);
		else
			page++;
	}
	return r;
}

/* Brings scratch->image to entry @at, as far as anybody asks for its pages; *@fd: the base, to be closed. */
static int begin_at(struct job_context *context, struct job *job, uint32_t at, int *fd)
{
	struct job_scratch *s = context->scratch;
	uint64_t size = chain_entry(context->catalog, job->module, 0)->size;
	struct place place;
	place_base(context, job->module, &place);
	*fd = file_open(place.dir, place.name, O_RDONLY);
	if (*fd < 0)
		return *fd;
	int r = image_begin_lazy(&s->image, *fd, size, size);
	if (!r)
		r = plan_forward(context, job->module, 0, at, true, s->steps);
	if (!r)
		r = steps_run(context, job, s->steps, &s->image, false, NULL, NULL);
	return r;
}

/* From entry @from to @to, their pages aside in scratch->old: what a delta from one to the other takes. Pages that come
 * into being are touched if anything is in them. */
static int advance(struct job_context *context, struct job *job, uint32_t from, uint32_t to)
{
	struct job_scratch *s = context->scratch;
	uint64_t size = chain_entry(context->catalog, job->module, from)->size;
	uint64_t end = chain_entry(context->catalog, job->module, to)->size;
	int r = image_begin_lazy(&s->old, -1, 0, size > end ? size : end);
	s->old.size = size > end ? size : end;
	if (!r)
		r = plan_forward(context, job->module, from, to, true, s->steps);
	if (!r)
		r = steps_run(context, job, s->steps, &s->image, false, keep_old, job);
	s->old.size = size;
	return r;
}

/* Where an image gets shorter on the way, pages change that no delta names. */
static bool shrinks(const struct job_context *context, uint32_t module, uint32_t from, uint32_t to)
{
	for (uint32_t i = from + 1; i <= to; i++)
		if (chain_entry(context->catalog, module, i)->size < chain_entry(context->catalog, module, i - 1)->size)
			return true;
	return false;
}

/* The same with whole images. */
static int advance_whole(struct job_context *context, struct job *job, uint32_t from, uint32_t to)
{
	struct job_scratch *s = context->scratch;
	int r = image_build(context, job, from, &s->old);
	if (!r)
		r = image_build(context, job, to, &s->image);
	if (!r)
		r = diff_images(s->old.data, s->old.size, s->image.data, s->image.size, &s->runs);
	return r;
}

/* ---- tiers ------------------------------------------------------------------------------------------------------ */

static int make_tier(struct job_context *context, struct job *job, unsigned level, uint32_t index)
{
	struct job_scratch *s = context->scratch;
	uint32_t from = index * tier_span(level), to = from + tier_span(level);
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, to);
	int fd = -1, r;
	if (shrinks(context, job->module, from, to)) {
		r = advance_whole(context, job, from, to);
	} else {
		r = begin_at(context, job, from, &fd);
		if (!r)
			r = advance(context, job, from, to);
		if (!r)
			r = diff_touched(s, &s->old, &s->image, &s->old);
	}
	buf_clear(&s->out);
	if (!r)
		r = delta_encode(s->encoder, s->old.data, s->old.size, s->image.data, s->image.size, &s->runs,
		    &entry->hash, 0, &s->out);
	s->image.source = -1;
	if (fd >= 0)
		close(fd);
	if (!r)
		r = fault_at("tiers.write") ? fail_sys(EIO, "tiers") : 0;
	return r ? r : tier_append(context, job->module, level, index, &s->out);
}

static bool has_tier(const struct job_context *context, uint32_t module, int fd, unsigned level, uint32_t index)
{
	uint64_t offset, size;
	return fd >= 0 && tier_find(context, module, fd, level, index, &offset, &size);
}

/* Makes the tiers that end at @end and are not there. Returns how many, or -errno. */
static int tiers_at(struct job_context *context, struct job *job, int fd, uint32_t end)
{
	int made = 0;
	for (unsigned level = 1; level <= TIER_LEVELS && end % tier_span(level) == 0; level++) {
		uint32_t index = end / tier_span(level) - 1;
		if (has_tier(context, job->module, fd, level, index))
			continue;
		int r = make_tier(context, job, level, index);
		if (r)
			return r;
		made++;
	}
	return made;
}

static int go_on_with_tiers(struct job_context *context, struct job *job, uint32_t last)
{
	struct place place;
	place_tiers(context, job->module, &place);
	int fd = file_open(place.dir, place.name, O_RDONLY), made = 0;
	for (uint32_t i = 0; i < LOOK_AT && !made && last - job->tiers_to >= TIER_FAN; i++) {
		uint32_t end = (job->tiers_to / TIER_FAN + 1) * TIER_FAN;
		if (end > last)
			break;
		made = tiers_at(context, job, fd, end);
		if (made >= 0)
			job->tiers_to = end;
	}
	if (fd >= 0)
		close(fd);
	return made < 0 ? made : 0;
}

/* ---- undo ------------------------------------------------------------------------------------------------------- */

static int make_undo(struct job_context *context, struct job *job, uint32_t index)
{
	struct job_scratch *s = context->scratch;
	const struct chain_entry *before = chain_entry(context->catalog, job->module, index - 1);
	const struct chain_entry *after = chain_entry(context->catalog, job->module, index);
	struct place place;
	int fd;
	if (before->size != after->size)
		return 0; /* such a step is taken the long way */
	int r = begin_at(context, job, index - 1, &fd);
	if (!r)
		r = advance(context, job, index - 1, index);
	if (!r)
		r = diff_touched(s, &s->image, &s->old, &s->old);
	buf_clear(&s->out);
	buf_put(&s->out, &after->hash, sizeof(after->hash));
	if (!r)
		r = delta_encode(s->encoder, s->image.data, s->image.size, s->old.data, s->old.size, &s->runs,
		    &before->hash, 0, &s->out);
	s->image.source = -1;
	if (fd >= 0)
		close(fd);
	place_undo(context, job->module, index, &place);
	return r ? r : file_publish(place.dir, place.dir, place.name, s->out.data, s->out.size, false);
}

static int go_on_with_undo(struct job_context *context, struct job *job, uint32_t last)
{
	uint32_t from = last > UNDO_KEEP ? last - UNDO_KEEP : 0;
	if (job->undo_to < from)
		job->undo_to = from;
	while (job->undo_to < last) {
		bool there = undo_load(context, job->module, job->undo_to + 1) == 0;
		int r = there ? 0 : make_undo(context, job, job->undo_to + 1);
		if (r)
			return r;
		job->undo_to++;
		if (!there)
			break;
	}
	return 0;
}

int job_tiers(struct job_context *context, struct job *job)
{
	uint32_t last = job->target;
	if (job->tiers_to > last || job->undo_to > last)
		return fail(EINVAL, "a job begins behind the end of a chain");
	if (job->undo_to < last && last - job->undo_to <= 2)
		return go_on_with_undo(context, job, last); /* the newest first: they are wanted soonest */
	if (job->tiers_to / TIER_FAN < last / TIER_FAN)
		return go_on_with_tiers(context, job, last);
	return go_on_with_undo(context, job, last);
}
