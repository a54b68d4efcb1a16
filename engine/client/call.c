/*
 * call.c - one request, its answer, and the waiting in between.
 *
 *   call_begin --> call_run --> [conn_open] --> send --> receive ... receive --> reply --> call_end
 *                     ^                           |         |  PROGRESS, FINDING, SHRINK: call->event()
 *                     '------- once more ---------'---------' the connection ended
 *
 * An answer to a small request comes within some microseconds, and a sleeping reader costs more than that to wake: so
 * the socket is tried for vm->spin_ns before poll(). That pays only while there is a CPU for the coordinator to run on
 * beside ours. Round trips of a look-up, medians on 2 CPUs: idle, 5 us spinning and 24 us sleeping at once; with every
 * CPU busy, 95 us and 12 us, for there the coordinator waits for the spinner's CPU. So a spin that was in vain makes the
 * connection sleep at once for the next 1, 3, 7, ... 63 messages, until one spin succeeds again.
 *
 * A call that is expected to last some hundred microseconds (call->yield_ns) is waited for with sched_yield() in place of
 * that: whoever else wants the CPU gets it, so it needs no such care, and a CPU that is not idle need not be woken, which
 * takes 50 us and more in a virtual machine.
 *
 * Cancelling must be possible from a signal handler, so varve_vm_cancel() only counts vm->cancels up and writes to an
 * eventfd. A call is cancelled if the count is not what it was when the call began; the eventfd does no more than end
 * its poll(). It is emptied when a call begins and no other is under way, never by a call that merely looks: that
 * could take the news from another. A call that finds it readable though the count is its own (the cancel came before
 * it, and others are under way) stops polling it and looks at the count 20 times a second instead.
 *
 * A coordinator that hangs, or is stopped, must not keep its clients for ever. It says ALIVE once a second, so silence
 * means something; but how long a request may take nobody knows, so only two things do not wait for ever: opening, and
 * a call that was cancelled. Silence is added up in short pieces: if this process was stopped itself, the time in which
 * it could not listen is not held against the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "cpu.h"
#include "err.h"
#include "sock.h"

#define TICK_MS 50
#define TICK_NS (TICK_MS * 1000000ull)
#define SPIN_PENALTY_MAX 63
/** Silence is measured in pieces of at most so much. */
#define PIECE_MS 100
/** Who has cancelled a call does not want to wait as long as who opens a store. */
#define CANCEL_SILENCE_NS 3000000000ull

void call_begin(struct call *call, struct varve_vm *vm, struct conn *conn, enum wire_type type, const char *name)
{
	memset(call, 0, sizeof(*call));
	call->vm = vm;
	call->conn = conn;
	call->type = type;
	call->name = name;
	call->pass = -1;
	pthread_mutex_lock(&vm->idle_lock);
	call->cancels = atomic_load(&vm->cancels);
	if (vm->calls++ == 0 && vm->drained != call->cancels) {
		uint64_t count;
		vm->drained = call->cancels;
		if (read(vm->cancel_fd, &count, sizeof(count)) < 0) {
			/* The write has not come yet: then some call will be deaf, which is slower but right. */
		}
	}
	pthread_mutex_unlock(&vm->idle_lock);
}

int call_end(struct call *call, int r)
{
	buf_free(&call->request);
	pthread_mutex_lock(&call->vm->idle_lock);
	call->vm->calls--;
	pthread_mutex_unlock(&call->vm->idle_lock);
	return r;
}

bool call_stopped(const struct call *call)
{
	return atomic_load(&call->vm->cancels) != call->cancels;
}

void call_drop(struct call *call)
{
	struct varve_vm *vm = call->vm;
	conn_close(call->conn);
	if (call->conn == vm->main && vm->session)
		atomic_store(&vm->session->dead, true);
}

int call_bad(struct call *call)
{
	call_drop(call);
	return fail(EPROTO,
	    "the coordinator of %s answered %s in a form that is not known here; is it of the same version?",
	    call->vm->path, call->name);
}

static int call_lost(struct call *call)
{
	call->lost = true;
	call_drop(call);
	return fail(ECONNRESET, "the coordinator of %s died during %s; try again", call->vm->path, call->name);
}

static int call_canceled(const struct call *call)
{
	return fail(ECANCELED, "%s was cancelled", call->name);
}

/* How much silence is enough; 0: no amount of it. */
static uint64_t silence_limit(const struct call *call)
{
	uint64_t limit = call->vm->silence_ns;
	if (call->cancelled)
		return limit < CANCEL_SILENCE_NS ? limit : CANCEL_SILENCE_NS;
	return call->impatient ? limit : 0;
}

