/*
 * varve_perf_store.c - a store with a history in it, made through the library like any VM makes one.
 *
 * The commit restored is the last but one: the newest is kept whole, and restoring it would measure nothing but a
 * copy. Before each restore the backing files are at the first commit, so that everything that ever changed differs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "varve_perf.h"

#define PAGE 4096u

static int failed(const char *what)
{
	return perf_fail("%s: %s", what, varve_last_error());
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

/* Writes only the pages that differ, as a VM would. */
static int write_image(struct varve_session *session, const struct image *image, bool new)
{
	struct varve_memory *memory;
	int r = new ? varve_session_deploy(session, &image->id, image->size, &memory)
	            : varve_session_module(session, &image->id, &memory);
	if (!r)
		r = varve_memory_resize(memory, image->size);
	if (r)
		return failed("writing an image");
	uint8_t *to = varve_memory_base(memory);
	for (uint64_t at = 0; at < image->size; at += PAGE) {
		size_t n = image->size - at < PAGE ? (size_t)(image->size - at) : PAGE;
		if (memcmp(to + at, image->data + at, n) != 0)
			memcpy(to + at, image->data + at, n);
	}
	return 0;
}

static int commit_images(struct store *store, struct source *source, size_t known, struct varve_id *id, double *seconds)
{
	struct varve_session *session;
	if (varve_session_begin(store->vm, 10000, &session) < 0)
		return failed("beginning a session");
	int r = 0;
	for (size_t i = 0; i < source->modules && !r; i++)
		if (source->images[i].active)
			r = write_image(session, &source->images[i], i >= known);
	double start = perf_now();
	if (!r && varve_session_commit(session, NULL, id) < 0)
		r = failed("committing");
	*seconds = perf_now() - start;
	if (r)
		varve_session_abandon(session);
	return r;
}

static int keep_goals(struct store *store, const struct source *source)
{
	store->goals = calloc(source->modules, sizeof(*store->goals));
	if (!store->goals)
		return perf_fail("out of memory");
	for (size_t i = 0; i < source->modules; i++) {
		const struct image *image = &source->images[i];
		struct goal *goal = &store->goals[store->goals_count++];
		*goal = (struct goal) {.id = image->id, .size = image->size, .data = malloc(image->size + 1)};
		if (!goal->data)
			return perf_fail("out of memory");
		memcpy(goal->data, image->data, image->size);
		store->image_bytes += image->size;
	}
	return 0;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int commit_history(struct store *store, const char *name, struct source *source)
{
	double *times = calloc(source->commits, sizeof(*times));
	int r = times ? 0 : perf_fail("out of memory");
	struct varve_id id;
	for (size_t i = 0; i < source->commits && !r; i++) {
		size_t known = source->modules;
		perf_progress("%s: committing %zu of %zu", name, i + 1, source->commits);
		if (!source->recording && i == 0)
			known = 0;
		r = source_next(source, i);
		if (!r)
			r = commit_images(store, source, known, &id, &times[i]);
		if (!r && i == 0)
			store->start = id;
		if (!r && i == source->commits - 3)
			store->before = id;
		if (!r && i == source->commits - 2) {
			store->target = id;
			r = keep_goals(store, source);
		}
	}
	if (!r && varve_persist(store->vm) < 0)
		r = failed("persisting");
	/* A history made in a second leaves the background work behind; that of a store in use is done. */
	perf_progress("%s: finishing the background work", name);
	if (!r && varve_optimize(store->vm) < 0)
		r = failed("finishing the background work");
	if (!r) {
		qsort(times, source->commits, sizeof(*times), compare_doubles);
		store->commit_seconds = times[source->commits / 2];
	}
	free(times);
	return r;
}

/* ---- the chains, for the naive walk ----------------------------------------------------------------------------- */

static struct goal *find_goal(struct store *store, const struct varve_id *id)
{
	for (size_t i = 0; i < store->goals_count; i++)
		if (!memcmp(&store->goals[i].id, id, sizeof(*id)))
			return &store->goals[i];
	return NULL;
}

static void link_name(char *name, const struct varve_module_info *module)
{
	varve_id_format(&module->module, name);
	name[VARVE_ID_TEXT] = '_';
	varve_id_format(&module->commit, name + VARVE_ID_TEXT + 1);
	if (module->kind == VARVE_KIND_DELTA)
		snprintf(name + 2 * VARVE_ID_TEXT + 1, 16, "_%u", module->ordinal);
}

static int add_link(struct store *store, const struct varve_module_info *module)
{
	struct goal *goal = find_goal(store, &module->module);
	if (!goal)
		return 0;
	struct link *chain = realloc(goal->chain, (goal->chain_count + 1) * sizeof(*chain));
	if (!chain)
		return perf_fail("out of memory");
	goal->chain = chain;
	chain[goal->chain_count].kind = module->kind;
	link_name(chain[goal->chain_count++].name, module);
	return 0;
}

static int find_chains(struct store *store)
{
	struct varve_log *log;
	if (varve_log(store->vm, &log) < 0)
		return failed("reading the log");
	int r = 0;
	bool reached = false;
	for (size_t i = 0; i < log->count && !r; i++) {
		const struct varve_commit_info *commit = &log->commits[i];
		for (size_t j = 0; j < commit->modules_count && !r; j++) {
			store->stored_bytes += commit->modules[j].stored_bytes;
			if (!reached)
				r = add_link(store, &commit->modules[j]);
		}
		reached = reached || !memcmp(&commit->commit, &store->target, sizeof(store->target));
	}
	varve_log_free(log);
	return r;
}

/* ---- the files to copy ------------------------------------------------------------------------------------------ */

static int write_file(const char *path, const void *data, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t done = 0;
	while (fd >= 0 && done < size) {
		ssize_t n = write(fd, (const char *)data + done, size - done);
		if (n < 0)
			break;
		done += (uint64_t)n;
	}
	if (fd < 0 || done < size || close(fd) < 0)
		return perf_fail("%s: %s", path, strerror(errno));
	return 0;
}

static int make_copies(struct store *store)
{
	char path[PATH_MAX], hex[VARVE_ID_TEXT + 1];
	if (mkdir(store->copies, 0700) < 0)
		return perf_fail("%s: %s", store->copies, strerror(errno));
	for (size_t i = 0; i < store->goals_count; i++) {
		const struct goal *goal = &store->goals[i];
		varve_id_format(&goal->id, hex);
		snprintf(path, sizeof(path), "%s/%s.final", store->copies, hex);
		if (write_file(path, goal->data, goal->size) < 0)
			return -1;
		snprintf(path, sizeof(path), "%s/%s", store->copies, hex);
		if (write_file(path, goal->data, goal->size) < 0)
			return -1;
	}
	return 0;
}

int store_make(struct store *store, const struct settings *settings, const char *name, struct source *source)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	*store = (struct store) {0};
	if (asprintf(&store->path, "%s/%s.store", settings->dir, name) < 0 ||
	    asprintf(&store->copies, "%s/%s.copies", settings->dir, name) < 0)
		return perf_fail("out of memory");
	options.workers = settings->workers;
	if (varve_vm_open(store->path, &options, &store->vm) < 0)
		return failed("opening the store");
	if (commit_history(store, name, source) < 0 || find_chains(store) < 0)
		return -1;
	return make_copies(store);
}

