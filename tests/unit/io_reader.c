/*
 * io_reader.c - many files at once, by two methods that can not be told apart by their results.
 *
 * Each promise is checked for both methods; where io_uring is missing it is checked for pread twice.
 */
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io_fixture.h"
#include "reader.h"
#include "uring_why.h"

#define FILES 100

static const enum read_method methods[] = {READ_AUTO, READ_PREAD};
#define EACH_METHOD(r, depth)                                                                                          \
	for (size_t each = 0; each < 2 && !reader_open(methods[each], depth, &r); each++, reader_close(r))

TestSuite(reader, .init = fixture_open, .fini = fixture_close);

static struct read_request request(const char *name, void *to, size_t size, uint64_t offset, bool whole)
{
	return (struct read_request) {
	    .dir = &fixture, .name = name, .to = to, .size = size, .offset = offset, .whole = whole, .result = 1};
}

/* One request, twice: io_uring is used for no less than two. */
static int run_one(struct reader *r, struct read_request q)
{
	struct read_request list[2] = {q, q};
	int rc = reader_run(r, list, 2);

	cr_assert_eq(rc, list[0].result);
	cr_assert_eq(rc, list[1].result);
	return rc;
}

/* File i is 100 + 37 i bytes long, each of them i. */
static char names[FILES][16];
static size_t size_of(size_t i)
{
	return 100 + 37 * i;
}

static struct read_request *make_many(void)
{
	struct read_request *list = calloc(FILES, sizeof(*list));
	char *bytes = calloc(1, size_of(FILES));

	for (size_t i = 0; i < FILES; i++) {
		snprintf(names[i], sizeof(names[i]), "f%zu", i);
		memset(bytes, (int)(i & 0x7f), size_of(i));
		fixture_file(names[i], bytes, size_of(i));
		list[i] = request(names[i], malloc(size_of(i)), size_of(i), 0, i % 2);
	}
	free(bytes);
	return list;
}

static void check_many(const struct read_request *list)
{
	for (size_t i = 0; i < FILES; i++) {
		bool right = list[i].result == 0;
		for (size_t at = 0; right && at < size_of(i); at++)
			right = ((const char *)list[i].to)[at] == (char)(i & 0x7f);
		cr_assert(right, "file %zu", i);
	}
}

static void forget_many(const struct read_request *list, bool drop_cache)
{
	for (size_t i = 0; i < FILES; i++) {
		memset(list[i].to, 0xee, size_of(i));
		int fd = drop_cache ? file_open(&fixture, names[i], O_RDWR) : -1;
		if (fd >= 0) {
			fdatasync(fd);
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			close(fd);
		}
	}
}

static void free_many(struct read_request *list)
{
	for (size_t i = 0; i < FILES; i++)
		free(list[i].to);
	free(list);
}

Test(reader, many_files_are_read_whatever_the_depth)
{
	static const unsigned depths[] = {0, 1, 7, 64, 100000};
	struct read_request *list = make_many();
	const char *name[2] = {NULL, NULL};
	struct reader *r;

	for (size_t d = 0; d < sizeof(depths) / sizeof(depths[0]); d++) {
		EACH_METHOD(r, depths[d])
		{
			forget_many(list, false);
			cr_assert_eq(reader_run(r, list, FILES), 0, "%s", err_text());
			check_many(list);
			if (!name[each])
				name[each] = reader_name(r);
			cr_assert_str_eq(reader_name(r), name[each]);
		}
	}
	free_many(list);
}

/* Filters do not see what a ring does: so this shows that it is the ring that opens and reads. */
Test(reader, io_uring_does_without_calls_for_each_file)
{
	struct read_request *list = make_many();
	struct reader *r;

	cr_assert_eq(reader_open(READ_AUTO, 32, &r), 0);
	if (strcmp(reader_name(r), "io_uring") == 0) {
		fixture_deny(437, EACCES); /* openat2, on every architecture but Alpha */
		cr_assert_eq(reader_run(r, list, FILES), 0, "%s", err_text());
		check_many(list);
	}
	reader_close(r);
	free_many(list);
}

/* The page cache may hold the beginning of a file and not its end. */
Test(reader, a_file_partly_in_memory_is_put_together)
{
	static char data[256 << 10];
	static char got[sizeof(data)];
	struct reader *r;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i >> 12 ^ i);
	fixture_file("f", data, sizeof(data));
	int fd = file_open(&fixture, "f", O_RDWR);
	EACH_METHOD(r, 8)
	{
		fdatasync(fd);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* no reading ahead */
		cr_assert_eq(pread(fd, got, 8192, 0), 8192);
		memset(got, 0xee, sizeof(got));
		cr_assert_eq(run_one(r, request("f", got, sizeof(got), 0, true)), 0);
		cr_assert_eq(memcmp(got, data, sizeof(data)), 0);
	}
	close(fd);
}

