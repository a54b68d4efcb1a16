/*
 * build.c - an image of the past: a whole image, and deltas and tiers applied to it.
 *
 *   base --d1--> --d2--> ... --dk--> image k                      (entry k of a chain of n)
 *        `-------- tier ------'                                   (d1 to d8 in one)
 *   last = image n, whole: the quick way to entry n; should it be damaged, the chain still leads there
 *
 *   last --undo--> --undo--> image n - 2                          (where that is less work)
 *   keyframe 256 --tier--> --d--> image 265                       (a whole image in between)
 *
 * Files are read in batches and applied in order; only the image that results is hashed. If its hash is not the one
 * that the commits store has, the chain is walked once more along deltas only, checking each step, to name the file.
 */
#include "image.h"

#include <errno.h>
#include <stdio.h>

#include "plan.h"

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
	switch (step->kind) {
	case STEP_TIER:
		place_tiers(context, module, place);
		break;
	case STEP_UNDO:
		place_undo(context, module, place);
		break;
	case STEP_DELTA:
		place_delta(context, module, step->to, catalog_module(context->catalog, module)->length - 1, place);
		break;
	}
}

/* The deltas of some steps, as far as they are files. */
struct batch {
	struct item {
		struct delta_key key;
		struct place place;
		const uint8_t *data; /* kept from an earlier job; NULL: it is read */
		size_t size;
	} items[BATCH_FILES];
	size_t count;
	size_t next; /* the item of the next step that has one */
	size_t next_request;
	size_t end; /* all files of the steps before this one are in it */
};

/* Reads what is not kept. Each request has its own result, which is looked at when its turn comes. */
static int read_items(struct job_context *context, struct batch *batch)
{
	struct job_scratch *s = context->scratch;
	size_t total = 0, count = 0;
	for (size_t i = 0; i < batch->count; i++)
		total += batch->items[i].data ? 0 : batch->items[i].size;
	buf_clear(&s->file);
	uint8_t *to = buf_reserve(&s->file, total);
	if (!to)
		return fail_sys(ENOMEM, "memory for %zu bytes of deltas", total);
	for (size_t i = 0; i < batch->count; i++) {
		struct item *item = &batch->items[i];
		if (item->data)
			continue;
		s->requests[count++] =
		    (struct read_request) {item->place.dir, item->place.name, to, item->size, 0, true, 0};
		to += item->size;
	}
	if (count)
		reader_run(context->reader, s->requests, count);
	return 0;
}

/* As many of the steps from @first on as a batch holds; tiers are mapped, and need no reading. */
static int read_batch(
    struct job_context *context, struct job *job, const struct steps *steps, size_t first, struct batch *batch)
{
	size_t total = 0, i = first;
	batch->count = batch->next = batch->next_request = 0;
	for (; i < steps->count; i++) {
		const struct step *step = &steps->list[i];
		if (step->kind != STEP_DELTA)
			continue;
		if (batch->count == BATCH_FILES || (batch->count && total + step->size > BATCH_BYTES))
			break;
		struct item *item = &batch->items[batch->count++];
		item->key = delta_key(context->catalog, job->module, step->to);
		item->size = (size_t)step->size;
		item->data = delta_cache_find(context->scratch->deltas, &item->key, &item->size);
		place_step(context, job->module, step, &item->place);
		total += item->size;
	}
	batch->end = i;
	return read_items(context, batch);
}

/* What was read, and right, is kept. */
static void keep_batch(struct job_context *context, const struct batch *batch)
{
	const struct read_request *request = context->scratch->requests;
	for (size_t i = 0; i < batch->next; i++) {
		const struct item *item = &batch->items[i];
		if (item->data)
			continue;
		if (!request->result)
			delta_cache_keep(&context->scratch->deltas, &item->key, request->to, request->size);
		request++;
	}
}

/* A delta that was lost and made again, by another version of zstd, has another length than was recorded; one that was
 * pending may have been published in this moment. */
static int read_again(struct job_context *context, const struct job *job, const struct step *step, struct place *place,
    struct read_request *request)
{
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, step->to);
	struct buf *b = &context->scratch->out;
	buf_clear(b);
	int r = delta_load(place, entry, b);
	if (r == -ENOENT && place->dir == context->priv) {
		place_delta(context, job->module, step->to, UINT32_MAX, place);
		r = delta_load(place, entry, b);
	}
	if (r == -ENOENT)
		return damaged(place, "the file is missing");
	request->to = b->data;
	request->size = b->size;
	return r;
}

static int parse(struct job_context *context, const struct job *job, const struct step *step, const struct place *place,
    const void *bytes, size_t size)
{
	struct delta *delta = &context->scratch->delta;
	const struct chain_entry *from = chain_entry(context->catalog, job->module, step->from);
	const struct chain_entry *to = chain_entry(context->catalog, job->module, step->to);
	int r = delta_parse(delta, bytes, size);
	if (r)
		err_prefix("%s%s: ", place->dir->label, place->name);
	else if (delta->old_size != from->size || delta->new_size != to->size || !hash_equal(&delta->hash, &to->hash))
		r = damaged(place, "this delta belongs to another commit");
	return r;
}

