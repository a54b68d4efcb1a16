/*
 * delta.c - reads the frame of a delta file (delta_format.md): everything but the literals.
 *
 * The bytes come from a disk and may be anything. Nothing is used before the checksum over all of them was right, and
 * then nothing is trusted all the same: a file can be hostile and have a right checksum. What is allocated is bounded
 * by bytes that are there: a run takes two of them or more, and a packed list unpacks to DELTA_LIST_RATIO times its
 * bytes at most. Sums can not overflow, because sizes are limited to SIZE_LIMIT and each run is compared with what is
 * left, not with where it would end.
 */
#include "delta_format.h"

#include <errno.h>
#include <stdlib.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "err.h"

#define SIZE_LIMIT ((uint64_t)1 << 62)
#define VARINT_MOST 10u

static int damaged(const char *what)
{
	return fail(
	    EBADMSG, "damaged delta: %s; the commits that are built on it can not be restored from this file", what);
}

struct ZSTD_DCtx_s *delta_unpacker_open(void)
{
	ZSTD_DCtx *zstd = ZSTD_createDCtx();

	if (zstd)
		ZSTD_DCtx_setParameter(zstd, ZSTD_d_format, ZSTD_f_zstd1_magicless);
	return zstd;
}

bool delta_frame_is_plain(const uint8_t *stored, size_t size)
{
	struct cursor c = cursor_over(stored, size);
	bool last = false;

	if (cursor_u8(&c) != DELTA_FRAME_DESCRIPTOR)
		return false;
	cursor_u8(&c); /* zstd's window: it makes no difference where all is unpacked at once */
	while (!last && !c.bad) {
		/* A block's header: whether it is the last, two bits of kind, and its size (1: one byte repeated). */
		uint32_t header = cursor_u16(&c);
		header |= (uint32_t)cursor_u8(&c) << 16;
		last = header & 1;
		cursor_take(&c, (header >> 1 & 3) == 1 ? 1 : header >> 3);
	}
	return !c.bad && cursor_left(&c) == 0;
}

/* ---- the list of runs ------------------------------------------------------------------------------------------- */

/* Unpacks the list that @c is at, if it is packed; *@list is over its bytes then. */
static int open_list(struct delta *delta, struct cursor *c, bool packed, uint64_t size, struct cursor *list)
{
	uint64_t stored = packed ? cursor_varint(c) : size;
	const uint8_t *bytes = cursor_take(c, stored);

	if (!bytes)
		return damaged("its list of changes is cut off");
	if (!packed) {
		*list = cursor_over(bytes, (size_t)size);
		return 0;
	}
	if (size / DELTA_LIST_RATIO > stored || !delta_frame_is_plain(bytes, (size_t)stored))
		return damaged("its list of changes is not well formed");
	if (!delta->unpacker)
		delta->unpacker = delta_unpacker_open();
	buf_clear(&delta->list);
	uint8_t *to = delta->unpacker ? buf_reserve(&delta->list, (size_t)size) : NULL;
	if (!to)
		return fail_sys(ENOMEM, "memory for a delta's list of changes");
	if (ZSTD_decompressDCtx(delta->unpacker, to, (size_t)size, bytes, (size_t)stored) != size)
		return damaged("its list of changes can not be unpacked");
	*list = cursor_over(to, (size_t)size);
	return 0;
}

/* Nearly all numbers of a list have one byte. */
static inline uint64_t list_number(struct cursor *c)
{
	if (c->at < c->end && *c->at < 0x80)
		return *c->at++;
	return cursor_varint(c);
}

static int add_zero(struct delta *delta, size_t index)
{
	if (delta->zeros_count == delta->zeros_capacity) {
		size_t capacity = delta->zeros_capacity ? delta->zeros_capacity * 2 : 64;
		size_t *zeros = realloc(delta->zeros, capacity * sizeof(*zeros));
		if (!zeros)
			return fail_sys(ENOMEM, "memory for a delta's list of changes");
		delta->zeros = zeros;
		delta->zeros_capacity = capacity;
	}
	delta->zeros[delta->zeros_count++] = index;
	return 0;
}

/* All gaps stand in front of all sizes, so gaps wait in `at` until their sizes are known. */
static int read_runs(struct delta *delta, struct cursor *list, size_t count)
{
	struct run *runs = delta->runs.list;
	uint64_t end = 0;
	int r = 0;

	for (size_t i = 0; i < count; i++)
		runs[i].at = list_number(list);
	for (size_t i = 0; i < count && !r; i++) {
		uint64_t size = list_number(list);
		if (!size && !list->bad) {
			size = list_number(list);
			r = add_zero(delta, i);
		}
		uint64_t left = delta->new_size - end;
		if (!size || runs[i].at > left || size > left - runs[i].at)
			return damaged("a change lies beyond the image's end");
		runs[i].at += end;
		runs[i].size = size;
		end = runs[i].at + size;
		if (runs[i].at / DELTA_SECTION != (end - 1) / DELTA_SECTION)
			return damaged("a change lies across sections");
	}
	if (!r && (list->bad || cursor_left(list)))
		return damaged("its list of changes has the wrong length");
	delta->runs.count = count;
	return r;
}

