/*
 * pool_state.h - what pool.c, pool_size.c, supervise.c and control.c share.
 *
 * A place is what a worker process has in the pool, numbered as its owner in the ring. Its states:
 *
 *              place_start                HELLO
 *   EMPTY ---------------------> STARTING ------> SERVING
 *     ^                             |                |
 *     +------- place_bury ----------+----------------+     (its process was reaped)
 *
 * Places [0, target) are wanted: that follows the work, between min and size. A worker in a place beyond is retiring, and
 * its place stays EMPTY after it. Since the lowest number is woken first, the highest are those that idle.
 */
#ifndef WORKERS_POOL_STATE_H
#define WORKERS_POOL_STATE_H

#include <sys/types.h>

#include "pool.h"

struct place {
	pid_t pid; /**< 0: EMPTY */
	int control; /**< our end of its socket; -1: none */
	int pidfd; /**< -1: the system has none to give; then the socket's end tells of the death */
	bool serving; /**< it said HELLO */
	unsigned restarts;
	uint64_t started_ns;
	uint64_t beat; /**< worker_line.beat_ns, as last seen */
	uint64_t still_ns; /**< for how long it should have moved and has not */
};

/** A job in the slot of the same number. */
struct posted {
	bool used;
	int fd; /**< JOB_CHECKOUT: ours, until the job has ended; -1: none */
	uint32_t generation;
	uint32_t findings; /**< passed on, by all of its runs */
	uint32_t found; /**< heard of in this run: those that an earlier run told of are not told again */
	int failed; /**< what its worker left to be done for it, as the last thing, has failed: -errno */
	char failure[ERR_TEXT];
	void *cookie;
};

struct pool {
	struct pool_setup setup;
	struct pool_events events;
	struct ring ring;
	int outer; /**< the coordinator's epoll */
	int inner; /**< ours: the outer one holds it, so that the ends of jobs do not cost a look at every worker */
	unsigned size; /**< most that may be */
	unsigned target; /**< that are wanted now */
	unsigned alive; /**< places with a process */
	unsigned serving;
	unsigned in_flight;
	unsigned allowance; /**< starts of workers that may still be made now */
	uint64_t refill; /**< of the allowance: billionths of a start */
	uint64_t refilled_ns;
	bool purging; /**< the ring was scribbled on: no worker is started until all are dead */
	bool closing;
	uint64_t jobs;
	uint64_t ticked_ns;
	uint64_t oldest; /**< the job that waited longest, as of the last tick (ring_running) */
	uint64_t hang_ns;
	unsigned peak; /**< most jobs under way at a time since window_ns */
	uint64_t window_ns;
	uint64_t idle_since_ns; /**< when the last job ended */
	char reader_name[32];
	char reader_reason[512];
	char sandbox[16];
	char sandbox_reason[512];
	unsigned denied; /**< system calls that workers were told do not exist, as far as they were logged */
	char start_problem[512]; /**< why the last worker that could not start could not */
	struct posted posted[RING_SLOTS];
	struct place places[RING_WORKERS];
};

/* supervise.c */

/** place_start() - fork the worker of place @index. Returns 0 or -errno with a sentence. */
int place_start(struct pool *pool, uint32_t index);

/** place_failed() - place_start() has, and its sentence says why: that is remembered, and told once. */
void place_failed(struct pool *pool);

/** place_reap() - if the worker is dead, bury it: give its job to another, fork the next one. @wait: wait for it. */
void place_reap(struct pool *pool, uint32_t index, bool wait);

/** supervise() - start the workers that are missing; if there is none, and none can be started, end the jobs. */
void supervise(struct pool *pool);

/* pool_size.c */

/** A tick counts for at most so much time: so a coordinator that was stopped itself holds nothing against others. */
#define TICK_WORTH_NS 2000000000ull

/** size_target() - from now on places [0, @target) are wanted: those beyond are told to end; none is started. */
void size_target(struct pool *pool, unsigned target);

/** size_open() - the sizes of a new pool. Of the minimum one worker at least must start, if there is a minimum; the others
 * are missing until supervise() can start them. */
int size_open(struct pool *pool, unsigned min, unsigned most);

/** size_grow() - want @target workers, and start those that are missing, as far as starts are left. Returns 0 or -errno:
 * then as many are wanted as there are, or were wanted before. */
int size_grow(struct pool *pool, unsigned target);

/** size_shrink() - let go of workers that nobody has needed for the idle time-out. */
void size_shrink(struct pool *pool, uint64_t now);

/** size_refill() - allow as many starts a second as there can be workers. */
void size_refill(struct pool *pool);

/** size_spin() - how long workers shall spin, now that there are so many. */
void size_spin(struct pool *pool);

/** size_idle_ns() - the idle time-out; 0: never. */
uint64_t size_idle_ns(const struct pool *pool);

/* control.c */

/** control_drain() - hear what the worker has to say. False: its end of the socket is closed, or it talks nonsense. */
bool control_drain(struct pool *pool, uint32_t index);

/* pool.c */

/** pool_notice() - one sentence for the log. */
void pool_notice(struct pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** pool_standing() - one sentence about this system, which other pools may say as well, for the log: once. */
void pool_standing(struct pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** pool_end() - the job in @slot has ended, and @job says how. */
void pool_end(struct pool *pool, uint32_t slot, struct job *job);

#endif
