/*
 * sock.c - messages between processes, with descriptors beside them.
 *
 * A socket's name is bound and connected to by way of /proc/self/fd/N/NAME: sun_path has room for 108 bytes only, and a
 * base directory may lie deeper than that.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"
#include "sock.h"

/* As many as the kernel passes with one message (SCM_MAX_FD). What there was no room for it would close itself, in this
 * thread, and however long that takes. */
#define PASSED_MAX 253

/* Linux 6.16. */
#if !defined(SO_PASSRIGHTS) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PASSRIGHTS 83
#endif

/* Where a listening socket gets ready before it has its name. */
#define NEW_SUFFIX ".new"

static void (*discard)(int fd);

int sock_pair(int fds[2])
{
	int rc = fault_at("sock.pair");

	fds[0] = fds[1] = -1;
	if (!rc && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		rc = -errno;
	return rc ? fail_sys(-rc, "a pair of sockets can not be made") : 0;
}

static int sock_address(struct sockaddr_un *address, const struct dir *dir, const char *name, const char *suffix)
{
	*address = (struct sockaddr_un) {.sun_family = AF_UNIX};
	int length =
	    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s%s", dir->fd, name, suffix);
	if (length < 0 || (size_t)length >= sizeof(address->sun_path))
		return fail(ENAMETOOLONG, "%s%s: too long a name for a socket", dir->label, name);
	return 0;
}

/* Whether that way to a name is not there: a jail, or a container, that has no /proc. -ENOSYS with a sentence. */
static int sock_no_proc(int err, const struct dir *dir, const char *name)
{
	if (err != ENOENT || access("/proc/self/fd", F_OK) == 0)
		return 0;
	return fail(ENOSYS, "%s%s: without /proc there is no way to it: mount /proc (mount -t proc proc /proc)",
	    dir->label, name);
}

/* Only a socket may be replaced, or connected to: 1 if there is one, 0 if nothing has the name. */
static int sock_there(const struct dir *dir, const char *name)
{
	struct stat st;
	int rc = file_stat(dir, name, &st);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (!S_ISSOCK(st.st_mode))
		return fail(EEXIST, "%s%s is there and is no socket: move it away", dir->label, name);
	return 1;
}

/* Whether a process has the socket @name: one that is no listener, or of another type, or whose queue is full, has it as
 * well. Only the kernel's word that nobody has it will do for taking the name away. */
static int check_unused(int fd, const struct dir *dir, const char *name)
{
	struct sockaddr_un address;
	int rc = sock_address(&address, dir, name, "");
	if (rc)
		return rc;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && (errno == ECONNREFUSED || errno == ENOENT))
		return 0;
	return fail(
	    EADDRINUSE, "%s%s is another process's socket: end that process, or choose another path", dir->label, name);
}

/* The name appears by a rename once the socket listens: no client ever sees one that does not. */
static int bind_and_listen(int fd, const struct dir *dir, const char *name, mode_t mode, ino_t *inode)
{
	struct sockaddr_un address;
	struct stat st;
	int rc = sock_address(&address, dir, name, NEW_SUFFIX);
	if (rc)
		return rc;
	const char *fresh = strrchr(address.sun_path, '/') + 1;

	unlinkat(dir->fd, fresh, 0);
	/* Linux gives the name the mode that the socket has when it is bound. */
	if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int err = errno;
		rc = sock_no_proc(err, dir, name);
		return rc ? rc : fail_sys(err, "%s%s: the socket can not be made", dir->label, name);
	}
	if (fstatat(dir->fd, fresh, &st, AT_SYMLINK_NOFOLLOW) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    renameat(dir->fd, fresh, dir->fd, name) < 0) {
		rc = fail_sys(errno, "%s%s: the socket can not be opened for connections", dir->label, name);
		unlinkat(dir->fd, fresh, 0);
		return rc;
	}
	if (inode)
		*inode = st.st_ino;
	return 0;
}

static int new_socket(const struct dir *dir, const char *name, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? fail_sys(errno, "%s%s: a socket can not be made", dir->label, name) : fd;
}

static int listen_at(const struct dir *dir, const char *name, int type, mode_t mode, ino_t *inode)
{
	int rc = fault_at("sock.listen");
	int fd = rc ? rc : new_socket(dir, name, type);
	if (fd < 0)
		return fd;
	rc = bind_and_listen(fd, dir, name, mode, inode);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

int sock_listen(const struct dir *dir, const char *name, ino_t *inode)
{
	int rc = sock_there(dir, name);
	return rc < 0 ? rc : listen_at(dir, name, SOCK_SEQPACKET, 0600, inode);
}

int sock_listen_stream(const struct dir *dir, const char *name, mode_t mode, ino_t *inode)
{
	int rc = sock_there(dir, name);
	if (rc > 0) {
		int fd = new_socket(dir, name, SOCK_STREAM);
		rc = fd < 0 ? fd : check_unused(fd, dir, name);
		if (fd >= 0)
			close(fd);
	}
	return rc < 0 ? rc : listen_at(dir, name, SOCK_STREAM, mode, inode);
}

void sock_unlink(const struct dir *dir, const char *name, ino_t inode)
{
	struct stat st;
	if (file_stat(dir, name, &st) == 0 && st.st_ino == inode)
		file_unlink(dir, name);
}

int sock_take_over(int listener, const struct dir *dir, const char *name)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address);
	struct stat ours, theirs;

	if (getsockname(listener, (struct sockaddr *)&address, &size) < 0)
		return fail_sys(errno, "the name of the socket that was handed over");
	address.sun_path[sizeof(address.sun_path) - 1] = 0;
	if (size <= offsetof(struct sockaddr_un, sun_path) || file_stat(dir, name, &ours) ||
	    stat(address.sun_path, &theirs) < 0 || ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
		return fail(EINVAL, "the socket that was handed over (%.110s) is not %s%s, where clients look for it",
		    address.sun_path, dir->label, name);
	/* Clients learn from the kernel who listens: from now on that is this process. */
	if (listen(listener, SOMAXCONN) < 0)
		return fail_sys(errno, "%s%s: the socket that was handed over", dir->label, name);
	return 0;
}

