/*
 * door.h - who comes in: as many as leave descriptors for the coordinator's own work, and for as long as they say who
 * they are.
 */
#ifndef WORKERS_DOOR_H
#define WORKERS_DOOR_H

#include <stdbool.h>
#include <stdint.h>

struct coordinator;

/** All zero at the start: open. */
struct door {
	bool shut; /**< epoll is not asked about the listener */
	uint64_t again_ns; /**< shut: open it then, whoever is there; 0: when somebody leaves */
	uint64_t told_ns; /**< when the log was last told; 0: never */
};

/** door_accept() - let in those that wait, some at a time. Whether there may be more; false where there is no listener. */
bool door_accept(struct coordinator *c);

/** door_left() - a client has gone, and with it its descriptor. */
void door_left(struct coordinator *c);

/** door_tick() - cut off who has been silent for too long. Returns milliseconds until it must be called again; -1: no
 * need. */
int door_tick(struct coordinator *c);

/** door_burdened() - whether so many descriptors that clients have passed wait to be closed that no more are to be taken. */
bool door_burdened(void);

#endif
