/*
 * workers_ring_race.c - many workers on one ring, for ThreadSanitizer: threads stand for the worker processes.
 *
 * The promise: every job that is posted ends exactly once, with the answer of a worker that ran it to its end, however
 * takes, ends, deaths, withdrawals and sleeps fall together; and no wake-up is lost (then this program would stand
 * still: it says so after a long time instead).
 *
 * A plain program, since ThreadSanitizer does not survive Criterion. Exits with 0, or 1 and a sentence on stderr.
 *
 *   workers_ring_race [JOBS]           the test
 *   workers_ring_race --latency        no test: prints how long a job takes from post to reap, with processes
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"
#include "ring.h"

#define WORKERS_MAX 6
#define JOBS_MAX 100000u
#define STANDSTILL_MS 10000

static struct ring ring;
static uint32_t workers;
static _Atomic bool dead[WORKERS_MAX]; /**< this worker plays dead until the coordinator has buried it */
static _Atomic unsigned stale_accepted;

static void die(const char *what, unsigned long number)
{
	fprintf(stderr, "workers_ring_race: %s (%lu)\n", what, number);
	_Exit(1);
}

static uint64_t answer_to(const struct job *job)
{
	return job->module * 2654435761u + 1;
}

/** try_stale() - the answer to a job that this worker had when it "died": it must not count, not even if the job in
 * that slot, another or the same one, is this worker's again. */
static void try_stale(uint32_t self, struct ticket ticket)
{
	struct job job = {.module = UINT32_MAX};
	if (ring_done(&ring, self, ticket, &job))
		atomic_fetch_add(&stale_accepted, 1);
}

static void *work(void *arg)
{
	uint32_t self = (uint32_t)(uintptr_t)arg;
	unsigned seed = self + 1;
	struct ticket ticket, stale = {.slot = RING_SLOTS};
	struct job job;

	while (!ring_retiring(&ring, self)) {
		/* Some spin and some sleep at once: both ways of waiting meet. For ever: nothing but a wake-up helps. */
		if (!ring_take(&ring, self, self % 2 ? 20000 : 0, -1, &job, &ticket))
			continue;
		try_stale(self, stale);
		stale.slot = RING_SLOTS;
		if (rand_r(&seed) % 64 == 0) {
			atomic_store(&dead[self], true);
			while (atomic_load(&dead[self]))
				sched_yield();
			try_stale(self, ticket);
			stale = ticket;
			continue;
		}
		job.size = answer_to(&job);
		job.result = 0;
		if (!ring_done(&ring, self, ticket, &job))
			die("an answer of a living worker was dropped", job.module);
	}
	return NULL;
}

static unsigned char ended[JOBS_MAX];
static unsigned under_way;

static void end(uint32_t number)
{
	if (number >= JOBS_MAX || ended[number]++)
		die("a job ended twice", number);
	under_way--;
}

static void bury_the_dead(void)
{
	for (uint32_t i = 0; i < workers; i++) {
		struct ticket was, now;
		int what;
		if (!atomic_load(&dead[i]))
			continue;
		while ((what = ring_lost(&ring, i, &was, &now)) != 0)
			if (what == -ENOTRECOVERABLE)
				end(ring_job(&ring, was.slot)->module);
		atomic_store(&dead[i], false);
	}
}

static void reap(void)
{
	struct ticket ticket;
	struct job job;

	while (ring_reap(&ring, &job, &ticket)) {
		if (job.size != answer_to(&job))
			die("a job has the answer of another", job.module);
		end(job.module);
	}
}

/** sleep_for_an_end() - as the coordinator does; deaths of threads make no descriptor readable, so it looks up often
 * while there are any. */
static void sleep_for_an_end(void)
{
	struct pollfd fd = {.fd = ring.wake_fd, .events = POLLIN};
	uint64_t end_ns = clock_now() + STANDSTILL_MS * 1000000ull;

	if (!ring_sleep_begin(&ring, 3))
		return;
	while (poll(&fd, 1, 1) == 0) {
		for (uint32_t i = 0; i < workers; i++)
			if (atomic_load(&dead[i]))
				goto out;
		if (clock_now() > end_ns)
			die("a wake-up was lost", under_way);
	}
out:
	ring_sleep_end(&ring);
}

/** pause_a_little() - as long as a worker needs to give up spinning and fall asleep, more or less. */
static void pause_a_little(unsigned *seed)
{
	uint64_t end_ns = clock_now() + (uint64_t)rand_r(seed) % (rand_r(seed) % 2 ? 1000 : 30000);
	while (clock_now() < end_ns)
		cpu_relax();
}

