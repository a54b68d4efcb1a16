/*
 * workers_elastic.c - a pool that follows its work: workers come when jobs wait, and go when there are none; what one may
 * take of memory, CPU and device.
 */
#include "workers_pool.h"

#include "fault.h"

#include <limits.h>

#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__)
#define ALLOCATOR_ABORTS true /* AddressSanitizer's, where there is no memory */
#elif defined(__has_feature)
#define ALLOCATOR_ABORTS __has_feature(address_sanitizer)
#else
#define ALLOCATOR_ABORTS false
#endif

TestSuite(elastic, .init = prepare, .fini = close_all, .timeout = 30);

/** pause_ms() - a coordinator's loop that sleeps as long as it may: for @ms, with ticks when they are due. */
static void pause_ms(unsigned ms)
{
	for (uint64_t end = clock_now() + ms * 1000000ull; clock_now() < end; turn())
		if (pool_timeout(pool) == 0)
			pool_tick(pool);
}

/** wait_until_running() - until there are so many processes. */
static void wait_until_running(unsigned count)
{
	while (pool_running(pool) != count) {
		turn();
		if (pool_timeout(pool) == 0)
			pool_tick(pool);
	}
}

/* An idle store costs nothing, so none is there before it is needed; and 64 workers are not started for one job. */
Test(elastic, workers_are_started_when_jobs_wait_and_no_more_than_have_work)
{
	open_elastic(6);
	cr_assert_eq(pool_running(pool), 0);
	post(1, WAIT);
	cr_assert_eq(pool_running(pool), 1);
	post(2, WAIT);
	post(3, WAIT);
	cr_assert_eq(pool_running(pool), 3);
	for (uint32_t i = 4; i < 12; i++)
		post(i, WAIT);
	cr_assert_eq(pool_running(pool), 6, "never more than the maximum");
	wait_until_waiting(6);
	atomic_store(&stage->go, true);
	wait_for_ends(11);
	for (uint32_t i = 1; i < 12; i++)
		cr_assert_eq(atomic_load(&stage->runs[i]), 1);
}

Test(elastic, the_minimum_is_there_at_once)
{
	setup.min = 2;
	open_elastic(5);
	wait_until_serving(2);
}

static void allow_workers(unsigned count)
{
	char fault[64];
	snprintf(fault, sizeof(fault), "sock.pair:%u+:EMFILE", count + 1);
	if (count == UINT_MAX)
		unsetenv("VARVE_FAULT");
	else
		setenv("VARVE_FAULT", fault, 1);
	fault_load();
}

/* A system at its limit is when somebody looks, and three workers restore as well as twenty. */
Test(elastic, where_not_all_can_be_started_those_that_can_do_the_work)
{
	setup.min = 6;
	allow_workers(3);
	open_elastic(6);
	wait_until_serving(3);
	cr_assert(strstr(all_notices, "fewer workers than there should be") && strstr(all_notices, "ulimit -n"), "%s",
	    all_notices);
	for (uint32_t i = 1; i < 20; i++)
		post(i, ANSWER);
	wait_for_ends(19);
	for (uint32_t i = 1; i < 20; i++)
		cr_assert_eq(results[i], 0);
	cr_assert_eq(pool_running(pool), 3);
	allow_workers(UINT_MAX);
	wait_until_running(6);
}

/* Somebody looks whether all of them can be. */
Test(elastic, a_pool_that_can_not_be_filled_keeps_those_that_have_started)
{
	allow_workers(3);
	open_elastic(20);
	cr_assert_eq(pool_fill(pool), -EMFILE);
	wait_until_serving(3);
	cr_assert(strstr(all_notices, "fewer workers than there should be"), "%s", all_notices);
	cr_assert_eq(notices, 1);
	post(1, ANSWER);
	wait_for_ends(1);
	cr_assert_eq(pool_running(pool), 3);
}

Test(elastic, workers_that_nobody_needs_end_down_to_the_minimum)
{
	setup.min = 1;
	setup.idle_ms = 50;
	open_elastic(4);
	for (uint32_t i = 0; i < 8; i++)
		post(i, WAIT);
	wait_until_waiting(4);
	pid_t first = pool->places[0].pid;
	atomic_store(&stage->go, true);
	wait_for_ends(8);
	wait_until_running(1);
	cr_assert_eq(pool->places[0].pid, first, "the one that is woken first is the one that stays");
	cr_assert_null(strstr(all_notices, "ended"), "that is no accident: %s", all_notices);
	for (uint32_t i = 20; i < 28; i++)
		post(i, ANSWER);
	wait_for_ends(16);
}

