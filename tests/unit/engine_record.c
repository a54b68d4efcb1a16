/*
 * engine_record.c - files of checked records: what a crash cut off is cut off, and damage is never mistaken for it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "err.h"
#include "hash.h"
#include "record.h"

enum { RECORDS = 6, HEAD = 24 };

static struct buf file;
static size_t starts[RECORDS + 1];

static void setup(void)
{
	static const size_t sizes[RECORDS] = {36, 32, 0, 100, 1, 61};
	for (size_t i = 0; i < RECORDS; i++) {
		starts[i] = record_begin(&file, i ? RECORD_COMMIT : RECORD_STORE, 40 + i);
		for (size_t k = 0; k < sizes[i]; k++)
			buf_u8(&file, (uint8_t)(i * 31 + k + 1));
		record_end(&file, starts[i]);
	}
	starts[RECORDS] = file.size;
	cr_assert_not(file.bad);
}

static void teardown(void)
{
	buf_free(&file);
}

TestSuite(record, .init = setup, .fini = teardown);

/* What the reader was given: each payload must be the one that was written in that place. */
static int check(void *arg, enum record_type type, uint64_t sequence, struct cursor *payload)
{
	size_t i = (*(size_t *)arg)++;
	cr_assert_lt(i, RECORDS);
	cr_assert_eq(type, i ? RECORD_COMMIT : RECORD_STORE);
	cr_assert_eq(sequence, 40 + i);
	cr_assert_eq(cursor_left(payload), starts[i + 1] - starts[i] - HEAD - 8);
	for (size_t k = 0; cursor_left(payload); k++)
		cr_assert_eq(cursor_u8(payload), (uint8_t)(i * 31 + k + 1));
	return 0;
}

static int read_bytes(const void *bytes, size_t size, struct record_scan *scan)
{
	size_t seen = 0;
	int ret = record_read(bytes, size, check, &seen, scan);
	if (!ret) {
		cr_assert_eq(scan->records, seen);
		cr_assert_eq(scan->good, starts[seen]);
		cr_assert_eq(scan->good + scan->torn, size);
		cr_assert(seen == 0 || scan->sequence == 39 + seen);
	}
	return ret;
}

/* The record that position @at belongs to. */
static size_t record_at(size_t at)
{
	size_t i = 0;
	while (starts[i + 1] <= at)
		i++;
	return i;
}

static void expect_offset(size_t offset)
{
	char text[64];
	snprintf(text, sizeof(text), "at offset %zu: ", offset);
	cr_assert_not_null(strstr(err_text(), text), "\"%s\" lacks \"%s\"", err_text(), text);
}

/* Give the head at @at a checksum that fits, as whoever makes a file up does. */
static void seal(uint8_t *bytes, size_t at)
{
	put_le64(bytes + at + 16, hash64(bytes + at, 16));
	size_t length = get_le32(bytes + at);
	put_le64(bytes + at + HEAD + length, hash64(bytes + at, HEAD + length));
}

Test(record, what_was_written_is_read)
{
	struct record_scan scan;
	cr_assert_eq(read_bytes(file.data, file.size, &scan), 0, "%s", err_text());
	cr_assert_eq(scan.records, RECORDS);
	cr_assert_eq(scan.torn, 0);
	cr_assert_eq(read_bytes(file.data, 0, &scan), 0);
	cr_assert_eq(scan.records, 0);
}

/* A crash can end an append after any byte; what was whole before must still be read, and nothing more. */
Test(record, a_file_cut_anywhere_is_read_up_to_its_last_whole_record)
{
	for (size_t size = 0; size < file.size; size++) {
		struct record_scan scan;
		uint8_t *cut = malloc(size + 1); /* so that a sanitizer sees a step beyond */
		memcpy(cut, file.data, size);
		cr_assert_eq(read_bytes(cut, size, &scan), 0, "cut at %zu: %s", size, err_text());
		cr_assert_eq(scan.records, record_at(size));
		free(cut);
	}
}

/* A file system may have lengthened the file, but not written all of the data, when the power went. */
Test(record, a_file_whose_end_is_zeros_is_read_up_to_its_last_whole_record)
{
	uint8_t *bytes = malloc(file.size + 200);
	for (size_t from = 0; from <= file.size; from++) {
		for (size_t more = 0; more <= 200; more += 25) {
			struct record_scan scan;
			memcpy(bytes, file.data, file.size);
			memset(bytes + from, 0, file.size + more - from);
			cr_assert_eq(
			    read_bytes(bytes, file.size + more, &scan), 0, "zero from %zu: %s", from, err_text());
			cr_assert_geq(scan.records, record_at(from ? from - 1 : 0));
			cr_assert_leq(scan.good, from + 8); /* a checksum may have ended in zeros by itself */
		}
	}
	free(bytes);
}

/* Bits rot. What is not whole may be left out only at the very end, where a crash may have cut it off as well. */
Test(record, a_damaged_byte_is_an_error_or_the_torn_end_but_never_overlooked)
{
	static const uint8_t damages[] = {0x01, 0x80, 0xff, 0x5a};
	for (size_t at = 0; at < file.size; at++) {
		for (size_t d = 0; d < sizeof(damages); d++) {
			struct record_scan scan;
			size_t hit = record_at(at);
			file.data[at] ^= damages[d];
			int ret = read_bytes(file.data, file.size, &scan);
			file.data[at] ^= damages[d];
			if (ret == 0) {
				cr_assert_eq(hit, RECORDS - 1, "damage at %zu was overlooked", at);
				cr_assert_geq(at, starts[hit] + HEAD, "a damaged head at %zu was cut off", at);
				cr_assert_eq(scan.records, RECORDS - 1);
			} else {
				cr_assert_eq(ret, -EBADMSG);
				expect_offset(starts[hit]);
			}
		}
	}
}

