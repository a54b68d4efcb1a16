/*
 * notify.h - telling the service manager how things are: the protocol of sd_notify(3), one datagram a message.
 *
 * Where NOTIFY_SOCKET is not set nothing is sent, and all of this costs nothing.
 */
#ifndef WORKERS_NOTIFY_H
#define WORKERS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/** Initialise with NOTIFY_INIT. */
struct notify {
	int fd; /**< -1: nobody wants to know */
	uint64_t watchdog_ns; /**< how often to say that the process is alive; 0: not */
	uint64_t watchdog_due_ns;
	uint64_t status_due_ns; /**< no status before that */
	bool status_late; /**< one has been put off */
	char status[192]; /**< the last one sent */
};
#define NOTIFY_INIT                                                                                                    \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

/** notify_open() - take what the environment says, and out of it: no child shall speak in our name. Returns 0, or -errno
 * with a sentence: it says something that makes no sense. */
int notify_open(struct notify *notify);
void notify_close(struct notify *notify);

/** notify_ready(), notify_stopping() - the service can be used; it ends. */
void notify_ready(struct notify *notify);
void notify_stopping(struct notify *notify);

/** notify_patience() - starting takes long, but it goes on: to be called every few seconds while it does. */
void notify_patience(struct notify *notify);

/** notify_status_due() - whether a status would be sent now: at most one a second is. notify_status() - send one, if it
 * is not the last one again. */
bool notify_status_due(struct notify *notify);
void notify_status(struct notify *notify, const char *text);

/** notify_timeout() - milliseconds until notify_tick() has something to do; -1: nothing. */
int notify_timeout(const struct notify *notify);
void notify_tick(struct notify *notify);

#endif
