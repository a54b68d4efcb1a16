/*
 * requests_session.c - a client's session: begin, deploy, instantiate, commit, abandon; and its end where the client goes.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu.h"
#include "requests.h"

/* ---- session ---------------------------------------------------------------------------------------------------- */

bool request_has_session(const struct peer *peer)
{
	return peer->coordinator->store.session.owner == peer && !peer->coordinator->session_ending;
}

static int need_session(const struct peer *peer)
{
	return request_has_session(peer) ? 0 : fail(EPERM, "this client has no session");
}

static void begun(void *arg, struct op *op)
{
	struct peer *peer = request_over(arg);
	if (op->result)
		log_line(peer->coordinator, "bringing backing files to the current commit: %s", op->text);
	peer_reply(peer, NULL, peer->coordinator->store.session.lock);
}

int do_begin(struct peer *peer, struct cursor *payload)
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
		request_refuse(peer, r);
		return 0;
	}
	struct op *op = c->store.unsettled ? op_settle(&c->store, OP_SETTLE_ALL) : NULL;
	if (op)
		request_start(peer, op, begun);
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

int do_deploy(struct peer *peer, struct cursor *payload)
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
		request_refuse(peer, r);
	else
		reply_file(peer, r, size);
	return 0;
}

static void map_and_reply(struct peer *peer, const struct varve_id *id)
{
	uint64_t size;
	int fd = session_map(&peer->coordinator->store, id, &size);
	if (fd < 0)
		request_refuse(peer, fd);
	else
		reply_file(peer, fd, size);
}

static void module_settled(void *arg, struct op *op)
{
	struct peer *peer = request_over(arg);
	if (op->result)
		peer_reply_error(peer, op->result, op->text);
	else
		map_and_reply(peer, &peer->module);
}

int do_module(struct peer *peer, struct cursor *payload)
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
		r = op ? 0 : err_code();
	}
	if (r < 0)
		request_refuse(peer, r);
	else if (op)
		request_start(peer, op, module_settled);
	else
		map_and_reply(peer, &peer->module);
	return 0;
}

/* ---- commit ----------------------------------------------------------------------------------------------------- */

static void committed(void *arg, struct op *op)
{
	struct peer *peer = request_over(arg);
	struct varve_id id;
	struct buf out = {0};
	op_commit_id(op, &id);
	wire_put_id(&out, &id);
	peer->coordinator->background_due = true;
	request_answer(peer, op, &out, -1);
	buf_free(&out);
}

int do_commit(struct peer *peer, struct cursor *payload)
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
	if (!r && !text)
		r = fail_sys(ENOMEM, "memory for a commit");
	struct op *op = text ? op_commit(store, has_id ? &id : NULL, text, ids, count) : NULL;
	free(text);
	request_start(peer, op, committed);
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
	struct peer *peer = request_over(arg);
	session_over(peer->coordinator);
	if (op->result)
		log_line(peer->coordinator, "bringing back a session's modules: %s", op->text);
	if (peer->request)
		request_answer(peer, op, NULL, -1);
}

/* Brings back what the peer's session has changed; it ends when that is done. */
static void end_session(struct peer *peer)
{
	struct coordinator *c = peer->coordinator;
	session_undeploy(&c->store);
	struct op *op = op_settle(&c->store, OP_SETTLE_SESSION);
	if (op) {
		c->session_ending = true;
		request_start(peer, op, abandoned);
		return;
	}
	c->store.unsettled = true;
	session_over(c);
	if (peer->request)
		request_refuse(peer, err_code());
}

int do_abandon(struct peer *peer)
{
	int r = need_session(peer);
	if (r)
		request_refuse(peer, r);
	else
		end_session(peer);
	return 0;
}

void request_peer_gone(struct peer *peer)
{
	if (peer->coordinator->heir == peer) {
		peer->coordinator->heir = NULL;
		peer->coordinator->turn_over = true;
	}
	if (peer->op) {
		/* Once: whoever kicks the executor each time he looks keeps it from looking at anything else. */
		if (peer->op->cancelled)
			return;
		peer->op->cancelled = true;
		op_restore_shrunk(peer->op); /* a process that is gone maps nothing */
		peer->coordinator->store.executor->kick(peer->coordinator->store.executor);
	} else if (request_has_session(peer)) {
		end_session(peer);
	}
}
