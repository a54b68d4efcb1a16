/*
 * plan.c - which steps lead to an image for the least work.
 *
 * Work is reckoned in bytes of tiers, which are coded to be decoded fast: about a nanosecond each. Deltas and undo deltas
 * are packed more tightly, and each is a file of its own.
 */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>

/** What opening, reading and closing a file costs (warm, about 6 us), parsing a tier, and decoding a delta's byte. */
#define FILE_COST 6144u
#define TIER_COST 512u
#define BYTE_COST(bytes) ((bytes)*5 / 2)
/** Bytes between two tiers that are read with them. */
#define WANT_GAP (256u << 10)

void steps_free(struct steps *steps)
{
	free(steps->list);
	*steps = (struct steps) {0};
}

static int add(struct steps *steps, struct step step)
{
	if (steps->count == steps->capacity) {
		size_t capacity = steps->capacity ? steps->capacity * 2 : 64;
		struct step *list = realloc(steps->list, capacity * sizeof(*list));
		if (!list)
			return fail_sys(ENOMEM, "memory for a plan");
		steps->list = list;
		steps->capacity = capacity;
	}
	steps->list[steps->count++] = step;
	steps->bytes += step.size;
	return 0;
}

static bool take_tier(
    const struct job_context *context, uint32_t module, const struct map *file, struct tier tier, struct step *step)
{
	uint64_t offset, size;
	if (!tier_find(context, module, file, tier, &offset, &size))
		return false;
	*step = (struct step) {STEP_TIER, tier_from(tier), tier_to(tier), offset, size};
	return true;
}

/* The tier or anchor that starts at @at and leads furthest, but not beyond @to. */
static bool furthest(const struct job_context *context, uint32_t module, const struct map *file, uint32_t at,
    uint32_t to, struct step *step)
{
	bool found = false;
	for (unsigned level = TIER_LEVELS; level >= 1 && !found; level--) {
		uint32_t span = tier_span(level);
		if (at % span == 0 && to - at >= span)
			found = take_tier(context, module, file, (struct tier) {level, at / span}, step);
	}
	for (uint32_t i = at ? 0 : to / ANCHOR_EVERY; i > 0; i--) {
		struct tier anchor = {TIER_ANCHOR, i - 1};
		if (found && tier_to(anchor) <= step->to)
			break;
		if (take_tier(context, module, file, anchor, step))
			return true;
	}
	return found;
}

int plan_forward(
    struct job_context *context, uint32_t module, uint32_t from, uint32_t to, bool tiers, struct steps *steps)
{
	int r = 0;
	steps->count = 0;
	steps->bytes = 0;
	steps->tiers = NULL;
	steps->start = (struct start) {0};
	struct warm_module *kept = tiers && to - from >= TIER_FAN ? warm_module(context, module) : NULL;
	if (kept)
		steps->tiers = warm_tiers(context, kept, module);
	while (!r && from < to) {
		struct step step = {
		    STEP_DELTA, from, from + 1, 0, chain_entry(context->catalog, module, from + 1)->delta_bytes};
		if (steps->tiers)
			furthest(context, module, steps->tiers, from, to, &step);
		r = add(steps, step);
		from = step.to;
	}
	if (steps->tiers)
		kept->tiers_seen += steps->bytes;
	return r;
}

/* ---- back from the last ----------------------------------------------------------------------------------------- */

static uint64_t cost(const struct step *step)
{
	return step->kind == STEP_TIER ? TIER_COST + step->size : FILE_COST + BYTE_COST(step->size);
}

uint64_t plan_work(const struct steps *steps)
{
	uint64_t work = 0;
	for (size_t i = 0; i < steps->count; i++)
		work += cost(&steps->list[i]);
	return work;
}

bool plan_grows(const struct job_context *context, uint32_t module, uint32_t low, uint32_t high)
{
	for (uint32_t i = low + 1; i <= high; i++)
		if (chain_entry(context->catalog, module, i)->size < chain_entry(context->catalog, module, i - 1)->size)
			return false;
	return true;
}

