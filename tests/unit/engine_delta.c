/*
 * engine_delta.c - a delta turns the old image into the new one, whatever the two are.
 */
#include "delta_fixture.h"

TestSuite(delta, .init = codec_open, .fini = codec_close);

/* The example of delta_format.md, byte by byte: files that exist must be readable for ever. */
static const uint8_t example[] = {
    /* magic, version, flags */
    'V',
    'R',
    'V',
    'D',
    0x01,
    0x00,
    /* hash of the new image */
    0xbb,
    0x0e,
    0x90,
    0xa3,
    0xd3,
    0x62,
    0x35,
    0x79,
    0x35,
    0x69,
    0x95,
    0x60,
    0x2b,
    0x02,
    0xde,
    0xc5,
    /* old size 8192, new size 8200, 3 runs, 10 bytes of list */
    0x80,
    0x40,
    0x88,
    0x40,
    0x03,
    0x0a,
    /* gaps 16, 4075, 3803; sizes 5, (zeros) 300, 1 */
    0x10,
    0xeb,
    0x1f,
    0xdb,
    0x1d,
    0x05,
    0x00,
    0xac,
    0x02,
    0x01,
    /* 6 bytes of literals, raw */
    0x18,
    'v',
    'a',
    'r',
    'v',
    'e',
    0x7f,
    /* checksum */
    0xcf,
    0x89,
    0x70,
    0x63,
    0xe5,
    0x87,
    0x21,
    0xc0,
};

static void example_images(uint8_t old[8192], uint8_t new[8200])
{
	memset(old, 0x11, 8192);
	memcpy(new, old, 8192);
	memset(new + 8192, 0, 8);
	memcpy(new + 16, "varve", 5);
	memset(new + 4096, 0, 300);
	new[8199] = 0x7f;
}

Test(delta, the_example_in_the_description_of_the_format_is_read)
{
	static uint8_t old[8192], new[8200];

	example_images(old, new);
	cr_assert_eq(delta_parse(&c.delta, example, sizeof(example)), 0, "%s", err_text());
	uint8_t *window = load_window(old, sizeof(old), sizeof(new));
	cr_assert_eq(delta_apply(c.decoder, &c.delta, window, 0, sizeof(new)), 0);
	cr_assert_arr_eq(window, new, sizeof(new));
	free(window);
}

Test(delta, the_example_in_the_description_of_the_format_is_what_is_written)
{
	static uint8_t old[8192], new[8200];

	example_images(old, new);
	round_trip(old, sizeof(old), new, sizeof(new));
	cr_assert_eq(c.file.size, sizeof(example));
	cr_assert_arr_eq(c.file.data, example, sizeof(example));
}

/* What a contract changes in one call: it must not cost more than a sector in headers and checksums. */
Test(delta, a_few_changed_words_make_a_tiny_file)
{
	static uint8_t old[589824], new[sizeof(old)];

	fill_random(old, sizeof(old));
	memcpy(new, old, sizeof(old));
	for (unsigned i = 0; i < 7; i++)
		fill_random(new + (uint64_t)i * 80000 + 8, 8);
	round_trip(old, sizeof(old), new, sizeof(new));
	cr_assert_lt(c.file.size, 130);
	new[0] ^= 1;
	round_trip(new, sizeof(new), new, sizeof(new));
	cr_assert_lt(c.file.size, 50);
}

Test(delta, empty_images_grow_and_shrink)
{
	static uint8_t image[3 * PAGE_BYTES + 17];

	fill_random(image, sizeof(image));
	round_trip(NULL, 0, NULL, 0);
	round_trip(NULL, 0, image, sizeof(image));
	round_trip(image, sizeof(image), NULL, 0);
	round_trip(NULL, 0, image, 1);
	round_trip(image, 1, NULL, 0);
}

/* The page that an end lies in is where off-by-one errors are. */
Test(delta, images_grow_and_shrink_between_sizes_around_page_ends)
{
	static const uint64_t sizes[] = {1, 4095, 4096, 4097, 8191, 8192, 8193, 20000};
	enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
	static uint8_t old[20000], new[20000];

	fill_random(old, sizeof(old));
	memcpy(new, old, sizeof(old));
	for (unsigned i = 0; i < 50; i++)
		new[next_random() % sizeof(new)] ^= 0x55;
	for (size_t i = 0; i < SIZES; i++)
		for (size_t j = 0; j < SIZES; j++)
			round_trip(old, sizes[i], new, sizes[j]);
}

