/*
 * image.h - whole images in memory: read, rebuilt from base and deltas, compared with files and written to them.
 *
 * What a worker keeps between jobs is in `struct job_scratch`; images larger than IMAGE_KEEP are given back after each
 * job. A worker has at most two images in memory: the one being built and, while it commits, the one before.
 */
#ifndef ENGINE_IMAGE_H
#define ENGINE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "delta.h"
#include "delta_cache.h"
#include "job.h"
#include "names.h"

/** Memory of an image that is kept from job to job, bytes. */
#define IMAGE_KEEP (64u << 20)
/** Images up to this size are read; larger ones are mapped where mapping serves. */
#define IMAGE_SMALL (4u << 20)
/** Delta files that are read in one batch. */
#define BATCH_FILES 64
/** Bytes of delta files that are read in one batch (but always at least one file). */
#define BATCH_BYTES (8u << 20)

/**
 * Anonymous memory; the bytes from size to the end of its page are zero.
 *
 * A lazy image has only those pages that somebody asked for with image_need(): they are loaded from a file that holds an
 * earlier state. So what touches few pages of a large image costs what it touches.
 */
struct image {
	uint8_t *data; /**< from byte `from` on */
	size_t capacity;
	uint64_t size;
	bool lazy;
	int source; /**< lazy: the file, the caller's; -1: none, pages are put there by others */
	const uint8_t *mapped; /**< lazy: in place of a file, its bytes from byte `from` on */
	uint64_t source_at; /**< lazy: where in the file they begin */
	uint64_t source_size; /**< of its bytes, those that still count: what lies behind was cut off once */
	uint64_t *loaded; /**< lazy: a bit for each page */
	size_t loaded_words;
	uint64_t
	    from; /**< only the bytes [from, to) are of interest: there is memory for no others. Both at the start */
	uint64_t to; /**< of a section, or 0 and DELTA_END */
};

/** image_at() - where byte @at of it is. */
static inline uint8_t *image_at(const struct image *image, uint64_t at)
{
	return image->data + (at - image->from);
}

int image_reserve(struct image *image, uint64_t size);

/** image_resize() - set the size; bytes that are added are zero. */
int image_resize(struct image *image, uint64_t size);
void image_free(struct image *image);

/** image_read() - bytes [at, at + size) of @fd. 0, -EBADMSG (it is shorter), or -errno; the sentence names no file. */
int image_read(int fd, uint8_t *to, size_t size, uint64_t at);

/** image_begin_lazy() - from now on it is @size bytes, of which nothing is loaded. */
int image_begin_lazy(struct image *image, int source, uint64_t source_size, uint64_t size);

/** image_begin_mapped() - as image_begin_lazy(), over bytes in memory, which must stay. */
int image_begin_mapped(struct image *image, const uint8_t *source, uint64_t size);

/** image_begin_shard() - the same, where only the bytes [@from, @to) are of interest; @source: those of them that there
 * are; NULL: there are none. */
int image_begin_shard(struct image *image, const uint8_t *source, uint64_t size, uint64_t from, uint64_t to);

/** image_need() - see to it that these pages are loaded; for an image that is not lazy, nothing. */
int image_need(struct image *image, uint64_t page, uint64_t pages);

/** image_need_runs() - the same for the pages that hold a byte of a run. */
int image_need_runs(struct image *image, const struct runs *runs);

/** image_has() - whether the page is loaded; one that is not lazy has all of its pages. */
static inline bool image_has(const struct image *image, uint64_t page)
{
	return !image->lazy || (image->loaded[page / 64] >> page % 64 & 1);
}

static inline void image_mark(struct image *image, uint64_t page)
{
	image->loaded[page / 64] |= (uint64_t)1 << page % 64;
}

/** Where a file is: its directory and name. */
struct place {
	const struct dir *dir;
	char name[NAME_MAX_SIZE];
};

struct layers;
struct steps;
struct touched;
struct warm;

struct job_scratch {
	struct delta_encoder *encoder;
	struct delta_decoder *decoder;
	struct delta delta;
	struct runs runs;
	struct runs window_runs;
	struct image image;
	struct image old;
	struct buf file;
	struct buf out;
	struct buf tables; /**< page hashes; after image_build(), those of the image */
	struct buf dirty;
	uint64_t merged; /**< making tiers: bytes that the deltas change which one is made of */
	struct steps *steps;
	struct touched *touched; /**< NULL: not used yet */
	struct layers *layers; /**< the same */
	struct warm *warm; /**< NULL: nothing is kept yet */
	struct delta_cache *deltas; /**< NULL: none are kept yet */
	struct read_request requests[BATCH_FILES];
};

