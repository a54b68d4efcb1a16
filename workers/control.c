/*
 * control.c - the pool's side of what workers say on their sockets.
 *
 * A worker may have been taken over by what it decoded. What it says counts only for the job that it runs, as far as
 * the ring can tell, and for nothing but what such a job may ask for; one that talks nonsense is killed.
 */
#include "control.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backing.h"
#include "pool_state.h"
#include "ring_memory.h"
#include "sight.h"
#include "sock.h"

/** As many packets are heard in one go: more than a socket's buffer holds, so that all that was said before a job's end
 * is heard, and few enough that one that never stops talking does not keep the coordinator from the others. */
#define DRAIN_MAX 2048

/** From how many system calls that were denied on nobody is told: a worker gone wrong could tell of one after the other. */
#define DENIED_MAX 32

static void note_reader(struct pool *pool, const char *name, const char *reason)
{
	if (pool->reader_name[0])
		return;
	snprintf(pool->reader_name, sizeof(pool->reader_name), "%.31s", name);
	snprintf(pool->reader_reason, sizeof(pool->reader_reason), "%.511s", reason);
	if (reason[0])
		pool_standing(pool, "workers read with %s: %s", name, reason);
}

static void note_sandbox(struct pool *pool, const char *state, const char *reason)
{
	if (pool->sandbox[0])
		return;
	snprintf(pool->sandbox, sizeof(pool->sandbox), "%.15s", state);
	snprintf(pool->sandbox_reason, sizeof(pool->sandbox_reason), "%.511s", reason);
	if (reason[0] && pool->setup.sandbox != SANDBOX_OFF)
		pool_standing(pool, "the sandbox of the workers is %s: %s", state, reason);
}

static bool hear_hello(struct pool *pool, struct place *place, struct cursor *packet)
{
	char name[CONTROL_STRING_MAX], reason[CONTROL_STRING_MAX];
	char state[CONTROL_STRING_MAX], missing[CONTROL_STRING_MAX];

	control_string(packet, name);
	control_string(packet, reason);
	control_string(packet, state);
	control_string(packet, missing);
	if (packet->bad || place->serving)
		return !packet->bad;
	place->serving = true;
	pool->serving++;
	pool->start_problem[0] = '\0';
	note_reader(pool, name, reason);
	note_sandbox(pool, state, missing);
	return true;
}

static bool hear_failed(struct pool *pool, struct cursor *packet)
{
	char sentence[CONTROL_STRING_MAX];

	control_string(packet, sentence);
	if (!packet->bad)
		snprintf(pool->start_problem, sizeof(pool->start_problem), "%.500s", sentence);
	return !packet->bad;
}

static bool hear_denied(struct pool *pool, uint32_t index, struct cursor *packet)
{
	int number = (int)cursor_u32(packet);

	if (packet->bad)
		return false;
	if (pool->denied++ >= DENIED_MAX)
		return true;
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
	pool_notice(pool,
	    "worker %u tried the system call %s (%d), which its sandbox does not know, and was told that there is "
	    "none; should something not work for it, sandbox=off does without",
	    index, name ? name : "unknown", number);
	free(name);
	return true;
}

/** claimed() - the job that the worker @index says this is about, in @job as it was posted, if that worker has it; else
 * NULL. */
static struct posted *claimed(struct pool *pool, uint32_t index, struct cursor *packet, const struct job **job)
{
	struct ticket ticket = {.slot = cursor_u32(packet)};
	ticket.generation = cursor_u32(packet);
	if (packet->bad || ring_owner(&pool->ring, ticket) != index)
		return NULL;
	struct posted *posted = &pool->posted[ticket.slot];
	*job = ring_job(&pool->ring, ticket.slot);
	return posted->used && posted->generation == ticket.generation ? posted : NULL;
}

/** answer() - @result, or the sentence that goes with it; @fd: beside it, or -1. */
static bool answer(struct pool *pool, uint32_t index, int result, int fd)
{
	struct buf packet = {0};

	buf_u8(&packet, CONTROL_ANSWER);
	buf_u32(&packet, (uint32_t)(result < 0 ? result : 0));
	control_put_string(&packet, result < 0 ? err_text() : "");
	/* If its socket is full it has asked without listening. */
	bool sent = !packet.bad && sock_send(pool->places[index].control, packet.data, packet.size, fd) >= 0;
	buf_free(&packet);
	return sent;
}

static struct job_context own_context(const struct pool *pool)
{
	return (struct job_context) {
	    .base = pool->setup.base, .priv = pool->setup.priv, .catalog = pool->setup.catalog};
}

static bool answer_fd(struct pool *pool, uint32_t index, struct cursor *packet)
{
	const struct job *job;
	struct posted *posted = claimed(pool, index, packet, &job);
	struct job_context context = own_context(pool);

	if (packet->bad)
		return false;
	if (!posted || (job->kind == JOB_CHECKOUT && posted->fd < 0))
		return answer(pool, index, fail(EBADF, "there is no descriptor for this job; try again"), -1);
	if (job->kind == JOB_CHECKOUT)
		return answer(pool, index, 0, posted->fd);
	int fd = backing_give(&context, job);
	bool sent = answer(pool, index, fd, fd);
	if (fd >= 0)
		close(fd);
	return sent;
}

/* A worker may not rename what is in sight: it says which steps of its job are due. */
static bool hear_sight(struct pool *pool, uint32_t index, struct cursor *packet)
{
	const struct job *job;
	struct posted *posted = claimed(pool, index, packet, &job);
	struct job_context context = own_context(pool);
	struct sight_steps steps = {0};
	bool waits = cursor_u8(packet);
	uint8_t count = cursor_u8(packet);

	for (uint8_t i = 0; i < count && i < SIGHT_STEPS; i++) {
		uint8_t step = cursor_u8(packet);
		sight_add(&steps, (enum sight_step)step, cursor_u32(packet));
	}
	if (packet->bad || count > SIGHT_STEPS)
		return false;
	int result = posted ? sight_take(&context, job, &steps)
	                    : fail(EBADF, "a worker asked for a step of a job that is not its own");
	if (waits)
		return answer(pool, index, result, -1);
	/* The job has ended, or is about to: with this, if it failed. */
	if (posted && result < 0 && !posted->failed) {
		posted->failed = result;
		snprintf(posted->failure, sizeof(posted->failure), "%s", err_text());
	}
	return true;
}

static bool hear_found(struct pool *pool, uint32_t index, struct cursor *packet)
{
	char file[CONTROL_STRING_MAX], problem[CONTROL_STRING_MAX];
	const struct job *job;
	struct posted *posted = claimed(pool, index, packet, &job);
	bool damage = cursor_u8(packet) != 0;

	control_string(packet, file);
	control_string(packet, problem);
	if (packet->bad)
		return false;
	/* A job that is run again comes by the same files in the same order. */
	if (posted && job->kind == JOB_VERIFY && posted->found++ == posted->findings) {
		posted->findings++;
		pool->events.found(pool->events.arg, posted->cookie, damage, file, problem);
	}
	return true;
}

static bool hear(struct pool *pool, uint32_t index, struct cursor *packet)
{
	switch (cursor_u8(packet)) {
	case CONTROL_HELLO:
		return hear_hello(pool, &pool->places[index], packet);
	case CONTROL_FAILED:
		return hear_failed(pool, packet);
	case CONTROL_DENIED:
		return hear_denied(pool, index, packet);
	case CONTROL_WANT_FD:
		return answer_fd(pool, index, packet);
	case CONTROL_SIGHT:
		return hear_sight(pool, index, packet);
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