/* The prefix is made from the old image, of which the bytes beyond the new end may be gone when it is applied. */
Test(delta, shrinking_gives_the_same_whether_the_tail_was_zeroed_before_or_is_after)
{
	static uint8_t old[20000], new[17000];

	fill_random(old, sizeof(old));
	memcpy(new, old + 100, sizeof(new));
	round_trip(old, sizeof(old), new, sizeof(new));
	cr_assert_eq(c.delta.sections[0].mode, DELTA_ZSTD_PREFIX);
	for (int zeroed = 0; zeroed < 2; zeroed++) {
		uint8_t window[sizeof(old)];
		memcpy(window, old, sizeof(old));
		if (zeroed)
			memset(window + sizeof(new), 0, sizeof(old) - sizeof(new));
		cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), 0);
		cr_assert_eq(delta_apply(c.decoder, &c.delta, window, 0, DELTA_SECTION), 0);
		cr_assert_arr_eq(window, new, sizeof(new));
	}
}

/* The old store could not restore a memory that had shrunk and grown again. */
Test(delta, an_image_that_shrinks_and_grows_again_has_zeros_where_it_was_cut)
{
	static uint8_t a[20000], b[9000], z[20000];

	fill_random(a, sizeof(a));
	memcpy(b, a, sizeof(b));
	memcpy(z, a, sizeof(b));
	z[19999] = 1;
	round_trip(a, sizeof(a), b, sizeof(b));
	round_trip(b, sizeof(b), z, sizeof(z));
}

/* Clearing a region must not be stored as the zeros that it consists of. */
Test(delta, a_cleared_region_costs_next_to_nothing)
{
	enum { SIZE = 1 << 20 };
	uint8_t *old = malloc(SIZE), *new = malloc(SIZE);

	cr_assert(old && new);
	fill_random(old, SIZE);
	memcpy(new, old, SIZE);
	memset(new + 1000, 0, 900000);
	round_trip(old, SIZE, new, SIZE);
	cr_assert_eq(c.delta.zeros_count, 1);
	cr_assert_lt(c.file.size, 60);
	new[500000] = 1;
	round_trip(old, SIZE, new, SIZE);
	cr_assert_eq(c.delta.zeros_count, 2);
	cr_assert_lt(c.file.size, 60);
	free(old);
	free(new);
}

Test(delta, bytes_that_do_not_compress_are_stored_as_they_are)
{
	enum { SIZE = 4 << 20 };
	uint8_t *old = calloc(1, SIZE), *new = malloc(SIZE);

	cr_assert(old && new);
	fill_random(new, SIZE);
	round_trip(old, SIZE, new, SIZE);
	cr_assert_lt(c.file.size, SIZE + 200);
	cr_assert_eq(c.delta.sections[0].mode, DELTA_RAW);
	free(old);
	free(new);
}

/* More runs than bytes that changed is what makes a list of runs expensive. */
Test(delta, images_that_change_at_every_nth_byte_survive)
{
	enum { SIZE = 1 << 19 };
	uint8_t *old = malloc(SIZE), *new = malloc(SIZE);

	cr_assert(old && new);
	fill_random(old, SIZE);
	for (size_t step = 2; step < 300; step += step < 12 ? 1 : 57) {
		memcpy(new, old, SIZE);
		for (size_t i = 0; i < SIZE; i += step)
			new[i] ^= (uint8_t)(next_random() | 1);
		round_trip(old, SIZE, new, SIZE);
		cr_assert_lt(c.file.size, SIZE + 200);
	}
	free(old);
	free(new);
}

/* bsdiff did not finish on this one in two minutes. */
Test(delta, one_byte_in_64_MiB_of_zeros)
{
	uint64_t size = 64u << 20;
	uint8_t *old = calloc(1, size), *new = calloc(1, size);
	struct image_hash hash = {{1}};

	cr_assert(old && new);
	new[40000000] = 9;
	cr_assert_eq(diff_images(old, size, new, size, &c.runs), 0);
	cr_assert_eq(delta_encode(c.encoder, old, size, new, size, &c.runs, &hash, 0, &c.file), 0);
	cr_assert_lt(c.file.size, 50);
	cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), 0);
	cr_assert_eq(delta_apply(c.decoder, &c.delta, old, 0, size), 0);
	cr_assert_eq(old[40000000], 9);
	free(old);
	free(new);
}

/* What moved within the changed pages is found where it was: the reason for the prefix. */
Test(delta, pages_that_move_are_not_stored_again)
{
	enum { SIZE = 64 * PAGE_BYTES };
	static uint8_t old[SIZE], new[SIZE];

	fill_random(old, SIZE);
	memcpy(new, old + PAGE_BYTES, SIZE - PAGE_BYTES);
	memcpy(new + SIZE - PAGE_BYTES, old, PAGE_BYTES);
	round_trip(old, SIZE, new, SIZE);
	cr_assert_lt(c.file.size, 2000);
}

