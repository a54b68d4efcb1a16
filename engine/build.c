/*
 * build.c - an image of the past: a whole image, and deltas and tiers applied to it.
 *
 *   base --d1--> --d2--> ... --dk--> image k                      (entry k of a chain of n)
 *        `-------- tier ------'                                   (d1 to d8 in one)
 *   last = image n, whole: the quick way to entry n; should it be damaged, the chain still leads there
 *
 * Files are read in batches and applied in order; only the image that results is hashed. If its hash is not the one
 * that the commits store has, the chain is walked without tiers, then once more checking each step, to name the file.
 */
#include "image.h"

#include <errno.h>
#include <stdio.h>

#include "tiers.h"

#define CHECK_STEPS true
#define WITH_TIERS true

static int damaged(const struct place *place, const char *what)
{
	return fail(
	    EBADMSG, "%s%s: %s; restore it from a backup, or use another commit", place->dir->label, place->name, what);
}

uint64_t *image_table(struct job_context *context, uint64_t size)
{
	struct buf *b = &context->scratch->tables;
	buf_clear(b);
	uint64_t *table = (uint64_t *)(void *)buf_reserve(b, (size_t)(pages_of(size) + 1) * sizeof(*table));
	if (!table)
		fail_sys(ENOMEM, "memory for page hashes");
	return table;
}

int image_verify(
    struct job_context *context, const struct image *image, const struct chain_entry *entry, const struct place *place)
{
	struct image_hash hash;
	uint64_t *table = image_table(context, image->size);
	if (!table)
		return -ENOMEM;
	hash_pages(image->data, image->size, table);
	hash_table(table, image->size, &hash);
	if (image->size != entry->size || !hash_equal(&hash, &entry->hash))
		return damaged(place, "the image does not have the hash that was recorded for it");
	return 0;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static void place_step(const struct job_context *context, uint32_t module, const struct step *step, struct place *place)
{
	if (step->tier)
		place_tiers(context, module, place);
	else
		place_delta(context, module, step->to, catalog_module(context->catalog, module)->length - 1, place);
}

/* Reads as many of the steps from @first on as a batch holds. Returns how many, or -errno. Each request has its own
 * result, which the caller looks at. */
static int read_batch(
    struct job_context *context, struct job *job, const struct steps *steps, size_t first, struct place *places)
{
	struct job_scratch *s = context->scratch;
	size_t total = 0;
	int count = 0;
	buf_clear(&s->file);
	for (size_t i = first; i < steps->count && count < BATCH_FILES; i++) {
		const struct step *step = &steps->list[i];
		if (count && total + step->size > BATCH_BYTES)
			break;
		place_step(context, job->module, step, &places[count]);
		s->requests[count] = (struct read_request) {
		    places[count].dir, places[count].name, NULL, (size_t)step->size, step->offset, !step->tier, 0};
		total += step->size;
		count++;
	}
	uint8_t *to = buf_reserve(&s->file, total);
	if (!to)
		return fail_sys(ENOMEM, "memory for %zu bytes of deltas", total);
	for (int i = 0; i < count; i++) {
		s->requests[i].to = to;
		to += s->requests[i].size;
	}
	reader_run(context->reader, s->requests, (size_t)count);
	job->bytes_read += total;
	if (context->beat)
		context->beat(context->arg);
	return count;
}

/* A delta that was lost and made again, by another version of zstd, has another length than was recorded; one that was
 * pending may have been published in this moment. */
static int read_again(struct job_context *context, const struct job *job, const struct step *step, struct place *place,
    struct read_request *request)
{
	struct buf *b = &context->scratch->out;
	if (step->tier)
		return request->result;
	buf_clear(b);
	int r = file_load(place->dir, place->name, (size_t)1 << 40, b);
	if (r == -ENOENT && place->dir == context->priv) {
		place_delta(context, job->module, step->to, UINT32_MAX, place);
		r = file_load(place->dir, place->name, (size_t)1 << 40, b);
	}
	if (r == -ENOENT)
		return damaged(place, "the file is missing");
	request->to = b->data;
	request->size = b->size;
	return r;
}

static int parse(struct job_context *context, const struct job *job, const struct step *step, const struct place *place,
    const struct read_request *request)
{
	struct delta *delta = &context->scratch->delta;
	const struct chain_entry *from = chain_entry(context->catalog, job->module, step->from);
	const struct chain_entry *to = chain_entry(context->catalog, job->module, step->to);
	int r = delta_parse(delta, request->to, request->size);
	if (r)
		err_prefix("%s%s: ", place->dir->label, place->name);
	else if (delta->old_size != from->size || delta->new_size != to->size || !hash_equal(&delta->hash, &to->hash))
		r = damaged(place, "this delta belongs to another commit");
	return r;
}

/* Applies scratch->delta. */
static int apply(struct job_context *context, const struct place *place, struct image *image,
    int (*seen)(void *arg, struct job_context *context), void *arg)
{
	struct job_scratch *s = context->scratch;
	int r = 0;
	if (s->delta.new_size > image->size)
		r = image_resize(image, s->delta.new_size);
	if (!r)
		r = image_need_runs(image, &s->delta.runs);
	if (!r && seen)
		r = seen(arg, context);
	if (!r)
		r = delta_apply(s->decoder, &s->delta, image->data, 0, DELTA_END);
	if (!r && s->delta.new_size < image->size)
		r = image_resize(image, s->delta.new_size);
	if (r)
		err_prefix("%s%s: ", place->dir->label, place->name);
	return r;
}

/* Parses each step's delta, in order; @image: and applies it. */
static int each_step(struct job_context *context, struct job *job, const struct steps *steps, struct image *image,
    bool check, int (*seen)(void *arg, struct job_context *context), void *arg)
{
	struct place places[BATCH_FILES];
	for (size_t i = 0; i < steps->count;) {
		int count = read_batch(context, job, steps, i, places);
		if (count < 0)
			return count;
		for (int j = 0; j < count; j++, i++) {
			struct read_request *request = &context->scratch->requests[j];
			const struct step *step = &steps->list[i];
			int r = request->result ? read_again(context, job, step, &places[j], request) : 0;
			if (!r)
				r = parse(context, job, step, &places[j], request);
			if (r && !step->tier && delta_elsewhere(context, job->module, step->to))
				r = 0;
			if (!r)
				r = image ? apply(context, &places[j], image, seen, arg) : seen(arg, context);
			if (!r && check)
				r = image_verify(
				    context, image, chain_entry(context->catalog, job->module, step->to), &places[j]);
			if (r)
				return r;
			job->deltas_applied += image != NULL;
		}
	}
	return 0;
}

int steps_run(struct job_context *context, struct job *job, const struct steps *steps, struct image *image, bool check,
    int (*seen)(void *arg, struct job_context *context), void *arg)
{
	return each_step(context, job, steps, image, check, seen, arg);
}

int steps_pages(struct job_context *context, struct job *job, const struct steps *steps,
    int (*seen)(void *arg, struct job_context *context), void *arg)
{
	return each_step(context, job, steps, NULL, false, seen, arg);
}

/* ---- whole images ----------------------------------------------------------------------------------------------- */

static int walk(
    struct job_context *context, struct job *job, uint32_t target, struct image *image, bool tiers, bool check)
{
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, 0);
	struct place base;
	place_base(context, job->module, &base);
	int r = image_load(context, &base, entry->size, image);
	if (r == -ENOENT)
		r = damaged(&base, "the file is missing");
	if (!r && check)
		r = image_verify(context, image, entry, &base);
	if (!r)
		r = plan_forward(context, job->module, 0, target, tiers, context->scratch->steps);
	if (r)
		return r;
	job->bytes_read += entry->size;
	return steps_run(context, job, context->scratch->steps, image, check, NULL, NULL);
}

