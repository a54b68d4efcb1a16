/*
 * workers_ring.c - the job ring, one property at a time. workers_ring_race.c lets them meet.
 *
 * Most tests play both sides in one process; where a death or a sleep matters, workers are forked.
 */
#include "workers_ring.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(ring, .init = open_ring, .fini = close_ring, .timeout = 30);

/** do_jobs() - be a worker until retired. */
static _Noreturn void do_jobs(uint32_t worker, uint64_t spin_ns)
{
	struct ticket ticket;
	struct job job;
	while (!ring_retiring(&ring, worker))
		if (ring_take(&ring, worker, spin_ns, -1, &job, &ticket))
			ring_done(&ring, worker, ticket, &job);
	_exit(0);
}

static pid_t fork_worker(uint32_t worker, uint64_t spin_ns)
{
	pid_t pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0)
		do_jobs(worker, spin_ns);
	return pid;
}

static void wait_until_asleep(uint32_t worker)
{
	while (!(atomic_load(&ring.memory->asleep[worker / 64]) & bit_of(worker)))
		sched_yield();
}

static uint32_t reap_by_poll(void)
{
	struct pollfd fd = {.fd = ring.wake_fd, .events = POLLIN};
	struct ticket ticket;
	struct job job;
	while (!ring_reap(&ring, &job, &ticket)) {
		if (!ring_sleep_begin(&ring, 1))
			continue;
		poll(&fd, 1, -1);
		ring_sleep_end(&ring);
	}
	return job.module;
}

static void end_worker(pid_t pid, uint32_t worker)
{
	ring_retire(&ring, worker, true);
	cr_assert(waitpid(pid, NULL, 0) == pid);
}

Test(ring, a_job_comes_back_with_the_workers_outputs)
{
	struct job job, mine;
	struct ticket ticket, posted = post(7);

	struct ticket taken = must_take(3, &job);
	cr_assert_eq(taken.slot, posted.slot);
	cr_assert_eq(taken.generation, posted.generation);
	cr_assert_eq(job.module, 7);
	job.size = 4096;
	job.result = 0;
	cr_assert(ring_done(&ring, 3, taken, &job));
	cr_assert(ring_reap(&ring, &mine, &ticket));
	cr_assert_eq(mine.module, 7);
	cr_assert_eq(mine.kind, JOB_RESTORE);
	cr_assert_eq(mine.target, 8);
	cr_assert_eq(mine.size, 4096);
	cr_assert(nothing_to_reap());
}

Test(ring, all_slots_can_be_in_use_and_one_more_is_refused)
{
	struct job job = {.kind = JOB_RESTORE};
	struct ticket ticket;

	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < RING_SLOTS; i++)
			post(i);
		cr_assert_eq(ring_post(&ring, &job, 0, &ticket), -EAGAIN);
		for (uint32_t i = 0; i < RING_SLOTS; i++) {
			struct ticket taken = must_take(i, &job);
			cr_assert(ring_done(&ring, i, taken, &job));
		}
		cr_assert_eq(ring_post(&ring, &job, 0, &ticket), -EAGAIN, "a slot is free when it is reaped");
		for (uint32_t i = 0; i < RING_SLOTS; i++)
			must_reap();
		cr_assert(nothing_to_reap());
	}
}

/* The largest module is posted first, so that it does not end last: that is worth something only if order is kept. */
Test(ring, jobs_are_taken_in_the_order_of_their_posting)
{
	uint32_t next = 0;
	for (uint32_t i = 0; i < 500; i++) {
		struct job job;
		post(i);
		if (i % 5 == 4)
			while (next <= i) {
				struct ticket ticket = must_take(0, &job);
				cr_assert_eq(job.module, next++);
				ring_done(&ring, 0, ticket, &job);
				must_reap();
			}
	}
}

