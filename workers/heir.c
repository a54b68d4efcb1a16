/*
 * heir.c - see heir.h. This is the heir's part; the holder's is in requests.c and coordinator.c.
 */
#include "heir.h"

#include <errno.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator.h"
#include "sock.h"
#include "wire.h"

/** Whoever has the store says within so many milliseconds that it is alive, or is not there. */
#define SILENCE_MS 10000

/** Whom is asked, and who wants to know that this takes long. */
struct asked {
	int sock;
	pid_t pid;
	void (*waits)(void *arg, int pid);
	void *arg;
};

/* The next message but ALIVE. 0, or -EAGAIN: there is none, and will be none. */
static int receive(const struct asked *asked, struct wire_message *message)
{
	struct pollfd p = {.fd = asked->sock, .events = POLLIN};
	for (;;) {
		int n = poll(&p, 1, SILENCE_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || wire_recv(asked->sock, message) <= 0)
			return fail(EAGAIN, "the coordinator that has the store does not answer");
		if (message->type != WIRE_ALIVE)
			return 0;
		wire_release(message);
		asked->waits(asked->arg, (int)asked->pid);
	}
}

/* A request, and its answer, which is in @message if 0 is returned. */
static int ask(const struct asked *asked, enum wire_type type, const struct buf *payload, struct wire_message *message)
{
	if (wire_send(asked->sock, type, (uint32_t)type, payload, -1))
		return fail(EAGAIN, "the coordinator that has the store has just ended");
	int r = receive(asked, message);
	if (r)
		return r;
	r = (int32_t)cursor_u32(&message->payload);
	if (!message->payload.bad && message->type == WIRE_REPLY && !r)
		return 0;
	uint32_t length;
	const char *text = wire_get_string(&message->payload, &length);
	r = fail(EALREADY, "%.*s", message->payload.bad ? 0 : (int)length, message->payload.bad ? "" : text);
	wire_release(message);
	return r;
}

static int say_hello(const struct asked *asked, struct wire_message *message)
{
	struct buf hello = {0};
	buf_u32(&hello, WIRE_PROTOCOL);
	wire_put_string(&hello, VARVE_VERSION_STRING);
	int r = hello.bad ? fail_sys(ENOMEM, "a greeting") : ask(asked, WIRE_HELLO, &hello, message);
	buf_free(&hello);
	if (!r)
		wire_release(message);
	return r;
}

/* Whether what came is the lock of this store. */
static int take(const struct store *store, struct wire_message *message)
{
	struct stat is, ought;
	int fd = message->fd;
	message->fd = -1;
	wire_release(message);
	if (fd >= 0 && fstat(fd, &is) == 0 && fstatat(store->own.fd, "lock", &ought, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is.st_dev == ought.st_dev && is.st_ino == ought.st_ino && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return fail(EAGAIN, "what the coordinator that had the store handed over is not its lock");
}

int heir_ask(const struct store *store, void (*waits)(void *arg, int pid), void *arg)
{
	static struct wire_message message;
	struct asked asked = {.waits = waits, .arg = arg};
	uid_t uid;
	asked.sock = store->own.fd < 0 ? -ENOENT : sock_connect(&store->own, SOCKET_NAME);
	if (asked.sock < 0)
		return fail(EAGAIN, "nobody listens at the store's socket");
	int r = sock_peer(asked.sock, &asked.pid, &uid);
	if (!r && uid != geteuid())
		r = fail(EAGAIN, "the store's socket is another user's");
	if (!r)
		r = say_hello(&asked, &message);
	if (!r)
		r = ask(&asked, WIRE_LEAVE, NULL, &message);
	if (!r)
		r = take(store, &message);
	close(asked.sock);
	return r;
}
