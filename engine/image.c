/*
 * image.c - images in memory, and where their files are.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t round_page(uint64_t size)
{
	return (size_t)((size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1));
}

/* Memory for @want bytes, of an image of @size. What a job gives back at its end is not worth huge pages where few
 * pages of it are touched: each touch would clear one. */
static int reserve(struct image *image, size_t want, uint64_t size, bool sparse)
{
	if (want <= image->capacity)
		return 0;
	void *p = image->data ? mremap(image->data, image->capacity, want, MREMAP_MAYMOVE)
	                      : mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return fail_sys(ENOMEM, "memory for an image of %llu bytes", (unsigned long long)size);
	if (want >= (2u << 20))
		madvise(p, want, sparse && want > IMAGE_KEEP ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	image->data = p;
	image->capacity = want;
	return 0;
}

static int reserve_whole(struct image *image, uint64_t size, bool sparse)
{
	if (size > (UINT64_C(1) << 46))
		return fail(EFBIG, "an image of %llu bytes is larger than any can be", (unsigned long long)size);
	size_t want = round_page(size) + PAGE_BYTES;
	return want <= image->capacity ? 0 : reserve(image, want + want / 4, size, sparse);
}

int image_reserve(struct image *image, uint64_t size)
{
	return reserve_whole(image, size, false);
}

static int begin_lazy(struct image *image, int source, uint64_t source_size, uint64_t size)
{
	size_t words = (size_t)(pages_of(size > source_size ? size : source_size) / 64 + 1);
	if (words > image->loaded_words) {
		uint64_t *loaded = realloc(image->loaded, words * sizeof(*loaded));
		if (!loaded)
			return fail_sys(ENOMEM, "memory for an image");
		image->loaded = loaded;
		image->loaded_words = words;
	}
	memset(image->loaded, 0, image->loaded_words * sizeof(*image->loaded));
	image->size = size;
	image->lazy = true;
	image->source = source;
	image->mapped = NULL;
	image->source_at = 0;
	image->source_size = source_size;
	image->from = 0;
	image->to = DELTA_END;
	return 0;
}

int image_begin_lazy(struct image *image, int source, uint64_t source_size, uint64_t size)
{
	int r = reserve_whole(image, size, true);
	return r ? r : begin_lazy(image, source, source_size, size);
}

int image_begin_mapped(struct image *image, const uint8_t *source, uint64_t size)
{
	int r = image_begin_lazy(image, -1, size, size);
	image->mapped = source;
	return r;
}

int image_begin_shard(struct image *image, const uint8_t *source, uint64_t size, uint64_t from, uint64_t to)
{
	int r = reserve(image, round_page(to - from) + PAGE_BYTES, to - from, false);
	if (!r)
		r = begin_lazy(image, -1, size, size);
	image->mapped = source;
	image->from = from;
	image->to = to;
	return r;
}

int image_read(int fd, uint8_t *to, size_t size, uint64_t at)
{
	while (size) {
		ssize_t n = pread(fd, to, size, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? fail_sys(errno, "reading an image")
			             : fail(EBADMSG, "an image file was cut short");
		to += n;
		at += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* Reads pages [page, page + pages), none of which is loaded. */
static int load(struct image *image, uint64_t page, uint64_t pages)
{
	uint64_t at = page * PAGE_BYTES, end = (page + pages) * PAGE_BYTES;
	uint64_t there = image->source_size < at ? at : image->source_size < end ? image->source_size : end;
	if (image->mapped && there > at)
		memcpy(image_at(image, at), image->mapped + (at - image->from), (size_t)(there - at));
	else if (image->source < 0)
		there = at;
	int r = image->mapped
	            ? 0
	            : image_read(image->source, image_at(image, at), (size_t)(there - at), image->source_at + at);
	if (r)
		return r;
	memset(image_at(image, there), 0, (size_t)(end - there));
	for (uint64_t p = page; p < page + pages; p++)
		image_mark(image, p);
	return 0;
}

int image_need(struct image *image, uint64_t page, uint64_t pages)
{
	if (!image->lazy)
		return 0;
	for (uint64_t p = page; p < page + pages;) {
		uint64_t start = p;
		while (p < page + pages && !image_has(image, p))
			p++;
		int r = p > start ? load(image, start, p - start) : 0;
		if (r)
			return r;
		while (p < page + pages && image_has(image, p))
			p++;
	}
	return 0;
}

int image_need_runs(struct image *image, const struct runs *runs)
{
	size_t cursor = 0;
	uint64_t next = 0, page, pages;
	int r = 0;
	if (!image->lazy)
		return 0;
	uint64_t first = image->from / PAGE_BYTES, end = pages_of(image->to);
	while (!r && (pages = runs_next_pages(runs, &cursor, &next, &page))) {
		uint64_t from = page < first ? first : page, to = page + pages < end ? page + pages : end;
		r = from < to ? image_need(image, from, to - from) : 0;
	}
	return r;
}

/* Pages that are cut off are forgotten: should they come back, they are zero. */
static int resize_lazy(struct image *image, uint64_t size)
{
	size_t words = (size_t)(pages_of(size) / 64 + 1);
	if (words > image->loaded_words) {
		uint64_t *loaded = realloc(image->loaded, words * sizeof(*loaded));
		if (!loaded)
			return fail_sys(ENOMEM, "memory for an image");
		memset(loaded + image->loaded_words, 0, (words - image->loaded_words) * sizeof(*loaded));
		image->loaded = loaded;
		image->loaded_words = words;
	}
	if (size < image->size) {
		for (uint64_t page = pages_of(size); page < pages_of(image->size); page++)
			image->loaded[page / 64] &= ~((uint64_t)1 << page % 64);
		if (size % PAGE_BYTES && image_has(image, size / PAGE_BYTES))
			memset(image_at(image, size), 0, round_page(size) - (size_t)size);
	}
	if (size < image->source_size)
		image->source_size = size;
	image->size = size;
	return 0;
}

int image_resize(struct image *image, uint64_t size)
{
	/* A shard has all the memory that it needs. */
	int r = image->to == DELTA_END ? reserve_whole(image, size, image->lazy) : 0;
	if (r)
		return r;
	if (image->lazy)
		return resize_lazy(image, size);
	size_t end = round_page(size);
	if (size > image->size)
		memset(image->data + image->size, 0, end - image->size);
	else
		memset(image->data + size, 0, end - size);
	image->size = size;
	return 0;
}

void image_free(struct image *image)
{
	if (image->data)
		munmap(image->data, image->capacity);
	free(image->loaded);
	*image = (struct image) {.source = -1};
}

bool last_hides(const struct job_context *context, uint32_t module, uint32_t index)
{
	return index > 0 && id_equal(&chain_entry(context->catalog, module, index)->id,
	                        &chain_entry(context->catalog, module, 0)->id);
}

void place_base(const struct job_context *context, uint32_t module, struct place *place)
{
	place->dir = context->base;
	name_image(
	    place->name, &catalog_module(context->catalog, module)->id, &chain_entry(context->catalog, module, 0)->id);
}

void place_last(const struct job_context *context, uint32_t module, uint32_t last, struct place *place)
{
	const struct varve_id *id = &catalog_module(context->catalog, module)->id;
	if (last_hides(context, module, last)) {
		place->dir = context->priv;
		name_private(place->name, id, "last");
		return;
	}
	place->dir = context->base;
	name_image(place->name, id, &chain_entry(context->catalog, module, last)->id);
}

void place_whole(const struct job_context *context, uint32_t module, uint32_t start, struct place *place)
{
	if (start)
		place_last(context, module, start, place);
	else
		place_base(context, module, place);
}

void place_backing(const struct dir *base, const struct catalog *catalog, uint32_t module, struct place *place)
{
	place->dir = base;
	name_backing(place->name, &catalog_module(catalog, module)->id);
}

int backing_open(const struct dir *base, const struct catalog *catalog, uint32_t module, bool make, struct place *place)
{
	place_backing(base, catalog, module, place);
	int fd = file_open(place->dir, place->name, O_RDWR);
	return fd == -ENOENT && make ? file_create(place->dir, place->name) : fd;
}

void place_delta(const struct job_context *context, uint32_t module, uint32_t index, uint32_t last, struct place *place)
{
	const struct varve_id *id = &catalog_module(context->catalog, module)->id;
	const struct chain_entry *entry = chain_entry(context->catalog, module, index);
	place->dir = context->base;
	name_delta(place->name, id, &entry->id, entry->ordinal);
	if (index == last) {
		/* The last's delta waits in .varve/, unless the last has no file of its own in sight. */
		struct stat st;
		if (last_hides(context, module, index) && file_stat(context->base, place->name, &st) == 0)
			return;
		place->dir = context->priv;
		name_private(place->name, id, "delta");
	}
}

static int load_whole(struct job_context *context, const struct place *place, uint64_t at, uint64_t size, bool exactly,
    struct image *image)
{
	int r = image_reserve(image, size);
	if (r)
		return r;
	image->size = size;
	image->lazy = false;
	image->from = 0;
	image->to = DELTA_END;
	memset(image->data + size, 0, round_page(size) - size);
	struct read_request request = {place->dir, place->name, image->data, size, at, exactly, 0};
	return reader_run(context->reader, &request, 1);
}

int image_load(struct job_context *context, const struct place *place, uint64_t size, struct image *image)
{
	return load_whole(context, place, 0, size, true, image);
}

int image_load_at(
    struct job_context *context, const struct place *place, uint64_t at, uint64_t size, struct image *image)
{
	return load_whole(context, place, at, size, false, image);
}

static bool all_zero(const uint8_t *data, size_t size)
{
	return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

int write_sparse(
    int fd, const uint8_t *data, uint64_t size, uint64_t offset, const struct place *place, uint64_t *written)
{
	uint64_t at = 0;
	while (at < size) {
		uint64_t start = at;
		bool zero = false;
		while (at < size) {
			size_t page = size - at < PAGE_BYTES ? (size_t)(size - at) : PAGE_BYTES;
			zero = all_zero(data + at, page);
			if (zero)
				break;
			at += page;
		}
		if (at > start) {
			int r = file_write_at(
			    fd, data + start, (size_t)(at - start), offset + start, place->dir, place->name);
			if (r)
				return r;
			*written += at - start;
		}
		if (zero)
			at += PAGE_BYTES;
	}
	return 0;
}

int image_store(struct job_context *context, uint32_t module, const char *suffix, const struct image *image, bool sync)
{
	struct place place = {.dir = context->priv};
	name_private(place.name, &catalog_module(context->catalog, module)->id, suffix);
	int fd = file_create(place.dir, place.name);
	if (fd < 0)
		return fd;
	uint64_t written = 0;
	int r = file_resize(fd, image->size, place.dir, place.name);
	if (!r)
		r = write_sparse(fd, image->data, image->size, 0, &place, &written);
	if (!r && sync)
		r = file_sync(fd, place.dir, place.name);
	close(fd);
	if (r)
		file_unlink(place.dir, place.name);
	return r;
}

bool file_is_hole(int fd, uint64_t from, uint64_t size)
{
	off_t data = lseek(fd, (off_t)from, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO; /* no data from here to the end */
	return (uint64_t)data >= from + size;
}

void hash_window(const uint8_t *data, uint64_t from, uint64_t size, bool hole, uint64_t *table)
{
	if (!hole) {
		hash_pages(data, size, table + from / PAGE_BYTES);
		return;
	}
	static const uint8_t zeros[PAGE_BYTES];
	uint64_t full = hash64(zeros, PAGE_BYTES);
	uint64_t *to = table + from / PAGE_BYTES;
	for (; size >= PAGE_BYTES; size -= PAGE_BYTES)
		*to++ = full;
	if (size)
		*to = hash64(zeros, (size_t)size);
}

int delta_load(const struct place *place, const struct chain_entry *entry, struct buf *b)
{
	/* One that was lost and made again, by another version of zstd, has another length than was recorded. */
	uint64_t most = delta_most(entry->size), likely = 16 * entry->delta_bytes + (1u << 20);
	int r = file_load(place->dir, place->name, (size_t)(likely < most ? likely : most), b);
	if (r == -EFBIG)
		return fail(
		    EBADMSG, "%s%s is damaged: it is longer than this delta can be", place->dir->label, place->name);
	return r;
}

bool delta_matches(struct job_context *context, const struct place *place, const struct chain_entry *entry)
{
	struct job_scratch *s = context->scratch;
	buf_clear(&s->file);
	if (delta_load(place, entry, &s->file))
		return false;
	return delta_parse(&s->delta, s->file.data, s->file.size) == 0 && s->delta.new_size == entry->size &&
	       hash_equal(&s->delta.hash, &entry->hash);
}
