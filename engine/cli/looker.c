/*
 * looker.c - the thread that looks.
 */
#include "looker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CANCEL_SECONDS 0.01

/* A time on the condition's clock. */
static struct timespec in(double seconds)
{
	struct timespec at;
	long ns;

	clock_gettime(CLOCK_MONOTONIC, &at);
	ns = at.tv_nsec + (long)((seconds - (double)(time_t)seconds) * 1e9);
	at.tv_sec += (time_t)seconds + ns / 1000000000;
	at.tv_nsec = ns % 1000000000;
	return at;
}

static void *look(void *arg)
{
	struct looker *looker = arg;

	pthread_mutex_lock(&looker->lock);
	for (;;) {
		struct varve_stat *stat;
		int result;

		while (!looker->stop && (!looker->asked || looker->stat || looker->result))
			pthread_cond_wait(&looker->changed, &looker->lock);
		if (looker->stop)
			break;
		pthread_mutex_unlock(&looker->lock);
		result = varve_stat(looker->vm, &stat);
		pthread_mutex_lock(&looker->lock);
		looker->stat = stat;
		looker->result = result;
		if (result)
			looker->why = strdup(varve_last_error()); /* it is this thread's */
		pthread_cond_broadcast(&looker->changed);
	}
	looker->ended = true;
	pthread_cond_broadcast(&looker->changed);
	pthread_mutex_unlock(&looker->lock);
	return NULL;
}

void looker_begin(struct looker *looker, struct varve_vm *vm)
{
	pthread_condattr_t monotonic;

	*looker = (struct looker) {.vm = vm};
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&looker->lock, NULL);
	pthread_cond_init(&looker->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&looker->thread, NULL, look, looker))
		exit(complain("a thread can not be started"));
}

void looker_ask(struct looker *looker)
{
	pthread_mutex_lock(&looker->lock);
	looker->asked = true;
	pthread_cond_broadcast(&looker->changed);
	pthread_mutex_unlock(&looker->lock);
}

struct varve_stat *looker_take(struct looker *looker, double seconds, int *result)
{
	struct timespec until = in(seconds);
	struct varve_stat *stat;
	int late = 0;

	pthread_mutex_lock(&looker->lock);
	while (!late && !looker->stat && !looker->result)
		late = pthread_cond_timedwait(&looker->changed, &looker->lock, &until);
	stat = looker->stat;
	*result = looker->result;
	if (stat)
		looker->asked = false;
	looker->stat = NULL;
	pthread_mutex_unlock(&looker->lock);
	return stat;
}

int looker_complain(const struct looker *looker)
{
	complain("%s", looker->why && *looker->why ? looker->why : strerror(-looker->result));
	return looker->result == -EBADMSG ? EXIT_DAMAGE : EXIT_FAILED;
}

void looker_end(struct looker *looker)
{
	pthread_mutex_lock(&looker->lock);
	looker->stop = true;
	pthread_cond_broadcast(&looker->changed);
	/* Again and again: a call that is about to begin would not notice one that came before. */
	while (!looker->ended) {
		struct timespec until = in(CANCEL_SECONDS);

		varve_vm_cancel(looker->vm);
		pthread_cond_timedwait(&looker->changed, &looker->lock, &until);
	}
	pthread_mutex_unlock(&looker->lock);
	pthread_join(looker->thread, NULL);
	pthread_cond_destroy(&looker->changed);
	pthread_mutex_destroy(&looker->lock);
	varve_stat_free(looker->stat);
	free(looker->why);
}
