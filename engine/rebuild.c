/*
 * rebuild.c - restore without knowing what the backing file holds.
 *
 *   base (or last), mapped      [ a ][ b ][ c ][ d ][ e ][ f ]      hashes of its pages are kept
 *   touched by the steps             [ b'][ c']          [ f']      copied, deltas applied, hashed
 *   image = both                [ a ][ b'][ c'][ d ][ e ][ f']      hash of all hashes: is it the commit's?
 *   backing file, mapped        [ a ][ x ][ c'][ y ][ e ][ z ]      compared page by page
 *   written                          [ b']     [ d ]     [ f']
 *
 * Only pages that a delta touches are in this process's own memory; all others are the whole image's. Their hashes were
 * computed when it was mapped, perhaps long ago, so each is hashed once more when it is compared or written: what gets
 * into a backing file has been hashed in this job, and if a page has changed since, the job starts anew without what
 * is kept.
 */
#include "rebuild.h"

#include <errno.h>

#include "fault.h"
#include "pages.h"
#include "plan.h"

static const uint8_t zero_page[PAGE_BYTES];

static size_t page_size(uint64_t size, uint64_t page)
{
	uint64_t at = page * PAGE_BYTES;
	return size - at < PAGE_BYTES ? (size_t)(size - at) : PAGE_BYTES;
}

/* Whether @page of the image is just that of the whole image it was made of, from its first byte to its last. */
static bool is_source(const struct image *image, const struct whole *whole, uint64_t page)
{
	uint64_t end = page * PAGE_BYTES + page_size(image->size, page);
	return end <= image->source_size && (end % PAGE_BYTES == 0 || end == whole->size) && !image_has(image, page);
}

/* Page hashes of the image into scratch->tables. Pages that are neither touched nor the whole image's (what lies behind its
 * end) are loaded, but for those that are all zero. */
static int make_table(struct image *image, const struct whole *whole, const uint64_t *from, uint64_t *table)
{
	uint64_t pages = pages_of(image->size);
	int r = 0;
	for (uint64_t page = 0; !r && page < pages; page++) {
		if (is_source(image, whole, page)) {
			table[page] = from[page];
		} else if (!image_has(image, page) && page * PAGE_BYTES >= image->source_size) {
			hash_window(zero_page, page * PAGE_BYTES, page_size(image->size, page), true, table);
		} else {
			r = image_need(image, page, 1);
			hash_window(image->data + page * PAGE_BYTES, page * PAGE_BYTES, page_size(image->size, page),
			    false, table);
		}
	}
	return r;
}

/* Where the bytes of @page are; its hash has been checked. NULL: it has another now than it had. */
static const uint8_t *page_bytes(
    const struct image *image, const struct whole *whole, const uint64_t *table, uint64_t page)
{
	if (image_has(image, page))
		return image->data + page * PAGE_BYTES;
	if (!is_source(image, whole, page))
		return zero_page;
	const uint8_t *bytes = whole->map.data + page * PAGE_BYTES;
	return hash64(bytes, page_size(image->size, page)) == table[page] ? bytes : NULL;
}

/* Whether the backing file has @want there; behind its old end it has zeros. */
static bool is_there(const struct map *now, const uint8_t *want, uint64_t page, size_t size)
{
	uint64_t at = page * PAGE_BYTES;
	size_t there = now->size <= at ? 0 : now->size - at < size ? (size_t)(now->size - at) : size;
	return (!there || memcmp(want, now->data + at, there) == 0) &&
	       (there == size || memcmp(want + there, zero_page, size - there) == 0);
}

struct write {
	struct job *job;
	int fd;
	const struct place *place;
	const struct image *image;
};

static int write_pages(const struct write *w, uint64_t start, uint64_t end)
{
	uint64_t at = start * PAGE_BYTES, stop = end * PAGE_BYTES < w->image->size ? end * PAGE_BYTES : w->image->size;
	if (start == end)
		return 0;
	w->job->bytes_written += stop - at;
	if (w->job->flags & JOB_DRY)
		return 0;
	return file_write_at(w->fd, w->image->data + at, (size_t)(stop - at), at, w->place->dir, w->place->name);
}

/* Writes what differs from @now in stretches of adjacent pages. Returns 1, or 0 where a page's hash was not right. */
static int write_changed(
    const struct write *w, struct image *image, const struct whole *whole, const uint64_t *table, const struct map *now)
{
	uint64_t pages = pages_of(image->size), start = 0;
	int r = 0;
	for (uint64_t page = 0; !r && page < pages; page++) {
		const uint8_t *want = page_bytes(image, whole, table, page);
		if (!want)
			return 0;
		if (is_there(now, want, page, page_size(image->size, page))) {
			r = write_pages(w, start, page);
			start = page + 1;
		} else if (want == zero_page) {
			r = image_need(image, page, 1);
		} else if (!image_has(image, page)) {
			memcpy(image->data + page * PAGE_BYTES, want, page_size(image->size, page));
			image_mark(image, page);
		}
	}
	if (!r)
		r = write_pages(w, start, pages);
	return r ? r : 1;
}

/* The image, as far as the steps touch it, in scratch->image; what it was made of in *@whole. Returns 1, 0 or -ENOMEM. */
static int build(struct job_context *context, struct job *job, struct warm_module *kept, struct whole **whole)
{
	struct job_scratch *s = context->scratch;
	uint32_t start;
	int r = plan_rebuild(context, job->module, job->target, s->steps, &start);
	if (r)
		return r;
	*whole = start ? &kept->last : &kept->base;
	if (start ? warm_last(context, kept, job->module) : warm_base(context, kept, job->module))
		return 0;
	if (image_begin_mapped(&s->image, (*whole)->map.data, (*whole)->size, 0, DELTA_END))
		return -ENOMEM;
	job->bytes_read += (*whole)->size;
	return !steps_run(context, job, s->steps, &s->image, false, NULL, NULL);
}

int restore_rebuild(struct job_context *context, struct job *job, int fd, const struct place *place, uint64_t old_size)
{
	struct job_scratch *s = context->scratch;
	const struct chain_entry *to = chain_entry(context->catalog, job->module, job->target);
	struct warm_module *kept = warm_module(context, job->module);
	struct write w = {job, fd, place, &s->image};
	struct whole *whole = NULL;
	struct image_hash hash;
	int r = kept ? build(context, job, kept, &whole) : -ENOMEM;
	if (r <= 0)
		return r;
	const uint64_t *from = warm_table(whole);
	uint64_t *table = image_table(context, to->size);
	if (!from || !table)
		return -ENOMEM;
	r = make_table(&s->image, whole, from, table);
	if (r)
		return r;
	hash_table(table, s->image.size, &hash);
	if (s->image.size != to->size || !hash_equal(&hash, &to->hash) || map_failed())
		return 0;
	r = fault_at("restore.built");
	if (!r && fd >= 0)
		r = warm_backing(kept, fd, old_size < to->size ? old_size : to->size);
	if (!r && fd >= 0 && old_size != to->size && !(job->flags & JOB_DRY))
		r = file_resize(fd, to->size, place->dir, place->name);
	if (!r)
		r = write_changed(&w, &s->image, whole, table, &kept->backing);
	return map_failed() ? 0 : r;
}
