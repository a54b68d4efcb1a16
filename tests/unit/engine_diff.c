/*
 * engine_diff.c - finding what changed. A byte that is missed here is lost for ever; a byte too many costs space only.
 */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "delta_format.h"

static uint64_t state = 1;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Byte by byte: whether the runs are what delta.h says. */
static void check(const uint8_t *old, uint64_t old_size, const uint8_t *new, uint64_t new_size)
{
	struct runs runs = {NULL, 0, 0};
	uint64_t end = 0;
	size_t r = 0;

	cr_assert_eq(diff_images(old, old_size, new, new_size, &runs), 0);
	for (size_t i = 0; i < runs.count; i++) {
		const struct run *run = &runs.list[i];
		cr_assert(run->size > 0 && run->size <= new_size && run->at <= new_size - run->size);
		cr_assert(i == 0 || run->at - end >= RUN_JOIN);
		end = run->at + run->size;
		cr_assert_neq(new[run->at], run->at < old_size ? old[run->at] : 0);
		cr_assert_neq(new[end - 1], end - 1 < old_size ? old[end - 1] : 0);
	}
	for (uint64_t i = 0; i < new_size; i++) {
		while (r < runs.count && runs.list[r].at + runs.list[r].size <= i)
			r++;
		bool covered = r < runs.count && runs.list[r].at <= i;
		cr_assert(covered || new[i] == (i < old_size ? old[i] : 0), "byte %lu", (unsigned long)i);
	}
	runs_free(&runs);
}

Test(diff, equal_images_have_no_runs)
{
	uint8_t image[3 * PAGE_BYTES + 9];
	struct runs runs = {NULL, 0, 0};

	memset(image, 7, sizeof(image));
	cr_assert_eq(diff_images(image, sizeof(image), image, sizeof(image), &runs), 0);
	cr_assert_eq(runs.count, 0);
	cr_assert_eq(diff_images(NULL, 0, NULL, 0, &runs), 0);
	cr_assert_eq(runs.count, 0);
	/* What is cut off needs no run either. */
	cr_assert_eq(diff_images(image, sizeof(image), image, 100, &runs), 0);
	cr_assert_eq(runs.count, 0);
	runs_free(&runs);
}

Test(diff, one_byte_is_found_wherever_it_is)
{
	static uint8_t old[2 * PAGE_BYTES + 77], new[sizeof(old)];
	struct runs runs = {NULL, 0, 0};

	for (size_t i = 0; i < sizeof(old); i++) {
		new[i] = 1;
		cr_assert_eq(diff_images(old, sizeof(old), new, sizeof(new), &runs), 0);
		cr_assert_eq(runs.count, 1, "byte %zu", i);
		cr_assert_eq(runs.list[0].at, i);
		cr_assert_eq(runs.list[0].size, 1);
		new[i] = 0;
	}
	runs_free(&runs);
}

Test(diff, runs_less_than_8_bytes_apart_are_joined_and_no_others)
{
	static uint8_t old[PAGE_BYTES], new[PAGE_BYTES];
	struct runs runs = {NULL, 0, 0};

	for (size_t first = 0; first < 200; first++) {
		for (size_t gap = 1; gap < 12; gap++) {
			new[first] = new[first + 1 + gap] = 1;
			cr_assert_eq(diff_images(old, sizeof(old), new, sizeof(new), &runs), 0);
			cr_assert_eq(runs.count, gap < RUN_JOIN ? 1 : 2, "gap %zu", gap);
			new[first] = new[first + 1 + gap] = 0;
		}
	}
	runs_free(&runs);
}

/* Changes of every density, so that masks of every pattern are read, across sizes that are no multiples of anything. */
Test(diff, no_changed_byte_is_missed_at_any_density)
{
	enum { SIZE = 3 * PAGE_BYTES + 129 };
	static uint8_t old[SIZE], new[SIZE];

	for (unsigned density = 1; density <= 4096; density *= 2) {
		for (unsigned round = 0; round < 8; round++) {
			uint64_t old_size = SIZE - next_random() % 5000, new_size = SIZE - next_random() % 5000;
			for (size_t i = 0; i < SIZE; i++) {
				old[i] = (uint8_t)(next_random() & 3);
				new[i] = next_random() % density ? old[i] : (uint8_t)(next_random() & 3);
			}
			check(old, old_size, new, new_size);
		}
	}
}

