/*
 * coordinator.h - the process that owns a base directory: one thread, one epoll, clients, operations, workers.
 */
#ifndef WORKERS_COORDINATOR_H
#define WORKERS_COORDINATOR_H

#include <stdbool.h>

#include "dispatch.h"
#include "door.h"
#include "figures.h"
#include "metrics_socket.h"
#include "notify.h"
#include "peer.h"
#include "settings.h"
#include "store.h"

/** How it was started. */
struct coordinator_options {
	const char *path; /**< of the base directory */
	int client; /**< a connected socket: the first client; -1: none (foreground) */
	bool foreground; /**< serve until a signal, not only as long as there are clients; log to stderr */
	bool must_exist;
	const struct settings *settings;
	const char *metrics; /**< path of the socket at which metrics are served; NULL: none */
	int problem; /**< what is wrong with the settings, its sentence remembered: the client is told; 0: nothing */
};

struct coordinator {
	const struct coordinator_options *options;
	struct store store;
	struct dispatch dispatch;
	int epoll;
	int listener; /**< -1: nobody else can connect (a read-only file system) */
	ino_t listener_inode; /**< of its name; not that of a listener that was handed over */
	int signals;
	int last_client; /**< the socket of the last client, which has gone; -1: there are others */
	struct peer *peers;
	unsigned peers_count;
	bool settling; /**< after a crash: clients are greeted when it is over */
	bool session_ending; /**< the session's modules are being brought back */
	uint64_t turns; /**< requests that had to wait so far */
	bool turn_over; /**< an operation has ended: those that wait get their turn */
	bool background_due; /**< something was committed, or a restore showed that tiers are missing */
	bool stop;
	struct peer *heir; /**< a coordinator that is to take this one's place as soon as may be (heir.h) */
	uint64_t started_ns;
	struct figures figures;
	struct metrics_socket metrics;
	struct notify notify; /**< the service manager, if there is one */
	struct door door;
	bool handed; /**< the listener is the service manager's: it stays when this process ends */
};

/** coordinator_run() - open the store and serve. Returns the exit status of the process. */
int coordinator_run(const struct coordinator_options *options);

/** The name of the socket in .varve/. */
#define SOCKET_NAME "socket"

/* ---- start.c ---- */

/** start_open() - all that serving needs. Returns 0, or -errno with a sentence: -EALREADY, another process has the store. */
int start_open(struct coordinator *c);

/** start_listen() - at the socket in .varve/. */
int start_listen(struct coordinator *c);

/** start_refuse() - tell whoever started this process why it can not serve. */
void start_refuse(const struct coordinator *c, int result);

/* ---- requests.c ---- */

/** request_handle() - one message from @peer. A message that is not as it should be closes the peer. */
void request_handle(struct peer *peer, struct wire_message *message);

/** requests_retry() - give those that wait their turn, in the order in which they came. */
void requests_retry(struct coordinator *c);

/** requests_tick() - deadlines and progress. Returns milliseconds until it must be called again; -1: no need. */
int requests_tick(struct coordinator *c);

/** coordinator_leaves() - whether another is to take this one's place, and no session keeps it: then nothing else is begun,
 * and it ends with what is under way. */
bool coordinator_leaves(const struct coordinator *c);

/** request_peer_gone() - @peer has closed: cancel its request, end its session. */
void request_peer_gone(struct peer *peer);

/* ---- answers.c: requests that only look, answered at once ---- */

bool answer(struct peer *peer, enum wire_type type, struct cursor *payload);

/** coordinator_add() - @fd is a client's socket. */
void coordinator_add(struct coordinator *c, int fd);

/** coordinator_let_go() - close a client's socket; that of the last client only when all is closed, so that the client
 * can wait for that. */
void coordinator_let_go(struct coordinator *c, int fd);

/* ---- report.c: telling the operator ---- */

/** log_line() - a warning, in words. */
void log_line(const struct coordinator *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** report_request() - @op of the peer's request has ended, with @result and its sentence: into the figures, and into the
 * log. */
void report_request(struct peer *peer, const struct op *op, int result, const char *text);

/** report_resize() - the peer has changed how many workers there can be. */
void report_resize(const struct peer *peer);

/** report_damage() - a file was found damaged. */
void report_damage(struct coordinator *c, const char *file, const char *problem);

/** report_started(), report_ended() - the process begins to serve, and ends. */
void report_started(const struct coordinator *c);
void report_ended(void);

/** report_status() - what the coordinator is doing, for the service manager. */
void report_status(struct coordinator *c);

#endif
