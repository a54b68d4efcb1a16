/*
 * workers_latency.c - the histogram of times: its bounds of error, and what it tells.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "latency.h"

static struct latency latency;

TestSuite(latency);

Test(latency, nothing_noted_is_all_zeros)
{
	struct varve_latency l = latency_describe(&latency);
	cr_assert(!l.count && !l.failed && l.p50 == 0 && l.p99 == 0 && l.max == 0);
}

/* An operator who reads a p99 must not be told less than it was. */
Test(latency, a_time_alone_is_told_not_shorter_and_at_most_a_32nd_longer)
{
	for (uint64_t ns = 0; ns < 1ull << 42; ns = ns < 300 ? ns + 1 : ns + ns / 7 + 1) {
		static struct latency one;
		one = (struct latency) {0};
		latency_note(&one, ns);
		latency_note(&one, 1ull << 42); /* else the maximum would bound it */
		uint64_t told = latency_quantile(&one, 0.5);
		cr_assert_geq(told, ns);
		cr_assert_leq(
		    told, ns + ns / 32 + 1, "%llu told as %llu", (unsigned long long)ns, (unsigned long long)told);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

Test(latency, percentiles_are_those_of_the_sorted_list)
{
	static const double shares[] = {0.01, 0.5, 0.95, 0.99, 1};
	enum { COUNT = 10000 };
	uint64_t *all = malloc(COUNT * sizeof(*all)), seed = 1;
	for (int i = 0; i < COUNT; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		all[i] = (seed >> 40) << (seed % 12);
		latency_note(&latency, all[i]);
	}
	qsort(all, COUNT, sizeof(*all), by_value);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		uint64_t exact = all[(size_t)(shares[i] * COUNT) - 1], told = latency_quantile(&latency, shares[i]);
		cr_assert(told >= exact && told <= exact + exact / 32 + 1, "share %g", shares[i]);
	}
	cr_assert_eq(latency.max_ns, all[COUNT - 1]);
	free(all);
}

/* Else the same time would count in one `le` today and in another tomorrow. */
Test(latency, powers_of_two_are_bounds_that_include_themselves)
{
	latency_note(&latency, 65536);
	latency_note(&latency, 65537);
	cr_assert_eq(latency_up_to(&latency, 15), 0);
	cr_assert_eq(latency_up_to(&latency, 16), 1);
	cr_assert_eq(latency_up_to(&latency, 17), 2);
	cr_assert_eq(latency_up_to(&latency, 63), 2);
}

Test(latency, a_time_beyond_the_range_is_noted_as_its_end)
{
	latency_note(&latency, UINT64_MAX);
	cr_assert_eq(latency_quantile(&latency, 0.5), 1ull << 42);
	cr_assert_eq(latency_up_to(&latency, 42), 1);
}
