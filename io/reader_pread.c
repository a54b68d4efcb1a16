/*
 * reader_pread.c - the reading method of plain calls.
 *
 * Files are read in batches, and each batch in two steps. The first opens every file and takes what is in the page
 * cache (RWF_NOWAIT), which for warm files is all there is to do; for the others it makes the kernel start to read. The
 * second waits for those. So a cold device has the whole batch to work on instead of one file at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault.h"
#include "file_open.h"
#include "reader_method.h"

#define BATCH 64

/* A file whose bytes were not at hand. */
struct waiting {
	struct read_request *request;
	int fd;
	size_t done;
};

static int length_check(const struct read_request *q, const struct stat *st)
{
	uint64_t end = q->offset + q->size;

	if ((uint64_t)st->st_size < end)
		return file_too_short(q->dir, q->name, end);
	if (q->whole && (uint64_t)st->st_size > end)
		return fail(EBADMSG, "%s%s is damaged: it is %lld bytes long and should be %llu", q->dir->label,
		    q->name, (long long)st->st_size, (unsigned long long)end);
	return 0;
}

/* A descriptor of a file that has what is asked for, or -errno with a sentence. */
static int request_open(const struct read_request *q)
{
	struct stat st;
	int fd = file_open_raw(q->dir, q->name, O_RDONLY, false);
	if (fd < 0)
		return file_open_failed(-fd, q->dir, q->name);
	int rc = file_check(fd, &st, q->dir, q->name);
	if (!rc)
		rc = length_check(q, &st);
	if (!rc && (rc = fault_at("read.data")))
		fail_sys(-rc, "%s%s can not be read", q->dir->label, q->name);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* Read what is missing, wait for it, and close. */
static void request_finish(struct reader *r, struct read_request *q, int fd, size_t done)
{
	ssize_t got = file_read_raw(fd, (char *)q->to + done, q->size - done, q->offset + done);
	int rc = 0;

	if (got < 0)
		rc = fail_sys((int)-got, "%s%s can not be read", q->dir->label, q->name);
	else if ((size_t)got < q->size - done) /* cut since it was opened */
		rc = file_too_short(q->dir, q->name, q->offset + q->size);
	close(fd);
	reader_settle(r, q, rc);
}

void reader_read_plainly(struct reader *r, struct read_request *request)
{
	int fd = request_open(request);

	if (fd < 0)
		reader_settle(r, request, fd);
	else
		request_finish(r, request, fd, 0);
}

/* How many bytes of it are in the page cache; where some are not, reading them is begun. */
static size_t take_cached(const struct read_request *q, int fd)
{
	struct iovec part = {q->to, q->size};
	ssize_t got = q->size ? preadv2(fd, &part, 1, (off_t)q->offset, RWF_NOWAIT) : 0;
	size_t done = got > 0 ? (size_t)got : 0;

	if (done < q->size)
		posix_fadvise(fd, (off_t)(q->offset + done), (off_t)(q->size - done), POSIX_FADV_WILLNEED);
	return done;
}

/* The second step, for all of @waiting. */
static void finish_all(struct reader *r, const struct waiting *waiting, size_t *held)
{
	for (size_t i = 0; i < *held; i++)
		request_finish(r, waiting[i].request, waiting[i].fd, waiting[i].done);
	*held = 0;
}

static int pread_run(struct reader *r, struct read_request *requests, size_t count)
{
	struct waiting waiting[BATCH];
	size_t held = 0;

	for (struct read_request *q = requests; q < requests + count; q++) {
		if (!reader_allowed(r, q))
			continue;
		int fd = request_open(q);
		/* This batch may hold the last descriptors that the process can have. */
		if ((fd == -EMFILE || fd == -ENFILE) && held) {
			finish_all(r, waiting, &held);
			fd = request_open(q);
		}
		if (fd < 0) {
			reader_settle(r, q, fd);
			continue;
		}
		size_t done = take_cached(q, fd);
		if (done == q->size) {
			close(fd);
			reader_settle(r, q, 0);
			continue;
		}
		waiting[held++] = (struct waiting) {q, fd, done};
		if (held == BATCH)
			finish_all(r, waiting, &held);
	}
	finish_all(r, waiting, &held);
	return 0;
}

static int pread_open(struct reader *r)
{
	(void)r;
	return 0;
}

static void pread_close(struct reader *r)
{
	(void)r;
}

const struct reader_ops reader_pread = {"pread", pread_open, pread_run, pread_close};
