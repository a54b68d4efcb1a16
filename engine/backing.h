/*
 * backing.h - the coordinator's part in opening a backing file for a job.
 */
#ifndef ENGINE_BACKING_H
#define ENGINE_BACKING_H

#include "job.h"

/** backing_give() - a descriptor for @job, a JOB_RESTORE or JOB_WRITE_SHARD that writes, whose worker has asked for it
 * (job_context.take_backing). @context: base and catalog are looked at. The caller's to close; -EINVAL for any other
 * job, or -errno, with a sentence. */
int backing_give(const struct job_context *context, const struct job *job);

#endif
