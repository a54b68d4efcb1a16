/*
 * answers.c - requests that only look: log, info, resolve, stat, workers. They take no jobs and are answered at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator.h"
#include "cpu.h"

#define READER_WAIT_NS 500000000u

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

/* What is not said stays as it is, unless it does not go with what is. */
static int answer_workers(struct peer *peer, struct cursor *payload, struct buf *out)
{
	struct dispatch *d = &peer->coordinator->dispatch;
	uint32_t min = cursor_u32(payload), most = cursor_u32(payload), idle_ms = cursor_u32(payload);
	if (payload->bad)
		return fail(EPROTO, "a request was cut short");
	if (most == WIRE_AS_IS)
		most = min != WIRE_AS_IS && min > d->workers ? min : d->workers;
	if (min == WIRE_AS_IS)
		min = d->setup.min < most ? d->setup.min : most;
	int r = dispatch_resize(d, min, most);
	if (r)
		return r;
	if (idle_ms != WIRE_AS_IS)
		dispatch_set_idle(d, idle_ms);
	buf_u32(out, d->setup.min);
	buf_u32(out, d->workers);
	buf_u32(out, d->setup.idle_ms);
	buf_u32(out, d->pool ? pool_running(d->pool) : 0);
	return 0;
}

static void fill_stat(struct coordinator *c, struct varve_stat *stat)
{
	const struct store *store = &c->store;
	*stat = (struct varve_stat) {
	    .store = store->path,
	    .commits = store->history.count,
	    .persisted = store->journal.persisted,
	    .has_current = store->history.current != COMMIT_NONE,
	    .coordinator_pid = getpid(),
	    .uptime = (double)(clock_now() - c->started_ns) / 1e9,
	    .clients = c->peers_count,
	    .session_pid = store->session.owner ? store->session.pid : 0,
	    .io_method = "",
	    .io_reason = "",
	    .restores = store->restores,
	    .checkouts = store->checkouts,
	    .commits_made = store->commits,
	    .jobs = dispatch_jobs(&c->dispatch),
	};
	if (stat->has_current)
		stat->current = store->history.commits[store->history.current].id;
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

/* Workers that were started just now have not said yet what they read with. */
static void wait_for_reader(struct pool *pool)
{
	for (uint64_t until = clock_now() + READER_WAIT_NS; !pool_reader_name(pool)[0] && clock_now() < until;) {
		usleep(200);
		pool_dispatch(pool);
	}
}

static int answer_stat(struct peer *peer, struct buf *out)
{
	struct coordinator *c = peer->coordinator;
	struct varve_stat stat;
	struct pool *pool = pool_to_show(&c->dispatch);
	if (!pool)
		return -EAGAIN;
	wait_for_reader(pool);
	fill_stat(c, &stat);
	stat.io_method = pool_reader_name(pool);
	stat.io_reason = pool_reader_reason(pool);
	stat.workers_count = pool_size(pool);
	struct varve_worker_stat *workers = calloc(stat.workers_count + 1, sizeof(*workers));
	struct varve_module_stat *modules = NULL;
	int r = workers ? describe_modules(&c->store, &modules, &stat.modules_count) : fail_sys(ENOMEM, "the status");
	if (!r) {
		pool_stat(pool, workers);
		stat.workers = workers;
		stat.modules = modules;
		wire_put_stat(out, &stat);
	}
	free(workers);
	free(modules);
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
