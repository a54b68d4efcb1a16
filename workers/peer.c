/*
 * peer.c - sending to clients, and queueing what they do not take.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "coordinator.h"
#include "cpu.h"
#include "sock.h"

/** Answers to one request that a client may leave unread before it is cut off. */
#define PARCELS_MAX 4096

struct peer *peer_new(struct coordinator *coordinator, int fd)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	uid_t uid;
	int r = peer ? sock_peer(fd, &peer->pid, &uid) : fail_sys(ENOMEM, "memory for a client");
	if (!r && uid != geteuid())
		r = fail(EPERM, "a client of user %u was refused", (unsigned)uid);
	if (!r && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		r = fail_sys(errno, "a client's socket");
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
	if (!r && epoll_ctl(coordinator->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		r = fail_sys(errno, "a client's socket");
	if (r) {
		free(peer);
		sock_discard(fd);
		return NULL;
	}
	peer->coordinator = coordinator;
	peer->fd = fd;
	peer->since_ns = clock_now();
	peer->held_fd = -1;
	return peer;
}

static void ask_for_room(struct peer *peer, bool ask)
{
	if (ask == peer->wants_out)
		return;
	struct epoll_event event = {.events = EPOLLIN | (ask ? EPOLLOUT : 0), .data.ptr = peer};
	epoll_ctl(peer->coordinator->epoll, EPOLL_CTL_MOD, peer->fd, &event);
	peer->wants_out = ask;
}

static void parcel_free(struct parcel *parcel)
{
	if (parcel->fd >= 0)
		close(parcel->fd);
	buf_free(&parcel->payload);
	free(parcel);
}

static void queue(struct peer *peer, enum wire_type type, uint32_t serial, const struct buf *payload, int pass)
{
	struct parcel *parcel = calloc(1, sizeof(*parcel));
	if (!parcel || peer->parcels_count >= PARCELS_MAX) {
		free(parcel);
		peer_close(peer);
		return;
	}
	parcel->type = type;
	parcel->serial = serial;
	parcel->fd = pass < 0 ? -1 : fcntl(pass, F_DUPFD_CLOEXEC, 3);
	if (payload)
		buf_put(&parcel->payload, payload->data, payload->size);
	if (parcel->payload.bad || (pass >= 0 && parcel->fd < 0)) {
		parcel_free(parcel);
		peer_close(peer);
		return;
	}
	struct parcel **at = &peer->parcels;
	while (*at)
		at = &(*at)->next;
	*at = parcel;
	peer->parcels_count++;
	ask_for_room(peer, true);
}

void peer_send(struct peer *peer, enum wire_type type, uint32_t serial, const struct buf *payload, int pass)
{
	if (peer->gone)
		return;
	if (payload && payload->bad) {
		/* There was no memory for it: half an answer would be worse than none. */
		peer_close(peer);
		return;
	}
	int r = peer->parcels ? -EAGAIN : wire_send(peer->fd, type, serial, payload, pass);
	if (r == -EAGAIN)
		queue(peer, type, serial, payload, pass);
	else if (r)
		peer_close(peer);
}

void peer_sign(struct peer *peer, enum wire_type type, const struct buf *payload)
{
	if (peer->gone || peer->parcels || (payload && payload->bad))
		return;
	int r = wire_send(peer->fd, type, type == WIRE_ALIVE ? 0 : peer->serial, payload, -1);
	if (r && r != -EAGAIN)
		peer_close(peer);
}

void peer_flush(struct peer *peer)
{
	while (peer->parcels && !peer->gone) {
		struct parcel *parcel = peer->parcels;
		int r = wire_send(peer->fd, parcel->type, parcel->serial, &parcel->payload, parcel->fd);
		if (r == -EAGAIN)
			return;
		if (r) {
			peer_close(peer);
			return;
		}
		peer->parcels = parcel->next;
		peer->parcels_count--;
		parcel_free(parcel);
	}
	if (!peer->gone)
		ask_for_room(peer, false);
}

static void request_ends(struct peer *peer)
{
	peer->request = 0;
	peer->serial = 0;
	peer->cancelled_ns = 0;
	peer->mended = false;
	peer->waiting = false;
	buf_free(&peer->held);
	if (peer->held_fd >= 0)
		sock_discard(peer->held_fd);
	peer->held_fd = -1;
	free(peer->kept);
	peer->kept = NULL;
	peer->kept_count = 0;
	peer->shrinking = peer->shrunk = false;
}

void peer_reply(struct peer *peer, const struct buf *payload, int pass)
{
	struct buf reply = {0};
	buf_u32(&reply, 0);
	if (payload)
		buf_put(&reply, payload->data, payload->size);
	if (reply.bad || (payload && payload->bad))
		peer_close(peer);
	else
		peer_send(peer, WIRE_REPLY, peer->serial, &reply, pass);
	buf_free(&reply);
	request_ends(peer);
}

void peer_reply_error(struct peer *peer, int result, const char *text)
{
	struct buf reply = {0};
	buf_u32(&reply, (uint32_t)result);
	wire_put_string(&reply, text);
	if (reply.bad)
		peer_close(peer);
	else
		peer_send(peer, WIRE_REPLY, peer->serial, &reply, -1);
	buf_free(&reply);
	request_ends(peer);
}

void peer_close(struct peer *peer)
{
	if (peer->gone)
		return;
	peer->gone = true;
	coordinator_let_go(peer->coordinator, peer->fd);
	peer->fd = -1;
}

void peer_free(struct peer *peer)
{
	peer_close(peer);
	request_ends(peer);
	while (peer->parcels) {
		struct parcel *parcel = peer->parcels;
		peer->parcels = parcel->next;
		parcel_free(parcel);
	}
	free(peer);
}
