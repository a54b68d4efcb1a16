/*
 * control.h - what a worker and the pool say to each other beside the ring: one packet each, little-endian.
 *
 *   worker to pool                                          pool to worker
 *   HELLO    str reader's name, str reason,
 *            str state of its sandbox, str reason           -
 *   FAILED   str sentence: it can not start, and ends       -
 *   WANT_FD  u32 slot, u32 generation of a JOB_CHECKOUT,
 *            or of a job that writes to a backing file      ANSWER  i32 result, str sentence, and the descriptor beside
 *                                                           it if the result is 0
 *   SIGHT    u32 slot, u32 generation of a job that
 *            publishes or repairs, u8 whether it waits,
 *            u8 count, then u8 step, u32 entry (sight.h)    ANSWER  i32 result, str sentence, if it waits
 *   FOUND    u32 slot, u32 generation of a JOB_VERIFY, u8 damage, str file, str problem
 *   DENIED   u32 system call: it was not made               -
 *
 * A packet starts with its type, u8; a str is u16 length and bytes without NUL.
 */
#ifndef WORKERS_CONTROL_H
#define WORKERS_CONTROL_H

#include <string.h>

#include "bytes.h"

enum control_type {
	CONTROL_HELLO = 1,
	CONTROL_FAILED,
	CONTROL_WANT_FD,
	CONTROL_FOUND,
	CONTROL_ANSWER,
	CONTROL_DENIED,
	CONTROL_SIGHT,
};

/** Longest string in a packet, with its NUL; longer ones are cut. */
#define CONTROL_STRING_MAX 4200
#define CONTROL_PACKET_MAX (16 + 2 * CONTROL_STRING_MAX)

static inline void control_put_string(struct buf *packet, const char *text)
{
	size_t size = strlen(text);
	if (size >= CONTROL_STRING_MAX)
		size = CONTROL_STRING_MAX - 1;
	buf_u16(packet, (uint16_t)size);
	buf_put(packet, text, size);
}

/** control_string() - the next string, with a NUL, in @text. Too long, or with a NUL in it: the cursor is bad. */
static inline void control_string(struct cursor *packet, char text[CONTROL_STRING_MAX])
{
	size_t size = cursor_u16(packet);
	if (size >= CONTROL_STRING_MAX)
		packet->bad = true;
	cursor_copy(packet, text, packet->bad ? 0 : size);
	text[packet->bad ? 0 : size] = '\0';
	if (!packet->bad && strlen(text) != size)
		packet->bad = true;
}

#endif
