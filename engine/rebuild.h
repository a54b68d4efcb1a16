/*
 * rebuild.h - bring a backing file of which nothing is known to an entry of the chain. Private to engine/.
 */
#ifndef ENGINE_REBUILD_H
#define ENGINE_REBUILD_H

#include "image.h"

/**
 * restore_rebuild() - build the pages in which entry job->target differs from a whole image that is at hand, verify the
 * hash of all, then write those pages of @fd, @old_size bytes long, that are not what they should be.
 * Returns 1 if it did, 0 if it must be done in another way (no page was written that is not right), or -errno.
 */
int restore_rebuild(struct job_context *context, struct job *job, int fd, const struct place *place, uint64_t old_size);

#endif
