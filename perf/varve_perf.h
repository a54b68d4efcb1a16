/*
 * varve_perf.h - the parts of varve-perf.
 *
 *   plan      which cases there are: for each group (chain, image, modules, ...) the histories that it needs
 *   source    gives the images of a history, commit by commit: generated, or recorded
 *   store     commits them through the library, and keeps the images of some commits beside it (states)
 *   measure   goes from state to state in every way asked for, with a plain copy and a naive walk in the same rounds
 *   result    holds what came out; figures judges it; json writes it down; report shows it
 */
#ifndef VARVE_PERF_H
#define VARVE_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "varve.h"

#define PERF_PAGE 4096u

/* ---- varve_perf_source.c ---------------------------------------------------------------------------------------- */

/** How the changes of one commit lie in a generated image. */
enum pattern {
	PATTERN_MISSION, /**< a few words anywhere; now and then a record, seldom a table; more in larger images */
	PATTERN_SCATTERED, /**< 64 words anywhere */
	PATTERN_CLUSTERED, /**< four stretches of 256 to 4,095 bytes */
	PATTERN_HOT, /**< 256 words, nine tenths of them in one twentieth of the pages */
	PATTERN_RECORDING, /**< as a real program made them */
};
extern const char *const pattern_names[];

/** A history to be generated: images grow from @first to @last bytes, by whole wasm pages where they grow. */
struct shape {
	size_t modules;
	size_t commits;
	uint64_t first, last;
	enum pattern pattern;
};

struct span {
	uint64_t at, size;
};

/** One module's image, as it stands. */
struct image {
	struct varve_id id;
	uint8_t *data;
	uint64_t size;
	size_t capacity;
	bool active; /**< the commit at hand lists it */
	char *file; /**< of a recording: the file that holds it; else NULL */
	struct span *spans; /**< of a generated image: what this commit has changed */
	size_t spans_count, spans_capacity;
};

struct source {
	size_t commits;
	size_t modules;
	struct image *images;
	struct recording *recording; /**< NULL: generated */
	struct shape shape;
	uint64_t random;
};

/** source_generate() - the same @seed gives the same bytes. */
int source_generate(struct source *source, const struct shape *shape, uint64_t seed);

/** source_recording() - a directory with manifest.json. */
int source_recording(struct source *source, const char *path);

/** source_one_module() - of a recording only the module that has most images, and only its first @commits (0: all):
 * each commit has it active then. */
int source_one_module(struct source *source, size_t commits);

/** source_next() - bring the images to commit @index, which must be asked for from 0 on, one after another. */
int source_next(struct source *source, size_t index);

void source_release(struct source *source);

/** random_next() - a generator of our own, so that a seed means the same everywhere; random_below() is not quite even,
 * which does no harm here. */
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t limit);

/* ---- varve_perf_state.c ----------------------------------------------------------------------------------------- */

/** A module at a commit, in a file: what it must be then, from the source, not from the store. */
struct kept {
	struct varve_id id;
	char *file;
	uint64_t size;
};

/** All modules at one commit. */
struct state {
	size_t index; /**< of the commit */
	struct varve_id commit;
	bool sampled; /**< one of those that stand for any commit; else it is there for steps only */
	struct kept *images;
	size_t count;
	uint64_t bytes; /**< of all images */
};

struct states {
	struct state *list; /**< by index */
	size_t count;
};

/** states_keep() - keep what @source stands at; files that it has not got in a recording are written below
 * @directory/@index, which is made. */
int states_keep(struct states *states, const char *directory, const struct source *source, size_t index,
    const struct varve_id *commit, bool sampled);

/** states_find() - NULL: commit @index was not kept. */
const struct state *states_find(const struct states *states, size_t index);

/** states_alike() - whether they have the same modules in the same sizes. */
bool states_alike(const struct state *a, const struct state *b);

/** image_check() - compare the file @path with the image; a sentence and -1 if one byte differs. */
int image_check(const char *path, const struct kept *kept);

/** state_check() - compare DIRECTORY/<module> with each image, as image_check(). */
int state_check(const struct state *state, const char *directory);

