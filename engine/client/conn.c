/*
 * conn.c - a connection to the coordinator of a base directory, whoever starts it.
 *
 * Several programs may open one directory at the same moment, and the coordinator of before may just be ending:
 *
 *   connect --ok--> HELLO --answer--> open
 *      | no one listens  '--end: it was just leaving--> again
 *      v
 *   spawn --> HELLO --answer--> open
 *                |--EALREADY: another was quicker--> again
 *                '--end: it can not start--> the error says so
 *
 * "Again" is after a short sleep, for ten seconds in all (VARVE_SILENCE_MS). A coordinator that says nothing for so long,
 * not even that it is alive, is not waited for either (call.c); one that brings a large store in order may take longer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "cpu.h"
#include "err.h"
#include "sock.h"

#define PART_NS 2000000000ull
#define NAP_FIRST_NS 500000
#define NAP_MAX_NS 50000000

struct conn *conn_new(void)
{
	struct conn *conn = malloc(sizeof(*conn));
	if (!conn) {
		fail(ENOMEM, "not enough memory for a connection to the coordinator");
		return NULL;
	}
	conn->sock = -1;
	conn->serial = 0;
	conn->spin_skip = conn->spin_penalty = 0;
	conn->behind = false;
	conn->next = NULL;
	conn->message.fd = -1;
	conn->message.mapped = NULL;
	return conn;
}

void conn_close(struct conn *conn)
{
	wire_release(&conn->message);
	if (conn->sock >= 0)
		close(conn->sock);
	conn->sock = -1;
	conn->behind = false;
}

void conn_part(struct conn *conn)
{
	uint64_t until = clock_now() + PART_NS, now;
	if (conn->sock < 0 || conn->behind || shutdown(conn->sock, SHUT_WR) < 0)
		return;
	while ((now = clock_now()) < until) {
		char byte;
		struct pollfd p = {.fd = conn->sock, .events = POLLIN};
		if (poll(&p, 1, (int)((until - now) / 1000000) + 1) > 0 &&
		    recv(conn->sock, &byte, 1, MSG_DONTWAIT) <= 0)
			return;
	}
}

void conn_free(struct conn *conn)
{
	if (!conn)
		return;
	conn_close(conn);
	free(conn);
}

/* Whoever answers hands out files that will be mapped here: it must be one of our own processes. Root is as good: it can
 * do anything to them anyway, and a socket that the service manager listens at until a coordinator takes it over is
 * root's. */
static int check_peer(const struct varve_vm *vm, int sock)
{
	pid_t pid;
	uid_t uid;
	int r = sock_peer(sock, &pid, &uid);
	if (r)
		return fail_sys(-r, "the coordinator of %s can not be identified", vm->path);
	if (uid != geteuid() && uid != 0)
		return fail(EPERM, "the coordinator of %s, process %d, is user %u's; ask that user, or stop it",
		    vm->path, (int)pid, (unsigned)uid);
	return 0;
}

static int open_failed(const struct varve_vm *vm, int base, int err)
{
	struct stat st;
	if (err == ENOENT)
		return -ENOENT;
	if ((err == EACCES || err == EPERM) && base >= 0 && !fstat(base, &st) && st.st_uid != geteuid())
		return fail(EPERM, "%s belongs to user %u; only that user can open it", vm->path, (unsigned)st.st_uid);
	if (base >= 0 && (err == ELOOP || err == ENOTDIR))
		return fail(err, "%s/.varve is not a directory; move it away, then try again", vm->path);
	if (err == ENOTDIR)
		return fail(ENOTDIR, "%s is not a directory; name one that holds a store, or a new one", vm->path);
	return fail_sys(err, "%s can not be opened", vm->path);
}

/* Connect to a coordinator that runs. Without a sentence: -ENOENT and -ECONNREFUSED, there is none; -EAGAIN, it does not
 * come to accept connections. */
