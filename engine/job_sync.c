/*
 * job_sync.c - bring a module's files to the device.
 */
#include "image.h"
#include "job_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A private file that is missing can be made again. */
static int sync_place(const struct job_context *context, const struct place *place)
{
	int fd = file_open(place->dir, place->name, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT && place->dir == context->priv ? 0 : fd;
	int r = file_sync(fd, place->dir, place->name);
	close(fd);
	return r;
}

int job_sync_files(struct job_context *context, struct job *job)
{
	uint32_t last = catalog_module(context->catalog, job->module)->length - 1;
	struct place place;
	int r = 0;
	if (job->flags & JOB_SYNC)
		return syncfs(context->base->fd) < 0 ? fail_sys(errno, "syncing the file system") : 0;
	for (uint32_t i = job->basis == CHAIN_NONE ? 0 : job->basis; !r && i <= job->target; i++) {
		if (i == 0)
			place_base(context, job->module, &place);
		else
			place_delta(context, job->module, i, last, &place);
		r = sync_place(context, &place);
		job->files++;
	}
	if (!r && last > 0) {
		place_last(context, job->module, last, &place);
		r = sync_place(context, &place);
		job->files++;
	}
	return r;
}
