/*
 * latency.c - where a time goes, and what can be told of all of them.
 *
 * Bucket i holds the times in (edge(i - 1), edge(i)]: up to 32 ns each nanosecond has its own; from there on, each power
 * of two has 32. A bucket's end belongs to it, as the `le` of a Prometheus histogram does.
 */
#include "latency.h"

/* @ns is one less than the time, so that the ends belong to the buckets below. */
static unsigned bucket_of(uint64_t ns)
{
	if (ns < LATENCY_SUB)
		return (unsigned)ns;
	unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
	return shift * LATENCY_SUB + (unsigned)(ns >> shift);
}

/* The longest time that bucket @index holds. */
static uint64_t edge(unsigned index)
{
	if (index < 2 * LATENCY_SUB)
		return index + 1;
	unsigned shift = index / LATENCY_SUB - 1;
	return (uint64_t)(index % LATENCY_SUB + LATENCY_SUB + 1) << shift;
}

void latency_note(struct latency *latency, uint64_t ns)
{
	if (ns > 1ull << LATENCY_TOP_BITS)
		ns = 1ull << LATENCY_TOP_BITS;
	latency->count++;
	latency->sum_ns += ns;
	if (ns > latency->max_ns)
		latency->max_ns = ns;
	latency->buckets[bucket_of(ns ? ns - 1 : 0)]++;
}

uint64_t latency_quantile(const struct latency *latency, double share)
{
	uint64_t rank = (uint64_t)(share * (double)latency->count + 0.999999), seen = 0;
	if (rank < 1)
		rank = 1;
	if (rank > latency->count)
		rank = latency->count;
	for (unsigned i = 0; i < LATENCY_BUCKETS && latency->count; i++) {
		seen += latency->buckets[i];
		if (seen >= rank)
			return edge(i) < latency->max_ns ? edge(i) : latency->max_ns;
	}
	return 0;
}

uint64_t latency_up_to(const struct latency *latency, unsigned bits)
{
	uint64_t seen = 0;
	unsigned end = bits >= LATENCY_TOP_BITS ? LATENCY_BUCKETS : bucket_of((1ull << bits) - 1) + 1;
	for (unsigned i = 0; i < end; i++)
		seen += latency->buckets[i];
	return seen;
}

struct varve_latency latency_describe(const struct latency *latency)
{
	return (struct varve_latency) {
	    .count = latency->count,
	    .failed = latency->failed,
	    .sum = (double)latency->sum_ns / 1e9,
	    .p50 = (double)latency_quantile(latency, 0.5) / 1e9,
	    .p95 = (double)latency_quantile(latency, 0.95) / 1e9,
	    .p99 = (double)latency_quantile(latency, 0.99) / 1e9,
	    .max = (double)latency->max_ns / 1e9,
	};
}
