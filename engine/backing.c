/*
 * backing.c - a worker may write to the backing files that were there when it began (workers/sandbox_landlock.c). For
 * others, and for one that has to be made, it asks: that costs a round trip, and is rare.
 */
#include "backing.h"

#include <errno.h>
#include <fcntl.h>

#include "job_kinds.h"

int backing_for_job(struct job_context *context, const struct job *job, struct place *place)
{
	bool make = !(job->flags & JOB_DRY);
	int fd;
	if (!make) {
		place_backing(context->base, context->catalog, job->module, place);
		return file_open(place->dir, place->name, O_RDONLY);
	}
	fd = backing_open(context->base, context->catalog, job->module, !context->take_backing, place);
	if (context->take_backing && (fd == -EACCES || fd == -ENOENT))
		return context->take_backing(context->arg, job);
	return fd;
}

int backing_give(const struct job_context *context, const struct job *job)
{
	struct place place;
	if ((job->kind != JOB_RESTORE && job->kind != JOB_WRITE_SHARD) || (job->flags & JOB_DRY) ||
	    job->module >= catalog_count(context->catalog))
		return fail(EINVAL, "a job that does not write to a backing file asks for one");
	return backing_open(context->base, context->catalog, job->module, job->kind == JOB_RESTORE, &place);
}
