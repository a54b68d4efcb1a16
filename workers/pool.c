/*
 * pool.c - the worker processes as the coordinator sees them: jobs go in, jobs come out.
 *
 * P1  A job that was posted ends exactly once: with what a worker said, or with an error of the pool's own, because it
 *     has killed RING_TRIES workers, or because there is no worker and none can be started.
 * P2  posted[] belongs to the coordinator alone: what a worker writes can not change which cookie a job has.
 * P3  Callbacks may post jobs. They must not close or resize the pool.
 *
 * Two descriptors of the pool are in the coordinator's epoll: the ring's wake_fd, and an epoll of the pool's own with a
 * socket and a pidfd for each worker. supervise.c has the workers' lives, control.c what they say on their sockets.
 */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cpu.h"
#include "pool_state.h"
#include "sock.h"

#define HANG_MS 30000u

void pool_notice(struct pool *pool, const char *format, ...)
{
	char text[ERR_TEXT + 128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pool->events.notice(pool->events.arg, text);
}

void pool_standing(struct pool *pool, const char *format, ...)
{
	void (*say)(void *arg, const char *text) = pool->events.standing ? pool->events.standing : pool->events.notice;
	char text[ERR_TEXT + 128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say(pool->events.arg, text);
}

static uint64_t hang_limit(const struct pool_setup *setup)
{
	uint64_t ms = setup->hang_ms ? setup->hang_ms : HANG_MS;
	return ms * 1000000u * (setup->patience ? setup->patience : 1);
}

/** open_descriptors() - the ring, the inner epoll, and both in the outer one. */
static int open_descriptors(struct pool *pool)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = pool};

	pool->inner = epoll_create1(EPOLL_CLOEXEC);
	if (pool->inner < 0)
		return fail_sys(errno, "epoll_create1() for the worker pool");
	if (epoll_ctl(pool->outer, EPOLL_CTL_ADD, pool->inner, &event) < 0 ||
	    epoll_ctl(pool->outer, EPOLL_CTL_ADD, pool->ring.wake_fd, &event) < 0)
		return fail_sys(errno, "epoll_ctl() for the worker pool");
	return 0;
}

int pool_open(const struct pool_setup *setup, const struct pool_events *events, unsigned workers, int epoll,
    struct pool **pool_out)
{
	*pool_out = NULL;
	struct pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return fail(ENOMEM, "no memory for the worker pool");
	pool->setup = *setup;
	pool->events = *events;
	pool->outer = epoll;
	pool->inner = -1;
	pool->hang_ns = hang_limit(setup);
	pool->oldest = UINT64_MAX;
	pool->ticked_ns = pool->refilled_ns = pool->window_ns = pool->idle_since_ns = clock_now();
	for (unsigned i = 0; i < RING_WORKERS; i++)
		pool->places[i].control = pool->places[i].pidfd = -1;
	for (unsigned i = 0; i < RING_SLOTS; i++)
		pool->posted[i].fd = -1;

	int err = ring_create(&pool->ring);
	if (err == 0)
		err = open_descriptors(pool);
	if (err == 0)
		err = size_open(pool, setup->min < workers ? setup->min : workers, workers);
	if (err < 0) {
		pool_close(pool, 0);
		return err;
	}
	ring_set_idle(&pool->ring, setup->idle_ms);
	*pool_out = pool;
	return 0;
}

/** wait_for_workers() - until all are dead, at most @grace_ms. */
static void wait_for_workers(struct pool *pool, int grace_ms)
{
	uint64_t end = clock_now() + (uint64_t)grace_ms * 1000000u;
	struct epoll_event event;

	while (pool->alive > 0 && clock_now() < end) {
		/* A pidfd ends the wait early; where there are none, 10 ms do no harm. */
		epoll_wait(pool->inner, &event, 1, 10);
		for (uint32_t i = 0; i < RING_WORKERS; i++)
			place_reap(pool, i, false);
	}
}

void pool_close(struct pool *pool, int grace_ms)
{
	if (!pool)
		return;
	pool->closing = true;
	for (uint32_t i = 0; i < RING_WORKERS; i++) {
		if (!pool->places[i].pid)
			continue;
		epoll_ctl(pool->inner, EPOLL_CTL_DEL, pool->places[i].control, NULL);
		ring_retire(&pool->ring, i, true);
	}
	if (grace_ms > 0)
		wait_for_workers(pool, grace_ms);
	for (uint32_t i = 0; i < RING_WORKERS; i++)
		if (pool->places[i].pid)
			kill(pool->places[i].pid, SIGKILL);
	for (uint32_t i = 0; i < RING_WORKERS; i++)
		place_reap(pool, i, true);

	for (unsigned i = 0; i < RING_SLOTS; i++) {
		if (pool->posted[i].fd >= 0)
			sock_discard(pool->posted[i].fd);
		if (pool->posted[i].used && pool->events.dropped)
			pool->events.dropped(pool->events.arg, pool->posted[i].cookie);
	}
	if (pool->inner >= 0) {
		epoll_ctl(pool->outer, EPOLL_CTL_DEL, pool->inner, NULL);
		epoll_ctl(pool->outer, EPOLL_CTL_DEL, pool->ring.wake_fd, NULL);
		close(pool->inner);
	}
	ring_close(&pool->ring);
	free(pool);
}

/** call_for_worker() - one more, if each has a job already. Where others are at work, or come back from the dead, it is
 * no harm if that fails. */
