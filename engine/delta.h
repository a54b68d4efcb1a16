/*
 * delta.h - the difference between two images, and its file format (written down in delta_format.md beside this).
 *
 * A delta is cut by address into sections, each with its list of runs and its literals, compressed by zstd with the
 * old bytes of the section's changed pages as prefix. Sections are independent of each other, so that several workers
 * can each build a part of an image, and a reader can skip what it does not need.
 */
#ifndef ENGINE_DELTA_H
#define ENGINE_DELTA_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "hash.h"

/** Bytes [at, at + size) of the new image differ from the old one (which counts as zero beyond its end). */
struct run {
	uint64_t at;
	uint64_t size;
};

/** A growing list of runs, ascending and not touching each other. Zero-initialise it. */
struct runs {
	struct run *list;
	size_t count;
	size_t capacity;
};

void runs_free(struct runs *runs);

/** runs_append() - add the runs of @part, moved by @at bytes, which lie behind those that @runs has; one that begins where
 * the last ends becomes one with it. Returns 0 or -ENOMEM. */
int runs_append(struct runs *runs, const struct runs *part, uint64_t at);

/**
 * diff_images() - find what changed; runs less than 8 bytes apart are joined, and so are those of a page that would have
 * more than 128, which bounds the list to the images' size.
 * What lies in the old image beyond the new size needs no run. @runs is cleared first. Returns 0 or -ENOMEM.
 */
int diff_images(const void *old, uint64_t old_size, const void *new, uint64_t new_size, struct runs *runs);

/** runs_next_pages() - iterate over the changed pages as stretches: from page *@next on, find the next stretch of
 * adjacent pages that hold a byte of a run. *@cursor and *@next start at 0. Returns the number of pages, first one in
 * *@page; 0 at the end. */
uint64_t runs_next_pages(const struct runs *runs, size_t *cursor, uint64_t *next, uint64_t *page);

/** Compression context and scratch memory, kept between deltas. */
struct delta_encoder;
int delta_encoder_open(struct delta_encoder **encoder);
void delta_encoder_close(struct delta_encoder *encoder);

/**
 * delta_encode() - append the delta file that turns @old into @new to @out.
 * @runs   as diff_images() gives them
 * @hash   of the new image, recorded in the delta
 * @level  zstd's level; 0: the default for commits; DELTA_QUICK, DELTA_FAST, DELTA_STORED: larger, and decoded several
 *         times as fast
 * Returns 0, -ENOMEM.
 */
int delta_encode(struct delta_encoder *encoder, const void *old, uint64_t old_size, const void *new, uint64_t new_size,
    const struct runs *runs, const struct image_hash *hash, int level, struct buf *out);

/** Levels of delta_encode() without a prefix, and with matches but no entropy coding of literals; FAST: few matches. */
#define DELTA_QUICK (-1)
#define DELTA_FAST (-50)
/** Not compressed at all: the bytes of runs can be used where they stand. */
#define DELTA_STORED (-1000000)

/** A parsed delta. It points into the bytes it was parsed from. Zero-initialise it; used again for the next delta it
 * keeps its memory. */
struct delta {
	uint64_t old_size;
	uint64_t new_size;
	struct image_hash hash; /**< of the new image */
	struct runs
	    runs; /**< all runs, checked: ascending, not overlapping, within new_size, none across a section's end */
	struct delta_section *sections;
	size_t sections_count;
	size_t sections_capacity;
	size_t *zeros; /**< indices of the runs that are zero bytes and have no literals, ascending */
	size_t zeros_count;
	size_t zeros_capacity;
	struct buf list; /**< the list of runs, unpacked */
	struct ZSTD_DCtx_s *unpacker; /**< made when a packed list is met first */
};

/**
 * delta_parse() - check version, checksum and every bound of a delta file's bytes, and read its runs.
 * Returns 0, -EBADMSG (damaged), -EPROTONOSUPPORT (a later version), -ENOMEM; with a sentence that does not name the
 * file (the caller does, with err_prefix()).
 */
int delta_parse(struct delta *delta, const void *bytes, size_t size);

void delta_free(struct delta *delta);

/** delta_most() - the most bytes that a delta to an image of @new_size bytes can have. */
uint64_t delta_most(uint64_t new_size);

/** Decompression context and scratch memory, kept between deltas. */
struct delta_decoder;
int delta_decoder_open(struct delta_decoder **decoder);
void delta_decoder_close(struct delta_decoder *decoder);

/**
 * delta_apply() - turn bytes [from, to) of the old image into those of the new one, in place.
 *
 * @window  the bytes [from, to) of the image. Of them, only the pages that hold a byte of a run need hold the old
 *          image's bytes (zero beyond old_size); no other page is read or written. The caller zeroes what lies beyond
 *          new_size when the image shrinks.
 * @from    0, or the start of a section of every delta: a multiple of DELTA_SECTION
 * @to      at least new_size, or a multiple of DELTA_SECTION
 *
 * Returns 0, -EBADMSG, -ENOMEM. After an error the window's content is unspecified; nothing outside it was touched.
 */
int delta_apply(struct delta_decoder *decoder, const struct delta *delta, uint8_t *window, uint64_t from, uint64_t to);

/**
 * delta_apply_packed() - the same for an image of which only some pages are in memory, packed together.
 *
 * @packed  pages, one behind the other
 * @places  by page of the image: its place in @packed, from 1. Each page that holds a byte of a run has one, its own.
 *
 * Where the pages of a section lie in the order of the image they are the prefix as they are, and nothing is copied.
 */
int delta_apply_packed(
    struct delta_decoder *decoder, const struct delta *delta, uint8_t *packed, const uint32_t *places);

/** Sections of every delta start at multiples of this many bytes. */
#define DELTA_SECTION (16u << 20)

/** delta_apply()'s @to for the whole of any image. */
#define DELTA_END (UINT64_MAX - DELTA_SECTION + 1)

#endif