/* The undo deltas from entry @from to entry @to <= @from; whether they are all kept is not looked at. */
static int plan_back(struct job_context *context, uint32_t module, uint32_t from, uint32_t to, struct steps *steps)
{
	struct warm_module *kept = warm_module(context, module);
	const struct map *file = kept ? warm_undo(context, kept, module) : NULL;
	struct undo undo;
	int r = 0;
	steps->count = 0;
	steps->bytes = 0;
	for (uint32_t i = from; !r && i > to; i--) {
		bool there = file && undo_find(context, module, file, i, &undo);
		uint64_t size = there ? undo.size : chain_entry(context->catalog, module, i)->delta_bytes;
		r = add(steps, (struct step) {STEP_UNDO, i, i - 1, 0, size});
	}
	return r;
}

/* Whether undoing all entries behind @to costs less than @forward; an undo delta is about as large as the delta. */
static bool undo_is_cheaper(
    const struct job_context *context, uint32_t module, uint32_t to, const struct steps *forward)
{
	uint32_t last = catalog_module(context->catalog, module)->length - 1;
	uint64_t back = 0, there;
	/* To the last there are none to be undone. */
	if (last - to > UNDO_KEEP || (context->priv->fd < 0 && last != to))
		return false;
	there = plan_work(forward);
	for (uint32_t i = last; i > to && back < there; i--)
		back += FILE_COST + BYTE_COST(chain_entry(context->catalog, module, i)->delta_bytes);
	return back < there && plan_grows(context, module, to, last);
}

/* ---- from a whole image ----------------------------------------------------------------------------------------- */

void place_source(const struct job_context *context, uint32_t module, const struct start *start, struct place *place)
{
	if (start->frame)
		place_tiers(context, module, place);
	else
		place_whole(context, module, start->entry, place);
}

/* Has the keyframe and the tiers read that are steps: they are seldom far from each other. */
static void want(const struct steps *steps, uint64_t frame, uint64_t bytes)
{
	uint64_t from = frame, end = frame + bytes;
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *step = &steps->list[i];
		if (step->kind != STEP_TIER)
			continue;
		if (step->offset < from || step->offset > end + WANT_GAP) {
			map_want(steps->tiers, from, end - from);
			from = step->offset;
		}
		end = step->offset + step->size;
	}
	map_want(steps->tiers, from, end - from);
}

/* From the newest keyframe there is up to @to, or else the base: anchors are made only as far as there are none. */
static int plan_from_frame(struct job_context *context, uint32_t module, uint32_t to, struct steps *steps)
{
	struct start start = {0};
	struct warm_module *kept = to >= FRAME_FIRST ? warm_module(context, module) : NULL;
	const struct map *file = kept ? warm_tiers(context, kept, module) : NULL;
	uint64_t seen = file ? kept->tiers_seen : 0, bytes = 0;
	if (file && frame_find(context, module, file, to, &start))
		bytes = frame_bytes(chain_entry(context->catalog, module, start.entry)->size);
	int r = plan_forward(context, module, start.entry, to, true, steps);
	if (!file)
		return r;
	steps->start = start;
	steps->tiers = file;
	kept->tiers_seen += bytes;
	if (!seen)
		want(steps, start.frame, bytes);
	return r;
}

int plan_rebuild(struct job_context *context, uint32_t module, uint32_t to, enum way way, struct steps *steps)
{
	uint32_t last = catalog_module(context->catalog, module)->length - 1;
	int r = way == WAY_DELTAS ? plan_forward(context, module, 0, to, false, steps)
	                          : plan_from_frame(context, module, to, steps);
	if (r || way != WAY_ANY || to == 0 || !undo_is_cheaper(context, module, to, steps))
		return r;
	r = plan_back(context, module, last, to, steps);
	steps->start = (struct start) {.entry = last};
	return r;
}

enum way plan_other(const struct steps *steps)
{
	enum way way = steps->start.frame ? WAY_DELTAS : WAYS;
	if (!steps->count && !steps->start.frame)
		return WAY_FORWARD; /* it is the last */
	for (size_t i = 0; i < steps->count; i++) {
		if (steps->list[i].kind == STEP_UNDO)
			return WAY_FORWARD;
		if (steps->list[i].kind == STEP_TIER)
			way = WAY_DELTAS;
	}
	return way;
}
