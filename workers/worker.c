/*
 * worker.c - a worker process.
 *
 * It is forked, not executed: what it needs is in its memory already, and being replaced costs a fork. So the first
 * thing it does is to give back what it should not have: every descriptor but its own few (clients' sockets and the
 * session's lock would otherwise live on in it), the coordinator's signal handlers and mask, and
 * the right to write to the catalog.
 *
 *   worker_main: shed -> confine -> say HELLO -> [ ring_take -> job_run -> ring_done ]* -> _exit
 *
 * It ends when it is retired (after its job), with its coordinator (PR_SET_PDEATHSIG, looked after now and then, in
 * case that was lost; and the end of its control socket), or by a signal. It never returns, never runs exit handlers,
 * and leaves nothing to be cleaned up but what its job may have left in .varve/, which the job's next run overwrites.
 *
 * Signals for the whole process group (Ctrl-C, or a service manager's SIGTERM) are the coordinator's to act on: it ends
 * in order, and needs its workers for that.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu.h"
#include "fault.h"
#include "sock.h"
#include "worker_limits.h"
#include "worker_talk.h"

/** How often an idle worker looks whether its coordinator is still there. */
#define IDLE_LOOK_MS 10000u

struct worker {
	const struct worker_start *start;
	struct worker_line *line;
	struct ticket ticket; /**< of the job under way */
	uint64_t idle_since_ns;
	bool resting; /**< it has given its memory back */
	uint64_t mark_ns; /**< up to here its time is in line->busy_ns */
	struct talk talk;
};

static void add(_Atomic uint64_t *figure, uint64_t more)
{
	atomic_fetch_add_explicit(figure, more, memory_order_relaxed);
}

static int take_fd(void *arg, const struct job *job)
{
	struct worker *worker = arg;

	(void)job;
	return talk_want_fd(&worker->talk, worker->ticket);
}

static int sight(void *arg, const struct job *job, const struct sight_steps *steps, bool wait)
{
	struct worker *worker = arg;

	(void)job;
	return talk_sight(&worker->talk, worker->ticket, steps, wait);
}

static void found(void *arg, const struct job *job, bool damage, const char *file, const char *problem)
{
	struct worker *worker = arg;

	(void)job;
	talk_found(&worker->talk, worker->ticket, damage, file, problem);
}

/** account() - a sign of life; the time since the last one was spent on a job. */
static void account(void *arg)
{
	struct worker *worker = arg;
	uint64_t now = clock_now();

	add(&worker->line->busy_ns, now - worker->mark_ns);
	worker->mark_ns = now;
	atomic_store_explicit(&worker->line->beat_ns, now, memory_order_relaxed);
}

/** close_all_but() - @keep in ascending order. */
static void close_all_but(const int *keep, unsigned count)
{
	unsigned from = 0;

	for (unsigned i = 0; i <= count; i++) {
		unsigned to = i < count ? (unsigned)keep[i] : UINT32_MAX;
		if (i == count || to > from) {
			unsigned last = i == count ? UINT32_MAX : to - 1;
			if (syscall(SYS_close_range, from, last, 0) < 0) {
				/* Linux before 5.9, or a filter that does not know the call. */
				struct rlimit limit = {0};
				getrlimit(RLIMIT_NOFILE, &limit);
				for (unsigned fd = from; fd <= last && fd < limit.rlim_cur && fd < 1u << 20; fd++)
					close((int)fd);
			}
		}
		if (i < count)
			from = to + 1;
	}
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void shed_descriptors(const struct worker_start *start)
{
	int keep[] = {STDERR_FILENO, start->setup->base->fd, start->setup->priv->fd, start->ring->wake_fd,
	    start->control, -1, -1, -1};
	unsigned count = 5;

	/* A coordinator that is killed gives back its lock before its workers are told to die: the next one must not start
	 * while one of them is still writing. */
	if (start->setup->lock > 0)
		keep[count++] = start->setup->lock;

	/* Standard input and output stay taken, by nothing: no file of the store may ever get their numbers. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0) {
		keep[count++] = STDIN_FILENO;
		keep[count++] = STDOUT_FILENO;
	}
	/* Standard error is a log, perhaps, that a worker could forge or cut: it stays with those only who may do all that
	 * their user may. What a worker has to say the coordinator says. Nothing can be written to a directory either. */
	if (sandbox_possible(start->setup->sandbox))
		dup2(null >= 0 ? null : start->setup->base->fd, STDERR_FILENO);
	qsort(keep, count, sizeof(keep[0]), compare_fds);
	unsigned unique = 0, first = 0;
	while (first < count && keep[first] < 0)
		first++;
	for (unsigned i = first; i < count; i++)
		if (unique == 0 || keep[unique - 1] != keep[i])
			keep[unique++] = keep[i];
	close_all_but(keep, unique);
	/* The mappings stay; the numbers must not be closed again, since others may have them by now. */
	start->ring->shm.fd = -1;
	start->setup->catalog->shm.fd = -1;
}

static void shed_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int signo = 1; signo < NSIG; signo++)
		sigaction(signo, &action, NULL);
	action.sa_handler = SIG_IGN;
	for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/** shed() - become a process of its own. Returns 0 or -errno with a sentence. */
