/*
 * helper_service.h - a coordinator in the foreground, as a service manager would start it, and its standard error.
 */
#ifndef HELPER_SERVICE_H
#define HELPER_SERVICE_H

#include "helper_store.h"

#include <stdbool.h>
#include <sys/types.h>

struct service {
	pid_t pid;
	int err; /**< the end of its standard error that is read; non-blocking */
};

struct service_setup {
	const char *const *environment; /**< "NAME=value", NULL at the end; may be NULL */
	const char *const *args; /**< further ones, likewise */
	int handed; /**< a descriptor that it shall find as number 3, with LISTEN_FDS and LISTEN_PID; 0 or less: none */
	int handed_metrics; /**< the same, as number 4 */
	unsigned files; /**< its limit of open files; 0: as it is */
	int pipe_size; /**< of its standard error; 0: as it comes */
	bool journal; /**< JOURNAL_STREAM says that its standard error is the journal */
};

/** service_start() - for the test's store; @setup may be NULL. */
struct service service_start(const struct service_setup *setup);

/** service_wait_ready() - until it can be connected to. */
void service_wait_ready(void);

/** service_end() - SIGTERM; it must end with status 0. Closes err. */
void service_end(struct service *service);

/** service_log() - what it has written so far, and is there to be read; static storage, for one service. */
const char *service_log(struct service *service);

/** service_log_until() - the same, when @text is in it, or after some seconds. */
const char *service_log_until(struct service *service, const char *text);

#endif
