/*
 * build.c - an image of the past, from base and deltas.
 *
 *   base --d1--> --d2--> ... --dk--> image k                      (entry k of a chain of n)
 *   last = image n, whole: the quick way to entry n; should it be damaged, the chain still leads there
 *
 * Delta files are read in batches and applied in order; only the image that results is hashed. If its hash is not the
 * one the commits store has, image_walk() goes the same way once more, checking each step, to name the file.
 */
#include "image.h"

#include <errno.h>
#include <stdio.h>

#define CHECK_STEPS true

static int damaged(const struct place *place, const char *what)
{
	return fail(EBADMSG, "%s%s: %s; restore it from a backup, or use another commit", place->dir->label, place->name,
	    what);
}

static int check_hash(const struct image *image, const struct chain_entry *entry, const struct place *place)
{
	struct image_hash hash;
	hash_image(image->data, image->size, &hash);
	if (image->size != entry->size || !hash_equal(&hash, &entry->hash))
		return damaged(place, "the image does not have the hash that was recorded for it");
	return 0;
}

/* Turns image @index - 1 in @image into image @index. */
static int apply_one(struct job_context *context, const struct chain_entry *entry, const struct place *place,
    const uint8_t *bytes, size_t size, struct image *image)
{
	struct job_scratch *s = context->scratch;
	int r = delta_parse(&s->delta, bytes, size);
	if (r) {
		err_prefix("%s%s: ", place->dir->label, place->name);
		return r;
	}
	if (s->delta.old_size != image->size || s->delta.new_size != entry->size ||
	    !hash_equal(&s->delta.hash, &entry->hash))
		return damaged(place, "this delta belongs to another commit");
	if (s->delta.new_size > image->size)
		r = image_resize(image, s->delta.new_size);
	if (!r)
		r = delta_apply(s->decoder, &s->delta, image->data, 0, UINT64_MAX - DELTA_SECTION + 1);
	if (!r && s->delta.new_size < image->size)
		r = image_resize(image, s->delta.new_size);
	if (r)
		err_prefix("%s%s: ", place->dir->label, place->name);
	return r;
}

/* Reads as many of the deltas [from, to] as a batch holds. Returns how many, or -errno. */
static int read_batch(struct job_context *context, struct job *job, uint32_t from, uint32_t to, struct place *places)
{
	struct job_scratch *s = context->scratch;
	uint32_t last = catalog_module(context->catalog, job->module)->length - 1;
	size_t total = 0;
	int count = 0;
	buf_clear(&s->file);
	for (uint32_t i = from; i <= to && count < BATCH_FILES; i++) {
		uint64_t size = chain_entry(context->catalog, job->module, i)->delta_bytes;
		if (count && total + size > BATCH_BYTES)
			break;
		place_delta(context, job->module, i, last, &places[count]);
		s->requests[count] =
		    (struct read_request) { places[count].dir, places[count].name, NULL, (size_t)size, 0, true, 0 };
		total += size;
		count++;
	}
	uint8_t *to_bytes = buf_reserve(&s->file, total);
	if (!to_bytes)
		return fail_sys(ENOMEM, "memory for %zu bytes of deltas", total);
	for (int i = 0; i < count; i++) {
		s->requests[i].to = to_bytes;
		to_bytes += s->requests[i].size;
	}
	/* Each request has its own result, which the caller looks at. */
	reader_run(context->reader, s->requests, (size_t)count);
	job->bytes_read += total;
	return count;
}

/* A delta that was lost and made again, by another version of zstd, has another length than was recorded. */
static int read_again(struct job_context *context, const struct place *place, struct read_request *request)
{
	struct buf *b = &context->scratch->out;
	buf_clear(b);
	int r = file_load(place->dir, place->name, (size_t)1 << 40, b);
	if (r == -ENOENT)
		return fail(EBADMSG, "%s%s: the file is missing; restore it from a backup, or use another commit",
		    place->dir->label, place->name);
	request->to = b->data;
	request->size = b->size;
	return r;
}

static int walk(struct job_context *context, struct job *job, uint32_t target, struct image *image, bool check)
{
	struct place places[BATCH_FILES];
	const struct catalog *catalog = context->catalog;
	const struct chain_entry *entry = chain_entry(catalog, job->module, 0);
	place_base(context, job->module, &places[0]);
	int r = image_load(context, &places[0], entry->size, image);
	if (!r && check)
		r = check_hash(image, entry, &places[0]);
	if (r)
		return r;
	job->bytes_read += entry->size;
	for (uint32_t i = 1; i <= target;) {
		int count = read_batch(context, job, i, target, places);
		if (count < 0)
			return count;
		for (int j = 0; j < count; j++, i++) {
			struct read_request *request = &context->scratch->requests[j];
			entry = chain_entry(catalog, job->module, i);
			if (request->result)
				r = read_again(context, &places[j], request);
			if (!r)
				r = apply_one(context, entry, &places[j], request->to, request->size, image);
			if (!r && check)
				r = check_hash(image, entry, &places[j]);
			if (r)
				return r;
			job->deltas_applied++;
		}
	}
	return 0;
}

int image_walk(struct job_context *context, struct job *job, uint32_t target, struct image *image)
{
	return walk(context, job, target, image, CHECK_STEPS);
}

int image_build(struct job_context *context, struct job *job, uint32_t target, struct image *image)
{
	const struct catalog_module *module = catalog_module(context->catalog, job->module);
	const struct chain_entry *entry = chain_entry(context->catalog, job->module, target);
	struct place place;
	if (target > 0 && target == module->length - 1) {
		place_last(context, job->module, target, &place);
		int r = image_load(context, &place, entry->size, image);
		if (!r) {
			job->bytes_read += entry->size;
			r = check_hash(image, entry, &place);
		}
		if (!r)
			return 0;
	}
	int r = walk(context, job, target, image, !CHECK_STEPS);
	if (r)
		return r;
	if (target > 0)
		place_delta(context, job->module, target, module->length - 1, &place);
	else
		place_base(context, job->module, &place);
	r = check_hash(image, entry, &place);
	if (!r || target == 0)
		return r;
	/* Some file is whole by its own checksum, and yet wrong. Find out which. */
	int found = walk(context, job, target, image, CHECK_STEPS);
	return found ? found : r;
}
