/*
 * workers_process.c - a worker as a process: what it has, what it must not have, what it says, and how it ends.
 */
#include "workers_pool.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

TestSuite(process, .init = prepare, .fini = close_all, .timeout = 30);

/* A client's socket or the store's lock that lives on in a worker keeps a dead client's session, or the store, locked. */
Test(process, a_worker_holds_no_descriptor_but_its_own_few)
{
	int others[50];
	for (unsigned i = 0; i < 50; i++)
		others[i] = dup(epoll_fd);
	open_pool(1);
	post(1, LOOK_AROUND);
	wait_for_ends(1);
	/* standard input, output, error; two directories, the eventfd, the socket; one for a reader's ring */
	cr_assert_leq(atomic_load(&stage->descriptors), 8);
	for (unsigned i = 0; i < 50; i++)
		close(others[i]);
}

static void on_signal(int signo)
{
	(void)signo;
}

/* The coordinator blocks signals to read them from a descriptor; a worker that inherited that could not be ended. */
Test(process, a_worker_has_neither_the_handlers_nor_the_mask_of_the_coordinator)
{
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, &before);
	signal(SIGUSR1, on_signal);
	open_pool(1);
	post(1, LOOK_AROUND);
	wait_for_ends(1);
	cr_assert(atomic_load(&stage->mask_empty));
	cr_assert(atomic_load(&stage->default_handler));
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGUSR1, SIG_DFL);
}

/* Ctrl-C and a service manager's SIGTERM go to all processes of the group: jobs under way are the coordinator's to end. */
Test(process, what_is_meant_for_the_whole_group_is_left_to_the_coordinator)
{
	open_pool(1);
	post(1, WAIT);
	wait_until_waiting(1);
	kill(pool->places[0].pid, SIGINT);
	kill(pool->places[0].pid, SIGTERM);
	kill(pool->places[0].pid, SIGHUP);
	atomic_store(&stage->go, true);
	wait_for_ends(1);
	cr_assert_eq(atomic_load(&stage->runs[1]), 1);
}

/* The catalog says where everything is: a worker taken over by what it decodes must not be able to change it. */
Test(process, a_worker_can_not_write_to_the_catalog)
{
	open_pool(1);
	post(1, WRITE_CATALOG);
	wait_for_ends(1);
	cr_assert_eq(results[1], -ENOTRECOVERABLE);
	cr_assert_neq(*(uint8_t *)catalog.shm.base, 1);
}

Test(process, a_checkout_gets_the_descriptor_that_was_posted_with_it)
{
	char text[8] = "";
	int fds[2];
	open_pool(2);
	for (uint32_t i = 0; i < 20; i++) {
		cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
		post_fd(i, JOB_CHECKOUT, WRITE_FD, fds[1]);
		close(fds[1]);
		wait_for_ends(i + 1);
		cr_assert_eq(results[i], 0);
		cr_assert_eq(read(fds[0], text, sizeof(text)), 5);
		cr_assert_eq(read(fds[0], text, sizeof(text)), 0, "nobody else holds it: not the pool, not the worker");
		close(fds[0]);
	}
}

/* A worker gone wrong must not get the descriptor of another client's checkout by asking. */
Test(process, a_job_that_is_no_checkout_gets_no_descriptor)
{
	open_pool(1);
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	post_fd(1, JOB_RESTORE, WRITE_FD, fd);
	post_fd(2, JOB_CHECKOUT, WRITE_FD, -1);
	wait_for_ends(2);
	cr_assert_eq(results[1], -EINVAL);
	cr_assert_eq(results[2], -EBADF);
	close(fd);
}

/* A verification that lost a worker half way must neither forget what was found nor count it twice. */
Test(process, findings_are_told_once_and_before_the_end_of_their_job)
{
	open_pool(1);
	post_fd(1, JOB_VERIFY, FIND, -1);
	wait_for_ends(1);
	cr_assert_eq(atomic_load(&stage->runs[1]), 2);
	cr_assert_eq(findings_at_end, 5);
	cr_assert_eq(findings, 5);
}

/* They come by another way than the end does, which may be seen first. */
Test(process, findings_are_told_before_the_end_even_if_nobody_listened_meanwhile)
{
	open_pool(1);
	wait_until_serving(1);
	atomic_store(&stage->runs[1], 1);
	post_fd(1, JOB_VERIFY, FIND, -1);
	while (ended_count == 0)
		pool_reap(pool);
	cr_assert_eq(findings_at_end, 5);
}

Test(process, a_worker_that_talks_nonsense_is_replaced)
{
	open_pool(2);
	post(1, TALK_NONSENSE);
	post(2, ANSWER);
	wait_for_ends(2);
	cr_assert_eq(results[1], -ENOTRECOVERABLE);
	cr_assert_eq(results[2], 0);
}

/* Nobody waits for ever, no fork bomb, and the sentence says why. */
Test(process, jobs_end_with_the_reason_if_no_worker_can_start)
{
	setenv("VARVE_IO_DENY", "EPERM", 1);
	setup.method = READ_URING;
	open_pool(2);
	post(1, ANSWER);
	post(2, ANSWER);
	while (ended_count < 2)
		turn();
	cr_assert_eq(results[1], -EAGAIN);
	cr_assert(
	    strstr(last_text, "no worker process can be started: ") && strstr(last_text, "io_uring"), "%s", last_text);
	cr_assert_leq(pool->places[0].restarts + pool->places[1].restarts, 16);

	/* What was in the way is gone: the next tick that may start workers does. */
	pool->setup.method = READ_PREAD;
	pool->refilled_ns -= 10000000000ull;
	pool_tick(pool);
	post(3, ANSWER);
	wait_for_ends(3);
	cr_assert_eq(results[3], 0);
	unsetenv("VARVE_IO_DENY");
}

