/*
 * rebuild.c - restore without knowing what the backing file holds.
 *
 *   base (or other), mapped     [ a ][ b ][ c ][ d ][ e ][ f ]      hashes of its pages are kept
 *   touched by the steps             [ b'][ c']          [ f']      copied, deltas applied, hashed
 *   image = both                [ a ][ b'][ c'][ d ][ e ][ f']      hash of all hashes: is it the commit's?
 *   backing file, mapped        [ a ][ x ][ c'][ y ][ e ][ z ]      compared page by page
 *   written                          [ b']     [ d ]     [ f']
 *
 * Only pages that a delta touches are in this process's own memory; all others are the whole image's. Their hashes were
 * computed before, perhaps long ago, so each is hashed once more when it is compared or written: what gets into a backing
 * file has been hashed in this job, and if a page has changed since, the job starts anew without what is kept.
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

/* Whether @page of the image is just that of the whole image, from its first byte to its last. */
static bool is_whole(const struct rebuild *b, uint64_t page)
{
	uint64_t end = page * PAGE_BYTES + page_size(b->image->size, page);
	return end <= b->image->source_size && (end % PAGE_BYTES == 0 || end == b->whole_size);
}

/* Where the bytes of @page are: in the image, in the whole image, or in neither, because they are zeros. */
static const uint8_t *find_page(const struct rebuild *b, uint64_t page)
{
	if (image_has(b->image, page))
		return image_at(b->image, page * PAGE_BYTES);
	if (is_whole(b, page) && b->whole)
		return b->whole + (page * PAGE_BYTES - b->at);
	return zero_page;
}

/* Loads a page that the whole image has only in part. */
static int complete(struct rebuild *b, uint64_t page)
{
	bool partly = page * PAGE_BYTES < b->image->source_size && !is_whole(b, page);
	return partly ? image_need(b->image, page, 1) : 0;
}

static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
	static uint64_t zeros;
	if (bytes != zero_page || size != PAGE_BYTES)
		return hash64(bytes, size);
	if (!zeros)
		zeros = hash64(zero_page, PAGE_BYTES);
	return zeros;
}

int rebuild_hash(struct rebuild *b, const uint64_t *known, uint64_t page, uint64_t end)
{
	int r = 0;
	for (; !r && page < end; page++) {
		size_t size = page_size(b->image->size, page);
		r = complete(b, page);
		const uint8_t *bytes = find_page(b, page);
		if (known && !image_has(b->image, page) && is_whole(b, page))
			b->table[page] = known[page];
		else
			b->table[page] = hash_of(bytes, size);
	}
	return r;
}

/* Whether the backing file has @want; it has @there bytes of its own there. */
static bool is_there(const uint8_t *want, size_t size, const uint8_t *now, size_t there)
{
	return (!there || memcmp(want, now, there) == 0) &&
	       (there == size || memcmp(want + there, zero_page, size - there) == 0);
}

/* Writes pages [start, end), all of which are in the image. */
static int write_pages(const struct rebuild *b, uint64_t start, uint64_t end)
{
	uint64_t at = start * PAGE_BYTES, stop = end * PAGE_BYTES < b->image->size ? end * PAGE_BYTES : b->image->size;
	if (start == end)
		return 0;
	b->job->bytes_written += stop - at;
	if (b->job->flags & JOB_DRY)
		return 0;
	return file_write_at(b->fd, image_at(b->image, at), (size_t)(stop - at), at, b->place->dir, b->place->name);
}

int rebuild_write(struct rebuild *b, const uint8_t *now, uint64_t there, uint64_t page, uint64_t end)
{
	uint64_t start = page, first = page * PAGE_BYTES;
	int r = 0;
	for (; page < end; page++) {
		r = complete(b, page);
		if (r)
			return r;
		const uint8_t *want = find_page(b, page);
		size_t size = page_size(b->image->size, page);
		uint64_t offset = page * PAGE_BYTES - first;
		size_t has = !now || there <= offset ? 0 : there - offset < size ? (size_t)(there - offset) : size;
		bool own = image_has(b->image, page);
		if (!(own && b->proven) && hash_of(want, size) != b->table[page])
			return 0;
		if (is_there(want, size, has ? now + offset : NULL, has)) {
			r = write_pages(b, start, page);
			if (r)
				return r;
			start = page + 1;
		} else if (!own) {
			memcpy(image_at(b->image, page * PAGE_BYTES), want, size);
			image_mark(b->image, page);
		}
	}
	r = write_pages(b, start, end);
	return r ? r : 1;
}

