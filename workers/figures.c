/*
 * figures.c - taking stock.
 *
 * Looking is not to be felt: whoever looks once a second at a store of a million modules must not take the coordinator
 * from those who work. All but the disk is in memory; files are asked for again (disk.h says which) only as often as that
 * takes a 20th of the coordinator's time.
 */
#include "figures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordinator.h"
#include "cpu.h"

/** A look at the disk that takes less than that is made every time. */
#define CHEAP_NS 2000000u
#define LOOK_SHARE 20u

void figures_note(struct figures *figures, enum wire_type request, uint64_t ns, int result)
{
	struct latency *latency = request == WIRE_RESTORE    ? &figures->restores
	                          : request == WIRE_CHECKOUT ? &figures->checkouts
	                          : request == WIRE_COMMIT   ? &figures->commits
	                                                     : NULL;
	if (result == -EBADMSG)
		figures->damage++;
	if (!latency)
		return;
	if (result)
		latency->failed++;
	else
		latency_note(latency, ns);
}

static int look_at_disk(struct coordinator *c)
{
	struct figures *f = &c->figures;
	uint64_t now = clock_now();
	if (f->looked_ns && f->look_cost_ns > CHEAP_NS && now - f->looked_ns < LOOK_SHARE * f->look_cost_ns)
		return 0;
	int r = disk_look(&f->disk, &c->store);
	if (r)
		return r;
	f->looked_ns = clock_now();
	f->look_cost_ns = f->looked_ns - now;
	return 0;
}

/* What a worker would say, tried here, once. */
static void look_at_io(struct coordinator *c)
{
	struct figures *f = &c->figures;
	struct reader *reader;
	if (f->io_name[0] || reader_open(c->dispatch.setup.method, 1, &reader))
		return;
	snprintf(f->io_name, sizeof(f->io_name), "%s", reader_name(reader));
	snprintf(f->io_reason, sizeof(f->io_reason), "%s", reader_reason(reader));
	reader_close(reader);
}

static void fill_io(struct coordinator *c, struct varve_stat *stat)
{
	const struct pool *pool = c->dispatch.pool;
	if (pool && pool_reader_name(pool)[0]) {
		stat->io_method = pool_reader_name(pool);
		stat->io_reason = pool_reader_reason(pool);
		return;
	}
	look_at_io(c);
	stat->io_method = c->figures.io_name;
	stat->io_reason = c->figures.io_reason;
}

static void fill_sandbox(struct coordinator *c, struct varve_stat *stat)
{
	const struct pool *pool = c->dispatch.pool;
	struct sandbox_result *foreseen = &c->figures.sandbox;
	if (pool && pool_sandbox(pool)[0]) {
		stat->sandbox = pool_sandbox(pool);
		stat->sandbox_reason = pool_sandbox_reason(pool);
		return;
	}
	if (!foreseen->state)
		sandbox_foresee(c->dispatch.setup.sandbox, foreseen);
	stat->sandbox = foreseen->state;
	stat->sandbox_reason = foreseen->reason;
}

static int fill_workers(const struct pool *pool, size_t places, const struct varve_worker_stat **list, size_t *count)
{
	struct varve_worker_stat *stats = calloc(places + 1, sizeof(*stats));
	if (!stats)
		return fail_sys(ENOMEM, "the status");
	if (pool)
		pool_stat(pool, stats);
	for (size_t i = 0; !pool && i < places; i++)
		stats[i].job = "";
	*list = stats;
	*count = places;
	return 0;
}

static void fill_queue(const struct dispatch *d, struct varve_stat *stat)
{
	const struct pool *pools[] = {d->pool, d->background};
	for (unsigned i = 0; i < 2; i++) {
		if (!pools[i])
			continue;
		unsigned waiting = pool_waiting(pools[i]), all = pool_in_flight(pools[i]);
		stat->jobs_waiting += waiting;
		stat->jobs_running += all > waiting ? all - waiting : 0;
		stat->worker_deaths += pool_deaths(pools[i]);
	}
}

static void fill_store(struct coordinator *c, struct varve_stat *stat)
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
	    .sandbox = "",
	    .sandbox_reason = "",
	    .restores = store->restores,
	    .checkouts = store->checkouts,
	    .commits_made = store->commits,
	    .jobs = dispatch_jobs(&c->dispatch),
	    .damage_found = c->figures.damage,
	    .restore_latency = latency_describe(&c->figures.restores),
	    .checkout_latency = latency_describe(&c->figures.checkouts),
	    .commit_latency = latency_describe(&c->figures.commits),
	};
	if (stat->has_current)
		stat->current = store->history.commits[store->history.current].id;
}

int figures_take(struct coordinator *c, struct varve_stat *stat)
{
	const struct dispatch *d = &c->dispatch;
	struct varve_operation_stat *operations = NULL;
	fill_store(c, stat);
	fill_io(c, stat);
	fill_sandbox(c, stat);
	fill_queue(d, stat);
	int r = fill_workers(d->pool, d->pool ? pool_size(d->pool) : d->workers, &stat->workers, &stat->workers_count);
	if (!r)
		r = fill_workers(d->background, d->background ? pool_size(d->background) : 0, &stat->background,
		    &stat->background_count);
	if (!r)
		r = look_at_disk(c);
	stat->modules = c->figures.disk.modules;
	stat->modules_count = c->figures.disk.modules_count;
	stat->disk_bytes = c->figures.disk.total_bytes;
	stat->backing_bytes = c->figures.disk.backing_bytes;
	stat->history_bytes = c->figures.disk.history_bytes;
	if (!r)
		r = operations_list(c, &operations, &stat->operations_count);
	stat->operations = operations;
	return r;
}

void figures_drop(struct varve_stat *stat)
{
	free((void *)(uintptr_t)stat->workers);
	free((void *)(uintptr_t)stat->background);
	free((void *)(uintptr_t)stat->operations);
}

void figures_close(struct figures *figures)
{
	disk_free(&figures->disk);
}
