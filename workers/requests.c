/*
 * requests.c - requests of clients that take their turn, or take jobs.
 *
 * Those that change the store run one after another: while one is under way the others are held, payload and all, and
 * tried again in the order in which they came. So an operation always starts from a store that nobody is changing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator.h"
#include "cpu.h"
#include "names.h"

#define PROGRESS_NS 50000000u

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void start(struct peer *peer, struct op *op, void (*complete)(void *arg, struct op *op))
{
	struct coordinator *c = peer->coordinator;
	op->complete = complete;
	op->arg = peer;
	peer->op = op;
	c->store.executor->start(c->store.executor, op);
}

/* Common to all ends: the peer's operation is over, others get their turn. */
static struct peer *op_over(void *arg)
{
	struct peer *peer = arg;
	peer->op = NULL;
	peer->coordinator->turn_over = true;
	return peer;
}

static void reply_result(struct peer *peer, const struct op *op, const struct buf *payload, int pass)
{
	if (op->result)
		peer_reply_error(peer, op->result, op->text);
	else
		peer_reply(peer, payload, pass);
}

static void refuse(struct peer *peer, int result)
{
	peer_reply_error(peer, result, err_text());
}

/* ---- session ---------------------------------------------------------------------------------------------------- */

static bool has_session(const struct peer *peer)
{
	return peer->coordinator->store.session.owner == peer && !peer->coordinator->session_ending;
}

static int need_session(const struct peer *peer)
{
	return has_session(peer) ? 0 : fail(EPERM, "this client has no session");
}

static void begun(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	if (op->result)
		log_line(peer->coordinator, "bringing backing files to the current commit: %s", op->text);
	peer_reply(peer, NULL, peer->coordinator->store.session.lock);
}

static int do_begin(struct peer *peer, struct cursor *payload)
{
	struct coordinator *c = peer->coordinator;
	int32_t wait_ms = (int32_t)cursor_u32(payload);
	if (payload->bad)
		return -EPROTO;
	int r = session_begin(&c->store, peer, peer->pid);
	if (r == -EBUSY && wait_ms) {
		if (!peer->waiting)
			peer->deadline_ms = wait_ms < 0 ? -1 : (int64_t)(clock_now() / 1000000) + wait_ms;
		return -EAGAIN;
	}
	if (r) {
		refuse(peer, r);
		return 0;
	}
	struct op *op = c->store.unsettled ? op_settle(&c->store, OP_SETTLE_ALL) : NULL;
	if (op)
		start(peer, op, begun);
	else
		peer_reply(peer, NULL, c->store.session.lock);
	return 0;
}

static void reply_file(struct peer *peer, int fd, uint64_t size)
{
	struct buf out = {0};
	buf_u64(&out, size);
	peer_reply(peer, &out, fd);
	buf_free(&out);
	close(fd);
}

static int do_deploy(struct peer *peer, struct cursor *payload)
{
	struct varve_id id;
	wire_get_id(payload, &id);
	uint64_t size = cursor_u64(payload);
	if (payload->bad)
		return -EPROTO;
	int r = need_session(peer);
	if (!r && size > (uint64_t)1 << 46)
		r = fail(EFBIG, "a module of %llu bytes is larger than any can be", (unsigned long long)size);
	if (!r)
		r = session_deploy(&peer->coordinator->store, &id, size);
	if (r < 0)
		refuse(peer, r);
	else
		reply_file(peer, r, size);
	return 0;
}

static void map_and_reply(struct peer *peer, const struct varve_id *id)
{
	uint64_t size;
	int fd = session_map(&peer->coordinator->store, id, &size);
	if (fd < 0)
		refuse(peer, fd);
	else
		reply_file(peer, fd, size);
}

static void module_settled(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	if (op->result)
		peer_reply_error(peer, op->result, op->text);
	else
		map_and_reply(peer, &peer->module);
}

static int do_module(struct peer *peer, struct cursor *payload)
{
	struct store *store = &peer->coordinator->store;
	uint32_t module;
	wire_get_id(payload, &peer->module);
	if (payload->bad)
		return -EPROTO;
	int r = need_session(peer);
	if (!r)
		r = session_ready(store, &peer->module, &module);
	struct op *op = NULL;
	if (r == 0) {
		op = op_settle(store, module);
		r = op ? 0 : -EIO;
	}
	if (r < 0)
		refuse(peer, r);
	else if (op)
		start(peer, op, module_settled);
	else
		map_and_reply(peer, &peer->module);
	return 0;
}

