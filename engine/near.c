/*
 * near.c - restore by difference.
 *
 * The backing file holds entry s; it shall hold entry t. Three ways to what the pages in question are:
 *
 *   t > s   the deltas (and tiers) from s to t, applied to the backing file's own pages
 *   t < s   undo deltas, the same the other way, where they are kept for all entries from s down to t + 1
 *   t < s   else: the lists of changed pages in the deltas from t to s say which pages; these, and those that the way
 *           to them needs, are rebuilt from the base, or a keyframe
 *
 * From one to the other the image may have grown, but not shrunk and grown again: then pages would have become zero
 * that no delta names.
 *
 * Only pages that a delta names are loaded, hashed and written. The hash of the whole image is made of the hashes of all
 * pages: those of s are kept (pages.h), those of the pages that changed are put in their places, and if the result is
 * not the hash of image t nothing is written: then the long way is gone, which trusts nothing.
 */
#include "near.h"

#include "pages.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/** Entries apart at the most; beyond, the long way is hardly longer. */
#define NEAR_MAX 1024u

/* ---- which pages ------------------------------------------------------------------------------------------------ */

static uint64_t *dirty_begin(struct job_context *context, uint64_t size)
{
	struct buf *b = &context->scratch->dirty;
	size_t bytes = ((size_t)pages_of(size) / 64 + 1) * sizeof(uint64_t);
	buf_clear(b);
	uint64_t *bits = (uint64_t *)(void *)buf_reserve(b, bytes);
	if (bits)
		memset(bits, 0, bytes);
	return bits;
}

/* Marks the pages of scratch->delta's runs. */
static int mark_runs(void *arg, struct job_context *context)
{
	uint64_t *bits = arg, next = 0, page, pages;
	size_t cursor = 0;
	while ((pages = runs_next_pages(&context->scratch->delta.runs, &cursor, &next, &page)))
		for (uint64_t p = page; p < page + pages; p++)
			bits[p / 64] |= (uint64_t)1 << p % 64;
	return 0;
}

/* ---- the three ways: each leaves the pages in scratch->image, and their bits in @bits ------------------------------ */

static int forward(struct job_context *context, struct job *job, int fd, uint64_t size, uint64_t *bits)
{
	struct job_scratch *s = context->scratch;
	int r = plan_forward(context, job->module, job->stamp.entry, job->target, true, s->steps);
	if (!r && s->steps->bytes > size / 2)
		return 0;
	if (!r)
		r = image_begin_lazy(&s->image, fd, size, size);
	if (!r)
		r = steps_run(context, job, s->steps, &s->image, false, mark_runs, bits);
	return r ? r : 1;
}

static int back_by_undo(struct job_context *context, struct job *job, int fd, uint64_t size, uint64_t *bits)
{
	struct job_scratch *s = context->scratch;
	if (job->stamp.entry - job->target > UNDO_KEEP)
		return 0;
	int r = plan_back(context, job->module, job->stamp.entry, job->target, s->steps);
	if (!r)
		r = image_begin_lazy(&s->image, fd, size, size);
	if (!r)
		r = steps_run(context, job, s->steps, &s->image, false, mark_runs, bits);
	return r ? 0 : 1;
}

static int need_marked(struct image *image, const uint64_t *bits)
{
	int r = 0;
	for (uint64_t page = 0; !r && page < pages_of(image->size); page++)
		if (bits[page / 64] >> page % 64 & 1)
			r = image_need(image, page, 1);
	return r;
}

/* What the steps begin with: of a large image only those pages are read that are asked for. */
static int begin_at_whole(struct job_context *context, struct job *job, struct warm_module *kept)
{
	struct image *image = &context->scratch->image;
	const struct steps *steps = context->scratch->steps;
	uint64_t size = chain_entry(context->catalog, job->module, steps->start.entry)->size;
	struct source source;
	struct place place;
	if (size <= IMAGE_SMALL) {
		int r = warm_source(context, kept, job->module, steps, &source);
		return r ? r : image_begin_mapped(image, source.data, source.size);
	}
	place_source(context, job->module, &steps->start, &place);
	int fd = file_open(place.dir, place.name, O_RDONLY);
	int r = fd < 0 ? fd : image_begin_lazy(image, fd, size, size);
	image->source_at = steps->start.frame;
	if (r && fd >= 0)
		close(fd);
	return r;
}

static int back_by_rebuilding(struct job_context *context, struct job *job, uint64_t size, uint64_t *bits)
{
	struct job_scratch *s = context->scratch;
	struct warm_module *kept = warm_module(context, job->module);
	if (!kept)
		return -ENOMEM;
	memset(bits, 0, ((size_t)pages_of(size) / 64 + 1) * sizeof(*bits));
	int r = plan_forward(context, job->module, job->target, job->stamp.entry, true, s->steps);
	if (!r && s->steps->bytes > size / 2)
		return 0;
	if (!r)
		r = steps_pages(context, job, s->steps, mark_runs, bits);
	if (!r)
		r = plan_rebuild(context, job->module, job->target, WAY_FORWARD, s->steps);
	if (!r)
		r = begin_at_whole(context, job, kept);
	if (!r)
		r = steps_run(context, job, s->steps, &s->image, false, NULL, NULL);
	if (!r)
		r = need_marked(&s->image, bits);
	return r ? r : 1;
}

