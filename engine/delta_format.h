/*
 * delta_format.h - what the files of the delta codec share: the numbers of the format (delta_format.md) and the parts
 * of it that are computed alike on both sides.
 */
#ifndef ENGINE_DELTA_FORMAT_H
#define ENGINE_DELTA_FORMAT_H

#include "delta.h"

#include <stdbool.h>
#include <string.h>

#define DELTA_MAGIC "VRVD"
#define DELTA_VERSION 1u
#define DELTA_FIXED 22u /* magic, version, flags, image hash */
#define DELTA_FLAGS_AT 5u
#define DELTA_CHECKSUM 8u
#define DELTA_FLAG_LIST_PACKED 1u

/* How a section's literals are stored: the low two bits in front of them. */
enum delta_mode {
	DELTA_RAW = 0,
	DELTA_ZSTD = 1,
	DELTA_ZSTD_PREFIX = 2, /* the old bytes of the section's changed pages are zstd's prefix */
};

/* diff_images() joins runs less than this far apart. */
#define RUN_JOIN 8u

/* ... and all runs of a page that would have more than this many. */
#define RUNS_PER_PAGE 128u

/* A packed list unpacks to at most so many times its bytes, so that few bytes never ask for much memory. */
#define DELTA_LIST_RATIO 256u

/* zstd is made to leave out what the file says already, so a frame starts with these bits all zero: no content size, no
 * checksum, no dictionary. */
#define DELTA_FRAME_DESCRIPTOR 0u

/* The runs [first, first + count) of a delta lie in section [at, at + DELTA_SECTION). */
struct delta_section {
	uint64_t at;
	size_t first;
	size_t count;
	size_t first_zero; /* in delta.zeros: the first that is not before this section */
	size_t literals; /* bytes */
	const uint8_t *stored;
	size_t stored_size;
	enum delta_mode mode;
};

/* What the figures in delta_measurements.md were made with; delta_encoder_open() sets what they recommend. */
struct delta_tuning {
	uint64_t join; /* runs less than this far apart become one; at most PAGE_BYTES, so that no page is added */
	uint64_t zeros; /* a stretch of at least so many zero bytes becomes a run without literals */
	size_t raw; /* so few literals are stored as they are, without trying */
	size_t list_raw; /* the same for the bytes of the list of runs */
	size_t prefix_ratio; /* no prefix if it would be more than so many times the literals; 0: never one */
	int level;
};

struct delta_tuning *delta_encoder_tuning(struct delta_encoder *encoder);

/* A decompression context for frames as the encoder makes them, without magic number; NULL: no memory. */
struct ZSTD_DCtx_s *delta_unpacker_open(void);

/* Whether @stored is one frame of the kind the encoder makes, whole, with nothing behind it. zstd itself would also
 * accept several frames, and dictionaries and checksums that the format has no use for. */
bool delta_frame_is_plain(const uint8_t *stored, size_t size);

/* Most runs are a word or two, for which a call costs more than the copy. */
static inline void delta_copy_run(uint8_t *to, const uint8_t *from, size_t size)
{
	if (size >= 8 && size <= 16) {
		uint64_t head, tail;
		memcpy(&head, from, 8);
		memcpy(&tail, from + size - 8, 8);
		memcpy(to, &head, 8);
		memcpy(to + size - 8, &tail, 8);
	} else if (size >= 4 && size < 8) {
		uint32_t head, tail;
		memcpy(&head, from, 4);
		memcpy(&tail, from + size - 4, 4);
		memcpy(to, &head, 4);
		memcpy(to + size - 4, &tail, 4);
	} else if (size < 4) {
		for (size_t i = 0; i < size; i++)
			to[i] = from[i];
	} else {
		memcpy(to, from, size);
	}
}

/* Makes room for @count runs in all. Returns 0 or -ENOMEM. */
int runs_reserve(struct runs *runs, size_t count);

#endif
