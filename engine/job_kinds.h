/*
 * job_kinds.h - the jobs, one function each; job_run() has checked what the job names. Private to engine/.
 */
#ifndef ENGINE_JOB_KINDS_H
#define ENGINE_JOB_KINDS_H

#include "image.h"

/** backing_for_job() - open the backing file to read and write; one that is missing is made, unless the job is JOB_DRY.
 * By the coordinator, where whoever runs the job may not. A descriptor, or -errno. */
int backing_for_job(struct job_context *context, const struct job *job, struct place *place);

int job_restore(struct job_context *context, struct job *job);
int job_checkout(struct job_context *context, struct job *job);
int job_commit(struct job_context *context, struct job *job);
int job_publish(struct job_context *context, struct job *job);
int job_repair(struct job_context *context, struct job *job);
int job_verify(struct job_context *context, struct job *job);
int job_tiers(struct job_context *context, struct job *job);
int job_hash_shard(struct job_context *context, struct job *job);
int job_write_shard(struct job_context *context, struct job *job);
int job_sync_files(struct job_context *context, struct job *job);

#endif