static int call_for_worker(struct pool *pool, unsigned reach)
{
	if (pool->in_flight < pool->target || pool->target >= pool->size || pool->purging)
		return 0;
	if (reach && pool->target >= reach)
		return 0;
	int err = size_grow(pool, pool->target + 1);
	if (err == 0 || pool->alive > 0)
		return 0;
	return fail(EAGAIN, "no worker process can be started: %s; try again", pool->start_problem);
}

int pool_post(struct pool *pool, const struct job *job, unsigned reach, void *cookie, int fd)
{
	struct ticket ticket;
	int own = -1;

	if (pool_room(pool) == 0)
		return -EAGAIN;
	if (fd >= 0) {
		own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (own < 0)
			return fail_sys(errno, "fcntl(F_DUPFD_CLOEXEC) for a checkout");
	}
	int err = call_for_worker(pool, reach);
	if (err == 0)
		err = ring_post(&pool->ring, job, reach, &ticket);
	if (err < 0) {
		if (own >= 0)
			sock_discard(own);
		return err;
	}
	pool->posted[ticket.slot] =
	    (struct posted) {.used = true, .fd = own, .generation = ticket.generation, .cookie = cookie};
	pool->in_flight++;
	if (pool->in_flight > pool->peak)
		pool->peak = pool->in_flight;
	return 0;
}

unsigned pool_room(const struct pool *pool)
{
	unsigned most = pool->size < RING_SLOTS / POOL_JOBS_EACH ? POOL_JOBS_EACH * pool->size : RING_SLOTS;
	return pool->in_flight < most ? most - pool->in_flight : 0;
}

unsigned pool_in_flight(const struct pool *pool)
{
	return pool->in_flight;
}

void pool_end(struct pool *pool, uint32_t slot, struct job *job)
{
	struct posted *posted = &pool->posted[slot];
	void *cookie = posted->cookie;

	if (posted->fd >= 0)
		sock_discard(posted->fd);
	*posted = (struct posted) {.fd = -1};
	if (--pool->in_flight == 0)
		pool->idle_since_ns = clock_now();
	pool->events.done(pool->events.arg, cookie, job);
}

unsigned pool_reap(struct pool *pool)
{
	struct ticket ticket;
	struct job job;
	unsigned count = 0;

	/* No more than that in one go: with short jobs, and callbacks that post more, it need never end. */
	while (count < RING_SLOTS && ring_reap(&pool->ring, &job, &ticket)) {
		if (!pool->posted[ticket.slot].used)
			continue;
		/* What was found, or is to be put in sight, was said before the job ended, but on another channel. */
		if (job.kind == JOB_VERIFY || job.kind == JOB_PUBLISH)
			control_drain(pool, ring_owner(&pool->ring, ticket));
		if (pool->posted[ticket.slot].failed && !job.result) {
			job.result = pool->posted[ticket.slot].failed;
			snprintf(job.text, sizeof(job.text), "%s", pool->posted[ticket.slot].failure);
		}
		pool->jobs++;
		count++;
		pool_end(pool, ticket.slot, &job);
	}
	return count;
}

void pool_dispatch(struct pool *pool)
{
	struct epoll_event events[64];

	ring_drain(&pool->ring);
	int count = epoll_wait(pool->inner, events, sizeof(events) / sizeof(events[0]), 0);
	for (int i = 0; i < count; i++) {
		uint32_t index = (uint32_t)(events[i].data.u64 >> 1);
		struct place *place = &pool->places[index];
		bool died = events[i].data.u64 & 1;
		if (!place->pid)
			continue;
		if (!died && !control_drain(pool, index)) {
			/* It is dead, or ought to be. Its pidfd tells when; without one, it can not take long. */
			kill(place->pid, SIGKILL);
			epoll_ctl(pool->inner, EPOLL_CTL_DEL, place->control, NULL);
			died = true;
		}
		if (died)
			place_reap(pool, index, place->pidfd < 0);
	}
	pool_reap(pool);
}

bool pool_sleep_begin(struct pool *pool, bool more)
{
	return ring_sleep_begin(&pool->ring, more && pool->in_flight > 2 ? pool->in_flight / 2 : 1);
}

void pool_sleep_end(struct pool *pool)
{
	ring_sleep_end(&pool->ring);
}

unsigned pool_size(const struct pool *pool)
{
	return pool->size;
}

unsigned pool_running(const struct pool *pool)
{
	return pool->alive;
}

uint64_t pool_jobs(const struct pool *pool)
{
	return pool->jobs;
}

const char *pool_reader_name(const struct pool *pool)
{
	return pool->reader_name;
}

const char *pool_reader_reason(const struct pool *pool)
{
	return pool->reader_reason;
}

const char *pool_sandbox(const struct pool *pool)
{
	return pool->sandbox;
}

const char *pool_sandbox_reason(const struct pool *pool)
{
	return pool->sandbox_reason;
}

void pool_cancel(struct pool *pool, bool (*mine)(const void *arg, const void *cookie), const void *arg)
{
	for (uint32_t slot = 0; slot < RING_SLOTS; slot++) {
		struct posted *posted = &pool->posted[slot];
		struct ticket ticket = {slot, posted->generation};
		if (!posted->used || !mine(arg, posted->cookie))
			continue;
		ring_cancel(&pool->ring, ticket);
		if (!ring_withdraw(&pool->ring, ticket))
			continue;
		struct job job = *ring_job(&pool->ring, slot);
		job.result = fail(ECANCELED, "the job was cancelled");
		snprintf(job.text, sizeof(job.text), "%s", err_text());
		pool_end(pool, slot, &job);
	}
}

void pool_set_urgent(struct pool *pool, bool urgent)
{
	ring_set_urgent(&pool->ring, urgent);
}
