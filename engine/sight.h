/*
 * sight.h - the names in the base directory that publishing changes. Whoever runs the job says which step is due; it is
 * taken in the coordinator's process, since a worker may not change the base directory (workers/README.md, "Sandbox").
 */
#ifndef ENGINE_SIGHT_H
#define ENGINE_SIGHT_H

#include "job.h"

/** Of module M; t is the newest entry of its chain, or the job's target, and `entry` it or the one before it. */
enum sight_step {
	SIGHT_BASE, /**< M.next becomes M_C0, the whole image of the first commit */
	SIGHT_DELTA, /**< M.delta becomes the delta of `entry` */
	SIGHT_NEXT, /**< M.next becomes the delta of `entry` */
	SIGHT_KEEP, /**< M.next becomes M.delta, which waits out of sight: the last step */
	SIGHT_DELTA_BACK, /**< the delta of `entry` becomes M.delta */
	SIGHT_HIDE, /**< the whole image of t-1 becomes M.last */
	SIGHT_LAST, /**< M.last becomes the whole image of t */
	SIGHT_REPAIRED, /**< M.repair becomes the whole image of t */
	SIGHT_REMOVE, /**< the whole image of t-1 goes, whose delta is there */
};

/** As many steps are taken in one go. */
#define SIGHT_STEPS 2

struct sight_steps {
	uint32_t count;
	struct {
		uint32_t step; /**< enum sight_step */
		uint32_t entry;
	} list[SIGHT_STEPS];
};

static inline void sight_add(struct sight_steps *steps, enum sight_step step, uint32_t entry)
{
	steps->list[steps->count].step = step;
	steps->list[steps->count++].entry = entry;
}

/**
 * sight_take() - take the steps of the job's module, one after the other. It may be a worker that asks: what is no step
 * of a JOB_PUBLISH or JOB_REPAIR (or JOB_COMMIT, which repairs a last image that it finds damaged) is refused, and names
 * are made of the job's module and target, of nothing else.
 * @context: base, priv and catalog are looked at, no more.
 * Returns 0, -EINVAL, or -errno of a rename, with a sentence; the steps before it are taken.
 */
int sight_take(const struct job_context *context, const struct job *job, const struct sight_steps *steps);

/** sight_ask() - the same by whoever runs the job: through @context->sight, if it has one. */
int sight_ask(struct job_context *context, const struct job *job, const struct sight_steps *steps);

/** sight_tell() - likewise, as the last thing that a JOB_PUBLISH does: where another process takes the steps nobody waits
 * for it; if they fail, that is the job's result (@context->sight). */
int sight_tell(struct job_context *context, const struct job *job, const struct sight_steps *steps);

#endif