void states_release(struct states *states);

/* ---- varve_perf_store.c ----------------------------------------------------------------------------------------- */

/** An entry of a module's chain, and the commit that made it. */
struct link {
	struct varve_module_info info;
	size_t commit;
};

/** Which commits' images are kept: random ones, and what steps back and forth need. */
struct keep {
	size_t sample; /**< so many random commits, each with one nearby; 0: all commits */
	size_t steps; /**< from so many of the newest, not the very newest, back by one and by eight */
};

/** A store with a history in it. */
struct store {
	char *path; /**< the base directory */
	char *copies; /**< beside it: images of kept commits, and files to copy them over */
	struct varve_vm *vm;
	unsigned workers; /**< of its coordinator */
	size_t commits;
	struct states states;
	struct link *chain; /**< all entries, module by module, each module's in order; for the naive walk */
	size_t chain_count;
	double commit_seconds; /**< median time of a commit */
	char io_method[16];
	char io_reason[256];
};

struct spec;
struct perf_case;
struct settings;

/** store_make() - commit all of @source. For a spec that asks what background work costs a commit, @measured gets the
 * rows of that; else it is not used. */
int store_make(struct store *store, const struct settings *settings, const struct spec *spec, struct source *source,
    struct perf_case *measured);

/** store_chains() - read the chains that a naive walk needs. */
int store_chains(struct store *store);

/** store_reopen() - end its coordinator, and start another one with all its workers: what they had mapped is no longer in
 * use, and nothing of the store is. */
int store_reopen(struct store *store);

/** store_release() - close it, and remove it from disk unless @keep. */
void store_release(struct store *store, bool keep);

/* ---- varve_perf_disk.c ------------------------------------------------------------------------------------------ */

/** store_unstamp() - make every backing file's mtime another one: nothing may be assumed of its content any more. */
int store_unstamp(const struct store *store, const struct state *state);

/** store_scribble() - make every byte of its backing files another one. */
int store_scribble(const struct store *store, const struct state *state);

/** store_drop_cache() - write out everything, and take the files of store and copies out of the page cache. */
int store_drop_cache(const struct store *store);

/** store_disk() - what the store takes on disk now. */
int store_disk(const struct store *store, struct perf_case *c);

/** store_worker_peak() - the largest VmHWM of its workers, bytes; 0: not to be found out. */
uint64_t store_worker_peak(const struct store *store);

/** store_clean() - write its backing files out. */
int store_clean(const struct store *store, const struct state *state);

/** store_dirty_pages() - pages of its backing files that wait to be written to the device, as the kernel counts them;
 * -1 where it does not (before Linux 6.5; tmpfs). */
int64_t store_dirty_pages(const struct store *store, const struct state *state);

/** perf_remove() - a directory and all in it. */
void perf_remove(const char *path);

/** perf_disk() - bytes of all files below a directory. */
uint64_t perf_disk(const char *path);

/** perf_write() - a whole file, made or written over. */
int perf_write(const char *path, const void *data, uint64_t size);

/* ---- varve_perf_copy.c ------------------------------------------------------------------------------------------ */

/** copy_prepare() - the files that will be written over: each as long as in @to, holding what it has in @from (as far
 * as that goes), all pages there. */
int copy_prepare(const struct store *store, const struct state *from, const struct state *to);

/** copy_images() - read each final image, write it over the existing file of the same size: what no restore that
 * writes everything can beat on one core. */
int copy_images(const struct store *store, const struct state *to);

/** copy_check() - what copy_images() or walk_images() has written, as state_check(). */
int copy_check(const struct store *store, const struct state *to);

/** walk_images() - per module: read the base; for each delta allocate a new image, copy the old one into it, apply,
 * hash; write the final image over the existing file. Needs store_chains(). */
int walk_images(const struct store *store, const struct state *to);

/* ---- varve_perf_rivals.c ---------------------------------------------------------------------------------------- */

struct rivals;

