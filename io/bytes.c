/*
 * bytes.c - memory of growing buffers.
 */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "err.h"
#include "fault.h"

#define BUF_FIRST 256

static bool grow(struct buf *b, size_t need)
{
	size_t capacity = b->capacity < BUF_FIRST ? BUF_FIRST : b->capacity;

	/* Doubling keeps appending linear; what is asked for at once and is larger gets exactly that. */
	if (capacity < need)
		capacity = capacity > need / 2 && capacity <= SIZE_MAX / 2 ? capacity * 2 : need;
	uint8_t *data = fault_at("alloc") ? NULL : realloc(b->data, capacity);
	if (!data)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t more)
{
	if (b->bad)
		return NULL;
	if (more > SIZE_MAX / 2 - b->size || ((b->size + more > b->capacity || !b->data) && !grow(b, b->size + more))) {
		b->bad = true;
		fail_sys(ENOMEM, "a buffer of %zu bytes can not grow by %zu", b->size, more);
		return NULL;
	}
	return b->data + b->size;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf) {0};
}
