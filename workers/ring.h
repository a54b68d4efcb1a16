/*
 * ring.h - jobs in memory that coordinator and workers share.
 *
 * One coordinator posts and reaps; any number of workers take. Nothing in it is a pointer, and no lock exists that a
 * dead process could hold. See ring.c for the states.
 */
#ifndef WORKERS_RING_H
#define WORKERS_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "shm.h"

#define RING_SLOTS 128
#define RING_WORKERS 1024

/** (slot, generation) names a job that was posted. */
struct ticket {
	uint32_t slot;
	uint32_t generation;
};

/** What a worker says of itself, in the shared memory; one cache line or two each, written by that worker only. */
struct worker_line {
	_Alignas(64) _Atomic int32_t pid;
	_Atomic uint32_t slot; /**< that it works on; UINT32_MAX: idle */
	_Atomic uint64_t jobs;
	_Atomic uint64_t bytes_read;
	_Atomic uint64_t bytes_written;
	_Atomic uint64_t busy_ns;
	_Atomic uint64_t started_ns; /**< CLOCK_MONOTONIC */
	_Atomic uint64_t beat_ns; /**< last sign of life: when it took or ended a job */
};

struct ring {
	struct shm shm;
	struct ring_memory *memory; /**< = shm.base */
	int wake_fd; /**< eventfd: a worker has ended a job while the coordinator slept */
};

int ring_create(struct ring *ring);
void ring_close(struct ring *ring);

/* The coordinator's side. Everything read from a slot was possibly written by a worker gone wrong: it is copied out,
 * then checked. */

/** ring_post() - FREE to READY, and wake a worker if all sleep. Returns 0 or -EAGAIN (all slots are in use). */
int ring_post(struct ring *ring, const struct job *job, struct ticket *ticket);

/** ring_reap() - the next DONE job, copied to @job, its slot FREE. Returns false if there is none. */
bool ring_reap(struct ring *ring, struct job *job, struct ticket *ticket);

/** ring_lost() - worker @worker is dead: the job that it had (if any) is made READY again with a new generation.
 * Returns 1 and the old and the new ticket if there was one, else 0. A job it had finished stays DONE. */
int ring_lost(struct ring *ring, uint32_t worker, struct ticket *was, struct ticket *now);

/** ring_withdraw() - take a READY job back before anyone takes it, its slot FREE. False: it is RUNNING or DONE. */
bool ring_withdraw(struct ring *ring, struct ticket ticket);

/** ring_sleep_begin() - the coordinator is about to sleep in poll(): from now on a job's end writes to wake_fd.
 * Returns false if something is DONE already (do not sleep). ring_sleep_end() takes it back. */
bool ring_sleep_begin(struct ring *ring);
void ring_sleep_end(struct ring *ring);

/* A worker's side. */

/** ring_take() - the next READY job into @job. Spins for @spin_ns, then sleeps at most @timeout_ms (negative: for
 * ever). Returns true, or false (time is up, or ring_retire() was called for this worker, or a signal came). */
bool ring_take(
    struct ring *ring, uint32_t worker, uint64_t spin_ns, int timeout_ms, struct job *job, struct ticket *ticket);

/** ring_done() - RUNNING to DONE with the outputs of @job. False: the ticket is of an old generation, dropped. */
bool ring_done(struct ring *ring, uint32_t worker, struct ticket ticket, const struct job *job);

/** ring_retire() / ring_retiring() - ask a worker to end after its job; whether this worker was asked. */
void ring_retire(struct ring *ring, uint32_t worker, bool retire);
bool ring_retiring(const struct ring *ring, uint32_t worker);

struct worker_line *ring_worker(struct ring *ring, uint32_t worker);

#endif
