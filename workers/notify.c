/*
 * notify.c - READY=1, STATUS=..., WATCHDOG=1, STOPPING=1.
 *
 * Written here, and not taken from libsystemd: it is one sendto(), and the library would be the only thing that a store
 * needs of systemd.
 */
#include "notify.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cpu.h"
#include "err.h"

#define STATUS_NS 1000000000ull
#define READY_TRIES 10
#define READY_WAIT_MS 100

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || length < 2 || length >= sizeof(address.sun_path))
		return fail(EINVAL,
		    "NOTIFY_SOCKET is \"%.40s\"; it must be a path, or @ and an abstract name, of at most %zu bytes",
		    path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_sys(errno, "a socket for the service manager");
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (connect(fd, (struct sockaddr *)&address, size) < 0) {
		int r = fail_sys(errno, "NOTIFY_SOCKET (%.100s): the service manager can not be reached", path);
		close(fd);
		return r;
	}
	return fd;
}

/* WATCHDOG_USEC is for the process WATCHDOG_PID, if that is said. Half of it, as sd_watchdog_enabled(3) asks for. */
static uint64_t watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;
	if (!usec || *usec < '0' || *usec > '9' || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	errno = 0;
	unsigned long long n = strtoull(usec, &end, 10);
	return errno || *end || n > UINT64_MAX / 1000 ? 0 : n * 1000 / 2;
}

int notify_open(struct notify *notify)
{
	const char *path = getenv("NOTIFY_SOCKET");
	*notify = (struct notify)NOTIFY_INIT;
	int fd = path && *path ? connect_to(path) : -1;
	if (fd >= 0 || !path || !*path) {
		notify->fd = fd;
		notify->watchdog_ns = fd >= 0 ? watchdog_interval() : 0;
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return path && *path && fd < 0 ? fd : 0;
}

void notify_close(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

/* What can not be delivered now is not worth waiting for: a status is said again, and the watchdog's interval is half of
 * what would be missed. */
static bool say(const struct notify *notify, const char *text)
{
	ssize_t sent;
	do
		sent = send(notify->fd, text, strlen(text), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent >= 0;
}

void notify_ready(struct notify *notify)
{
	if (notify->fd < 0)
		return;
	/* It is said once, and all that depends on this service waits for it. */
	struct pollfd p = {notify->fd, POLLOUT, 0};
	for (int i = 0; i < READY_TRIES && !say(notify, "READY=1"); i++)
		poll(&p, 1, READY_WAIT_MS);
	notify_tick(notify);
}

void notify_patience(struct notify *notify)
{
	if (notify->fd >= 0)
		say(notify, "EXTEND_TIMEOUT_USEC=30000000");
}

void notify_stopping(struct notify *notify)
{
	if (notify->fd >= 0)
		say(notify, "STOPPING=1");
}

bool notify_status_due(struct notify *notify)
{
	if (notify->fd < 0)
		return false;
	notify->status_late = clock_now() < notify->status_due_ns;
	return !notify->status_late;
}

void notify_status(struct notify *notify, const char *text)
{
	char line[sizeof(notify->status) + 16];
	if (notify->fd < 0 || strncmp(text, notify->status, sizeof(notify->status) - 1) == 0)
		return;
	snprintf(line, sizeof(line), "STATUS=%.*s", (int)sizeof(notify->status) - 1, text);
	/* A second line would be another message. */
	for (char *c = line; *c; c++)
		if (*c == '\n')
			*c = ' ';
	notify->status_due_ns = clock_now() + STATUS_NS;
	if (say(notify, line))
		snprintf(notify->status, sizeof(notify->status), "%s", text);
	else
		notify->status_late = true;
}

static int milliseconds(uint64_t now, uint64_t then)
{
	uint64_t ms = then <= now ? 0 : (then - now + 999999) / 1000000;
	return ms > 3600000 ? 3600000 : (int)ms;
}

int notify_timeout(const struct notify *notify)
{
	uint64_t now = notify->fd < 0 ? 0 : clock_now();
	if (notify->fd < 0)
		return -1;
	int watchdog = notify->watchdog_ns ? milliseconds(now, notify->watchdog_due_ns) : -1;
	int status = notify->status_late ? milliseconds(now, notify->status_due_ns) : -1;
	return watchdog < 0 || (status >= 0 && status < watchdog) ? status : watchdog;
}

void notify_tick(struct notify *notify)
{
	if (notify->fd < 0 || !notify->watchdog_ns)
		return;
	uint64_t now = clock_now();
	if (now < notify->watchdog_due_ns)
		return;
	say(notify, "WATCHDOG=1");
	notify->watchdog_due_ns = now + notify->watchdog_ns;
}