/** rivals_open() - what people would use instead, where it is installed: chains of patches that other programs make of
 * the images of all kept states of @store (of one module, all active). @c gets their disk use, and what was left out. */
int rivals_open(struct rivals **rivals, const struct store *store, struct perf_case *c);

/** rivals_turn() - each goes to @to once, its result compared; as rows of @c. */
int rivals_turn(struct rivals *rivals, const struct state *to, struct perf_case *c);

void rivals_close(struct rivals *rivals);

/* ---- varve_perf_result.c ---------------------------------------------------------------------------------------- */

struct series {
	double *seconds;
	size_t count;
	size_t capacity;
};

int series_add(struct series *series, double seconds);

/** series_quantile() - 0.5: the median; sorts a copy. 0 if there is none. */
double series_quantile(const struct series *series, double quantile);

#define SCHEME_COPY "copy"
#define SCHEME_RESTORE "restore"
#define SCHEME_SAME_SIZE "restore same size"
#define SCHEME_NEARLY "restore nearly right"
#define SCHEME_BACK "back by one"
#define SCHEME_FORWARD "forward by one"
#define SCHEME_EIGHT "back by eight"
#define SCHEME_WALK "naive walk"
#define SCHEME_COMMIT_BUSY "commit, background work under way"
#define SCHEME_COMMIT_IDLE "commit, background work done"

/** What one scheme took. */
struct row {
	const char *scheme; /**< a string that stays */
	unsigned workers; /**< the most modules (or parts of one) in work at a time; 0: no restore */
	struct series series;
	bool reported; /**< the library has reported the following, sums over all samples */
	double inside; /**< seconds between the coordinator's getting the request and its answer */
	uint64_t bytes_written, bytes_read, deltas;
	int64_t pages_dirtied; /**< of one restore; -1: not known */
	uint64_t disk_bytes; /**< 0: not said */
};

/** One case: a history in one state of the page cache. */
struct perf_case {
	char name[64];
	const char *group;
	char title[200]; /**< the question */
	double x;
	const char *x_name, *x_unit;
	enum pattern pattern;
	size_t commits, modules;
	uint64_t image_bytes; /**< of all modules, mean of the commits restored */
	bool cold;
	long position; /**< the commit restored; -1: several */
	struct {
		uint64_t base_bytes, delta_bytes, last_bytes, tier_bytes, undo_bytes;
	} disk;
	double commit_seconds;
	uint64_t worker_peak_bytes;
	char left_out[400]; /**< what was not measured, and why; "" if all was */
	struct row *rows;
	size_t rows_count;
};

/** A target, and what was reached. */
struct figure {
	char name[120];
	const char *unit;
	double target, value;
	bool more; /**< more is better */
	char remark[300];
};

struct report {
	struct perf_case *cases;
	size_t cases_count;
	struct figure *figures;
	size_t figures_count;
	char io_method[16];
	char io_reason[256];
};

/** case_row() - its row of that scheme and number of workers, added if it is not there; NULL without memory. Pointers
 * to other rows of the case are void afterwards. */
struct row *case_row(struct perf_case *c, const char *scheme, unsigned workers);
const struct row *case_find(const struct perf_case *c, const char *scheme, unsigned workers);

/** row_add() - a sample, and what the library says of it. */
int row_add(
    struct perf_case *c, const char *scheme, unsigned workers, double seconds, const struct varve_report *report);