/** image_verify() - hash the pages of @image into scratch->tables, and compare with the entry's hash. */
int image_verify(
    struct job_context *context, const struct image *image, const struct chain_entry *entry, const struct place *place);

/** image_table() - room for the page hashes of an image of @size bytes, in scratch->tables. NULL with a sentence. */
uint64_t *image_table(struct job_context *context, uint64_t size);

/** image_build() - rebuild chain entry @target of the job's module in scratch->image, and verify it. Adds to the job's
 * bytes_read and deltas_applied. -EBADMSG names the file. */
int image_build(struct job_context *context, struct job *job, uint32_t target, struct image *image);

/** image_walk() - the same along base and deltas only, checking each step's hash: slow, for verifying and to find the
 * file that is to blame. */
int image_walk(struct job_context *context, struct job *job, uint32_t target, struct image *image);

/** place_image() - the whole image of the newest entry: the base's file, the last's, or, where the last has the base's
 * id, the private copy. */
void place_last(const struct job_context *context, uint32_t module, uint32_t last, struct place *place);
void place_base(const struct job_context *context, uint32_t module, struct place *place);

/** place_whole() - a whole image in a file of its own: that of entry @start, the base (0) or the last. */
void place_whole(const struct job_context *context, uint32_t module, uint32_t start, struct place *place);

/** place_backing() - the backing file. backing_open() - open it to read and write; @make: one that is missing is made
 * again, empty. A descriptor, or -errno. */
void place_backing(const struct dir *base, const struct catalog *catalog, uint32_t module, struct place *place);
int backing_open(
    const struct dir *base, const struct catalog *catalog, uint32_t module, bool make, struct place *place);

/** place_delta() - the delta of entry @index where the chain's newest is @last: in sight, or pending in .varve/. */
void place_delta(
    const struct job_context *context, uint32_t module, uint32_t index, uint32_t last, struct place *place);

/** last_hides() - whether entry @index, being the last, has no name of its own because the base has it. */
bool last_hides(const struct job_context *context, uint32_t module, uint32_t index);

/** image_load() - a whole image file of exactly @size bytes into @image. image_load_at() - @size bytes from @at on, of a
 * file that may have more. */
int image_load(struct job_context *context, const struct place *place, uint64_t size, struct image *image);
int image_load_at(
    struct job_context *context, const struct place *place, uint64_t at, uint64_t size, struct image *image);

/** write_sparse() - write @data at @offset of a file that is zero there, but for its zero pages. Adds to *@written. */
int write_sparse(
    int fd, const uint8_t *data, uint64_t size, uint64_t offset, const struct place *place, uint64_t *written);

/** image_store() - @image as a new private file <ModId>.<suffix>. */
int image_store(struct job_context *context, uint32_t module, const char *suffix, const struct image *image, bool sync);

/** hash_window() - page hashes of a file's bytes [from, from + size), given in @data, into @table at their place; a
 * hole (@hole) costs nothing. @from is a multiple of PAGE_BYTES. */
void hash_window(const uint8_t *data, uint64_t from, uint64_t size, bool hole, uint64_t *table);

/** file_is_hole() - whether [from, from + size) of @fd holds no data. */
bool file_is_hole(int fd, uint64_t from, uint64_t size);

/** delta_elsewhere() - look for the delta of entry @index beside its place; it is in scratch->delta then, its bytes in
 * scratch->out. The sentence of the last error stays. */
bool delta_elsewhere(struct job_context *context, uint32_t module, uint32_t index);

/** delta_load() - append the delta file @place, which leads to @entry, to @b; nothing that is longer than such a delta can be
 * is loaded. 0, -ENOENT without a sentence, -EBADMSG, -ENOMEM or what reading it gives. */
int delta_load(const struct place *place, const struct chain_entry *entry, struct buf *b);

/** delta_matches() - whether @place holds the delta that leads to @entry (its header says so and it is whole). */
bool delta_matches(struct job_context *context, const struct place *place, const struct chain_entry *entry);

#endif
