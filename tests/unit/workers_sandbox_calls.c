/*
 * workers_sandbox_calls.c - which system calls a worker that was taken over can not make, and what is said of its sandbox.
 */
#include "workers_sandbox.h"

#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>

TestSuite(sandbox_calls, .init = set_up, .fini = clean_up, .timeout = 60);

/* ---- system calls ----------------------------------------------------------------------------------------------- */

static int execute(struct job_context *context)
{
	(void)context;
	char *none[] = {NULL};
	return error_of(execve("/bin/true", none, none));
}

static int execute_descriptor(struct job_context *context)
{
	(void)context;
	char *none[] = {NULL};
	return error_of(syscall(SYS_execveat, 0, "", none, none, AT_EMPTY_PATH));
}

static int make_process(struct job_context *context)
{
	(void)context;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return error_of(pid);
}

static int make_unix_socket(struct job_context *context)
{
	(void)context;
	return error_of(socket(AF_UNIX, SOCK_SEQPACKET, 0));
}

static int trace_parent(struct job_context *context)
{
	(void)context;
	return error_of(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
}

static int read_parent(struct job_context *context)
{
	char byte;
	struct iovec mine = {&byte, 1}, theirs = {context->catalog->shm.base, 1};
	return error_of(syscall(SYS_process_vm_readv, getppid(), &mine, 1, &theirs, 1, 0));
}

static int kill_parent(struct job_context *context)
{
	(void)context;
	return error_of(kill(getppid(), SIGTERM));
}

static int kill_all(struct job_context *context)
{
	(void)context;
	return error_of(kill(-1, SIGTERM));
}

static int leave_namespaces(struct job_context *context)
{
	(void)context;
	return error_of(unshare(CLONE_NEWUSER));
}

static int mount_over(struct job_context *context)
{
	(void)context;
	return error_of(mount("none", "/tmp", "tmpfs", 0, NULL));
}

static int change_root(struct job_context *context)
{
	(void)context;
	return error_of(syscall(SYS_chroot, "/"));
}

static int load_program(struct job_context *context)
{
	(void)context;
	return error_of(syscall(SYS_bpf, 0, NULL, 0));
}

static int make_ring(struct job_context *context)
{
	(void)context;
	struct io_uring_params params = {0};
	return error_of(syscall(SYS_io_uring_setup, 4, &params));
}

static int map_code(struct job_context *context)
{
	(void)context;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -errno : 0;
}

static int turn_data_into_code(struct job_context *context)
{
	(void)context;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return error_of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int take_capabilities(struct job_context *context)
{
	(void)context;
	return error_of(syscall(SYS_capset, NULL, NULL));
}

static int become_another(struct job_context *context)
{
	(void)context;
	return error_of(syscall(SYS_setuid, 1));
}

Test(sandbox_calls, a_worker_that_tries_what_only_an_intruder_would_is_ended)
{
	static int (*const tries[])(struct job_context *) = {execute, execute_descriptor, make_process, make_socket,
	    make_unix_socket, trace_parent, read_parent, kill_parent, kill_all, leave_namespaces, mount_over,
	    change_root, load_program, make_ring, map_code, turn_data_into_code, take_capabilities, become_another};
	open_confined();
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int result = result_of(tries[i]);
		cr_expect_eq(result, -ENOTRECOVERABLE, "attempt %zu: %s", i, strerror(-result));
		cr_expect(strstr(last_text, "its sandbox forbids"), "attempt %zu: %s", i, last_text);
		last_text[0] = '\0';
	}
	/* And the next job finds a worker. */
	cr_assert_eq(result_of(work), 0, "%s", last_text);
}

static int unlock(struct job_context *context)
{
	(void)context;
	return error_of(flock(setup.lock, LOCK_UN));
}

/* All processes of the pool hold the store's lock by one open file: any of them could give it up for all. */
Test(sandbox_calls, a_worker_can_not_unlock_the_store)
{
	setup.lock = openat(base.fd, "file", O_RDWR | O_CLOEXEC);
	cr_assert_eq(flock(setup.lock, LOCK_EX | LOCK_NB), 0);
	open_confined();
	cr_expect_eq(result_of(unlock), -ENOSYS);
	int other = openat(base.fd, "file", O_RDWR | O_CLOEXEC);
	cr_expect(flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK, "the store is locked still");
	close(other);
	close(setup.lock);
	setup.lock = 0;
}

static int make_memfd(struct job_context *context)
{
	(void)context;
	errno = 0;
	for (unsigned i = 0; i < 3; i++)
		if (memfd_create("x", 0) >= 0)
			return 0;
	return -errno;
}

/* Another libc may call what this one does not. That must not end the worker, and must not go unseen. */
Test(sandbox_calls, a_system_call_that_nobody_foresaw_seems_missing_and_is_logged_once)
{
	open_confined();
	cr_assert_eq(result_of(make_memfd), -ENOSYS);
	pool_dispatch(pool);
	cr_assert_eq(notices, 1, "%s", all_notices);
	cr_assert(strstr(all_notices, "memfd_create") && strstr(all_notices, "sandbox=off"), "%s", all_notices);
	cr_assert_eq(result_of(work), 0, "%s", last_text);
	cr_assert_eq(pool->places[0].restarts, 0);
}

static int pair[2];

static int use_other_socket(struct job_context *context)
{
	int fd = context->take_fd(context->arg, &(struct job) {0});
	if (fd < 0)
		return fd;
	struct iovec part = {"x", 1};
	struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
	return error_of(sendmsg(fd, &head, MSG_NOSIGNAL));
}

/* Who checks out may hand over a socket; what is sent there comes from a process that others may trust. */
Test(sandbox_calls, no_socket_but_its_own_can_be_used_for_messages)
{
	open_confined();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	struct job job = {.kind = JOB_CHECKOUT, .module = 900, .target = ATTEMPT};
	atomic_store(&stage->attempt, (uintptr_t)use_other_socket);
	cr_assert_eq(pool_post(pool, &job, 0, (void *)(uintptr_t)900, pair[0]), 0);
	wait_for_ends(1);
	cr_assert_eq(results[900], -ENOSYS);
	close(pair[0]);
	close(pair[1]);
}

/* ---- what is said of it ----------------------------------------------------------------------------------------- */

/* A line of /proc/PID/status, as a number. */
static unsigned long long status_of(pid_t pid, const char *key, int base_of)
{
	char path[64], line[256];
	unsigned long long value = ~0ull;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			value = strtoull(line + strlen(key) + 1, NULL, base_of);
	fclose(file);
	return value;
}

Test(sandbox_calls, a_worker_has_no_capability_but_those_over_files)
{
	const unsigned long long over_files = 1ull << 1 | 1ull << 3; /* CAP_DAC_OVERRIDE, CAP_FOWNER */
	open_confined();
	pid_t pid = pool->places[0].pid;
	cr_expect_eq(status_of(pid, "NoNewPrivs", 10), 1);
	cr_expect_eq(status_of(pid, "Seccomp", 10), 2);
	cr_expect_eq(status_of(pid, "CapEff", 16) & ~over_files, 0);
	cr_expect_eq(status_of(pid, "CapPrm", 16) & ~over_files, 0);
	cr_expect_eq(status_of(pid, "CapInh", 16), 0);
	if (geteuid() == 0)
		cr_expect_eq(status_of(pid, "CapBnd", 16), 0);
}

Test(sandbox_calls, what_is_missing_is_said_and_all_else_is_done)
{
	setenv("VARVE_SANDBOX_DENY", "landlock", 1);
	open_pool(2);
	wait_until_serving(2);
	cr_expect(strstr(pool_sandbox_reason(pool), "ENOSYS") || strstr(pool_sandbox_reason(pool), "sanitizer"), "%s",
	    pool_sandbox_reason(pool));
	cr_expect_eq(notices, 1, "once, whatever the number of workers: %s", all_notices);
	if (strstr(pool_sandbox_reason(pool), "sanitizer"))
		cr_skip_test("%s", pool_sandbox_reason(pool));
	cr_expect_str_eq(pool_sandbox(pool), "partial");
	cr_expect(strstr(pool_sandbox_reason(pool), "use Linux 5.13"), "%s", pool_sandbox_reason(pool));
	cr_expect_eq(result_of(read_outside), 0);
	cr_expect_eq(result_of(make_socket), -ENOTRECOVERABLE);
}

Test(sandbox_calls, where_it_is_required_no_worker_is_started_without_all_of_it)
{
	setenv("VARVE_SANDBOX_DENY", "seccomp", 1);
	setup.sandbox = SANDBOX_REQUIRE;
	open_elastic(1);
	cr_expect_lt(result_of(work), 0);
	cr_expect(strstr(last_text, "required, but"), "%s", last_text);
	cr_expect_lt(sandbox_check(), 0);
	cr_expect(strstr(err_text(), "required, but"), "%s", err_text());
}

Test(sandbox_calls, switched_off_it_forbids_nothing)
{
	setup.sandbox = SANDBOX_OFF;
	open_pool(1);
	cr_expect_eq(result_of(make_socket), 0);
	cr_expect_eq(result_of(read_outside), 0);
	cr_expect_str_eq(pool_sandbox(pool), "off");
	cr_expect_eq(notices, 0, "%s", all_notices);
}