static int read_list(struct delta *delta, struct cursor *c, bool packed)
{
	struct cursor list = {NULL, NULL, true};
	uint64_t count = cursor_varint(c), size = cursor_varint(c);

	if (count > size / 2)
		return damaged("it has more changes than bytes for them");
	int r = open_list(delta, c, packed, size, &list);
	if (!r)
		r = runs_reserve(&delta->runs, (size_t)count);
	if (!r)
		r = read_runs(delta, &list, (size_t)count);
	return r;
}

/* ---- sections --------------------------------------------------------------------------------------------------- */

static int add_section(struct delta *delta, const struct delta_section *section)
{
	if (delta->sections_count == delta->sections_capacity) {
		size_t capacity = delta->sections_capacity ? delta->sections_capacity * 2 : 8;
		struct delta_section *sections = realloc(delta->sections, capacity * sizeof(*sections));
		if (!sections)
			return fail_sys(ENOMEM, "memory for %zu sections of a delta", capacity);
		delta->sections = sections;
		delta->sections_capacity = capacity;
	}
	delta->sections[delta->sections_count++] = *section;
	return 0;
}

/* The runs of the section that run @first lies in. */
static struct delta_section measure_section(const struct delta *delta, size_t first, size_t *zero)
{
	const struct run *runs = delta->runs.list;
	uint64_t at = runs[first].at - runs[first].at % DELTA_SECTION;
	struct delta_section s = {.at = at, .first = first, .first_zero = *zero};

	for (size_t i = first; i < delta->runs.count && runs[i].at - at < DELTA_SECTION; i++, s.count++) {
		if (*zero < delta->zeros_count && delta->zeros[*zero] == i)
			(*zero)++;
		else
			s.literals += (size_t)runs[i].size;
	}
	return s;
}

static int read_literals(struct cursor *c, struct delta_section *s)
{
	uint64_t head = cursor_varint(c);

	s->mode = (enum delta_mode)(head & 3);
	if (head >> 2 > s->literals || s->mode > DELTA_ZSTD_PREFIX)
		return damaged("the header of a section is wrong");
	s->stored_size = (size_t)(head >> 2);
	s->stored = cursor_take(c, s->stored_size);
	if (!s->stored)
		return damaged("a section is cut off");
	bool right =
	    s->mode == DELTA_RAW ? s->stored_size == s->literals : delta_frame_is_plain(s->stored, s->stored_size);
	return right ? 0 : damaged("a section's bytes are not well formed");
}

static int read_sections(struct delta *delta, struct cursor *c)
{
	size_t zero = 0;
	int r = 0;

	for (size_t i = 0; i < delta->runs.count && !r;) {
		struct delta_section section = measure_section(delta, i, &zero);
		if (section.literals)
			r = read_literals(c, &section);
		if (!r)
			r = add_section(delta, &section);
		i += section.count;
	}
	return r;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

/* Magic, checksum, version; *@c is over what lies between them and the checksum. */
static int check_frame(const uint8_t *bytes, size_t size, struct cursor *c)
{
	if (size < DELTA_FIXED + DELTA_CHECKSUM)
		return damaged("it is too short");
	if (memcmp(bytes, DELTA_MAGIC, 4))
		return damaged("it does not start as a delta does");
	size -= DELTA_CHECKSUM;
	if (hash64(bytes, size) != get_le64(bytes + size))
		return damaged("its bytes do not have the checksum it ends with");
	if (bytes[4] != DELTA_VERSION)
		return fail(EPROTONOSUPPORT,
		    "delta of format version %u, and this Varve reads version %u; use a newer one", bytes[4],
		    DELTA_VERSION);
	if (bytes[DELTA_FLAGS_AT] & ~DELTA_FLAG_LIST_PACKED)
		return damaged("it has flags that this version does not have");
	*c = cursor_over(bytes + DELTA_FIXED, size - DELTA_FIXED);
	return 0;
}

int delta_parse(struct delta *delta, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	struct cursor c = {NULL, NULL, true};

	delta->runs.count = delta->sections_count = delta->zeros_count = 0;
	delta->old_size = delta->new_size = 0;
	int r = check_frame(p, size, &c);
	if (r)
		return r;
	memcpy(delta->hash.bytes, p + DELTA_FIXED - sizeof(delta->hash.bytes), sizeof(delta->hash.bytes));
	delta->old_size = cursor_varint(&c);
	delta->new_size = cursor_varint(&c);
	if (c.bad || delta->old_size > SIZE_LIMIT || delta->new_size > SIZE_LIMIT)
		return damaged("its image sizes are impossible");
	r = read_list(delta, &c, p[DELTA_FLAGS_AT] & DELTA_FLAG_LIST_PACKED);
	if (!r)
		r = read_sections(delta, &c);
	if (!r && cursor_left(&c))
		r = damaged("there are bytes behind its end");
	if (r)
		delta->runs.count = delta->sections_count = delta->zeros_count = 0;
	return r;
}

uint64_t delta_most(uint64_t new_size)
{
	/* Of each byte that changes there are three bytes at the most: of a run of one byte with nothing before it the
	 * gap, the size, and its literal, or the mark that it is zero. Beside them, the numbers in front of all that. */
	return 3 * new_size + (new_size / DELTA_SECTION + 1) * VARINT_MOST + DELTA_FIXED + 5 * VARINT_MOST +
	       DELTA_CHECKSUM;
}

void delta_free(struct delta *delta)
{
	runs_free(&delta->runs);
	free(delta->sections);
	free(delta->zeros);
	buf_free(&delta->list);
	ZSTD_freeDCtx(delta->unpacker);
	*delta = (struct delta) {0};
}
