/*
 * supervise.c - the lives of the workers: started, missed, buried, replaced.
 *
 * A worker may be killed, stopped or run wild at any moment. What is done about it:
 *
 *   it dies                 its pidfd says so (or the end of its socket); its job goes to another, its place gets the
 *                           next worker at once
 *   it is stopped           SIGCHLD says so, or pool_tick() asks the kernel; it is killed, and the first case applies
 *   it hangs                pool_tick() sees that it has a job and gives no sign of life, or that jobs wait and it
 *                           takes none; after hang_ms it is killed, and the first case applies
 *   it scribbles            pool_tick() sees a word in the ring that can not be; all workers are killed, see
 *                           ring_check.c
 *   it dies at its start    starts are rationed (allowance): a burst of twice the pool, then the pool's size a second,
 *                           so that a worker that can not live does not become a fork bomb. While there is no worker
 *                           at all and none may be started, jobs end with an error: nobody waits for ever
 *   the coordinator stops   the time a worker stands still is added up tick by tick, each worth 2 s at most: so a
 *                           coordinator that was itself stopped for an hour kills nobody when it goes on
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"
#include "pool_state.h"
#include "sock.h"
#include "worker.h"

/** How often workers are looked at, while there are jobs: but not less often than one that gives no sign is missed. */
#define TICK_NS 1000000000ull
#define TICK_LEAST_NS 10000000ull

/** fresh_line() - the figures of a place start again with each worker. */
static void fresh_line(struct pool *pool, uint32_t index)
{
	struct worker_line *line = ring_worker(&pool->ring, index);

	atomic_store(&line->slot, UINT32_MAX);
	atomic_store(&line->jobs, 0);
	atomic_store(&line->bytes_read, 0);
	atomic_store(&line->bytes_written, 0);
	atomic_store(&line->busy_ns, 0);
	atomic_store(&line->started_ns, pool->places[index].started_ns);
	atomic_store(&line->beat_ns, 0);
	ring_retire(&pool->ring, index, false);
}