Test(diff, what_grows_counts_as_zero_before)
{
	uint8_t old[10] = {1, 2, 3}, new[5000] = {1, 2, 3};
	struct runs runs = {NULL, 0, 0};

	cr_assert_eq(diff_images(old, 10, new, 5000, &runs), 0);
	cr_assert_eq(runs.count, 0);
	new[4999] = 1;
	cr_assert_eq(diff_images(old, 10, new, 5000, &runs), 0);
	cr_assert_eq(runs.count, 1);
	cr_assert_eq(runs.list[0].at, 4999);
	cr_assert_eq(diff_images(NULL, 0, new, 5000, &runs), 0);
	cr_assert_eq(runs.count, 2);
	runs_free(&runs);
}

/* Otherwise a module that writes every ninth byte would make commits need many times its size in memory. */
Test(diff, the_list_is_bounded_by_the_size_of_the_images)
{
	enum { PAGES = 64 };
	uint8_t *old = calloc(PAGES, PAGE_BYTES), *new = calloc(PAGES, PAGE_BYTES);
	struct runs runs = {NULL, 0, 0};

	cr_assert(old && new);
	for (size_t i = 0; i < PAGES * PAGE_BYTES; i += 9)
		new[i] = 1;
	check(old, PAGES * PAGE_BYTES, new, PAGES * PAGE_BYTES);
	cr_assert_eq(diff_images(old, PAGES * PAGE_BYTES, new, PAGES * PAGE_BYTES, &runs), 0);
	cr_assert_leq(runs.count, PAGES * RUNS_PER_PAGE);
	runs_free(&runs);
	free(old);
	free(new);
}

Test(diff, stretches_cover_the_pages_of_all_runs_and_no_others)
{
	enum { PAGES = 64 };
	struct run list[PAGES];

	for (unsigned round = 0; round < 2000; round++) {
		struct runs runs = {list, 0, PAGES};
		bool wanted[PAGES] = {false}, got[PAGES] = {false};
		uint64_t at = next_random() % 20000, start = next_random() % 4, next = start, page, pages;
		size_t cursor = 0;
		while (runs.count < PAGES) {
			uint64_t size = 1 + next_random() % (next_random() % 2 ? 10 : 9000);
			if (at + size > PAGES * PAGE_BYTES)
				break;
			list[runs.count++] = (struct run) {at, size};
			for (uint64_t i = at / PAGE_BYTES; i <= (at + size - 1) / PAGE_BYTES; i++)
				wanted[i] = i >= start;
			at += size + 1 + next_random() % (next_random() % 2 ? 100 : 30000);
		}
		uint64_t end = 0;
		while ((pages = runs_next_pages(&runs, &cursor, &next, &page))) {
			cr_assert(page + pages <= PAGES && (end == 0 || page > end), "stretches that touch are one");
			for (end = page; end < page + pages; end++)
				got[end] = true;
		}
		cr_assert_arr_eq(got, wanted, sizeof(got));
	}
}

/* Large images are compared window by window: a run that goes on in the next window must stay one run, at its place. */
Test(diff, runs_of_windows_are_put_together)
{
	struct runs all = {0}, part = {0};
	uint8_t old[256] = {0}, new[256] = {0};
	memset(new + 100, 1, 60);
	new[250] = 1;
	for (uint64_t at = 0; at < sizeof(new); at += 128) {
		cr_assert_eq(diff_images(old + at, 128, new + at, 128, &part), 0);
		cr_assert_eq(runs_append(&all, &part, at), 0);
	}
	cr_assert_eq(all.count, 2);
	cr_assert(all.list[0].at == 100 && all.list[0].size == 60);
	cr_assert(all.list[1].at == 250 && all.list[1].size == 1);
	runs_free(&all);
	runs_free(&part);
}
