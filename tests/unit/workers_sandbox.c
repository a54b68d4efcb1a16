/*
 * workers_sandbox.c - what a worker that was taken over can not do any more, and what one that was not still can.
 *
 * Each test has a worker try things, from inside a job. Where the system lacks a part of the sandbox there is nothing
 * to be seen, and the tests say so.
 */
#include "workers_pool.h"

#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "names.h"
#include "reader_method.h"
#include "uring.h"

static char box[64]; /* holds the store, and what lies beside it */
static char outside[96];
static struct dir own; /* .varve/, the coordinator's */
static struct varve_id module;
static char backing[NAME_MAX_SIZE], image[NAME_MAX_SIZE];

static void fill(const char *dir, const char *name)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && write(fd, "secret", 6) == 6);
	close(fd);
}

static void set_up(void)
{
	prepare();
	dir_close(&base);
	dir_close(&priv);
	strcpy(box, "/tmp/varve-sandbox-XXXXXX");
	cr_assert_not_null(mkdtemp(box));
	char store[80];
	snprintf(store, sizeof(store), "%s/store", box);
	snprintf(outside, sizeof(outside), "%s/outside", box);
	cr_assert(mkdir(store, 0700) == 0 && mkdir(outside, 0700) == 0);
	fill(store, "file");
	fill(outside, "file");
	cr_assert_eq(dir_open(&base, -1, store, ""), 0);
	cr_assert_eq(dir_make(&own, base.fd, ".varve", ".varve/"), 0);
	cr_assert_eq(dir_make(&priv, own.fd, "modules", ".varve/modules/"), 0);
	setup.sandbox = SANDBOX_ON;
	setup.writes_backing = true;
	memset(&module, 0xAB, sizeof(module));
	cr_assert_eq(catalog_add(&catalog, &module), 0);
	name_backing(backing, &module);
	fill(store, backing);
	fill(store, "commits");
	name_image(image, &module, &module);
	fill(store, image);
	strcat(store, "/.varve");
	fill(store, "journal");
}

static void clean_up(void)
{
	char command[96];
	unsetenv("VARVE_SANDBOX_DENY");
	unsetenv("VARVE_LANDLOCK_ABI");
	dir_close(&own);
	close_all();
	snprintf(command, sizeof(command), "rm -rf '%s'", box);
	cr_assert_eq(system(command), 0);
}

TestSuite(sandbox, .init = set_up, .fini = clean_up, .timeout = 60);

/* open_confined() - a pool of one, whose worker has all of the sandbox; where there is not all of it, the test is left out. */
static void open_confined(void)
{
	open_pool(1);
	wait_until_serving(1);
	if (strcmp(pool_sandbox(pool), "on") != 0)
		cr_skip_test("the sandbox is %s here: %s", pool_sandbox(pool), pool_sandbox_reason(pool));
}

/* What a worker gets that tries @what. */
static int result_of(int (*what)(struct job_context *context))
{
	static uint32_t number;
	struct job job = {.kind = JOB_RESTORE, .module = ++number, .target = ATTEMPT};
	unsigned before = ended_count;
	pool->allowance = 4; /* it may die of it, and the next one, too */
	atomic_store(&stage->attempt, (uintptr_t)what);
	cr_assert_eq(pool_post(pool, &job, 0, (void *)(uintptr_t)number, -1), 0);
	wait_for_ends(before + 1);
	return results[number];
}

static int error_of(long result)
{
	return result < 0 ? -errno : 0;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static int open_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return error_of(fd);
}

static int read_system_file(struct job_context *context)
{
	(void)context;
	return open_path("/etc/passwd", O_RDONLY);
}

static int read_outside(struct job_context *context)
{
	(void)context;
	char path[160];
	snprintf(path, sizeof(path), "%s/file", outside);
	return open_path(path, O_RDONLY);
}

static int climb_out(struct job_context *context)
{
	int fd = openat(context->base->fd, "../outside/file", O_RDONLY | O_CLOEXEC);
	return error_of(fd);
}

