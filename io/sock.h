/*
 * sock.h - SOCK_SEQPACKET Unix sockets: whole messages, with file descriptors beside them.
 *
 * Every descriptor made here is close-on-exec. Sends never raise SIGPIPE.
 */
#ifndef IO_SOCK_H
#define IO_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "file.h"

/** Most bytes in one message. Larger things travel as a memfd beside it. */
#define SOCK_MESSAGE_MAX 65536

/** sock_pair() - two connected sockets. */
int sock_pair(int fds[2]);

/** sock_listen() - bind @name in @dir (by way of /proc/self/fd, so that long paths work) and listen, non-blocking. Mode
 * 0600. A socket of that name is replaced, whoever listens there: the caller has a lock that says who may.
 * @inode  out: for sock_unlink(); may be NULL
 * Returns a descriptor or -errno. */
int sock_listen(const struct dir *dir, const char *name, ino_t *inode);

/** sock_listen_stream() - the same for a SOCK_STREAM socket, of mode @mode, where there is no such lock: only the socket of
 * a process that is gone is replaced. -EADDRINUSE: somebody has it. */
int sock_listen_stream(const struct dir *dir, const char *name, mode_t mode, ino_t *inode);

/** sock_unlink() - remove the name of a socket that listens, unless another socket has it by now. To be called before the
 * socket is closed: until then its @inode is nobody else's. */
void sock_unlink(const struct dir *dir, const char *name, ino_t inode);

/** sock_take_over() - be who listens at @listener, which another process has bound to @name in @dir. 0, or -EINVAL: it is
 * bound to something else. */
int sock_take_over(int listener, const struct dir *dir, const char *name);

/** sock_connect() - connect to it, without waiting; the socket is a blocking one. Returns a descriptor or -errno (-ENOENT,
 * -ECONNREFUSED: no one listens; -EAGAIN: more connections wait to be accepted than may; all without a sentence. -ENOSYS:
 * there is no /proc). */
int sock_connect(const struct dir *dir, const char *name);

/** sock_accept() - the next connection, non-blocking; -EAGAIN if there is none. */
int sock_accept(int listener);

/** sock_peer() - the peer's process, user. */
int sock_peer(int fd, pid_t *pid, uid_t *uid);

/** sock_unread() - whether the peer has not read yet all that it was sent. */
bool sock_unread(int fd);

/** sock_send() - one message, with descriptor @pass beside it (-1: none). -EAGAIN if the socket does not block and is
 * full; -EPIPE, -ECONNRESET: the peer is gone. */
int sock_send(int fd, const void *message, size_t size, int pass);

/**
 * sock_recv() - one message.
 * @passed  out: the descriptor that came beside it, now the caller's, or -1; any further ones are closed. May be NULL:
 *          then all are. Closed: by sock_discard().
 * Returns its size, 0 at the end (the peer has closed), or -errno: -EAGAIN, -EINTR, -EMSGSIZE (longer than @capacity).
 */
ssize_t sock_recv(int fd, void *message, size_t capacity, int *passed);

/** sock_read() - what there is to be read from a SOCK_STREAM socket; descriptors beside it are discarded. Returns its
 * size, 0 at the end, or -errno: -EAGAIN, -EINTR. */
ssize_t sock_read(int fd, void *to, size_t capacity);

/** sock_brings() - whether descriptors come with what would be received next; takes neither. Does not wait. */
bool sock_brings(int fd);

/** sock_refuse_passed() - from now on nobody can pass descriptors to this socket, nor to those that are accepted from it:
 * who tries gets -EPERM. Of no effect before Linux 6.16: then they come, and have to be discarded. */
void sock_refuse_passed(int fd);

/**
 * sock_discard() - close @fd, which somebody else has opened, or which has unread messages that may hold such: closing
 * can take as long as that one likes (SO_LINGER; files of FUSE and NFS).
 * sock_discard_by() - leave that to @by from now on, in this process; NULL, as at the start: close(). Not while other
 * threads use sockets.
 */
void sock_discard(int fd);
void sock_discard_by(void (*by)(int fd));

#endif
