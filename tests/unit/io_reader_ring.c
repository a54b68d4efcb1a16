/*
 * io_reader_ring.c - which reading method serves where io_uring is missing, forbidden, or goes missing; and that a ring
 * needs no more than the usual limits.
 */
#include "io_reader.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "uring_why.h"

TestSuite(ring, .init = fixture_open, .fini = fixture_close);

Test(ring, the_method_is_named)
{
	struct reader *r;

	cr_assert_eq(reader_open(READ_PREAD, 8, &r), 0);
	cr_assert_str_eq(reader_name(r), "pread");
	cr_assert_str_empty(reader_reason(r));
	reader_close(r);
	cr_assert_eq(reader_open(READ_AUTO, 8, &r), 0);
	if (!*reader_reason(r))
		cr_assert_str_eq(reader_name(r), "io_uring");
	reader_close(r);
	reader_close(NULL);
}

/* Containers block io_uring as a rule; then all must work, and say once why it could be faster. */
Test(ring, where_io_uring_is_denied_pread_serves_and_the_reason_is_told)
{
	static const struct {
		const char *name;
		int err;
		const char *remedy;
	} cases[] = {{"EPERM", EPERM, "kernel.io_uring_disabled"}, {"EACCES", EACCES, "seccomp"},
	    {"ENOSYS", ENOSYS, "Linux 5.19"}, {"ENOMEM", ENOMEM, "ulimit -l"}};
	char bytes[4];
	struct reader *r;

	fixture_file("f", "0123456789", 10);
	for (size_t i = 0; i < 4; i++) {
		setenv("VARVE_IO_DENY", cases[i].name, 1);
		cr_assert_eq(reader_open(READ_URING, 8, &r), -cases[i].err);
		cr_assert_null(r);
		cr_assert_eq(reader_open(READ_AUTO, 8, &r), 0);
		cr_assert_str_eq(reader_name(r), "pread");
		cr_assert(strstr(reader_reason(r), cases[i].name) && strstr(reader_reason(r), cases[i].remedy));
		cr_assert(strstr(reader_reason(r), "faster cold restores"));
		cr_assert_eq(run_one(r, request("f", bytes, 4, 0, false)), 0);
		reader_close(r);
		cr_assert_eq(reader_open(READ_PREAD, 8, &r), 0);
		reader_close(r);
	}
}

