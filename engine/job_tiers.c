/*
 * job_tiers.c - background work for one module: merge deltas into tiers, make keyframes (job_frames.c) and undo deltas.
 *
 * A tier from entry a to entry e is made of the smaller ones, or deltas, that it spans. The pages that these name are put
 * aside as they were at a, then the steps are applied; what differs afterwards is the tier. An undo delta is the same
 * with both sides exchanged. Nothing here is hashed as a whole: what it makes is checked when it is used, and a restore
 * that finds it wrong goes without it.
 *
 * A job does one tier boundary, or one undo delta, and says how far it has come; it gives up between steps when somebody
 * waits for a worker.
 */
#include "job_kinds.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fault.h"

/** Boundaries that are looked at in one job where there is nothing to do. */
#define LOOK_AT 256u
/** A merged delta has at most so many quarters of the bytes of those that it is made of, or it is not worth its disk. */
#define MERGE_SHARE 3u
/** ... where each of them costs as much as decoding so many bytes more: parsing it, its checksum (about 1 us). */
#define STEP_COST 256u

/* ---- two states of the same pages ------------------------------------------------------------------------------- */

/* Bytes that @runs change. */
static uint64_t changed_bytes(const struct runs *runs)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < runs->count; i++)
		bytes += runs->list[i].size;
	return bytes;
}

