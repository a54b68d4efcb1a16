/*
 * pool.h - the worker processes: started, watched, replaced, made more or fewer.
 *
 * Used by the coordinator only, which is one thread. No call blocks (but pool_close()).
 */
#ifndef WORKERS_POOL_H
#define WORKERS_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "ring.h"
#include "sandbox.h"
#include "varve.h"

/** I/O priority of a pool's workers (ioprio_set(2)); never better than the coordinator's. */
enum pool_io {
	POOL_IO_NORMAL, /**< what the coordinator has */
	POOL_IO_LOW, /**< best effort, the lowest of its levels */
	POOL_IO_IDLE, /**< only while nobody else wants the device */
};

/** Less memory than this does not do for any job (README.md). */
#define POOL_MEMORY_MIN (32ull << 20)

/** What every worker inherits at its fork. Must outlive the pool. */
struct pool_setup {
	struct dir *base;
	struct dir *priv;
	struct catalog *catalog;
	int lock; /**< descriptor of the store's lock: until the last worker is dead, no other coordinator has the store;
	               0 or less: none */
	enum read_method method;
	unsigned depth; /**< files in flight per worker */
	uint64_t
	    spin_ns; /**< how long a worker looks for a job before it sleeps; 0: by the number of CPUs and workers */
	unsigned hang_ms; /**< a worker that shows no sign of life in a job for so long is killed; 0: 30,000 */
	unsigned patience; /**< it is killed only after so many times that long; 0: once */
	unsigned min; /**< workers that are kept while there is nothing to do */
	unsigned idle_ms; /**< a worker that idles for so long gives its memory back, or, beyond @min, ends; 0: never */
	unsigned nice; /**< 0: as the coordinator. Nobody gets back from it, so background work has a pool of
	                    its own */
	enum pool_io io;
	unsigned tiers_percent; /**< job_context's */
	uint64_t memory_limit; /**< bytes that a worker may take for its jobs; 0: no limit */
	enum sandbox_mode sandbox;
	bool writes_backing; /**< its workers may write to backing files */
	const char *name; /**< of the processes, in `ps`; NULL: "worker" */
};

/** Called from pool_dispatch() and pool_reap(). */
struct pool_events {
	/** a job has ended: @job has its outputs; @cookie as given to pool_post(). */
	void (*done)(void *arg, void *cookie, struct job *job);
	/** JOB_VERIFY: a worker has found something. */
	void (*found)(void *arg, void *cookie, bool damage, const char *file, const char *problem);
	/** one sentence for the log: a worker died, was replaced, ... */
	void (*notice)(void *arg, const char *text);
	void *arg;
	/** pool_close(): the job was under way, and nobody will hear of it again. May be NULL. */
	void (*dropped)(void *arg, void *cookie);
	/** one sentence for the log that is about this system, and so the same for all workers of all pools. NULL: notice()
	 * gets it. */
	void (*standing)(void *arg, const char *text);
};

struct pool;

/** For pool_setup.spin_ns: sleep at once. */
#define POOL_SPIN_NEVER UINT64_MAX

/** pool_open() - a pool of at most @workers processes, of which setup->min are started at once, and the others when
 * jobs wait. Where the system allows fewer than the minimum there are fewer, at least one, until it allows more.
 * @epoll: a descriptor of epoll, to which the pool adds its descriptors with data.ptr == the pool. */
int pool_open(
    const struct pool_setup *setup, const struct pool_events *events, unsigned workers, int epoll, struct pool **pool);

/** pool_close() - end the workers (SIGKILL after @grace_ms) and wait for them. Jobs under way are lost. */
void pool_close(struct pool *pool, int grace_ms);

/**
 * pool_post() - hand a job to the workers.
 * @reach  only the first so many workers may run it; 0: any
 * @fd     for JOB_CHECKOUT: the descriptor, dup()ed by the pool; else -1
 * Returns 0, or -EAGAIN (as many jobs as may be are under way already: pool_room()).
 */
int pool_post(struct pool *pool, const struct job *job, unsigned reach, void *cookie, int fd);

