/*
 * near.h - restore by difference: only the pages in which two commits can differ. Private to engine/.
 */
#ifndef ENGINE_NEAR_H
#define ENGINE_NEAR_H

#include "image.h"

/**
 * restore_near() - bring the backing file @fd from entry job->stamp.entry, which it is known to hold, to job->target.
 * Returns 1 if it did, 0 if it must be done the long way (nothing was written), or -errno.
 */
int restore_near(struct job_context *context, struct job *job, int fd, const struct place *place);

#endif
