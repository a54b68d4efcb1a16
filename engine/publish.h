/*
 * publish.h - what publishing and repairing share. Private to engine/.
 */
#ifndef ENGINE_PUBLISH_H
#define ENGINE_PUBLISH_H

#include "job_kinds.h"

/* The names that publishing moves about. */
struct publish_names {
	char backing[NAME_MAX_SIZE];
	char next[NAME_MAX_SIZE];
	char delta[NAME_MAX_SIZE];
	char last[NAME_MAX_SIZE];
};

void publish_names_of(const struct job_context *context, uint32_t module, struct publish_names *names);

/** publish_ensure_pending() - see to it that the delta of the newest entry @t >= 1 is where place_delta() says. */
int publish_ensure_pending(struct job_context *context, uint32_t module, uint32_t t, const struct publish_names *names);

/** publish_delta() - put the delta of entry @index, the newest but one, in sight. */
int publish_delta(struct job_context *context, uint32_t module, uint32_t index, const struct publish_names *names);

#endif