int image_walk(struct job_context *context, struct job *job, uint32_t target, struct image *image)
{
	return walk(context, job, target, image, !WITH_TIERS, CHECK_STEPS);
}

static int build_last(struct job_context *context, struct job *job, uint32_t target, struct image *image)
{
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, target);
	struct place place;
	place_last(context, job->module, target, &place);
	int r = image_load(context, &place, entry->size, image);
	if (r)
		return r;
	job->bytes_read += entry->size;
	return image_verify(context, image, entry, &place);
}

int image_build(struct job_context *context, struct job *job, uint32_t target, struct image *image)
{
	const struct catalog_module *module = catalog_module(context->catalog, job->module);
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, target);
	struct place place;
	if (target > 0 && target == module->length - 1 && build_last(context, job, target, image) == 0)
		return 0;
	if (target > 0)
		place_delta(context, job->module, target, module->length - 1, &place);
	else
		place_base(context, job->module, &place);
	int r = walk(context, job, target, image, WITH_TIERS, !CHECK_STEPS);
	if (!r)
		r = image_verify(context, image, entry, &place);
	if (!r || target < TIER_FAN)
		return r && target > 0 ? image_walk(context, job, target, image) : r;
	/* Tiers are only a short cut. Whatever is wrong with them, the chain decides; and they are made again. */
	struct place tiers;
	place_tiers(context, job->module, &tiers);
	r = image_walk(context, job, target, image);
	if (r)
		return r;
	if (context->priv->fd >= 0)
		file_unlink(tiers.dir, tiers.name);
	return 0;
}
