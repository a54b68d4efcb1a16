/*
 * tune_bench.c - restores in the scratch store, by each way that is tried.
 *
 * A restore of commits taken at random, into backing files of which nothing is known, as after a session of a VM: each
 * image is rebuilt, verified by the library, compared with the file, and what differs is written. Rounds: in each,
 * every trial has one turn with the same commits in the same order, so that whatever else the machine does meets all of
 * them alike, and trials are compared round by round. Every other round goes through them backwards, so that none is
 * always the first; as the reading method is the coordinator's for life, that also starts only one coordinator a round.
 *
 *   round   pass over its commits, not measured (warm)
 *     turn    the number of workers; some milliseconds of restores that are not measured
 *             restores: forget what is known, cool if asked to; then the time of varve_restore()
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tune.h"

#define ROUNDS_WANTED 9
#define ROUNDS_MAX 20000 /* what --rounds takes, too */
#define RESTORES_MAX 16
#define PACE 6
#define WARM_SECONDS 0.005
#define WORKERS_MAX 1024

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Says what went wrong. Damage that may be nothing but our copy's is not called damage of the store. */
static int bench_failed(const struct tune *tune, int err)
{
	const char *path = tune->cli->args[0];

	progress_hide();
	if (err == -ECANCELED || interrupted())
		return tune_interrupted();
	if (err != -EBADMSG || tune->scratch.still)
		return complain_about(err, "%s", path);
	return complain("%s: commits were made while its files were taken, and so they do not fit together (%s); try "
	                "again when there are fewer",
	    path, varve_last_error());
}

/* ---- the coordinator -------------------------------------------------------------------------------------------- */

void bench_close(struct tune *tune)
{
	interrupts_catch(NULL);
	varve_vm_close(tune->cli->vm);
	tune->cli->vm = NULL;
}

static int bench_open(struct tune *tune, enum varve_io io)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	int err;

	if (tune->cli->vm && tune->io == io)
		return EXIT_DONE;
	bench_close(tune);
	options.io = io;
	options.sync = VARVE_SYNC_NONE;
	options.must_exist = true;
	err = varve_vm_open(tune->scratch.path, &options, &tune->cli->vm);
	if (err)
		return bench_failed(tune, err);
	tune->io = io;
	interrupts_catch(tune->cli->vm);
	/* Merged deltas that idle workers would make, and disturb us. */
	if (!interrupted())
		store_optimize(tune->cli);
	return interrupted() ? tune_interrupted() : EXIT_DONE;
}

/* ---- what to try ------------------------------------------------------------------------------------------------ */

static int learn_commits(struct tune *tune)
{
	const char *path = tune->cli->args[0];
	struct varve_log *log;
	int err = varve_log(tune->cli->vm, &log);

	if (err)
		return bench_failed(tune, err);
	tune->commits_count = log->count;
	tune->commits = memory_take(log->count, sizeof(*tune->commits));
	for (size_t i = 0; i < log->count; i++)
		tune->commits[i] = log->commits[i].commit;
	varve_log_free(log);
	if (tune->commits_count > 1)
		return EXIT_DONE;
	return complain(tune->commits_count ? "%s has one commit only: there is nothing to go back to, and so nothing "
	                                      "to measure; tune it when it has more"
	                                    : "%s has no commit yet: there is nothing to restore; tune it when it has",
	    path);
}

static int learn_modules(struct tune *tune, enum varve_io *methods, size_t *count)
{
	struct varve_stat *stat;
	int err = varve_stat(tune->cli->vm, &stat);

	if (err)
		return bench_failed(tune, err);
	tune->usual = stat->workers_count ? (unsigned)stat->workers_count : 1;
	tune->modules_count = stat->modules_count;
	tune->modules = memory_take(stat->modules_count, sizeof(*tune->modules));
	for (size_t i = 0; i < stat->modules_count; i++)
		tune->modules[i] = stat->modules[i].module;
	tune->io_reason = strdup(stat->io_reason);
	if (!tune->io_reason)
		err = -ENOMEM;
	if (tune->cli->io != VARVE_IO_PREAD && !strcmp(stat->io_method, "io_uring"))
		methods[(*count)++] = VARVE_IO_URING;
	if (tune->cli->io != VARVE_IO_URING)
		methods[(*count)++] = VARVE_IO_PREAD;
	varve_stat_free(stat);
	return err ? complain("out of memory") : EXIT_DONE;
}

