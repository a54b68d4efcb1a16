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
 * Only pages that a delta names are loaded, packed together (touched.h), hashed and written. The hash of the whole image
 * is made of the hashes of all pages: those of s are kept (pages.h), those of the pages that changed are put in their
 * places, and if the result is not the hash of image t nothing is written: then the long way is gone, which trusts
 * nothing.
 */
#include "near.h"

#include "layers.h"
#include "pages.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/** Entries apart at the most; beyond, the long way is hardly longer. */
#define NEAR_MAX 1024u

struct near {
	struct job_context *context;
	struct job *job;
	int fd; /* the backing file */
	const struct place *place;
	const struct chain_entry *from;
	const struct chain_entry *to;
	uint64_t most; /* bytes of the larger of the two */
	struct touched *touched;
	uint64_t *table; /* page hashes: of `from`, then of `to` */
	uint64_t *marks; /* back by rebuilding: a bit for each page in question; else NULL */
	int whole_fd; /* back by rebuilding: what large images begin with; else -1 */
};

/* ---- the three ways: each leaves the pages in near->touched -------------------------------------------------------- */

/* The pages of the backing file as they are. Reading a small file through its mapping saves two calls in three. */
static int begin_at_file(struct near *near)
{
	uint64_t size = near->from->size;
	struct warm_module *kept = size <= WARM_FILE ? warm_module(near->context, near->job->module) : NULL;
	const uint8_t *mapped = kept && warm_backing(kept, near->fd, size) == 0 ? kept->backing.data : NULL;
	return touched_begin(near->touched, mapped, near->fd, size, near->most);
}

/* Applies scratch->delta. */
static int apply(void *arg, struct job_context *context)
{
	struct near *near = arg;
	near->job->deltas_applied++;
	return touched_apply(near->touched, context->scratch->decoder, &context->scratch->delta);
}

/* Each way returns 1, 0 if it does not lead there, or -errno. */
static int forward(struct near *near)
{
	struct job *job = near->job;
	struct steps *steps = near->context->scratch->steps;
	int r = plan_forward(near->context, job->module, job->stamp.entry, job->target, true, steps);
	if (!r && steps->bytes > near->from->size / 2)
		return 0;
	if (!r)
		r = begin_at_file(near);
	if (!r)
		r = steps_pages(near->context, job, steps, apply, near);
	return r ? r : 1;
}

/* Puts the quick undo deltas of entry @from, and of those before it, one above the other, until there are enough, or one
 * is packed. */
static int stack_undo(struct near *near, const struct map *file, uint32_t from, struct layers *layers)
{
	struct job *job = near->job;
	struct delta *delta;
	struct undo undo;
	layers_begin(layers);
	for (uint32_t i = from; i > job->target && (delta = layers_next(layers)); i--) {
		if (!undo_find(near->context, job->module, file, i, &undo))
			return -ENOENT;
		if (undo.form != UNDO_QUICK)
			break;
		int r = job_goes_on(near->context);
		if (!r)
			r = undo_parse(near->context, job->module, file, i, &undo, delta);
		if (r)
			return r;
		if (!layers_push(layers))
			break;
		job->bytes_read += undo.size;
	}
	return 0;
}

/* From entry @from: as many steps as can be taken at once. Returns how many, or -errno. */
static int undo_some(struct near *near, const struct map *file, uint32_t from, struct layers *layers)
{
	struct job_context *context = near->context;
	int r = stack_undo(near, file, from, layers);
	if (!r && layers->count) {
		uint32_t to = from - layers->count;
		r = layers_apply(layers, near->touched, chain_entry(context->catalog, near->job->module, to)->size);
		return r ? r : (int)layers->count;
	}
	if (!r)
		r = undo_load(context, near->job->module, from);
	if (!r)
		r = touched_apply(near->touched, context->scratch->decoder, &context->scratch->delta);
	return r ? r : 1;
}

