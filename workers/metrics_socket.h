/*
 * metrics_socket.h - the metrics for whoever connects to a Unix socket: as an HTTP/1.0 answer to a GET, or as they are.
 */
#ifndef WORKERS_METRICS_SOCKET_H
#define WORKERS_METRICS_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "file.h"

struct coordinator;

/** Readers at a time; one more takes the place of the one that has been there longest. */
#define METRICS_READERS 16

struct metrics_reader {
	int fd; /**< -1: none */
	bool answering;
	uint64_t since_ns;
	char request[512]; /**< as much of it as has come */
	size_t request_size;
	struct buf text; /**< the answer, of which @sent bytes are through */
	size_t sent;
};

/** Initialise with METRICS_SOCKET_INIT. */
struct metrics_socket {
	int listener; /**< -1: metrics are not served */
	struct dir dir; /**< where its name is; not open: the service manager's */
	char name[256];
	ino_t inode; /**< of that name, as long as it is this socket's */
	struct coordinator *coordinator;
	struct metrics_reader readers[METRICS_READERS];
};
#define METRICS_SOCKET_INIT                                                                                            \
	{                                                                                                              \
		.listener = -1, .dir = {.fd = -1 }                                                                     \
	}

/** metrics_socket_open() - listen at @path, or at @handed, a socket that listens already (-1: none), which becomes its
 * own. Neither: nothing is done. Mode 0660: who may read is for its directory and its group to say. */
int metrics_socket_open(struct metrics_socket *m, struct coordinator *coordinator, const char *path, int handed);
void metrics_socket_close(struct metrics_socket *m);

/** metrics_socket_event() - what epoll said of @tag. False: it is none of these. */
bool metrics_socket_event(struct metrics_socket *m, const void *tag);

/** metrics_socket_timeout() - milliseconds until metrics_socket_tick() is due; -1: not before something happens. */
int metrics_socket_timeout(const struct metrics_socket *m);
void metrics_socket_tick(struct metrics_socket *m);

#endif
