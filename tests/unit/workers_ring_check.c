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

/* An error without a sentence tells nobody what to do. */
Test(scribble, a_failure_without_a_sentence_gets_one)
{
	struct job job;
	struct ticket ticket;
	post(1);
	struct ticket taken = must_take(0, &job);
	job.result = -EIO;
	job.text[0] = '\0';
	ring_done(&ring, 0, taken, &job);
	cr_assert(ring_reap(&ring, &job, &ticket));
	cr_assert_gt(strlen(job.text), 10);
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

/** expect_repeated() - what lies in the slot of @ticket is taken for no answer, and the job is run again. */
static void expect_repeated(uint32_t number, const char *what)
{
	struct ticket was, now;
	struct job job;

	cr_assert(nothing_to_reap(), "%s was believed", what);
	cr_assert(ring_spoilt(&ring) && ring_scribbled(&ring), "%s was not noticed", what);
	cr_assert(ring_sleep_begin(&ring, 1), "nobody waits for %s", what);
	ring_sleep_end(&ring);
	cr_assert_eq(ring_lost(&ring, 1, &was, &now), 0);
	cr_assert_eq(ring_mend(&ring, &was, &now), 1);
	cr_assert_eq(ring_mend(&ring, &was, &now), 0);
	cr_assert_not(ring_spoilt(&ring) || ring_scribbled(&ring));
	struct ticket taken = must_take(2, &job);
	cr_assert_eq(job.module, number);
	job.result = 0;
	ring_done(&ring, 2, taken, &job);
	cr_assert_eq(must_reap(), number);
}

/* The inputs decide which file a result is booked to. */
Test(scribble, an_answer_to_another_question_is_none)
{
	for (uint32_t i = 0; i < 5; i++) {
		struct job job;
		post(i);
		struct ticket taken = must_take(1, &job);
		uint32_t *inputs[] = {&job.kind, &job.module, &job.target, &job.flags, &job.basis};
		*inputs[i] += 1;
		job.result = 0;
		ring_done(&ring, 1, taken, &job);
		expect_repeated(i, "an answer with another input");
	}
}

/* A commit's new entry, its hash with it, stands in an answer: one bit of it, and the history is wrong for good. */
Test(scribble, an_answer_of_which_one_bit_was_changed_is_none)
{
	for (uint32_t at = 0; at < sizeof(struct job); at += 37) {
		struct job job;
		struct ticket ticket = post(at);
		struct ticket taken = must_take(1, &job);
		job.result = 0;
		ring_done(&ring, 1, taken, &job);
		((uint8_t *)&ring.memory->bodies[ticket.slot].job)[at] ^= 0x10;
		expect_repeated(at, "a changed answer");
	}
}

/* The job before it in that slot was done, too: its answer must not do for this one. */
Test(scribble, an_old_answer_in_its_place_is_none)
{
	struct job job;
	struct ticket first = post(1);
	struct ticket taken = must_take(1, &job);
	job.result = 0;
	ring_done(&ring, 1, taken, &job);
	struct ring_body old = ring.memory->bodies[first.slot];
	must_reap();
	for (unsigned i = 1; i < RING_SLOTS; i++) {
		post(2);
		ring_done(&ring, 1, must_take(1, &job), &job);
		must_reap();
	}
	struct ticket again = post(1);
	cr_assert_eq(again.slot, first.slot);
	taken = must_take(1, &job);
	ring_done(&ring, 1, taken, &job);
	memcpy(&ring.memory->bodies[first.slot], &old, sizeof(old));
	expect_repeated(1, "an old answer");
}

/* It would restore another commit than was asked for, and be believed that it has done what it should. */
Test(scribble, a_job_that_was_written_over_before_it_was_taken_is_not_run)
{
	for (uint32_t at = 0; at < sizeof(struct job); at += 37) {
		struct job job;
		struct ticket ticket = post(at);
		((uint8_t *)&ring.memory->bodies[ticket.slot].job)[at] ^= 0x10;
		struct ticket taken = must_take(1, &job);
		cr_assert_eq(job.kind, JOB_NONE);
		job.result = -EINVAL;
		ring_done(&ring, 1, taken, &job);
		expect_repeated(at, "the answer to a changed job");
	}
}

/* The same if it waits still when the damage is found: the next worker must find what was posted. */
Test(scribble, mending_puts_back_the_jobs_that_wait)
{
	struct ticket was, now, ticket = post(5);
	struct job job;
	memset(&ring.memory->bodies[ticket.slot], 0x5a, sizeof(struct ring_body));
	atomic_store(&ring.memory->words[99], 1);
	cr_assert_eq(ring_mend(&ring, &was, &now), 0);
	must_take(1, &job);
	cr_assert(job.kind == JOB_RESTORE && job.module == 5 && job.target == 6);
}

/* Any worker can write the mark that says so. */
Test(scribble, a_job_that_we_have_not_cancelled_does_not_end_as_cancelled)
{
	struct job job;
	struct ticket ticket = post(3);
	atomic_store(&ring.memory->cancelled[ticket.slot], true);
	struct ticket taken = must_take(1, &job);
	cr_assert(ring_cancelled(&ring, taken.slot));
	job.result = -ECANCELED;
	ring_done(&ring, 1, taken, &job);
	expect_repeated(3, "a cancellation");
	ticket = post(4);
	ring_cancel(&ring, ticket);
	taken = must_take(1, &job);
	job.result = -ECANCELED;
	ring_done(&ring, 1, taken, &job);
	cr_assert_eq(must_reap(), 4);
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
		ring_sleep_begin(&ring, 1);
		ring_sleep_end(&ring);
		ring_running(&ring, busy, &oldest);
		ring_spin(&ring);
		ring_post(&ring, &job, 0, &now);
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
