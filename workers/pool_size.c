/*
 * pool_size.c - how many workers a pool has: between a minimum and a maximum it follows its work.
 *
 * A worker more is started when a job is posted and all others have one (size_grow), those that nobody has needed for the
 * idle time-out end (size_shrink), and both limits can be changed while jobs run (pool_resize). How many may still be
 * started now is rationed (size_refill): see supervise.c, which keeps up the number that is wanted.
 */
#include <errno.h>
#include <stdio.h>

#include "cpu.h"
#include "pool_state.h"

#define SPIN_NS 20000u

void size_spin(struct pool *pool)
{
	uint64_t spin_ns = pool->setup.spin_ns;

	/* Only where there is a CPU for each worker, the coordinator and the VM: one that spins in another's way costs more
	 * than the sleep that it saves (README.md, "Spin or sleep"). */
	if (spin_ns == 0)
		spin_ns = pool->size + 2 <= cpu_available() ? SPIN_NS : 0;
	else if (spin_ns == POOL_SPIN_NEVER)
		spin_ns = 0;
	ring_set_spin(&pool->ring, spin_ns);
}

void size_target(struct pool *pool, unsigned target)
{
	for (uint32_t i = 0; i < RING_WORKERS; i++)
		if (pool->places[i].pid)
			ring_retire(&pool->ring, i, i >= target);
	pool->target = target;
}

/** size_refill() - as many starts a second as there can be workers. */
void size_refill(struct pool *pool)
{
	unsigned most = 2 * pool->size + 8;
	uint64_t now = clock_now();
	uint64_t passed = now - pool->refilled_ns;

	/* A pool without work is not ticked: what an hour is worth must not overflow. */
	pool->refilled_ns = now;
	pool->refill += (pool->size + 1) * (passed < TICK_WORTH_NS ? passed : TICK_WORTH_NS);
	pool->allowance += (unsigned)(pool->refill / 1000000000u);
	pool->refill %= 1000000000u;
	if (pool->allowance > most)
		pool->allowance = most;
}

/** fill_places() - start what is missing up to @target. @ration: only as many as may be started now; -EBUSY: that is why
 * there are no more. */
static int fill_places(struct pool *pool, unsigned target, bool ration)
{
	for (uint32_t i = 0; i < target; i++) {
		if (pool->places[i].pid || pool->purging)
			continue;
		if (ration && pool->allowance == 0)
			return fail(EBUSY, "%s", pool->start_problem[0] ? pool->start_problem : "too many died");
		pool->allowance -= ration;
		int err = place_start(pool, i);
		if (err < 0)
			return err;
	}
	return 0;
}

int size_grow(struct pool *pool, unsigned target)
{
	unsigned before = pool->target;

	size_refill(pool);
	size_target(pool, target);
	int err = fill_places(pool, target, true);
	if (err == 0)
		return 0;
	unsigned there = before;
	while (there < target && pool->places[there].pid)
		there++;
	size_target(pool, there);
	if (err != -EBUSY)
		place_failed(pool);
	else if (!pool->start_problem[0])
		snprintf(pool->start_problem, sizeof(pool->start_problem), "%s", err_text());
	return err;
}

int pool_fill(struct pool *pool)
{
	return pool->target < pool->size ? size_grow(pool, pool->size) : 0;
}

static void set_limits(struct pool *pool, unsigned min, unsigned most)
{
	if (most > pool->size)
		pool->allowance += 2 * (most - pool->size) + (pool->size ? 0 : 8);
	pool->setup.min = min;
	pool->size = most;
	size_spin(pool);
}

int size_open(struct pool *pool, unsigned min, unsigned most)
{
	size_target(pool, min);
	int err = fill_places(pool, min, false);
	if (err < 0 && pool->alive == 0)
		return err;
	if (err < 0)
		place_failed(pool);
	set_limits(pool, min, most);
	return 0;
}

int pool_resize(struct pool *pool, unsigned min, unsigned most)
{
	unsigned before = pool->target;

	if (most < 1 || most > RING_WORKERS)
		return fail(EINVAL, "%u workers: 1 to %u are possible", most, RING_WORKERS);
	if (min > most)
		return fail(EINVAL, "at least %u workers, but at most %u: that can not be", min, most);
	unsigned target = before < min ? min : before > most ? most : before;
	size_target(pool, target);
	int err = fill_places(pool, target < min ? target : min, false);
	if (err < 0) {
		size_target(pool, before);
		return err;
	}
	set_limits(pool, min, most);
	return 0;
}

void pool_set_idle(struct pool *pool, unsigned idle_ms)
{
	pool->setup.idle_ms = idle_ms;
	ring_set_idle(&pool->ring, idle_ms);
}

uint64_t size_idle_ns(const struct pool *pool)
{
	return (uint64_t)pool->setup.idle_ms * 1000000u;
}

/** size_shrink() - let go of workers that nobody has needed for the idle time-out: all but the minimum if there was no job
 * at all; else those beyond the most jobs that were under way at a time. */
void size_shrink(struct pool *pool, uint64_t now)
{
	bool idle = pool->in_flight == 0 && now - pool->idle_since_ns >= size_idle_ns(pool);

	if (!pool->setup.idle_ms || (!idle && now - pool->window_ns < size_idle_ns(pool)))
		return;
	unsigned need = idle ? 0 : pool->peak;
	if (need < pool->setup.min)
		need = pool->setup.min;
	pool->window_ns = now;
	pool->peak = pool->in_flight;
	if (need < pool->target)
		size_target(pool, need);
}
