/*
 * requests.h - what the files of requests share. Private to workers/.
 *
 * do_*() perform a peer's request: they answer it, or start an operation that will. They return 0; -EAGAIN: the request
 * has to wait for its turn; -EPROTO: what came is not of the form.
 */
#ifndef WORKERS_REQUESTS_H
#define WORKERS_REQUESTS_H

#include "coordinator.h"

/** request_start() - start @op for the peer's request; @complete gets the peer, and begins with request_over(). NULL: there
 * is none, and why not is the answer. */
void request_start(struct peer *peer, struct op *op, void (*complete)(void *arg, struct op *op));

/** request_over() - common to all ends: the peer's operation is over, others get their turn. */
struct peer *request_over(void *arg);

/** request_answer() - reply with the operation's result. request_refuse() - with an error and its sentence. */
void request_answer(struct peer *peer, const struct op *op, const struct buf *payload, int pass);
void request_refuse(struct peer *peer, int result);

/** request_runs() - whether the operation of the peer's request is under way: not one of a request before it, nor one that
 * it has to wait for. */
bool request_runs(const struct peer *peer);

/** request_has_session() - whether the session is the peer's, and not about to end. */
bool request_has_session(const struct peer *peer);

/** request_name() - of a kind of request that takes its time; NULL: one that is answered at once. */
const char *request_name(enum wire_type type);

int do_begin(struct peer *peer, struct cursor *payload);
int do_deploy(struct peer *peer, struct cursor *payload);
int do_module(struct peer *peer, struct cursor *payload);
int do_commit(struct peer *peer, struct cursor *payload);
int do_abandon(struct peer *peer);
int do_restore(struct peer *peer, struct cursor *payload);
int do_persist(struct peer *peer);
int do_optimize(struct peer *peer);
int do_checkout(struct peer *peer, struct cursor *payload, int *fd);
int do_verify(struct peer *peer);

#endif
