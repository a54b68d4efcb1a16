/*
 * fuzz_delta_roundtrip.c - the bytes say what two images look like; the delta between them must lead from one to the
 * other, in parts as well as at once.
 *
 * An image is a size and a list of edits: each fills a stretch with one byte, with a sequence, with bytes of the input,
 * or with what stood elsewhere. The new image starts as the old one. Far edits reach into a second section.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"

#include "delta_format.h"

#define NEARBY 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct delta_encoder *encoder;
static struct delta_decoder *decoder;
static struct delta delta;
static struct runs runs;
static struct buf file;
static struct touched touched;
static struct layers layers;

static void must(bool what)
{
	if (!what)
		abort();
}

static void edit(struct cursor *c, uint8_t *image, uint64_t limit)
{
	uint8_t kind = cursor_u8(c), value = cursor_u8(c);
	uint64_t at = cursor_u16(c), size = cursor_u16(c) % 6000;

	if (kind & 0x80 && limit > NEARBY)
		at += DELTA_SECTION - NEARBY / 2;
	if (at >= limit)
		return;
	size = size < limit - at ? size : limit - at;
	switch (kind & 3) {
	case 0:
		memset(image + at, value, size);
		break;
	case 1:
		for (uint64_t i = 0; i < size; i++)
			image[at + i] = (uint8_t)(i * (value + 1u) >> 3);
		break;
	case 2:
		for (uint64_t i = 0; i < size; i += value + 1u)
			image[at + i] ^= (uint8_t)(1 + (cursor_left(c) ? c->at[i % cursor_left(c)] : 0));
		break;
	default: {
		uint64_t from = cursor_u16(c) % limit;
		memmove(image + at, image + from, size < limit - from ? size : limit - from);
	}
	}
}

/* Each page that is touched is what it should be; the others have not changed. */
static void check_touched(const uint8_t *new, uint64_t new_size)
{
	for (uint64_t page = 0; page < pages_of(new_size); page++) {
		uint64_t at = page * PAGE_BYTES, size = new_size - at < PAGE_BYTES ? new_size - at : PAGE_BYTES;
		uint32_t place = touched_places(&touched)[page];
		must(!place || !memcmp(touched_page(&touched, place), new + at, (size_t)size));
	}
}

static void check(const uint8_t *old, uint64_t old_size, const uint8_t *new, uint64_t new_size, int level)
{
	struct image_hash hash = {{0}};

	buf_clear(&file);
	must(diff_images(old, old_size, new, new_size, &runs) == 0);
	must(delta_encode(encoder, old, old_size, new, new_size, &runs, &hash, level, &file) == 0);
	must(delta_parse(&delta, file.data, file.size) == 0);
	must(delta.old_size == old_size && delta.new_size == new_size);
	for (uint64_t from = 0; from < new_size; from += DELTA_SECTION) {
		uint64_t part = new_size - from < DELTA_SECTION ? new_size - from : DELTA_SECTION;
		uint64_t had = old_size <= from ? 0 : old_size - from < part ? old_size - from : part;
		uint8_t *window = calloc(1, (size_t)part);
		must(window != NULL);
		if (had)
			memcpy(window, old + from, (size_t)had);
		must(delta_apply(decoder, &delta, window, from, from + DELTA_SECTION) == 0);
		must(!memcmp(window, new + from, (size_t)part));
		free(window);
	}
	uint64_t most = old_size > new_size ? old_size : new_size;
	must(touched_begin(&touched, old, -1, old_size, most) == 0);
	must(touched_apply(&touched, decoder, &delta) == 0);
	check_touched(new, new_size);
	if (level != DELTA_STORED || new_size > old_size)
		return;
	must(touched_begin(&touched, old, -1, old_size, most) == 0);
	layers_begin(&layers);
	must(delta_parse(layers_next(&layers), file.data, file.size) == 0 && layers_push(&layers));
	must(layers_apply(&layers, &touched, new_size) == 0);
	check_touched(new, new_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_over(data, size);
	uint8_t shape = cursor_u8(&c), edits = cursor_u8(&c) % 32;
	uint64_t old_size = cursor_u16(&c), new_size = shape & 1 ? cursor_u16(&c) : old_size;

	if (!encoder)
		must(delta_encoder_open(&encoder) == 0 && delta_decoder_open(&decoder) == 0);
	/* Images of two sections take a thousand times as long: only now and then. */
	if (shape >= 0xfc) {
		old_size += shape & 2 ? DELTA_SECTION : 0;
		new_size += DELTA_SECTION;
	}
	uint64_t room = old_size > new_size ? old_size : new_size;
	uint8_t *old = calloc(1, room + 1), *new = calloc(1, room + 1);
	must(old && new);
	for (unsigned i = 0; i < edits; i++)
		edit(&c, old, old_size);
	memcpy(new, old, (size_t)(old_size < new_size ? old_size : new_size));
	while (cursor_left(&c) && !c.bad && new_size)
		edit(&c, new, new_size);
	check(old, old_size, new, new_size, 0);
	check(old, old_size, new, new_size, DELTA_STORED);
	free(old);
	free(new);
	return 0;
}