/** case_leave_out() - one more sentence for left_out. */
void case_leave_out(struct perf_case *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** report_add() - the report owns what is in *@c then, which is empty afterwards. */
int report_add(struct report *report, struct perf_case *c);
const struct perf_case *report_find(const struct report *report, const char *name, bool cold);
void case_release(struct perf_case *c);
void report_release(struct report *report);

/* ---- varve_perf_measure.c --------------------------------------------------------------------------------------- */

/** measure() - all cases of @spec, on its store. */
int measure(struct store *store, const struct settings *settings, const struct spec *spec, struct report *report);

/** case_begin() - what does not depend on what is measured; the store's disk use as it is now. */
int case_begin(struct perf_case *c, const struct store *store, const struct spec *spec);

/** restore_to() - varve_restore() with a sentence if it fails. @report may be NULL. */
int restore_to(const struct store *store, const struct varve_id *commit, unsigned workers, struct varve_report *report);

/* ---- varve_perf_position.c -------------------------------------------------------------------------------------- */

/** measure_positions() - one case for each commit of the history. */
int measure_positions(
    struct store *store, const struct settings *settings, const struct spec *spec, struct report *report);

/* ---- varve_perf_figures.c --------------------------------------------------------------------------------------- */

/** figures_judge() - the targets, for all that was measured. */
void figures_judge(struct report *report);

/* ---- varve_perf_json.c ------------------------------------------------------------------------------------------ */

int report_json(const struct report *report, const struct settings *settings, const char *path);

/* ---- varve_perf_print.c ----------------------------------------------------------------------------------------- */

/** report_print() - the table, to standard output. 0 or -1, said. */
int report_print(const struct report *report, const struct settings *settings);

/* ---- varve_perf_plan.c ------------------------------------------------------------------------------------------ */

/** What is measured beside the copy and the restores. */
enum {
	WITH_SAME_SIZE = 1 << 0, /**< restores between commits of the same sizes */
	WITH_NEARLY = 1 << 1, /**< restores of files of which one page in twenty was written */
	WITH_STEPS = 1 << 2, /**< stamped: back by one, forward by one, back by eight */
	WITH_WALK = 1 << 3,
	WITH_COLD = 1 << 4, /**< the same again, cold */
	WITH_RIVALS = 1 << 5,
	WITH_POSITIONS = 1 << 6, /**< nothing else */
	WITH_COMMITS = 1 << 7, /**< nothing else: what background work costs a commit */
	WITH_LAST_BUT_ONE =
	    1 << 8, /**< restores go to the last commit but one, from anywhere, instead of to any commit */
	WITH_ALL_WORKERS = 1 << 9, /**< 1, 2, 3, 4, then powers of two, to the most; else 1, 2 and as many as CPUs */
};

/** A history, and what is measured on it. */
struct spec {
	char name[64];
	const char *group;
	char title[200];
	double x;
	const char *x_name, *x_unit;
	struct shape shape;
	const char *recording; /**< its directory; NULL: generated */
	size_t one_module; /**< of a recording: only one module, and so many of its commits */
	struct keep keep;
	unsigned with;
	size_t often; /**< times the rounds asked for: of short turns, from and to many commits */
	bool figure; /**< a target is judged by it */
	bool by_name_only; /**< takes long: done if --only has its name */
	double making; /**< seconds that making it takes about, for the time left */
};

struct plan {
	struct spec *list;
	size_t count;
};

/** plan_make() - what the settings ask for. */
int plan_make(struct plan *plan, const struct settings *settings);
void plan_release(struct plan *plan);

/** plan_seconds() - what measuring @spec will take about. */
double plan_seconds(const struct settings *settings, const struct spec *spec);

/* ---- varve_perf.c ----------------------------------------------------------------------------------------------- */

struct settings {
	const char *dir; /**< where stores are made */
	const char *json;
	const char *only; /**< comma-separated groups and names of cases; NULL: all */
	const char *recordings[16];
	size_t recordings_count;
	size_t commits; /**< of histories whose length is not the question */
	uint64_t seed;
	size_t runs;
	double budget; /**< seconds for one state (warm, cold) of one history */
	unsigned workers; /**< the most to try */
	unsigned cpus;
	bool quick;
	bool list;
	bool keep;
	bool no_cold;
};

/** perf_fail() - say what went wrong on stderr; returns -1. */
int perf_fail(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

/** perf_progress() - what is being done: one line on stderr, with the time left, that replaces the one before, if that
 * is a terminal. NULL: take it away. */
void perf_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** perf_stopped() - whether the run is to end (SIGINT, SIGTERM, SIGHUP); then with a sentence. To be asked between turns,
 * so that stores are removed. */
bool perf_stopped(void);

double perf_now(void);

#endif