/** Jobs that each worker may have, waiting or running: so that it has one to go on with. */
#define POOL_JOBS_EACH 2u

/** pool_room() - jobs that can be posted before workers have more than that. */
unsigned pool_room(const struct pool *pool);

/** pool_in_flight() - jobs posted and not yet done. */
unsigned pool_in_flight(const struct pool *pool);

/** pool_reap() - call done() for every job that has ended. Returns how many. */
unsigned pool_reap(struct pool *pool);

/** pool_dispatch() - after epoll said so: jobs' ends, workers' deaths and questions. A worker that died is replaced and
 * its job given to another; a job that has killed two workers ends with -ENOTRECOVERABLE and a sentence. */
void pool_dispatch(struct pool *pool);

/** pool_tick() - to be called when pool_timeout() says so: kills workers that hang, starts those that could not be
 * started before, ends those that nobody needs, notices what a worker gone wrong has done to the ring, and reaps. */
void pool_tick(struct pool *pool);

/** pool_kill_stopped() - workers that were stopped (SIGSTOP) are killed, and so replaced. pool_tick() does it, too. */
void pool_kill_stopped(struct pool *pool);

/** pool_timeout() - milliseconds until pool_tick() is due: a second after the last one (or setup->hang_ms, if that is
 * less) while there are jobs, or workers come and go; -1: not before something happens. So a pool without work costs
 * nothing. */
int pool_timeout(const struct pool *pool);

/** pool_sleep_begin() - before epoll_wait(): false if there are ended jobs to reap. pool_sleep_end() after it. @more: all
 * jobs under way are of somebody who has more of them as soon as there is room, and for whom half of them may end before
 * epoll says so. */
bool pool_sleep_begin(struct pool *pool, bool more);
void pool_sleep_end(struct pool *pool);

/**
 * pool_cancel() - nobody wants the jobs any more of whose cookies @mine says true. Those that no worker has taken yet end
 * at once, with -ECANCELED; the others as soon as their workers notice. done() is called for each, as ever.
 */
void pool_cancel(struct pool *pool, bool (*mine)(const void *arg, const void *cookie), const void *arg);

/** pool_set_urgent() - whether somebody waits for workers: background jobs then give up. */
void pool_set_urgent(struct pool *pool, bool urgent);

/** pool_resize() - at least @min workers (0 to @most), at most @most (1 to RING_WORKERS). Surplus workers end after their
 * jobs; those that are missing to @min are started, or -errno and all is as it was. */
int pool_resize(struct pool *pool, unsigned min, unsigned most);

/** pool_set_idle() - setup.idle_ms, from now on. */
void pool_set_idle(struct pool *pool, unsigned idle_ms);

/** pool_fill() - start as many as the pool may have; they end again after the idle time-out. Returns 0, or -errno: there
 * are fewer, perhaps none. */
int pool_fill(struct pool *pool);

/** pool_size() - the most workers there can be. pool_running() - how many there are. */
unsigned pool_size(const struct pool *pool);
unsigned pool_running(const struct pool *pool);

/** pool_stat() - figures of each worker; @stats has room for pool_size(). One that does not run has pid 0. */
void pool_stat(const struct pool *pool, struct varve_worker_stat *stats);

/** pool_waiting() - jobs that no worker has taken yet. pool_deaths() - workers that were replaced because they died. */
unsigned pool_waiting(const struct pool *pool);
uint64_t pool_deaths(const struct pool *pool);

/** pool_jobs() - jobs done since the start, by all workers, also those gone. */
uint64_t pool_jobs(const struct pool *pool);

/** pool_reader_name() / pool_reader_reason() - what the workers read with, and why not with io_uring (reader.h), as the
 * first one that started has said; "" until then. */
const char *pool_reader_name(const struct pool *pool);
const char *pool_reader_reason(const struct pool *pool);

/** pool_sandbox() / pool_sandbox_reason() - how the workers are confined, and what is missing (struct sandbox_result), as
 * the first one that started has said; "" until then. */
const char *pool_sandbox(const struct pool *pool);
const char *pool_sandbox_reason(const struct pool *pool);

#endif