static int watch(struct pool *pool, int fd, uint64_t data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
	return epoll_ctl(pool->inner, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/** fork_failed() - with what is meant by EAGAIN here. */
static int fork_failed(int err)
{
	if (err != EAGAIN)
		return fail_sys(err, "fork() of a worker");
	return fail(EAGAIN,
	    "fork() of a worker: %s; raise the limit of processes: ulimit -u, or TasksMax= of the service's unit",
	    strerror(err));
}

void place_failed(struct pool *pool)
{
	snprintf(pool->start_problem, sizeof(pool->start_problem), "%s", err_text());
	pool_standing(
	    pool, "there are fewer workers than there should be, and it is tried again: %s", pool->start_problem);
}

int place_start(struct pool *pool, uint32_t index)
{
	struct place *place = &pool->places[index];
	sigset_t all, before;
	int fds[2];

	int err = sock_pair(fds);
	if (err < 0)
		return err;
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 || (err = watch(pool, fds[0], (uint64_t)index << 1)) < 0) {
		err = fail_sys(err ? -err : errno, "watching the socket of a worker");
		goto out;
	}
	place->started_ns = clock_now();
	place->beat = place->still_ns = 0;
	place->serving = false;
	fresh_line(pool, index);

	/* No handler of the coordinator's may run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	struct worker_start start = {&pool->setup, &pool->ring, index, fds[1], getpid()};
	pid_t pid = fork();
	if (pid == 0)
		worker_main(&start);
	err = pid < 0 ? fork_failed(errno) : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (err < 0)
		goto out;
	close(fds[1]);
	place->pid = pid;
	place->control = fds[0];
	/* Without one (Linux before 5.3, or too many open files) the end of the socket tells. */
	place->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (place->pidfd >= 0 && watch(pool, place->pidfd, (uint64_t)index << 1 | 1) < 0) {
		close(place->pidfd);
		place->pidfd = -1;
	}
	pool->alive++;
	return 0;
out:
	close(fds[0]);
	close(fds[1]);
	return err;
}

/** give_up() - end the job in @slot with an error of the pool's own. */
static void give_up(struct pool *pool, uint32_t slot, int err, const char *text)
{
	struct job job = *ring_job(&pool->ring, slot);

	job.result = -err;
	snprintf(job.text, sizeof(job.text), "%s", text);
	pool_end(pool, slot, &job);
}

/** settle() - what ring_lost() or ring_mend() returned. */
static void settle(struct pool *pool, int what, struct ticket was, struct ticket now, const char *cause)
{
	struct posted *posted = &pool->posted[was.slot];
	char text[ERR_TEXT];

	if (what == 1) {
		posted->generation = now.generation;
		posted->found = 0;
		posted->failed = 0;
		return;
	}
	snprintf(text, sizeof(text),
	    "%d worker processes died of this job, the last one %s: it is not tried again; verify the store",
	    RING_TRIES, cause);
	give_up(pool, was.slot, ENOTRECOVERABLE, text);
}

static void mend(struct pool *pool)
{
	struct ticket was, now;
	int what;

	while ((what = ring_mend(&pool->ring, &was, &now)) != 0)
		settle(pool, what, was, now, "while the job ring was overwritten");
	/* These are only ever read by workers, so what was written over them has not been noticed. */
	size_spin(pool);
	ring_set_idle(&pool->ring, pool->setup.idle_ms);
	pool->purging = false;
}

/** how_it_died() - in words. @may_be_ring: it had not begun to serve, and may have asked for an io_uring. */
static void how_it_died(int status, bool may_be_ring, char *text, size_t size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && may_be_ring)
		snprintf(text, size,
		    "by signal %d (%s): a filter of this system may kill whoever calls io_uring; --io pread "
		    "(VARVE_IO=pread) does without",
		    SIGSYS, strsignal(SIGSYS));
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		snprintf(text, size, "by signal %d (%s): it made a system call that its sandbox forbids", SIGSYS,
		    strsignal(SIGSYS));
	else if (WIFSIGNALED(status))
		snprintf(text, size, "by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "with exit status %d", WEXITSTATUS(status));
}

static void close_place(struct pool *pool, struct place *place)
{
	epoll_ctl(pool->inner, EPOLL_CTL_DEL, place->control, NULL);
	close(place->control);
	if (place->pidfd >= 0) {
		epoll_ctl(pool->inner, EPOLL_CTL_DEL, place->pidfd, NULL);
		close(place->pidfd);
	}
	pool->alive--;
	if (place->serving)
		pool->serving--;
	place->control = place->pidfd = -1;
	place->pid = 0;
	place->serving = false;
}

/** A file of this ending was on its way to another name when its process died. */
struct leavings {
	const struct dir *dir;
	char ending[32];
};

static int sweep_one(void *arg, const char *name)
{
	const struct leavings *left = arg;
	size_t length = strlen(name), ending = strlen(left->ending);

	if (length > ending && strcmp(name + length - ending, left->ending) == 0)
		file_unlink(left->dir, name);
	return 0;
}

/** sweep() - remove what the process has left half written. */
static void sweep(struct pool *pool, pid_t pid)
{
	struct leavings left = {.dir = pool->setup.priv};

	snprintf(left.ending, sizeof(left.ending), ".%d" FILE_TEMPORARY, (int)pid);
	dir_each(left.dir, sweep_one, &left);
}

/** place_bury() - the worker's process is reaped. */
static void place_bury(struct pool *pool, uint32_t index, int status)
{
	struct place *place = &pool->places[index];
	bool served = place->serving;
	pid_t pid = place->pid;
	struct ticket was, now;
	char cause[192];
	int what;

	/* What it said before it died still counts. */
	if (!pool->closing)
		control_drain(pool, index);
	served |= place->serving;
	how_it_died(status, !served && pool->setup.method != READ_PREAD, cause, sizeof(cause));
	close_place(pool, place);
	/* Ended because it was asked to, even if it is wanted again meanwhile. */
	bool retired = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!retired)
		sweep(pool, pid);
	if (pool->closing)
		return;
	/* Who was killed could not say why. */
	bool told = !served && WIFEXITED(status) && pool->start_problem[0];
	if (!served && !retired && !told)
		snprintf(pool->start_problem, sizeof(pool->start_problem), "a worker ended %s", cause);
	if (index < pool->target && !retired) {
		place->restarts++;
		pool_notice(pool, "worker %u (process %d) ended%s %s%s%s", index, (int)pid,
		    served ? "" : " before it could start,", cause, told ? ": " : "", told ? pool->start_problem : "");
	}
	/* Rations are for those that die. Who went because there was nothing to do may come again at once. */
	if (index >= pool->target && retired)
		pool->allowance++;
	while ((what = ring_lost(&pool->ring, index, &was, &now)) != 0)
		settle(pool, what, was, now, cause);
	if (pool->purging && pool->alive == 0)
		mend(pool);
	supervise(pool);
}

void place_reap(struct pool *pool, uint32_t index, bool wait)
{
	pid_t pid = pool->places[index].pid;
	int status = 0;
	pid_t got;

	if (!pid)
		return;
	do
		got = waitpid(pid, &status, wait ? 0 : WNOHANG);
	while (got < 0 && errno == EINTR);
	/* ECHILD: somebody has told the kernel to reap children by itself; how it died is lost, that it died is not. */
	if (got != 0)
		place_bury(pool, index, status);
}