/* Puts aside the pages that scratch->delta is about to change, as they are now. */
static int keep_old(void *arg, struct job_context *context)
{
	struct job_scratch *s = context->scratch;
	size_t cursor = 0;
	uint64_t next = 0, page, pages;
	const struct job *job = arg;
	if (!(job->flags & JOB_PATIENT) && context->urgent && context->urgent(context->arg))
		return fail(EINTR, "somebody waits for the worker");
	s->merged += changed_bytes(&s->delta.runs) + STEP_COST;
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

/* Brings scratch->image to entry @at, as far as anybody asks for its pages; *@fd: what it started from, to be closed. */
static int begin_at(struct job_context *context, struct job *job, uint32_t at, int *fd)
{
	struct job_scratch *s = context->scratch;
	const struct start *start = &s->steps->start;
	struct place place;
	int r = plan_rebuild(context, job->module, at, WAY_FORWARD, s->steps);
	if (r)
		return r;
	place_source(context, job->module, start, &place);
	*fd = file_open(place.dir, place.name, O_RDONLY);
	if (*fd < 0)
		return *fd;
	uint64_t size = chain_entry(context->catalog, job->module, start->entry)->size;
	r = image_begin_lazy(&s->image, *fd, size, size);
	s->image.source_at = start->frame;
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
	s->merged = 0;
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
	s->merged = UINT64_MAX; /* of these it is not known: it is made */
	if (!r)
		r = image_build(context, job, to, &s->image);
	if (!r)
		r = diff_images(s->old.data, s->old.size, s->image.data, s->image.size, &s->runs);
	return r;
}

/* ---- tiers ------------------------------------------------------------------------------------------------------ */

/* The images of entries @from and @to, as far as they differ, into scratch->old and scratch->image, and what differs into
 * scratch->runs; *fd: to be closed. */
static int two_states(struct job_context *context, struct job *job, uint32_t from, uint32_t to, int *fd)
{
	struct job_scratch *s = context->scratch;
	*fd = -1;
	if (shrinks(context, job->module, from, to))
		return advance_whole(context, job, from, to);
	int r = begin_at(context, job, from, fd);
	if (!r)
		r = advance(context, job, from, to);
	return r ? r : diff_touched(s, &s->old, &s->image, &s->old);
}

/* Puts what is coded at @level behind what scratch->out has. Its size, or -errno. */
static int64_t encode(struct job_scratch *s, const struct chain_entry *to, int level)
{
	size_t before = s->out.size;
	int r = delta_encode(
	    s->encoder, s->old.data, s->old.size, s->image.data, s->image.size, &s->runs, &to->hash, level, &s->out);
	return r ? r : (int64_t)(s->out.size - before);
}

/* Into scratch->out, in the form that decodes fastest of those that @room is enough for. What many restores decode, a tier
 * of a long stretch, may be larger for that; one of a short stretch by half. */
static int encode_tier(struct job_context *context, struct tier tier, const struct chain_entry *to, uint64_t room)
{
	static const int quick[] = {DELTA_FAST, DELTA_QUICK};
	struct job_scratch *s = context->scratch;
	int64_t size = 0;
	for (unsigned i = tier.level > 1 ? 0 : 1; i < 2; i++) {
		buf_clear(&s->out);
		size = encode(s, to, quick[i]);
		if (size < 0 || (tier.level > 1 && (uint64_t)size <= room))
			return size < 0 ? (int)size : 0;
	}
	int64_t packed = encode(s, to, 0);
	if (packed < 0)
		return (int)packed;
	if (size - size / 3 > packed || (uint64_t)size > room) {
		memmove(s->out.data, s->out.data + size, (size_t)packed);
		size = packed;
	}
	s->out.size = (size_t)size;
	return 0;
}

/* Makes it, unless it were more than @limit bytes, or the file more than its budget, or it merges so little that decoding
 * it takes as long as decoding what it is made of. Returns whether it did, or -errno. */
static int make_tier(struct job_context *context, struct job *job, struct tier tier, uint64_t limit)
{
	struct job_scratch *s = context->scratch;
	const struct chain_entry *to = chain_entry(context->catalog, job->module, tier_to(tier));
	struct warm_module *kept = warm_module(context, job->module);
	int fd = -1;
	if (!kept)
		return -ENOMEM;
	uint64_t room = tiers_room(context, job->module, warm_tiers(context, kept, job->module), tier_to(tier), false);
	if (limit > room)
		limit = room;
	if (!limit)
		return 0;
	int r = two_states(context, job, tier_from(tier), tier_to(tier), &fd);
	bool pays = tier.level == 1 || (changed_bytes(&s->runs) + STEP_COST) / MERGE_SHARE * 4 <= s->merged;
	if (!r && pays)
		r = encode_tier(context, tier, to, limit);
	s->image.source = -1;
	if (fd >= 0)
		close(fd);
	if (!r)
		r = fault_at("tiers.write") ? fail_sys(EIO, "tiers") : 0;
	if (r || !pays || s->out.size > limit)
		return r;
	r = tier_append(context, job->module, tier, &s->out);
	return r ? r : 1;
}

/* 0: it is not there. */
static uint64_t tier_size(struct job_context *context, const struct job *job, struct tier tier)
{
	struct warm_module *kept = warm_module(context, job->module);
	const struct map *file = kept ? warm_tiers(context, kept, job->module) : NULL;
	uint64_t offset, size;
	return file && tier_find(context, job->module, file, tier, &offset, &size) ? size : 0;
}

/* How large an anchor may be: the deltas since the one before pay for it (the first tier of its span is as good as an
 * anchor). If that is less than the one before takes, there is no use in trying. */
static bool anchor_pays(struct job_context *context, const struct job *job, struct tier anchor, uint64_t *limit)
{
	uint64_t before = 0, since = 0;
	uint32_t i = anchor.index;
	while (i > 0 && !before)
		before = tier_size(context, job, (struct tier) {TIER_ANCHOR, --i});
	uint32_t from = (i + 1) * ANCHOR_EVERY;
	for (uint32_t e = from + 1; e <= tier_to(anchor); e++)
		since += chain_entry(context->catalog, job->module, e)->delta_bytes;
	*limit = since / ANCHOR_HALVES * 2;
	return before <= *limit;
}

/* The newest keyframe up to @to; 0: there is none. */
static uint32_t newest_frame(struct job_context *context, const struct job *job, uint32_t to)
{
	struct warm_module *kept = warm_module(context, job->module);
	const struct map *file = kept ? warm_tiers(context, kept, job->module) : NULL;
	struct start start = {0};
	if (file)
		frame_find(context, job->module, file, to, &start);
	return start.entry;
}

/* Makes what a walk can start with at @end, a multiple of ANCHOR_EVERY, if it pays: a keyframe, or, as long as there is
 * none, an anchor. Larger tiers that begin before *@covered are of no use then. Returns how many it has made, or -errno. */
static int starts_at(struct job_context *context, struct job *job, uint32_t end, uint32_t *covered)
{
	struct tier anchor = {TIER_ANCHOR, end / ANCHOR_EVERY - 1};
	uint64_t limit;
	int made = frame_make(context, job, end);
	*covered = newest_frame(context, job, end);
	if (made < 0 || *covered)
		return made;
	if (tier_size(context, job, anchor)) {
		*covered = end;
		return made;
	}
	if (anchor.index == 0 || !anchor_pays(context, job, anchor, &limit))
		return made;
	made = make_tier(context, job, anchor, limit);
	*covered = made > 0 ? end : 0;
	return made;
}

/* Makes what ends at @end and is not there. Returns how many it has made, or -errno. */
static int tiers_at(struct job_context *context, struct job *job, uint32_t end)
{
	uint32_t covered = 0;
	int made = 0;
	for (unsigned level = 1; level <= TIER_LEVELS && end % tier_span(level) == 0; level++) {
		struct tier tier = {level, end / tier_span(level) - 1};
		int r = tier_span(level) == ANCHOR_EVERY ? starts_at(context, job, end, &covered) : 0;
		if (r < 0)
			return r;
		made += r;
		if (covered > tier_from(tier) || tier_size(context, job, tier))
			continue;
		r = make_tier(context, job, tier, UINT64_MAX);
		if (r < 0)
			return r;
		made += r;
	}
	return made;
}

static int go_on_with_tiers(struct job_context *context, struct job *job, uint32_t last)
{
	int made = 0;
	for (uint32_t i = 0; i < LOOK_AT && !made && last - job->tiers_to >= TIER_FAN; i++) {
		uint32_t end = (job->tiers_to / TIER_FAN + 1) * TIER_FAN;
		if (end > last)
			break;
		made = tiers_at(context, job, end);
		if (made >= 0)
			job->tiers_to = end;
	}
	return made < 0 ? made : 0;
}

/* ---- undo ------------------------------------------------------------------------------------------------------- */

static int make_undo(struct job_context *context, struct job *job, uint32_t index, enum undo_form form)
{
	struct job_scratch *s = context->scratch;
	int fd;
	if (chain_entry(context->catalog, job->module, index - 1)->size >
	    chain_entry(context->catalog, job->module, index)->size)
		return 0;
	int r = begin_at(context, job, index - 1, &fd);
	if (!r)
		r = advance(context, job, index - 1, index);
	if (!r)
		r = diff_touched(s, &s->image, &s->old, &s->old);
	s->image.source = -1;
	if (fd >= 0)
		close(fd);
	return r ? r : undo_write(context, job->module, index, form, &s->image, &s->old);
}

static bool undo_is_there(struct job_context *context, const struct job *job, uint32_t index)
{
	return undo_load(context, job->module, index) == 0;
}

/* Packs what is quick and has fallen behind: those from @newest on may take as much disk as one image. They are packed in
 * order, so that behind the first that is packed there are no others. */
static int pack_undo(struct job_context *context, struct job *job, uint32_t newest)
{
	uint64_t room = chain_entry(context->catalog, job->module, newest)->size;
	uint32_t end = newest > UNDO_KEEP ? newest - UNDO_KEEP : 0;
	int r = 0;
	for (uint32_t i = newest; i > end && !r; i--) {
		struct warm_module *kept = warm_module(context, job->module);
		const struct map *file = kept ? warm_undo(context, kept, job->module) : NULL;
		struct undo undo;
		if (!file || !undo_find(context, job->module, file, i, &undo))
			continue;
		if (undo.form == UNDO_PACKED)
			break;
		if (undo.size > room)
			r = make_undo(context, job, i, UNDO_PACKED);
		room = undo.size > room ? 0 : room - undo.size;
	}
	return r;
}

static int go_on_with_undo(struct job_context *context, struct job *job, uint32_t last)
{
	uint32_t from = last > UNDO_KEEP ? last - UNDO_KEEP : 0;
	if (job->undo_to < from)
		job->undo_to = from;
	while (job->undo_to < last) {
		uint32_t index = job->undo_to + 1;
		bool there = undo_is_there(context, job, index);
		int r = there ? 0 : make_undo(context, job, index, UNDO_QUICK);
		if (!r && (!there || index == last))
			r = pack_undo(context, job, index);
		if (r)
			return r;
		job->undo_to = index;
		if (!there)
			break;
	}
	return 0;
}

static int go_on(struct job_context *context, struct job *job, uint32_t last)
{
	if (job->tiers_to > last || job->undo_to > last)
		return fail(EINVAL, "a job begins behind the end of a chain");
	if (job->undo_to < last && last - job->undo_to <= 2)
		return go_on_with_undo(context, job, last); /* the newest first: they are wanted soonest */
	if (job->tiers_to / TIER_FAN < last / TIER_FAN)
		return go_on_with_tiers(context, job, last);
	return go_on_with_undo(context, job, last);
}

int job_tiers(struct job_context *context, struct job *job)
{
	int r = go_on(context, job, job->target);
	/* It may be a tier that stands in the way, which perhaps no restore will ever meet. */
	if (r != -EBADMSG || !tiers_mend(context, job->module, job->target))
		return r;
	job->tiers_to = 0;
	return 0;
}
