/*
 * varve_perf.h - the parts of varve-perf.
 *
 * A `source` gives the images of a history, commit by commit; `store_make()` commits them through the library and
 * keeps those of the commit that will be restored; `measure()` restores it in every way asked for, with a plain copy
 * and a naive walk beside it; `report` holds what came out.
 */
#ifndef VARVE_PERF_H
#define VARVE_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "varve.h"

/* ---- varve_perf_source.c ---------------------------------------------------------------------------------------- */

/** One module's image, as it stands. */
struct image {
	struct varve_id id;
	uint8_t *data;
	uint64_t size;
	size_t capacity;
	bool active; /**< the commit at hand lists it */
};

struct source {
	size_t commits;
	size_t modules;
	struct image *images;
	struct recording *recording; /**< NULL: generated */
	uint64_t random;
};

/** source_generate() - @modules of the shape that the mission gives: 327,680 bytes growing to 589,824, few words
 * changed at a time, some of them in clusters. The same @seed gives the same bytes. */
int source_generate(struct source *source, size_t modules, size_t commits, uint64_t seed);

/** source_recording() - a directory with manifest.json. */
int source_recording(struct source *source, const char *path);

/** source_next() - bring the images to commit @index, which must be asked for from 0 on, one after another. */
int source_next(struct source *source, size_t index);

void source_release(struct source *source);

/* ---- varve_perf_store.c ----------------------------------------------------------------------------------------- */

/** A file of a module's chain, as the naive walk reads it. */
struct link {
	char name[160];
	enum varve_kind kind;
};

/** A module at the commit that is restored. */
struct goal {
	struct varve_id id;
	uint8_t *data; /**< what it must be then, from the source, not from the store */
	uint64_t size;
	struct link *chain; /**< base first */
	size_t chain_count;
};

struct store {
	char *path; /**< the base directory */
	char *copies; /**< beside it: final images, and files to copy them over */
	struct varve_vm *vm;
	struct varve_id start; /**< the commit that the backing files are at before each restore */
	struct varve_id target;
	struct varve_id before; /**< the one before target */
	struct goal *goals;
	size_t goals_count;
	uint64_t image_bytes; /**< of all goals */
	uint64_t stored_bytes; /**< deltas and whole images in the store */
	double commit_seconds; /**< median time of a commit */
};

struct settings;
int store_make(struct store *store, const struct settings *settings, const char *name, struct source *source);

/** store_unstamp() - make every backing file's mtime another one: nothing may be assumed of its content any more. */
int store_unstamp(const struct store *store);

/** store_drop_cache() - write out everything, and take the files of store and copies out of the page cache. */
int store_drop_cache(const struct store *store);

/** store_check() - compare every backing file with its goal; stops the program's run with a sentence if it differs. */
int store_check(const struct store *store);

/** store_release() - close it, and remove it from disk unless @keep. */
void store_release(struct store *store, bool keep);

/* ---- varve_perf_rivals.c ---------------------------------------------------------------------------------------- */

/** copy_images() - read each final image, write it over the existing file of the same size: what no restore that
 * writes everything can beat on one core. */
int copy_images(const struct store *store);
int copy_check(const struct store *store);

/** walk_images() - per module: read the base; for each delta allocate a new image, copy the old one into it, apply,
 * hash; write the final image over the existing file. */
int walk_images(const struct store *store);

/* ---- varve_perf_result.c ---------------------------------------------------------------------------------------- */

enum scheme { SCHEME_COPY, SCHEME_WALK, SCHEME_RESTORE, SCHEME_BACK, SCHEME_FORWARD };
extern const char *const scheme_names[];

struct series {
	double *seconds;
	size_t count;
	size_t capacity;
};

int series_add(struct series *series, double seconds);

/** One row of the report. */
struct result {
	const char *history;
	bool cold;
	enum scheme scheme;
	unsigned workers; /**< of a restore */
	size_t modules;
	uint64_t image_bytes;
	size_t count;
	double median, p95, min, max;
	double to_copy; /**< median by median of the copy in the same run */
};

struct history_figures {
	const char *name;
	size_t commits;
	size_t modules;
	uint64_t image_bytes;
	uint64_t stored_bytes;
	double commit_seconds;
};

struct report {
	struct result *results;
	size_t results_count;
	struct history_figures *histories;
	size_t histories_count;
	char io_method[16];
	char io_reason[256];
};

int report_add(struct report *report, const struct result *what, const struct series *series);
int report_add_history(struct report *report, const struct history_figures *figures);
void report_release(struct report *report);

/* ---- varve_perf_json.c ------------------------------------------------------------------------------------------ */

int report_json(const struct report *report, const struct settings *settings, const char *path);

/** machine_filesystem() - the kind of file system that @path lies on; static storage. */
const char *machine_filesystem(const char *path);
void machine_processor(char *name, size_t size);

/* ---- varve_perf_report.c ---------------------------------------------------------------------------------------- */

void report_print(const struct report *report, const struct settings *settings);

/* ---- varve_perf_measure.c --------------------------------------------------------------------------------------- */

int measure(struct store *store, const struct settings *settings, const char *history, struct report *report);

/* ---- varve_perf.c ----------------------------------------------------------------------------------------------- */

struct settings {
	const char *dir; /**< where stores are made */
	const char *json;
	const char *only; /**< comma-separated names of histories; NULL: all */
	const char *recordings[16];
	size_t recordings_count;
	size_t commits;
	uint64_t seed;
	size_t runs;
	double budget; /**< seconds for one state (warm, cold) of one history */
	unsigned workers; /**< the most to try */
	bool keep;
	bool no_cold;
};

/** perf_fail() - say what went wrong on stderr; returns -1. */
int perf_fail(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

/** perf_progress() - one line on stderr that replaces the one before, if that is a terminal. NULL: take it away. */
void perf_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

double perf_now(void);

#endif
