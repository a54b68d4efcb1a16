/*
 * handed.h - listening sockets that a service manager has opened for this process (socket activation, sd_listen_fds(3)).
 */
#ifndef WORKERS_HANDED_H
#define WORKERS_HANDED_H

/** handed_take() - take them over, and what the environment says of them out of it. LISTEN_FDS counts only if LISTEN_PID
 * is this process.
 * @clients  out: a SOCK_SEQPACKET socket, for clients; -1: there is none
 * @metrics  out: a SOCK_STREAM socket, for whoever reads metrics; -1
 * Returns 0, or -EINVAL: one is neither, or there are two of a kind, or it does not listen. */
int handed_take(int *clients, int *metrics);

#endif
