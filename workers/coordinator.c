/*
 * coordinator.c - the process's life: take the lock, open the store (start.c), greet clients, serve, end with the last of
 * them.
 *
 *   lock --held by another--> tell the client so (-EALREADY), end
 *     |
 *   open --damaged, foreign, not writable--> tell the client, end
 *     |
 *   settle (after a crash): backing files to the current commit
 *     |
 *   serve <---------------------------------------------.
 *     | no client left, nothing under way               | somebody connected in the last moment
 *   unlink the socket, look once more for a connection -'
 *     |
 *   close
 *
 * One thread, but for those that close descriptors (closer.c). It sleeps in epoll; before that it looks for a short while
 * whether a worker, or a client that has just been answered, has something at once, since waking a sleeping process costs
 * more than most jobs.
 */
#include "coordinator.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "closer.h"
#include "cpu.h"
#include "fault.h"
#include "log.h"
#include "sock.h"

/** How long to look for work before sleeping, if there is a CPU to spare for it. */
#define SPIN_NS 50000u
#define EVENTS 64

/** Those of the command line, since `varve serve` becomes this program. */
#define STATUS_FAILED 1
#define STATUS_DAMAGE 3

/* ---- clients ---------------------------------------------------------------------------------------------------- */

static void close_last_client(struct coordinator *c)
{
	if (c->last_client >= 0)
		sock_discard(c->last_client);
	c->last_client = -1;
}

void coordinator_let_go(struct coordinator *c, int fd)
{
	/* Closing would do, but that a worker forked in this moment has the socket still: then epoll would, too. */
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
	for (const struct peer *peer = c->peers; peer; peer = peer->next) {
		if (!peer->gone || c->options->foreground) {
			/* It learns it now, whenever the descriptor is closed. */
			shutdown(fd, SHUT_RDWR);
			sock_discard(fd);
			return;
		}
	}
	close_last_client(c);
	c->last_client = fd;
}

void coordinator_add(struct coordinator *c, int fd)
{
	struct peer *peer = peer_new(c, fd);
	if (!peer) {
		log_line(c, "%s", err_text());
		return;
	}
	close_last_client(c);
	struct peer **at = &c->peers;
	while (*at)
		at = &(*at)->next;
	*at = peer;
	c->peers_count++;
}

static void read_peer(struct peer *peer)
{
	static struct wire_message message;
	for (int i = 0; i < 16 && !peer->gone; i++) {
		if (door_burdened() && sock_brings(peer->fd)) {
			peer_close(peer);
			return;
		}
		int r = wire_recv(peer->fd, &message);
		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r <= 0) {
			peer_close(peer);
			return;
		}
		request_handle(peer, &message);
		wire_release(&message);
	}
}

