/*
 * io_reader.h - what the tests of readers share: requests, and many files to read.
 */
#ifndef TESTS_IO_READER_H
#define TESTS_IO_READER_H

#include "io_fixture.h"
#include "reader.h"

#define FILES 100

static const enum read_method methods[] = {READ_AUTO, READ_PREAD};
#define EACH_METHOD(r, depth)                                                                                          \
	for (size_t each = 0; each < 2 && !reader_open(methods[each], depth, &r); each++, reader_close(r))

static inline struct read_request request(const char *name, void *to, size_t size, uint64_t offset, bool whole)
{
	return (struct read_request) {
	    .dir = &fixture, .name = name, .to = to, .size = size, .offset = offset, .whole = whole, .result = 1};
}

/* One request, twice: io_uring is used for no less than two. */
static inline int run_one(struct reader *r, struct read_request q)
{
	struct read_request list[2] = {q, q};
	int rc = reader_run(r, list, 2);

	cr_assert_eq(rc, list[0].result);
	cr_assert_eq(rc, list[1].result);
	return rc;
}

/* File i is 100 + 37 i bytes long, each of them i. */
static char names[FILES][16];
static inline size_t size_of(size_t i)
{
	return 100 + 37 * i;
}

static inline struct read_request *make_many(void)
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

static inline void check_many(const struct read_request *list)
{
	for (size_t i = 0; i < FILES; i++) {
		bool right = list[i].result == 0;
		for (size_t at = 0; right && at < size_of(i); at++)
			right = ((const char *)list[i].to)[at] == (char)(i & 0x7f);
		cr_assert(right, "file %zu", i);
	}
}

static inline void forget_many(const struct read_request *list, bool drop_cache)
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

static inline void free_many(struct read_request *list)
{
	for (size_t i = 0; i < FILES; i++)
		free(list[i].to);
	free(list);
}

#endif
