/*
 * store_taken_over.c - a worker that was taken over by what it decoded, and does the worst that it can by way of what it
 * shares with the coordinator, harms nobody but itself: the coordinator lives, and whatever call says that it has
 * succeeded has.
 */
#include "helper_life.h"

#include <errno.h>
#include <stdio.h>

TestSuite(taken_over, .init = store_setup, .fini = store_teardown, .timeout = 600);

/* Which seed was drawn last is in the message: VARVE_TAKEN_OVER=N repeats it, as far as processes can be repeated. */
Test(taken_over, workers_that_write_over_the_ring_and_talk_nonsense_cost_calls_and_no_commit)
{
	char honest[4096], seed[16], what[64];
	snprintf(honest, sizeof(honest), "%s", getenv("VARVE_COORDINATOR"));
	setenv("VARVE_INLINE", "0", 1);
	for (int n = 0; n < how_many(1, 60); n++) {
		struct life life;
		snprintf(seed, sizeof(seed), "%d", n);
		snprintf(what, sizeof(what), "VARVE_TAKEN_OVER=%d", n);
		setenv("VARVE_TAKEN_OVER", seed, 1);
		setenv("VARVE_COORDINATOR", TAKEN_OVER, 1);
		life_live(&life);
		end_processes();
		setenv("VARVE_COORDINATOR", honest, 1);
		unsetenv("VARVE_TAKEN_OVER");
		cr_expect_neq(life.last_error, -ECONNRESET, "%s: the coordinator died: %s", what, life.last_text);
		for (int step = 0; step < LIFE_STEPS; step++)
			cr_expect_not(life.maybe[step], "%s: the coordinator died in commit %d", what, step);
		life_check(&life, what);
		store_remove();
	}
	unsetenv("VARVE_INLINE");
}
