/*
 * requests.c - requests of clients that take their turn, or take jobs.
 *
 * Those that change the store run one after another: while one is under way the others are held, payload and all, and
 * tried again in the order in which they came. So an operation always starts from a store that nobody is changing.
 */
#include <errno.h>
#include <unistd.h>

#include "cpu.h"
#include "requests.h"
#include "sock.h"

#define PROGRESS_NS 50000000u
#define ALIVE_NS 1000000000u
/** How often to look whether a session whose coordinator has died has ended. */
#define LOOK_AGAIN_MS 50
/** Who has cancelled a restore waits no longer than this until everything is back where it was. */
#define CANCEL_NS 50000000u

/* ---- operations ------------------------------------------------------------------------------------------------- */

void request_start(struct peer *peer, struct op *op, void (*complete)(void *arg, struct op *op))
{
	struct coordinator *c = peer->coordinator;
	if (!op) {
		request_refuse(peer, err_code());
		return;
	}
	op->complete = complete;
	op->arg = peer;
	peer->op = op;
	c->store.executor->start(c->store.executor, op);
}

/* Common to all ends: the peer's operation is over, others get their turn. */
struct peer *request_over(void *arg)
{
	struct peer *peer = arg;
	peer->op = NULL;
	peer->coordinator->turn_over = true;
	return peer;
}

void request_answer(struct peer *peer, const struct op *op, const struct buf *payload, int pass)
{
	report_request(peer, op, op->result, op->text);
	if (op->result)
		peer_reply_error(peer, op->result, op->text);
	else
		peer_reply(peer, payload, pass);
}

void request_refuse(struct peer *peer, int result)
{
	peer_reply_error(peer, result, err_text());
}

bool request_runs(const struct peer *peer)
{
	return peer->op && peer->request && !peer->waiting;
}

const char *request_name(enum wire_type type)
{
	switch (type) {
	case WIRE_RESTORE:
		return "restore";
	case WIRE_CHECKOUT:
		return "checkout";
	case WIRE_COMMIT:
		return "commit";
	case WIRE_ABANDON:
		return "abandon";
	case WIRE_PERSIST:
		return "persist";
	case WIRE_VERIFY:
		return "verify";
	case WIRE_OPTIMIZE:
		return "optimize";
	case WIRE_BEGIN:
		return "begin";
	case WIRE_MODULE:
		return "module";
	default:
		return NULL;
	}
}

/* ---- taking turns ----------------------------------------------------------------------------------------------- */

static bool needs_turn(enum wire_type type)
{
	return type != WIRE_CHECKOUT && type != WIRE_VERIFY && type != WIRE_OPTIMIZE;
}

/* What is to be seen while others work, and depends on nothing that they change half way. */
static bool is_look(enum wire_type type)
{
	return type == WIRE_STAT || type == WIRE_METRICS;
}

static void reply_hello(struct peer *peer)
{
	struct coordinator *c = peer->coordinator;
	struct buf out = {0};
	buf_u32(&out, WIRE_PROTOCOL);
	wire_put_string(&out, VARVE_VERSION_STRING);
	buf_u8(&c->store.notices, 0);
	wire_put_string(&out, (const char *)c->store.notices.data);
	c->store.notices.size--;
	peer->greeted = true;
	peer_reply(peer, &out, -1);
	buf_free(&out);
}

static int do_hello(struct peer *peer, struct cursor *payload)
{
	uint32_t length, protocol = cursor_u32(payload);
	const char *version = wire_get_string(payload, &length);
	if (payload->bad)
		return -EPROTO;
	if (protocol == WIRE_PROTOCOL) {
		reply_hello(peer);
		return 0;
	}
	request_refuse(
	    peer, fail(EPROTONOSUPPORT,
	              "the library is version %.*s, the store's running coordinator (process %d) version %s: end "
	              "the programs that "
	              "have the store open, then open it again",
	              length < 32 ? (int)length : 32, version, (int)getpid(), VARVE_VERSION_STRING));
	return 0;
}

static void mended(void *arg, struct op *op)
{
	struct peer *peer = request_over(arg);
	if (op->result)
		log_line(peer->coordinator, "publishing what could not be published before: %s", op->text);
	peer->mended = !op->answered;
}