int sock_connect(const struct dir *dir, const char *name)
{
	struct sockaddr_un address;
	int rc = sock_there(dir, name);
	if (rc <= 0)
		return rc ? rc : -ENOENT;
	if ((rc = sock_address(&address, dir, name, "")))
		return rc;
	int fd = new_socket(dir, name, SOCK_SEQPACKET);
	if (fd < 0)
		return fd;
	/* A listener that is stopped accepts nothing: its queue, once full, would be waited for without end. */
	do
		rc = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	while (rc == -EINTR);
	if (!rc && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	int no_proc = sock_no_proc(-rc, dir, name);
	if (no_proc)
		return no_proc;
	if (rc == -ENOENT || rc == -ECONNREFUSED || rc == -EAGAIN)
		return rc;
	return fail_sys(-rc, "%s%s: can not connect", dir->label, name);
}

int sock_accept(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			return fd;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		return errno == EAGAIN ? -EAGAIN : fail_sys(errno, "a connection can not be accepted");
	}
}

int sock_peer(int fd, pid_t *pid, uid_t *uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return fail_sys(errno, "who is at the other end of a socket can not be found out");
	if (pid)
		*pid = peer.pid;
	if (uid)
		*uid = peer.uid;
	return 0;
}

bool sock_unread(int fd)
{
	int bytes = 0;
	return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

int sock_send(int fd, const void *message, size_t size, int pass)
{
	/* A message without bytes would look like the end of the connection. */
	if (!size || size > SOCK_MESSAGE_MAX)
		return fail(EMSGSIZE, "a message of %zu bytes can not be sent", size);
	int rc = fault_at("sock.send");
	if (rc)
		return fail_sys(-rc, "a message of %zu bytes can not be sent", size);

	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)(uintptr_t)message, size};
	struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
	if (pass >= 0) {
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&head);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(pass));
	}
	ssize_t sent;
	do
		sent = sendmsg(fd, &head, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	if (errno == EAGAIN || errno == EPIPE || errno == ECONNRESET)
		return -errno;
	return fail_sys(errno, "a message of %zu bytes can not be sent", size);
}

void sock_discard_by(void (*by)(int fd))
{
	discard = by;
}

void sock_discard(int fd)
{
	if (discard)
		discard(fd);
	else
		close(fd);
}

/* Keep the first descriptor that came, if it is wanted, and close all others: a peer must not fill our table. */
static void take_passed(struct msghdr *head, int *passed)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (passed && *passed < 0)
				*passed = fd;
			else
				sock_discard(fd);
		}
	}
}

/* Whatever is there, and the descriptor beside it. *@flags: those of recvmsg(). */
static ssize_t receive(int fd, void *to, size_t capacity, int *passed, int *flags)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * PASSED_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec part = {to, capacity};
	struct msghdr head = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};

	ssize_t size = recvmsg(fd, &head, MSG_CMSG_CLOEXEC);
	if (size < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNRESET)
			return -errno;
		return fail_sys(errno, "a message can not be received");
	}
	*flags = head.msg_flags;
	/* A message that is not delivered brings no descriptor either. */
	bool refused = size == 0 || (head.msg_flags & MSG_TRUNC);
	take_passed(&head, refused ? NULL : passed);
	return size;
}

ssize_t sock_recv(int fd, void *message, size_t capacity, int *passed)
{
	int flags;

	if (passed)
		*passed = -1;
	ssize_t size = receive(fd, message, capacity, passed, &flags);
	if (size >= 0 && (flags & MSG_TRUNC))
		return fail(EMSGSIZE, "a message is longer than %zu bytes", capacity);
	return size;
}

ssize_t sock_read(int fd, void *to, size_t capacity)
{
	int flags;

	return receive(fd, to, capacity, NULL, &flags);
}

bool sock_brings(int fd)
{
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};

	/* A look takes nothing out: that there would have been no room is all that happens. */
	return recvmsg(fd, &head, MSG_PEEK | MSG_DONTWAIT) >= 0 && (head.msg_flags & MSG_CTRUNC);
}

void sock_refuse_passed(int fd)
{
#ifdef SO_PASSRIGHTS
	int no = 0;
	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
#else
	(void)fd;
#endif
}