static int call_silent(struct call *call)
{
	pid_t pid = 0;
	uid_t uid;
	char who[32] = "";
	bool known = sock_peer(call->conn->sock, &pid, &uid) == 0 && pid != getpid();
	call_drop(call);
	if (known)
		snprintf(who, sizeof(who), ", process %d,", (int)pid);
	return fail(ETIMEDOUT,
	    "%s%s: the coordinator of %s%s does not answer; see whether it hangs or is stopped, let it go on or end "
	    "it, then try again",
	    call->name, call->cancelled ? " was cancelled" : "", call->vm->path, who);
}

/* poll(), at most for a piece where silence counts. -ETIMEDOUT: there was enough of it; the connection is closed. */
static int poll_piece(struct call *call, struct pollfd *fds, nfds_t count, int timeout_ms)
{
	uint64_t limit = silence_limit(call), before = limit ? clock_now() : 0;
	if (limit && (timeout_ms < 0 || timeout_ms > PIECE_MS))
		timeout_ms = PIECE_MS;
	int n = poll(fds, count, timeout_ms);
	if (!limit || n > 0)
		return n < 0 ? -errno : n;
	uint64_t passed = clock_now() - before;
	call->silent_ns += passed < 2 * PIECE_MS * 1000000ull ? passed : 2 * PIECE_MS * 1000000ull;
	return call->silent_ns >= limit ? call_silent(call) : n < 0 ? -errno : n;
}

/* Send, waiting for room: the socket does not block. A request that waits here is not sent if it is cancelled. */
static int send_message(struct call *call, enum wire_type type, const struct buf *payload, int pass)
{
	for (;;) {
		int r = wire_send(call->conn->sock, type, call->conn->serial, payload, pass);
		if (r == -EINTR)
			continue;
		if (r != -EAGAIN)
			return r;
		struct pollfd room = {.fd = call->conn->sock, .events = POLLOUT};
		r = poll_piece(call, &room, 1, TICK_MS);
		if (r == -ETIMEDOUT)
			return r;
		if (type == call->type && call_stopped(call))
			return -ECANCELED;
	}
}

