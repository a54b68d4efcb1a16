/*
 * engine_delta_damage.c - a delta file that is not whole is refused, and one that was made to do harm does none.
 */
#include "delta_fixture.h"

TestSuite(delta_damage, .init = codec_open, .fini = codec_close);

/* A delta that has all parts: a packed list, zeros, packed and raw sections. Kept small: it is damaged at every byte. */
static void make_rich_delta(void)
{
	uint64_t size = DELTA_SECTION + 65536;
	uint8_t *old = calloc(1, size), *new = calloc(1, size);

	cr_assert(old && new);
	for (uint64_t i = 0; i < 65536; i++)
		old[i] = (uint8_t)(i * i >> 8);
	memcpy(new, old, size);
	for (uint64_t i = 0; i < 400; i++)
		new[i * 91] ^= (uint8_t)(i | 1);
	memcpy(new + 40000, old + 1000, 1000);
	memset(new + 50000, 0, 1000);
	fill_random(new + DELTA_SECTION + 5, 20);
	round_trip(old, size, new, size);
	free(old);
	free(new);
	cr_assert_eq(c.file.data[DELTA_FLAGS_AT], DELTA_FLAG_LIST_PACKED);
	cr_assert_geq(c.delta.zeros_count, 1);
	cr_assert_eq(c.delta.sections_count, 2);
	cr_assert_eq(c.delta.sections[0].mode, DELTA_ZSTD_PREFIX);
	cr_assert_eq(c.delta.sections[1].mode, DELTA_RAW);
}

/* Half a delta restored without a word is the worst that can happen. */
Test(delta_damage, truncation_is_detected_at_every_byte)
{
	make_rich_delta();
	for (size_t size = 0; size < c.file.size; size++) {
		uint8_t *part = malloc(size ? size : 1);
		cr_assert(part);
		memcpy(part, c.file.data, size);
		cr_assert_eq(delta_parse(&c.delta, part, size), -EBADMSG, "at %zu", size);
		free(part);
	}
}

Test(delta_damage, every_flipped_bit_is_detected)
{
	make_rich_delta();
	for (size_t i = 0; i < c.file.size; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			c.file.data[i] ^= (uint8_t)(1u << bit);
			cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), -EBADMSG, "byte %zu", i);
			cr_assert_eq(c.delta.runs.count + c.delta.sections_count, 0);
			c.file.data[i] ^= (uint8_t)(1u << bit);
		}
	}
	cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), 0);
}

Test(delta_damage, bytes_behind_the_end_are_detected)
{
	make_rich_delta();
	buf_u8(&c.file, 0);
	cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), -EBADMSG);
	c.file.size -= 1 + DELTA_CHECKSUM;
	buf_u8(&c.file, 0);
	cr_assert_eq(parse_sealed(&c.file), -EBADMSG);
}

/* Whoever goes back to an older Varve must be told that, and not that the file is damaged. */
Test(delta_damage, a_later_version_is_called_a_later_version)
{
	make_rich_delta();
	c.file.data[4] = DELTA_VERSION + 1;
	cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), -EBADMSG);
	c.file.size -= DELTA_CHECKSUM;
	cr_assert_eq(parse_sealed(&c.file), -EPROTONOSUPPORT);
	cr_assert(strstr(err_text(), "version"));
}

Test(delta_damage, what_a_failed_parse_leaves_behind_does_not_show_in_the_next)
{
	make_rich_delta();
	cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size - 1), -EBADMSG);
	cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), 0);
	cr_assert_eq(c.delta.sections_count, 2);
}

/* ---- files with a right checksum -------------------------------------------------------------------------------- */

/* Everything up to the list: an image of @size bytes, @count runs in a list of @list bytes. */
static struct buf *start(uint8_t flags, uint64_t size, uint64_t count, uint64_t list)
{
	static const uint8_t hash[16];

	buf_clear(&c.file);
	buf_put(&c.file, DELTA_MAGIC, 4);
	buf_u8(&c.file, DELTA_VERSION);
	buf_u8(&c.file, flags);
	buf_put(&c.file, hash, sizeof(hash));
	buf_varint(&c.file, size);
	buf_varint(&c.file, size);
	buf_varint(&c.file, count);
	buf_varint(&c.file, list);
	return &c.file;
}

