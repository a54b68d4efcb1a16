/*
 * closer.c - threads that close what others have opened.
 *
 * Who passes a descriptor decides how long its close() takes: a TCP socket waits with SO_LINGER for a peer that does not
 * read, a file of FUSE or NFS for its server. The coordinator has one thread for everybody.
 *
 * C1  A thread touches nothing but the count below, and calls nothing but read(), setsockopt() and close(). No lock, no
 *     malloc(): workers are forked at any moment.
 * C2  A descriptor stays in the table until its close() begins, so a worker may be forked with a copy. By the time that
 *     the worker's is the last one, lingering was switched off.
 * C3  A descriptor of a file system that hangs keeps its thread for good, and those behind it must not wait for that: so
 *     there are as many threads as there are descriptors waiting, up to a few.
 */
#include "closer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"

#define THREADS_MAX 4
#define STACK_SIZE (64u << 10)
/** Room for the numbers of all descriptors that there can be: 65,536 (start.c). */
#define QUEUE_SIZE (256 << 10)

static int queue[2] = {-1, -1};
static unsigned threads;
static atomic_uint waiting;

static void *run(void *arg)
{
	static const struct linger no = {0, 0};
	int fd;

	prctl(PR_SET_NAME, "varve-closer");
	for (;;) {
		ssize_t n = read(queue[0], &fd, sizeof(fd));
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(fd))
			return arg;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &no, sizeof(no));
		fault_at("closer.close");
		close(fd);
		atomic_fetch_sub(&waiting, 1);
	}
}

/* One thread more, if it can be had. */
static void start(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;

	if (queue[0] < 0) {
		if (pipe2(queue, O_CLOEXEC) < 0)
			return;
		fcntl(queue[1], F_SETFL, O_NONBLOCK);
		fcntl(queue[1], F_SETPIPE_SZ, QUEUE_SIZE);
	}
	if (pthread_attr_init(&attr))
		return;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Signals are for the coordinator's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (!pthread_create(&thread, &attr, run, NULL))
		threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
}

void closer_close(int fd)
{
	if (atomic_fetch_add(&waiting, 1) >= threads && threads < THREADS_MAX)
		start();
	if (threads && write(queue[1], &fd, sizeof(fd)) == sizeof(fd))
		return;
	atomic_fetch_sub(&waiting, 1);
	close(fd);
}

unsigned closer_waiting(void)
{
	return atomic_load(&waiting);
}
