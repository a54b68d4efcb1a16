/*
 * workers_pool.c - the pool: whatever happens to its workers, every job that was posted ends, once, and nothing is left
 * behind.
 */
#include "workers_pool.h"

TestSuite(pool, .init = prepare, .fini = close_all, .timeout = 30);

Test(pool, every_job_comes_back_to_whoever_posted_it)
{
	open_pool(3);
	for (uint32_t i = 0; i < 300; i++)
		post(i, ANSWER);
	wait_for_ends(300);
	for (uint32_t i = 0; i < 300; i++) {
		cr_assert_eq(ends[i], 1);
		cr_assert_eq(sizes[i], i + 1);
		cr_assert_eq(atomic_load(&stage->runs[i]), 1);
	}
	cr_assert_eq(pool_in_flight(pool), 0);
	cr_assert_eq(pool_jobs(pool), 300);
	struct varve_worker_stat stats[3];
	pool_stat(pool, stats);
	cr_assert_eq(stats[0].jobs + stats[1].jobs + stats[2].jobs, 300);
	cr_assert_str_eq(pool_reader_name(pool), "pread");
	cr_assert_eq(notices > 0, pool_reader_reason(pool)[0] != '\0');
}

/* Small modules must not queue up behind a large one in a worker's own queue: there is none; but the ring is not for
 * hundreds of jobs in advance either, since a restore that is cancelled waits for what was posted. */
Test(pool, no_more_than_two_jobs_a_worker_are_under_way)
{
	struct job job = {.kind = JOB_RESTORE, .target = WAIT};
	open_pool(2);
	cr_assert_eq(pool_room(pool), 4);
	for (uint32_t i = 0; i < 4; i++)
		post(i, WAIT);
	cr_assert_eq(pool_room(pool), 0);
	cr_assert_eq(pool_post(pool, &job, 0, NULL, -1), -EAGAIN);
	atomic_store(&stage->go, true);
	wait_for_ends(4);
	cr_assert_eq(pool_room(pool), 4);
}

Test(pool, an_idle_worker_that_is_killed_is_replaced)
{
	struct varve_worker_stat before[2], after[2];
	open_pool(2);
	wait_until_serving(2);
	pool_stat(pool, before);
	kill(before[1].pid, SIGKILL);
	while (pool_stat(pool, after), after[1].pid == before[1].pid || after[1].pid == 0)
		turn();
	cr_assert_eq(after[0].pid, before[0].pid);
	cr_assert_eq(after[1].restarts, 1);
	cr_assert(strstr(all_notices, "worker 1 (process ") && strstr(all_notices, "signal 9"), "%s", all_notices);
	wait_until_serving(2);
	post(1, ANSWER);
	wait_for_ends(1);
	cr_assert_eq(results[1], 0);
}

Test(pool, the_job_of_a_worker_that_dies_is_run_by_another)
{
	open_pool(2);
	for (uint32_t i = 0; i < 8; i++)
		post(i, i % 4 == 0 ? DIE_ONCE : ANSWER);
	wait_for_ends(8);
	for (uint32_t i = 0; i < 8; i++) {
		cr_assert_eq(results[i], 0);
		cr_assert_eq(ends[i], 1);
		cr_assert_eq(atomic_load(&stage->runs[i]), i % 4 == 0 ? 2 : 1);
	}
}

/* A damaged delta that crashes the decoder would otherwise crash workers for ever, and the caller would never know. */
Test(pool, a_job_that_kills_two_workers_ends_with_an_error_and_no_other_job_suffers)
{
	open_pool(2);
	for (uint32_t i = 0; i < 6; i++)
		post(i, i == 2 ? DIE : ANSWER);
	wait_for_ends(6);
	for (uint32_t i = 0; i < 6; i++)
		cr_assert_eq(results[i], i == 2 ? -ENOTRECOVERABLE : 0);
	cr_assert_eq(atomic_load(&stage->runs[2]), 2);
	cr_assert(strstr(last_text, "signal 9"), "%s", last_text);
}

Test(pool, all_workers_can_be_killed_at_once_in_the_middle_of_their_jobs)
{
	open_pool(8);
	for (uint32_t i = 0; i < 16; i++)
		post(i, WAIT);
	wait_until_waiting(8);
	for (uint32_t i = 0; i < 8; i++)
		kill(pool->places[i].pid, SIGKILL);
	atomic_store(&stage->go, true);
	wait_for_ends(16);
	for (uint32_t i = 0; i < 16; i++)
		cr_assert(ends[i] == 1 && results[i] == 0);
	wait_until_serving(8);
}