/* ---- between measurements --------------------------------------------------------------------------------------- */

int store_unstamp(const struct store *store)
{
	static long n; /* a new time at each call, and never that of a clock tick */
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000, .tv_nsec = ++n}};
	char path[PATH_MAX], hex[VARVE_ID_TEXT + 1];
	for (size_t i = 0; i < store->goals_count; i++) {
		varve_id_format(&store->goals[i].id, hex);
		snprintf(path, sizeof(path), "%s/%s", store->path, hex);
		if (utimensat(AT_FDCWD, path, times, 0) < 0 && errno != ENOENT)
			return perf_fail("%s: %s", path, strerror(errno));
	}
	return 0;
}

static int drop_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)where;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : perf_fail("%s: %s", path, strerror(errno));
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

int store_drop_cache(const struct store *store)
{
	int fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd) < 0)
		return perf_fail("%s: %s", store->path, strerror(errno));
	close(fd);
	return nftw(store->path, drop_file, 16, FTW_PHYS) || nftw(store->copies, drop_file, 16, FTW_PHYS) ? -1 : 0;
}

static int check_file(const char *directory, const struct goal *goal)
{
	char path[PATH_MAX], hex[VARVE_ID_TEXT + 1];
	uint8_t *data = malloc(goal->size + 1);
	varve_id_format(&goal->id, hex);
	snprintf(path, sizeof(path), "%s/%s", directory, hex);
	FILE *f = fopen(path, "rbe");
	bool same =
	    data && f && fread(data, 1, goal->size + 1, f) == goal->size && memcmp(data, goal->data, goal->size) == 0;
	if (f)
		fclose(f);
	free(data);
	return same ? 0
	            : perf_fail(
	                  "%s: it is not what it must be after that; no figure of this run is worth anything", path);
}

int store_check(const struct store *store)
{
	for (size_t i = 0; i < store->goals_count; i++)
		if (check_file(store->path, &store->goals[i]) < 0)
			return -1;
	return 0;
}

int copy_check(const struct store *store)
{
	for (size_t i = 0; i < store->goals_count; i++)
		if (check_file(store->copies, &store->goals[i]) < 0)
			return -1;
	return 0;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void store_release(struct store *store, bool keep)
{
	varve_vm_close(store->vm);
	for (size_t i = 0; i < store->goals_count; i++) {
		free(store->goals[i].data);
		free(store->goals[i].chain);
	}
	free(store->goals);
	if (!keep && store->path)
		nftw(store->path, remove_one, 16, FTW_PHYS | FTW_DEPTH);
	if (!keep && store->copies)
		nftw(store->copies, remove_one, 16, FTW_PHYS | FTW_DEPTH);
	free(store->path);
	free(store->copies);
	*store = (struct store) {0};
}
