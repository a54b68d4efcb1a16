/*
 * fuzz_worker.c - whatever a worker says on its socket and writes to the ring: the coordinator reads no further than it
 * may, does not wait for ever, hears nothing about jobs that the worker does not have, and takes no answer for one that
 * does not fit what was posted; once all is mended, every job is there.
 *
 * The input is a list of deeds: an odd byte, a length (two bytes, little-endian) and so many bytes are a packet; an even
 * byte, an offset (three bytes) and a length (one byte) and so many bytes are written to the ring.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "pool_state.h"
#include "ring_memory.h"
#include "sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define JOBS 8

/* The first four are the worker's that talks. */
static const uint32_t kinds[JOBS] = {
    JOB_CHECKOUT, JOB_VERIFY, JOB_PUBLISH, JOB_RESTORE, JOB_CHECKOUT, JOB_VERIFY, JOB_REPAIR, JOB_RESTORE};

static struct pool pool;
static struct catalog catalog;
/* Nothing can be made, opened or renamed there; which names would be is what matters. */
static struct dir nowhere = {-1, "nowhere/"};
static int worker_end = -1;
static unsigned ends[JOBS];

static void on_found(void *arg, void *cookie, bool damage, const char *file, const char *problem)
{
	(void)arg, (void)damage;
	/* Only the job of this worker that is a verification can have found something. */
	if ((uintptr_t)cookie != 1 || strlen(file) >= CONTROL_STRING_MAX || strlen(problem) >= CONTROL_STRING_MAX)
		abort();
}

static void on_notice(void *arg, const char *text)
{
	(void)arg;
	if (strlen(text) >= 4096)
		abort();
}

/* Each job's module has a chain to its target, and one entry more. */
static void open_catalog(void)
{
	if (catalog.shm.base)
		return;
	if (catalog_create(&catalog))
		abort();
	for (uint32_t m = 0; m < JOBS; m++) {
		struct varve_id id = {{(uint8_t)(m + 1)}};
		struct chain_entry entry = {.size = 1};
		if (catalog_add(&catalog, &id) < 0)
			abort();
		for (uint32_t t = 0; t < m + 9; t++) {
			entry.id.bytes[0] = (uint8_t)t;
			if (chain_append(&catalog, m, &entry) < 0)
				abort();
		}
	}
}

static void open_all(void)
{
	open_catalog();
	int pair[2];
	memset(&pool, 0, sizeof(pool));
	memset(ends, 0, sizeof(ends));
	pool.events = (struct pool_events) {.found = on_found, .notice = on_notice};
	pool.setup = (struct pool_setup) {.base = &nowhere, .priv = &nowhere, .catalog = &catalog};
	for (unsigned i = 0; i < RING_WORKERS; i++)
		pool.places[i].control = -1;
	if (ring_create(&pool.ring) || sock_pair(pair))
		abort();
	/* Sent all at once, and read then. */
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) || fcntl(pair[1], F_SETFL, O_NONBLOCK))
		abort();
	pool.places[0].control = pair[0];
	worker_end = pair[1];
	for (uint32_t i = 0; i < JOBS; i++) {
		struct job job = {.kind = kinds[i], .module = i, .target = i + 7}, taken;
		struct ticket ticket, mine;
		if (ring_post(&pool.ring, &job, 0, &ticket))
			abort();
		pool.posted[ticket.slot] = (struct posted) {
		    .used = true, .fd = -1, .generation = ticket.generation, .cookie = (void *)(uintptr_t)i};
		/* Four are this worker's, two more another's, the rest waits. */
		if (i < 6 && !ring_take(&pool.ring, i / 4, 0, 0, &taken, &mine))
			abort();
	}
}

static void say(struct cursor *c)
{
	uint8_t packet[SOCK_MESSAGE_MAX], answer[16 + CONTROL_STRING_MAX];
	size_t size = cursor_u16(c);
	int fd;
	if (size > cursor_left(c))
		size = cursor_left(c);
	if (!size || size > sizeof(packet))
		return;
	cursor_copy(c, packet, size);
	if (!sock_send(worker_end, packet, size, size & 1 ? STDERR_FILENO : -1))
		control_drain(&pool, 0);
	while (sock_recv(worker_end, answer, sizeof(answer), &fd) > 0)
		if (fd >= 0)
			abort(); /* there is none to be had */
}

static void scribble(struct cursor *c)
{
	size_t at = cursor_u8(c) | (size_t)cursor_u16(c) << 8;
	size_t size = cursor_u8(c);
	if (size > cursor_left(c))
		size = cursor_left(c);
	if (at < sizeof(struct ring_memory) && size <= sizeof(struct ring_memory) - at)
		cursor_copy(c, (uint8_t *)pool.ring.memory + at, size);
}

static void end(const struct job *job)
{
	/* Whatever was written: it is a job that was posted, and it ends once. */
	if (job->module >= JOBS || job->target != job->module + 7 || ends[job->module]++)
		abort();
	if (job->result > 0 || memchr(job->text, 0, sizeof(job->text)) == NULL)
		abort();
}

static void look(void)
{
	uint64_t busy[RING_WORKERS / 64], oldest;
	struct ticket ticket, was, now;
	struct job job;
	while (ring_reap(&pool.ring, &job, &ticket))
		end(&job);
	ring_running(&pool.ring, busy, &oldest);
	if (ring_sleep_begin(&pool.ring, 1))
		ring_sleep_end(&pool.ring);
	/* All workers are dead now. */
	for (uint32_t worker = 0; worker < RING_WORKERS; worker++)
		for (int what; (what = ring_lost(&pool.ring, worker, &was, &now)) != 0;)
			if (what < 0)
				end(ring_job(&pool.ring, was.slot));
	for (int what; (what = ring_mend(&pool.ring, &was, &now)) != 0;)
		if (what < 0)
			end(ring_job(&pool.ring, was.slot));
	if (ring_scribbled(&pool.ring))
		abort();
}

static void finish(void)
{
	struct ticket ticket;
	struct job job;
	ring_retire(&pool.ring, 3, false);
	while (ring_take(&pool.ring, 3, 0, 0, &job, &ticket)) {
		job.result = 0;
		ring_done(&pool.ring, 3, ticket, &job);
	}
	while (ring_reap(&pool.ring, &job, &ticket))
		end(&job);
	for (unsigned i = 0; i < JOBS; i++)
		if (ends[i] != 1)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_over(data, size);
	open_all();
	while (cursor_left(&c) && !c.bad) {
		if (cursor_u8(&c) & 1)
			say(&c);
		else
			scribble(&c);
	}
	look();
	finish();
	close(pool.places[0].control);
	close(worker_end);
	ring_close(&pool.ring);
	return 0;
}