Test(reader, files_that_are_not_in_memory_are_read_from_disk)
{
	struct read_request *list = make_many();
	struct reader *r;

	EACH_METHOD(r, 32)
	{
		for (int again = 0; again < 2; again++) {
			forget_many(list, true);
			cr_assert_eq(reader_run(r, list, FILES), 0, "%s", err_text());
			check_many(list);
		}
	}
	free_many(list);
}

Test(reader, a_range_of_a_file_is_enough)
{
	char bytes[5] = "";
	struct reader *r;

	fixture_file("f", "0123456789", 10);
	EACH_METHOD(r, 8)
	{
		memset(bytes, 0, sizeof(bytes));
		cr_assert_eq(run_one(r, request("f", bytes, 4, 3, false)), 0);
		cr_assert_str_eq(bytes, "3456");
		cr_assert_eq(run_one(r, request("f", bytes, 4, 6, true)), 0);
		cr_assert_str_eq(bytes, "6789");
		cr_assert_eq(reader_run(r, NULL, 0), 0);
		struct read_request single = request("f", bytes, 4, 2, false);
		cr_assert_eq(reader_run(r, &single, 1), 0);
		cr_assert_str_eq(bytes, "2345");
		single.name = "none";
		cr_assert_eq(reader_run(r, &single, 1), -ENOENT);
		cr_assert(fixture_says("none can not be opened"));
	}
}