static int reach(const struct varve_vm *vm)
{
	int base = open(vm->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (base < 0)
		return open_failed(vm, -1, errno);
	struct dir dir = {openat(base, ".varve", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), ".varve/"};
	if (dir.fd < 0) {
		int r = open_failed(vm, base, errno);
		close(base);
		return r;
	}
	int sock;
	do {
		sock = sock_connect(&dir, "socket");
	} while (sock == -EINTR);
	close(dir.fd);
	if (sock == -EACCES || sock == -EPERM)
		sock = open_failed(vm, base, -sock);
	close(base);
	if (sock < 0)
		return sock;
	int r = check_peer(vm, sock);
	if (r) {
		close(sock);
		return r;
	}
	return sock;
}

static int set_nonblocking(int sock)
{
	int flags = fcntl(sock, F_GETFL);
	if (flags < 0 || fcntl(sock, F_SETFL, flags | O_NONBLOCK))
		return fail_sys(errno, "a socket can not be made non-blocking");
	return 0;
}

/* Say HELLO. *@lost: the other side went away before it answered. */
static int hello(struct varve_vm *vm, struct conn *conn, uint32_t cancels, char **notice, bool *lost)
{
	struct call call;
	struct cursor c;
	uint32_t length;
	call_begin(&call, vm, conn, WIRE_HELLO, "opening");
	call.abrupt = call.impatient = true;
	call.cancels = cancels;
	buf_u32(&call.request, WIRE_PROTOCOL);
	wire_put_string(&call.request, VARVE_VERSION_STRING);
	int r = call_exchange(&call, &c);
	*lost = call.lost;
	if (r)
		return call_end(&call, r);
	uint32_t protocol = cursor_u32(&c);
	const char *version = wire_get_string(&c, &length);
	if (!c.bad && protocol != WIRE_PROTOCOL)
		return call_end(
		    &call, fail(EPROTONOSUPPORT,
		               "the coordinator of %s is of version %.*s, this library of %s; stop it, then try again",
		               vm->path, length > 32 ? 32 : (int)length, version, VARVE_VERSION_STRING));
	const char *text = wire_get_string(&c, &length);
	r = call_finish(&call, &c);
	if (!r && notice) {
		*notice = text_copy(text, length);
		if (!*notice)
			r = fail(ENOMEM, "not enough memory to open %s", vm->path);
	}
	return call_end(&call, r);
}

static int start_failed(const struct varve_vm *vm, int status)
{
	if (status >= 0 && WIFSIGNALED(status))
		return fail(ECONNRESET, "the coordinator of %s was killed by signal %d as it started; try again",
		    vm->path, WTERMSIG(status));
	if (status > 0 && WIFEXITED(status))
		return fail(ECONNRESET,
		    "the coordinator of %s ended with status %d as it started; VARVE_LOG=stderr shows why", vm->path,
		    WEXITSTATUS(status));
	return fail(ECONNRESET, "the coordinator of %s died as it started; VARVE_LOG=stderr shows why", vm->path);
}

/* One round of the picture above. Returns 0, -errno, or 1: again. */
static int attempt(struct varve_vm *vm, struct conn *conn, uint32_t cancels, char **notice)
{
	bool lost = false;
	int status = -1;
	pid_t pid = -1;
	int sock = reach(vm);
	if (sock == -ENOENT || sock == -ECONNREFUSED) {
		int r = spawn_coordinator(vm, &sock, &pid);
		if (r)
			return r;
	}
	if (sock == -EAGAIN)
		return 1;
	if (sock < 0)
		return sock;
	conn->sock = sock;
	int r = set_nonblocking(sock);
	if (!r)
		r = hello(vm, conn, cancels, notice, &lost);
	if (r)
		conn_close(conn);
	if (pid > 0)
		status = spawn_reap(pid);
	if (lost)
		return pid > 0 ? start_failed(vm, status) : 1;
	return pid > 0 && r == -EALREADY ? 1 : r;
}

int conn_open(struct varve_vm *vm, struct conn *conn, uint32_t cancels, char **notice)
{
	uint64_t until = clock_now() + vm->silence_ns;
	struct timespec nap = {0, NAP_FIRST_NS};
	for (;;) {
		int r = attempt(vm, conn, cancels, notice);
		if (r <= 0)
			return r;
		if (atomic_load(&vm->cancels) != cancels)
			return fail(ECANCELED, "opening %s was cancelled", vm->path);
		if (clock_now() >= until)
			return fail(ETIMEDOUT,
			    "another coordinator has %s but does not answer; see whether it hangs or is stopped, then "
			    "try again",
			    vm->path);
		nanosleep(&nap, NULL);
		nap.tv_nsec = nap.tv_nsec * 2 > NAP_MAX_NS ? NAP_MAX_NS : nap.tv_nsec * 2;
	}
}