/** fail_jobs() - there is no worker, and none can be started now. */
static void fail_jobs(struct pool *pool)
{
	char text[ERR_TEXT + 64];

	snprintf(text, sizeof(text), "no worker process can be started%s%s; try again",
	    pool->start_problem[0] ? ": " : "", pool->start_problem);
	pool_reap(pool);
	for (uint32_t slot = 0; slot < RING_SLOTS; slot++) {
		struct ticket ticket = {slot, pool->posted[slot].generation};
		if (pool->posted[slot].used && ring_withdraw(&pool->ring, ticket))
			give_up(pool, slot, EAGAIN, text);
	}
}

void supervise(struct pool *pool)
{
	if (pool->closing || pool->purging)
		return;
	for (uint32_t i = 0; i < pool->target && pool->allowance > 0; i++) {
		if (pool->places[i].pid)
			continue;
		pool->allowance--;
		if (place_start(pool, i) < 0) {
			place_failed(pool);
			/* What is missing is missing for all: pool_tick() tries again. Meanwhile those that are there
			 * do what was meant for this one. */
			ring_open_up(&pool->ring);
			break;
		}
	}
	if (pool->alive == 0 && pool->in_flight > 0)
		fail_jobs(pool);
}

static void purge(struct pool *pool)
{
	pool_notice(pool, "a worker has overwritten the job ring: all workers are replaced");
	pool->purging = true;
	for (uint32_t i = 0; i < RING_WORKERS; i++)
		if (pool->places[i].pid)
			kill(pool->places[i].pid, SIGKILL);
	if (pool->alive == 0)
		mend(pool);
}

/* Whoever stopped them may never let them go on, and nothing is lost with a worker. One under a debugger does not count as
 * stopped. */
void pool_kill_stopped(struct pool *pool)
{
	for (uint32_t i = 0; i < RING_WORKERS; i++) {
		siginfo_t info = {0};
		pid_t pid = pool->places[i].pid;
		if (!pid || waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
			continue;
		pool_notice(pool, "worker %u (process %d) has been stopped: it is killed", i, (int)pid);
		kill(pid, SIGKILL);
	}
}

/** kill_hung() - see the top of the file. @worth: how much time the tick counts for. */
static void kill_hung(struct pool *pool, uint64_t worth)
{
	uint64_t busy[RING_WORKERS / 64], oldest;
	unsigned ready = ring_running(&pool->ring, busy, &oldest);
	bool stuck = ready > 0 && oldest == pool->oldest;

	pool->oldest = oldest;
	for (uint32_t i = 0; i < RING_WORKERS; i++) {
		struct place *place = &pool->places[i];
		if (!place->pid)
			continue;
		bool works = busy[i / 64] >> (i % 64) & 1;
		uint64_t beat = atomic_load(&ring_worker(&pool->ring, i)->beat_ns);
		if ((!works && place->serving && !stuck) || beat != place->beat)
			place->still_ns = 0;
		else
			place->still_ns += worth;
		place->beat = beat;
		if (place->still_ns >= pool->hang_ns) {
			pool_notice(pool, "worker %u (process %d) has shown no sign of life for %.3g s: it is killed",
			    i, (int)place->pid, (double)place->still_ns / 1e9);
			kill(place->pid, SIGKILL);
			place->still_ns = 0;
		} else if (stuck && !works) {
			ring_nudge(&pool->ring, i);
		}
	}
}

static int milliseconds(uint64_t now, uint64_t then)
{
	return then <= now ? 0 : (int)((then - now + 999999) / 1000000u);
}

static uint64_t tick_ns(const struct pool *pool)
{
	uint64_t tick = pool->hang_ns < TICK_NS ? pool->hang_ns : TICK_NS;
	return tick < TICK_LEAST_NS ? TICK_LEAST_NS : tick;
}

int pool_timeout(const struct pool *pool)
{
	uint64_t now = clock_now();

	if (!pool->purging && ring_spoilt(&pool->ring))
		return 0;
	if (pool->purging || pool->in_flight > 0 || pool->alive != pool->target || pool->serving != pool->alive)
		return milliseconds(now, pool->ticked_ns + tick_ns(pool));
	if (pool->target > pool->setup.min && pool->setup.idle_ms)
		return milliseconds(now, pool->idle_since_ns + size_idle_ns(pool));
	return -1;
}

void pool_tick(struct pool *pool)
{
	uint64_t now = clock_now();
	uint64_t passed = now - pool->ticked_ns;
	uint64_t worth = passed < TICK_WORTH_NS ? passed : TICK_WORTH_NS;

	pool->ticked_ns = now;
	size_refill(pool);
	if (!pool->purging && ring_scribbled(&pool->ring))
		purge(pool);
	for (uint32_t i = 0; i < RING_WORKERS; i++)
		if (pool->places[i].pidfd < 0)
			place_reap(pool, i, false);
	/* After a pause of our own somebody may have stopped all of us, and be about to let all go on. */
	if (passed < TICK_WORTH_NS)
		pool_kill_stopped(pool);
	kill_hung(pool, worth);
	size_shrink(pool, now);
	supervise(pool);
	pool_dispatch(pool);
}