static unsigned count_own_descriptors(void)
{
	return count_descriptors(false);
}

Test(process, closing_the_pool_leaves_nothing_behind)
{
	unsigned before = count_own_descriptors();
	for (unsigned round = 0; round < 3; round++) {
		open_pool(5);
		wait_until_serving(5);
		ended_count = 0;
		for (uint32_t i = 0; i < 5; i++)
			post(i, i % 2 ? DIE_ONCE : ANSWER);
		wait_for_ends(5);
		pool_resize(pool, 7, 7);
		pool_resize(pool, 2, 2);
		/* Half of the time with a job under way that never ends. */
		int fd = dup(epoll_fd);
		if (round % 2)
			post_fd(10, JOB_CHECKOUT, WAIT, fd);
		close(fd);
		pool_close(pool, round % 2 ? 0 : 1000);
		pool = NULL;
		cr_assert_eq(dropped, (round + 1) / 2, "whoever posted the job that never ends is told");
		cr_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no process is left");
		cr_assert_eq(count_own_descriptors(), before);
	}
}

/* Workers that outlive their coordinator would write to backing files behind the back of the next one. */
Test(process, workers_end_with_their_coordinator)
{
	pid_t pids[4];
	int fds[2];

	/* Orphans come to us, so that we can wait for them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	cr_assert_eq(pipe(fds), 0);
	pid_t coordinator = fork();
	if (coordinator == 0) {
		open_pool(4);
		post(1, WAIT);
		wait_until_waiting(1);
		wait_until_serving(4);
		for (uint32_t i = 0; i < 4; i++)
			pids[i] = pool->places[i].pid;
		if (write(fds[1], pids, sizeof(pids)) != sizeof(pids))
			_exit(1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(fds[0], pids, sizeof(pids)), sizeof(pids));
	kill(coordinator, SIGKILL);
	for (unsigned i = 0; i < 5; i++)
		cr_assert_gt(waitpid(-1, NULL, 0), 0);
	cr_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	for (unsigned i = 0; i < 4; i++)
		cr_assert(kill(pids[i], 0) < 0 && errno == ESRCH);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(fds[0]);
	close(fds[1]);
}

Test(process, a_worker_can_be_told_from_others_by_its_name)
{
	char path[64], name[32] = "";
	open_pool(2);
	wait_until_serving(2);
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pool->places[1].pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_gt(read(fd, name, sizeof(name) - 1), 0);
	close(fd);
	cr_assert_str_eq(name, "varve-worker-1\n");
}

/** forbid() - two system calls do @action from now on, as in an old kernel or a strict container. */
static void forbid(unsigned first, unsigned second, unsigned action)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, action),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(process, without_pidfd_open_and_close_range_all_is_as_with_them)
{
	forbid(SYS_pidfd_open, SYS_close_range, SECCOMP_RET_ERRNO | ENOSYS);
	int other = dup(epoll_fd);
	open_pool(2);
	wait_until_serving(2);
	cr_assert_lt(pool->places[0].pidfd, 0);
	kill(pool->places[0].pid, SIGKILL);
	while (pool->places[0].restarts == 0)
		turn();
	post(1, DIE_ONCE);
	post(2, DIE);
	post(3, LOOK_AROUND);
	wait_for_ends(3);
	cr_assert_eq(results[1], 0);
	cr_assert_eq(results[2], -ENOTRECOVERABLE);
	cr_assert_leq(atomic_load(&stage->descriptors), 8);
	close(other);
}

/* Of all that can be said of such a system, only what to do about it helps. */
Test(process, a_filter_that_kills_who_calls_io_uring_is_named_with_the_way_around_it)
{
	forbid(SYS_io_uring_setup, SYS_io_uring_setup, SECCOMP_RET_KILL_PROCESS);
	setup.method = READ_AUTO;
	open_pool(1);
	post(1, ANSWER);
	while (ended_count < 1)
		turn();
	cr_assert_eq(results[1], -EAGAIN);
	cr_assert(strstr(last_text, "--io pread (VARVE_IO=pread)"), "%s", last_text);
	cr_assert(strstr(all_notices, "--io pread (VARVE_IO=pread)"), "%s", all_notices);
	pool_close(pool, 1000);
	setup.method = READ_PREAD;
	open_pool(1);
	post(2, ANSWER);
	wait_for_ends(2);
	cr_assert_eq(results[2], 0, "%s", last_text);
}

Test(process, a_system_that_allows_no_process_more_is_told_with_the_limits_to_look_at)
{
	struct pool_events events = {.done = on_done, .notice = on_notice};
	forbid(SYS_clone, SYS_clone3, SECCOMP_RET_ERRNO | EAGAIN);
	setup.min = 2;
	cr_assert_eq(pool_open(&setup, &events, 2, epoll_fd, &pool), -EAGAIN, "there must be one");
	cr_assert(strstr(err_text(), "ulimit -u") && strstr(err_text(), "TasksMax="), "%s", err_text());
}

/* `varve workers 500` with 1,024 open files: no half of it, and the pool that is there goes on. */
Test(process, a_pool_that_can_not_grow_stays_as_it_was)
{
	struct rlimit limit;
	open_pool(2);
	wait_until_serving(2);
	getrlimit(RLIMIT_NOFILE, &limit);
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &limit);
	cr_assert_eq(pool_resize(pool, 60, 60), -EMFILE);
	limit.rlim_cur = before;
	setrlimit(RLIMIT_NOFILE, &limit);
	cr_assert_eq(pool_size(pool), 2);
	wait_until_serving(2);
	post(1, ANSWER);
	wait_for_ends(1);
	cr_assert_eq(results[1], 0);
}
