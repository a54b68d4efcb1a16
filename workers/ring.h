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
	_Atomic uint64_t beat_ns; /**< last sign of life: when it took or ended a job, woke up, or said so in a job */
	_Atomic uint32_t wake; /**< the futex that it sleeps on; 0: asleep, or about to be */
	_Atomic bool untold; /**< it has ended a job of which the coordinator, which sleeps, was not told */
};

struct ring {
	struct shm shm;
	struct ring_memory *memory; /**< = shm.base */
	struct ring_mirror *mirror; /**< the coordinator's own record of each slot, out of the workers' reach */
	int wake_fd; /**< eventfd, non-blocking: workers have ended jobs while the coordinator slept */
};

/** ring_create() - an empty ring. Returns 0, -ENOMEM, -EMFILE and others. Close it with ring_close() in any case. */
int ring_create(struct ring *ring);
void ring_close(struct ring *ring);

/* The coordinator's side. Everything read from a slot was possibly written by a worker gone wrong: it is copied out,
 * then checked. */

/** ring_post() - FREE to READY, and wake a worker if none is about to look anyway. @reach: only the workers below this
 * number may take it; 0: any. Returns 0 or -EAGAIN (all slots are in use). */
int ring_post(struct ring *ring, const struct job *job, uint32_t reach, struct ticket *ticket);

/** ring_open_up() - any worker may take what waits, whatever it was posted with: those meant for it can not be had. */
void ring_open_up(struct ring *ring);

/**
 * ring_reap() - the next DONE job, copied to @job, its slot FREE. Returns false if there is none. One whose body is not
 * as its worker has left it, or that answers something else, stays where it is (ring_spoilt()).
 * The inputs of @job are those that were posted, `result` is 0 or a negative errno, and `text` is terminated, with no
 * control characters; all other outputs are whatever the worker wrote: the caller checks them before it uses them.
 */
bool ring_reap(struct ring *ring, struct job *job, struct ticket *ticket);

/** A job whose worker dies is run again unless it has lost so many. */
#define RING_TRIES 2

/**
 * ring_lost() - worker @worker is dead, and its process reaped: the next job that it had is made READY again with a new
 * generation, or given up. A job it had finished stays DONE. Call it until it returns 0.
 * Returns 0 (there is none), 1 (READY again: @was, @now), or -ENOTRECOVERABLE (@was has lost RING_TRIES workers; its
 * slot is FREE, ring_job() still has it).
 */
int ring_lost(struct ring *ring, uint32_t worker, struct ticket *was, struct ticket *now);

/** ring_job() - the job that was posted last in @slot, as it was posted. */
const struct job *ring_job(const struct ring *ring, uint32_t slot);

/** ring_scribbled() - whether a slot's word is not what it can be: a worker has gone wrong, and nobody knows which. */
bool ring_scribbled(const struct ring *ring);

/** ring_spoilt() - whether ring_reap() has come upon an answer that was none: ring_scribbled() is true, and what it is
 * there for is due at once. */
bool ring_spoilt(const struct ring *ring);

/** ring_mend() - after ring_scribbled(), once *all* workers are dead and ring_lost() was called for each: put right what
 * is wrong. Returns as ring_lost() does; call it until it returns 0. */
int ring_mend(struct ring *ring, struct ticket *was, struct ticket *now);

/** ring_owner() - the worker that runs the job @ticket or has run it to its end, as far as the shared memory can be
 * believed; UINT32_MAX: none. Good until the slot is posted to again. */
uint32_t ring_owner(const struct ring *ring, struct ticket ticket);

/** ring_running() - set the bit of each worker that has a RUNNING job, clear all others. Returns how many jobs are
 * READY. @oldest: out: a number that stays the same as long as the same job is the first of those that wait. */
unsigned ring_running(const struct ring *ring, uint64_t busy[RING_WORKERS / 64], uint64_t *oldest);

/** ring_nudge() - wake a worker whatever it says of itself; no harm if it is awake. */
void ring_nudge(struct ring *ring, uint32_t worker);

/** ring_drain() - take back what was written to wake_fd. */
void ring_drain(struct ring *ring);

/** ring_withdraw() - take a READY job back before anyone takes it, its slot FREE. False: it is RUNNING or DONE. */
bool ring_withdraw(struct ring *ring, struct ticket ticket);

/** ring_cancel() - tell the worker that has the job, or will have it, that nobody wants it any more. It ends all the
 * same, as soon as it looks. */
void ring_cancel(struct ring *ring, struct ticket ticket);

/** ring_sleep_begin() - the coordinator is about to sleep in poll(): the @ends-th job to end from now on (1: the next)
 * writes to wake_fd, or a worker that has ended one and finds no other.
 * Returns false if something is DONE already (do not sleep). ring_sleep_end() takes it back. */
bool ring_sleep_begin(struct ring *ring, unsigned ends);
void ring_sleep_end(struct ring *ring);

/* A worker's side. */

/** ring_take() - the next READY job into @job. Spins for @spin_ns, then sleeps at most @timeout_ms (negative: for
 * ever). Returns true, or false (time is up, or ring_retire() was called for this worker, or a signal came). */
bool ring_take(
    struct ring *ring, uint32_t worker, uint64_t spin_ns, int timeout_ms, struct job *job, struct ticket *ticket);

/** ring_done() - RUNNING to DONE with the outputs of @job. False: the ticket is of an old generation, dropped. */
bool ring_done(struct ring *ring, uint32_t worker, struct ticket ticket, const struct job *job);

/** ring_set_spin() / ring_spin() - how long a worker shall spin, nanoseconds: said by the coordinator, read by workers
 * (at most 1 ms, whatever the shared memory says). */
void ring_set_spin(struct ring *ring, uint64_t spin_ns);
uint64_t ring_spin(const struct ring *ring);

/** ring_set_idle() / ring_idle() - after how many milliseconds without a job a worker gives its memory back; 0: never. */
void ring_set_idle(struct ring *ring, unsigned idle_ms);
unsigned ring_idle(const struct ring *ring);

/** ring_set_urgent() / ring_urgent() - tell workers that somebody waits: background jobs give up. */
void ring_set_urgent(struct ring *ring, bool urgent);
bool ring_urgent(const struct ring *ring);

/** ring_cancelled() - whether ring_cancel() was called for the job that this worker has in slot @slot. */
bool ring_cancelled(const struct ring *ring, uint32_t slot);

/** ring_retire() / ring_retiring() - ask a worker to end after its job; whether this worker was asked. */
void ring_retire(struct ring *ring, uint32_t worker, bool retire);
bool ring_retiring(const struct ring *ring, uint32_t worker);

struct worker_line *ring_worker(struct ring *ring, uint32_t worker);

#endif