/* "It is forbidden" does not help anybody: what forbids it, and the command that allows it, does. */
Test(ring, the_reason_names_what_has_to_be_changed)
{
	static const struct {
		int err;
		struct uring_place place;
		const char *remedy;
	} cases[] = {{EPERM, {2, 0}, "sysctl -w kernel.io_uring_disabled=0"}, {EPERM, {1, 1}, "kernel.io_uring_group"},
	    {EPERM, {0, 1}, "--security-opt seccomp"}, {EACCES, {0, 0}, "SELinux"}, {EPERM, {-1, -1}, "AppArmor"},
	    {ENOSYS, {0, 1}, "seccomp"}, {ENOSYS, {-1, 0}, "CONFIG_IO_URING"}, {ENOMEM, {0, 0}, "LimitMEMLOCK"},
	    {EMFILE, {0, 0}, "ulimit -n"}, {EINVAL, {0, 0}, "Linux 5.19"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(uring_why(cases[i].err, cases[i].place), -cases[i].err);
		cr_assert(strstr(err_text(), cases[i].remedy), "%s", err_text());
		cr_assert(!strstr(err_text(), "..."), "it is cut: %s", err_text());
	}
}

/* The same with a filter in earnest: it is the probe that must find out. */
Test(ring, a_filter_of_system_calls_is_found_out)
{
	struct reader *r;

	fixture_deny(425, ENOSYS); /* io_uring_setup, on every architecture but Alpha */
	cr_assert_eq(reader_open(READ_URING, 8, &r), -ENOSYS);
	cr_assert_eq(reader_open(READ_AUTO, 8, &r), 0);
	cr_assert_str_eq(reader_name(r), "pread");
	cr_assert_str_not_empty(reader_reason(r));
	reader_close(r);
}

/* io_uring_setup is allowed, but then nothing can be done with the ring. */
Test(ring, a_ring_that_can_not_be_entered_is_found_out)
{
	struct reader *r;

	fixture_deny(426, EPERM); /* io_uring_enter */
	cr_assert_eq(reader_open(READ_AUTO, 8, &r), 0);
	cr_assert_str_eq(reader_name(r), "pread");
	cr_assert(strstr(reader_reason(r), "io_uring"));
	reader_close(r);
}

/* A filter that is put on afterwards, as a worker does that locks itself in. */
Test(ring, a_ring_that_fails_later_is_given_up_and_every_file_is_read)
{
	struct read_request *list = make_many();
	struct reader *r;

	cr_assert_eq(reader_open(READ_AUTO, 16, &r), 0);
	cr_assert_eq(reader_run(r, list, FILES), 0);
	fixture_deny(426, EPERM);
	int before = fixture_descriptors();
	bool ring = strcmp(reader_name(r), "io_uring") == 0;
	for (int again = 0; again < 2; again++) {
		forget_many(list, false);
		cr_assert_eq(reader_run(r, list, FILES), 0, "%s", err_text());
		check_many(list);
	}
	cr_assert_str_eq(reader_name(r), "pread");
	cr_assert_str_not_empty(reader_reason(r));
	cr_assert_eq(fixture_descriptors(), before - ring);
	reader_close(r);
	free_many(list);
}

Test(ring, neither_descriptors_nor_files_stay_open)
{
	struct read_request *list = make_many();
	struct reader *r;
	int before = fixture_descriptors();

	EACH_METHOD(r, 64)
	{
		int open = fixture_descriptors();
		cr_assert_leq(open, before + 1);
		cr_assert_eq(reader_run(r, list, FILES), 0);
		cr_assert_eq(fixture_descriptors(), open);
		/* A write lease is only given while nobody else has the file open, in whatever table. */
		int fd = file_open(&fixture, names[FILES - 1], O_RDWR);
		cr_assert_eq(fcntl(fd, F_SETLEASE, F_WRLCK), 0, "the ring still holds the file");
		close(fd);
		for (int i = 0; i < 20; i++)
			run_one(r, request(names[i], list[i].to, 50, 0, true));
		fixture_fault("read.data:1+:EIO");
		run_one(r, request(names[0], list[0].to, 50, 0, false));
		fixture_fault(NULL);
		cr_assert_eq(fixture_descriptors(), open, "after failures");
	}
	cr_assert_eq(fixture_descriptors(), before);
	free_many(list);
}

/* 64 workers on a system as it comes: each has a ring, and its limits are the usual ones. */
Test(ring, sixty_four_processes_with_usual_limits_each_have_a_ring)
{
	struct rlimit memory = {8 << 20, 8 << 20};
	struct rlimit files = {1024, 1024};
	struct read_request *list = make_many();
	int ready[2];
	int failed = 0;

	setrlimit(RLIMIT_MEMLOCK, &memory);
	setrlimit(RLIMIT_NOFILE, &files);
	cr_assert_eq(pipe(ready), 0);
	for (int i = 0; i < 64; i++) {
		if (fork() != 0)
			continue;
		struct reader *r;
		char byte;
		close(ready[1]);
		bool ok = reader_open(READ_AUTO, 64, &r) == 0;
		ok = ok && (!*reader_reason(r) || getenv("VARVE_IO_DENY") ||
		               access("/proc/sys/kernel/io_uring_disabled", F_OK));
		ok = ok && read(ready[0], &byte, 1) == 0; /* all have theirs */
		ok = ok && reader_run(r, list, FILES) == 0;
		_exit(ok ? 0 : 1);
	}
	close(ready[1]);
	for (int i = 0; i < 64; i++) {
		int status;
		wait(&status);
		failed += status != 0;
	}
	cr_assert_eq(failed, 0, "%d of 64 had no reader", failed);
	free_many(list);
}

/* The batch's own files may be what fills the table. */
Test(ring, few_descriptors_left_are_enough)
{
	struct rlimit files = {12, 12};
	struct read_request *list = make_many();
	struct reader *r;

	EACH_METHOD(r, 64)
	{
		forget_many(list, true);
		struct rlimit old;
		getrlimit(RLIMIT_NOFILE, &old);
		files.rlim_max = old.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		int rc = reader_run(r, list, FILES);
		setrlimit(RLIMIT_NOFILE, &old);
		cr_assert_eq(rc, 0, "%s", err_text());
		check_many(list);
	}
	free_many(list);
}