/* One run of @size at @at in an image of @image bytes, with no literals behind it. */
static int parse_run(uint64_t image, uint64_t at, uint64_t size)
{
	struct buf list = {NULL, 0, 0, false};

	buf_varint(&list, at);
	buf_u8(&list, 0);
	buf_varint(&list, size);
	struct buf *file = start(0, image, 1, list.size);
	buf_put(file, list.data, list.size);
	buf_free(&list);
	return parse_sealed(file);
}

Test(delta_damage, runs_beyond_the_image_are_refused_without_overflow)
{
	cr_assert_eq(parse_run(100, 90, 10), 0);
	cr_assert_eq(parse_run(100, 90, 11), -EBADMSG);
	cr_assert_eq(parse_run(100, 101, 1), -EBADMSG);
	cr_assert_eq(parse_run(100, 90, UINT64_MAX), -EBADMSG);
	cr_assert_eq(parse_run(100, 90, UINT64_MAX - 89), -EBADMSG);
	cr_assert_eq(parse_run(100, UINT64_MAX, 1), -EBADMSG);
	cr_assert_eq(parse_run(100, 50, 0), -EBADMSG);
	cr_assert_eq(parse_run(0, 0, 1), -EBADMSG);
}

/* Whoever builds an image in parts would write what is another's. */
Test(delta_damage, a_run_across_sections_is_refused)
{
	cr_assert_eq(parse_run(1ull << 40, DELTA_SECTION - 10, 10), 0);
	cr_assert_eq(parse_run(1ull << 40, DELTA_SECTION - 10, 11), -EBADMSG);
}

Test(delta_damage, impossible_image_sizes_are_refused)
{
	cr_assert_eq(parse_run(1ull << 62, 0, 1), 0);
	cr_assert_eq(parse_run((1ull << 62) + 1, 0, 1), -EBADMSG);
	cr_assert_eq(parse_run(UINT64_MAX, 0, 1), -EBADMSG);
}

/* -ENOMEM would mean that it tried. */
Test(delta_damage, a_few_bytes_do_not_make_anyone_allocate_much)
{
	cr_assert_eq(parse_sealed(start(0, 1ull << 40, 1ull << 40, 1ull << 41)), -EBADMSG);
	cr_assert_eq(parse_sealed(start(0, 1ull << 40, UINT64_MAX, UINT64_MAX)), -EBADMSG);
	cr_assert_eq(parse_sealed(start(0, 1ull << 40, 3, 5)), -EBADMSG);
	struct buf *file = start(0, 1ull << 40, 1ull << 42, 4);
	buf_put(file, "\1\1\1\1", 4);
	cr_assert_eq(parse_sealed(file), -EBADMSG);
	file = start(DELTA_FLAG_LIST_PACKED, 1ull << 40, 1ull << 30, 1ull << 40);
	buf_varint(file, 6);
	buf_put(file, "\0\0\x03\0\x20\0", 6);
	cr_assert_eq(parse_sealed(file), -EBADMSG);
	cr_assert_lt(c.delta.runs.capacity + c.delta.list.capacity, 100000);
}

Test(delta_damage, flags_that_nobody_has_given_a_meaning_are_refused)
{
	for (unsigned flags = 2; flags < 256; flags *= 2)
		cr_assert_eq(parse_sealed(start((uint8_t)flags, 10, 0, 0)), -EBADMSG);
	cr_assert_eq(parse_sealed(start(0, 10, 0, 0)), 0);
}

Test(delta_damage, a_list_with_bytes_left_over_is_refused)
{
	struct buf *file = start(0, 100, 1, 5);

	buf_put(file, "\1\0\2\0\0", 5);
	cr_assert_eq(parse_sealed(file), -EBADMSG);
}

/* A file with one run of 100 bytes at 0, and @stored behind it under @head. */
static int parse_literals(uint64_t head, const char *stored, size_t size)
{
	struct buf *file = start(0, 8192, 1, 2);

	buf_put(file, "\0\x64", 2);
	buf_varint(file, head);
	buf_put(file, stored, size);
	return parse_sealed(file);
}

