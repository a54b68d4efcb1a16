/*
 * metrics_processes.c - what goes on, as OpenMetrics text: operations under way, jobs, workers.
 */
#include <stdio.h>
#include <string.h>

#include "figures.h"
#include "metrics_text.h"

/* ---- operations under way --------------------------------------------------------------------------------------- */

/** As many kinds of operations there can be, twice: those under way, and those that wait. */
#define GROUPS_MAX 32

/** All operations of a kind: a series for each of them would come and go with it. */
struct group {
	const char *name;
	bool waiting;
	uint64_t count, done, total;
	double seconds; /**< the oldest */
	char labels[LABELS_MAX];
};

static size_t group(const struct varve_stat *stat, struct group groups[GROUPS_MAX])
{
	size_t count = 0;
	for (size_t i = 0; i < stat->operations_count; i++) {
		const struct varve_operation_stat *o = &stat->operations[i];
		size_t g = 0;
		while (g < count && (groups[g].waiting != o->waiting || strcmp(groups[g].name, o->name) != 0))
			g++;
		if (g == GROUPS_MAX)
			continue;
		if (g == count) {
			groups[count++] = (struct group) {.name = o->name, .waiting = o->waiting};
			snprintf(groups[g].labels, LABELS_MAX, ",operation=\"%s\",state=\"%s\"", o->name,
			    o->waiting ? "waiting" : "running");
		}
		groups[g].count++;
		groups[g].done += o->done;
		groups[g].total += o->total;
		groups[g].seconds = o->seconds > groups[g].seconds ? o->seconds : groups[g].seconds;
	}
	return count;
}

static void put_under_way(struct text *t, const struct varve_stat *stat)
{
	struct group groups[GROUPS_MAX];
	size_t count = group(stat, groups);
	text_family(
	    t, "operations", "gauge", NULL, "Operations under way or waiting, by kind; none of a kind: no sample.");
	for (size_t i = 0; i < count; i++)
		text_sample(t, "operations", groups[i].labels, groups[i].count);
	text_family(t, "operation_age_seconds", "gauge", "seconds", "How long ago the oldest of them was asked for.");
	for (size_t i = 0; i < count; i++)
		text_seconds(t, "operation_age_seconds", groups[i].labels, groups[i].seconds);
	text_family(t, "operation_modules_done", "gauge", NULL, "Modules that they have done; background: jobs.");
	for (size_t i = 0; i < count; i++)
		if (!groups[i].waiting)
			text_sample(t, "operation_modules_done", groups[i].labels, groups[i].done);
	text_family(t, "operation_modules", "gauge", NULL, "Modules that they have to do, where that is known.");
	for (size_t i = 0; i < count; i++)
		if (!groups[i].waiting && groups[i].total)
			text_sample(t, "operation_modules", groups[i].labels, groups[i].total);
}

/* ---- jobs and workers ------------------------------------------------------------------------------------------- */

static void put_queue(struct text *t, const struct varve_stat *stat)
{
	uint64_t running = 0, waiting = 0;
	for (size_t i = 0; i < stat->operations_count; i++) {
		running += !stat->operations[i].waiting;
		waiting += stat->operations[i].waiting;
	}
	text_gauge(t, "operations_running", NULL, "Operations under way.", running);
	text_gauge(t, "operations_waiting", NULL, "Operations that wait for their turn.", waiting);
	text_gauge(t, "jobs_running", NULL, "Jobs that workers work on.", stat->jobs_running);
	text_gauge(t, "jobs_waiting", NULL, "Jobs that no worker has taken yet.", stat->jobs_waiting);
	text_counter(t, "jobs", NULL, "Jobs done, by workers and by the coordinator.", stat->jobs);
}

struct column {
	const char *family;
	const char *unit;
	const char *help;
	uint64_t (*value)(const struct varve_worker_stat *worker);
	double (*seconds)(const struct varve_worker_stat *worker);
};

static uint64_t jobs_of(const struct varve_worker_stat *worker)
{
	return worker->jobs;
}

static uint64_t restarts_of(const struct varve_worker_stat *worker)
{
	return worker->restarts;
}

static uint64_t read_of(const struct varve_worker_stat *worker)
{
	return worker->bytes_read;
}

static uint64_t written_of(const struct varve_worker_stat *worker)
{
	return worker->bytes_written;
}