static int shed(const struct worker_start *start)
{
	char name[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before that call. */
	if (getppid() != start->parent)
		_exit(0);
	/* 15 characters are all that fit. */
	const char *role = start->setup->name;
	snprintf(name, sizeof(name), "varve-%s-%u", role ? role : start->index < 100 ? "worker" : "work", start->index);
	prctl(PR_SET_NAME, name);
	shed_signals();
	sock_discard_by(NULL); /* whoever does that is a thread, and was not forked */
	fault_role("worker");
	err_clear();
	int err = shm_remap_readonly(&start->setup->catalog->shm);
	shed_descriptors(start);
	return err < 0 ? err : limits_take(start->setup);
}

static bool urgent(void *arg)
{
	struct worker *worker = arg;
	return ring_urgent(worker->start->ring);
}

static bool cancelled(void *arg)
{
	struct worker *worker = arg;
	return ring_cancelled(worker->start->ring, worker->ticket.slot);
}

static int open_context(struct worker *worker, struct job_context *context)
{
	const struct pool_setup *setup = worker->start->setup;

	*context = (struct job_context) {.base = setup->base,
	    .priv = setup->priv,
	    .catalog = setup->catalog,
	    .tiers_percent = setup->tiers_percent,
	    .take_fd = take_fd,
	    .take_backing = take_fd,
	    .sight = sight,
	    .found = found,
	    .beat = account,
	    .urgent = urgent,
	    .cancelled = cancelled,
	    .arg = worker};
	int err = fault_at("worker.start");
	if (err < 0)
		return fail_sys(-err, "starting a worker");
	err = reader_open(setup->method, setup->depth, &context->reader);
	return err < 0 ? err : job_context_open(context);
}

/** wake() - take the memory again that rest() gave back. */
static int wake(struct worker *worker, struct job_context *context)
{
	int err = worker->resting ? job_context_open(context) : 0;
	if (err == 0)
		worker->resting = false;
	return err;
}

/** rest() - give back what is kept between jobs. */
static void rest(struct worker *worker, struct job_context *context)
{
	if (worker->resting)
		return;
	job_context_close(context);
	malloc_trim(0);
	worker->resting = true;
}

/** run_job() - with all the memory that a worker may have: what earlier jobs left behind must not make one fail. */
static void run_job(struct worker *worker, struct job_context *context, struct job *job)
{
	const struct pool_setup *setup = worker->start->setup;
	struct job posted = *job;
	unsigned tries = 0;

	/* What a verification has found is told already: it is not run again. */
	if (job->kind == JOB_VERIFY && setup->memory_limit) {
		rest(worker, context);
		tries = 1;
	}
	for (; tries < 2; tries++) {
		*job = posted;
		job->result = wake(worker, context);
		if (job->result == 0)
			job_run(context, job);
		else
			snprintf(job->text, sizeof(job->text), "%s", err_text());
		if (job->result != -ENOMEM || !setup->memory_limit)
			return;
		rest(worker, context);
	}
}

static void run(struct worker *worker, struct job_context *context, struct job *job)
{
	worker->mark_ns = clock_now();
	err_clear();
	job->result = fault_at("worker.take");
	if (job->result == 0)
		run_job(worker, context, job);
	else
		snprintf(job->text, sizeof(job->text), "a fault was asked for in worker.take");
	account(worker);
	add(&worker->line->jobs, 1);
	add(&worker->line->bytes_read, job->bytes_read);
	add(&worker->line->bytes_written, job->bytes_written);
	int err = fault_at("worker.done");
	if (err < 0) {
		job->result = err;
		snprintf(job->text, sizeof(job->text), "a fault was asked for in worker.done");
	}
}

/** idle_wait() - how long to wait for a job before something else is to be done, milliseconds. */
static int idle_wait(const struct worker *worker)
{
	uint64_t idle_ms = ring_idle(worker->start->ring);
	uint64_t passed_ms = (clock_now() - worker->idle_since_ns) / 1000000u;

	if (worker->resting || idle_ms == 0 || idle_ms > passed_ms + IDLE_LOOK_MS)
		return IDLE_LOOK_MS;
	return idle_ms > passed_ms ? (int)(idle_ms - passed_ms) : 0;
}

/** idle() - time is up, or a signal came. */
static void idle(struct worker *worker, struct job_context *context)
{
	if (getppid() != worker->start->parent)
		_exit(0);
	uint64_t idle_ms = ring_idle(worker->start->ring);
	if (idle_ms && clock_now() - worker->idle_since_ns >= idle_ms * 1000000u)
		rest(worker, context);
}

/** confine() - the last step before others' bytes are looked at. */
static int confine(const struct worker_start *start, const struct reader *reader, struct sandbox_result *result)
{
	struct sandbox_needs needs = {
	    .base = start->setup->base,
	    .priv = start->setup->priv,
	    .catalog = start->setup->writes_backing ? start->setup->catalog : NULL,
	    .control = start->control,
	    .uring = reader_has_ring(reader),
	};
	return sandbox_enter(start->setup->sandbox, &needs, result);
}

_Noreturn void worker_main(const struct worker_start *start)
{
	struct worker worker = {
	    .start = start, .line = ring_worker(start->ring, start->index), .talk = {.control = start->control}};
	struct sandbox_result sandbox;
	struct job_context context;
	struct job job;

	int err = shed(start);
	if (err == 0)
		err = open_context(&worker, &context);
	if (err == 0)
		err = confine(start, context.reader, &sandbox);
	if (err < 0) {
		talk_failed(&worker.talk, err_text());
		_exit(1);
	}
	talk_hello(&worker.talk, context.reader, &sandbox);

	worker.idle_since_ns = clock_now();
	while (!ring_retiring(start->ring, start->index)) {
		if (ring_take(
		        start->ring, start->index, ring_spin(start->ring), idle_wait(&worker), &job, &worker.ticket)) {
			run(&worker, &context, &job);
			ring_done(start->ring, start->index, worker.ticket, &job);
			worker.idle_since_ns = clock_now();
			fault_at("worker.idle");
		} else {
			idle(&worker, &context);
		}
	}
	_exit(0);
}
