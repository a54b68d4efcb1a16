/*
 * wire_room.h - how the large answers, the log and the figures of a store, are decoded. Private to wire_log.c and wire_stat.c.
 *
 * Each is decoded in two passes over the same bytes: the first checks all of them and counts, the second fills one
 * allocation of exactly that size. What comes out is larger than what came in by a small factor only, so a hostile
 * count can not make the receiver allocate more than it was sent.
 */
#ifndef ENGINE_WIRE_ROOM_H
#define ENGINE_WIRE_ROOM_H

#include <stdlib.h>

#include "wire.h"

/** What the first pass counts. */
struct tally {
	size_t rows; /**< commits, or workers */
	size_t modules;
	size_t operations;
	size_t chars; /**< of all strings, with a NUL each */
};

/** The allocation that the second pass fills: all rows, then all modules, all operations, and all strings. */
struct room {
	void *modules;
	char *chars;
};

static inline char *room_string(struct room *room, struct cursor *c)
{
	uint32_t length;
	const char *from = wire_get_string(c, &length);
	char *text = room->chars;
	if (length)
		memcpy(text, from, length);
	text[length] = 0;
	room->chars += length + 1;
	return text;
}

static inline void tally_string(struct tally *tally, struct cursor *c)
{
	uint32_t length;
	wire_get_string(c, &length);
	tally->chars += (size_t)length + 1;
}

static inline void put_count(struct buf *b, size_t count)
{
	if (count > UINT32_MAX)
		b->bad = true;
	buf_u32(b, (uint32_t)count);
}

#endif