/* Starts are rationed, so that a worker that can not live is no fork bomb; one that comes and goes as it should is none. */
Test(elastic, workers_may_come_and_go_as_often_as_the_work_does)
{
	setup.idle_ms = 1;
	open_elastic(2);
	for (uint32_t i = 0; i < 60; i++) {
		post(i, ANSWER);
		wait_for_ends(i + 1);
		cr_assert_eq(results[i], 0, "%s", last_text);
		wait_until_running(0);
	}
}

/* Nobody ticks a pool without work. */
Test(elastic, a_pool_whose_workers_died_too_often_comes_back_without_a_tick)
{
	struct job job = {.kind = JOB_RESTORE, .target = ANSWER};
	open_elastic(1);
	pool->allowance = 0;
	pool->refill = 0;
	pool->refilled_ns = clock_now();
	cr_assert_eq(pool_post(pool, &job, 0, NULL, -1), -EAGAIN);
	pool->refilled_ns -= 1000000000u;
	post(1, ANSWER);
	wait_for_ends(1);
	cr_assert_eq(results[1], 0);
}

Test(elastic, an_idle_time_out_of_zero_lets_them_stay)
{
	open_elastic(3);
	cr_assert_eq(pool_fill(pool), 0);
	wait_until_serving(3);
	pool->idle_since_ns = pool->window_ns = 0;
	pool_tick(pool);
	pause_ms(20);
	cr_assert_eq(pool_running(pool), 3);
}

/* Load that never stops, but needs one worker only, must not keep the others alive. */
Test(elastic, those_beyond_what_the_load_needs_end_while_it_goes_on)
{
	setup.idle_ms = 40;
	open_elastic(4);
	for (uint32_t i = 0; i < 4; i++)
		post(i, ANSWER);
	wait_for_ends(4);
	unsigned jobs = 4;
	while (pool_running(pool) > 1) {
		post(jobs, ANSWER);
		wait_for_ends(++jobs);
		cr_assert_geq(pool_running(pool), 1u);
		jobs %= 1000;
		ended_count = jobs;
	}
	cr_assert_eq(pool->target, 1);
}

/* A timer that goes off once a second keeps a CPU from its deepest sleep, for each store. */
Test(elastic, a_pool_without_work_needs_no_tick)
{
	setup.min = 1;
	setup.idle_ms = 60000;
	open_elastic(3);
	wait_until_serving(1);
	cr_assert_eq(pool_timeout(pool), -1);
	post(1, WAIT);
	cr_assert(pool_timeout(pool) >= 0 && pool_timeout(pool) <= 1000, "%d", pool_timeout(pool));
	atomic_store(&stage->go, true);
	wait_for_ends(1);
	cr_assert_eq(pool_timeout(pool), -1, "one is kept, and one there is");
	cr_assert_eq(pool_fill(pool), 0);
	wait_until_serving(3);
	cr_assert_gt(pool_timeout(pool), 50000, "the next thing to do is to end them");
	pool_set_idle(pool, 10);
	wait_until_running(1);
	cr_assert_eq(pool_timeout(pool), -1);
}

Test(elastic, an_idle_worker_that_stays_gives_its_memory_back_once)
{
	setup.idle_ms = 30;
	open_pool(1);
	post(1, ANSWER);
	wait_for_ends(1);
	while (atomic_load(&stage->contexts_closed) == 0)
		turn();
	pause_ms(100);
	cr_assert_eq(atomic_load(&stage->contexts_closed), 1);
	post(2, ANSWER);
	wait_for_ends(2);
	cr_assert_eq(results[2], 0);
	while (atomic_load(&stage->contexts_closed) == 1)
		turn();
}

