/*
 * io_reader.c - many files at once, by two methods that can not be told apart by their results.
 *
 * Each promise is checked for both methods; where io_uring is missing it is checked for pread twice. Which of them serves,
 * and with how little, is in io_reader_ring.c.
 */
#include "io_reader.h"

#include <stdint.h>
#include <sys/wait.h>

TestSuite(reader, .init = fixture_open, .fini = fixture_close);

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
