/*
 * tune.h - what the files of `varve tune` share.
 *
 *   tune_scratch.c   a directory for a second store with the same history
 *   tune_copy.c      its files, taken from the first
 *   tune_bench.c     restores in it, by different numbers of workers and both reading methods
 *   tune_advice.c    which of them to use, and why
 *   tune_print.c     the plot, and JSON
 */
#ifndef TUNE_H
#define TUNE_H

#include <sys/stat.h>

#include "cli.h"

/** The part of a store that is private to Varve. */
#define STORE_PRIVATE ".varve"
#define STORE_MODULES STORE_PRIVATE "/modules"

/** A way to restore counts as no faster than another if it saves less than this share of the time. */
#define TUNE_TOLERANCE 0.05
/** So many rounds are needed to tell anything from chance. */
#define TUNE_ROUNDS_MIN 5

/* ---- tune_scratch.c: the scratch store -------------------------------------------------------------------------- */

struct scratch {
	int store; /**< descriptor of the store's directory; -1: not open, like the next two */
	int parent; /**< of the directory that the scratch store is in */
	int dir; /**< of the scratch store; locked for as long as it is used */
	char name[64]; /**< of the scratch store, in its parent */
	char *path;
	bool inside; /**< it is in the store's own .varve/ */
	bool made; /**< its name was not there before; then this says what the parent was like: */
	struct stat before, after;
	bool link, clone; /**< whether files can be had without copying their bytes */
	bool still; /**< nobody changed the store while its files were taken */
};

/**
 * scratch_make() - make a scratch store for cli->args[0]. Returns an exit code; scratch_remove() in every case.
 * The store is not changed, but that its deltas have a second name, and a later ctime, until scratch_remove().
 */
int scratch_make(struct scratch *scratch, const struct cli *cli);
void scratch_remove(struct scratch *scratch);

/** scratch_empty() - remove all that is in it. Returns an exit code. */
int scratch_empty(const struct scratch *scratch);

/** scratch_fill() - take the files of the store at @path. Returns an exit code. In tune_copy.c. */
int scratch_fill(struct scratch *scratch, const char *path);

/** names_each() - call @each for every name in directory @fd, until it returns an exit code other than EXIT_DONE. @path is
 * for messages. Returns an exit code. */
int names_each(int fd, const char *path, int (*each)(void *arg, const char *name), void *arg);

/** file_same() - whether both are states of one file to which nobody has written in between. */
bool file_same(const struct stat *a, const struct stat *b);

/** scratch_cool() - take all that the scratch store holds out of the page cache. Returns an exit code. */
int scratch_cool(const struct scratch *scratch);

/** scratch_forget() - see to it that nothing is known of a backing file. Returns an exit code. */
int scratch_forget(const struct scratch *scratch, const struct varve_id *module);

/** tune_interrupted() - say so. Returns an exit code. In tune_scratch.c. */
int tune_interrupted(void);

/* ---- tune_bench.c: measuring ------------------------------------------------------------------------------------ */

/** One way to restore. */
struct trial {
	enum varve_io io;
	unsigned workers;
	double *seconds; /**< by round: the mean time of its restores */
	double low, median, high; /**< quartiles of these */
	uint64_t handed; /**< restores in which workers took part */
};

struct tune {
	struct cli *cli;
	struct scratch scratch;
	enum varve_io io; /**< of the coordinator behind cli->vm */
	unsigned usual; /**< workers that there are by default */
	char *io_reason; /**< why io_uring can not be used; "": it can, or was not asked for */
	struct varve_id *commits;
	size_t commits_count;
	struct varve_id *modules;
	size_t modules_count;
	struct trial *trials; /**< by method, then by number of workers */
	size_t trials_count;
	size_t rounds;
	unsigned restores; /**< measured of each trial in a round */
	double begun; /**< when measuring began */
	uint64_t bytes; /**< written into backing files until now */
};

/** bench_learn() - open the scratch store, and find out what there is to restore and to try. Returns an exit code. */
int bench_learn(struct tune *tune);

/** bench_run() - measure all trials, as often as the time allows. Returns an exit code. */
int bench_run(struct tune *tune);

/** bench_close() - close the scratch store; its coordinator has ended when this returns. */
void bench_close(struct tune *tune);

/* ---- tune_advice.c: which to use -------------------------------------------------------------------------------- */

struct advice {
	const struct trial *best; /**< the fastest */
	const struct trial *use;
	const struct trial *usual; /**< what is used without any setting; NULL: it was not tried */
	bool unproven; /**< something else would have been advised than is usual, but that may be chance */
	bool noisy; /**< the rounds differ much */
	bool set_workers; /**< the number of workers differs from the default */
	bool set_io;
	double usual_slower; /**< how many times as long as @use that takes */
	char why[512];
};

/** trial_sum_up() - compute the quartiles of @rounds times. */
void trial_sum_up(struct trial *trial, size_t rounds);

void advice_find(struct advice *advice, const struct tune *tune);

const char *io_name(enum varve_io io); /**< as people know it: "io_uring" */
const char *io_option(enum varve_io io); /**< as --io takes it: "uring" */

/* ---- tune_print.c ----------------------------------------------------------------------------------------------- */

void tune_print(const struct tune *tune, const struct advice *advice);
void tune_json(const struct tune *tune, const struct advice *advice);

#endif
