/*
 * workers_ring.h - what the tests of the ring share: one ring, and both sides of it in short words.
 */
#ifndef TESTS_WORKERS_RING_H
#define TESTS_WORKERS_RING_H

#include <criterion/criterion.h>
#include <errno.h>

#include "ring_mirror.h"

static struct ring ring;

static inline void open_ring(void)
{
	cr_assert(ring_create(&ring) == 0);
}

static inline void close_ring(void)
{
	ring_close(&ring);
}

static inline struct ticket post(uint32_t number)
{
	struct job job = {.kind = JOB_RESTORE, .module = number, .target = number + 1};
	struct ticket ticket;
	cr_assert(ring_post(&ring, &job, 0, &ticket) == 0);
	return ticket;
}

/** take() - without waiting. */
static inline bool take(uint32_t worker, struct job *job, struct ticket *ticket)
{
	return ring_take(&ring, worker, 0, 0, job, ticket);
}

static inline struct ticket must_take(uint32_t worker, struct job *job)
{
	struct ticket ticket;
	cr_assert(take(worker, job, &ticket), "there is a job to take");
	return ticket;
}

static inline uint32_t must_reap(void)
{
	struct ticket ticket;
	struct job job;
	cr_assert(ring_reap(&ring, &job, &ticket), "there is an end to reap");
	return job.module;
}

static inline bool nothing_to_reap(void)
{
	struct ticket ticket;
	struct job job;
	return !ring_reap(&ring, &job, &ticket);
}

#endif
