/*
 * control.c - the pool's side of what workers say on their sockets.
 *
 * A worker may have been taken over by what it decoded. What it says counts only for the job that it runs, as far as
 * the ring can tell, and for nothing but what such a job may ask for; one that talks nonsense is killed.
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>

#include "pool_state.h"
#include "ring_memory.h"
#include "sock.h"

/** As many packets are heard in one go: more than a socket's buffer holds, so that all that was said before a job's end
 * is heard, and few enough that one that never stops talking does not keep the coordinator from the others. */
#define DRAIN_MAX 2048

static void hear_hello(struct pool *pool, struct place *place, const char *name, const char *reason)
{
	if (place->serving)
		return;
	place->serving = true;
	pool->serving++;
	pool->start_problem[0] = '\0';
	if (pool->reader_name[0])
		return;
	snprintf(pool->reader_name, sizeof(pool->reader_name), "%.31s", name);
	snprintf(pool->reader_reason, sizeof(pool->reader_reason), "%.511s", reason);
	if (reason[0])
		pool_notice(pool, "workers read with %s: %s", name, reason);
}

/** claimed() - the job that the worker @index says this is about, if it has it and it is of @kind; else NULL. */
static struct posted *claimed(struct pool *pool, uint32_t index, struct cursor *packet, uint32_t kind)
{
	struct ticket ticket = {.slot = cursor_u32(packet)};
	ticket.generation = cursor_u32(packet);
	if (packet->bad || ring_owner(&pool->ring, ticket) != index || ring_job(&pool->ring, ticket.slot)->kind != kind)
		return NULL;
	struct posted *posted = &pool->posted[ticket.slot];
	return posted->used && posted->generation == ticket.generation ? posted : NULL;
}

static bool answer_fd(struct pool *pool, uint32_t index, struct cursor *packet)
{
	struct posted *posted = claimed(pool, index, packet, JOB_CHECKOUT);
	int fd = posted ? posted->fd : -1;
	uint8_t answer[5] = {CONTROL_FD};

	if (packet->bad)
		return false;
	put_le32(answer + 1, fd >= 0 ? 0 : (uint32_t)-EBADF);
	/* If its socket is full it has asked without listening. */
	return sock_send(pool->places[index].control, answer, sizeof(answer), fd) >= 0;
}

static bool hear_found(struct pool *pool, uint32_t index, struct cursor *packet)
{
	char file[CONTROL_STRING_MAX], problem[CONTROL_STRING_MAX];
	struct posted *posted = claimed(pool, index, packet, JOB_VERIFY);
	bool damage = cursor_u8(packet) != 0;

	control_string(packet, file);
	control_string(packet, problem);
	if (packet->bad)
		return false;
	/* A job that is run again comes by the same files in the same order. */
	if (posted && posted->found++ == posted->findings) {
		posted->findings++;
		pool->events.found(pool->events.arg, posted->cookie, damage, file, problem);
	}
	return true;
}

static bool hear(struct pool *pool, uint32_t index, struct cursor *packet)
{
	char first[CONTROL_STRING_MAX], second[CONTROL_STRING_MAX];

	switch (cursor_u8(packet)) {
	case CONTROL_HELLO:
		control_string(packet, first);
		control_string(packet, second);
		if (!packet->bad)
			hear_hello(pool, &pool->places[index], first, second);
		return !packet->bad;
	case CONTROL_FAILED:
		control_string(packet, first);
		snprintf(pool->start_problem, sizeof(pool->start_problem), "%.500s", first);
		return !packet->bad;
	case CONTROL_WANT_FD:
		return answer_fd(pool, index, packet);
	case CONTROL_FOUND:
		return hear_found(pool, index, packet);
	default:
		return false;
	}
}

bool control_drain(struct pool *pool, uint32_t index)
{
	uint8_t bytes[CONTROL_PACKET_MAX];

	for (unsigned i = 0; i < DRAIN_MAX && pool->places[index].control >= 0; i++) {
		ssize_t size = sock_recv(pool->places[index].control, bytes, sizeof(bytes), NULL);
		if (size == -EINTR)
			continue;
		if (size == -EAGAIN)
			return true;
		if (size <= 0)
			return false;
		struct cursor packet = cursor_over(bytes, (size_t)size);
		if (!hear(pool, index, &packet))
			return false;
	}
	return true;
}