/* Peers that have gone leave once nothing of theirs is under way. */
static void bury(struct coordinator *c)
{
	for (struct peer **at = &c->peers; *at;) {
		struct peer *peer = *at;
		if (peer->gone) {
			request_peer_gone(peer);
			peer->waiting = false;
		}
		if (!peer->gone || peer->op || c->store.session.owner == peer) {
			at = &peer->next;
			continue;
		}
		*at = peer->next;
		c->peers_count--;
		peer_free(peer);
		door_left(c);
	}
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

/* A worker that was stopped need not be waited for. But if this process was, too, somebody is about to let all go on. */
static void on_signal(struct coordinator *c)
{
	struct signalfd_siginfo info;
	bool child = false, went_on = false;
	while (read(c->signals, &info, sizeof(info)) == sizeof(info)) {
		child |= info.ssi_signo == SIGCHLD;
		went_on |= info.ssi_signo == SIGCONT;
		c->stop |= info.ssi_signo != SIGCHLD && info.ssi_signo != SIGCONT;
	}
	if (child && !went_on)
		dispatch_kill_stopped(&c->dispatch);
}

static void handle(struct coordinator *c, const struct epoll_event *event)
{
	if (event->data.ptr == &c->listener)
		door_accept(c);
	else if (event->data.ptr == &c->signals)
		on_signal(c);
	else if (!dispatch_event(&c->dispatch, event->data.ptr) &&
	         !metrics_socket_event(&c->metrics, event->data.ptr)) {
		struct peer *peer = event->data.ptr;
		if (event->events & EPOLLOUT)
			peer_flush(peer);
		if (!peer->gone && event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			read_peer(peer);
	}
}

/* Does all that can be done without waiting. */
static void work(struct coordinator *c)
{
	bool more;
	do {
		more = dispatch_reap(&c->dispatch);
		more |= dispatch_run(&c->dispatch);
		if (c->turn_over) {
			requests_retry(c);
			more = true;
		}
	} while (more);
	bury(c);
	if (c->dispatch.again)
		work(c);
}

static int poll_events(struct coordinator *c, struct epoll_event *events, uint64_t spin_ns, int timeout_ms)
{
	uint64_t until = clock_now() + spin_ns;
	int n;
	do {
		n = epoll_wait(c->epoll, events, EVENTS, 0);
		if (n != 0 || dispatch_reap(&c->dispatch))
			return n;
		cpu_relax();
	} while (spin_ns && clock_now() < until);
	if (!dispatch_sleep_begin(&c->dispatch))
		return 0;
	n = epoll_wait(c->epoll, events, EVENTS, timeout_ms);
	dispatch_sleep_end(&c->dispatch);
	return n;
}

/* A spinning coordinator must not take the CPU that a worker or a client needs. */
static uint64_t spin_for(const struct coordinator *c, unsigned cpus, bool was_busy)
{
	unsigned busy = c->dispatch.pool ? pool_in_flight(c->dispatch.pool) : 0;
	return was_busy && busy + 1 < cpus ? SPIN_NS : 0;
}

static bool wants_to_end(const struct coordinator *c)
{
	return dispatch_idle(&c->dispatch) && !c->settling &&
	       (c->stop || coordinator_leaves(c) || (!c->options->foreground && c->peers_count == 0));
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* None of these has anything to do while nobody works, or wants to: then this process sleeps until it is woken. */
static int next_due(struct coordinator *c)
{
	int due = sooner(sooner(door_tick(c), requests_tick(c)), dispatch_timeout(&c->dispatch));
	return sooner(due, sooner(metrics_socket_timeout(&c->metrics), notify_timeout(&c->notify)));
}

static void serve(struct coordinator *c)
{
	struct epoll_event events[EVENTS];
	unsigned cpus = cpu_available();
	bool was_busy = true;
	for (;;) {
		work(c);
		if (c->stop) {
			for (struct peer *peer = c->peers; peer; peer = peer->next)
				peer_close(peer);
			bury(c);
		}
		if (wants_to_end(c))
			return;
		if (c->background_due && dispatch_idle(&c->dispatch)) {
			c->background_due = false;
			dispatch_background(&c->dispatch);
		}
		report_status(c);
		int n = poll_events(c, events, spin_for(c, cpus, was_busy), c->dispatch.again ? 0 : next_due(c));
		was_busy = n != 0;
		for (int i = 0; i < n; i++)
			handle(c, &events[i]);
		dispatch_tick(&c->dispatch);
		metrics_socket_tick(&c->metrics);
		notify_tick(&c->notify);
	}
}

/* ---- starting and ending ---------------------------------------------------------------------------------------- */

static void settled(void *arg, struct op *op)
{
	struct coordinator *c = arg;
	c->settling = false;
	c->turn_over = true;
	if (!op->result)
		return;
	log_line(c, "bringing backing files to the current commit: %s", op->text);
	buf_put(&c->store.notices, op->text, strlen(op->text));
	buf_u8(&c->store.notices, '\n');
}

static void start_settling(struct coordinator *c)
{
	struct op *op = c->store.unsettled ? op_settle(&c->store, OP_SETTLE_ALL) : NULL;
	if (!op)
		return; /* nothing to do, or a VM of the coordinator before still maps files: at the next session then */
	c->settling = true;
	op->complete = settled;
	op->arg = c;
	c->store.executor->start(c->store.executor, op);
}

/* Nobody finds the socket any more; whoever has connected before is still served. */
static bool last_look(struct coordinator *c)
{
	if (c->stop || c->listener < 0)
		return true;
	sock_unlink(&c->store.own, SOCKET_NAME, c->listener_inode);
	if (c->heir)
		return true;
	while (door_accept(c))
		;
	if (!c->peers_count)
		return true;
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->listener, NULL);
	sock_discard(c->listener);
	c->listener = -1;
	if (start_listen(c))
		c->stop = true;
	return false;
}

/* What it has asked for, so that nobody else gets it. */
struct legacy {
	int heir; /* its connection; -1: there is none */
	uint32_t serial;
	int lock;
};

static struct legacy take_legacy(const struct coordinator *c)
{
	struct legacy legacy = {.heir = -1, .lock = -1};
	if (!c->heir)
		return legacy;
	legacy.heir = fcntl(c->heir->fd, F_DUPFD_CLOEXEC, 3);
	legacy.serial = c->heir->serial;
	legacy.lock = fcntl(c->store.lock, F_DUPFD_CLOEXEC, 3);
	return legacy;
}

static void hand_over(const struct legacy *legacy)
{
	struct buf reply = {0};
	if (legacy->heir < 0)
		return;
	buf_u32(&reply, 0);
	wire_send(legacy->heir, WIRE_REPLY, legacy->serial, &reply, legacy->lock);
	buf_free(&reply);
}

int coordinator_run(const struct coordinator_options *options)
{
	static struct coordinator c;
	c = (struct coordinator) {.options = options,
	    .listener = -1,
	    .signals = -1,
	    .last_client = -1,
	    .started_ns = clock_now(),
	    .metrics = METRICS_SOCKET_INIT,
	    .notify = NOTIFY_INIT};
	if (options->foreground || getenv("VARVE_LOG"))
		log_open((enum log_level)options->settings->values[SET_LOG_LEVEL]);
	fault_role("coordinator");
	sock_discard_by(closer_close);
	int r = start_open(&c);
	if (r) {
		start_refuse(&c, r);
		dispatch_close(&c.dispatch);
		return r == -EBADMSG ? STATUS_DAMAGE : STATUS_FAILED;
	}
	report_started(&c);
	start_settling(&c);
	notify_ready(&c.notify);
	if (options->client >= 0)
		coordinator_add(&c, options->client);
	do
		serve(&c);
	while (!last_look(&c));
	notify_stopping(&c.notify);
	struct legacy legacy = take_legacy(&c);
	if (c.listener >= 0 && !c.handed)
		sock_unlink(&c.store.own, SOCKET_NAME, c.listener_inode);
	metrics_socket_close(&c.metrics);
	while (c.peers) {
		struct peer *peer = c.peers;
		c.peers = peer->next;
		peer_free(peer);
	}
	dispatch_close(&c.dispatch);
	store_close(&c.store, true);
	figures_close(&c.figures);
	report_ended();
	notify_close(&c.notify);
	hand_over(&legacy);
	return 0;
}