/* ---- commit ----------------------------------------------------------------------------------------------------- */

static void committed(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	struct varve_id id;
	struct buf out = {0};
	op_commit_id(op, &id);
	wire_put_id(&out, &id);
	peer->coordinator->background_due = true;
	reply_result(peer, op, &out, -1);
	buf_free(&out);
}

static int do_commit(struct peer *peer, struct cursor *payload)
{
	struct store *store = &peer->coordinator->store;
	struct varve_id id;
	uint32_t length;
	bool has_id = wire_get_bool(payload);
	wire_get_id(payload, &id);
	const char *label = wire_get_string(payload, &length);
	uint32_t count = cursor_u32(payload);
	const struct varve_module_id *ids =
	    (const void *)cursor_take(payload, (size_t)count * sizeof(struct varve_module_id));
	if (payload->bad || length > 4096)
		return -EPROTO;
	int r = need_session(peer);
	char *text = r ? NULL : strndup(length ? label : "", length);
	struct op *op = text ? op_commit(store, has_id ? &id : NULL, text, ids, count) : NULL;
	free(text);
	if (op)
		start(peer, op, committed);
	else
		refuse(peer, r ? r : -ENOMEM);
	return 0;
}

/* ---- the end of a session --------------------------------------------------------------------------------------- */

static void session_over(struct coordinator *c)
{
	c->session_ending = false;
	session_end(&c->store);
	c->turn_over = true;
}

static void abandoned(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	session_over(peer->coordinator);
	if (op->result)
		log_line(peer->coordinator, "bringing back a session's modules: %s", op->text);
	if (peer->request)
		reply_result(peer, op, NULL, -1);
}

/* Brings back what the peer's session has changed; it ends when that is done. */
static void end_session(struct peer *peer)
{
	struct coordinator *c = peer->coordinator;
	session_undeploy(&c->store);
	struct op *op = op_settle(&c->store, OP_SETTLE_SESSION);
	if (op) {
		c->session_ending = true;
		start(peer, op, abandoned);
		return;
	}
	c->store.unsettled = true;
	session_over(c);
	if (peer->request)
		refuse(peer, -ENOMEM);
}

static int do_abandon(struct peer *peer)
{
	int r = need_session(peer);
	if (r)
		refuse(peer, r);
	else
		end_session(peer);
	return 0;
}

void request_peer_gone(struct peer *peer)
{
	if (peer->op) {
		peer->op->cancelled = true;
		op_restore_shrunk(peer->op); /* a process that is gone maps nothing */
		peer->coordinator->store.executor->kick(peer->coordinator->store.executor);
	} else if (has_session(peer)) {
		end_session(peer);
	}
}

/* ---- restore ---------------------------------------------------------------------------------------------------- */

/* What the session's memories are now: still part of the commit, and how long. */
static void put_sizes(struct peer *peer, struct buf *out)
{
	struct store *store = &peer->coordinator->store;
	buf_u32(out, peer->kept_count);
	for (uint32_t i = 0; i < peer->kept_count; i++) {
		const struct session_module *m = session_find(store, &peer->kept[i]);
		wire_put_id(out, &peer->kept[i]);
		buf_u8(out, m != NULL);
		buf_u64(out, m ? chain_entry(&store->catalog, m->module, m->basis)->size : 0);
	}
}

static void restored(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	struct buf out = {0};
	peer->coordinator->background_due = true;
	wire_put_report(&out, op_restore_report(op));
	put_sizes(peer, &out);
	reply_result(peer, op, &out, -1);
	buf_free(&out);
}

static int keep_ids(struct peer *peer)
{
	const struct session *session = &peer->coordinator->store.session;
	if (!has_session(peer))
		return 0;
	peer->kept = calloc(session->count + 1, sizeof(*peer->kept));
	if (!peer->kept)
		return fail_sys(ENOMEM, "memory for a restore");
	for (uint32_t i = 0; i < session->count; i++)
		peer->kept[i] = session->modules[i].id;
	peer->kept_count = session->count;
	return 0;
}

