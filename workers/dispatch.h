/*
 * dispatch.h - runs operations: asks each in turn for jobs and gives them to workers, fairly.
 *
 * Also the rules of who may run beside whom: while a worker publishes or repairs a module's files, no other reads them.
 * A job that costs less than handing it over is run at once, by the coordinator itself.
 */
#ifndef WORKERS_DISPATCH_H
#define WORKERS_DISPATCH_H

#include "op.h"
#include "pool.h"
#include "settings.h"
#include "store.h"

/** What uses a module's files right now. */
struct module_use {
	uint32_t readers;
	bool writer;
	bool wanted; /**< a writer waits: no further readers */
	uint32_t measured; /**< of so many entries of the chain, */
	uint64_t largest; /**< the largest image's bytes */
};

/** So many sentences about the system are remembered, to be logged once. */
#define DISPATCH_STANDING 8

struct dispatch {
	struct executor executor; /**< the store's; must come first */
	struct store *store;
	struct job_context own; /**< for jobs that the coordinator runs itself */
	struct pool_setup setup;
	struct pool_events events;
	struct pool *pool; /**< NULL until the first job needs it */
	struct pool_setup background_setup;
	struct pool *background; /**< one worker of low priority for what nobody waits for; NULL until it is needed */
	unsigned workers; /**< how many the pool may have */
	int epoll;
	struct op *ops; /**< all that are started, in the order of their turns */
	struct module_use *uses;
	uint32_t uses_count;
	bool shown; /**< all workers were started once, for somebody who looked */
	uint64_t jobs_here; /**< jobs that the coordinator ran itself */
	bool never_inline; /**< VARVE_INLINE=0: hand everything over */
	char standing[DISPATCH_STANDING][ERR_TEXT + 128];
	/** reasons, -errno, for which background work could not be done: each is logged once */
	int background_told[DISPATCH_STANDING];
	bool again; /**< something has changed: ask all operations once more */
};

/** dispatch_open() - @notice gets sentences for the log. */
int dispatch_open(struct dispatch *d, struct store *store, const struct settings *settings, int epoll,
    void (*notice)(void *arg, const char *text));
void dispatch_close(struct dispatch *d);

/** dispatch_run() - hand out what can be handed out, complete what has ended. Returns whether anything happened. */
bool dispatch_run(struct dispatch *d);

/** dispatch_reap() - take in what workers have done. */
bool dispatch_reap(struct dispatch *d);

/** dispatch_hungry() - whether there is one operation that somebody waits for, and all that it lacks is room for more
 * jobs. */
bool dispatch_hungry(const struct dispatch *d);

/** dispatch_changing() - whether an operation that changes the store is under way. */
bool dispatch_changing(const struct dispatch *d);

/** dispatch_idle() - whether there is none that somebody waits for. */
bool dispatch_idle(const struct dispatch *d);

/** dispatch_background() - start background work, if there is any to do and none under way. */
void dispatch_background(struct dispatch *d);

/** dispatch_pool() - the pool, started if it has not been. NULL with a sentence. */
struct pool *dispatch_pool(struct dispatch *d);

/** dispatch_resize() - at least @min workers, at most @most. dispatch_set_idle() - when those that idle end. */
int dispatch_resize(struct dispatch *d, unsigned min, unsigned most);
void dispatch_set_idle(struct dispatch *d, unsigned idle_ms);

/** dispatch_jobs() - done since the start, whoever did them. */
uint64_t dispatch_jobs(const struct dispatch *d);

/** dispatch_event() - what epoll said of @tag. False: it is none of the workers'. */
bool dispatch_event(struct dispatch *d, const void *tag);

/** dispatch_timeout() - milliseconds until dispatch_tick() is due; -1: not before something happens. */
int dispatch_timeout(const struct dispatch *d);
void dispatch_tick(struct dispatch *d);

/** dispatch_kill_stopped() - a child of this process may have been stopped: a worker that was is replaced. */
void dispatch_kill_stopped(struct dispatch *d);

/** dispatch_sleep_begin() - before epoll_wait(): false if there are ended jobs to reap. dispatch_sleep_end() after it,
 * if it was true. */
bool dispatch_sleep_begin(struct dispatch *d);
void dispatch_sleep_end(struct dispatch *d);

#endif