static void race(uint32_t count, uint32_t jobs)
{
	pthread_t threads[WORKERS_MAX];
	unsigned seed = 7;
	bool drain = false;

	workers = count;
	memset(ended, 0, sizeof(ended));

	if (ring_create(&ring) < 0)
		die("no ring", 0);
	for (uint32_t i = 0; i < workers; i++)
		pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i);
	uint64_t moved_ns = clock_now();
	for (uint32_t next = 0, before = 0; next < jobs || under_way > 0;) {
		if (under_way != before)
			moved_ns = clock_now();
		else if (clock_now() > moved_ns + STANDSTILL_MS * 1000000ull)
			die("a wake-up was lost", under_way);
		before = under_way;
		/* Now and then few, now and then until the ring is full. */
		unsigned burst = (unsigned)rand_r(&seed) % (rand_r(&seed) % 8 ? 4 : 200);
		/* A wake-up that is lost shows only if nobody comes by for another job's sake. */
		if (!drain && rand_r(&seed) % 4 == 0)
			drain = true;
		while (!drain && next < jobs && burst-- > 0) {
			struct job job = {.kind = JOB_RESTORE, .module = next};
			struct ticket ticket;
			if (ring_post(&ring, &job, 0, &ticket) < 0)
				break;
			under_way++;
			next++;
			if (rand_r(&seed) % 16 == 0 && ring_withdraw(&ring, ticket))
				end(next - 1);
		}
		bury_the_dead();
		reap();
		if (under_way > 0 && rand_r(&seed) % 2)
			sleep_for_an_end();
		if (under_way == 0 && drain) {
			pause_a_little(&seed);
			drain = false;
		}
	}
	for (uint32_t i = 0; i < workers; i++)
		ring_retire(&ring, i, true);
	for (uint32_t i = 0; i < workers; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < jobs; i++)
		if (ended[i] != 1)
			die("a job never ended", i);
	if (stale_accepted)
		die("answers of dead workers were accepted", stale_accepted);
	if (ring_scribbled(&ring))
		die("the ring is not as it should be", 0);
	ring_close(&ring);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/** round_trips() - median and 95th percentile of post, take, done, reap with @count processes. */
static void round_trips(unsigned count, unsigned batch, uint64_t spin_ns, uint64_t work_ns)
{
	enum { COUNT = 200 };
	static double times[COUNT];
	pid_t pids[64];

	if (ring_create(&ring) < 0)
		die("no ring", 0);
	for (uint32_t i = 0; i < count; i++) {
		pids[i] = fork();
		for (struct ticket ticket; pids[i] == 0;) {
			struct job job;
			if (!ring_take(&ring, i, spin_ns, -1, &job, &ticket))
				_exit(0);
			for (uint64_t end_ns = clock_now() + work_ns; work_ns && clock_now() < end_ns;)
				;
			ring_done(&ring, i, ticket, &job);
		}
	}
	usleep(20000);
	for (unsigned n = 0; n < COUNT; n++) {
		struct pollfd fd = {.fd = ring.wake_fd, .events = POLLIN};
		struct job job = {.kind = JOB_RESTORE};
		struct ticket ticket;
		uint64_t start = clock_now();
		for (unsigned posted = 0, reaped = 0; reaped < batch;) {
			/* As the pool does: no more than two a worker at a time. */
			while (posted < batch && posted - reaped < 2 * count && ring_post(&ring, &job, 0, &ticket) == 0)
				posted++;
			if (ring_reap(&ring, &job, &ticket)) {
				reaped++;
			} else if (ring_sleep_begin(&ring, 1)) {
				poll(&fd, 1, -1);
				ring_sleep_end(&ring);
			}
		}
		times[n] = (double)(clock_now() - start) / 1e3;
		/* What the coordinator does between jobs: looks at an answer, tells a client. */
		for (uint64_t end_ns = clock_now() + 5000; clock_now() < end_ns;)
			;
	}
	for (uint32_t i = 0; i < count; i++)
		ring_retire(&ring, i, true);
	for (uint32_t i = 0; i < count; i++)
		waitpid(pids[i], NULL, 0);
	ring_close(&ring);
	qsort(times, COUNT, sizeof(times[0]), compare);
	printf("%7u %5u %7.0f %7.0f %9.1f %9.1f\n", count, batch, (double)work_ns / 1e3, (double)spin_ns / 1e3,
	    times[COUNT / 2], times[COUNT * 95 / 100]);
}

static int latency(void)
{
	static const uint64_t spins[] = {0, 5000, 20000, 50000};
	static const unsigned shapes[][3] = {
	    {1, 1, 0}, {1, 1, 100000}, {2, 1, 100000}, {2, 8, 100000}, {2, 64, 100000}, {64, 64, 100000}};

	printf("workers batch work_us spin_us median_us    p95_us\n");
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (size_t i = 0; i < sizeof(spins) / sizeof(spins[0]); i++)
			round_trips(shapes[s][0], shapes[s][1], spins[i], shapes[s][2]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--latency") == 0)
		return latency();
	unsigned long jobs = argc > 1 ? strtoul(argv[1], NULL, 10) : 40000;
	static const uint32_t counts[] = {1, 2, WORKERS_MAX};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		race(counts[i], jobs < JOBS_MAX ? (uint32_t)jobs : JOBS_MAX);
	return 0;
}