/* Publishes first what could not be published when it was committed. Whether the request has to wait for that. */
static bool mend_first(struct peer *peer)
{
	struct store *store = &peer->coordinator->store;
	bool needs = peer->request == WIRE_BEGIN || peer->request == WIRE_RESTORE || peer->request == WIRE_PERSIST ||
	             peer->request == WIRE_CHECKOUT || peer->request == WIRE_VERIFY;
	if (!store->unpublished || !needs || peer->mended || dispatch_changing(&peer->coordinator->dispatch))
		return false;
	struct op *op = op_mend(store);
	if (op)
		request_start(peer, op, mended);
	return op != NULL;
}

bool coordinator_leaves(const struct coordinator *c)
{
	return c->heir && !c->store.session.owner;
}

/* Answered at the very end (coordinator.c). */
static int do_leave(struct peer *peer)
{
	struct coordinator *c = peer->coordinator;
	if (c->options->foreground)
		request_refuse(
		    peer, fail(EALREADY, "%s: process %d (varve serve) has the store already; use it, or end it first",
		              c->options->path, (int)getpid()));
	else if (c->heir)
		request_refuse(
		    peer, fail(EALREADY, "%s: process %d is about to serve the store; use it, or end it first",
		              c->options->path, (int)c->heir->pid));
	else
		c->heir = peer;
	return 0;
}

/* Does the peer's request. 0; -EAGAIN: it has to wait for its turn; -EPROTO. */
static int perform(struct peer *peer, struct cursor *payload, int *fd)
{
	struct coordinator *c = peer->coordinator;
	if (peer->request == WIRE_LEAVE)
		return do_leave(peer);
	if (coordinator_leaves(c))
		return -EAGAIN;
	if (is_look(peer->request))
		return answer(peer, peer->request, payload) ? 0 : -EPROTO;
	if (c->settling ||
	    (needs_turn(peer->request) && peer->request != WIRE_HELLO && dispatch_changing(&c->dispatch)))
		return -EAGAIN;
	if (peer->op || mend_first(peer))
		return -EAGAIN;
	switch (peer->request) {
	case WIRE_HELLO:
		return do_hello(peer, payload);
	case WIRE_BEGIN:
		return do_begin(peer, payload);
	case WIRE_DEPLOY:
		return do_deploy(peer, payload);
	case WIRE_MODULE:
		return do_module(peer, payload);
	case WIRE_COMMIT:
		return do_commit(peer, payload);
	case WIRE_ABANDON:
		return do_abandon(peer);
	case WIRE_RESTORE:
		return do_restore(peer, payload);
	case WIRE_CHECKOUT:
		return do_checkout(peer, payload, fd);
	case WIRE_PERSIST:
		return do_persist(peer);
	case WIRE_OPTIMIZE:
		return do_optimize(peer);
	case WIRE_VERIFY:
		return do_verify(peer);
	default:
		return answer(peer, peer->request, payload) ? 0 : -EPROTO;
	}
}

/* Keeps what came for a later try. */
static void hold(struct peer *peer, struct wire_message *message, const struct cursor *payload)
{
	peer->waiting = true;
	peer->turn = ++peer->coordinator->turns;
	buf_put(&peer->held, payload->at, cursor_left(payload));
	peer->held_fd = message->fd;
	message->fd = -1;
	if (peer->held.bad)
		peer_close(peer);
}

/* One at a time, and nobody asks again who has not read the answer before: there may be a memfd in it, and of those that are
 * on their way the system gives a user no more than a process may have open. */
static void begin_request(struct peer *peer, struct wire_message *message)
{
	struct cursor payload = message->payload;
	if (peer->request || !message->serial || peer->greeted == (message->type == WIRE_HELLO) ||
	    (peer->greeted && sock_unread(peer->fd))) {
		peer_close(peer);
		return;
	}
	peer->request = message->type;
	peer->serial = message->serial;
	peer->deadline_ms = -1;
	peer->begun_ns = clock_now();
	peer->sign_ns = peer->begun_ns;
	struct cursor again = payload, peek = payload;
	peer->has_target = message->type == WIRE_RESTORE || message->type == WIRE_CHECKOUT;
	peer->dry = false;
	if (peer->has_target)
		wire_get_id(&peek, &peer->target);
	int r = perform(peer, &payload, &message->fd);
	if (r == -EAGAIN)
		hold(peer, message, &again);
	else if (r)
		peer_close(peer);
}

static void cancel(struct peer *peer, uint32_t serial)
{
	if (!peer->request || serial != peer->serial || peer->cancelled_ns)
		return;
	if (request_runs(peer)) {
		peer->cancelled_ns = clock_now();
		peer->op->cancelled = true;
		peer->coordinator->store.executor->kick(peer->coordinator->store.executor);
	} else if (peer->waiting) {
		if (peer->op)
			peer->op->answered = true;
		request_refuse(peer, fail(ECANCELED, "cancelled while it waited for its turn"));
	}
}