/* A worker that was given up for dead must not overwrite what its successor does. */
Test(ring, a_late_answer_of_a_lost_worker_is_dropped_without_a_trace)
{
	struct job late, job;
	struct ticket was, now, ticket;

	post(5);
	struct ticket taken = must_take(0, &late);
	cr_assert_eq(ring_lost(&ring, 0, &was, &now), 1);
	cr_assert_eq(was.generation, taken.generation);
	cr_assert_neq(now.generation, taken.generation);
	cr_assert_eq(ring_lost(&ring, 0, &was, &now), 0);

	late.size = 666;
	cr_assert_not(ring_done(&ring, 0, taken, &late), "while it is READY again");
	ticket = must_take(0, &job);
	cr_assert_not(ring_done(&ring, 0, taken, &late), "while the next one in the same place runs it");
	job.size = 1;
	cr_assert(ring_done(&ring, 0, ticket, &job));
	cr_assert_not(ring_done(&ring, 0, taken, &late), "while it is DONE");
	cr_assert(ring_reap(&ring, &job, &ticket));
	cr_assert_eq(job.size, 1);
	cr_assert_not(ring_done(&ring, 0, taken, &late), "when its slot is free");
	cr_assert_not(ring_scribbled(&ring));
}

/* Jobs are idempotent, but running one again whose result is there would be waste. */
Test(ring, what_a_worker_finished_before_it_died_stays_done)
{
	struct job job;
	struct ticket was, now;
	post(5);
	struct ticket taken = must_take(0, &job);
	ring_done(&ring, 0, taken, &job);
	cr_assert_eq(ring_lost(&ring, 0, &was, &now), 0);
	cr_assert_eq(must_reap(), 5);
}

/* Data that crashes a decoder crashes it again: the third try would only kill a third worker. */
Test(ring, a_job_that_lost_two_workers_is_given_up)
{
	struct ticket was, now;
	struct job job;

	post(5);
	must_take(0, &job);
	cr_assert_eq(ring_lost(&ring, 0, &was, &now), 1);
	must_take(1, &job);
	cr_assert_eq(ring_lost(&ring, 1, &was, &now), -ENOTRECOVERABLE);
	cr_assert_eq(was.slot, now.slot);
	cr_assert_eq(ring_job(&ring, was.slot)->module, 5);
	cr_assert_not(take(2, &job, &now));
	cr_assert_not(ring_scribbled(&ring));
	/* The next job in that slot starts with a clean record. */
	uint32_t slot = was.slot, worker = 0;
	for (uint32_t i = 0; i < RING_SLOTS; i++)
		post(i);
	while (must_take(worker, &job).slot != slot)
		worker++;
	cr_assert_eq(ring_lost(&ring, worker, &was, &now), 1);
}

Test(ring, only_a_job_that_nobody_has_taken_can_be_withdrawn)
{
	struct job job;
	struct ticket a = post(1), b = post(2), none = {RING_SLOTS, 1};

	struct ticket taken = must_take(0, &job);
	cr_assert_not(ring_withdraw(&ring, a));
	cr_assert(ring_withdraw(&ring, b));
	cr_assert_not(ring_withdraw(&ring, b), "twice");
	cr_assert_not(ring_withdraw(&ring, none));
	ring_done(&ring, 0, taken, &job);
	cr_assert_not(ring_withdraw(&ring, a));
	must_reap();
	cr_assert_not(take(0, &job, &taken));
}

/* Telling the coordinator costs a system call: it is owed only to one that sleeps. */
Test(ring, an_end_makes_wake_fd_readable_only_while_the_coordinator_sleeps)
{
	struct pollfd fd = {.fd = ring.wake_fd, .events = POLLIN};
	struct job job;

	post(1);
	struct ticket taken = must_take(0, &job);
	ring_done(&ring, 0, taken, &job);
	cr_assert_eq(poll(&fd, 1, 0), 0);
	cr_assert_not(ring_sleep_begin(&ring, 1), "there is something to reap already");
	must_reap();

	post(2);
	taken = must_take(0, &job);
	cr_assert(ring_sleep_begin(&ring, 1));
	ring_done(&ring, 0, taken, &job);
	cr_assert_eq(poll(&fd, 1, 0), 1);
	ring_sleep_end(&ring);
	cr_assert_eq(poll(&fd, 1, 0), 0, "the mark is taken back");
}

