/*
 * worker.h - a worker process: forked by the pool, takes jobs from the ring until it is told to end.
 */
#ifndef WORKERS_WORKER_H
#define WORKERS_WORKER_H

#include <sys/types.h>

#include "pool.h"

struct worker_start {
	const struct pool_setup *setup;
	struct ring *ring;
	uint32_t index; /**< its place in the pool, and its number as an owner in the ring */
	int control; /**< its end of the socket pair */
	pid_t parent; /**< the coordinator, as it was before the fork */
};

/** worker_main() - be a worker. Called in the child, right after fork(). */
_Noreturn void worker_main(const struct worker_start *start);

#endif
