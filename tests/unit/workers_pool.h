/*
 * workers_pool.h - what the tests of the pool share: a pool whose workers run jobs made up here.
 *
 * job_run() of the engine is replaced: a job's `target` says what its worker shall do. Workers are forked from the
 * test, so they share the memory that `stage` points to.
 */
#ifndef TESTS_WORKERS_POOL_H
#define TESTS_WORKERS_POOL_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"
#include "pool_state.h"
#include "ring_memory.h"

enum deed {
	ANSWER, /**< size = module + 1 */
	WAIT, /**< until stage->go */
	WAIT_BEATING, /**< the same, with signs of life */
	DIE, /**< by SIGSEGV */
	DIE_ONCE,
	STOP_ONCE, /**< by SIGSTOP */
	HANG_ONCE, /**< alive, and without a sign of life */
	WAIT_CANCELLED, /**< until go, or until nobody wants the job any more */
	WRITE_FD, /**< to the descriptor of a checkout */
	FIND, /**< five things; the first run dies after three */
	LOOK_AROUND, /**< what this process has: stage->descriptors, ->mask_empty, ->default_handler */
	WRITE_CATALOG,
	TALK_NONSENSE, /**< on every socket that it can find */
	ALLOCATE, /**< module MiB, and touch them; -ENOMEM without */
	KEEP, /**< the same, kept until job_context_close() */
	ATTEMPT, /**< stage->attempt, a function of the test's; its result is the job's */
};

struct stage {
	_Atomic unsigned runs[1024]; /**< by module: how often it was begun */
	_Atomic bool go;
	_Atomic unsigned waiting;
	_Atomic unsigned descriptors;
	_Atomic bool mask_empty;
	_Atomic bool default_handler;
	_Atomic unsigned contexts_closed;
	_Atomic uintptr_t attempt; /**< int (*)(struct job_context *): functions lie where they lie in the test */
};

/** What a worker keeps between jobs. */
static void *kept[16];
static unsigned kept_count;

static struct stage *stage;
static struct catalog catalog;
static struct dir base, priv;
static struct pool_setup setup;
static struct pool *pool;
static int epoll_fd = -1;

/** What has ended, by module. */
static unsigned ends[1024];
static int results[1024];
static uint64_t sizes[1024];
static char last_text[ERR_TEXT];
static unsigned ended_count;
static unsigned findings;
static unsigned findings_at_end;
static unsigned notices;
static unsigned dropped;
static char all_notices[65536];

/* ---- the worker's side ---------------------------------------------------------------------------------------- */

int job_context_open(struct job_context *context)
{
	(void)context;
	return 0;
}

void job_context_close(struct job_context *context)
{
	(void)context;
	atomic_fetch_add(&stage->contexts_closed, 1);
	while (kept_count > 0)
		free(kept[--kept_count]);
}

static void allocate(struct job *job, bool keep)
{
	size_t size = (size_t)job->module << 20;
	char *memory = malloc(size);
	job->result = memory ? 0 : -ENOMEM;
	if (!memory)
		fail_sys(ENOMEM, "memory for an image");
	strcpy(job->text, memory ? "" : err_text());
	if (memory)
		memset(memory, 1, size);
	if (memory && keep)
		kept[kept_count++] = memory;
	else
		free(memory);
}

static unsigned count_descriptors(bool nonsense)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		struct stat st;
		int fd = atoi(entry->d_name);
		if (entry->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		count++;
		if (nonsense && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			send(fd, "\377garbage", 8, MSG_NOSIGNAL);
	}
	if (dir)
		closedir(dir);
	return count;
}

static void look_around(void)
{
	struct sigaction action;
	sigset_t mask;
	bool empty = true;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signo = 1; signo < NSIG; signo++)
		empty &= sigismember(&mask, signo) != 1;
	sigaction(SIGUSR1, NULL, &action);
	atomic_store(&stage->mask_empty, empty);
	atomic_store(&stage->default_handler, action.sa_handler == SIG_DFL);
	atomic_store(&stage->descriptors, count_descriptors(false));
}

static void write_fd(struct job_context *context, struct job *job)
{
	int fd = context->take_fd(context->arg, job);
	job->result = fd < 0 ? fd : 0;
	if (fd < 0 || write(fd, "image", 5) != 5)
		return;
	close(fd);
}

static void find(struct job_context *context, struct job *job, bool first)
{
	for (unsigned i = 0; i < 5; i++) {
		context->found(context->arg, job, true, "file", "is damaged");
		if (first && i == 2)
			raise(SIGKILL);
	}
}

static void wait_for_go(struct job_context *context, bool beating)
{
	atomic_fetch_add(&stage->waiting, 1);
	while (!atomic_load(&stage->go)) {
		if (beating)
			context->beat(context->arg);
		usleep(1000);
	}
}

