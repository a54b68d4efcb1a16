/*
 * backing.c - a worker may write to the backing files that were there when it began (workers/sandbox_landlock.c). For
 * others, and for one that has to be made, it asks: that costs a round trip, so what it gets is kept from job to job.
 */
#include "backing.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "job_kinds.h"
#include "warm.h"

/* The descriptor that was given for an earlier job, if the name still leads to that file. */
static int given_before(struct warm_module *kept, const struct place *place)
{
	struct stat named, given;
	if (!kept || !kept->backing_fd)
		return -ENOENT;
	if (!file_stat(place->dir, place->name, &named) && !fstat(kept->backing_fd - 1, &given) &&
	    named.st_ino == given.st_ino && named.st_dev == given.st_dev)
		return fcntl(kept->backing_fd - 1, F_DUPFD_CLOEXEC, 3);
	close(kept->backing_fd - 1);
	kept->backing_fd = 0;
	return -ENOENT;
}

static int ask(struct job_context *context, const struct job *job, struct warm_module *kept)
{
	int fd = context->take_backing(context->arg, job);
	int own = fd < 0 || !kept ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own >= 0) {
		if (kept->backing_fd)
			close(kept->backing_fd - 1);
		kept->backing_fd = own + 1;
	}
	return fd;
}

int backing_for_job(struct job_context *context, const struct job *job, struct place *place)
{
	bool make = !(job->flags & JOB_DRY);
	int fd;
	if (!make) {
		place_backing(context->base, context->catalog, job->module, place);
		return file_open(place->dir, place->name, O_RDONLY);
	}
	if (!context->take_backing)
		return backing_open(context->base, context->catalog, job->module, true, place);
	struct warm_module *kept = warm_module(context, job->module);
	place_backing(context->base, context->catalog, job->module, place);
	fd = given_before(kept, place);
	if (fd >= 0)
		return fd;
	fd = file_open(place->dir, place->name, O_RDWR);
	return fd == -EACCES || fd == -ENOENT ? ask(context, job, kept) : fd;
}

int backing_give(const struct job_context *context, const struct job *job)
{
	struct place place;
	if ((job->kind != JOB_RESTORE && job->kind != JOB_WRITE_SHARD) || (job->flags & JOB_DRY) ||
	    job->module >= catalog_count(context->catalog))
		return fail(EINVAL, "a job that does not write to a backing file asks for one");
	return backing_open(context->base, context->catalog, job->module, job->kind == JOB_RESTORE, &place);
}
