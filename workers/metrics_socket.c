/*
 * metrics_socket.c - readers of metrics come, are answered once, and go.
 *
 *   accept --"GET ... blank line"--> head and text --> all is sent: closed
 *          --end of what it writes, or silence for QUIET_MS--> the text alone --> closed
 *          --anything else--> 400 --> closed
 *
 * Nobody waits for a reader: sockets do not block, an answer is made once and sent as there is room, and one that takes
 * longer than DEADLINE_MS, or is in the way of others, is cut off.
 */
#include "metrics_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator.h"
#include "cpu.h"
#include "sock.h"

#define QUIET_MS 1000u
#define DEADLINE_MS 10000u
#define SOCKET_MODE 0660

#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

static int watch(const struct metrics_socket *m, int operation, int fd, uint32_t events, void *tag)
{
	struct epoll_event event = {.events = events, .data.ptr = tag};
	return epoll_ctl(m->coordinator->epoll, operation, fd, &event) < 0 ? fail_sys(errno, "epoll") : 0;
}

/* Opens the directory of @path and listens there. */
static int listen_at(struct metrics_socket *m, const char *path)
{
	char parent[4096];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) : 0;
	if (!*name || strlen(name) >= sizeof(m->name) || length >= sizeof(parent))
		return fail(EINVAL, "%.200s can not be the name of a socket for metrics", path);
	memcpy(parent, path, length);
	parent[length] = 0;
	snprintf(m->name, sizeof(m->name), "%s", name);
	int r = dir_open(&m->dir, -1, !slash ? "." : length ? parent : "/", "");
	if (!r)
		r = sock_listen_stream(&m->dir, m->name, SOCKET_MODE, &m->inode);
	if (r < 0) {
		err_prefix("metrics at %.200s: ", path);
		return r;
	}
	m->listener = r;
	return 0;
}

int metrics_socket_open(struct metrics_socket *m, struct coordinator *coordinator, const char *path, int handed)
{
	*m = (struct metrics_socket)METRICS_SOCKET_INIT;
	m->coordinator = coordinator;
	for (unsigned i = 0; i < METRICS_READERS; i++)
		m->readers[i].fd = -1;
	m->listener = handed;
	int r = handed < 0 && path ? listen_at(m, path) : 0;
	if (r || m->listener < 0)
		return r;
	/* Others than this user may connect, if the directory and the group let them. */
	sock_refuse_passed(m->listener);
	return watch(m, EPOLL_CTL_ADD, m->listener, EPOLLIN, m);
}

static void drop(struct metrics_socket *m, struct metrics_reader *reader)
{
	if (reader->fd < 0)
		return;
	/* A worker that is being forked may have it still: then epoll would, too. */
	epoll_ctl(m->coordinator->epoll, EPOLL_CTL_DEL, reader->fd, NULL);
	sock_discard(reader->fd);
	buf_free(&reader->text);
	*reader = (struct metrics_reader) {.fd = -1};
}

void metrics_socket_close(struct metrics_socket *m)
{
	if (!m->coordinator)
		return;
	for (unsigned i = 0; i < METRICS_READERS; i++)
		drop(m, &m->readers[i]);
	if (m->dir.fd >= 0) {
		if (m->listener >= 0)
			sock_unlink(&m->dir, m->name, m->inode);
		dir_close(&m->dir);
	}
	if (m->listener >= 0)
		close(m->listener);
	m->listener = -1;
}

/* ---- answering -------------------------------------------------------------------------------------------------- */