static int back_by_undo(struct near *near)
{
	struct job *job = near->job;
	struct layers *layers = layers_of(near->context->scratch);
	struct warm_module *kept = warm_module(near->context, job->module);
	const struct map *file = kept ? warm_undo(near->context, kept, job->module) : NULL;
	if (!layers || !file || job->stamp.entry - job->target > UNDO_KEEP)
		return 0;
	int r = begin_at_file(near);
	for (uint32_t from = job->stamp.entry; !r && from > job->target;) {
		int steps = undo_some(near, file, from, layers);
		if (steps <= 0)
			return steps;
		from -= (uint32_t)steps;
		job->deltas_applied += (uint32_t)steps;
	}
	return r ? r : 1;
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

static bool is_marked(const struct near *near, uint64_t page)
{
	return !near->marks || (near->marks[page / 64] >> page % 64 & 1);
}

static uint64_t *marks_begin(struct job_context *context, uint64_t size)
{
	struct buf *b = &context->scratch->dirty;
	size_t bytes = ((size_t)pages_of(size) / 64 + 1) * sizeof(uint64_t);
	buf_clear(b);
	uint64_t *bits = (uint64_t *)(void *)buf_reserve(b, bytes);
	if (bits)
		memset(bits, 0, bytes);
	return bits;
}

static int need_marked(struct near *near)
{
	int r = 0;
	for (uint64_t page = 0; !r && page < pages_of(near->touched->size); page++)
		if (is_marked(near, page))
			r = touched_need(near->touched, page, 1);
	return r;
}

/* The largest image on the way to entry @to from the base. */
static uint64_t largest(const struct near *near, uint32_t to)
{
	uint64_t most = near->most;
	for (uint32_t i = 0; i <= to; i++) {
		uint64_t size = chain_entry(near->context->catalog, near->job->module, i)->size;
		most = size > most ? size : most;
	}
	return most;
}

/* What the steps begin with: of a large image only those pages are read that are asked for. */
static int begin_at_whole(struct near *near)
{
	struct job_context *context = near->context;
	const struct steps *steps = context->scratch->steps;
	uint32_t module = near->job->module;
	uint64_t size = chain_entry(context->catalog, module, steps->start.entry)->size;
	uint64_t most = largest(near, near->job->target);
	struct warm_module *kept = size <= WARM_FILE ? warm_module(context, module) : NULL;
	struct source source;
	struct place place;
	if (kept) {
		int r = warm_source(context, kept, module, steps, &source);
		return r ? r : touched_begin(near->touched, source.data, -1, source.size, most);
	}
	place_source(context, module, &steps->start, &place);
	near->whole_fd = file_open(place.dir, place.name, O_RDONLY);
	int r = near->whole_fd < 0 ? near->whole_fd : touched_begin(near->touched, NULL, near->whole_fd, size, most);
	near->touched->source_at = steps->start.frame;
	return r;
}

static int back_by_rebuilding(struct near *near)
{
	struct job *job = near->job;
	struct job_context *context = near->context;
	struct steps *steps = context->scratch->steps;
	near->marks = marks_begin(context, near->most);
	if (!near->marks)
		return -ENOMEM;
	int r = plan_forward(context, job->module, job->target, job->stamp.entry, true, steps);
	if (!r && steps->bytes > near->most / 2)
		return 0;
	if (!r)
		r = steps_pages(context, job, steps, mark_runs, near->marks);
	if (!r)
		r = plan_rebuild(context, job->module, job->target, WAY_FORWARD, steps);
	if (!r)
		r = begin_at_whole(near);
	if (!r)
		r = steps_pages(context, job, steps, apply, near);
	if (!r)
		r = need_marked(near);
	return r ? r : 1;
}

/* ---- verify, then write ----------------------------------------------------------------------------------------- */

static size_t page_size(const struct near *near, uint64_t page)
{
	uint64_t left = near->to->size - page * PAGE_BYTES;
	return left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
}

/* Puts the pages' hashes into the table, and forgets pages that are what they were, or that nobody has asked for. */
static void rehash(struct near *near)
{
	uint32_t *places = touched_places(near->touched);
	uint64_t hash;
	for (uint64_t page = 0; page < pages_of(near->to->size); page++) {
		if (!places[page])
			continue;
		bool marked = is_marked(near, page);
		if (marked)
			hash_pages(touched_page(near->touched, places[page]), page_size(near, page), &hash);
		if (!marked || hash == near->table[page])
			places[page] = 0;
		else
			near->table[page] = hash;
	}
}

/* Writes pages [page, end), which lie one behind the other. */
static int write_stretch(struct near *near, uint64_t page, uint64_t end)
{
	size_t size = (size_t)(end - 1 - page) * PAGE_BYTES + page_size(near, end - 1);
	near->job->bytes_written += size;
	if (near->job->flags & JOB_DRY)
		return 0;
	return file_write_at(near->fd, touched_page(near->touched, touched_places(near->touched)[page]), size,
	    page * PAGE_BYTES, near->place->dir, near->place->name);
}

static int write_touched(struct near *near)
{
	const uint32_t *places = touched_places(near->touched);
	uint64_t pages = pages_of(near->to->size);
	int r = 0;
	for (uint64_t page = 0; !r && page < pages;) {
		uint64_t start = page++;
		if (!places[start])
			continue;
		while (page < pages && places[page] == places[start] + (page - start))
			page++;
		r = write_stretch(near, start, page);
	}
	return r;
}

/* Pages that are others because the image has another size: the one that one of the two images has in part; and those
 * behind the old end, which are zero where no delta names them, and in the file as soon as it is long enough. */
static int resize(struct near *near)
{
	uint64_t from = near->from->size, to = near->to->size, low = from < to ? from : to;
	int r = 0;
	if (from == to)
		return 0;
	if (low % PAGE_BYTES) {
		r = touched_need(near->touched, low / PAGE_BYTES, 1);
		if (near->marks)
			near->marks[low / PAGE_BYTES / 64] |= (uint64_t)1 << low / PAGE_BYTES % 64;
	}
	uint64_t behind = pages_of(from) * PAGE_BYTES;
	if (to > behind)
		hash_window(NULL, behind, to - behind, true, near->table);
	return r;
}

/* Whether the pages, and the table, are those of near->to now. */
static bool verify(struct near *near)
{
	struct image_hash hash;
	if (near->touched->size != near->to->size || resize(near))
		return false;
	rehash(near);
	hash_table(near->table, near->to->size, &hash);
	return hash_equal(&hash, &near->to->hash) && !map_failed();
}

static int write_all(struct near *near)
{
	bool dry = near->job->flags & JOB_DRY;
	int r = job_goes_on(near->context);
	if (!r && near->from->size != near->to->size && !dry)
		r = file_resize(near->fd, near->to->size, near->place->dir, near->place->name);
	if (!r)
		r = write_touched(near);
	if (!r && !dry)
		pages_store(near->context, near->job->module, near->table, near->to->size);
	return r;
}

int restore_near(struct job_context *context, struct job *job, int fd, const struct place *place)
{
	uint32_t s = job->stamp.entry, t = job->target, low = s < t ? s : t, high = s < t ? t : s;
	struct near near = {.context = context,
	    .job = job,
	    .fd = fd,
	    .place = place,
	    .whole_fd = -1,
	    .from = chain_entry(context->catalog, job->module, s),
	    .to = chain_entry(context->catalog, job->module, t)};
	near.most = near.from->size > near.to->size ? near.from->size : near.to->size;
	near.touched = touched_of(context->scratch);
	if (!near.touched || high - low > NEAR_MAX || !near.from->size || !near.to->size ||
	    !plan_grows(context, job->module, low, high) ||
	    !pages_load(context, job->module, near.from, near.most, &near.table))
		return 0;
	int r = t > s ? forward(&near) : back_by_undo(&near);
	if (t < s && r <= 0 && !context->most)
		r = back_by_rebuilding(&near);
	bool right = r > 0 && verify(&near);
	if (near.whole_fd >= 0)
		close(near.whole_fd);
	if (!right)
		return 0; /* whatever is the matter, the long way finds out */
	r = write_all(&near);
	return r ? r : 1;
}