/* Where workers have something to go on with, one wake-up for several ends is enough. */
Test(ring, as_many_ends_as_asked_for_wake_a_sleeping_coordinator_once)
{
	struct pollfd fd = {.fd = ring.wake_fd, .events = POLLIN};
	struct ticket taken[4];
	struct job job;
	uint64_t marks = 0;

	for (uint32_t i = 0; i < 4; i++)
		post(i);
	for (uint32_t i = 0; i < 4; i++)
		taken[i] = must_take(i, &job);
	cr_assert(ring_sleep_begin(&ring, 3));
	for (uint32_t i = 0; i < 4; i++) {
		job = *ring_job(&ring, taken[i].slot);
		ring_done(&ring, i, taken[i], &job);
		cr_assert_eq(poll(&fd, 1, 0), i >= 2, "after %u ends", i + 1);
	}
	cr_assert_eq(read(ring.wake_fd, &marks, sizeof(marks)), sizeof(marks));
	cr_assert_eq(marks, 1);
}

/* It may be the last one that works: then nobody would count on, and the coordinator sleep for ever. */
Test(ring, a_worker_that_ended_a_job_and_finds_no_other_wakes_the_coordinator)
{
	struct pollfd fd = {.fd = ring.wake_fd, .events = POLLIN};
	struct ticket taken;
	struct job job;

	post(1);
	post(2);
	taken = must_take(0, &job);
	cr_assert(ring_sleep_begin(&ring, 3));
	ring_done(&ring, 0, taken, &job);
	taken = must_take(0, &job);
	cr_assert_eq(poll(&fd, 1, 0), 0, "it has another one");
	ring_done(&ring, 0, taken, &job);
	cr_assert_not(take(0, &job, &taken));
	cr_assert_eq(poll(&fd, 1, 0), 1);
	ring_sleep_end(&ring);
	cr_assert_eq(must_reap() + must_reap(), 3);
	cr_assert(ring_sleep_begin(&ring, 3));
	cr_assert_not(take(0, &job, &taken));
	cr_assert_eq(poll(&fd, 1, 0), 0, "one that has ended nothing since has nothing to say");
}

static void post_within(uint32_t reach, uint32_t number)
{
	struct job job = {.kind = JOB_RESTORE, .module = number};
	struct ticket ticket;
	cr_assert_eq(ring_post(&ring, &job, reach, &ticket), 0);
}

/* Somebody who asked for two workers gets two, however many sleep. */
Test(ring, a_job_is_taken_and_waited_for_only_by_workers_within_its_reach)
{
	struct ticket ticket;
	struct job job;

	atomic_fetch_or(&ring.memory->asleep[0], bit_of(2) | bit_of(3));
	post_within(2, 7);
	cr_assert_eq(atomic_load(&ring.memory->asleep[0]), bit_of(2) | bit_of(3), "it is not for those who sleep");
	cr_assert_not(take(2, &job, &ticket));
	cr_assert_not(take(700, &job, &ticket));
	must_take(1, &job);
	cr_assert_eq(job.module, 7);
	/* One who spins, but is not meant, does not keep one from being woken who is. */
	atomic_fetch_or(&ring.memory->asleep[0], bit_of(0));
	atomic_fetch_or(&ring.memory->spinning[0], bit_of(5));
	post_within(2, 8);
	cr_assert_eq(atomic_load(&ring.memory->asleep[0]), bit_of(2) | bit_of(3));
	cr_assert_not(ring_scribbled(&ring));
}

Test(ring, a_job_within_reach_of_a_dead_worker_keeps_its_reach_and_can_be_withdrawn)
{
	struct ticket was, now, ticket;
	struct job job;

	post_within(1, 7);
	must_take(0, &job);
	cr_assert_eq(ring_lost(&ring, 0, &was, &now), 1);
	cr_assert_not(take(1, &job, &ticket));
	cr_assert(ring_withdraw(&ring, now));
	cr_assert_not(take(0, &job, &ticket));
	cr_assert_not(ring_scribbled(&ring));
}

/* Workers 0 and 1 can not be started again, others are there: the job must not wait for ever. */
Test(ring, what_waits_can_be_opened_up_to_all_workers)
{
	struct job job;

	post_within(2, 7);
	atomic_fetch_or(&ring.memory->asleep[0], bit_of(9));
	ring_open_up(&ring);
	cr_assert_eq(atomic_load(&ring.memory->asleep[0]), 0, "one of the others is woken");
	must_take(9, &job);
	cr_assert_eq(job.module, 7);
	cr_assert_not(ring_scribbled(&ring));
}

