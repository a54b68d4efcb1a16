/*
 * wire.h - the messages between the library and the coordinator.
 *
 * Each message is one packet of a SOCK_SEQPACKET socket: type u16, flags u16, serial u32, then the payload, all
 * little-endian; strings are u32 length and bytes without NUL. A payload longer than WIRE_INLINE_MAX travels in a memfd
 * passed beside the message, flag WIRE_IN_MEMFD, and the packet then holds its length u64. A request has a serial of
 * the client's choosing, not 0; its answers repeat it. At most one request is under way on a connection (but for
 * WIRE_CANCEL and WIRE_SHRUNK). Both sides treat what they receive as hostile.
 *
 * request          payload                                        answer: WIRE_REPLY, i32 result, and if it is 0
 * HELLO            u32 protocol, str version                      u32 protocol, str version, str notice
 * BEGIN            i32 wait_ms                                    descriptor of the session lock, to hold until its end
 * DEPLOY           id module, u64 size                            u64 size, descriptor of the backing file
 * MODULE           id module                                      u64 size, descriptor of the backing file
 * COMMIT           u8 has_id, id, str label, u32 n, n x (id module, id commit)    id commit
 * ABANDON          -                                              -
 * RESTORE          id commit, u32 workers, u8 dry_run             report, u32 n, n x (id module, u8 part, u64 size): the session's modules
 * CHECKOUT         id commit, id module, descriptor               u64 size
 * PERSIST          -                                              -
 * LOG              -                                              u32 n, n x commit
 * INFO             id commit                                      u32 n = 1, commit
 * RESOLVE          str text                                       id commit
 * VERIFY           -                                              u64 modules, files, bytes, images, damaged
 * STAT             -                                              stat (wire_stat.c)
 * METRICS          -                                              str text
 * WORKERS          u32 min, most, idle ms; WIRE_AS_IS: unchanged  u32 min, most, idle ms, running, u8 passing
 * OPTIMIZE         -                                              -
 * LEAVE            -                                              descriptor of the store's lock: for a coordinator that is to
 *                                                                 take this one's place; the last that this one does
 *
 * A reply with a result other than 0 has a str, the sentence. Besides, the coordinator sends
 * PROGRESS (serial of the RESTORE): report; FINDING (serial of the VERIFY): u8 damage, str file, str problem; and
 * SHRINK (serial of the RESTORE): u32 n, n x (id module, u64 size): the client must at once make everything beyond size
 * in those memories inaccessible, and answer WIRE_SHRUNK with the same serial; only then are files cut.
 * ALIVE (serial 0, no payload): about once a second while a request lasts; a coordinator that says nothing hangs, or is
 * stopped.
 * CANCEL (serial of the request): no answer of its own; the request ends with -ECANCELED if it is not through already; a
 * RESTORE also with -EINPROGRESS: cancelled, and backing files are not yet where they were. Until the answer to the next
 * request that needs a turn nobody may look at them, the session's memories included.
 */
#ifndef ENGINE_WIRE_H
#define ENGINE_WIRE_H

#include <stdint.h>

#include "bytes.h"
#include "varve.h"

#define WIRE_PROTOCOL 5
/** In WORKERS. */
#define WIRE_AS_IS UINT32_MAX
#define WIRE_HEAD 8
#define WIRE_INLINE_MAX 32768
/** Most bytes that a payload in a memfd may have. */
#define WIRE_PAYLOAD_MAX (1ull << 32)

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_BEGIN,
	WIRE_DEPLOY,
	WIRE_MODULE,
	WIRE_COMMIT,
	WIRE_ABANDON,
	WIRE_RESTORE,
	WIRE_CHECKOUT,
	WIRE_PERSIST,
	WIRE_LOG,
	WIRE_INFO,
	WIRE_RESOLVE,
	WIRE_VERIFY,
	WIRE_STAT,
	WIRE_WORKERS,
	WIRE_CANCEL,
	WIRE_SHRUNK,
	WIRE_OPTIMIZE,
	WIRE_METRICS,
	WIRE_LEAVE,
	WIRE_REPLY = 64,
	WIRE_PROGRESS,
	WIRE_FINDING,
	WIRE_SHRINK,
	WIRE_ALIVE,
};

enum { WIRE_IN_MEMFD = 1u << 0 };

/** A received message. */
struct wire_message {
	enum wire_type type;
	uint32_t serial;
	int fd; /**< the descriptor that came with it, the receiver's to close; -1: none */
	struct cursor payload;
	void *mapped; /**< the memfd's mapping, if the payload came in one */
	size_t mapped_size;
	uint8_t inline_data[WIRE_INLINE_MAX + 64];
};

/**
 * wire_send() - send one message; a large payload goes into a memfd (then @fd must be -1). @payload: NULL, none.
 * Returns 0, -EAGAIN (the socket does not block and is full), -EPIPE, -ECONNRESET, -ENOMEM.
 */
int wire_send(int sock, enum wire_type type, uint32_t serial, const struct buf *payload, int fd);

/** wire_recv() - receive one. Returns 1, 0 at the end, or -errno: -EAGAIN, -EINTR, -EPROTO (not of this form). */
int wire_recv(int sock, struct wire_message *message);

/** wire_release() - close and unmap what came with it. */
void wire_release(struct wire_message *message);

/* Parts of payloads. Getters leave the cursor bad if what is there is not of the form. */
void wire_put_id(struct buf *b, const struct varve_id *id);
void wire_get_id(struct cursor *c, struct varve_id *id);
void wire_put_string(struct buf *b, const char *text);
/** wire_get_string() - the characters in place, not terminated, and their number; a NUL among them is bad. */
const char *wire_get_string(struct cursor *c, uint32_t *length);
/** A double travels as its 64 bits; one that is negative or not finite is bad. */
void wire_put_double(struct buf *b, double value);
double wire_get_double(struct cursor *c);
/** wire_get_bool() - a u8; other than 0 and 1 is bad. */
bool wire_get_bool(struct cursor *c);
void wire_put_report(struct buf *b, const struct varve_report *report);
void wire_get_report(struct cursor *c, struct varve_report *report);
void wire_put_commit(struct buf *b, const struct varve_commit_info *commit);
/** wire_get_log() - u32 n and n commits into one allocation; NULL if bad or out of memory. */
struct varve_log *wire_get_log(struct cursor *c);
void wire_put_stat(struct buf *b, const struct varve_stat *stat);
struct varve_stat *wire_get_stat(struct cursor *c);

#endif