/* ---- verify, then write ----------------------------------------------------------------------------------------- */

/* Puts the marked pages' hashes into @table, and takes the marks off pages that are what they were. */
static void rehash(const struct image *image, uint64_t *table, uint64_t *bits)
{
	uint64_t pages = pages_of(image->size);
	for (uint64_t word = 0; word * 64 < pages; word++) {
		for (uint64_t left = bits[word]; left; left &= left - 1) {
			uint64_t page = word * 64 + (uint64_t)__builtin_ctzll(left), at = page * PAGE_BYTES, hash;
			if (page >= pages)
				break; /* of the larger of the two images */
			hash_pages(
			    image->data + at, image->size - at < PAGE_BYTES ? image->size - at : PAGE_BYTES, &hash);
			if (hash == table[page])
				bits[word] &= ~((uint64_t)1 << page % 64);
			table[page] = hash;
		}
	}
}

static int write_marked(
    struct job *job, const struct image *image, int fd, const struct place *place, const uint64_t *bits)
{
	uint64_t pages = pages_of(image->size);
	int r = 0;
	for (uint64_t page = 0; !r && page < pages;) {
		if (!bits[page / 64]) {
			page = (page / 64 + 1) * 64;
			continue;
		}
		uint64_t start = page;
		while (page < pages && bits[page / 64] >> page % 64 & 1)
			page++;
		if (page > start) {
			uint64_t at = start * PAGE_BYTES, end = page * PAGE_BYTES;
			size_t size = (size_t)((end < image->size ? end : image->size) - at);
			if (!(job->flags & JOB_DRY))
				r = file_write_at(fd, image->data + at, size, at, place->dir, place->name);
			job->bytes_written += size;
		} else {
			page++;
		}
	}
	return r;
}

static void mark(uint64_t *bits, uint64_t page)
{
	bits[page / 64] |= (uint64_t)1 << page % 64;
}

/* Pages that are others because the image has another size: the one that one of the two images has in part; and those
 * behind the old end, which are zero where no delta names them, and in the file as soon as it is long enough. */
static int resize(struct image *image, uint64_t from, uint64_t *table, uint64_t *bits)
{
	uint64_t to = image->size, low = from < to ? from : to;
	int r = 0;
	if (from == to)
		return 0;
	if (low % PAGE_BYTES) {
		r = image_need(image, low / PAGE_BYTES, 1);
		mark(bits, low / PAGE_BYTES);
	}
	uint64_t behind = pages_of(from) * PAGE_BYTES;
	if (to > behind)
		hash_window(NULL, behind, to - behind, true, table);
	return r;
}

int restore_near(struct job_context *context, struct job *job, int fd, const struct place *place)
{
	struct job_scratch *s = context->scratch;
	const struct chain_entry *from = chain_entry(context->catalog, job->module, job->stamp.entry);
	const struct chain_entry *to = chain_entry(context->catalog, job->module, job->target);
	uint32_t low = job->stamp.entry < job->target ? job->stamp.entry : job->target;
	uint32_t high = job->stamp.entry < job->target ? job->target : job->stamp.entry;
	uint64_t most = from->size > to->size ? from->size : to->size;
	uint64_t *table, *bits;
	struct image_hash hash;
	if (high - low > NEAR_MAX || !from->size || !to->size || !plan_grows(context, job->module, low, high) ||
	    !pages_load(context, job->module, from, most, &table))
		return 0;
	bits = dirty_begin(context, most);
	if (!bits)
		return 0;
	int r;
	if (job->target > job->stamp.entry) {
		r = forward(context, job, fd, from->size, bits);
	} else {
		r = back_by_undo(context, job, fd, from->size, bits);
		if (r <= 0)
			r = back_by_rebuilding(context, job, most, bits);
	}
	if (r > 0 && s->image.size == to->size && !resize(&s->image, from->size, table, bits))
		rehash(&s->image, table, bits);
	else
		r = 0;
	if (s->image.source >= 0 && s->image.source != fd)
		close(s->image.source);
	s->image.source = -1;
	if (r <= 0)
		return 0; /* whatever is the matter, the long way finds out */
	hash_table(table, to->size, &hash);
	if (!hash_equal(&hash, &to->hash) || map_failed())
		return 0;
	r = job_goes_on(context);
	if (!r && from->size != to->size && !(job->flags & JOB_DRY))
		r = file_resize(fd, to->size, place->dir, place->name);
	if (!r)
		r = write_marked(job, &s->image, fd, place, bits);
	if (r)
		return r;
	if (!(job->flags & JOB_DRY))
		pages_store(context, job->module, table, to->size);
	return 1;
}
