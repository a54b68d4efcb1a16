/*
 * delta_encode.c - writes a delta file (delta_format.md).
 *
 * The runs of the diff become pieces: joined where a run of its own would cost more than the bytes between, cut at
 * sections, and cut where the new image is zero for long. Then come the list of pieces, and each section's literals.
 */
#include "delta_format.h"

#include <errno.h>
#include <stdlib.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "err.h"

/* Far enough for a whole section and its prefix; zstd takes less where there is less. */
#define WINDOW_LOG 25

/* Packing has to save one byte in so many, or unpacking is not worth its time. */
#define PAYS_SHARE 16u

struct piece {
	uint64_t at;
	uint64_t size;
	bool zero;
};

struct delta_encoder {
	ZSTD_CCtx *zstd;
	struct piece *pieces;
	size_t pieces_count;
	size_t pieces_capacity;
	struct buf list;
	struct buf literals;
	struct buf prefix;
	struct buf packed;
	struct delta_tuning tuning;
};

/* One delta_encode() call. */
struct encoding {
	struct delta_encoder *encoder;
	const uint8_t *old;
	const uint8_t *new;
	uint64_t prefix_end; /* no page of the prefix reaches further */
	size_t prefix_ratio; /* as in struct delta_tuning */
	bool stored; /* nothing is compressed */
	struct buf *out;
};

struct delta_tuning *delta_encoder_tuning(struct delta_encoder *encoder)
{
	return &encoder->tuning;
}

int delta_encoder_open(struct delta_encoder **encoder)
{
	struct delta_encoder *e = calloc(1, sizeof(*e));

	*encoder = NULL;
	if (!e)
		return fail_sys(ENOMEM, "memory for compressing");
	e->tuning = (struct delta_tuning) {
	    .join = RUN_JOIN, .zeros = 256, .raw = 256, .list_raw = 512, .prefix_ratio = 64, .level = 3};
	e->zstd = ZSTD_createCCtx();
	if (!e->zstd) {
		free(e);
		return fail_sys(ENOMEM, "memory for compressing");
	}
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_format, ZSTD_f_zstd1_magicless);
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_contentSizeFlag, 0);
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_checksumFlag, 0);
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_dictIDFlag, 0);
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_windowLog, WINDOW_LOG);
	*encoder = e;
	return 0;
}

