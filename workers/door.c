/*
 * door.c - the listener, and those who have connected and said nothing yet.
 *
 *   open --no more descriptors than are kept for the coordinator, or none at all--> shut
 *     ^------------------ a client leaves; after a second if there was none at all ---'
 *
 * Of the descriptors that the process may have a part is kept back: for workers, files, and what clients pass. The kernel
 * gives the lowest number that is free, so the number of a new connection says how many are left, whatever took the
 * others. While the door is shut, who connects waits in the listener's queue, of which epoll says nothing: else it would
 * say so without end.
 */
#include "door.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "closer.h"
#include "coordinator.h"
#include "cpu.h"
#include "sock.h"

/** Others want their turn, too. */
#define ACCEPT_MAX 64
/** So many clients are let in whatever else takes descriptors. */
#define CLIENTS_MIN 16
/** Enough for the pool at its largest, two each. */
#define KEPT_MAX 4096u
#define RETRY_NS 1000000000ull
#define TELL_NS 60000000000ull

/** A greeting is the first thing that the library sends. Where others wait at the door, a tenth of it must do. */
#define HELLO_MS 10000
#define HURRY 10

static unsigned files_limit(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_cur;
}

/* Descriptors that clients' connections do not get: an eighth may be those that wait to be closed, and one message can
 * bring 253 more. */
static unsigned kept(unsigned limit)
{
	unsigned part = limit / 8 * 3;
	return part < KEPT_MAX ? part : KEPT_MAX;
}

bool door_burdened(void)
{
	unsigned waiting = closer_waiting();
	return waiting && waiting > kept(files_limit()) / 3;
}

static void ask(struct coordinator *c, bool about_it)
{
	struct epoll_event event = {.events = about_it ? EPOLLIN : 0, .data.ptr = &c->listener};
	c->door.shut = !about_it;
	if (c->listener >= 0)
		epoll_ctl(c->epoll, EPOLL_CTL_MOD, c->listener, &event);
}

static void shut(struct coordinator *c, uint64_t again_ns, const char *why)
{
	uint64_t now = clock_now();
	ask(c, false);
	c->door.again_ns = again_ns ? now + again_ns : 0;
	if (c->door.told_ns && now - c->door.told_ns < TELL_NS)
		return;
	c->door.told_ns = now;
	log_line(c,
	    "%u clients are connected, and others wait until some leave: %s (limit of open files: %u; "
	    "LimitNOFILE=, ulimit -n); who says nothing is cut off",
	    c->peers_count, why, files_limit());
}

bool door_accept(struct coordinator *c)
{
	unsigned limit = files_limit();
	for (unsigned i = 0; i < ACCEPT_MAX && c->listener >= 0; i++) {
		int fd = sock_accept(c->listener);
		if (fd == -EAGAIN)
			return false;
		if (fd < 0) {
			shut(c, RETRY_NS, err_text());
			return false;
		}
		coordinator_add(c, fd);
		if ((unsigned)fd >= limit - kept(limit) && c->peers_count >= CLIENTS_MIN) {
			shut(c, 0, "the other descriptors are kept for work");
			return false;
		}
	}
	return c->listener >= 0;
}

void door_left(struct coordinator *c)
{
	if (c->door.shut)
		ask(c, true);
}

/* Not even what has come and was not read yet. */
static bool says_nothing(const struct peer *peer)
{
	struct pollfd p = {peer->fd, POLLIN, 0};
	return poll(&p, 1, 0) == 0;
}

int door_tick(struct coordinator *c)
{
	uint64_t now = clock_now(), first = UINT64_MAX;
	uint64_t ms = c->options->settings->variables[VARIABLE_HELLO_MS];
	uint64_t patience = (ms ? ms : HELLO_MS) * 1000000u / (c->door.shut ? HURRY : 1);
	if (c->door.shut && c->door.again_ns) {
		first = c->door.again_ns;
		if (first <= now)
			ask(c, true);
	}
	for (struct peer *peer = c->peers; peer; peer = peer->next) {
		uint64_t due = peer->since_ns + patience;
		if (peer->greeted || peer->request || peer->gone)
			continue;
		if (due <= now && says_nothing(peer))
			peer_close(peer);
		first = due < first ? due : first;
	}
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)((first - now + 999999) / 1000000);
}
