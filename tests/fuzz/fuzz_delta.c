/*
 * fuzz_delta.c - any bytes at all are parsed as a delta and, if that works, applied.
 *
 * The last 8 bytes are made the right checksum first, or nothing would ever get past it; as they are, they are tried
 * as well. Only the sections that the delta has get a window, so that images of any size can be claimed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "delta_format.h"
#include "layers.h"

#define SECTIONS_TRIED 4
#define MOST_TRIED (UINT64_C(1) << 30)
#define PAGES_TRIED 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct delta_decoder *decoder;
static struct delta delta;
static struct touched touched;
static struct layers layers;

static void must(bool what)
{
	if (!what)
		abort();
}

/* What delta.h promises of runs that were parsed without an error. */
static void check_runs(void)
{
	uint64_t end = 0;

	for (size_t i = 0; i < delta.runs.count; i++) {
		const struct run *run = &delta.runs.list[i];
		must(run->size && run->at >= end && run->at <= delta.new_size && run->size <= delta.new_size - run->at);
		must(run->at / DELTA_SECTION == (run->at + run->size - 1) / DELTA_SECTION);
		end = run->at + run->size;
	}
}

static void apply(void)
{
	for (size_t i = 0; i < delta.sections_count && i < SECTIONS_TRIED; i++) {
		uint64_t from = delta.sections[i].at, to = from + DELTA_SECTION;
		uint64_t part = delta.new_size - from < DELTA_SECTION ? delta.new_size - from : DELTA_SECTION;
		uint8_t *window = calloc(1, (size_t)part);
		if (!window)
			return;
		(void)delta_apply(decoder, &delta, window, from, to);
		free(window);
	}
}

/* In the ways in which only pages that are named get memory. */
static void apply_touched(const uint8_t *bytes, size_t size)
{
	uint64_t most = delta.old_size > delta.new_size ? delta.old_size : delta.new_size;
	uint64_t next = 0, page, pages, all = 0;
	size_t cursor = 0;

	while ((pages = runs_next_pages(&delta.runs, &cursor, &next, &page)))
		all += pages;
	if (most > MOST_TRIED || all > PAGES_TRIED || touched_begin(&touched, NULL, -1, 0, most))
		return;
	touched.size = delta.old_size;
	(void)touched_apply(&touched, decoder, &delta);
	if (touched_begin(&touched, NULL, -1, 0, most))
		return;
	touched.size = most;
	layers_begin(&layers);
	for (int i = 0; i < 2; i++) {
		must(delta_parse(layers_next(&layers), bytes, size) == 0);
		if (!layers_push(&layers))
			return;
	}
	(void)layers_apply(&layers, &touched, delta.new_size);
	must(touched.count <= all);
}

static void try(const uint8_t *bytes, size_t size)
{
	if (delta_parse(&delta, bytes, size) == 0) {
		check_runs();
		apply();
		apply_touched(bytes, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sealed = malloc(size ? size : 1);

	if (!decoder)
		must(delta_decoder_open(&decoder) == 0);
	must(sealed != NULL);
	try(data, size);
	if (size) {
		memcpy(sealed, data, size);
		if (size >= DELTA_CHECKSUM)
			put_le64(sealed + size - DELTA_CHECKSUM, hash64(sealed, size - DELTA_CHECKSUM));
		try(sealed, size);
	}
	free(sealed);
	return 0;
}