void delta_encoder_close(struct delta_encoder *encoder)
{
	if (!encoder)
		return;
	ZSTD_freeCCtx(encoder->zstd);
	free(encoder->pieces);
	buf_free(&encoder->list);
	buf_free(&encoder->literals);
	buf_free(&encoder->prefix);
	buf_free(&encoder->packed);
	free(encoder);
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

static int add_piece(struct delta_encoder *e, uint64_t at, uint64_t size, bool zero)
{
	if (e->pieces_count == e->pieces_capacity) {
		size_t capacity = e->pieces_capacity ? e->pieces_capacity * 2 : 256;
		struct piece *pieces = realloc(e->pieces, capacity * sizeof(*pieces));
		if (!pieces)
			return fail_sys(ENOMEM, "memory for %zu changed runs", capacity);
		e->pieces = pieces;
		e->pieces_capacity = capacity;
	}
	e->pieces[e->pieces_count++] = (struct piece) {at, size, zero};
	return 0;
}

/* The first stretch of at least @least zero bytes in [at, end); false if there is none. Looks at one word in every half
 * of such a stretch, and at its surroundings only where that is zero. */
static bool find_zeros(const uint8_t *image, uint64_t at, uint64_t end, uint64_t least, struct run *zeros)
{
	for (uint64_t i = at; end - at >= least && i <= end - 8; i += least / 2) {
		uint64_t word, from = i, to = i + 8;
		memcpy(&word, image + i, sizeof(word));
		if (word)
			continue;
		while (from > at && !image[from - 1])
			from--;
		while (to < end && !image[to])
			to++;
		if (to - from >= least) {
			*zeros = (struct run) {from, to - from};
			return true;
		}
	}
	return false;
}

/* [at, end) lies within one section. */
static int cut_zeros(const struct encoding *x, uint64_t at, uint64_t end)
{
	struct delta_encoder *e = x->encoder;
	struct run zeros;
	int r = 0;

	while (!r && find_zeros(x->new, at, end, e->tuning.zeros, &zeros)) {
		if (zeros.at > at)
			r = add_piece(e, at, zeros.at - at, false);
		if (!r)
			r = add_piece(e, zeros.at, zeros.size, true);
		at = zeros.at + zeros.size;
	}
	if (!r && at < end)
		r = add_piece(e, at, end - at, false);
	return r;
}

static int cut_sections(const struct encoding *x, uint64_t at, uint64_t end)
{
	int r = 0;

	while (!r && at < end) {
		uint64_t section_end = at - at % DELTA_SECTION + DELTA_SECTION;
		uint64_t stop = section_end < end ? section_end : end;
		r = cut_zeros(x, at, stop);
		at = stop;
	}
	return r;
}

static int make_pieces(const struct encoding *x, const struct runs *runs)
{
	int r = 0;

	x->encoder->pieces_count = 0;
	for (size_t i = 0; i < runs->count && !r;) {
		uint64_t at = runs->list[i].at, end = at + runs->list[i].size;
		for (i++; i < runs->count && runs->list[i].at - end < x->encoder->tuning.join; i++)
			end = runs->list[i].at + runs->list[i].size;
		r = cut_sections(x, at, end);
	}
	return r;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

/* Compresses into encoder->packed. Returns the size, or 0 if it does not pay (or memory is short: that is no reason to
 * fail when the bytes can be stored as they are). */
static size_t pack(struct delta_encoder *e, const struct buf *from, const struct buf *prefix)
{
	if (from->size < 2 * PAYS_SHARE)
		return 0;
	size_t worth = from->size - from->size / PAYS_SHARE - 1;
	buf_clear(&e->packed);
	uint8_t *to = buf_reserve(&e->packed, worth);
	if (!to)
		return 0;
	ZSTD_CCtx_reset(e->zstd, ZSTD_reset_session_only);
	if (prefix && ZSTD_isError(ZSTD_CCtx_refPrefix(e->zstd, prefix->data, prefix->size)))
		return 0;
	size_t made = ZSTD_compress2(e->zstd, to, worth, from->data, from->size);
	return ZSTD_isError(made) ? 0 : made;
}

/* Gaps first, then sizes: each kind by itself packs better. */
static int put_list(const struct encoding *x, uint8_t *flags)
{
	struct delta_encoder *e = x->encoder;
	uint64_t end = 0;

	buf_clear(&e->list);
	for (size_t i = 0; i < e->pieces_count; i++) {
		buf_varint(&e->list, e->pieces[i].at - end);
		end = e->pieces[i].at + e->pieces[i].size;
	}
	for (size_t i = 0; i < e->pieces_count; i++) {
		if (e->pieces[i].zero)
			buf_u8(&e->list, 0);
		buf_varint(&e->list, e->pieces[i].size);
	}
	if (e->list.bad)
		return -ENOMEM;
	size_t made = e->list.size > e->tuning.list_raw && !x->stored ? pack(e, &e->list, NULL) : 0;
	buf_varint(x->out, e->pieces_count);
	buf_varint(x->out, e->list.size);
	if (made && e->list.size / DELTA_LIST_RATIO <= made) {
		*flags |= DELTA_FLAG_LIST_PACKED;
		buf_varint(x->out, made);
		buf_put(x->out, e->packed.data, made);
	} else {
		buf_put(x->out, e->list.data, e->list.size);
	}
	return 0;
}

/* The old bytes of the pages that pieces [first, end) touch. */
static void gather_prefix(const struct encoding *x, size_t first, size_t end)
{
	struct delta_encoder *e = x->encoder;
	uint64_t done = 0;

	for (size_t i = first; i < end; i++) {
		uint64_t from = e->pieces[i].at / PAGE_BYTES * PAGE_BYTES;
		uint64_t to = (e->pieces[i].at + e->pieces[i].size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
		from = from < done ? done : from;
		to = to > x->prefix_end ? x->prefix_end : to;
		if (from < to) {
			buf_put(&e->prefix, x->old + from, to - from);
			done = to;
		}
	}
}

/* The literals of pieces [first, end), which are those of a section. */
static int put_literals(const struct encoding *x, size_t first, size_t end)
{
	struct delta_encoder *e = x->encoder;
	enum delta_mode mode = DELTA_RAW;
	size_t made = 0;

	buf_clear(&e->literals);
	for (size_t i = first; i < end; i++)
		if (!e->pieces[i].zero)
			buf_put(&e->literals, x->new + e->pieces[i].at, e->pieces[i].size);
	if (e->literals.bad)
		return -ENOMEM;
	if (!e->literals.size)
		return 0;
	if (e->literals.size > e->tuning.raw && !x->stored) {
		buf_clear(&e->prefix);
		if (x->prefix_ratio)
			gather_prefix(x, first, end);
		bool prefix = e->prefix.size && !e->prefix.bad && e->prefix.size / e->literals.size < x->prefix_ratio;
		made = pack(e, &e->literals, prefix ? &e->prefix : NULL);
		if (made)
			mode = prefix ? DELTA_ZSTD_PREFIX : DELTA_ZSTD;
	}
	const struct buf *stored = made ? &e->packed : &e->literals;
	size_t size = made ? made : e->literals.size;
	buf_varint(x->out, (uint64_t)size << 2 | mode);
	buf_put(x->out, stored->data, size);
	return 0;
}

static int put_sections(const struct encoding *x)
{
	const struct delta_encoder *e = x->encoder;
	int r = 0;

	for (size_t i = 0, end; i < e->pieces_count && !r; i = end) {
		uint64_t section = e->pieces[i].at / DELTA_SECTION;
		for (end = i + 1; end < e->pieces_count && e->pieces[end].at / DELTA_SECTION == section;)
			end++;
		r = put_literals(x, i, end);
	}
	return r;
}

int delta_encode(struct delta_encoder *encoder, const void *old, uint64_t old_size, const void *new, uint64_t new_size,
    const struct runs *runs, const struct image_hash *hash, int level, struct buf *out)
{
	uint64_t prefix_end = old_size < new_size ? old_size : new_size;
	size_t prefix_ratio = level < 0 ? 0 : encoder->tuning.prefix_ratio;
	struct encoding x = {encoder, old, new, prefix_end, prefix_ratio, level == DELTA_STORED, out};
	size_t start = out->size;
	uint8_t flags = 0;
	uint8_t checksum[DELTA_CHECKSUM];

	if (!x.stored)
		ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, level ? level : encoder->tuning.level);
	int r = make_pieces(&x, runs);
	if (r)
		return r;
	buf_put(out, DELTA_MAGIC, 4);
	buf_u8(out, DELTA_VERSION);
	buf_u8(out, 0);
	buf_put(out, hash->bytes, sizeof(hash->bytes));
	buf_varint(out, old_size);
	buf_varint(out, new_size);
	r = put_list(&x, &flags);
	if (!r)
		r = put_sections(&x);
	if (!r && !out->bad) {
		out->data[start + DELTA_FLAGS_AT] = flags;
		put_le64(checksum, hash64(out->data + start, out->size - start));
		buf_put(out, checksum, sizeof(checksum));
	}
	if (!r && !out->bad)
		return 0;
	out->size = start;
	return fail_sys(ENOMEM, "memory for a delta");
}
