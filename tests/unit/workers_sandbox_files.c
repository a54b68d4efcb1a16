/*
 * workers_sandbox_files.c - which files a worker that was taken over can not touch, and what one that was not needs them for.
 */
#include "workers_sandbox.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>

#include "reader_method.h"
#include "uring.h"

TestSuite(sandbox_files, .init = set_up, .fini = clean_up, .timeout = 60);

/* ---- files ------------------------------------------------------------------------------------------------------ */

static int read_system_file(struct job_context *context)
{
	(void)context;
	return open_path("/etc/passwd", O_RDONLY);
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
Test(sandbox_files, nothing_outside_the_base_directory_can_be_read_made_listed_moved_or_removed)
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

Test(sandbox_files, all_that_jobs_do_with_files_of_the_store_is_possible)
{
	open_pool(1);
	cr_assert_eq(result_of(work), 0, "%s", last_text);
	cr_assert_eq(notices, strcmp(pool_sandbox(pool), "on") ? 1 : 0, "%s", all_notices);
}

/* The first descriptor of a regular file outside of the store that can be written to. */
static int has_a_way_out(struct job_context *context)
{
	struct stat st;
	(void)context;
	for (int fd = 0; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFL);
		if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			return fd;
	}
	(void)!ftruncate(STDERR_FILENO, 0);
	(void)!write(STDERR_FILENO, "forged", 6);
	return -EACCES;
}

/* The log of `varve serve store 2>>log` is what the operator believes. */
Test(sandbox_files, the_log_can_be_neither_cut_nor_forged)
{
	char path[160], log[16] = "";
	snprintf(path, sizeof(path), "%s/file", outside);
	int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC), err = dup(STDERR_FILENO);
	cr_assert(fd >= 0 && ftruncate(fd, 0) == 0 && write(fd, "log", 3) == 3);
	dup2(fd, STDERR_FILENO);
	open_confined();
	int result = result_of(has_a_way_out);
	dup2(err, STDERR_FILENO);
	close(err);
	cr_assert_eq(result, -EACCES, "descriptor %d", result);
	cr_assert_eq(pread(fd, log, sizeof(log) - 1, 0), 3);
	cr_assert_str_eq(log, "log");
	close(fd);
}

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
Test(sandbox_files, commits_journal_lock_images_and_deltas_can_not_be_written_replaced_removed_or_added_to)
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
Test(sandbox_files, background_workers_can_not_write_to_backing_files_either)
{
	setup.writes_backing = false;
	open_confined();
	forbids(write_backing, "a backing file");
}

/* Older kernels know less. What is there is used, and what is missing said. */
Test(sandbox_files, each_version_of_landlock_confines_as_far_as_it_goes)
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

Test(sandbox_files, what_an_older_landlock_does_not_know_is_said_where_the_filter_is_missing_too)
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
Test(sandbox_files, no_links_and_no_special_files_can_be_made_in_the_store)
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
Test(sandbox_files, the_ring_reads_no_file_outside_either)
{
	setup.method = READ_AUTO;
	open_confined();
	if (strcmp(pool_reader_name(pool), "io_uring") != 0)
		cr_skip_test("there is no io_uring here");
	cr_assert_eq(result_of(ring_to_system_file), -EACCES);
}