void job_run(struct job_context *context, struct job *job)
{
	bool first = atomic_fetch_add(&stage->runs[job->module], 1) == 0;

	job->result = 0;
	job->size = job->module + 1;
	switch ((enum deed)job->target) {
	case WAIT:
	case WAIT_BEATING:
		wait_for_go(context, job->target == WAIT_BEATING);
		break;
	case DIE:
	case DIE_ONCE:
		if (first || job->target == DIE)
			raise(SIGKILL);
		break;
	case STOP_ONCE:
		if (first)
			raise(SIGSTOP);
		break;
	case HANG_ONCE:
		while (first)
			pause();
		break;
	case WAIT_CANCELLED:
		atomic_fetch_add(&stage->waiting, 1);
		while (!atomic_load(&stage->go) && !context->cancelled(context->arg))
			usleep(1000);
		job->result = context->cancelled(context->arg) ? -ECANCELED : 0;
		break;
	case WRITE_FD:
		write_fd(context, job);
		break;
	case FIND:
		find(context, job, first);
		break;
	case LOOK_AROUND:
		look_around();
		break;
	case WRITE_CATALOG:
		*(volatile uint8_t *)context->catalog->shm.base = 1;
		break;
	case TALK_NONSENSE:
		count_descriptors(true);
		pause();
		break;
	case ALLOCATE:
	case KEEP:
		allocate(job, job->target == KEEP);
		break;
	case ATTEMPT:
		job->result = ((int (*)(struct job_context *))atomic_load(&stage->attempt))(context);
		snprintf(job->text, sizeof(job->text), "%s", err_text());
		break;
	case ANSWER:
		break;
	}
}

/* ---- the coordinator's side ----------------------------------------------------------------------------------- */

static void on_done(void *arg, void *cookie, struct job *job)
{
	uint32_t module = (uint32_t)(uintptr_t)cookie;
	(void)arg;
	cr_assert_eq(job->module, module);
	ends[module]++;
	results[module] = job->result;
	sizes[module] = job->size;
	if (job->result)
		strcpy(last_text, job->text);
	findings_at_end = findings;
	ended_count++;
}

static void on_found(void *arg, void *cookie, bool damage, const char *file, const char *problem)
{
	(void)arg;
	(void)cookie;
	cr_assert(damage && strcmp(file, "file") == 0 && strcmp(problem, "is damaged") == 0);
	findings++;
}

static void on_dropped(void *arg, void *cookie)
{
	(void)arg;
	(void)cookie;
	dropped++;
}

static void on_notice(void *arg, const char *text)
{
	(void)arg;
	notices++;
	strncat(all_notices, text, sizeof(all_notices) - strlen(all_notices) - 2);
	strcat(all_notices, "\n");
}

static void prepare(void)
{
	stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(stage, MAP_FAILED);
	cr_assert_eq(dir_open(&base, -1, "/tmp", ""), 0);
	cr_assert_eq(dir_open(&priv, -1, "/tmp", ".varve/"), 0);
	cr_assert_eq(catalog_create(&catalog), 0);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	setup =
	    (struct pool_setup) {.base = &base, .priv = &priv, .catalog = &catalog, .method = READ_PREAD, .depth = 8};
}

/** open_pool() - of @workers that are there from the start, and stay. open_elastic() - that come and go. */
static void open_elastic(unsigned workers)
{
	struct pool_events events = {.done = on_done, .found = on_found, .notice = on_notice, .dropped = on_dropped};
	cr_assert_eq(pool_open(&setup, &events, workers, epoll_fd, &pool), 0);
}

static void open_pool(unsigned workers)
{
	setup.min = workers;
	open_elastic(workers);
}

static void close_all(void)
{
	pool_close(pool, 1000);
	pool = NULL;
	cr_assert(waitpid(-1, NULL, 0) < 0 && errno == ECHILD, "no child is left");
	catalog_close(&catalog);
	dir_close(&base);
	dir_close(&priv);
	close(epoll_fd);
	munmap(stage, sizeof(*stage));
}

/** turn() - one round of a coordinator's loop. */
static void turn(void)
{
	struct epoll_event event;
	if (pool_sleep_begin(pool, false)) {
		if (epoll_wait(epoll_fd, &event, 1, 10) > 0)
			cr_assert_eq(event.data.ptr, pool);
		pool_sleep_end(pool);
	}
	pool_dispatch(pool);
}

static void post_fd(uint32_t module, enum job_kind kind, enum deed deed, int fd)
{
	struct job job = {.kind = kind, .module = module, .target = deed};
	while (pool_room(pool) == 0)
		turn();
	cr_assert_eq(pool_post(pool, &job, 0, (void *)(uintptr_t)module, fd), 0);
}

static inline void post(uint32_t module, enum deed deed)
{
	post_fd(module, JOB_RESTORE, deed, -1);
}

/** wait_for_ends() - until so many jobs have ended; with ticks, as often as they can do no good any more. */
static void wait_for_ends(unsigned count)
{
	while (ended_count < count) {
		turn();
		pool_tick(pool);
	}
}

/** wait_until_waiting() - until so many runs of WAIT are under way. */
static inline void wait_until_waiting(unsigned count)
{
	while (atomic_load(&stage->waiting) < count)
		turn();
}

static void wait_until_serving(unsigned count)
{
	while (pool->serving < count || pool->alive != count)
		turn();
}

#endif
