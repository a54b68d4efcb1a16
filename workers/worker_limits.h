/*
 * worker_limits.h - what a worker denies itself: memory, and, for background work, its share of CPU and device.
 */
#ifndef WORKERS_WORKER_LIMITS_H
#define WORKERS_WORKER_LIMITS_H

#include "pool.h"

/** limits_take() - by setup->nice, setup->io and setup->memory_limit, for the rest of this process's life. What fails for
 * want of memory from then on names the limit. Returns 0, or -errno with a sentence if its memory can not be limited; that
 * its priority can not be lowered is no error. */
int limits_take(const struct pool_setup *setup);

#endif