static double busy_of(const struct varve_worker_stat *worker)
{
	return worker->busy_seconds;
}

static const struct column columns[] = {
    {"worker_jobs", NULL, "Jobs that this process has done; each worker process starts from 0.", jobs_of, NULL},
    {"worker_read_bytes", "bytes", "What it has read.", read_of, NULL},
    {"worker_written_bytes", "bytes", "What it has written.", written_of, NULL},
    {"worker_busy_seconds", "seconds", "How long it has worked.", NULL, busy_of},
    {"worker_restarts", NULL, "How often the process at its place was replaced because it died.", restarts_of, NULL},
};

struct pool_view {
	const char *name;
	const struct varve_worker_stat *workers;
	size_t count;
};

/* Samples are of processes: one that does not run has none. @more: another label; NULL: none. */
static void worker_labels(
    char labels[LABELS_MAX], const struct pool_view *pool, size_t i, const char *more, const char *is)
{
	int length = snprintf(labels, LABELS_MAX, ",pool=\"%s\",worker=\"%zu\"", pool->name, i);
	if (more)
		snprintf(labels + length, LABELS_MAX - (size_t)length, ",%s=\"%s\"", more, is);
}

static void put_column(struct text *t, const struct column *column, const struct pool_view *pool)
{
	char labels[LABELS_MAX], name[128];
	snprintf(name, sizeof(name), "%s_total", column->family);
	for (size_t i = 0; i < pool->count; i++) {
		if (!pool->workers[i].pid)
			continue;
		worker_labels(labels, pool, i, NULL, NULL);
		if (column->value)
			text_sample(t, name, labels, column->value(&pool->workers[i]));
		else
			text_seconds(t, name, labels, column->seconds(&pool->workers[i]));
	}
}

static void put_states(struct text *t, const struct pool_view *pool)
{
	static const char *const states[] = {NULL, "starting", "idle", "busy", "ending"};
	char labels[LABELS_MAX];
	for (size_t i = 0; i < pool->count; i++) {
		for (unsigned s = VARVE_WORKER_STARTING; pool->workers[i].pid && s <= VARVE_WORKER_ENDING; s++) {
			worker_labels(labels, pool, i, "state", states[s]);
			text_sample(t, "worker_state", labels, pool->workers[i].state == s);
		}
	}
}

static void put_jobs(struct text *t, const struct pool_view *pool)
{
	char labels[LABELS_MAX];
	for (size_t i = 0; i < pool->count; i++) {
		if (!pool->workers[i].pid || !pool->workers[i].job[0])
			continue;
		worker_labels(labels, pool, i, "job", pool->workers[i].job);
		text_sample(t, "worker_job", labels, 1);
	}
}

static void put_workers(struct text *t, const struct varve_stat *stat)
{
	const struct pool_view pools[] = {
	    {"main", stat->workers, stat->workers_count}, {"background", stat->background, stat->background_count}};
	uint64_t running = 0, busy = 0;
	for (size_t i = 0; i < stat->workers_count; i++) {
		running += stat->workers[i].pid != 0;
		busy += stat->workers[i].busy;
	}
	text_gauge(t, "workers_limit", NULL, "Most worker processes that there can be.", stat->workers_count);
	text_gauge(t, "workers_running", NULL, "Worker processes, those of the background aside.", running);
	text_gauge(t, "workers_busy", NULL, "Those that have a job.", busy);
	text_counter(t, "worker_deaths", NULL, "Workers that were replaced because they died.", stat->worker_deaths);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		text_family(t, columns[i].family, "counter", columns[i].unit, columns[i].help);
		for (unsigned p = 0; p < 2; p++)
			put_column(t, &columns[i], &pools[p]);
	}
	text_family(t, "worker_state", "gauge", NULL, "1 for the state that the process is in, 0 for the others.");
	for (unsigned p = 0; p < 2; p++)
		put_states(t, &pools[p]);
	text_family(t, "worker_job", "gauge", NULL, "1 for what it works on.");
	for (unsigned p = 0; p < 2; p++)
		put_jobs(t, &pools[p]);
}

void metrics_processes(struct text *t, const struct varve_stat *stat)
{
	put_under_way(t, stat);
	put_queue(t, stat);
	put_workers(t, stat);
}
