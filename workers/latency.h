/*
 * latency.h - a histogram of times in a fixed amount of memory, exact to 1 part in 32 however long they are.
 *
 * Log-linear, as in HdrHistogram (Gil Tene; http://hdrhistogram.org): each power of two is divided into 32 buckets of the
 * same width, so noting a time is a shift and an addition, and nothing is ever forgotten or sampled.
 */
#ifndef WORKERS_LATENCY_H
#define WORKERS_LATENCY_H

#include <stdint.h>

#include "varve.h"

#define LATENCY_SUB_BITS 5
#define LATENCY_SUB (1u << LATENCY_SUB_BITS)
/** Times of 2^42 ns (73 minutes) and more are noted as that. */
#define LATENCY_TOP_BITS 42
#define LATENCY_BUCKETS ((LATENCY_TOP_BITS - LATENCY_SUB_BITS + 1) * LATENCY_SUB)

/** Zero-initialise it. */
struct latency {
	uint64_t count;
	uint64_t failed;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t buckets[LATENCY_BUCKETS];
};

/** latency_note() - one more that took @ns. */
void latency_note(struct latency *latency, uint64_t ns);

/** latency_quantile() - the shortest time of a bucket's end that @share (0 to 1) of all are not above, nanoseconds: never
 * less than the true one, at most 1/32 more. 0 if there is none. */
uint64_t latency_quantile(const struct latency *latency, double share);

/** latency_up_to() - how many took at most 2^@bits ns: exact. */
uint64_t latency_up_to(const struct latency *latency, unsigned bits);

/** latency_describe() - the figures that are shown. */
struct varve_latency latency_describe(const struct latency *latency);

#endif
