/*
 * handed.c - what LISTEN_FDS says.
 */
#include "handed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"

#define FIRST_FD 3
#define FDS_MAX 16

static long number_in(const char *name)
{
	const char *text = getenv(name);
	char *end;
	errno = 0;
	long n = text ? strtol(text, &end, 10) : -1;
	return text && !errno && end != text && !*end ? n : -1;
}

static int option_of(int fd, int option)
{
	int value;
	socklen_t size = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

static int take(int fd, int *clients, int *metrics)
{
	int type = option_of(fd, SO_TYPE);
	int *to = type == SOCK_SEQPACKET ? clients : type == SOCK_STREAM ? metrics : NULL;
	if (!to || option_of(fd, SO_DOMAIN) != AF_UNIX || option_of(fd, SO_ACCEPTCONN) != 1)
		return fail(EINVAL,
		    "descriptor %d that the service manager handed over is no listening Unix socket; a store takes "
		    "ListenSequentialPacket= (clients) and ListenStream= (metrics)",
		    fd);
	if (*to >= 0)
		return fail(EINVAL, "the service manager handed over two sockets of a kind; a store takes one of each");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return fail_sys(errno, "descriptor %d that the service manager handed over", fd);
	*to = fd;
	return 0;
}

int handed_take(int *clients, int *metrics)
{
	long count = number_in("LISTEN_PID") == getpid() ? number_in("LISTEN_FDS") : 0;
	int r = 0;
	*clients = *metrics = -1;
	if (count > FDS_MAX)
		r = fail(EINVAL, "the service manager handed over %ld sockets; a store takes two at most", count);
	for (int i = 0; i < count && !r; i++)
		r = take(FIRST_FD + i, clients, metrics);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return r;
}
