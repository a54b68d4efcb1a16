/*
 * worker.c - a coordinator whose workers are taken over now and then: with its main program linked, job_run() goes by
 * here first (ld --wrap).
 *
 * What such a worker does is drawn from VARVE_TAKEN_OVER, a seed, and the number of the process's job: it writes what it
 * likes to all memory that it shares with others, and says what it likes on its socket. It does its own jobs right,
 * or says that it has not: whoever says that a job is done and has not done it can not be told from one who has, and
 * spoils his own store only (workers/README.md, "Sandbox").
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "job.h"
#include "ring_memory.h"
#include "worker.h"

void __real_job_run(struct job_context *context, struct job *job);
void __wrap_job_run(struct job_context *context, struct job *job);

/** One job in so many is not as it should be. */
#define EVERY 5

static uint64_t state;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fill(void *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = (uint8_t)draw();
}

/* ---- the ring --------------------------------------------------------------------------------------------------- */

static void scribble_anywhere(struct ring_memory *memory)
{
	for (unsigned i = 0; i < 400; i++)
		fill((uint8_t *)memory + draw() % (sizeof(*memory) - 8), 8);
}

static void scribble_bodies(struct ring_memory *memory)
{
	for (unsigned i = 0; i < RING_SLOTS; i++)
		fill((uint8_t *)&memory->bodies[i] + draw() % (sizeof(memory->bodies[i]) - 8), 8);
}

/* All that is there is done, says somebody who has done nothing of it. */
static void answer_for_others(struct ring_memory *memory, uint32_t index)
{
	for (unsigned i = 0; i < RING_SLOTS; i++) {
		uint64_t word = atomic_load(&memory->words[i]);
		uint32_t owner = draw() % 2 ? index : (uint32_t)draw() % (RING_WORKERS + 10);
		if (word_state(word) == SLOT_FREE)
			continue;
		memory->bodies[i].job.result = 0;
		memory->bodies[i].job.size = draw();
		atomic_store(&memory->words[i], slot_word(word_generation(word), owner, SLOT_DONE));
	}
}

static void turn_states(struct ring_memory *memory)
{
	for (unsigned i = 0; i < RING_SLOTS; i++) {
		uint64_t word = atomic_load(&memory->words[i]);
		uint32_t generation = word_generation(word) + (uint32_t)(draw() % 3) - 1;
		atomic_store(
		    &memory->words[i], slot_word(generation, (uint32_t)draw() % 8, (enum slot_state)(draw() % 5)));
	}
}

/* Everything by which workers and coordinator wake each other, and tell each other what to do. */
static void turn_flags(struct ring_memory *memory)
{
	fill((void *)memory->asleep, sizeof(memory->asleep));
	fill((void *)memory->spinning, sizeof(memory->spinning));
	fill((void *)memory->retiring, sizeof(memory->retiring));
	fill((void *)memory->cancelled, sizeof(memory->cancelled));
	fill((void *)memory->lines, sizeof(memory->lines));
	fill((void *)&memory->next, sizeof(memory->next));
	fill((void *)&memory->spin_ns, sizeof(memory->spin_ns));
	fill((void *)&memory->idle_ms, sizeof(memory->idle_ms));
	fill((void *)&memory->urgent, sizeof(memory->urgent));
	atomic_store(&memory->coordinator_sleeps, 0);
}

/* ---- the socket ------------------------------------------------------------------------------------------------- */

/* With so many descriptors beside it. */
static void send_raw(int sock, const void *data, size_t size, unsigned descriptors)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(100 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec part = {(void *)(uintptr_t)data, size};
	struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
	if (descriptors) {
		int list[100];
		for (unsigned i = 0; i < descriptors; i++)
			list[i] = STDERR_FILENO;
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&head);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
		memcpy(CMSG_DATA(c), list, descriptors * sizeof(int));
	}
	(void)!sendmsg(sock, &head, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void talk_nonsense(int sock)
{
	static uint8_t packet[40000];
	for (unsigned i = 0; i < 30; i++) {
		size_t size = 1 + draw() % (i % 5 ? 40 : sizeof(packet) - 1);
		fill(packet, size);
		packet[0] = (uint8_t)(draw() % 9);
		send_raw(sock, packet, size, draw() % 3 ? 0 : 1 + (unsigned)draw() % 100);
	}
}

/* Well-formed, about jobs that are not its own: a descriptor of somebody's checkout or backing file, findings of somebody's
 * verify, steps of somebody's publishing. */
static void ask_for_others(int sock)
{
	static const uint8_t types[] = {CONTROL_WANT_FD, CONTROL_FOUND, CONTROL_SIGHT};
	for (uint32_t slot = 0; slot < RING_SLOTS + 5; slot++) {
		struct buf packet = {0};
		uint8_t type = types[draw() % 3];
		buf_u8(&packet, type);
		buf_u32(&packet, slot);
		buf_u32(&packet, 1 + (uint32_t)(draw() % 20));
		if (type == CONTROL_FOUND) {
			buf_u8(&packet, 1);
			control_put_string(&packet, "commits");
			control_put_string(&packet, "is not damaged at all");
		}
		if (type == CONTROL_SIGHT) {
			buf_u8(&packet, 0);
			buf_u8(&packet, 1);
			buf_u8(&packet, (uint8_t)(draw() % 12));
			buf_u32(&packet, (uint32_t)(draw() % 8));
		}
		send_raw(sock, packet.data, packet.size, 0);
		buf_free(&packet);
	}
}

/* ---- what it does ----------------------------------------------------------------------------------------------- */

static void misbehave(const struct worker_start *start, struct job *job)
{
	struct ring_memory *memory = start->ring->memory;

	switch (draw() % 8) {
	case 0:
		scribble_anywhere(memory);
		break;
	case 1:
		scribble_bodies(memory);
		break;
	case 2:
		answer_for_others(memory, start->index);
		break;
	case 3:
		turn_states(memory);
		break;
	case 4:
		turn_flags(memory);
		break;
	case 5:
		talk_nonsense(start->control);
		break;
	case 6:
		ask_for_others(start->control);
		break;
	default:
		/* Garbage from end to end, but that it has failed. */
		fill((uint8_t *)job + offsetof(struct job, result), sizeof(*job) - offsetof(struct job, result));
		memset(job->text, 'x', 40); /* the test wants a sentence of any failure */
		job->result = draw() % 2 ? -EIO : (int32_t)(draw() | 1);
		break;
	}
}

void __wrap_job_run(struct job_context *context, struct job *job)
{
	const char *seed = getenv("VARVE_TAKEN_OVER");

	__real_job_run(context, job);
	/* A worker can be told to stop, the coordinator can not. */
	if (!seed || !context->cancelled)
		return;
	if (!state)
		state = (strtoul(seed, NULL, 10) + 1) * 0x9E3779B97F4A7C15ul ^ (uint64_t)getpid();
	if (draw() % EVERY == 0)
		/* struct worker begins with it. */
		misbehave(*(const struct worker_start *const *)context->arg, job);
}