/* 1, 2, 3, 4, 6, 8, 12, 16, and so on; the default; the most. */
static bool is_tried(unsigned workers, unsigned usual, unsigned most)
{
	unsigned power = 1;

	while (power <= workers / 2)
		power *= 2;
	return workers == power || 2 * workers == 3 * power || workers == usual || workers == most;
}

static void plan_trials(struct tune *tune, const enum varve_io *methods, size_t count)
{
	int64_t given = tune->cli->change.most;
	unsigned most = given > 0 ? (unsigned)given : 2 * tune->usual;

	if (most > WORKERS_MAX)
		most = WORKERS_MAX;
	tune->trials = memory_take(count * most, sizeof(*tune->trials));
	for (size_t i = 0; i < count; i++) {
		for (unsigned n = 1; n <= most; n++) {
			if (!is_tried(n, tune->usual, most))
				continue;
			tune->trials[tune->trials_count++] = (struct trial) {
			    .io = methods[i], .workers = n, .seconds = memory_take(ROUNDS_MAX, sizeof(double))};
		}
	}
}

int bench_learn(struct tune *tune)
{
	enum varve_io methods[2];
	size_t count = 0;
	int code;

	/* What was set already must not be taken for the default. */
	unsetenv("VARVE_WORKERS");
	unsetenv("VARVE_IO");
	code = bench_open(tune, tune->cli->io);
	if (!code)
		code = learn_commits(tune);
	if (!code)
		code = learn_modules(tune, methods, &count);
	if (!code)
		plan_trials(tune, methods, count);
	return code;
}

/* ---- restores --------------------------------------------------------------------------------------------------- */

static int restore(struct tune *tune, const struct varve_id *commit, struct varve_report *report)
{
	int err = interrupted() ? -ECANCELED : varve_restore(tune->cli->vm, commit, NULL, report);

	if (err)
		return bench_failed(tune, err);
	tune->bytes += report->bytes_written;
	return EXIT_DONE;
}

static int forget_all(const struct tune *tune)
{
	int code = EXIT_DONE;

	for (size_t i = 0; i < tune->modules_count && !code; i++)
		code = scratch_forget(&tune->scratch, &tune->modules[i]);
	if (!code && tune->cli->cold)
		code = scratch_cool(&tune->scratch);
	return code;
}

static int restore_timed(struct tune *tune, const struct varve_id *commit, struct varve_report *report, double *seconds)
{
	double begin;
	int code = forget_all(tune);

	if (code)
		return code;
	begin = seconds_now();
	code = restore(tune, commit, report);
	*seconds = seconds_now() - begin;
	return code;
}

/* The same numbers in each run, so that two runs can be compared: SplitMix64. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Two commits in a row are never the same one: that restore would have nothing to write. */
static void choose_commits(const struct tune *tune, const struct varve_id **list, size_t count, uint64_t *state)
{
	size_t index = random_next(state) % tune->commits_count;

	for (size_t i = 0; i < count; i++) {
		list[i] = &tune->commits[index];
		index = (index + 1 + random_next(state) % (tune->commits_count - 1)) % tune->commits_count;
	}
}

static void show_progress(const struct tune *tune)
{
	double elapsed = seconds_now() - tune->begun, whole = tune->cli->seconds, share = elapsed / whole;

	if (tune->cli->rounds && (double)tune->rounds / tune->cli->rounds > share)
		share = (double)tune->rounds / tune->cli->rounds;
	progress_update(share, (uint64_t)(elapsed < whole ? elapsed : whole), (uint64_t)whole, tune->bytes);
}

