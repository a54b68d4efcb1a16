/*
 * reader.h - read many small files at once, by io_uring or by pread.
 *
 * One reader serves one process and one thread: the one that opened it. Both methods give the same results for the same
 * requests: the same bytes, the same errors, the same sentences.
 *
 * VARVE_IO_DENY in the environment ("EPERM", "EACCES", "ENOSYS", "ENOMEM") makes io_uring seem to fail like that, for
 * tests.
 */
#ifndef IO_READER_H
#define IO_READER_H

#include <stddef.h>
#include <stdint.h>

#include "file.h"

/** One range of one file. */
struct read_request {
	const struct dir *dir;
	const char *name; /**< opened beneath dir, no links followed; must stay valid until reader_run() returns */
	void *to; /**< room for @size bytes */
	size_t size; /**< 0 is allowed: then only that the file is there is checked */
	uint64_t offset;
	bool whole; /**< the file must be exactly offset + size bytes long: else -EBADMSG */
	int result; /**< out: 0 or -errno; a file that is shorter than asked is -EBADMSG */
};

struct reader;

enum read_method {
	READ_AUTO, /**< io_uring where it works, else pread */
	READ_URING, /**< or reader_open() fails */
	READ_PREAD,
};

/** A reading method; one table each in reader_uring.c and reader_pread.c. */
struct reader_ops {
	const char *name; /**< "io_uring", "pread" */
	int (*open)(struct reader *r);
	int (*run)(struct reader *r, struct read_request *requests, size_t count);
	void (*close)(struct reader *r);
};

/**
 * reader_open() - probe the methods and make a reader.
 * @depth  files in flight at a time, 1 to 256; 64 is a good choice (pread: ignored, it has up to 64 open)
 * Returns 0, or -errno if @method is READ_URING and io_uring can not be used. Create it after fork(): a ring is not
 * for two processes.
 */
int reader_open(enum read_method method, unsigned depth, struct reader **reader);

void reader_close(struct reader *reader);

/** reader_name() - "io_uring" or "pread". */
const char *reader_name(const struct reader *reader);

/** reader_has_ring() - whether it reads with io_uring. */
bool reader_has_ring(const struct reader *reader);

/** reader_reason() - why READ_AUTO did not take io_uring (or gave it up), with what repairs it; "" if it did or was not
 * asked to. */
const char *reader_reason(const struct reader *reader);

/**
 * reader_run() - do all requests, in any order.
 * Returns 0 if all results are 0; else the first request's result that is not, with its sentence remembered; all
 * requests are done nevertheless.
 */
int reader_run(struct reader *reader, struct read_request *requests, size_t count);

#endif
