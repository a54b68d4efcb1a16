/*
 * job_verify.c - read every file of a module, rebuild every image, compare each with its hash.
 *
 * Damage does not end it: files behind a damaged delta are still checked by their own checksums, and the last by its
 * hash; only the images between can not be rebuilt. Page hashes are kept from image to image, so that each costs what
 * has changed.
 */
#include "job_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct check {
	struct job_context *context;
	struct job *job;
	uint64_t *table; /* page hashes of the image */
	bool broken; /* the image can not be rebuilt any more */
	int stopped; /* what went wrong says nothing of any file: the job ends with it */
};

static void found(struct check *c, const struct place *place, bool damage, const char *problem)
{
	char file[NAME_MAX_SIZE + 16];
	snprintf(file, sizeof(file), "%s%s", place->dir->label, place->name);
	c->job->damaged += damage;
	c->context->found(c->context->arg, c->job, damage, file, problem);
}

static void found_error(struct check *c, const struct place *place, int error)
{
	if (error == -ENOMEM || error == -EMFILE || error == -ENFILE)
		c->stopped = error;
	else if (error == -ENOENT)
		found(c, place, true, "the file is missing");
	else
		found(c, place, true, err_text());
}

static bool table_matches(struct check *c, const struct chain_entry *entry)
{
	struct image_hash hash;
	hash_table(c->table, entry->size, &hash);
	return hash_equal(&hash, &entry->hash);
}

/* Hashes the pages that a delta has changed, those that are new, and the last one, whose length may have changed. */
static void rehash(struct check *c, const struct delta *delta)
{
	const struct image *image = &c->context->scratch->image;
	size_t cursor = 0;
	uint64_t next = 0, page, count;
	while ((count = runs_next_pages(&delta->runs, &cursor, &next, &page))) {
		uint64_t from = page * PAGE_BYTES, end = (page + count) * PAGE_BYTES;
		hash_pages(image->data + from, (end < image->size ? end : image->size) - from, c->table + page);
	}
	if (delta->old_size == delta->new_size || !image->size)
		return;
	uint64_t first = (delta->old_size < delta->new_size ? delta->old_size : delta->new_size - 1) / PAGE_BYTES;
	hash_pages(image->data + first * PAGE_BYTES, image->size - first * PAGE_BYTES, c->table + first);
}

static void check_base(struct check *c)
{
	struct place place;
	const struct chain_entry *entry = chain_entry(c->context->catalog, c->job->module, 0);
	struct image *image = &c->context->scratch->image;
	place_base(c->context, c->job->module, &place);
	int r = image_load(c->context, &place, entry->size, image);
	c->job->files++;
	c->broken = true;
	if (r) {
		found_error(c, &place, r);
		return;
	}
	c->job->bytes_read += entry->size;
	c->job->images++;
	hash_pages(image->data, image->size, c->table);
	c->broken = !table_matches(c, entry);
	if (c->broken)
		found(c, &place, true, "the image does not have the hash that was recorded for it");
}

static int apply(struct check *c, const struct chain_entry *entry, const struct place *place)
{
	struct job_scratch *s = c->context->scratch;
	int r = delta_parse(&s->delta, s->file.data, s->file.size);
	if (r) {
		found_error(c, place, r);
		return r;
	}
	if (s->delta.new_size != entry->size || !hash_equal(&s->delta.hash, &entry->hash)) {
		found(c, place, true, "this delta belongs to another commit");
		return -EBADMSG;
	}
	if (c->broken)
		return 0;
	if (s->delta.old_size != s->image.size) {
		found(c, place, true, "this delta belongs to another commit");
		return -EBADMSG;
	}
	if (entry->size > s->image.size)
		r = image_resize(&s->image, entry->size);
	if (!r)
		r = delta_apply(s->decoder, &s->delta, s->image.data, 0, DELTA_END);
	if (!r && entry->size < s->image.size)
		r = image_resize(&s->image, entry->size);
	if (r) {
		found_error(c, place, r);
		return r;
	}
	rehash(c, &s->delta);
	c->job->images++;
	if (table_matches(c, entry))
		return 0;
	found(c, place, true, "the image that it leads to does not have the hash that was recorded for it");
	return -EBADMSG;
}

