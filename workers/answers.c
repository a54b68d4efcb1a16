/*
 * answers.c - requests that only look: log, info, resolve, stat, metrics; and workers. They take no jobs and are answered at once.
 */
#include <errno.h>
#include <string.h>

#include "coordinator.h"

static int answer_log(struct peer *peer, struct buf *out)
{
	const struct store *store = &peer->coordinator->store;
	return describe_log(store, 0, store->history.count, false, out);
}

static int answer_info(struct peer *peer, struct cursor *payload, struct buf *out)
{
	const struct store *store = &peer->coordinator->store;
	struct varve_id id;
	wire_get_id(payload, &id);
	if (payload->bad)
		return fail(EPROTO, "a request was cut short");
	uint32_t commit = history_find(&store->history, &id);
	if (commit == COMMIT_NONE)
		return fail(ENOENT, "there is no commit with this id; see varve log");
	return describe_log(store, commit, 1, true, out);
}

static int answer_resolve(struct peer *peer, struct cursor *payload, struct buf *out)
{
	const struct history *history = &peer->coordinator->store.history;
	uint32_t length, commit;
	char text[256];
	const char *name = wire_get_string(payload, &length);
	if (payload->bad || length >= sizeof(text))
		return fail(EINVAL, "this names no commit: it is too long");
	memcpy(text, name, length);
	text[length] = 0;
	int r = history_resolve(history, text, &commit);
	if (!r)
		wire_put_id(out, &history->commits[commit].id);
	return r;
}

/* Whether all that is set here ends when the peer's process goes. */
static bool is_passing(const struct peer *peer)
{
	const struct coordinator *c = peer->coordinator;
	for (const struct peer *other = c->peers; other; other = other->next)
		if (!other->gone && other->pid != peer->pid)
			return false;
	return !c->options->foreground;
}

/* What is not said stays as it is, unless it does not go with what is. */
static int answer_workers(struct peer *peer, struct cursor *payload, struct buf *out)
{
	struct dispatch *d = &peer->coordinator->dispatch;
	uint32_t min = cursor_u32(payload), most = cursor_u32(payload), idle_ms = cursor_u32(payload);
	if (payload->bad)
		return fail(EPROTO, "a request was cut short");
	bool changes = min != WIRE_AS_IS || most != WIRE_AS_IS || idle_ms != WIRE_AS_IS;
	if (most == WIRE_AS_IS)
		most = min != WIRE_AS_IS && min > d->workers ? min : d->workers;
	if (min == WIRE_AS_IS)
		min = d->setup.min < most ? d->setup.min : most;
	int r = dispatch_resize(d, min, most);
	if (r)
		return r;
	if (idle_ms != WIRE_AS_IS)
		dispatch_set_idle(d, idle_ms);
	if (changes)
		report_resize(peer);
	buf_u32(out, d->setup.min);
	buf_u32(out, d->workers);
	buf_u32(out, d->setup.idle_ms);
	buf_u32(out, d->pool ? pool_running(d->pool) : 0);
	buf_u8(out, is_passing(peer));
	return 0;
}

/* The first look starts all workers, to see that they can be, and what they read with. They end again when they have
 * idled for long enough; later looks wake nobody, so whoever watches a store does not keep it busy. */
static struct pool *pool_to_show(struct dispatch *d)
{
	struct pool *pool = dispatch_pool(d);
	if (!pool || d->shown)
		return pool;
	d->shown = true;
	if (pool_fill(pool) && !pool_running(pool))
		return NULL;
	return pool;
}

static int answer_stat(struct peer *peer, struct buf *out)
{
	struct coordinator *c = peer->coordinator;
	struct varve_stat stat;
	if (!pool_to_show(&c->dispatch))
		return -EAGAIN;
	int r = figures_take(c, &stat);
	if (!r)
		wire_put_stat(out, &stat);
	figures_drop(&stat);
	return r;
}

static int answer_metrics(struct peer *peer, struct buf *out)
{
	struct buf text = {0};
	int r = metrics_text(peer->coordinator, &text);
	buf_u8(&text, 0);
	if (!r && text.bad)
		r = fail_sys(ENOMEM, "the figures");
	if (!r)
		wire_put_string(out, (const char *)text.data);
	buf_free(&text);
	return r;
}

bool answer(struct peer *peer, enum wire_type type, struct cursor *payload)
{
	struct buf out = {0};
	int r;
	switch (type) {
	case WIRE_LOG:
		r = answer_log(peer, &out);
		break;
	case WIRE_INFO:
		r = answer_info(peer, payload, &out);
		break;
	case WIRE_RESOLVE:
		r = answer_resolve(peer, payload, &out);
		break;
	case WIRE_STAT:
		r = answer_stat(peer, &out);
		break;
	case WIRE_METRICS:
		r = answer_metrics(peer, &out);
		break;
	case WIRE_WORKERS:
		r = answer_workers(peer, payload, &out);
		break;
	default:
		return false;
	}
	if (!r && out.bad)
		r = fail_sys(ENOMEM, "memory for an answer");
	if (r)
		peer_reply_error(peer, r, err_text());
	else
		peer_reply(peer, &out, -1);
	buf_free(&out);
	return true;
}