/* Restores that are not measured: workers are being started, and files have to stand where they do for each trial. */
static int warm_up(struct tune *tune, const struct varve_id **commits)
{
	double end = seconds_now() + WARM_SECONDS;
	struct varve_report report;
	int code = restore(tune, commits[0], &report);

	while (!code && seconds_now() < end) {
		code = restore(tune, commits[1], &report);
		if (!code)
			code = restore(tune, commits[0], &report);
	}
	return code;
}

static int turn(struct tune *tune, struct trial *trial, const struct varve_id **commits, double *mean)
{
	struct varve_report report;
	double seconds, sum = 0;
	int code = bench_open(tune, trial->io), err;

	if (code)
		return code;
	err = varve_set_workers(tune->cli->vm, trial->workers);
	if (err)
		return bench_failed(tune, err);
	code = warm_up(tune, commits);
	for (unsigned i = 1; i <= tune->restores && !code; i++) {
		code = restore_timed(tune, commits[i], &report, &seconds);
		sum += code ? 0 : seconds;
		trial->handed += !code && report.workers > 0;
		show_progress(tune);
	}
	*mean = sum / tune->restores;
	return code;
}

static int round_run(struct tune *tune, uint64_t *state)
{
	const struct varve_id *commits[RESTORES_MAX + 1];
	struct varve_report report;
	int code = EXIT_DONE;

	choose_commits(tune, commits, tune->restores + 1, state);
	for (unsigned i = 0; i <= tune->restores && !code && !tune->cli->cold; i++) {
		code = restore(tune, commits[i], &report);
		show_progress(tune);
	}
	for (size_t i = 0; i < tune->trials_count && !code; i++) {
		struct trial *trial = &tune->trials[tune->rounds % 2 ? tune->trials_count - 1 - i : i];

		code = turn(tune, trial, commits, &trial->seconds[tune->rounds]);
	}
	tune->rounds += !code;
	return code;
}

/* How many restores a turn has, so that there are some rounds in the time there is. */
static int find_pace(struct tune *tune, uint64_t *state)
{
	const struct varve_id *commits[PACE];
	struct varve_report report;
	double seconds, begin = 0, each, fit;
	int code = EXIT_DONE;

	choose_commits(tune, commits, PACE, state);
	/* The first half starts workers, makes backing files, and fills caches. */
	for (size_t i = 0; i < PACE && !code; i++) {
		if (i == PACE / 2)
			begin = seconds_now();
		code = restore_timed(tune, commits[i % (PACE / 2)], &report, &seconds);
	}
	each = (seconds_now() - begin) / (PACE / 2);
	fit = tune->cli->seconds / ROUNDS_WANTED / ((double)tune->trials_count + 1) / each - 1;
	tune->restores = fit < 1 ? 1 : fit > RESTORES_MAX ? RESTORES_MAX : (unsigned)fit;
	return code;
}

int bench_run(struct tune *tune)
{
	uint64_t state = tune->commits_count;
	double last = 0, end;
	size_t most = tune->cli->rounds ? tune->cli->rounds : ROUNDS_MAX;
	int code;

	tune->begun = seconds_now();
	end = tune->begun + tune->cli->seconds;
	progress_begin("tune", "seconds");
	code = find_pace(tune, &state);
	/* One round, whatever it takes; then as many as there is time for. */
	while (!code && tune->rounds < most && (!tune->rounds || seconds_now() + last < end)) {
		double begin = seconds_now();

		code = round_run(tune, &state);
		last = seconds_now() - begin;
	}
	progress_end();
	for (size_t i = 0; i < tune->trials_count && !code; i++)
		trial_sum_up(&tune->trials[i], tune->rounds);
	return code;
}
