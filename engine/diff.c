/*
 * diff.c - what changed between two images, as runs of bytes.
 *
 * Pages are compared whole first, which goes at memory speed and sorts out nearly all of them. A page that differs is
 * looked at 64 bytes at a time: comparing gives a mask with one bit a byte, and runs are read off the mask.
 */
#include "delta.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "delta_format.h"
#include "err.h"

static const uint8_t zero_page[PAGE_BYTES];

void runs_free(struct runs *runs)
{
	free(runs->list);
	*runs = (struct runs) {NULL, 0, 0};
}

int runs_reserve(struct runs *runs, size_t count)
{
	if (count <= runs->capacity)
		return 0;
	size_t capacity = runs->capacity ? runs->capacity * 2 : 64;
	if (capacity < count)
		capacity = count;
	struct run *list = capacity > SIZE_MAX / sizeof(*list) ? NULL : realloc(runs->list, capacity * sizeof(*list));
	if (!list)
		return fail_sys(ENOMEM, "memory for %zu changed runs", capacity);
	runs->list = list;
	runs->capacity = capacity;
	return 0;
}

int runs_append(struct runs *runs, const struct runs *part, uint64_t at)
{
	for (size_t i = 0; i < part->count; i++) {
		struct run run = {part->list[i].at + at, part->list[i].size};
		struct run *before = runs->count ? &runs->list[runs->count - 1] : NULL;
		if (before && before->at + before->size == run.at) {
			before->size += run.size;
			continue;
		}
		int r = runs_reserve(runs, runs->count + 1);
		if (r)
			return r;
		runs->list[runs->count++] = run;
	}
	return 0;
}

/* One bit for each of 64 bytes: whether they differ. */
static inline uint64_t mask64(const uint8_t *a, const uint8_t *b)
{
	uint64_t mask = 0;
#if defined(__SSE2__)
	for (unsigned i = 0; i < 4; i++) {
		__m128i x = _mm_loadu_si128((const void *)(a + 16 * i));
		__m128i y = _mm_loadu_si128((const void *)(b + 16 * i));
		mask |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) << (16 * i);
	}
	return ~mask;
#else
	for (unsigned i = 0; i < 8; i++) {
		uint64_t x = get_le64(a + 8 * i) ^ get_le64(b + 8 * i);
		/* The top bit of each byte that is not zero, and then those eight bits side by side. */
		x = (((x & 0x7f7f7f7f7f7f7f7full) + 0x7f7f7f7f7f7f7f7full) | x) & 0x8080808080808080ull;
		mask |= ((x >> 7) * 0x0102040810204080ull >> 56) << (8 * i);
	}
	return mask;
#endif
}

/* The run that is being read off the masks; it is added to the list once it is known where it ends. */
struct scan {
	struct runs *runs;
	uint64_t start;
	uint64_t end; /**< start == end: there is none yet */
};

static int scan_close(struct scan *scan)
{
	if (scan->start == scan->end)
		return 0;
	int r = runs_reserve(scan->runs, scan->runs->count + 1);
	if (!r)
		scan->runs->list[scan->runs->count++] = (struct run) {scan->start, scan->end - scan->start};
	return r;
}

static inline int scan_changed(struct scan *scan, uint64_t start, uint64_t end)
{
	if (scan->start != scan->end && start - scan->end < RUN_JOIN) {
		scan->end = end;
		return 0;
	}
	int r = scan_close(scan);
	scan->start = start;
	scan->end = end;
	return r;
}

static int scan_mask(struct scan *scan, uint64_t at, uint64_t mask)
{
	int r = 0;

	if (mask == UINT64_MAX)
		return scan_changed(scan, at, at + 64);
	while (mask && !r) {
		unsigned first = (unsigned)__builtin_ctzll(mask);
		uint64_t from_first = mask >> first;
		unsigned length = (unsigned)__builtin_ctzll(~from_first);
		r = scan_changed(scan, at + first, at + first + length);
		mask = first + length == 64 ? 0 : mask & UINT64_MAX << (first + length);
	}
	return r;
}

/* Makes the runs from @first on, and the one that is being read, one run. A list longer than the bytes that it saves is
 * of no use, and without a limit that of a page that changed everywhere would take more memory than the page. */
static void scan_merge(struct scan *scan, size_t first)
{
	scan->start = scan->runs->list[first].at;
	scan->runs->count = first;
}

/* Bytes [at, at + size) of the image, which are at @a and @b, at most a page. */
static int scan_page(struct scan *scan, uint64_t at, const uint8_t *a, const uint8_t *b, size_t size)
{
	size_t i = 0;
	int r = 0;

	for (; i + 64 <= size && !r; i += 64) {
		uint64_t mask = mask64(a + i, b + i);
		if (mask)
			r = scan_mask(scan, at + i, mask);
	}
	for (; i < size && !r; i++)
		if (a[i] != b[i])
			r = scan_changed(scan, at + i, at + i + 1);
	return r;
}

/* [at, end) of two images, @a NULL: zeros. */
static int scan_range(struct scan *scan, const uint8_t *a, const uint8_t *b, uint64_t at, uint64_t end)
{
	int r = 0;

	while (at < end && !r) {
		uint64_t page_end = at - at % PAGE_BYTES + PAGE_BYTES;
		size_t size = (size_t)((page_end < end ? page_end : end) - at);
		const uint8_t *old = a ? a + at : zero_page;
		if (memcmp(old, b + at, size)) {
			size_t before = scan->runs->count;
			r = scan_page(scan, at, old, b + at, size);
			if (scan->runs->count - before > RUNS_PER_PAGE)
				scan_merge(scan, before);
		}
		at += size;
	}
	return r;
}

int diff_images(const void *old, uint64_t old_size, const void *new, uint64_t new_size, struct runs *runs)
{
	uint64_t common = old_size < new_size ? old_size : new_size;
	struct scan scan = {runs, 0, 0};

	runs->count = 0;
	int r = scan_range(&scan, old, new, 0, common);
	if (!r)
		r = scan_range(&scan, NULL, new, common, new_size);
	return r ? r : scan_close(&scan);
}

uint64_t runs_next_pages(const struct runs *runs, size_t *cursor, uint64_t *next, uint64_t *page)
{
	const struct run *list = runs->list;
	size_t i = *cursor;

	while (i < runs->count && (list[i].at + list[i].size - 1) / PAGE_BYTES < *next)
		i++;
	*cursor = i;
	if (i == runs->count)
		return 0;
	uint64_t first = list[i].at / PAGE_BYTES;
	if (first < *next)
		first = *next;
	uint64_t end = (list[i].at + list[i].size - 1) / PAGE_BYTES + 1;
	/* The run that the stretch ends with may reach further than the next call starts: it is left to be skipped there. */
	while (i + 1 < runs->count && list[i + 1].at / PAGE_BYTES <= end) {
		i++;
		end = (list[i].at + list[i].size - 1) / PAGE_BYTES + 1;
	}
	*cursor = i;
	*next = end;
	*page = first;
	return end - first;
}
