/*
 * dispatch_pools.c - the two pools: workers for operations that somebody waits for, and one for background work.
 */
#include "dispatch_private.h"

#include <errno.h>

/* One worker, and so patient that it is not taken for dead where it gets no CPU for a while. */
struct pool *dispatch_background_pool(struct dispatch *d)
{
	if (!d->background && pool_open(&d->background_setup, &d->events, 1, d->epoll, &d->background))
		d->background = NULL;
	return d->background;
}

struct pool *dispatch_pool(struct dispatch *d)
{
	if (!d->pool && pool_open(&d->setup, &d->events, d->workers, d->epoll, &d->pool))
		d->pool = NULL;
	return d->pool;
}

int dispatch_resize(struct dispatch *d, unsigned min, unsigned most)
{
	if (most < 1 || most > RING_WORKERS)
		return fail(EINVAL, "%u workers: there can be 1 to %d", most, RING_WORKERS);
	if (min > most)
		return fail(EINVAL, "at least %u workers, but at most %u: that can not be", min, most);
	int r = d->pool ? pool_resize(d->pool, min, most) : 0;
	if (!r) {
		d->setup.min = min;
		d->workers = most;
	}
	return r;
}

void dispatch_set_idle(struct dispatch *d, unsigned idle_ms)
{
	d->setup.idle_ms = d->background_setup.idle_ms = idle_ms;
	if (d->pool)
		pool_set_idle(d->pool, idle_ms);
	if (d->background)
		pool_set_idle(d->background, idle_ms);
}

uint64_t dispatch_jobs(const struct dispatch *d)
{
	return d->jobs_here + (d->pool ? pool_jobs(d->pool) : 0) + (d->background ? pool_jobs(d->background) : 0);
}

bool dispatch_event(struct dispatch *d, const void *tag)
{
	struct pool *pool = tag == d->pool ? d->pool : tag == d->background ? d->background : NULL;
	if (pool)
		pool_dispatch(pool);
	return pool != NULL;
}

int dispatch_timeout(const struct dispatch *d)
{
	int first = d->pool ? pool_timeout(d->pool) : -1;
	int second = d->background ? pool_timeout(d->background) : -1;
	return first < 0 || (second >= 0 && second < first) ? second : first;
}

void dispatch_tick(struct dispatch *d)
{
	if (d->pool && pool_timeout(d->pool) == 0)
		pool_tick(d->pool);
	if (d->background && pool_timeout(d->background) == 0)
		pool_tick(d->background);
}

void dispatch_kill_stopped(struct dispatch *d)
{
	if (d->pool)
		pool_kill_stopped(d->pool);
	if (d->background)
		pool_kill_stopped(d->background);
}

bool dispatch_sleep_begin(struct dispatch *d)
{
	if (d->pool && !pool_sleep_begin(d->pool, dispatch_hungry(d)))
		return false;
	if (!d->background || pool_sleep_begin(d->background, false))
		return true;
	if (d->pool)
		pool_sleep_end(d->pool);
	return false;
}

void dispatch_sleep_end(struct dispatch *d)
{
	if (d->pool)
		pool_sleep_end(d->pool);
	if (d->background)
		pool_sleep_end(d->background);
}
