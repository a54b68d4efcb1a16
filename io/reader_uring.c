/*
 * reader_uring.c - the reading method of io_uring: a whole batch of opens and reads for one system call.
 *
 * Each file is a chain of two operations on a slot of the ring's own file table: open into the slot, then read from it.
 * Nothing closes it: the next open into the slot replaces the file, and the end of a run empties the table. (A third
 * operation that closes costs more than that, and only its end would tell that the slot can be used again.)
 *
 *   free --prepare--> in flight --complete--> free
 *
 * U1  A chain gives one completion: that of the read, or that of the open if it fails, which drops the read silently.
 *     Should a kernel give two, the second has the serial of a use of the slot that is over, and is ignored.
 * U2  Whatever does not go as it should (any error, a file that is too short or too long) is done again with plain
 *     calls: they find out what is the matter, in the same words as the pread method. So all that has to be right here
 *     is a success: a read of exactly what was asked for. Where the file must end there, one byte more is asked for,
 *     into a spare byte, and must not be there.
 * U3  A FIFO in a file's place may never give an answer. When nothing completes for STALL_MS everything in flight is
 *     cancelled, and by U2 done again with calls that do not wait for FIFOs. (O_NONBLOCK would prevent it, but makes
 *     filesystems that can not read without blocking fail.) A slow device may meet this as well: no harm is done.
 */
#include <errno.h>
#include <string.h>

#include "fault.h"
#include "file_open.h"
#include "reader_method.h"
#include "uring.h"

#define STALL_MS 500

/* Larger reads may be cut by the kernel, so they are no business of a batch of small files. */
#define READ_LIMIT (1u << 30)

static void prepare(struct uring *u, struct read_request *q)
{
	unsigned index = u->free_list[--u->free_count];
	struct uring_slot *slot = &u->slots[index];

	slot->request = q;
	slot->serial++;
	slot->parts[0] = (struct iovec) {q->to, q->size};
	slot->parts[1] = (struct iovec) {&u->spare, 1};
	uring_chain(u, index, q->dir->fd, q->name, q->whole ? 2 : 1, q->offset, (uint64_t)slot->serial << 32 | index);
	u->in_flight++;
}

static void complete(struct reader *r, uint64_t token, int res)
{
	struct uring *u = r->uring;
	uint32_t index = (uint32_t)token;
	if (index >= u->depth || u->slots[index].serial != token >> 32)
		return; /* U1; or the cancellation's own */
	struct read_request *q = u->slots[index].request;
	if (!q)
		return;
	u->slots[index].request = NULL;
	u->free_list[u->free_count++] = index;
	u->in_flight--;
	if (res < 0 || (size_t)res != q->size) {
		reader_read_plainly(r, q);
		return;
	}
	int rc = fault_at("read.data");
	if (rc)
		fail_sys(-rc, "%s%s can not be read", q->dir->label, q->name);
	reader_settle(r, q, rc);
}

static unsigned reap(struct reader *r)
{
	struct io_uring_cqe *cqe;
	unsigned count = 0;

	while (io_uring_peek_cqe(&r->uring->ring, &cqe) == 0) {
		uint64_t token = cqe->user_data;
		int res = cqe->res;
		io_uring_cqe_seen(&r->uring->ring, cqe);
		complete(r, token, res);
		count++;
	}
	return count;
}

/* U3. */
static void cancel_all(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe)
		return; /* the queue has not been submitted yet: next time */
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	sqe->user_data = UINT64_MAX;
}

/* Submit what is prepared and wait until something has completed. An error is the end of the ring. */
static int submit_and_reap(struct reader *r)
{
	struct __kernel_timespec stall = {STALL_MS / 1000, STALL_MS % 1000 * 1000000L};
	struct io_uring_cqe *cqe;
	int rc = io_uring_submit_and_wait_timeout(&r->uring->ring, &cqe, 1, &stall, NULL);

	if (reap(r) || rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY)
		return 0;
	if (rc != -ETIME)
		return rc;
	cancel_all(r->uring);
	return 0;
}

/* Whether a request is one for the ring; if not it is settled. */
static bool admit(struct reader *r, struct read_request *q)
{
	if (!reader_allowed(r, q))
		return false;
	if (q->size && q->size <= READ_LIMIT)
		return true;
	reader_read_plainly(r, q);
	return false;
}

/* Files that stay in the table stay open: their space could not be freed, nor the filesystem unmounted. */
static int empty_table(struct uring *u)
{
	static const int nothing[READER_DEPTH_MAX] = {[0 ... READER_DEPTH_MAX - 1] = -1};
	int rc = u->used ? io_uring_register_files_update(&u->ring, 0, nothing, u->used) : 0;

	u->used = 0;
	return rc < 0 ? rc : 0;
}

/* The ring has failed in a way that nobody foresaw: go on without it, now and for all further runs. */
static void give_up(struct reader *r, int err)
{
	struct uring *u = r->uring;

	fail_sys(err, "io_uring failed and was given up: files are read by plain calls");
	memcpy(r->reason, err_text(), sizeof(r->reason));
	r->ops = &reader_pread;
	r->uring = NULL;
	io_uring_queue_exit(&u->ring);
	u->ring.ring_fd = -1;
	for (unsigned i = 0; i < u->depth; i++) {
		if (u->slots[i].request)
			reader_read_plainly(r, u->slots[i].request);
	}
	uring_close(u);
}

static int uring_run(struct reader *r, struct read_request *requests, size_t count)
{
	struct uring *u = r->uring;
	size_t next = 0;
	int rc = 0;

	if (count == 1) /* nothing to do at the same time: four calls are less than a ring's two */
		return reader_pread.run(r, requests, count);
	while (!rc && (next < count || u->in_flight)) {
		for (; next < count && u->free_count; next++) {
			if (admit(r, &requests[next]))
				prepare(u, &requests[next]);
		}
		if (u->in_flight)
			rc = submit_and_reap(r);
	}
	if (!rc)
		rc = empty_table(u);
	if (!rc)
		return 0;
	give_up(r, -rc);
	return reader_pread.run(r, requests + next, count - next);
}

static int uring_start(struct reader *r)
{
	return uring_open(r->depth, &r->uring);
}

static void uring_end(struct reader *r)
{
	uring_close(r->uring);
}

const struct reader_ops reader_uring = {"io_uring", uring_start, uring_run, uring_end};