static void send_some(struct metrics_socket *m, struct metrics_reader *reader)
{
	while (reader->sent < reader->text.size) {
		ssize_t n =
		    send(reader->fd, reader->text.data + reader->sent, reader->text.size - reader->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		reader->sent += (size_t)n;
	}
	/* What it has written and nobody has read would turn the end of the answer into a reset. */
	char rest[1024];
	for (int i = 0; i < 16 && sock_read(reader->fd, rest, sizeof(rest)) > 0; i++)
		;
	drop(m, reader);
}

static void begin(struct metrics_socket *m, struct metrics_reader *reader)
{
	reader->answering = true;
	if (reader->text.bad || watch(m, EPOLL_CTL_MOD, reader->fd, EPOLLOUT, reader)) {
		drop(m, reader);
		return;
	}
	send_some(m, reader);
}

static void put(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

static void put_head(struct buf *b, const char *status, const char *type, size_t length)
{
	char head[256];
	snprintf(head, sizeof(head),
	    "HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, type,
	    length);
	put(b, head);
}

static void refuse(struct metrics_socket *m, struct metrics_reader *reader, const char *status)
{
	put_head(&reader->text, status, "text/plain", strlen(status) + 1);
	put(&reader->text, status);
	put(&reader->text, "\n");
	begin(m, reader);
}

/* @head: with the head of an HTTP answer; @body: and with what belongs behind it. */
static void answer_metrics(struct metrics_socket *m, struct metrics_reader *reader, bool head, bool body)
{
	struct buf text = {0};
	int r = metrics_text(m->coordinator, &text);
	if (r || text.bad) {
		buf_free(&text);
		refuse(m, reader, "503 Service Unavailable");
		return;
	}
	if (head)
		put_head(&reader->text, "200 OK", CONTENT_TYPE, text.size);
	if (body)
		buf_put(&reader->text, text.data, text.size);
	buf_free(&text);
	begin(m, reader);
}

/* ---- what readers say ------------------------------------------------------------------------------------------- */

static bool ends_with_blank_line(const char *request)
{
	return strstr(request, "\r\n\r\n") || strstr(request, "\n\n");
}

/* Its request is whole, or can not become one. */
static void hear_request(struct metrics_socket *m, struct metrics_reader *reader)
{
	char *target = strchr(reader->request, ' ');
	bool get = strncmp(reader->request, "GET ", 4) == 0, head = strncmp(reader->request, "HEAD ", 5) == 0;
	if (!get && !head) {
		refuse(m, reader, "400 Bad Request");
		return;
	}
	target++;
	target[strcspn(target, " \r\n?")] = 0;
	if (strcmp(target, "/") != 0 && strcmp(target, "/metrics") != 0)
		refuse(m, reader, "404 Not Found");
	else
		answer_metrics(m, reader, true, get);
}

static void hear(struct metrics_socket *m, struct metrics_reader *reader)
{
	char *to = reader->request + reader->request_size;
	if (door_burdened() && sock_brings(reader->fd)) {
		drop(m, reader);
		return;
	}
	ssize_t n = sock_read(reader->fd, to, sizeof(reader->request) - 1 - reader->request_size);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n < 0) {
		drop(m, reader);
		return;
	}
	reader->request_size += (size_t)n;
	reader->request[reader->request_size] = 0;
	/* Browsers and others send more headers than anybody wants to read: the first line will do. */
	bool full = reader->request_size == sizeof(reader->request) - 1;
	if (n == 0 && !reader->request_size)
		answer_metrics(m, reader, false, true);
	else if (n == 0 || full || ends_with_blank_line(reader->request))
		hear_request(m, reader);
}

static struct metrics_reader *free_place(struct metrics_socket *m)
{
	struct metrics_reader *oldest = &m->readers[0];
	for (unsigned i = 0; i < METRICS_READERS; i++) {
		if (m->readers[i].fd < 0)
			return &m->readers[i];
		if (m->readers[i].since_ns < oldest->since_ns)
			oldest = &m->readers[i];
	}
	drop(m, oldest);
	return oldest;
}

static void accept_all(struct metrics_socket *m)
{
	int fd;
	/* Not without end: others want their turn, too. */
	for (unsigned i = 0; i < METRICS_READERS && (fd = sock_accept(m->listener)) >= 0; i++) {
		struct metrics_reader *reader = free_place(m);
		*reader = (struct metrics_reader) {.fd = fd, .since_ns = clock_now()};
		if (watch(m, EPOLL_CTL_ADD, fd, EPOLLIN, reader))
			drop(m, reader);
	}
}

bool metrics_socket_event(struct metrics_socket *m, const void *tag)
{
	if (tag == m) {
		accept_all(m);
		return true;
	}
	for (unsigned i = 0; i < METRICS_READERS; i++) {
		struct metrics_reader *reader = &m->readers[i];
		if (tag != reader)
			continue;
		if (reader->fd < 0)
			return true; /* it has gone since epoll spoke */
		if (reader->answering)
			send_some(m, reader);
		else
			hear(m, reader);
		return true;
	}
	return false;
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static uint64_t due(const struct metrics_reader *reader)
{
	bool silent = !reader->answering && !reader->request_size;
	return reader->since_ns + (silent ? QUIET_MS : DEADLINE_MS) * 1000000ull;
}

int metrics_socket_timeout(const struct metrics_socket *m)
{
	uint64_t now = 0, first = UINT64_MAX;
	for (unsigned i = 0; m->listener >= 0 && i < METRICS_READERS; i++)
		if (m->readers[i].fd >= 0 && due(&m->readers[i]) < first)
			first = due(&m->readers[i]);
	if (first == UINT64_MAX)
		return -1;
	now = clock_now();
	return first <= now ? 0 : (int)((first - now + 999999) / 1000000);
}

void metrics_socket_tick(struct metrics_socket *m)
{
	uint64_t now = clock_now();
	for (unsigned i = 0; m->listener >= 0 && i < METRICS_READERS; i++) {
		struct metrics_reader *reader = &m->readers[i];
		if (reader->fd < 0 || due(reader) > now)
			continue;
		if (!reader->answering && !reader->request_size)
			answer_metrics(m, reader, false, true);
		else
			drop(m, reader);
	}
}
