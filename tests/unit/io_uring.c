/*
 * io_uring.c - the ring by itself: it does what the reader needs, and nothing else that a ring could.
 */
#include "io_fixture.h"
#include "uring.h"

TestSuite(uring, .init = fixture_open, .fini = fixture_close);

static struct uring *open_ring(void)
{
	struct uring *u;
	if (uring_open(4, &u))
		cr_skip_test("there is no io_uring here");
	return u;
}

/* What becomes of one operation. */
static int result_of(struct uring *u)
{
	struct __kernel_timespec limit = {.tv_sec = 10};
	struct io_uring_cqe *cqe = NULL;
	int r = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &limit, NULL);
	cr_assert(r >= 0 && cqe, "%s", strerror(-r));
	r = cqe->res;
	io_uring_cqe_seen(&u->ring, cqe);
	return r;
}

/* No filter of system calls sees what a ring is asked to do: so the ring itself has to refuse. */
Test(uring, no_operation_but_those_of_the_reader_is_done)
{
	static const char text[] = "text";
	struct uring *u = open_ring();
	fixture_file("file", text, sizeof(text));
	int fd = openat(fixture.fd, "file", O_RDWR | O_CLOEXEC);

	io_uring_prep_write(io_uring_get_sqe(&u->ring), fd, "evil", 4, 0);
	cr_expect_eq(result_of(u), -EACCES);
	io_uring_prep_unlinkat(io_uring_get_sqe(&u->ring), fixture.fd, "file", 0);
	cr_expect_eq(result_of(u), -EACCES);
	io_uring_prep_socket(io_uring_get_sqe(&u->ring), 2, 1, 0, 0);
	cr_expect_eq(result_of(u), -EACCES);
	io_uring_prep_openat(io_uring_get_sqe(&u->ring), fixture.fd, "file", O_RDONLY, 0);
	cr_expect_eq(result_of(u), -EACCES);
	cr_expect_str_eq(fixture_text("file"), "text");
	close(fd);
	uring_close(u);
}

Test(uring, nothing_but_files_can_be_registered)
{
	static uint8_t page[4096];
	struct iovec buffer = {page, sizeof(page)};
	struct uring *u = open_ring();
	cr_expect_eq(io_uring_register_buffers(&u->ring, &buffer, 1), -EACCES);
	cr_expect_eq(io_uring_register_personality(&u->ring), -EACCES);
	cr_expect_eq(io_uring_unregister_files(&u->ring), -EACCES);
	uring_close(u);
}