/* The pool serves others as well: what one of them may have of it is not for this one. */
Test(pool, a_job_within_reach_of_two_workers_starts_no_third_and_is_run_by_none)
{
	struct job job = {.kind = JOB_RESTORE, .target = WAIT};
	open_elastic(4);
	for (uint32_t i = 0; i < 4; i++) {
		job.module = i;
		cr_assert_eq(pool_post(pool, &job, 2, (void *)(uintptr_t)i, -1), 0);
	}
	wait_until_waiting(2);
	cr_assert_eq(pool_running(pool), 2);
	post(4, ANSWER);
	wait_for_ends(1);
	cr_assert_eq(ends[4], 1, "a third worker is there for whom it may serve");
	cr_assert_eq(atomic_load(&stage->waiting), 2);
	atomic_store(&stage->go, true);
	wait_for_ends(5);
}

/* `varve workers N` while a restore runs: a job that would be killed for it would look like a crash. */
Test(pool, resizing_disturbs_no_job)
{
	open_pool(4);
	for (uint32_t i = 0; i < 8; i++)
		post(i, WAIT);
	wait_until_waiting(4);
	cr_assert_eq(pool_resize(pool, 1, 1), 0);
	cr_assert_eq(pool_size(pool), 1);
	cr_assert_eq(pool_resize(pool, 6, 6), 0);
	wait_until_waiting(6);
	cr_assert_eq(pool_resize(pool, 2, 2), 0);
	atomic_store(&stage->go, true);
	wait_for_ends(8);
	wait_until_serving(2);
	for (uint32_t i = 0; i < 8; i++) {
		cr_assert_eq(results[i], 0);
		cr_assert_eq(atomic_load(&stage->runs[i]), 1);
	}
	cr_assert_eq(strstr(all_notices, "ended"), NULL, "%s", all_notices);
	post(20, ANSWER);
	wait_for_ends(9);
}

Test(pool, sizes_that_can_not_be_are_refused)
{
	open_pool(1);
	cr_assert_eq(pool_resize(pool, 0, 0), -EINVAL);
	cr_assert_eq(pool_resize(pool, RING_WORKERS + 1, RING_WORKERS + 1), -EINVAL);
	cr_assert_eq(pool_size(pool), 1);
}

Test(pool, sixty_four_workers_share_the_work_of_few_cpus)
{
	open_pool(64);
	for (uint32_t i = 0; i < 600; i++)
		post(i, ANSWER);
	wait_for_ends(600);
	for (uint32_t i = 0; i < 600; i++)
		cr_assert_eq(atomic_load(&stage->runs[i]), 1);
}

/* A stopped process is not dead: nobody is told of it, and its job would wait for ever. */
Test(pool, a_worker_that_is_stopped_in_a_job_is_replaced)
{
	open_pool(1);
	post(1, STOP_ONCE);
	wait_for_ends(1);
	cr_assert_eq(results[1], 0);
	cr_assert_eq(atomic_load(&stage->runs[1]), 2);
	cr_assert(strstr(all_notices, "has been stopped"), "%s", all_notices);
}

/* Nor is one that runs, and gets nowhere. */
Test(pool, a_worker_that_hangs_in_a_job_is_replaced)
{
	setup.hang_ms = 50;
	open_pool(1);
	post(1, HANG_ONCE);
	wait_for_ends(1);
	cr_assert_eq(results[1], 0);
	cr_assert_eq(atomic_load(&stage->runs[1]), 2);
	cr_assert(strstr(all_notices, "no sign of life"), "%s", all_notices);
}

/* Somebody may have stopped a whole service, and let it go on one process after the other. */
Test(pool, workers_that_were_stopped_together_with_the_coordinator_are_left_alone)
{
	siginfo_t info = {0};
	open_pool(1);
	post(1, WAIT);
	wait_until_waiting(1);
	kill(pool->places[0].pid, SIGSTOP);
	cr_assert_eq(waitid(P_PID, (id_t)pool->places[0].pid, &info, WSTOPPED | WNOWAIT), 0);
	pool->ticked_ns -= 3600000000000ull;
	pool_tick(pool);
	kill(pool->places[0].pid, SIGCONT);
	atomic_store(&stage->go, true);
	wait_for_ends(1);
	cr_assert_eq(atomic_load(&stage->runs[1]), 1);
}