static int make_outside(struct job_context *context)
{
	(void)context;
	char path[160];
	snprintf(path, sizeof(path), "%s/new", outside);
	return open_path(path, O_WRONLY | O_CREAT);
}

static int list_outside(struct job_context *context)
{
	(void)context;
	return open_path(outside, O_RDONLY | O_DIRECTORY);
}

static int remove_outside(struct job_context *context)
{
	return error_of(unlinkat(context->base->fd, "../outside/file", 0));
}

static int move_out(struct job_context *context)
{
	return error_of(renameat(context->base->fd, "file", context->base->fd, "../outside/moved"));
}

static int move_in(struct job_context *context)
{
	return error_of(renameat(context->base->fd, "../outside/file", context->base->fd, "moved"));
}

static int read_process(struct job_context *context)
{
	(void)context;
	return open_path("/proc/self/mem", O_RDWR);
}

/* A delta that takes over its decoder must not read or spoil what else its user has. */
Test(sandbox, nothing_outside_the_base_directory_can_be_read_made_listed_moved_or_removed)
{
	static int (*const tries[])(struct job_context *) = {read_system_file, read_outside, climb_out, make_outside,
	    list_outside, remove_outside, move_out, move_in, read_process};
	open_confined();
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int result = result_of(tries[i]);
		cr_expect(result == -EACCES || result == -EXDEV, "attempt %zu: %s", i, strerror(-result));
	}
	char path[160];
	snprintf(path, sizeof(path), "%s/file", outside);
	cr_expect_eq(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/moved", outside);
	cr_expect_neq(access(path, F_OK), 0);
}