static void check_delta(struct check *c, uint32_t index, uint32_t last)
{
	struct job_scratch *s = c->context->scratch;
	struct place place;
	const struct chain_entry *entry = chain_entry(c->context->catalog, c->job->module, index);
	place_delta(c->context, c->job->module, index, last, &place);
	buf_clear(&s->file);
	int r = delta_load(&place, entry, &s->file);
	if (r == -ENOENT && place.dir == c->context->priv)
		return; /* it is made again when it is needed */
	c->job->files++;
	c->job->bytes_read += s->file.size;
	if (r)
		found_error(c, &place, r);
	else
		r = apply(c, entry, &place);
	if (r)
		c->broken = true;
}

static void check_last(struct check *c, uint32_t last)
{
	struct job_scratch *s = c->context->scratch;
	const struct chain_entry *entry = chain_entry(c->context->catalog, c->job->module, last);
	struct place place;
	struct image_hash hash;
	place_last(c->context, c->job->module, last, &place);
	/* What was rebuilt is not needed any more: one image in memory is enough. */
	int r = image_load(c->context, &place, entry->size, &s->image);
	if (r == -ENOENT && place.dir == c->context->priv)
		return;
	c->job->files++;
	c->job->images++;
	if (r) {
		found_error(c, &place, r);
		return;
	}
	c->job->bytes_read += entry->size;
	hash_image(s->image.data, s->image.size, &hash);
	if (!hash_equal(&hash, &entry->hash))
		found(c, &place, true, "the image does not have the hash that was recorded for it");
}

/* The backing file, if it is known to hold a commit and has not been touched since. */
static void check_backing(struct check *c)
{
	struct place place = {.dir = c->context->base};
	name_backing(place.name, &catalog_module(c->context->catalog, c->job->module)->id);
	if (c->job->stamp.entry == CHAIN_NONE)
		return;
	int fd = file_open(place.dir, place.name, O_RDONLY);
	if (fd < 0) {
		found(c, &place, false, "the backing file is missing; restoring any commit makes it again");
		return;
	}
	const struct chain_entry *entry = chain_entry(c->context->catalog, c->job->module, c->job->stamp.entry);
	struct image *image = &c->context->scratch->image;
	struct image_hash hash;
	bool same = false;
	int r = stamp_holds(&c->job->stamp, fd) ? image_load(c->context, &place, entry->size, image) : -ESTALE;
	if (!r) {
		hash_image(image->data, image->size, &hash);
		same = hash_equal(&hash, &entry->hash);
	}
	close(fd);
	c->job->files++;
	if (r == -ENOMEM)
		found_error(c, &place, r);
	else if (!same)
		found(c, &place, false,
		    "the backing file is not the one that was left here: somebody else has written to it, or the store "
		    "was copied; "
		    "it is set right when the module is next used");
}

int job_verify(struct job_context *context, struct job *job)
{
	struct check c = {.context = context, .job = job};
	uint32_t length = catalog_module(context->catalog, job->module)->length;
	if (!length)
		return 0;
	uint64_t largest = 0;
	for (uint32_t i = 0; i < length; i++) {
		uint64_t size = chain_entry(context->catalog, job->module, i)->size;
		largest = size > largest ? size : largest;
	}
	c.table = image_table(context, largest);
	int r = c.table ? 0 : -ENOMEM;
	if (!r)
		r = image_reserve(&context->scratch->image, largest);
	if (r)
		return r;
	check_base(&c);
	for (uint32_t i = 1; i < length && !r && !c.stopped; i++) {
		check_delta(&c, i, length - 1);
		r = job_goes_on(context);
	}
	if (r)
		return r;
	if (length > 1 && !c.stopped)
		check_last(&c, length - 1);
	if (!c.stopped)
		check_backing(&c);
	return c.stopped;
}