/* Were a length believed without a checksum of its own, a damaged one would pass for a record that the file's end has
 * cut off, and all behind it would go without a word. */
Test(record, a_damaged_length_does_not_cut_off_the_records_behind_it)
{
	for (size_t i = 0; i < RECORDS; i++) {
		for (unsigned bit = 0; bit < 32; bit++) {
			struct record_scan scan;
			uint8_t *at = file.data + starts[i];
			uint32_t length = get_le32(at);
			put_le32(at, length ^ 1u << bit);
			cr_assert_eq(read_bytes(file.data, file.size, &scan), -EBADMSG);
			cr_assert_eq(scan.good, starts[i]);
			expect_offset(starts[i]);
			put_le32(at, length);
		}
	}
}

Test(record, records_of_a_type_or_version_to_come_are_not_guessed_at)
{
	struct record_scan scan;
	put_le16(file.data + starts[2] + 4, RECORD_CURRENT + 1);
	seal(file.data, starts[2]);
	cr_assert_eq(read_bytes(file.data, file.size, &scan), -EPROTONOSUPPORT);
	expect_offset(starts[2]);
	put_le16(file.data + starts[2] + 4, RECORD_COMMIT);
	put_le16(file.data + starts[2] + 6, 2);
	seal(file.data, starts[2]);
	cr_assert_eq(read_bytes(file.data, file.size, &scan), -EPROTONOSUPPORT);
	put_le16(file.data + starts[2] + 4, 0);
	put_le16(file.data + starts[2] + 6, 1);
	seal(file.data, starts[2]);
	cr_assert_eq(read_bytes(file.data, file.size, &scan), -EPROTONOSUPPORT);
}

static int take(void *arg, enum record_type type, uint64_t sequence, struct cursor *payload)
{
	(void)type, (void)sequence, (void)payload;
	++*(size_t *)arg;
	return 0;
}

static void expect_order(const uint64_t *sequences, int expected)
{
	struct record_scan scan;
	struct buf b = {0};
	for (size_t i = 0; i < 4; i++)
		record_end(&b, record_begin(&b, i ? RECORD_MODULE : RECORD_STORE, sequences[i]));
	size_t seen = 0;
	cr_assert_eq(record_read(b.data, b.size, take, &seen, &scan), expected, "%llu %llu %llu %llu",
	    (unsigned long long)sequences[0], (unsigned long long)sequences[1], (unsigned long long)sequences[2],
	    (unsigned long long)sequences[3]);
	buf_free(&b);
}

/* A record that is missing, or there twice, makes another history of those behind it. */
Test(record, a_gap_or_a_repetition_in_the_numbers_is_damage)
{
	expect_order((uint64_t[]) {0, 1, 2, 3}, 0);
	expect_order((uint64_t[]) {7, 9, 10, 11}, 0); /* a journal's first record may be older than the journal */
	expect_order((uint64_t[]) {7, 7, 8, 9}, -EBADMSG);
	expect_order((uint64_t[]) {7, 6, 7, 8}, -EBADMSG);
	expect_order((uint64_t[]) {0, 1, 3, 4}, -EBADMSG);
	expect_order((uint64_t[]) {0, 1, 2, 2}, -EBADMSG);
	expect_order((uint64_t[]) {UINT64_MAX, 0, 1, 2}, -EBADMSG);
	expect_order((uint64_t[]) {UINT64_MAX - 2, UINT64_MAX - 1, UINT64_MAX, 0}, -EBADMSG);
}

Test(record, the_first_record_says_what_the_file_is_and_no_other_does)
{
	struct record_scan scan;
	put_le16(file.data + starts[0] + 4, RECORD_COMMIT);
	seal(file.data, starts[0]);
	cr_assert_eq(read_bytes(file.data, file.size, &scan), -EBADMSG);
	put_le16(file.data + starts[0] + 4, RECORD_STORE);
	seal(file.data, starts[0]);
	put_le16(file.data + starts[3] + 4, RECORD_STORE);
	seal(file.data, starts[3]);
	cr_assert_eq(read_bytes(file.data, file.size, &scan), -EBADMSG);
	expect_offset(starts[3]);
}

static int refuse(void *arg, enum record_type type, uint64_t sequence, struct cursor *payload)
{
	(void)arg, (void)payload, (void)type;
	return sequence == 42 ? fail(EOVERFLOW, "the third is too much") : 0;
}

Test(record, what_a_reader_objects_to_is_reported_with_its_place)
{
	struct record_scan scan;
	cr_assert_eq(record_read(file.data, file.size, refuse, NULL, &scan), -EOVERFLOW);
	cr_assert_eq(scan.good, starts[2]);
	expect_offset(starts[2]);
	cr_assert_not_null(strstr(err_text(), "the third is too much"));
}

/* The limit is what lets a reader refuse a length before it asks for memory. */
Test(record, a_payload_longer_than_any_reader_takes_is_not_written)
{
	uint8_t none = 0;
	struct buf b = {.data = &none, .size = HEAD + (256u << 20) + 1, .capacity = HEAD + (256u << 20) + 1};
	record_end(&b, 0);
	cr_assert(b.bad);
}

Test(record, without_memory_the_buffer_stays_bad)
{
	struct buf b = {0};
	size_t record = record_begin(&b, RECORD_STORE, 0);
	b.bad = true; /* as if the payload had not fitted */
	size_t size = b.size;
	record_end(&b, record);
	cr_assert(b.bad);
	cr_assert_eq(b.size, size);
	buf_free(&b);
}
