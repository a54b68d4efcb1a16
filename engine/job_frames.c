/*
 * job_frames.c - background work for one module: keyframes.
 *
 * A keyframe pays where the way to it, from the base or the keyframe before, costs more than what it saves costs: whoever
 * starts from it reads all of it. So their distance is measured in work, not in commits; where changes fall on the same
 * bytes again and again anchors and large tiers keep the way short, and there are none. What a keyframe takes is paid for
 * by the deltas since the one before, as their weight is what made the way long.
 */
#include "frames.h"

#include <errno.h>

#include "fault.h"
#include "plan.h"

/** A keyframe is made where the way there costs as much as decoding so many hundredths of the image's bytes. */
#define FRAME_WORK 40u

/* Whether one at @at would save enough and has room, *@room bytes; or -errno. */
static int pays(struct job_context *context, const struct job *job, uint32_t at, uint64_t *room)
{
	const struct steps *steps = context->scratch->steps;
	struct warm_module *kept = warm_module(context, job->module);
	uint64_t size = chain_entry(context->catalog, job->module, at)->size;
	*room = 0;
	if (!kept)
		return -ENOMEM;
	if (at < FRAME_FIRST || at % ANCHOR_EVERY || !size || size > FRAME_MOST)
		return 0;
	int r = plan_rebuild(context, job->module, at, WAY_FORWARD, context->scratch->steps);
	if (r || at - steps->start.entry < FRAME_APART || plan_work(steps) < size / 100 * FRAME_WORK)
		return r;
	*room = tiers_room(context, job->module, warm_tiers(context, kept, job->module), at, true);
	/* How much of it is zeros shows when it is there. If hardly any, it is not worth finding out. */
	return *room > size / 2;
}

int frame_make(struct job_context *context, struct job *job, uint32_t at)
{
	struct job_scratch *s = context->scratch;
	uint64_t room;
	int r = pays(context, job, at, &room);
	if (r <= 0)
		return r;
	if (!(job->flags & JOB_PATIENT) && context->urgent && context->urgent(context->arg))
		return fail(EINTR, "somebody waits for the worker");
	r = image_build(context, job, at, &s->image);
	const uint64_t *table = (const uint64_t *)(const void *)s->tables.data;
	if (r || frame_stored(table, s->image.size) + PAGE_BYTES > room)
		return r;
	r = fault_at("frames.write") ? fail_sys(EIO, "keyframes") : 0;
	if (!r)
		r = frame_append(context, job->module, at, &s->image, table);
	return r ? r : 1;
}