Test(ring, a_worker_that_sleeps_is_woken_by_a_job_and_by_its_retirement)
{
	pid_t pid = fork_worker(9, 0);
	for (uint32_t i = 0; i < 20; i++) {
		wait_until_asleep(9);
		post(i);
		cr_assert_eq(reap_by_poll(), i);
	}
	wait_until_asleep(9);
	end_worker(pid, 9);
}

/* 64 workers, one job at a time: each wake-up costs a worker that finds nothing, if more than one is woken. */
Test(ring, a_post_wakes_one_worker)
{
	pid_t pids[3];
	for (uint32_t i = 0; i < 3; i++)
		pids[i] = fork_worker(i, 0);
	for (uint32_t i = 0; i < 3; i++) {
		wait_until_asleep(i);
		cr_assert(kill(pids[i], SIGSTOP) == 0);
	}
	post(1);
	cr_assert_eq(atomic_load(&ring.memory->asleep[0]), 6);
	post(2);
	cr_assert_eq(atomic_load(&ring.memory->asleep[0]), 4);
	for (uint32_t i = 0; i < 3; i++)
		kill(pids[i], SIGCONT);
	cr_assert_eq(reap_by_poll() + reap_by_poll(), 3);
	for (uint32_t i = 0; i < 3; i++)
		end_worker(pids[i], i);
}

/* The job is READY, everybody else sleeps, and the only one who knew of it is dead: it would lie there for ever. */
Test(ring, the_wake_up_of_a_worker_that_dies_of_it_is_passed_on)
{
	struct ticket was, now;
	pid_t first = fork_worker(0, 0), second = fork_worker(1, 0);

	wait_until_asleep(0);
	wait_until_asleep(1);
	kill(first, SIGSTOP);
	post(42);
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	cr_assert_eq(ring_lost(&ring, 0, &was, &now), 0);
	cr_assert_eq(reap_by_poll(), 42);
	end_worker(second, 1);
}

/* One that spins takes one job. The second one must not wait until the first is done. */
Test(ring, more_jobs_than_spinning_workers_wake_a_sleeping_one)
{
	pid_t sleeper = fork_worker(0, 0);

	wait_until_asleep(0);
	/* A spinning worker that never gets round to looking: only its bit is there. */
	atomic_fetch_or(&ring.memory->spinning[0], bit_of(1));
	post(1);
	cr_assert_eq(atomic_load(&ring.memory->asleep[0]), 1, "the one that spins is enough");
	post(2);
	cr_assert_eq(reap_by_poll() + reap_by_poll(), 3);
	end_worker(sleeper, 0);
}

Test(ring, a_worker_killed_with_a_job_gives_it_back)
{
	struct ticket was, now;
	struct job job;
	pid_t pid = fork();

	if (pid == 0) {
		struct ticket ticket;
		ring_take(&ring, 4, 0, -1, &job, &ticket);
		for (;;)
			pause();
	}
	struct ticket ticket = post(8);
	while (ring_owner(&ring, ticket) != 4)
		sched_yield();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_assert_eq(ring_lost(&ring, 4, &was, &now), 1);
	cr_assert_eq(ring_owner(&ring, ticket), UINT32_MAX, "the old ticket names nothing");
	must_take(5, &job);
	cr_assert_eq(job.module, 8);
}

/* 2^32 jobs through one slot are a matter of days. */
Test(ring, generations_may_wrap)
{
	struct job job;
	for (uint32_t i = 0; i < RING_SLOTS; i++) {
		ring.mirror->slots[i].generation = UINT32_MAX - 1;
		atomic_store(&ring.memory->words[i], slot_word(UINT32_MAX - 1, 0, SLOT_FREE));
	}
	for (uint32_t i = 0; i < 4 * RING_SLOTS; i++) {
		post(i);
		struct ticket taken = must_take(0, &job);
		cr_assert(ring_done(&ring, 0, taken, &job));
		cr_assert_eq(must_reap(), i);
	}
	cr_assert_not(ring_scribbled(&ring));
}
