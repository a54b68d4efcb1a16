/*
 * workers_ring_check.c - the coordinator's side of the ring against workers gone wrong: they can write anything to the
 * memory that they share with it.
 */
#include "workers_ring.h"

#include <stdlib.h>

TestSuite(scribble, .init = open_ring, .fini = close_ring, .timeout = 30);

/* An answer is printed, and compared with errno values: garbage in it must not reach a terminal or look like success. */
Test(scribble, an_answer_that_makes_no_sense_becomes_an_error)
{
	static const int32_t results[] = {1, INT32_MAX, -4096, INT32_MIN};
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		struct job job;
		struct ticket ticket;
		post(1);
		struct ticket taken = must_take(0, &job);
		job.result = results[i];
		memset(job.text, 'x', sizeof(job.text));
		ring_done(&ring, 0, taken, &job);
		cr_assert(ring_reap(&ring, &job, &ticket));
		cr_assert_eq(job.result, -EPROTO);
		cr_assert(strlen(job.text) < sizeof(job.text));
	}
}

Test(scribble, a_sentence_is_cut_off_and_free_of_control_characters)
{
	struct job job;
	struct ticket ticket;
	post(1);
	struct ticket taken = must_take(0, &job);
	job.result = -EIO;
	memset(job.text, '\033', sizeof(job.text));
	ring_done(&ring, 0, taken, &job);
	cr_assert(ring_reap(&ring, &job, &ticket));
	cr_assert_eq(job.result, -EIO);
	cr_assert_eq(strlen(job.text), sizeof(job.text) - 1);
	cr_assert(strchr(job.text, '\033') == NULL);
}

/** scribble() - every kind of damage in turn. */
static uint64_t scribble(unsigned kind, uint64_t word)
{
	switch (kind) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return word ^ (uint64_t)1 << 32; /* another generation */
	case 3:
		return (word & ~(uint64_t)0xff) | 4; /* no such state */
	case 4:
		return word ^ (uint64_t)1 << 24; /* a bit that is never used */
	case 5:
		return slot_word(word_generation(word), RING_WORKERS, SLOT_RUNNING); /* no such worker */
	default:
		return slot_word(word_generation(word), 0, SLOT_FREE);
	}
}

/* A worker gone wrong may write anything there. The job in that slot must not be lost, and nobody may hang or crash. */
Test(scribble, a_slot_that_was_scribbled_on_is_noticed_and_its_job_run_again)
{
	for (unsigned round = 0; round < 14; round++) {
		unsigned kind = round % 7;
		struct ticket was, now, ticket = post(round);
		struct job job;

		if (round >= 7)
			must_take(2, &job);
		cr_assert_not(ring_scribbled(&ring));
		_Atomic uint64_t *word = &ring.memory->words[ticket.slot];
		atomic_store(word, scribble(kind, atomic_load(word)));
		cr_assert(ring_scribbled(&ring), "damage of kind %u", kind);
		cr_assert(nothing_to_reap());
		cr_assert_eq(ring_lost(&ring, 2, &was, &now), 0);
		cr_assert_eq(ring_mend(&ring, &was, &now), 1);
		cr_assert_eq(ring_mend(&ring, &was, &now), 0);
		cr_assert_not(ring_scribbled(&ring));
		struct ticket taken = must_take(0, &job);
		cr_assert_eq(job.module, round);
		ring_done(&ring, 0, taken, &job);
		must_reap();
	}
}

Test(scribble, a_job_that_nobody_posted_is_noticed)
{
	atomic_store(&ring.memory->words[77], slot_word(0, 0, SLOT_READY));
	cr_assert(ring_scribbled(&ring));
	struct ticket was, now;
	cr_assert_eq(ring_mend(&ring, &was, &now), 0);
	cr_assert_not(ring_scribbled(&ring));
	struct job job;
	cr_assert_not(take(0, &job, &now));
}

/* All of the shared memory is noise: each of the coordinator's calls returns, and after mending the jobs are there. */
Test(scribble, noise_in_all_of_the_memory_does_no_harm_to_the_coordinator)
{
	for (unsigned seed = 1; seed <= 50; seed++) {
		uint64_t busy[RING_WORKERS / 64], oldest;
		struct ticket was, now;
		struct job job = {.kind = JOB_RESTORE};
		unsigned ends = 0;

		for (uint32_t i = 0; i < 100; i++)
			post(i);
		uint32_t *noise = ring.shm.base;
		srand(seed);
		for (size_t i = 0; i < ring.shm.size / sizeof(*noise); i++)
			noise[i] = (uint32_t)rand();
		atomic_store(&ring.memory->coordinator_sleeps, 1);
		ring_sleep_begin(&ring);
		ring_sleep_end(&ring);
		ring_running(&ring, busy, &oldest);
		ring_spin(&ring);
		ring_post(&ring, &job, &now);
		cr_assert(ring_scribbled(&ring));
		while (ring_reap(&ring, &job, &now))
			ends++;
		for (uint32_t i = 0; i < 4; i++)
			for (int what; (what = ring_lost(&ring, i, &was, &now)) != 0;)
				ends += what == -ENOTRECOVERABLE;
		for (int what; (what = ring_mend(&ring, &was, &now)) != 0;)
			ends += what == -ENOTRECOVERABLE;
		cr_assert_not(ring_scribbled(&ring));
		cr_assert_eq(atomic_load(&ring.memory->asleep[9]) | atomic_load(&ring.memory->spinning[9]), 0);
		ring_retire(&ring, 3, false);
		while (take(3, &job, &now)) {
			job.result = 0;
			ring_done(&ring, 3, now, &job);
			must_reap();
			ends++;
		}
		cr_assert_eq(ends, 101);
	}
}

Test(scribble, whatever_the_memory_says_a_worker_spins_for_a_millisecond_at_most)
{
	atomic_store(&ring.memory->spin_ns, UINT64_MAX);
	cr_assert_eq(ring_spin(&ring), 1000000);
	ring_set_spin(&ring, 20000);
	cr_assert_eq(ring_spin(&ring), 20000);
}
