/*
 * start.c - from nothing to a coordinator that can serve: lock, settings, sandbox, store, signals, sockets.
 *
 * Whatever fails is told to whoever started the process: the client, or standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "coordinator.h"
#include "cpu.h"
#include "handed.h"
#include "heir.h"
#include "log.h"
#include "sandbox.h"
#include "sock.h"

#define LOCK_TRIES 50
#define LOCK_NAP_US 20000u
/** How often whoever waits is told that he does so with reason. */
#define ALIVE_NS 1000000000ull

/* The client that started this process learns why it can not serve. */
void start_refuse(const struct coordinator *c, int result)
{
	static struct wire_message message;
	struct pollfd p = {c->options->client, POLLIN, 0};
	if (c->options->client < 0) {
		fprintf(stderr, "varve-coordinator: %s\n", err_text());
		return;
	}
	struct buf reply = {0};
	buf_u32(&reply, (uint32_t)result);
	wire_put_string(&reply, err_text());
	if (poll(&p, 1, 10000) > 0 && wire_recv(p.fd, &message) > 0) {
		wire_send(p.fd, WIRE_REPLY, message.serial, &reply, -1);
		wire_release(&message);
	}
	buf_free(&reply);
	close(p.fd);
}

static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void on_notice(void *arg, const char *text)
{
	struct dispatch *d = arg;
	struct log_entry entry;
	(void)d;
	log_begin(&entry, LOG_WARNING, "workers");
	log_text(&entry, "msg", text);
	log_end(&entry);
}

static int watch(struct coordinator *c, int fd, void *tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? fail_sys(errno, "epoll") : 0;
}

static int open_signals(struct coordinator *c)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGCONT);
	signal(SIGCHLD, SIG_DFL); /* whoever started this process may have ignored it */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* the write that is over the limit of file sizes says so, too */
	c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return c->signals < 0 ? fail_sys(errno, "signalfd") : watch(c, c->signals, &c->signals);
}

int start_listen(struct coordinator *c)
{
	if (c->store.read_only)
		return 0;
	if (!c->handed)
		c->listener = sock_listen(&c->store.own, SOCKET_NAME, &c->listener_inode);
	else if (sock_take_over(c->listener, &c->store.own, SOCKET_NAME))
		return -EINVAL;
	return c->listener < 0 ? c->listener : watch(c, c->listener, &c->listener);
}

/* READ_URING is a demand: find out now whether it can be met. */
static int check_method(enum read_method method)
{
	struct reader *reader;
	if (method != READ_URING)
		return 0;
	int r = reader_open(method, 1, &reader);
	if (!r)
		reader_close(reader);
	return r;
}

/* The service manager shall not give it up; an operator may want to know what it waits for. */
static void on_heir_waits(void *arg, int pid)
{
	static bool said;
	struct log_entry entry;
	notify_patience(&((struct coordinator *)arg)->notify);
	if (said)
		return;
	said = true;
	log_begin(&entry, LOG_INFO, "wait");
	log_text(&entry, "msg", "a coordinator that a program has started has the store, and will leave it");
	log_number(&entry, "pid", (uint64_t)pid);
	log_end(&entry);
}

/* One that is to stay takes the place of one that a client has started, which may be about to end anyway. */
static int lock_store(struct coordinator *c)
{
	const struct coordinator_options *o = c->options;
	int r, lock = -1;
	for (int i = 0; (r = store_lock(&c->store, o->path, !o->must_exist, lock)) == -EWOULDBLOCK; i++) {
		if (!o->foreground || i == LOCK_TRIES)
			return -EALREADY;
		lock = heir_ask(&c->store, on_heir_waits, c);
		if (lock == -EALREADY)
			return lock;
		store_unlock(&c->store);
		if (lock < 0)
			usleep(LOCK_NAP_US);
	}
	return r;
}

/* What the service manager wants to hear, and what it has opened already. */
static int open_service(struct coordinator *c, int *handed_metrics)
{
	int r = notify_open(&c->notify);
	if (!r)
		r = handed_take(&c->listener, handed_metrics);
	c->handed = c->listener >= 0;
	return r;
}

/* Bringing a large store in order after a crash may take long: whoever waits for it shall not give it
 * up. */
static void say_alive(void *arg)
{
	static uint64_t said_ns;
	struct coordinator *c = arg;
	uint64_t now = clock_now();
	if (c->peers || now - said_ns < ALIVE_NS)
		return;
	said_ns = now;
	notify_patience(&c->notify);
	/* Should it not be taken, the client is gone, or has heard enough of it. */
	if (c->options->client >= 0)
		wire_send(c->options->client, WIRE_ALIVE, 0, NULL, -1);
}

/* What a file of the store is called is nothing to go by for whoever has several stores. */
static int open_store(struct coordinator *c)
{
	const struct coordinator_options *o = c->options;
	int r = store_open(&c->store, &c->dispatch.own, (enum varve_sync)o->settings->values[SET_SYNC]);
	if (r)
		err_prefix("%s: ", o->path);
	return r;
}

/* Where no socket can be made nobody would ever connect. */
static int check_reachable(const struct coordinator *c)
{
	if (!c->options->foreground || !c->store.read_only)
		return 0;
	return fail(EROFS,
	    "%s can only be read, and a server that nobody can connect to is of no use: commands that look at it "
	    "start a coordinator of their own",
	    c->options->path);
}

int start_open(struct coordinator *c)
{
	const struct coordinator_options *o = c->options;
	const uint64_t *set = o->settings->values;
	int handed_metrics = -1, r = o->problem;
	raise_file_limit();
	if (!r && o->foreground)
		r = open_service(c, &handed_metrics);
	if (!r)
		r = lock_store(c);
	if (r == -EALREADY)
		return r;
	if (!r)
		r = check_reachable(c);
	if (!r)
		r = check_method((enum read_method)set[SET_IO]);
	if (!r && set[SET_SANDBOX] == SANDBOX_REQUIRE)
		r = sandbox_check();
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!r && c->epoll < 0)
		r = fail_sys(errno, "epoll");
	if (!r)
		r = dispatch_open(&c->dispatch, &c->store, o->settings, c->epoll, on_notice);
	if (!r && o->client >= 0 && fcntl(o->client, F_SETFL, fcntl(o->client, F_GETFL) | O_NONBLOCK) < 0)
		r = fail_sys(errno, "a client's socket");
	c->dispatch.own.beat = say_alive;
	c->dispatch.own.arg = c;
	if (!r)
		r = open_store(c);
	c->dispatch.own.beat = NULL;
	if (!r)
		r = open_signals(c);
	if (!r)
		r = start_listen(c);
	return r ? r : metrics_socket_open(&c->metrics, c, o->metrics, handed_metrics);
}
