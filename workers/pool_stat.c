/*
 * pool_stat.c - the pool's figures. What workers say of themselves is for show only: nothing is decided by it.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "cpu.h"
#include "pool_state.h"

static const char *job_name(uint32_t kind)
{
	switch ((enum job_kind)kind) {
	case JOB_NONE:
		return "";
	case JOB_RESTORE:
	case JOB_HASH_SHARD:
	case JOB_WRITE_SHARD:
		return "restore";
	case JOB_CHECKOUT:
		return "checkout";
	case JOB_COMMIT:
		return "commit";
	case JOB_PUBLISH:
		return "publish";
	case JOB_REPAIR:
		return "repair";
	case JOB_VERIFY:
		return "verify";
	case JOB_TIERS:
		return "tiers";
	case JOB_SYNC_FILES:
		return "sync";
	}
	return "";
}

/* Its job is the one in the slot that it says, if that one is posted: by the coordinator's own record. */
static void fill_job(const struct pool *pool, uint32_t slot, struct varve_worker_stat *stat)
{
	stat->job = "";
	if (slot >= RING_SLOTS || !pool->posted[slot].used)
		return;
	const struct job *job = ring_job(&pool->ring, slot);
	stat->job = job_name(job->kind);
	if (job->module < catalog_count(pool->setup.catalog))
		stat->module = catalog_module(pool->setup.catalog, job->module)->id;
}

static enum varve_worker_state state_of(const struct pool *pool, uint32_t index, bool busy)
{
	const struct place *place = &pool->places[index];
	if (!place->pid)
		return VARVE_WORKER_NONE;
	if (!place->serving)
		return VARVE_WORKER_STARTING;
	if (ring_retiring(&pool->ring, index))
		return VARVE_WORKER_ENDING;
	return busy ? VARVE_WORKER_BUSY : VARVE_WORKER_IDLE;
}

void pool_stat(const struct pool *pool, struct varve_worker_stat *stats)
{
	struct ring ring = pool->ring;
	uint64_t now = clock_now();

	for (uint32_t i = 0; i < pool->size; i++) {
		const struct place *place = &pool->places[i];
		struct worker_line *line = ring_worker(&ring, i);
		double age = (double)(now - place->started_ns), busy = (double)atomic_load(&line->busy_ns);
		double share = place->pid && age > 0 ? busy / age : 0;
		uint32_t slot = place->pid ? atomic_load(&line->slot) : UINT32_MAX;
		stats[i] = (struct varve_worker_stat) {
		    .pid = place->pid,
		    .busy = slot < RING_SLOTS,
		    .jobs = atomic_load(&line->jobs),
		    .bytes_read = atomic_load(&line->bytes_read),
		    .bytes_written = atomic_load(&line->bytes_written),
		    .busy_share = share < 1 ? share : 1,
		    .busy_seconds = place->pid ? (busy < age ? busy : age) / 1e9 : 0,
		    .restarts = place->restarts,
		    .state = state_of(pool, i, slot < RING_SLOTS),
		};
		fill_job(pool, slot, &stats[i]);
	}
}

unsigned pool_waiting(const struct pool *pool)
{
	uint64_t busy[RING_WORKERS / 64], oldest;
	unsigned waiting = ring_running(&pool->ring, busy, &oldest);
	return waiting < pool->in_flight ? waiting : pool->in_flight;
}

uint64_t pool_deaths(const struct pool *pool)
{
	uint64_t count = 0;
	for (unsigned i = 0; i < RING_WORKERS; i++)
		count += pool->places[i].restarts;
	return count;
}
