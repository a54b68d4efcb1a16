/*
 * varve_perf_disk.c - files and processes of a store, as the system sees them: cached, dirty, how large, how much
 * memory.
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
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "varve_perf.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

int perf_write(const char *path, const void *data, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t done = 0;
	while (fd >= 0 && done < size) {
		ssize_t n = write(fd, (const char *)data + done, size - done);
		if (n < 0)
			break;
		done += (uint64_t)n;
	}
	if (fd < 0 || done < size) {
		perf_fail("%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return close(fd) < 0 ? perf_fail("%s: %s", path, strerror(errno)) : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

/* A coordinator that is just ending may still make a file. */
void perf_remove(const char *path)
{
	struct timespec pause = {.tv_nsec = 20000000};
	for (int tries = 0; tries < 50; tries++) {
		if (nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH) == 0 || access(path, F_OK) < 0)
			return;
		nanosleep(&pause, NULL);
	}
}

static uint64_t summed;

static int sum_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)path;
	(void)where;
	if (type == FTW_F && S_ISREG(st->st_mode))
		summed += (uint64_t)st->st_size;
	return 0;
}

uint64_t perf_disk(const char *path)
{
	summed = 0;
	nftw(path, sum_one, 16, FTW_PHYS);
	return summed;
}

/* ---- between measurements --------------------------------------------------------------------------------------- */

static void backing_path(char *path, const struct store *store, const struct varve_id *id)
{
	char hex[VARVE_ID_TEXT + 1];
	varve_id_format(id, hex);
	snprintf(path, PATH_MAX, "%s/%s", store->path, hex);
}

int store_unstamp(const struct store *store, const struct state *state)
{
	static long n; /* a new time at each call, and never that of a clock tick */
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000, .tv_nsec = ++n}};
	char path[PATH_MAX];
	for (size_t i = 0; i < state->count; i++) {
		backing_path(path, store, &state->images[i].id);
		if (utimensat(AT_FDCWD, path, times, 0) < 0 && errno != ENOENT)
			return perf_fail("%s: %s", path, strerror(errno));
	}
	return 0;
}

static int scribble(const char *path)
{
	static uint8_t data[1u << 16];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;
	for (off_t at = 0; n > 0; at += n) {
		n = pread(fd, data, sizeof(data), at);
		for (ssize_t i = 0; i < n; i++)
			data[i] ^= 0xff;
		if (n > 0)
			n = pwrite(fd, data, (size_t)n, at);
	}
	if (n < 0)
		perf_fail("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

int store_scribble(const struct store *store, const struct state *state)
{
	char path[PATH_MAX];
	for (size_t i = 0; i < state->count; i++) {
		backing_path(path, store, &state->images[i].id);
		if (scribble(path) < 0)
			return -1;
	}
	return 0;
}

int store_clean(const struct store *store, const struct state *state)
{
	char path[PATH_MAX];
	int r = 0;
	for (size_t i = 0; i < state->count && !r; i++) {
		backing_path(path, store, &state->images[i].id);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fdatasync(fd) < 0)
			r = errno == ENOENT ? 0 : perf_fail("%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	return r;
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

/* A recording's images are not below copies. */
static int drop_images(const struct state *state)
{
	struct stat st = {.st_mode = S_IFREG};
	for (size_t i = 0; i < state->count; i++)
		if (drop_file(state->images[i].file, &st, FTW_F, NULL) < 0)
			return -1;
	return 0;
}

int store_drop_cache(const struct store *store)
{
	int fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || syncfs(fd) < 0 ? perf_fail("%s: %s", store->path, strerror(errno)) : 0;
	if (fd >= 0)
		close(fd);
	if (!r && (nftw(store->path, drop_file, 16, FTW_PHYS) || nftw(store->copies, drop_file, 16, FTW_PHYS)))
		r = -1;
	for (size_t i = 0; i < store->states.count && !r; i++)
		r = drop_images(&store->states.list[i]);
	return r;
}

int64_t store_dirty_pages(const struct store *store, const struct state *state)
{
	struct {
		uint64_t at, size;
	} all = {0, 0}; /* 0: to the end */
	struct {
		uint64_t cached, dirty, writeback, evicted, recently_evicted;
	} found;
	int64_t pages = 0;
	char path[PATH_MAX];
	for (size_t i = 0; i < state->count; i++) {
		backing_path(path, store, &state->images[i].id);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		long r = fd < 0 ? -1 : syscall(SYS_cachestat, fd, &all, &found, 0);
		if (fd >= 0)
			close(fd);
		if (r < 0)
			return -1;
		pages += (int64_t)(found.dirty + found.writeback);
	}
	return pages;
}

/* ---- disk ------------------------------------------------------------------------------------------------------- */

/* Files in .varve/modules/ that hold merged deltas are sparse, so it is what they occupy that counts; but not the rest of the
 * last block, which is not counted for deltas either. */
static uint64_t occupied(const struct stat *st)
{
	uint64_t blocks = (uint64_t)st->st_blocks * 512;
	return blocks < (uint64_t)st->st_size ? blocks : (uint64_t)st->st_size;
}

static int private_disk(const char *path, struct perf_case *c)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(path);
	if (!dir)
		return perf_fail("%s: %s", path, strerror(errno));
	while ((entry = readdir(dir))) {
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (strstr(entry->d_name, ".tier"))
			c->disk.tier_bytes += occupied(&st);
		else if (strstr(entry->d_name, ".undo"))
			c->disk.undo_bytes += occupied(&st);
	}
	closedir(dir);
	return 0;
}

int store_disk(const struct store *store, struct perf_case *c)
{
	char path[PATH_MAX];
	struct varve_log *log;
	memset(&c->disk, 0, sizeof(c->disk));
	if (varve_log(store->vm, &log) < 0)
		return perf_fail("asking for the history of the store: %s", varve_last_error());
	for (size_t i = 0; i < log->count; i++) {
		const struct varve_commit_info *commit = &log->commits[i];
		for (size_t m = 0; m < commit->modules_count; m++) {
			const struct varve_module_info *info = &commit->modules[m];
			*(info->kind == VARVE_KIND_BASE     ? &c->disk.base_bytes
			    : info->kind == VARVE_KIND_LAST ? &c->disk.last_bytes
			                                    : &c->disk.delta_bytes) += info->stored_bytes;
		}
	}
	varve_log_free(log);
	snprintf(path, sizeof(path), "%s/.varve/modules", store->path);
	return private_disk(path, c);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static uint64_t peak_of(int pid)
{
	char line[128];
	unsigned long long kib = 0;
	snprintf(line, sizeof(line), "/proc/%d/status", pid);
	FILE *f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return (uint64_t)kib * 1024;
}

uint64_t store_worker_peak(const struct store *store)
{
	struct varve_stat *stat;
	uint64_t most = 0;
	if (varve_stat(store->vm, &stat) < 0)
		return 0;
	for (size_t i = 0; i < stat->workers_count; i++) {
		uint64_t peak = peak_of(stat->workers[i].pid);
		most = peak > most ? peak : most;
	}
	varve_stat_free(stat);
	return most;
}