Test(pool, an_idle_worker_that_is_stopped_does_not_keep_jobs_waiting_for_ever)
{
	open_pool(1);
	wait_until_serving(1);
	kill(pool->places[0].pid, SIGSTOP);
	post(1, ANSWER);
	wait_for_ends(1);
	cr_assert_eq(results[1], 0);
}

static bool is_even(const void *arg, const void *cookie)
{
	(void)arg;
	return (uintptr_t)cookie % 2 == 0;
}

/* Cancelling must not wait for what others have under way, nor for the end of a long job. */
Test(pool, cancelled_jobs_end_and_the_others_do_not_notice)
{
	open_pool(2);
	for (uint32_t i = 0; i < 4; i++)
		post(i, WAIT_CANCELLED);
	wait_until_waiting(2);
	pool_cancel(pool, is_even, NULL);
	cr_assert_eq(ends[2], 1, "a job that nobody has taken waits for its turn to be cancelled");
	while (!ends[0])
		turn();
	cr_assert_eq(results[0], -ECANCELED);
	cr_assert_eq(results[2], -ECANCELED);
	atomic_store(&stage->go, true);
	wait_for_ends(4);
	cr_assert_eq(results[1], 0);
	cr_assert_eq(results[3], 0);
	/* A slot that a cancelled job had is as good as any. */
	for (uint32_t i = 4; i < 4 + 2 * RING_SLOTS; i++)
		post(i, WAIT_CANCELLED);
	wait_for_ends(4 + 2 * RING_SLOTS);
	for (uint32_t i = 4; i < 4 + 2 * RING_SLOTS; i++)
		cr_assert_eq(results[i], 0);
}

/* Its worker dies of something else meanwhile: the next one has no reason to begin. */
Test(pool, a_cancelled_job_whose_worker_dies_stays_cancelled)
{
	open_pool(1);
	post(2, WAIT);
	wait_until_waiting(1);
	pool_cancel(pool, is_even, NULL);
	struct ticket ticket = {0, pool->posted[0].generation};
	kill(pool->places[0].pid, SIGKILL);
	while (pool->posted[0].generation == ticket.generation)
		turn();
	cr_assert(ring_cancelled(&pool->ring, 0));
	atomic_store(&stage->go, true);
	wait_for_ends(1);
}

Test(pool, a_long_job_with_signs_of_life_is_left_alone)
{
	setup.hang_ms = 40;
	open_pool(2);
	post(1, WAIT_BEATING);
	wait_until_waiting(1);
	for (uint64_t end_ns = clock_now() + 200000000; clock_now() < end_ns; turn())
		pool_tick(pool);
	atomic_store(&stage->go, true);
	wait_for_ends(1);
	cr_assert_eq(atomic_load(&stage->runs[1]), 1);
}

/* A laptop that was asleep, or a coordinator that was stopped: its workers have done nothing wrong. */
Test(pool, time_in_which_the_coordinator_did_not_run_is_not_held_against_workers)
{
	setup.hang_ms = 5000;
	open_pool(1);
	post(1, WAIT);
	wait_until_waiting(1);
	pool_tick(pool);
	pool->ticked_ns -= 3600000000000ull;
	pool_tick(pool);
	pool_tick(pool);
	atomic_store(&stage->go, true);
	wait_for_ends(1);
	cr_assert_eq(atomic_load(&stage->runs[1]), 1);
}

/* Nobody knows which worker it was, nor who still runs the job whose slot is gone: see ring_check.c. */
Test(pool, after_the_ring_was_scribbled_on_all_workers_are_new_and_all_jobs_end)
{
	struct varve_worker_stat before[3], after[3];
	open_pool(3);
	for (uint32_t i = 0; i < 6; i++)
		post(i, WAIT);
	wait_until_waiting(3);
	pool_stat(pool, before);
	memset(pool->ring.memory->words, 0xa5, sizeof(pool->ring.memory->words));
	memset((void *)pool->ring.memory->spinning, 0xff, sizeof(pool->ring.memory->spinning));
	atomic_store(&stage->go, true);
	wait_for_ends(6);
	wait_until_serving(3);
	pool_stat(pool, after);
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_neq(before[i].pid, after[i].pid);
	for (uint32_t i = 0; i < 6; i++)
		cr_assert(ends[i] == 1 && results[i] == 0);
}
