/*
 * dispatch_private.h - what the parts of dispatch share.
 */
#ifndef WORKERS_DISPATCH_PRIVATE_H
#define WORKERS_DISPATCH_PRIVATE_H

#include "dispatch.h"

/** What the coordinator looks at itself: files, and images, of so many bytes. Restores by difference apart. */
#define HERE_BYTES (1u << 20)

/** A job at a worker: the pool's cookie. */
struct flight {
	struct op *op;
	uint32_t module;
	uint32_t kind;
};

/* ---- dispatch_jobs.c ---- */

/** dispatch_may_run() - whether nobody uses the module's files in a way that the job does not go with. */
bool dispatch_may_run(struct dispatch *d, const struct job *job);

/** dispatch_start_job() - hand it over, or do it at once. */
void dispatch_start_job(struct dispatch *d, struct op *op, struct job *job);

/** What the pools call. */
void dispatch_on_done(void *arg, void *cookie, struct job *job);
void dispatch_on_found(void *arg, void *cookie, bool damage, const char *file, const char *problem);
void dispatch_on_dropped(void *arg, void *cookie);

/* ---- dispatch_pools.c ---- */

/** dispatch_background_pool() - the worker for what nobody waits for, started if it has not been. NULL with a sentence. */
struct pool *dispatch_background_pool(struct dispatch *d);

#endif