/* Several workers each build a part of a large image. */
Test(delta, windows_give_together_what_the_whole_gives)
{
	uint64_t size = 3ull * DELTA_SECTION + 5000;
	uint8_t *old = calloc(1, size), *new = calloc(1, size);

	cr_assert(old && new);
	fill_random(old + DELTA_SECTION - 70000, 140000);
	memcpy(new, old, size);
	fill_random(new + DELTA_SECTION - 5000, 10000); /* across the end of a section */
	memcpy(new + 2 * DELTA_SECTION - 300, old + DELTA_SECTION, 20000);
	new[size - 1] = 3;
	round_trip(old, size, new, size);
	cr_assert_eq(c.delta.sections_count, 4);
	cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), 0);
	for (uint64_t from = 0; from < size; from += DELTA_SECTION) {
		uint64_t to = from + DELTA_SECTION;
		uint64_t part = to < size ? DELTA_SECTION : size - from;
		/* A window's bytes are all that may be read or written. */
		uint8_t *window = malloc(part);
		cr_assert(window);
		memcpy(window, old + from, part);
		cr_assert_eq(delta_apply(c.decoder, &c.delta, window, from, to), 0);
		cr_assert_eq(memcmp(window, new + from, part), 0, "from %lu", (unsigned long)from);
		free(window);
	}
	free(old);
	free(new);
}

/* Contexts and buffers are kept from delta to delta: nothing of one may show in the next. */
Test(delta, a_long_chain_of_random_changes_leads_to_the_last_image)
{
	enum { MOST = 300000, STEPS = 150 };
	static uint8_t old[MOST], new[MOST], window[MOST];
	uint64_t old_size = 0;

	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t new_size = next_random() % 4 ? old_size : next_random() % MOST;
		memcpy(new, old, MOST);
		memset(new + new_size, 0, MOST - new_size);
		for (uint64_t edits = new_size ? next_random() % 40 : 0; edits; edits--) {
			uint64_t at = next_random() % new_size, size = next_random() % 3000,
			         from = next_random() % MOST;
			size = size < new_size - at ? size : new_size - at;
			size = size < MOST - from ? size : MOST - from;
			if (next_random() % 3)
				memmove(new + at, old + from, size);
			else
				fill_random(new + at, size < 64 ? size : 64);
		}
		encode(old, old_size, new, new_size);
		cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), 0);
		cr_assert_eq(delta_apply(c.decoder, &c.delta, window, 0, new_size), 0);
		memset(window + new_size, 0, MOST - new_size);
		cr_assert_eq(memcmp(window, new, MOST), 0, "step %u", step);
		memcpy(old, new, MOST);
		old_size = new_size;
	}
}

/* The level is a matter of the writer's: whoever reads does not need to know it. */
Test(delta, any_level_is_read)
{
	static uint8_t old[100000], new[sizeof(old)];
	struct image_hash hash = {{0}};

	for (size_t i = 0; i < sizeof(old); i++)
		old[i] = (uint8_t)(next_random() % 5);
	memcpy(new, old + 5000, sizeof(old) - 5000);
	for (int level = -3; level <= 19; level += 11) {
		uint8_t window[sizeof(old)];
		memcpy(window, old, sizeof(old));
		cr_assert_eq(diff_images(old, sizeof(old), new, sizeof(new), &c.runs), 0);
		buf_clear(&c.file);
		cr_assert_eq(
		    delta_encode(c.encoder, old, sizeof(old), new, sizeof(new), &c.runs, &hash, level, &c.file), 0);
		cr_assert_eq(delta_parse(&c.delta, c.file.data, c.file.size), 0);
		cr_assert_eq(delta_apply(c.decoder, &c.delta, window, 0, sizeof(window)), 0);
		cr_assert_arr_eq(window, new, sizeof(new));
	}
}

/* delta_encode() appends: what stands before is another file's. */
Test(delta, a_delta_is_appended_to_what_the_buffer_holds)
{
	static uint8_t old[PAGE_BYTES], new[PAGE_BYTES];
	struct image_hash hash = {{0}};

	new[7] = 7;
	buf_put(&c.file, "before", 6);
	cr_assert_eq(diff_images(old, sizeof(old), new, sizeof(new), &c.runs), 0);
	cr_assert_eq(delta_encode(c.encoder, old, sizeof(old), new, sizeof(new), &c.runs, &hash, 0, &c.file), 0);
	cr_assert_arr_eq(c.file.data, "before", 6);
	cr_assert_eq(delta_parse(&c.delta, c.file.data + 6, c.file.size - 6), 0);
}
