/*
 * bytes.h - little-endian numbers in byte buffers, and two cursors over them that never run past an end.
 *
 * A cursor that has met an end stays `bad`, and gives zeros: a parser checks once, after its last field.
 */
#ifndef IO_BYTES_H
#define IO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
	put_le16(p, (uint16_t)v);
	put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | (unsigned)p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return (uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

/** Reads from a buffer that stays its owner's. */
struct cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline struct cursor cursor_over(const void *data, size_t size)
{
	return (struct cursor) {data, (const uint8_t *)data + size, false};
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->at);
}

/** cursor_take() - the next @size bytes, in place; NULL if there are not so many (then the cursor is bad). */
static inline const uint8_t *cursor_take(struct cursor *c, size_t size)
{
	if (c->bad || size > cursor_left(c)) {
		c->bad = true;
		return NULL;
	}
	const uint8_t *p = c->at;
	c->at += size;
	return p;
}

static inline void cursor_copy(struct cursor *c, void *to, size_t size)
{
	const uint8_t *p = cursor_take(c, size);
	if (p)
		memcpy(to, p, size);
	else
		memset(to, 0, size);
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);
	return p ? *p : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 2);
	return p ? get_le16(p) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 4);
	return p ? get_le32(p) : 0;
}

static inline uint64_t cursor_u64(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 8);
	return p ? get_le64(p) : 0;
}

/** cursor_varint() - LEB128, at most 10 bytes, shortest or not; a value that needs more than 64 bits is bad. */
static inline uint64_t cursor_varint(struct cursor *c)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = cursor_u8(c);
		if (shift == 63 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return c->bad ? 0 : v;
	}
	c->bad = true;
	return 0;
}

/** A growing buffer; `bad` after a failed allocation, and then it ignores what is added. Zero-initialise it. */
struct buf {
	uint8_t *data;
	size_t size;
	size_t capacity;
	bool bad;
};

/** buf_reserve() - room for @more bytes behind the end. Returns where they go, or NULL (and the buffer is bad). */
uint8_t *buf_reserve(struct buf *b, size_t more);

/** buf_free() - free the memory; the buffer is empty and usable again. */
void buf_free(struct buf *b);

static inline void buf_clear(struct buf *b)
{
	b->size = 0;
	b->bad = false;
}

static inline void buf_put(struct buf *b, const void *data, size_t size)
{
	uint8_t *p = buf_reserve(b, size);
	if (p && size) {
		memcpy(p, data, size);
		b->size += size;
	}
}

static inline void buf_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

static inline void buf_u16(struct buf *b, uint16_t v)
{
	uint8_t t[2];
	put_le16(t, v);
	buf_put(b, t, sizeof(t));
}

static inline void buf_u32(struct buf *b, uint32_t v)
{
	uint8_t t[4];
	put_le32(t, v);
	buf_put(b, t, sizeof(t));
}

static inline void buf_u64(struct buf *b, uint64_t v)
{
	uint8_t t[8];
	put_le64(t, v);
	buf_put(b, t, sizeof(t));
}

static inline void buf_varint(struct buf *b, uint64_t v)
{
	uint8_t t[10];
	size_t n = 0;
	do {
		t[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
	} while (v);
	buf_put(b, t, n);
}

#endif
