/*
 * publish.h - what publishing and repairing share. Private to engine/.
 */
#ifndef ENGINE_PUBLISH_H
#define ENGINE_PUBLISH_H

#include "job_kinds.h"
#include "sight.h"

/* The names that publishing moves about. */
struct publish_names {
	char backing[NAME_MAX_SIZE];
	char next[NAME_MAX_SIZE];
	char delta[NAME_MAX_SIZE];
	char last[NAME_MAX_SIZE];
};

void publish_names_of(const struct job_context *context, uint32_t module, struct publish_names *names);

/** publish_ensure_pending() - see to it that the delta of entry @t >= 1, the job's target or the one before, is where
 * place_delta() says. 1: that takes the whole chain, which is not for this process to walk (job_context.most). */
int publish_ensure_pending(
    struct job_context *context, const struct job *job, uint32_t t, const struct publish_names *names);

/** publish_delta() - see to it that the delta of entry @index, the newest but one, is in sight, or can be: then the step
 * that puts it there is added to @steps. */
int publish_delta(struct job_context *context, const struct job *job, uint32_t index, const struct publish_names *names,
    struct sight_steps *steps);

/** sight_one() - sight_ask() for one step. */
int sight_one(struct job_context *context, const struct job *job, enum sight_step step, uint32_t entry);

/** sight_delta() - where the delta of entry @index is when it is in sight. */
void sight_delta(const struct job_context *context, uint32_t module, uint32_t index, struct place *place);

#endif