/* Whether the peer has waited long enough for the end of a restore that it has cancelled. What was written is taken back
 * without it: the operation goes on, and whatever needs a turn waits for its end. *@left: until then, milliseconds. */
static bool answer_cancelled(struct peer *peer, uint64_t now, int64_t *left)
{
	if (!peer->cancelled_ns || peer->request != WIRE_RESTORE)
		return false;
	if (now - peer->cancelled_ns < CANCEL_NS) {
		int64_t rest = (int64_t)((CANCEL_NS - (now - peer->cancelled_ns)) / 1000000) + 1;
		*left = rest < *left ? rest : *left;
		return false;
	}
	int r =
	    fail(EINPROGRESS, "the restore was cancelled; what it has written is being taken back, and whoever needs "
	                      "the modules next waits for that");
	peer->op->answered = true;
	report_request(peer, peer->op, -ECANCELED, err_text());
	request_refuse(peer, r);
	return true;
}

void request_handle(struct peer *peer, struct wire_message *message)
{
	if (message->type == WIRE_CANCEL) {
		cancel(peer, message->serial);
	} else if (message->type == WIRE_SHRUNK) {
		if (peer->shrinking && message->serial == peer->serial) {
			peer->shrinking = false;
			peer->shrunk = true;
			peer->coordinator->turn_over = true;
		}
	} else {
		begin_request(peer, message);
	}
}

/* The one that has waited longest of those behind turn @after. */
static struct peer *next_waiting(struct coordinator *c, uint64_t after)
{
	struct peer *first = NULL;
	for (struct peer *peer = c->peers; peer; peer = peer->next)
		if (peer->waiting && !peer->gone && peer->turn > after && (!first || peer->turn < first->turn))
			first = peer;
	return first;
}

void requests_retry(struct coordinator *c)
{
	struct peer *peer;
	c->turn_over = false;
	for (uint64_t turn = 0; (peer = next_waiting(c, turn)); turn = peer->turn) {
		struct cursor payload = cursor_over(peer->held.data, peer->held.size);
		int r = perform(peer, &payload, &peer->held_fd);
		if (r == -EAGAIN)
			continue;
		if (r)
			peer_close(peer);
		/* What was held is the reply's to release, unless an operation has begun. */
		peer->waiting = false;
	}
}

/* How far it is, or at least that there is somebody. Returns milliseconds until the next time. */
static int64_t send_sign(struct peer *peer, uint64_t now)
{
	bool restoring = request_runs(peer) && peer->request == WIRE_RESTORE;
	uint64_t every = restoring ? PROGRESS_NS : ALIVE_NS;
	struct buf out = {0};
	if (now - peer->sign_ns < every)
		return (int64_t)((every - (now - peer->sign_ns)) / 1000000) + 1;
	peer->sign_ns = now;
	if (restoring)
		wire_put_report(&out, op_restore_report(peer->op));
	peer_sign(peer, restoring ? WIRE_PROGRESS : WIRE_ALIVE, restoring ? &out : NULL);
	buf_free(&out);
	return (int64_t)every / 1000000;
}

/* Whether it waits for a session that is not this coordinator's: nobody says when that ends. */
static bool waits_for_strangers(const struct peer *peer)
{
	const struct coordinator *c = peer->coordinator;
	return peer->waiting && peer->request == WIRE_BEGIN && !c->store.session.owner && !coordinator_leaves(c) &&
	       !c->settling && !dispatch_changing(&c->dispatch);
}

int requests_tick(struct coordinator *c)
{
	uint64_t now = clock_now();
	int next = -1;
	for (struct peer *peer = c->peers; peer; peer = peer->next) {
		if (peer->gone || !peer->request)
			continue;
		int64_t left = send_sign(peer, now);
		if (answer_cancelled(peer, now, &left))
			continue;
		if (peer->waiting && peer->deadline_ms >= 0) {
			int64_t rest = peer->deadline_ms - (int64_t)(now / 1000000);
			if (rest <= 0) {
				request_refuse(peer, session_busy(&c->store));
				continue;
			}
			left = rest < left ? rest : left;
		}
		if (waits_for_strangers(peer)) {
			c->turn_over = true;
			left = left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS;
		}
		if (next < 0 || left < next)
			next = (int)left;
	}
	return next;
}