int call_cancel(struct call *call)
{
	call->cancelled = true;
	if (call->abrupt) {
		call_drop(call);
		return call_canceled(call);
	}
	/* It may have been silent for long; but it has not been asked for this yet. */
	call->silent_ns = 0;
	/* Should this fail otherwise, the connection is gone, and receiving will say so. */
	return send_message(call, WIRE_CANCEL, NULL, -1) == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

int call_send(struct call *call, enum wire_type type)
{
	int r = send_message(call, type, NULL, -1);
	if (r == -EPIPE || r == -ECONNRESET)
		return call_lost(call);
	if (r == -ETIMEDOUT)
		return r;
	return r ? fail_sys(-r, "%s can not go on", call->name) : 0;
}

static int send_request(struct call *call)
{
	int r = send_message(call, call->type, &call->request, call->pass);
	if (r == -EPIPE || r == -ECONNRESET)
		return call_lost(call);
	if (r == -ETIMEDOUT || r == -ECANCELED)
		return r == -ECANCELED ? call_canceled(call) : r;
	if (r)
		return fail_sys(-r, "the coordinator of %s can not be asked for %s", call->vm->path, call->name);
	call->sent = true;
	return 0;
}

/* Milliseconds to sleep at most; negative: until something comes. */
static int patience(const struct call *call)
{
	if (call->cancelled)
		return -1;
	return call->tick || call->deaf ? TICK_MS : -1;
}

/* Call tick() if its time has come. */
static int tick(struct call *call)
{
	uint64_t now = clock_now();
	if (!call->tick || call->cancelled || now - call->tick_at < TICK_NS)
		return 0;
	call->tick_at = now;
	return call->tick(call) ? call_cancel(call) : 0;
}

/* Sleep until there may be a message, a cancel, or it is time for tick(). */
static int doze(struct call *call)
{
	struct pollfd fds[2] = {
	    {.fd = call->conn->sock, .events = POLLIN},
	    {.fd = call->vm->cancel_fd, .events = POLLIN},
	};
	bool listening = !call->cancelled && !call->deaf;
	int n = poll_piece(call, fds, listening ? 2 : 1, patience(call));
	if (n == -ETIMEDOUT)
		return n;
	if (n < 0 && n != -EINTR) {
		call_drop(call);
		return fail_sys(-n, "%s can not be waited for", call->name);
	}
	if (!call->cancelled && call_stopped(call))
		return call_cancel(call);
	if (n > 0 && listening && fds[1].revents)
		call->deaf = true;
	return tick(call);
}

/* Until when to spin; 0: not at all. */
static uint64_t spin_begin(const struct call *call)
{
	struct conn *conn = call->conn;
	if (conn->spin_skip) {
		conn->spin_skip--;
		return 0;
	}
	return call->vm->spin_ns ? clock_now() + call->vm->spin_ns : 0;
}

static void spin_failed(struct conn *conn)
{
	if (conn->spin_penalty < SPIN_PENALTY_MAX)
		conn->spin_penalty = conn->spin_penalty * 2 + 1;
	conn->spin_skip = conn->spin_penalty;
}

/* The next message, into call->conn->message. */
static int receive(struct call *call)
{
	struct conn *conn = call->conn;
	uint64_t yield_until = call->vm->spin_ns && call->yield_ns ? clock_now() + call->yield_ns : 0;
	uint64_t spin_until = yield_until ? 0 : spin_begin(call);
	wire_release(&conn->message);
	for (;;) {
		int r = wire_recv(conn->sock, &conn->message);
		if (r == 1) {
			call->silent_ns = 0;
			if (spin_until)
				conn->spin_penalty = 0;
			return 0;
		}
		if (r == 0 || r == -ECONNRESET || r == -EPIPE)
			return call_lost(call);
		if (r == -EINTR)
			continue;
		if (r != -EAGAIN) {
			call_drop(call);
			err_prefix("the coordinator of %s: ", call->vm->path);
			return r;
		}
		if (yield_until && clock_now() < yield_until && !call_stopped(call)) {
			sched_yield();
			continue;
		}
		if (spin_until && clock_now() < spin_until) {
			cpu_relax();
			continue;
		}
		if (spin_until)
			spin_failed(conn);
		spin_until = 0;
		r = doze(call);
		if (r)
			return r;
	}
}

/* A REPLY: its result, and the rest in *@reply. */
static int take_result(struct call *call, struct cursor *reply)
{
	struct cursor *c = &call->conn->message.payload;
	int32_t result = (int32_t)cursor_u32(c);
	if (c->bad || result > 0 || result < -4095)
		return call_bad(call);
	if (result == 0) {
		*reply = *c;
		return 0;
	}
	uint32_t length;
	const char *sentence = wire_get_string(c, &length);
	if (c->bad || cursor_left(c))
		return call_bad(call);
	char *text = text_copy(sentence, length);
	fail_with(-result, text ? text : "");
	free(text);
	return result;
}

int call_exchange(struct call *call, struct cursor *reply)
{
	struct conn *conn = call->conn;
	struct wire_message *message = &conn->message;
	if (call_stopped(call))
		return call_canceled(call);
	if (++conn->serial == 0)
		conn->serial = 1;
	int r = send_request(call);
	while (!r) {
		r = receive(call);
		if (r)
			break;
		if (message->type == WIRE_ALIVE)
			continue;
		if (message->serial != conn->serial)
			return call_bad(call);
		if (message->type == WIRE_REPLY) {
			conn->behind = false;
			return take_result(call, reply);
		}
		if (message->type < WIRE_REPLY || !call->event)
			return call_bad(call);
		r = call->event(call, message);
		if (r)
			call_drop(call);
	}
	return r;
}

int call_run(struct call *call, struct cursor *reply)
{
	for (int tries = 0;; tries++) {
		int r = 0;
		call->sent = call->lost = call->cancelled = false;
		*reply = cursor_over("", 0);
		if (call->conn->sock < 0)
			r = conn_open(call->vm, call->conn, call->cancels, NULL);
		if (!r)
			r = call_exchange(call, reply);
		/* One that was cancelled must not be begun again. */
		if (!call->lost || tries || call->retry == RETRY_NEVER || call->cancelled)
			return r;
	}
}

int call_finish(struct call *call, const struct cursor *reply)
{
	return reply->bad || cursor_left(reply) ? call_bad(call) : 0;
}

int call_take_fd(struct call *call)
{
	int fd = call->conn->message.fd;
	if (fd < 0 && fcntl(call->conn->sock, F_DUPFD_CLOEXEC, 0) < 0 && errno == EMFILE) {
		/* It came, and there was no room for it. */
		call_drop(call);
		return fail(EMFILE,
		    "%s needs one more open file than this process may have; raise its limit (ulimit -n)", call->name);
	}
	if (fd < 0)
		return call_bad(call);
	call->conn->message.fd = -1;
	return fd;
}

char *text_copy(const char *text, uint32_t length)
{
	char *copy = malloc((size_t)length + 1);
	if (!copy)
		return NULL;
	for (uint32_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		copy[i] = (c < ' ' && c != '\n' && c != '\t') || c == 0x7f ? '?' : (char)c;
	}
	copy[length] = 0;
	return copy;
}

void varve_vm_cancel(struct varve_vm *vm)
{
	int saved = errno;
	uint64_t one = 1;
	if (vm) {
		atomic_fetch_add(&vm->cancels, 1);
		if (write(vm->cancel_fd, &one, sizeof(one)) < 0) {
			/* Only if 2^64 - 2 cancels were never read: it is readable all the same. */
		}
	}
	errno = saved;
}
