/*
 * uring.c - make a ring, and find out whether it does what is needed.
 *
 * io_uring may be missing in many ways: not built in, switched off, blocked by a container's filter, too old. Asking for
 * the version finds few of them, so an open and a read are tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"
#include "file_open.h"
#include "uring.h"
#include "uring_why.h"

/* For a read from /dev/null, which takes microseconds, and a kernel that somehow never answers. */
#define PROBE_SECONDS 5

static const struct {
	const char *name;
	int err;
} deniable[] = {{"EPERM", EPERM}, {"EACCES", EACCES}, {"ENOSYS", ENOSYS}, {"ENOMEM", ENOMEM}};

/* What VARVE_IO_DENY asks for: 0 or a negative errno. */
static int denied(void)
{
	const char *name = secure_getenv("VARVE_IO_DENY");

	for (size_t i = 0; name && i < sizeof(deniable) / sizeof(deniable[0]); i++) {
		if (strcmp(name, deniable[i].name) == 0)
			return -deniable[i].err;
	}
	return 0;
}

void uring_chain(
    struct uring *uring, unsigned index, int dir, const char *name, unsigned parts, uint64_t offset, uint64_t token)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	io_uring_prep_openat2_direct(sqe, dir, name, &uring->how, index);
	sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = token;
	sqe = io_uring_get_sqe(&uring->ring);
	io_uring_prep_readv(sqe, (int)index, uring->slots[index].parts, parts, offset);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = token;
	if (uring->used <= index)
		uring->used = index + 1;
}

/* The flags that spare interrupts and locks came one after the other (6.1, 5.19): as many as there are. */
static int ring_init(struct uring *u)
{
	static const unsigned flags[] = {
	    IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	    IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
	};
	int rc = -EINVAL;

	for (size_t i = 0; rc == -EINVAL && i < sizeof(flags) / sizeof(flags[0]); i++)
		rc = io_uring_queue_init(2 * u->depth, &u->ring, flags[i]);
	return rc;
}

/* Debian 12's liburing declares these two calls and does not have them. */
static int ring_register(struct uring *u, unsigned what, const void *arg, unsigned count)
{
	return syscall(SYS_io_uring_register, u->ring.ring_fd, what, arg, count) < 0 ? -errno : 0;
}

/* A ring could do most of what system calls do, and no filter of those sees it. So it is restricted, before it is
 * switched on, to what a run needs; there is no way back. */
static int ring_restrict(struct uring *u)
{
	struct io_uring_restriction allowed[] = {
	    {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_FILES_UPDATE},
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_OPENAT2},
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_ASYNC_CANCEL},
	    {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
	        .sqe_flags = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS},
	};
	int rc = ring_register(u, IORING_REGISTER_RESTRICTIONS, allowed, sizeof(allowed) / sizeof(allowed[0]));

	return rc ? rc : ring_register(u, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/* Read from /dev/null as a run reads from files. 0, or -errno. */
static int probe_read(struct uring *u)
{
	struct __kernel_timespec limit = {.tv_sec = PROBE_SECONDS};
	struct io_uring_cqe *cqe;
	uint64_t resolve = u->how.resolve;

	u->how.resolve = 0;
	u->slots[0].parts[0] = (struct iovec) {&u->spare, 1};
	uring_chain(u, 0, AT_FDCWD, "/dev/null", 1, 0, 0);
	int rc = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &limit, NULL);
	u->how.resolve = resolve;
	if (rc < 0)
		return rc;
	if (!cqe)
		return -ETIME;
	rc = cqe->res;
	io_uring_cqe_seen(&u->ring, cqe);
	return rc;
}

static int probe(struct uring *u)
{
	int rc = probe_read(u);
	if (!rc)
		return 0;
	/* In a sandbox without /dev the ring is not to blame. */
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == -rc)
		return 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int slots_init(struct uring *u)
{
	u->slots = calloc(u->depth, sizeof(*u->slots));
	u->free_list = calloc(u->depth, sizeof(*u->free_list));
	if (!u->slots || !u->free_list)
		return -ENOMEM;
	for (unsigned i = 0; i < u->depth; i++)
		u->free_list[u->free_count++] = u->depth - 1 - i;
	return 0;
}

int uring_open(unsigned depth, struct uring **uring)
{
	int rc = denied();

	*uring = NULL;
	struct uring *u = rc ? NULL : calloc(1, sizeof(*u));
	if (!u)
		return uring_why(rc ? -rc : ENOMEM, uring_place());
	u->ring.ring_fd = -1;
	u->depth = depth;
	/* A direct descriptor is in no table that an exec could inherit: the kernel refuses O_CLOEXEC. */
	u->how = (struct open_how) {.flags = O_RDONLY | O_NOCTTY, .resolve = FILE_OPEN_RESOLVE};
	rc = slots_init(u);
	if (!rc && (rc = ring_init(u)))
		u->ring.ring_fd = -1;
	if (!rc)
		rc = io_uring_register_files_sparse(&u->ring, depth);
	if (!rc)
		rc = ring_restrict(u);
	if (!rc)
		rc = probe(u);
	if (!rc) {
		*uring = u;
		return 0;
	}
	uring_close(u);
	return uring_why(-rc, uring_place());
}

void uring_close(struct uring *uring)
{
	if (!uring)
		return;
	if (uring->ring.ring_fd >= 0)
		io_uring_queue_exit(&uring->ring);
	free(uring->free_list);
	free(uring->slots);
	free(uring);
}