static int apply(void)
{
	uint8_t *window = calloc(1, 8192);

	cr_assert(window);
	int r = delta_apply(c.decoder, &c.delta, window, 0, 8192);
	free(window);
	return r;
}

Test(delta_damage, sections_whose_lengths_do_not_fit_are_refused)
{
	static const char bytes[200];

	cr_assert_eq(parse_literals(100 << 2 | DELTA_RAW, bytes, 100), 0);
	cr_assert_eq(apply(), 0);
	cr_assert_eq(parse_literals(99 << 2 | DELTA_RAW, bytes, 99), -EBADMSG);
	cr_assert_eq(parse_literals(101 << 2 | DELTA_RAW, bytes, 101), -EBADMSG);
	cr_assert_eq(parse_literals(100 << 2 | DELTA_RAW, bytes, 99), -EBADMSG);
	cr_assert_eq(parse_literals(100 << 2 | DELTA_RAW, bytes, 101), -EBADMSG);
	cr_assert_eq(parse_literals(100 << 2 | 3, bytes, 100), -EBADMSG);
	cr_assert_eq(parse_literals(UINT64_MAX, bytes, 100), -EBADMSG);
	cr_assert_eq(parse_literals(0, bytes, 0), -EBADMSG);
}

/* A frame of one block: zstd's header of two bytes, the block's of three. */

/* What is inside a frame shows only when it is unpacked, into a buffer of the right size. */
Test(delta_damage, a_frame_that_unpacks_to_another_length_is_refused_when_it_is_applied)
{
	/* 100 << 3 | RLE << 1 | last = 0x323 */
	cr_assert_eq(parse_literals(6 << 2 | DELTA_ZSTD, "\0\0\x23\x03\0x", 6), 0);
	cr_assert_eq(apply(), 0);
	cr_assert_eq(parse_literals(6 << 2 | DELTA_ZSTD_PREFIX, "\0\0\x23\x03\0x", 6), 0);
	cr_assert_eq(apply(), 0);
	cr_assert_eq(parse_literals(6 << 2 | DELTA_ZSTD, "\0\0\x1b\x03\0x", 6), 0);
	cr_assert_eq(apply(), -EBADMSG);
	cr_assert_eq(parse_literals(6 << 2 | DELTA_ZSTD, "\0\0\x2b\x03\0x", 6), 0);
	cr_assert_eq(apply(), -EBADMSG);
	/* after a failure the decoder goes on working */
	cr_assert_eq(parse_literals(6 << 2 | DELTA_ZSTD_PREFIX, "\0\0\x23\x03\0x", 6), 0);
	cr_assert_eq(apply(), 0);
}

/* zstd takes more than the format has: old frame formats with decoders of their own, dictionaries, several frames. */
Test(delta_damage, frames_of_other_kinds_are_refused)
{
	cr_assert_eq(parse_literals(8 << 2 | DELTA_ZSTD, "\x27\xb5\x2f\xfd\x23\x03\0x", 8), -EBADMSG); /* zstd 0.7 */
	cr_assert_eq(parse_literals(7 << 2 | DELTA_ZSTD, "\x01\0\1\x23\x03\0x", 7), -EBADMSG); /* dictionary */
	cr_assert_eq(parse_literals(6 << 2 | DELTA_ZSTD, "\x20\x64\x23\x03\0x", 6), -EBADMSG); /* content size */
	cr_assert_eq(parse_literals(12 << 2 | DELTA_ZSTD, "\0\0\x93\x01\0x\0\0\x93\x01\0x", 12), -EBADMSG); /* two */
	cr_assert_eq(parse_literals(7 << 2 | DELTA_ZSTD, "\0\0\x23\x03\0x.", 7), -EBADMSG); /* a byte behind it */
	cr_assert_eq(parse_literals(5 << 2 | DELTA_ZSTD, "\0\0\x23\x03\0", 5), -EBADMSG); /* cut off */
	cr_assert_eq(parse_literals(6 << 2 | DELTA_ZSTD, "\0\0\x22\x03\0x", 6), -EBADMSG); /* no last block */
	cr_assert_eq(parse_literals(1 << 2 | DELTA_ZSTD, "\0", 1), -EBADMSG);
}