static int open_path_at(const struct dir *dir, const char *name, int flags)
{
	int fd = openat(dir->fd, name, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return error_of(fd);
}

static int write_backing(struct job_context *context)
{
	int fd = file_open(context->base, backing, O_RDWR);
	if (fd < 0)
		return fd;
	int err = file_write_at(fd, "12345678", 8, 0, context->base, backing);
	if (!err)
		err = file_resize(fd, 5, context->base, backing);
	close(fd);
	return err;
}

static int work(struct job_context *context)
{
	struct stat st;
	int fd = file_create(context->priv, "new");
	if (fd < 0)
		return fd;
	int err = file_write_at(fd, "12345678", 8, 0, context->priv, "new");
	if (!err)
		err = file_resize(fd, 5, context->priv, "new");
	if (!err)
		err = file_sync(fd, context->priv, "new");
	void *map = err ? MAP_FAILED : mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (!err && map == MAP_FAILED)
		err = -EIO;
	if (map != MAP_FAILED)
		munmap(map, 5);
	if (!err)
		err = file_rename(context->priv, "new", context->priv, "again");
	if (!err)
		err = file_stat(context->priv, "again", &st);
	if (!err)
		err = file_unlink(context->priv, "again");
	if (!err)
		err = write_backing(context);
	if (!err)
		err = open_path_at(context->base, "commits", O_RDONLY);
	if (!err)
		err = dir_sync(context->base);
	if (!err && syncfs(context->base->fd) < 0)
		err = -errno;
	return err ? err : st.st_size == 5 ? 0 : -EIO;
}

Test(sandbox, all_that_jobs_do_with_files_of_the_store_is_possible)
{
	open_pool(1);
	cr_assert_eq(result_of(work), 0, "%s", last_text);
	cr_assert_eq(notices, strcmp(pool_sandbox(pool), "on") ? 1 : 0, "%s", all_notices);
}

static int make_socket(struct job_context *context);

/* ---- what the store stands on ------------------------------------------------------------------------------------ */

static const char *const stands_on[] = {"commits", image, ".varve/journal", ".varve/lock"};

static int write_it(struct job_context *context)
{
	for (size_t i = 0; i < sizeof(stands_on) / sizeof(stands_on[0]); i++) {
		int err = open_path_at(context->base, stands_on[i], O_WRONLY | O_CREAT);
		if (err != -EACCES)
			return err ? err : (int)i + 1;
	}
	return -EACCES;
}

static int cut_it(struct job_context *context)
{
	return open_path_at(context->base, "commits", O_RDONLY | O_TRUNC);
}

static int remove_it(struct job_context *context)
{
	for (size_t i = 0; i < 3; i++) {
		int err = error_of(unlinkat(context->base->fd, stands_on[i], 0));
		if (err != -EACCES)
			return err ? err : (int)i + 1;
	}
	return -EACCES;
}

static int remove_backing(struct job_context *context)
{
	return error_of(unlinkat(context->base->fd, backing, 0));
}

static int replace_it(struct job_context *context)
{
	open_path_at(context->priv, "forged", O_WRONLY | O_CREAT);
	for (size_t i = 0; i < 3; i++) {
		int err = error_of(renameat(context->priv->fd, "forged", context->base->fd, stands_on[i]));
		if (err != -EXDEV && err != -EACCES)
			return err ? err : (int)i + 1;
		err = error_of(renameat(context->base->fd, stands_on[i], context->priv->fd, "stolen"));
		if (err != -EXDEV && err != -EACCES)
			return err ? err : (int)i + 1;
		err = error_of(renameat(context->base->fd, backing, context->base->fd, stands_on[i]));
		if (err != -EXDEV && err != -EACCES)
			return err ? err : (int)i + 1;
	}
	return -EACCES;
}

static int make_beside(struct job_context *context)
{
	return open_path_at(context->base, "new", O_WRONLY | O_CREAT);
}

static void forbids(int (*what)(struct job_context *context), const char *name)
{
	int result = result_of(what);
	cr_expect_eq(result, -EACCES, "%s: %d", name, result);
}

/* One hostile delta must not cost the history. */
Test(sandbox, commits_journal_lock_images_and_deltas_can_not_be_written_replaced_removed_or_added_to)
{
	open_confined();
	forbids(write_it, "written");
	forbids(cut_it, "cut");
	forbids(remove_it, "removed");
	forbids(remove_backing, "a backing file removed");
	forbids(replace_it, "replaced");
	forbids(make_beside, "added to");
}

/* Background work looks at every delta there is, and needs no backing file. */
Test(sandbox, background_workers_can_not_write_to_backing_files_either)
{
	setup.writes_backing = false;
	open_confined();
	forbids(write_backing, "a backing file");
}

/* Older kernels know less. What is there is used, and what is missing said. */
Test(sandbox, each_version_of_landlock_confines_as_far_as_it_goes)
{
	open_confined();
	pool_close(pool, 1000);
	for (int version = 1; version <= 6; version++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", version);
		setenv("VARVE_LANDLOCK_ABI", text, 1);
		notices = 0;
		open_pool(1);
		wait_until_serving(1);
		cr_expect_str_eq(pool_sandbox(pool), version < 3 ? "partial" : "on", "version %d: %s", version,
		    pool_sandbox_reason(pool));
		cr_expect_eq(strstr(pool_sandbox_reason(pool), "use Linux 6.2 or later") != NULL, version < 3);
		cr_expect_eq(notices, version < 3, "version %d: %s", version, all_notices);
		cr_expect_eq(sandbox_check() < 0, version < 3, "required, version %d", version);
		cr_expect_eq(result_of(work), 0, "version %d: %s", version, last_text);
		forbids(read_outside, text);
		forbids(climb_out, text);
		forbids(write_it, text);
		forbids(remove_it, text);
		forbids(replace_it, text);
		if (version >= 3)
			forbids(cut_it, text);
		cr_expect_eq(result_of(make_socket), -ENOTRECOVERABLE);
		pool_close(pool, 1000);
	}
	open_pool(1);
}

Test(sandbox, what_an_older_landlock_does_not_know_is_said_where_the_filter_is_missing_too)
{
	open_confined();
	pool_close(pool, 1000);
	setenv("VARVE_SANDBOX_DENY", "seccomp", 1);
	setenv("VARVE_LANDLOCK_ABI", "4", 1);
	open_pool(1);
	wait_until_serving(1);
	cr_expect_str_eq(pool_sandbox(pool), "partial");
	cr_expect(strstr(pool_sandbox_reason(pool),
	              "Landlock of this kernel (ABI 4) does not know ioctl() on devices, signals to other processes"),
	    "%s", pool_sandbox_reason(pool));
}

static int make_link(struct job_context *context)
{
	return error_of(symlinkat("/etc/passwd", context->base->fd, "link"));
}

static int make_fifo(struct job_context *context)
{
	return error_of(mknodat(context->base->fd, "fifo", S_IFIFO | 0600, 0));
}

/* They would lead out whoever follows them later. */
Test(sandbox, no_links_and_no_special_files_can_be_made_in_the_store)
{
	struct stat st;
	open_confined();
	cr_expect_lt(result_of(make_link), 0);
	cr_expect_lt(result_of(make_fifo), 0);
	cr_expect_neq(fstatat(base.fd, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
	cr_expect_neq(fstatat(base.fd, "fifo", &st, AT_SYMLINK_NOFOLLOW), 0);
}

/* ---- the ring --------------------------------------------------------------------------------------------------- */

static int read_by_ring(struct job_context *context, const char *path, uint64_t resolve)
{
	struct uring *u = context->reader->uring;
	struct __kernel_timespec limit = {.tv_sec = 10};
	struct io_uring_cqe *cqe = NULL;
	uint8_t byte;
	u->how.resolve = resolve;
	u->slots[0].parts[0] = (struct iovec) {&byte, 1};
	uring_chain(u, 0, AT_FDCWD, path, 1, 0, 0);
	int r = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &limit, NULL);
	if (r < 0 || !cqe)
		return r < 0 ? r : -ETIME;
	r = cqe->res;
	io_uring_cqe_seen(&u->ring, cqe);
	return r < 0 ? r : 0;
}

static int ring_to_system_file(struct job_context *context)
{
	return read_by_ring(context, "/etc/passwd", 0);
}

/* Operations of a ring pass by every filter of system calls. */
Test(sandbox, the_ring_reads_no_file_outside_either)
{
	setup.method = READ_AUTO;
	open_confined();
	if (strcmp(pool_reader_name(pool), "io_uring") != 0)
		cr_skip_test("there is no io_uring here");
	cr_assert_eq(result_of(ring_to_system_file), -EACCES);
}

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

static int make_socket(struct job_context *context)
{
	(void)context;
	return error_of(socket(AF_INET, SOCK_STREAM, 0));
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

Test(sandbox, a_worker_that_tries_what_only_an_intruder_would_is_ended)
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
Test(sandbox, a_worker_can_not_unlock_the_store)
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
Test(sandbox, a_system_call_that_nobody_foresaw_seems_missing_and_is_logged_once)
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
Test(sandbox, no_socket_but_its_own_can_be_used_for_messages)
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

Test(sandbox, a_worker_has_no_capability_but_those_over_files)
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

Test(sandbox, what_is_missing_is_said_and_all_else_is_done)
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

Test(sandbox, where_it_is_required_no_worker_is_started_without_all_of_it)
{
	setenv("VARVE_SANDBOX_DENY", "seccomp", 1);
	setup.sandbox = SANDBOX_REQUIRE;
	open_elastic(1);
	cr_expect_lt(result_of(work), 0);
	cr_expect(strstr(last_text, "required, but"), "%s", last_text);
	cr_expect_lt(sandbox_check(), 0);
	cr_expect(strstr(err_text(), "required, but"), "%s", err_text());
}

Test(sandbox, switched_off_it_forbids_nothing)
{
	setup.sandbox = SANDBOX_OFF;
	open_pool(1);
	cr_expect_eq(result_of(make_socket), 0);
	cr_expect_eq(result_of(read_outside), 0);
	cr_expect_str_eq(pool_sandbox(pool), "off");
	cr_expect_eq(notices, 0, "%s", all_notices);
}
