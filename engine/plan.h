/*
 * plan.h - the way to an image: a whole image to start from, and the deltas, tiers or undo deltas to apply to it.
 */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "frames.h"
#include "tiers.h"
#include "undo.h"
#include "warm.h"

enum step_kind {
	STEP_DELTA, /**< the delta file of entry `to` */
	STEP_TIER, /**< in the file of tiers, at offset */
	STEP_UNDO, /**< the undo delta of entry `from`, to the one before */
};

/** A delta to apply: from the image of entry @from to that of entry @to. */
struct step {
	enum step_kind kind;
	uint32_t from;
	uint32_t to;
	uint64_t offset;
	uint64_t size; /**< bytes; of an undo delta about */
};

struct steps {
	struct step *list;
	size_t count;
	size_t capacity;
	uint64_t bytes; /**< sum of the sizes */
	const struct map *tiers; /**< what STEP_TIER's offsets, and start.frame, are in */
	struct start start; /**< plan_rebuild(): the whole image that they begin with */
};

/** plan_forward() - the fewest steps from entry @from to entry @to >= @from. @tiers: use them. 0 or -ENOMEM. */
int plan_forward(
    struct job_context *context, uint32_t module, uint32_t from, uint32_t to, bool tiers, struct steps *steps);

/** plan_grows() - whether no entry from @low to @high has a smaller image than the one before: then going back only cuts
 * images off. There are no undo deltas for any other step. */
bool plan_grows(const struct job_context *context, uint32_t module, uint32_t low, uint32_t high);

/** Ways to an entry from a whole image, each of which may lead there though the one before does not. */
enum way {
	WAY_ANY, /**< whatever is cheapest, if all files that there should be are there */
	WAY_FORWARD, /**< no undo deltas: they may not have been made yet */
	WAY_DELTAS, /**< no tiers either, and no keyframes */
	WAYS,
};

/** plan_rebuild() - the cheapest steps to entry @to from a whole image, steps->start: the base, a keyframe, or the last. */
int plan_rebuild(struct job_context *context, uint32_t module, uint32_t to, enum way way, struct steps *steps);

/** plan_work() - what the steps cost, reckoned in bytes of tiers to decode. */
uint64_t plan_work(const struct steps *steps);

/** place_source() - the file that has the image that @start says; it begins at start->frame. */
void place_source(const struct job_context *context, uint32_t module, const struct start *start, struct place *place);

/** plan_other() - the way to try next where these steps do not lead to the image: one that has others; WAYS: there is
 * none. */
enum way plan_other(const struct steps *steps);

void steps_free(struct steps *steps);

/** steps_run() - apply them to @image, which is at the first one's start, as far as its window goes. @seen is called for
 * each before it is applied, with the parsed delta in scratch->delta and the pages it needs loaded; may be NULL.
 * @check: verify the image after each step. */
int steps_run(struct job_context *context, struct job *job, const struct steps *steps, struct image *image, bool check,
    int (*seen)(void *arg, struct job_context *context), void *arg);

/** steps_pages() - call @seen for each step's delta, in scratch->delta, without applying any. */
int steps_pages(struct job_context *context, struct job *job, const struct steps *steps,
    int (*seen)(void *arg, struct job_context *context), void *arg);

#endif
