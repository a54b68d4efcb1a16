/*
 * requests_restore.c - restore, checkout, persist, verify, optimize.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "cpu.h"
#include "requests.h"

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
	struct peer *peer = request_over(arg);
	struct buf out = {0};
	peer->coordinator->background_due = true;
	if (op->answered) {
		if (op->result != -ECANCELED || peer->coordinator->store.unsettled)
			log_line(peer->coordinator, "taking back a restore that was cancelled: %s", op->text);
		return;
	}
	wire_put_report(&out, op_restore_report(op));
	put_sizes(peer, &out);
	request_answer(peer, op, &out, -1);
	buf_free(&out);
}

static int keep_ids(struct peer *peer)
{
	const struct session *session = &peer->coordinator->store.session;
	if (!request_has_session(peer) || peer->kept)
		return 0;
	peer->kept = calloc(session->count + 1, sizeof(*peer->kept));
	if (!peer->kept)
		return fail_sys(ENOMEM, "memory for a restore");
	for (uint32_t i = 0; i < session->count; i++)
		peer->kept[i] = session->modules[i].id;
	peer->kept_count = session->count;
	return 0;
}

/* Whether the client has to answer first. The operation does not begin before that: a client that is stopped, or does
 * not want to, then keeps nobody waiting but itself. */
static bool ask_to_shrink(struct peer *peer, struct op *op)
{
	const struct shrink *list;
	uint32_t count = op_restore_shrinks(op, &list);
	struct buf out = {0};
	if (!count || peer->shrunk)
		return false;
	buf_u32(&out, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_put_id(&out, &catalog_module(&peer->coordinator->store.catalog, list[i].module)->id);
		buf_u64(&out, list[i].size);
	}
	peer_send(peer, WIRE_SHRINK, peer->serial, &out, -1);
	buf_free(&out);
	peer->shrinking = true;
	return true;
}

int do_restore(struct peer *peer, struct cursor *payload)
{
	struct coordinator *c = peer->coordinator;
	struct varve_id id;
	wire_get_id(payload, &id);
	uint32_t workers = cursor_u32(payload);
	bool dry = wire_get_bool(payload);
	if (payload->bad)
		return -EPROTO;
	if (peer->shrinking)
		return -EAGAIN;
	uint32_t commit = history_find(&c->store.history, &id);
	int r = 0;
	if (commit == COMMIT_NONE)
		r = fail(ENOENT, "there is no commit with this id; see varve log");
	else if (c->store.read_only && !dry)
		r = fail(
		    EROFS, "the store can only be read: its file system is read-only, or its directory not writable");
	else if (c->store.session.owner && !request_has_session(peer) && !dry)
		r = fail(
		    EBUSY, "process %d has the session of this store; wait for its end", (int)c->store.session.pid);
	else if (workers > c->dispatch.workers)
		r = dispatch_resize(&c->dispatch, c->dispatch.setup.min, workers);
	if (!r)
		r = keep_ids(peer);
	struct op *op = r ? NULL : op_restore(&c->store, commit, workers, dry);
	if (!op) {
		request_refuse(peer, err_code());
		return 0;
	}
	if (ask_to_shrink(peer, op)) {
		op_free(op);
		return -EAGAIN;
	}
	op_restore_shrunk(op);
	op_restore_workers(op, c->dispatch.workers);
	peer->dry = dry;
	request_start(peer, op, restored);
	return 0;
}

/* ---- persist, checkout, verify ---------------------------------------------------------------------------------- */

static void made(void *arg, struct op *op)
{
	struct peer *peer = request_over(arg);
	request_answer(peer, op, NULL, -1);
}

int do_persist(struct peer *peer)
{
	request_start(peer, op_persist(&peer->coordinator->store), made);
	return 0;
}

int do_optimize(struct peer *peer)
{
	request_start(peer, op_tiers(&peer->coordinator->store, false), made);
	return 0;
}

static void checked_out(void *arg, struct op *op)
{
	struct peer *peer = request_over(arg);
	struct buf out = {0};
	buf_u64(&out, op_checkout_size(op));
	request_answer(peer, op, &out, -1);
	buf_free(&out);
}

static int check_fd(int fd)
{
	struct statx st;
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	/* The kernel knows its type: a file system that does not answer need not be asked. */
	if (flags < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0 ||
	    !S_ISREG(st.stx_mode) || (flags & O_ACCMODE) == O_RDONLY || (flags & O_APPEND))
		return fail(EBADF, "a checkout wants a regular file or memfd, open for writing and not for appending");
	return 0;
}

int do_checkout(struct peer *peer, struct cursor *payload, int *fd)
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
		request_refuse(peer, err_code());
		return 0;
	}
	*fd = -1;
	request_start(peer, op, checked_out);
	return 0;
}

static void on_found(void *arg, bool damage, const char *file, const char *problem)
{
	struct peer *peer = arg;
	struct buf out = {0};
	if (damage)
		report_damage(peer->coordinator, file, problem);
	buf_u8(&out, damage);
	wire_put_string(&out, file);
	wire_put_string(&out, problem);
	if (!out.bad)
		peer_send(peer, WIRE_FINDING, peer->serial, &out, -1);
	buf_free(&out);
}

static void verified(void *arg, struct op *op)
{
	struct peer *peer = request_over(arg);
	const struct varve_verify_report *report = op_verify_report(op);
	struct buf out = {0};
	buf_u64(&out, report->modules);
	buf_u64(&out, report->files);
	buf_u64(&out, report->bytes);
	buf_u64(&out, report->images);
	buf_u64(&out, report->damaged);
	request_answer(peer, op, &out, -1);
	buf_free(&out);
}

int do_verify(struct peer *peer)
{
	request_start(peer, op_verify(&peer->coordinator->store, on_found, peer), verified);
	return 0;
}
