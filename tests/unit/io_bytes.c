/*
 * io_bytes.c - numbers in byte buffers, and cursors that do not run past an end.
 */
#include <stdint.h>

#include "bytes.h"
#include "io_fixture.h"

Test(bytes, numbers_are_little_endian_whatever_the_machine)
{
	uint8_t b[8];

	put_le64(b, 0x0102030405060708ull);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(b[i], 8 - i);
	cr_assert_eq(get_le64(b), 0x0102030405060708ull);
	cr_assert_eq(get_le32(b), 0x05060708u);
	cr_assert_eq(get_le16(b), 0x0708u);
	put_le32(b, 0xfffefdfcu);
	cr_assert_eq(get_le32(b), 0xfffefdfcu);
	put_le16(b, 0xff80);
	cr_assert_eq(get_le16(b), 0xff80);
}

Test(bytes, what_is_put_is_got_again)
{
	struct buf b = {0};

	buf_u8(&b, 0xff);
	buf_u16(&b, 0x1234);
	buf_u32(&b, 0x89abcdefu);
	buf_u64(&b, UINT64_MAX - 1);
	buf_put(&b, "text", 4);
	struct cursor c = cursor_over(b.data, b.size);
	cr_assert_eq(cursor_u8(&c), 0xff);
	cr_assert_eq(cursor_u16(&c), 0x1234);
	cr_assert_eq(cursor_u32(&c), 0x89abcdefu);
	cr_assert_eq(cursor_u64(&c), UINT64_MAX - 1);
	cr_assert_arr_eq(cursor_take(&c, 4), "text", 4);
	cr_assert(!c.bad && cursor_left(&c) == 0);
	buf_free(&b);
}

/* A parser checks once, after its last field: so all that follows an end must be zero and stay bad. */
Test(bytes, past_the_end_there_are_zeros_and_the_cursor_stays_bad)
{
	uint8_t bytes[3] = {1, 2, 3};
	uint8_t copy[4] = {9, 9, 9, 9};
	struct cursor c = cursor_over(bytes, sizeof(bytes));

	cr_assert_eq(cursor_u32(&c), 0u);
	cr_assert(c.bad);
	cr_assert_eq(cursor_u8(&c), 0, "a byte is left, but the cursor is bad");
	cursor_copy(&c, copy, sizeof(copy));
	cr_assert_eq(get_le32(copy), 0u);
	cr_assert_null(cursor_take(&c, SIZE_MAX));
	cr_assert_eq(cursor_varint(&c), 0u);
}

Test(bytes, varints_hold_every_width_of_number)
{
	for (unsigned shift = 0; shift < 64; shift++) {
		for (uint64_t d = 0; d < 3; d++) {
			struct buf b = {0};
			uint64_t v = ((uint64_t)1 << shift) - 1 + d;
			buf_varint(&b, v);
			struct cursor c = cursor_over(b.data, b.size);
			cr_assert_eq(cursor_varint(&c), v);
			cr_assert(!c.bad && cursor_left(&c) == 0);
			for (size_t cut = 0; cut < b.size; cut++) {
				c = cursor_over(b.data, cut);
				cursor_varint(&c);
				cr_assert(c.bad, "a varint cut to %zu bytes is bad", cut);
			}
			buf_free(&b);
		}
	}
}

/* 65 bits wrapped to 64 would pass every later check of bounds. */
Test(bytes, a_varint_of_more_than_64_bits_is_bad)
{
	uint8_t bytes[11];

	memset(bytes, 0xff, sizeof(bytes));
	bytes[9] = 0x02;
	struct cursor c = cursor_over(bytes, sizeof(bytes));
	cr_assert_eq(cursor_varint(&c), 0u);
	cr_assert(c.bad);
	bytes[9] = 0x81;
	bytes[10] = 0;
	c = cursor_over(bytes, sizeof(bytes));
	cursor_varint(&c);
	cr_assert(c.bad);
	bytes[9] = 0x01;
	c = cursor_over(bytes, sizeof(bytes));
	cr_assert_eq(cursor_varint(&c), UINT64_MAX);
	cr_assert(!c.bad);
}

Test(bytes, a_buffer_grows_in_few_steps_and_keeps_what_it_has)
{
	struct buf b = {0};
	int steps = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		size_t before = b.capacity;
		buf_u32(&b, i);
		steps += b.capacity != before;
	}
	cr_assert_lt(steps, 30);
	cr_assert_eq(b.size, 400000u);
	cr_assert_lt(b.capacity, 1000000u);
	for (uint32_t i = 0; i < 100000; i++)
		cr_assert_eq(get_le32(b.data + 4 * i), i);
	buf_free(&b);
	cr_assert_null(b.data);
	buf_put(&b, "", 0);
	cr_assert(!b.bad);
	cr_assert_not_null(buf_reserve(&b, 0), "NULL would mean that there is no memory");
	buf_free(&b);
}

/* A length from a damaged file, added to what is there, must not wrap round. */
Test(bytes, a_size_that_overflows_makes_the_buffer_bad)
{
	struct buf b = {0};

	buf_u64(&b, 1);
	cr_assert_null(buf_reserve(&b, SIZE_MAX - 3));
	cr_assert(b.bad);
	cr_assert_eq(b.size, 8u);
	buf_free(&b);
}

Test(bytes, without_memory_a_buffer_ignores_what_is_added)
{
	struct buf b = {0};

	buf_u64(&b, 1);
	fixture_fault("alloc:1:ENOMEM");
	cr_assert_null(buf_reserve(&b, 100000));
	cr_assert(b.bad && b.size == 8);
	cr_assert(fixture_says("8 bytes can not grow by 100000"));
	buf_u64(&b, 2);
	cr_assert_eq(b.size, 8u);
	buf_clear(&b);
	buf_u64(&b, 3);
	cr_assert_eq(get_le64(b.data), 3u);
	buf_free(&b);
}
