/*
 * job_repair.c - mend what a crash left of a publishing (job_publish.c), and rebuild a last image that is lost or damaged.
 */
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* M.next is there: the commit was decided and its publishing not finished, or it was never decided. */
static int repair_next(struct job_context *context, const struct job *job, const struct publish_names *names)
{
	uint32_t t = job->target;
	struct place next = {.dir = context->priv};
	snprintf(next.name, sizeof(next.name), "%s", names->next);
	if (!file_exists(next.dir, next.name))
		return 0;
	if (!delta_matches(context, &next, chain_entry(context->catalog, job->module, t)))
		return file_unlink(next.dir, next.name);
	struct sight_steps steps = {0};
	int r = t >= 2 ? publish_delta(context, job, t - 1, names, &steps) : 0;
	if (!r && steps.count)
		r = sight_ask(context, job, &steps);
	return r ? r : file_rename(next.dir, next.name, context->priv, names->delta);
}

/* The base is whole: either in sight, or as M.next, its first commit decided but not published. */
static int repair_base(struct job_context *context, const struct job *job, const struct publish_names *names)
{
	uint32_t module = job->module;
	const struct chain_entry *entry = chain_entry(context->catalog, module, 0);
	struct place next = {.dir = context->priv}, base;
	snprintf(next.name, sizeof(next.name), "%s", names->next);
	place_base(context, module, &base);
	struct stat st;
	if (file_stat(base.dir, base.name, &st) == 0) {
		if (catalog_module(context->catalog, module)->length == 1)
			file_unlink(next.dir, next.name);
		return 0;
	}
	struct image image = {.source = -1};
	int r = image_load(context, &next, entry->size, &image);
	struct image_hash hash;
	if (!r)
		hash_image(image.data, image.size, &hash);
	if (r || !hash_equal(&hash, &entry->hash))
		r = fail(EBADMSG, "%s: the module's base image is missing; restore it from a backup", base.name);
	else
		r = sight_one(context, job, SIGHT_BASE, job->target);
	image_free(&image);
	return r;
}

static int image_is(
    struct job_context *context, const struct place *place, const struct chain_entry *entry, struct image *image)
{
	struct image_hash hash;
	int r = image_load(context, place, entry->size, image);
	if (r)
		return r;
	hash_image(image->data, image->size, &hash);
	return hash_equal(&hash, &entry->hash) ? 0 : -EBADMSG;
}

/* The image of the entry before is still in sight if publishing was cut off before step 2. Nothing refers to it now; it
 * goes once it can be had by its delta. */
static void remove_before(struct job_context *context, const struct job *job, const struct place *last)
{
	uint32_t t = job->target;
	struct place before, delta;
	if (t < 2)
		return;
	place_last(context, job->module, t - 1, &before);
	place_delta(context, job->module, t - 1, t, &delta);
	if (before.dir == context->base && strcmp(before.name, last->name) != 0 &&
	    file_exists(before.dir, before.name) && file_exists(delta.dir, delta.name))
		sight_one(context, job, SIGHT_REMOVE, t - 1);
}

/* Puts the whole image of the newest entry in its place, rebuilding it if it is not there or not right. */
static int repair_last(struct job_context *context, struct job *job, const struct publish_names *names)
{
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, job->target);
	struct place last, hidden = {.dir = context->priv};
	struct image image = {.source = -1};
	place_last(context, job->module, job->target, &last);
	snprintf(hidden.name, sizeof(hidden.name), "%s", names->last);
	int r = image_is(context, &last, entry, &image);
	if (r) {
		r = image_walk(context, job, job->target, &image);
		if (!r)
			r = image_store(context, job->module, "repair", &image, job->flags & JOB_SYNC);
		char name[NAME_MAX_SIZE];
		name_private(name, &catalog_module(context->catalog, job->module)->id, "repair");
		if (!r)
			remove_before(context, job, &last);
		if (!r && last.dir == context->base)
			r = sight_one(context, job, SIGHT_REPAIRED, job->target);
		else if (!r)
			r = file_rename(context->priv, name, last.dir, last.name);
	} else {
		remove_before(context, job, &last);
	}
	if (!r && last.dir == context->base)
		file_unlink(hidden.dir, hidden.name);
	image_free(&image);
	return r;
}

int job_repair(struct job_context *context, struct job *job)
{
	struct publish_names names;
	publish_names_of(context, job->module, &names);
	int r = repair_base(context, job, &names);
	if (r || job->target == 0)
		return r;
	r = repair_next(context, job, &names);
	if (r)
		return r;
	/* Either of the two can be made from the other. */
	int pending = publish_ensure_pending(context, job, job->target, &names);
	r = repair_last(context, job, &names);
	if (r || !pending)
		return r;
	return publish_ensure_pending(context, job, job->target, &names);
}