/* ---- a whole file at once --------------------------------------------------------------------------------------- */

/* The image, as far as the steps touch it; what it was made of in *@source. Returns 1, 0 or -errno. */
static int build(
    struct job_context *context, struct job *job, enum way way, struct warm_module *kept, struct source *source)
{
	struct job_scratch *s = context->scratch;
	int r = plan_rebuild(context, job->module, job->target, way, s->steps);
	if (r)
		return r;
	if (warm_source(context, kept, job->module, s->steps, source))
		return 0;
	r = image_begin_mapped(&s->image, source->data, source->size);
	if (r)
		return r;
	job->bytes_read += source->size;
	r = steps_run(context, job, s->steps, &s->image, false, NULL, NULL);
	return r == -ECANCELED ? r : !r;
}

/* The page hashes, and whether they are those of the image that it should be. */
static int verify(struct job_context *context, struct rebuild *b, struct source *source, const struct chain_entry *to)
{
	const uint64_t *known = warm_table(source);
	struct image_hash hash;
	b->table = image_table(context, b->image->size);
	if (!known || !b->table)
		return -ENOMEM;
	int r = rebuild_hash(b, known, 0, pages_of(b->image->size));
	if (r)
		return r;
	b->proven = true;
	hash_table(b->table, b->image->size, &hash);
	return b->image->size == to->size && hash_equal(&hash, &to->hash) && !map_failed();
}

/* Whoever builds the whole image looks at a keyframe's bytes, and not at its hashes: if those are wrong, it would stay. */
static void blame_frame(struct job_context *context, struct job *job)
{
	const struct steps *steps = context->scratch->steps;
	struct place place;
	if (!steps->start.frame || frame_whole(context, job->module, steps->tiers, &steps->start))
		return;
	place_tiers(context, job->module, &place);
	job->tiers_gone = file_unlink(place.dir, place.name) == 0;
}

/* Where all of this is on disk yet, it is better read at once than bit by bit as it is looked at. Planning sees to what it
 * finds in the file of tiers. */
static void read_ahead(
    struct job_context *context, const struct job *job, struct warm_module *kept, int fd, uint64_t there)
{
	const struct map *tiers = warm_tiers(context, kept, job->module);
	struct start start;
	if (fd >= 0)
		warm_backing(kept, fd, there);
	if (!tiers || !frame_find(context, job->module, tiers, job->target, &start))
		warm_base(context, kept, job->module);
}

int restore_rebuild(struct job_context *context, struct job *job, int fd, const struct place *place, uint64_t old_size)
{
	struct job_scratch *s = context->scratch;
	const struct chain_entry *to = chain_entry(context->catalog, job->module, job->target);
	struct warm_module *kept = warm_module(context, job->module);
	struct source source;
	uint64_t there = old_size < to->size ? old_size : to->size;
	if (kept && !kept->base.map.data && !kept->tiers.data)
		read_ahead(context, job, kept, fd, there);
	int r = kept ? build(context, job, WAY_ANY, kept, &source) : -ENOMEM;
	if (!r && plan_other(s->steps) == WAY_FORWARD)
		r = build(context, job, WAY_FORWARD, kept, &source);
	if (r <= 0)
		return r;
	struct rebuild b = {
	    .job = job, .image = &s->image, .whole_size = source.size, .whole = source.data, .fd = fd, .place = place};
	r = verify(context, &b, &source, to);
	if (!r)
		blame_frame(context, job);
	if (r <= 0)
		return r;
	r = fault_at("restore.built");
	if (!r && fd >= 0)
		r = warm_backing(kept, fd, there);
	if (!r)
		r = job_goes_on(context); /* from here on there is no way back */
	if (!r && fd >= 0 && old_size != to->size && !(job->flags & JOB_DRY))
		r = file_resize(fd, to->size, place->dir, place->name);
	if (!r)
		r = rebuild_write(&b, fd >= 0 ? kept->backing.data : NULL, there, 0, pages_of(to->size));
	return map_failed() ? 0 : r;
}
