/*
 * peer.h - a connected client: its socket, the request it waits for, the answers it has not read yet.
 *
 * Nothing a client does or leaves undone holds up others: sockets do not block, and one that asks again before it has read
 * its last answer is cut off. So what is queued for it is what one request had for an answer.
 */
#ifndef WORKERS_PEER_H
#define WORKERS_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "op.h"
#include "wire.h"

struct coordinator;

/** An answer that did not fit the socket. */
struct parcel {
	struct parcel *next;
	enum wire_type type;
	uint32_t serial;
	int fd;
	struct buf payload;
};

struct peer {
	struct coordinator *coordinator;
	struct peer *next;
	int fd;
	pid_t pid;
	bool greeted;
	uint64_t since_ns; /**< when it came */
	bool gone; /**< the socket is closed; freed when no operation of it is under way */

	/* the request under way */
	enum wire_type request; /**< 0: none */
	uint32_t serial;
	uint64_t begun_ns; /**< when it came */
	uint64_t cancelled_ns; /**< when it was cancelled; 0: it was not */
	bool has_target; /**< RESTORE, CHECKOUT: @target is the commit */
	bool dry; /**< RESTORE: only a look at what it would do */
	struct varve_id target;
	struct op *op; /**< if op->answered, of a request before: this one waits for its end */
	struct buf held; /**< its payload, while it waits for its turn */
	int held_fd; /**< the descriptor that came with it */
	bool mended; /**< unpublished files have been seen to, for this request */
	bool waiting; /**< for its turn: another operation, or another's session */
	uint64_t turn; /**< in which order those that wait came */
	int64_t deadline_ms; /**< waiting for a session: until then; -1: for ever */
	struct varve_id module; /**< MODULE: the one that is brought to its commit */
	struct varve_id *kept; /**< RESTORE: ids of the session's modules when it began */
	uint32_t kept_count;
	bool shrinking; /**< RESTORE: the client was asked to take the tails of memories away, and has not answered */
	bool shrunk; /**< it has */
	uint64_t sign_ns; /**< when progress, or a sign of life, was last sent */

	struct parcel *parcels;
	unsigned parcels_count;
	bool wants_out; /**< epoll is asked about room */
};

/** peer_new() - for a connected socket, which becomes its own, whatever is returned. NULL with a sentence. */
struct peer *peer_new(struct coordinator *coordinator, int fd);

/** peer_send() - send or queue a message. @pass is not consumed. */
void peer_send(struct peer *peer, enum wire_type type, uint32_t serial, const struct buf *payload, int pass);

/** peer_sign() - tell it that the coordinator is alive, or, with @payload, how far its request is; if there is room now:
 * else it has more to read already than it does. */
void peer_sign(struct peer *peer, enum wire_type type, const struct buf *payload);

/** peer_reply() - end its request: @result 0 with @payload (NULL: nothing more), or an error with @text. */
void peer_reply(struct peer *peer, const struct buf *payload, int pass);
void peer_reply_error(struct peer *peer, int result, const char *text);

/** peer_flush() - send what is queued. */
void peer_flush(struct peer *peer);

/** peer_close() - close the socket; the peer stays until peer_free(). */
void peer_close(struct peer *peer);
void peer_free(struct peer *peer);

#endif