Test(elastic, a_worker_that_works_now_and_then_keeps_its_memory)
{
	setup.idle_ms = 60000;
	open_pool(1);
	for (uint32_t i = 0; i < 5; i++) {
		post(i, ANSWER);
		wait_for_ends(i + 1);
		pause_ms(10);
	}
	cr_assert_eq(atomic_load(&stage->contexts_closed), 0);
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

Test(elastic, a_job_that_needs_more_than_a_worker_may_have_fails_and_names_the_setting)
{
	if (ALLOCATOR_ABORTS)
		cr_skip_test("the allocator ends the process");
	setup.memory_limit = 64u << 20;
	open_pool(1);
	post(40, ALLOCATE);
	post(80, ALLOCATE);
	post(41, ALLOCATE);
	wait_for_ends(3);
	cr_assert(results[40] == 0 && results[41] == 0);
	cr_assert_eq(results[80], -ENOMEM);
	cr_assert_str_eq(last_text,
	    "memory for an image: Cannot allocate memory; a worker may take 64 MiB: raise memory-limit, "
	    "or set it to 0");
	cr_assert_eq(pool->places[0].restarts, 0, "it is an error, not a death");
}

/* Which jobs fail must not depend on which ones the same worker did before. */
Test(elastic, what_was_kept_of_earlier_jobs_makes_none_fail)
{
	if (ALLOCATOR_ABORTS)
		cr_skip_test("the allocator ends the process");
	setup.memory_limit = 64u << 20;
	open_pool(1);
	post(30, KEEP);
	post(20, KEEP);
	post(50, ALLOCATE);
	wait_for_ends(3);
	cr_assert_eq(results[50], 0, "%s", last_text);
	cr_assert_eq(atomic_load(&stage->runs[50]), 2);
	cr_assert_eq(atomic_load(&stage->contexts_closed), 1);
}

Test(elastic, without_a_limit_there_is_none)
{
	open_pool(1);
	post(80, ALLOCATE);
	wait_for_ends(1);
	cr_assert_eq(results[80], 0);
}

static int io_priority(pid_t pid)
{
	return (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, pid);
}

Test(elastic, a_pool_for_the_background_is_nice_and_others_are_not)
{
	int before = getpriority(PRIO_PROCESS, 0);
	open_pool(1);
	wait_until_serving(1);
	cr_assert_eq(getpriority(PRIO_PROCESS, (id_t)pool->places[0].pid), before);
	int io = io_priority(pool->places[0].pid);
	pool_close(pool, 1000);

	setup.nice = 3;
	setup.io = POOL_IO_LOW;
	setup.name = "bg";
	open_pool(1);
	wait_until_serving(1);
	pid_t pid = pool->places[0].pid;
	int want = before + 3 < 19 ? before + 3 : 19;
	cr_assert_eq(getpriority(PRIO_PROCESS, (id_t)pid), want);
	cr_assert_eq(io_priority(pid), IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7));
	cr_assert_neq(io_priority(pid), io);
	cr_assert_neq(getsid(pid), getsid(0), "nice values are compared within a session where there are autogroups");
	post(1, ANSWER);
	wait_for_ends(1);
	pool_close(pool, 1000);

	setup.io = POOL_IO_IDLE;
	open_pool(1);
	wait_until_serving(1);
	cr_assert_eq(IOPRIO_PRIO_CLASS(io_priority(pool->places[0].pid)), IOPRIO_CLASS_IDLE);
}

/* Whoever starts a service with `ionice -c 3`, or in a session that was lowered, wants nothing of it to be in his way. */
Test(elastic, the_background_has_no_better_priority_than_what_started_it)
{
	char text[64] = "";
	cr_assert_eq(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)), 0);
	setsid();
	int fd = open("/proc/self/autogroup", O_RDWR | O_CLOEXEC);
	bool grouped = fd >= 0 && write(fd, "18", 2) == 2;
	close(fd);
	cr_assert_eq(setpriority(PRIO_PROCESS, 0, 18), 0);
	setup.nice = 3;
	setup.io = POOL_IO_LOW;
	open_pool(1);
	wait_until_serving(1);
	pid_t pid = pool->places[0].pid;
	cr_assert_eq(IOPRIO_PRIO_CLASS(io_priority(pid)), IOPRIO_CLASS_IDLE);
	cr_assert_eq(getpriority(PRIO_PROCESS, (id_t)pid), 19);
	snprintf(text, sizeof(text), "/proc/%d/autogroup", (int)pid);
	FILE *file = fopen(text, "re");
	int nice = 0;
	cr_assert(!grouped || (file && fscanf(file, "/autogroup-%*d nice %d", &nice) == 1 && nice == 19), "%d", nice);
	if (file)
		fclose(file);
	pool_close(pool, 1000);
	pool = NULL;

	struct sched_param param = {0};
	cr_assert_eq(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0)), 0);
	cr_assert_eq(sched_setscheduler(0, SCHED_IDLE, &param), 0);
	open_pool(1);
	wait_until_serving(1);
	cr_assert_neq(io_priority(pool->places[0].pid), IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7));
}
