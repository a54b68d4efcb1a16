/*
 * sight.c - each step is one rename, between .varve/modules/ and the base directory.
 */
#include "sight.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "publish.h"

void sight_delta(const struct job_context *context, uint32_t module, uint32_t index, struct place *place)
{
	const struct chain_entry *entry = chain_entry(context->catalog, module, index);
	place->dir = context->base;
	name_delta(place->name, &catalog_module(context->catalog, module)->id, &entry->id, entry->ordinal);
}

static int refuse(const struct job *job, enum sight_step step)
{
	return fail(
	    EINVAL, "step %d is not one of publishing entry %u of module %u", (int)step, job->target, job->module);
}

static int take(const struct place *from, const struct place *to)
{
	return file_rename(from->dir, from->name, to->dir, to->name);
}

/* The whole image of t-1 must not go before it can be had by its delta; and the name may be that of another's. */
static int remove_before(
    const struct job_context *context, const struct job *job, uint32_t t, const struct place *before)
{
	struct place last, base, delta;
	place_last(context, job->module, t, &last);
	place_base(context, job->module, &base);
	sight_delta(context, job->module, t - 1, &delta);
	if (strcmp(before->name, last.name) == 0 || strcmp(before->name, base.name) == 0 ||
	    !file_exists(delta.dir, delta.name))
		return refuse(job, SIGHT_REMOVE);
	return file_unlink(before->dir, before->name);
}

static int take_step(const struct job_context *context, const struct job *job, enum sight_step step, uint32_t entry)
{
	static const char *const suffixes[] = {[SIGHT_BASE] = "next",
	    [SIGHT_DELTA] = "delta",
	    [SIGHT_NEXT] = "next",
	    [SIGHT_KEEP] = "next",
	    [SIGHT_DELTA_BACK] = "delta",
	    [SIGHT_HIDE] = "last",
	    [SIGHT_LAST] = "last",
	    [SIGHT_REPAIRED] = "repair",
	    [SIGHT_REMOVE] = ""};
	uint32_t length =
	    job->module < catalog_count(context->catalog) ? catalog_module(context->catalog, job->module)->length : 0;
	uint32_t t = job->kind == JOB_COMMIT ? length - 1 : job->target;
	struct place work = {.dir = context->priv}, sight = {.dir = context->base};

	if ((job->kind != JOB_PUBLISH && job->kind != JOB_REPAIR && job->kind != JOB_COMMIT) || step > SIGHT_REMOVE ||
	    t >= length || entry > t || entry + 1 < t)
		return refuse(job, step);
	name_private(work.name, &catalog_module(context->catalog, job->module)->id, suffixes[step]);
	switch (step) {
	case SIGHT_KEEP:
		sight.dir = context->priv;
		name_private(sight.name, &catalog_module(context->catalog, job->module)->id, "delta");
		return t ? take(&work, &sight) : refuse(job, step);
	case SIGHT_BASE:
		place_base(context, job->module, &sight);
		return take(&work, &sight);
	case SIGHT_DELTA:
	case SIGHT_NEXT:
	case SIGHT_DELTA_BACK:
		/* Entry 0 is the base: it has no delta. */
		if (entry == 0)
			return refuse(job, step);
		sight_delta(context, job->module, entry, &sight);
		return step == SIGHT_DELTA_BACK ? take(&sight, &work) : take(&work, &sight);
	case SIGHT_HIDE:
	case SIGHT_REMOVE:
		/* The whole image of entry 0 is the base: it stays. */
		if (t < 2)
			return refuse(job, step);
		place_last(context, job->module, t - 1, &sight);
		if (sight.dir != context->base)
			return refuse(job, step);
		return step == SIGHT_HIDE ? take(&sight, &work) : remove_before(context, job, t, &sight);
	default:
		if (t == 0)
			return refuse(job, step);
		place_last(context, job->module, t, &sight);
		return sight.dir == context->base ? take(&work, &sight) : refuse(job, step);
	}
}

int sight_take(const struct job_context *context, const struct job *job, const struct sight_steps *steps)
{
	int r = 0;
	for (uint32_t i = 0; !r && i < steps->count && i < SIGHT_STEPS; i++) {
		r = fault_at("publish.step");
		if (r)
			return fail_sys(-r, "publishing entry %u of module %u", job->target, job->module);
		r = take_step(context, job, (enum sight_step)steps->list[i].step, steps->list[i].entry);
	}
	return r;
}

int sight_ask(struct job_context *context, const struct job *job, const struct sight_steps *steps)
{
	if (!steps->count)
		return 0;
	return context->sight ? context->sight(context->arg, job, steps, true) : sight_take(context, job, steps);
}

int sight_one(struct job_context *context, const struct job *job, enum sight_step step, uint32_t entry)
{
	struct sight_steps steps = {0};
	sight_add(&steps, step, entry);
	return sight_ask(context, job, &steps);
}

int sight_tell(struct job_context *context, const struct job *job, const struct sight_steps *steps)
{
	return context->sight ? context->sight(context->arg, job, steps, false) : sight_take(context, job, steps);
}