/* A delta that lost its end, or has something behind it, is damaged, whatever its checksum says. */
Test(reader, a_file_of_another_length_is_damage)
{
	char bytes[32];
	struct reader *r;

	fixture_file("f", "0123456789", 10);
	fixture_file("empty", "", 0);
	EACH_METHOD(r, 8)
	{
		cr_assert_eq(run_one(r, request("f", bytes, 11, 0, false)), -EBADMSG);
		cr_assert(fixture_says("f is damaged: it ends before byte 11"));
		cr_assert_eq(run_one(r, request("f", bytes, 11, 0, true)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", bytes, 1, 10, false)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", bytes, 9, 0, true)), -EBADMSG);
		cr_assert(fixture_says("f is damaged: it is 10 bytes long and should be 9"));
		cr_assert_eq(run_one(r, request("f", bytes, 2, 7, true)), -EBADMSG);
		cr_assert_eq(run_one(r, request("empty", bytes, 1, 0, true)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", bytes, 9, 0, false)), 0);
	}
}

Test(reader, nothing_asked_for_checks_that_the_file_is_there)
{
	struct reader *r;

	fixture_file("f", "0123456789", 10);
	fixture_file("empty", "", 0);
	EACH_METHOD(r, 8)
	{
		cr_assert_eq(run_one(r, request("f", NULL, 0, 0, false)), 0);
		cr_assert_eq(run_one(r, request("empty", NULL, 0, 0, true)), 0);
		cr_assert_eq(run_one(r, request("f", NULL, 0, 10, true)), 0);
		cr_assert_eq(run_one(r, request("f", NULL, 0, 0, true)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", NULL, 0, 11, false)), -EBADMSG);
		cr_assert_eq(run_one(r, request("none", NULL, 0, 0, false)), -ENOENT);
	}
}

/* Lengths and offsets may come from a damaged file. */
Test(reader, ranges_that_no_file_has_are_damage)
{
	char byte;
	struct reader *r;

	fixture_file("f", "0123456789", 10);
	EACH_METHOD(r, 8)
	{
		cr_assert_eq(run_one(r, request("f", &byte, 1, UINT64_MAX, false)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", &byte, 1, INT64_MAX, true)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", &byte, SIZE_MAX, 5, true)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", &byte, INT64_MAX, 0, true)), -EBADMSG);
		cr_assert_eq(run_one(r, request("f", &byte, (size_t)3 << 30, 0, true)), -EBADMSG);
	}
}

/* The same words from both methods: nobody should have to know which one was at work. */
Test(reader, what_is_no_regular_file_beneath_is_refused_in_the_same_words)
{
	static const struct {
		const char *name;
		int result;
	} cases[] = {{"none", -ENOENT}, {"link", -ELOOP}, {"dir", -EINVAL}, {"fifo", -EINVAL}, {"", -EINVAL},
	    {"..", -EINVAL}, {"dir/f", -EINVAL}, {"/etc/passwd", -EINVAL}};
	char sentences[2][8][ERR_TEXT];
	char bytes[8];
	struct reader *r;

	fixture_file("f", "0123456789", 10);
	cr_assert_eq(symlinkat("f", fixture.fd, "link"), 0);
	cr_assert_eq(mkdirat(fixture.fd, "dir", 0700), 0);
	fixture_file("dir/f", "0123456789", 10);
	cr_assert_eq(mkfifoat(fixture.fd, "fifo", 0600), 0);
	EACH_METHOD(r, 8)
	{
		for (size_t i = 0; i < 8; i++) {
			/* Of a FIFO that is not cut off by its length once is enough: it takes its time. */
			if (strcmp(cases[i].name, "fifo") != 0)
				cr_assert_eq(run_one(r, request(cases[i].name, bytes, 4, 0, true)), cases[i].result);
			cr_assert_eq(run_one(r, request(cases[i].name, bytes, 4, 0, false)), cases[i].result,
			    "\"%s\": %s", cases[i].name, err_text());
			memcpy(sentences[each][i], err_text(), ERR_TEXT);
		}
	}
	for (size_t i = 0; i < 8; i++)
		cr_assert_str_eq(sentences[0][i], sentences[1][i]);
}

/* Somebody holds the other end and says nothing: a restore must not wait for ever. */
Test(reader, a_fifo_with_a_silent_writer_does_not_hold_it_up)
{
	char bytes[8];
	struct reader *r;

	fixture_file("f", "0123456789", 10);
	cr_assert_eq(mkfifoat(fixture.fd, "fifo", 0600), 0);
	int both_ends = openat(fixture.fd, "fifo", O_RDWR);
	EACH_METHOD(r, 8)
	{
		const char *name = reader_name(r);
		struct read_request list[2] = {request("fifo", bytes, 4, 0, true), request("f", bytes, 8, 0, false)};
		cr_assert_eq(reader_run(r, list, 2), -EINVAL);
		cr_assert(fixture_says("fifo is not a regular file"));
		cr_assert_eq(list[1].result, 0);
		cr_assert_str_eq(reader_name(r), name, "one FIFO is no reason to give the ring up");
	}
	close(both_ends);
}

/* Which file to look at must not depend on which disk answered first. */
Test(reader, the_first_failure_of_the_list_is_told_and_all_others_are_done)
{
	struct read_request *list = make_many();
	struct reader *r;

	unlinkat(fixture.fd, names[95], 0);
	unlinkat(fixture.fd, names[81], 0);
	fixture_file(names[50], "", 0);
	EACH_METHOD(r, 16)
	{
		forget_many(list, false);
		cr_assert_eq(reader_run(r, list, FILES), -EBADMSG);
		cr_assert(fixture_says("f50 is damaged"));
		for (size_t i = 0; i < FILES; i++)
			cr_assert_eq(list[i].result, i == 50 ? -EBADMSG : i == 81 || i == 95 ? -ENOENT : 0);
		cr_assert_eq(reader_run(r, list + 51, 30), 0, "a failure is that run's only");
	}
	free_many(list);
}

Test(reader, each_passage_through_the_fault_points_fails_once)
{
	static const char *const points[] = {"read.open", "read.data"};
	struct read_request *list = make_many();
	struct reader *r;
	char fault[64];

	for (size_t p = 0; p < 4; p++) {
		EACH_METHOD(r, 16)
		{
			for (int n = 1; n <= 21; n++) {
				snprintf(fault, sizeof(fault), "%s:%d:EIO", points[p % 2], n);
				fixture_fault(fault);
				int failures = 0;
				int rc = reader_run(r, list, 20);
				for (int i = 0; i < 20; i++)
					failures += list[i].result == -EIO;
				cr_assert_eq(rc, n <= 20 ? -EIO : 0);
				cr_assert_eq(failures, n <= 20);
				fixture_fault(NULL);
			}
		}
	}
	free_many(list);
}

Test(reader, the_method_is_named)
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
Test(reader, where_io_uring_is_denied_pread_serves_and_the_reason_is_told)
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
Test(reader, the_reason_names_what_has_to_be_changed)
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
Test(reader, a_filter_of_system_calls_is_found_out)
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
Test(reader, a_ring_that_can_not_be_entered_is_found_out)
{
	struct reader *r;

	fixture_deny(426, EPERM); /* io_uring_enter */
	cr_assert_eq(reader_open(READ_AUTO, 8, &r), 0);
	cr_assert_str_eq(reader_name(r), "pread");
	cr_assert(strstr(reader_reason(r), "io_uring"));
	reader_close(r);
}

/* A filter that is put on afterwards, as a worker does that locks itself in. */
Test(reader, a_ring_that_fails_later_is_given_up_and_every_file_is_read)
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

Test(reader, neither_descriptors_nor_files_stay_open)
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
Test(reader, sixty_four_processes_with_usual_limits_each_have_a_ring)
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
Test(reader, few_descriptors_left_are_enough)
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