static void ask_to_shrink(struct peer *peer, struct op *op)
{
	const struct shrink *list;
	uint32_t count = op_restore_shrinks(op, &list);
	struct buf out = {0};
	if (!count)
		return;
	buf_u32(&out, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_put_id(&out, &catalog_module(&peer->coordinator->store.catalog, list[i].module)->id);
		buf_u64(&out, list[i].size);
	}
	peer_send(peer, WIRE_SHRINK, peer->serial, &out, -1);
	buf_free(&out);
}

static int do_restore(struct peer *peer, struct cursor *payload)
{
	struct coordinator *c = peer->coordinator;
	struct varve_id id;
	wire_get_id(payload, &id);
	uint32_t workers = cursor_u32(payload);
	bool dry = wire_get_bool(payload);
	if (payload->bad)
		return -EPROTO;
	uint32_t commit = history_find(&c->store.history, &id);
	int r = 0;
	if (commit == COMMIT_NONE)
		r = fail(ENOENT, "there is no commit with this id; see varve log");
	else if (c->store.read_only && !dry)
		r = fail(
		    EROFS, "the store can only be read: its file system is read-only, or its directory not writable");
	else if (c->store.session.owner && !has_session(peer) && !dry)
		r = fail(
		    EBUSY, "process %d has the session of this store; wait for its end", (int)c->store.session.pid);
	else if (workers > c->dispatch.workers)
		r = dispatch_resize(&c->dispatch, workers);
	if (!r)
		r = keep_ids(peer);
	struct op *op = r ? NULL : op_restore(&c->store, commit, workers, dry);
	if (!op) {
		refuse(peer, r ? r : -EBUSY);
		return 0;
	}
	op_restore_workers(op, c->dispatch.workers);
	peer->progress_ns = clock_now();
	start(peer, op, restored);
	ask_to_shrink(peer, op);
	return 0;
}

/* ---- persist, checkout, verify ---------------------------------------------------------------------------------- */

static void persisted(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	reply_result(peer, op, NULL, -1);
}

static int do_persist(struct peer *peer)
{
	struct op *op = op_persist(&peer->coordinator->store);
	if (op)
		start(peer, op, persisted);
	else
		refuse(peer, -ENOMEM);
	return 0;
}

static void optimized(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	reply_result(peer, op, NULL, -1);
}

static int do_optimize(struct peer *peer)
{
	struct op *op = op_tiers(&peer->coordinator->store, false);
	if (op)
		start(peer, op, optimized);
	else
		refuse(peer, -ENOMEM);
	return 0;
}

static void checked_out(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	struct buf out = {0};
	buf_u64(&out, op_checkout_size(op));
	reply_result(peer, op, &out, -1);
	buf_free(&out);
}

static int check_fd(int fd)
{
	struct stat st;
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (flags & O_ACCMODE) == O_RDONLY ||
	    (flags & O_APPEND))
		return fail(EBADF, "a checkout wants a regular file or memfd, open for writing and not for appending");
	return 0;
}

static int do_checkout(struct peer *peer, struct cursor *payload, int *fd)
{
	struct store *store = &peer->coordinator->store;
	struct varve_id id, module;
	wire_get_id(payload, &id);
	wire_get_id(payload, &module);
	if (payload->bad)
		return -EPROTO;
	int r = check_fd(*fd);
	uint32_t commit = history_find(&store->history, &id), m = history_module(&store->history, &module);
	uint32_t entry = CHAIN_NONE;
	if (!r && commit == COMMIT_NONE)
		r = fail(ENOENT, "there is no commit with this id; see varve log");
	if (!r && m != MODULE_NONE)
		entry = history_standing(&store->history, commit, m);
	if (!r && entry == CHAIN_NONE)
		r = fail(ENOENT, "the commit has no such module; see varve show");
	struct op *op = r ? NULL : op_checkout(store, m, entry, *fd);
	if (!op) {
		refuse(peer, r ? r : -ENOMEM);
		return 0;
	}
	*fd = -1;
	start(peer, op, checked_out);
	return 0;
}

static void on_found(void *arg, bool damage, const char *file, const char *problem)
{
	struct peer *peer = arg;
	struct buf out = {0};
	buf_u8(&out, damage);
	wire_put_string(&out, file);
	wire_put_string(&out, problem);
	if (!out.bad)
		peer_send(peer, WIRE_FINDING, peer->serial, &out, -1);
	buf_free(&out);
}

