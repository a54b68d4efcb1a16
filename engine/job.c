/*
 * job.c - runs jobs: sets up what they need, and hands each to its file.
 */
#include "job_kinds.h"
#include "layers.h"
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

int job_context_open(struct job_context *context)
{
	struct job_scratch *s = calloc(1, sizeof(*s));
	if (!s)
		return fail_sys(ENOMEM, "memory for a worker");
	int r = delta_encoder_open(&s->encoder);
	if (!r)
		r = delta_decoder_open(&s->decoder);
	map_guard();
	s->image.source = s->old.source = -1;
	s->steps = calloc(1, sizeof(*s->steps));
	if (!r && !s->steps)
		r = fail_sys(ENOMEM, "memory for a worker");
	context->scratch = s;
	if (r)
		job_context_close(context);
	return r;
}

void job_context_close(struct job_context *context)
{
	struct job_scratch *s = context->scratch;
	if (!s)
		return;
	delta_encoder_close(s->encoder);
	delta_decoder_close(s->decoder);
	delta_free(&s->delta);
	runs_free(&s->runs);
	runs_free(&s->window_runs);
	image_free(&s->image);
	image_free(&s->old);
	buf_free(&s->file);
	buf_free(&s->out);
	buf_free(&s->tables);
	buf_free(&s->dirty);
	if (s->steps)
		steps_free(s->steps);
	free(s->steps);
	touched_free(s->touched);
	layers_free(s->layers);
	warm_free(s->warm);
	delta_cache_free(s->deltas);
	free(s);
	context->scratch = NULL;
}

/* Memory that only a large image needed goes back. */
static void trim(struct job_scratch *s)
{
	if (s->image.capacity > IMAGE_KEEP + PAGE_BYTES)
		image_free(&s->image);
	if (s->old.capacity > IMAGE_KEEP + PAGE_BYTES)
		image_free(&s->old);
	if (s->file.capacity > 2 * BATCH_BYTES)
		buf_free(&s->file);
	if (s->out.capacity > 2 * BATCH_BYTES)
		buf_free(&s->out);
	if (s->tables.capacity > 2 * BATCH_BYTES)
		buf_free(&s->tables);
	touched_trim(s->touched);
	layers_trim(s->layers);
}

/* A job comes from memory that others can write to: what it names must exist. */
static int check(const struct job_context *context, const struct job *job)
{
	if (job->module >= catalog_count(context->catalog))
		return fail(EINVAL, "a job names module %u, which there is not", job->module);
	uint32_t length = catalog_module(context->catalog, job->module)->length;
	if (job->kind != JOB_COMMIT && job->kind != JOB_VERIFY && job->target >= length)
		return fail(EINVAL, "a job names entry %u of a chain of %u", job->target, length);
	if ((job->kind == JOB_HASH_SHARD || job->kind == JOB_WRITE_SHARD) &&
	    (job->from >= job->to || job->from % DELTA_SECTION || job->to % DELTA_SECTION ||
	        job->from >= chain_entry(context->catalog, job->module, job->target)->size))
		return fail(EINVAL, "a job names a shard that there can not be");
	if (job->kind == JOB_COMMIT && job->basis != CHAIN_NONE && job->basis >= length)
		return fail(EINVAL, "a job names entry %u of a chain of %u", job->basis, length);
	return 0;
}

static int run(struct job_context *context, struct job *job)
{
	int r = check(context, job);
	if (!r)
		r = job_goes_on(context);
	if (r)
		return r;
	switch (job->kind) {
	case JOB_RESTORE:
		return job_restore(context, job);
	case JOB_CHECKOUT:
		return job_checkout(context, job);
	case JOB_COMMIT:
		return job_commit(context, job);
	case JOB_PUBLISH:
		return job_publish(context, job);
	case JOB_REPAIR:
		return job_repair(context, job);
	case JOB_VERIFY:
		return job_verify(context, job);
	case JOB_TIERS:
		return job_tiers(context, job);
	case JOB_HASH_SHARD:
		return job_hash_shard(context, job);
	case JOB_WRITE_SHARD:
		return job_write_shard(context, job);
	case JOB_SYNC_FILES:
		return job_sync_files(context, job);
	default:
		return fail(EINVAL, "a job is of kind %u, which there is not", job->kind);
	}
}

/* Most sentences name a file, and so the module; want of memory has none, and of background work nobody knows what it is
 * at. */
static void name_module(const struct job_context *context, const struct job *job)
{
	char name[NAME_MAX_SIZE];
	name_backing(name, &catalog_module(context->catalog, job->module)->id);
	if (!strstr(err_text(), name))
		err_prefix("module %s: ", name);
}

void job_run(struct job_context *context, struct job *job)
{
	job->unchanged = job->far = job->tiers_gone = 0;
	job->deltas_applied = 0;
	job->bytes_read = job->delta_bytes = job->bytes_written = 0;
	job->files = job->images = job->damaged = 0;
	job->text[0] = 0;
	map_failed(); /* in an earlier job: it is not this one's */
	err_clear();
	job->result = run(context, job);
	if (job->result == -ENOMEM || (job->result && job->kind == JOB_TIERS))
		name_module(context, job);
	if (job->result)
		snprintf(job->text, sizeof(job->text), "%s", err_text());
	if (map_failed())
		warm_drop(context, job->module); /* there are zeros in it */
	warm_end(context);
	trim(context->scratch);
}

int job_goes_on(const struct job_context *context)
{
	if (context->beat)
		context->beat(context->arg);
	bool cancelled = context->cancelled && context->cancelled(context->arg);
	return cancelled ? fail(ECANCELED, "the job was cancelled") : 0;
}

int stamp_take(int fd, uint32_t entry, struct stamp *stamp)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return fail_sys(errno, "a backing file");
	*stamp = (struct stamp) {
	    .entry = entry,
	    .inode = st.st_ino,
	    .size = (uint64_t)st.st_size,
	    .mtime_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
	    .ctime_ns = st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec,
	};
	return 0;
}

bool stamp_holds(const struct stamp *stamp, int fd)
{
	struct stamp now;
	if (stamp->entry == CHAIN_NONE || stamp_take(fd, stamp->entry, &now))
		return false;
	return now.inode == stamp->inode && now.size == stamp->size && now.mtime_ns == stamp->mtime_ns &&
	       now.ctime_ns == stamp->ctime_ns;
}