/* The step's delta into scratch->delta; *@place: where it was found. */
static int load_step(struct job_context *context, struct job *job, const struct steps *steps, const struct step *step,
    struct batch *batch, struct place *place)
{
	struct read_request *request;
	int r;
	switch (step->kind) {
	case STEP_TIER:
		place_step(context, job->module, step, place);
		job->bytes_read += step->size;
		return parse(context, job, step, place, steps->tiers->data + step->offset, (size_t)step->size);
	case STEP_UNDO:
		place_step(context, job->module, step, place);
		r = undo_load(context, job->module, step->from);
		job->bytes_read += step->size;
		return r == -ENOENT ? damaged(place, "there is no such undo delta") : r;
	case STEP_DELTA:
		break;
	}
	struct item *item = &batch->items[batch->next++];
	job->bytes_read += item->size;
	*place = item->place;
	if (item->data)
		return parse(context, job, step, place, item->data, item->size);
	request = &context->scratch->requests[batch->next_request++];
	bool again = request->result;
	r = again ? read_again(context, job, step, place, request) : 0;
	if (!r)
		r = parse(context, job, step, place, request->to, request->size);
	/* The buffer of what was read again is used for the next such file: that is not to be kept. */
	request->result = again ? -EAGAIN : r;
	return r && delta_elsewhere(context, job->module, step->to) ? 0 : r;
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
		r = delta_apply(s->decoder, &s->delta, image->data, image->from, image->to);
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
	struct batch batch = {.end = 0};
	struct place place;
	int r = 0;
	for (size_t i = 0; !r && i < steps->count; i++) {
		const struct step *step = &steps->list[i];
		r = job_goes_on(context);
		if (!r && i == batch.end) {
			keep_batch(context, &batch);
			r = read_batch(context, job, steps, i, &batch);
		}
		if (!r)
			r = load_step(context, job, steps, step, &batch, &place);
		if (!r)
			r = image ? apply(context, &place, image, seen, arg) : seen(arg, context);
		if (!r && check)
			r = image_verify(context, image, chain_entry(context->catalog, job->module, step->to), &place);
		job->deltas_applied += image != NULL;
	}
	keep_batch(context, &batch);
	return r;
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

/* Loads the whole image that the steps start from, and applies them. */
static int build(
    struct job_context *context, struct job *job, const struct steps *steps, struct image *image, bool check)
{
	const struct start *start = &steps->start;
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, start->entry);
	struct place whole;
	place_source(context, job->module, start, &whole);
	int r = start->frame ? image_load_at(context, &whole, start->frame, entry->size, image)
	                     : image_load(context, &whole, entry->size, image);
	if (r == -ENOENT)
		r = damaged(&whole, "the file is missing");
	if (!r && check)
		r = image_verify(context, image, entry, &whole);
	if (r)
		return r;
	job->bytes_read += entry->size;
	return steps_run(context, job, steps, image, check, NULL, NULL);
}

int image_walk(struct job_context *context, struct job *job, uint32_t target, struct image *image)
{
	struct steps *steps = context->scratch->steps;
	int r = plan_forward(context, job->module, 0, target, false, steps);
	return r ? r : build(context, job, steps, image, true);
}

/* Takes one way to the image, and verifies what it leads to. */
static int build_by(struct job_context *context, struct job *job, uint32_t target, enum way way, struct image *image)
{
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, target);
	struct steps *steps = context->scratch->steps;
	struct place place;
	if (target > 0)
		place_delta(
		    context, job->module, target, catalog_module(context->catalog, job->module)->length - 1, &place);
	else
		place_base(context, job->module, &place);
	int r = plan_rebuild(context, job->module, target, way, steps);
	if (!r)
		r = build(context, job, steps, image, false);
	if (!r)
		r = map_failed() ? -EIO : image_verify(context, image, entry, &place);
	return r;
}

int image_build(struct job_context *context, struct job *job, uint32_t target, struct image *image)
{
	struct steps *steps = context->scratch->steps;
	struct place tiers;
	bool tiers_wrong = false;
	enum way way = WAY_ANY;
	int r = build_by(context, job, target, way, image);
	while (r && r != -ECANCELED && target > 0 && (way = plan_other(steps)) != WAYS) {
		tiers_wrong |= way == WAY_DELTAS;
		warm_drop(context, job->module);
		r = build_by(context, job, target, way, image);
	}
	/* Once more, step by step, to name the file that is to blame. */
	if (r && r != -ECANCELED && target > 0)
		r = image_walk(context, job, target, image);
	if (r || !tiers_wrong || context->priv->fd < 0)
		return r;
	place_tiers(context, job->module, &tiers);
	file_unlink(tiers.dir, tiers.name);
	job->tiers_gone = true;
	return 0;
}