static void verified(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	const struct varve_verify_report *report = op_verify_report(op);
	struct buf out = {0};
	buf_u64(&out, report->modules);
	buf_u64(&out, report->files);
	buf_u64(&out, report->bytes);
	buf_u64(&out, report->images);
	buf_u64(&out, report->damaged);
	reply_result(peer, op, &out, -1);
	buf_free(&out);
}

static int do_verify(struct peer *peer)
{
	struct op *op = op_verify(&peer->coordinator->store, on_found, peer);
	if (op)
		start(peer, op, verified);
	else
		refuse(peer, -ENOMEM);
	return 0;
}

/* ---- taking turns ----------------------------------------------------------------------------------------------- */

static bool needs_turn(enum wire_type type)
{
	return type != WIRE_CHECKOUT && type != WIRE_VERIFY && type != WIRE_OPTIMIZE;
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
	refuse(peer, fail(EPROTONOSUPPORT,
	                 "the library is version %.*s, the store's running coordinator (process %d) version %s: end "
	                 "the programs that "
	                 "have the store open, then open it again",
	                 length < 32 ? (int)length : 32, version, (int)getpid(), VARVE_VERSION_STRING));
	return 0;
}

static void mended(void *arg, struct op *op)
{
	struct peer *peer = op_over(arg);
	if (op->result)
		log_line(peer->coordinator, "publishing what could not be published before: %s", op->text);
	peer->mended = true;
	if (op->cancelled && peer->waiting)
		refuse(peer, fail(ECANCELED, "cancelled while it waited for its turn"));
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
		start(peer, op, mended);
	return op != NULL;
}

/* Does the peer's request. 0; -EAGAIN: it has to wait for its turn; -EPROTO. */
static int perform(struct peer *peer, struct cursor *payload, int *fd)
{
	struct coordinator *c = peer->coordinator;
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

static void begin_request(struct peer *peer, struct wire_message *message)
{
	struct cursor payload = message->payload;
	if (peer->request || !message->serial || peer->greeted == (message->type == WIRE_HELLO)) {
		peer_close(peer);
		return;
	}
	peer->request = message->type;
	peer->serial = message->serial;
	peer->deadline_ms = -1;
	struct cursor again = payload;
	int r = perform(peer, &payload, &message->fd);
	if (r == -EAGAIN)
		hold(peer, message, &again);
	else if (r)
		peer_close(peer);
}

static void cancel(struct peer *peer, uint32_t serial)
{
	if (!peer->request || serial != peer->serial)
		return;
	if (peer->op) {
		peer->op->cancelled = true;
		peer->coordinator->store.executor->kick(peer->coordinator->store.executor);
	} else if (peer->waiting) {
		refuse(peer, fail(ECANCELED, "cancelled while it waited for its turn"));
	}
}

void request_handle(struct peer *peer, struct wire_message *message)
{
	if (message->type == WIRE_CANCEL) {
		cancel(peer, message->serial);
	} else if (message->type == WIRE_SHRUNK) {
		if (peer->op && peer->request == WIRE_RESTORE && message->serial == peer->serial) {
			op_restore_shrunk(peer->op);
			peer->coordinator->store.executor->kick(peer->coordinator->store.executor);
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

static void send_progress(struct peer *peer)
{
	struct buf out = {0};
	wire_put_report(&out, op_restore_report(peer->op));
	peer_send(peer, WIRE_PROGRESS, peer->serial, &out, -1);
	buf_free(&out);
}

int requests_tick(struct coordinator *c)
{
	uint64_t now = clock_now();
	int next = -1;
	for (struct peer *peer = c->peers; peer; peer = peer->next) {
		int64_t left = -1;
		if (peer->gone)
			continue;
		if (peer->waiting && peer->deadline_ms >= 0) {
			left = peer->deadline_ms - (int64_t)(now / 1000000);
			if (left <= 0) {
				refuse(peer, fail(EBUSY, "process %d still has the session of this store",
				                 (int)c->store.session.pid));
				left = -1;
			}
		} else if (peer->op && peer->request == WIRE_RESTORE) {
			left = PROGRESS_NS / 1000000;
			if (now - peer->progress_ns >= PROGRESS_NS) {
				peer->progress_ns = now;
				send_progress(peer);
			}
		}
		if (left >= 0 && (next < 0 || left < next))
			next = (int)left;
	}
	return next;
}
