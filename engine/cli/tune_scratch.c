/*
 * tune_scratch.c - the directory of the scratch store, in which any number of restores can be tried.
 *
 * It is .varve/tune in the store: the same file system, there for whoever may use the store, gone with .varve/. It is
 * locked by who uses it, so one that is not locked was left by a tune that was killed, and is emptied. Where nothing can
 * be written, or as asked, it is in another directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "tune.h"

int tune_interrupted(void)
{
	return complain("interrupted; the store is as it was");
}

/* ---- directories ------------------------------------------------------------------------------------------------ */

int names_each(int fd, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = EXIT_DONE;
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	const struct dirent *entry;

	if (!dir) {
		code = complain("%s: %s", path, strerror(errno));
		if (own >= 0)
			close(own);
		return code;
	}
	while (!code && (errno = 0, entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			code = each(arg, entry->d_name);
	}
	if (!code && errno)
		code = complain("%s: %s", path, strerror(errno));
	closedir(dir);
	return code;
}

/* Removes a file, or a directory of ours with all in it. What can not be removed is found out by who needs its place. */
static int remove_name(void *arg, const char *name)
{
	int parent = *(int *)arg, fd;

	if (!unlinkat(parent, name, 0) || (errno != EISDIR && errno != EPERM))
		return EXIT_DONE;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return EXIT_DONE;
	names_each(fd, name, remove_name, &fd);
	close(fd);
	unlinkat(parent, name, AT_REMOVEDIR);
	return EXIT_DONE;
}

/* ---- the directory ---------------------------------------------------------------------------------------------- */

static int open_store(struct scratch *scratch, const char *path)
{
	struct stat st;

	scratch->store = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (scratch->store < 0 && errno != ENOENT)
		return complain("%s: %s", path, strerror(errno));
	if (scratch->store < 0 || (fstatat(scratch->store, "commits", &st, AT_SYMLINK_NOFOLLOW) &&
	                              fstatat(scratch->store, STORE_PRIVATE, &st, AT_SYMLINK_NOFOLLOW)))
		return complain("%s: there is no store here; check the name, or make one with `varve import' or "
		                "`varve commit'",
		    path);
	if (fstat(scratch->store, &st))
		return complain("%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return complain("%s belongs to user %u; tune it as that user", path, (unsigned)st.st_uid);
	snprintf(scratch->name, sizeof(scratch->name), "varve-tune-%llx-%llx", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	return EXIT_DONE;
}

static char *join(const char *directory, const char *name)
{
	size_t size = strlen(directory) + strlen(name) + 2;
	char *path = memory_take(size, 1);

	snprintf(path, size, "%s/%s", directory, name);
	return path;
}

static bool make_in_parent(struct scratch *scratch)
{
	if (scratch->parent < 0 || fstat(scratch->parent, &scratch->before))
		return false;
	scratch->made = !mkdirat(scratch->parent, scratch->name, 0700);
	if (!scratch->made && errno != EEXIST)
		return false;
	return !fstat(scratch->parent, &scratch->after);
}

static int make_inside(struct scratch *scratch, const char *path)
{
	scratch->parent = openat(scratch->store, STORE_PRIVATE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	snprintf(scratch->name, sizeof(scratch->name), "tune");
	scratch->path = join(path, STORE_PRIVATE "/tune");
	scratch->inside = true;
	return make_in_parent(scratch) ? 0 : -errno;
}

static int make_elsewhere(struct scratch *scratch, const char *directory)
{
	scratch->parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	scratch->path = join(directory, scratch->name);
	return make_in_parent(scratch) ? 0 : -errno;
}

static int make_dir(struct scratch *scratch, const struct cli *cli)
{
	const char *directory = cli->scratch;
	struct scratch fresh = *scratch;
	int err;

	if (!directory) {
		err = make_inside(scratch, cli->args[0]);
		if (!err)
			return EXIT_DONE;
		if (err != -EROFS && err != -EACCES && err != -EPERM && err != -ENOENT)
			return complain("%s: %s", scratch->path, strerror(-err));
		if (scratch->parent >= 0)
			close(scratch->parent);
		free(scratch->path);
		*scratch = fresh;
		directory = getenv("TMPDIR");
	}
	if (!directory || !*directory)
		directory = "/tmp";
	err = make_elsewhere(scratch, directory);
	return err ? complain("%s: %s; give another directory with --scratch", scratch->path, strerror(-err))
	           : EXIT_DONE;
}

/* Who has the lock has the directory; what is in it was left by one who was killed. */
static int take_dir(struct scratch *scratch, const char *path)
{
	struct stat st, named;

	scratch->dir =
	    openat(scratch->parent, scratch->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (scratch->dir < 0 || fstat(scratch->dir, &st))
		return complain("%s: %s", scratch->path, strerror(errno));
	if (st.st_uid != geteuid())
		return complain("%s belongs to user %u; remove it, or give another directory with --scratch",
		    scratch->path, (unsigned)st.st_uid);
	if (flock(scratch->dir, LOCK_EX | LOCK_NB)) {
		int err = errno;

		close(scratch->dir);
		scratch->dir = -1;
		return err == EWOULDBLOCK ? complain("%s is being tuned by another process; wait for it to end", path)
		                          : complain("%s: %s", scratch->path, strerror(err));
	}
	/* Its last user may have removed it in this moment. */
	if (fstatat(scratch->parent, scratch->name, &named, AT_SYMLINK_NOFOLLOW) || named.st_ino != st.st_ino)
		return complain("%s has just been tuned by another process; try again", path);
	return EXIT_DONE;
}

int scratch_empty(const struct scratch *scratch)
{
	int dir = scratch->dir;

	return names_each(dir, scratch->path, remove_name, &dir);
}

int scratch_make(struct scratch *scratch, const struct cli *cli)
{
	const char *path = cli->args[0];
	int code;

	*scratch = (struct scratch) {.store = -1, .parent = -1, .dir = -1};
	code = open_store(scratch, path);
	if (!code)
		code = make_dir(scratch, cli);
	if (!code)
		code = take_dir(scratch, path);
	if (!code)
		code = scratch_empty(scratch);
	return code ? code : scratch_fill(scratch, path);
}

/* If nobody else has changed .varve/ it gets its time back, so that nothing in the store shows that this was here. */
static void hide_traces(const struct scratch *scratch, const struct stat *last)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, scratch->before.st_mtim};

	if (scratch->inside && scratch->made && file_same(&scratch->after, last))
		futimens(scratch->parent, times);
}

void scratch_remove(struct scratch *scratch)
{
	struct timespec pause = {.tv_nsec = 20000000};
	struct stat last;

	if (scratch->dir >= 0) {
		bool known = !fstat(scratch->parent, &last);

		/* A coordinator that was killed, or its workers, may be ending still. */
		for (int i = 0; i < 25; i++) {
			scratch_empty(scratch);
			if (!unlinkat(scratch->parent, scratch->name, AT_REMOVEDIR) || errno == ENOENT)
				break;
			nanosleep(&pause, NULL);
		}
		if (known)
			hide_traces(scratch, &last);
		close(scratch->dir);
	}
	if (scratch->parent >= 0)
		close(scratch->parent);
	if (scratch->store >= 0)
		close(scratch->store);
	free(scratch->path);
	*scratch = (struct scratch) {.store = -1, .parent = -1, .dir = -1};
}

/* ---- between restores ------------------------------------------------------------------------------------------- */

static int file_cool(void *arg, const char *name)
{
	int parent = *(int *)arg;
	int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return EXIT_DONE;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	else if (S_ISDIR(st.st_mode))
		names_each(fd, name, file_cool, &fd);
	close(fd);
	return EXIT_DONE;
}

int scratch_cool(const struct scratch *scratch)
{
	int dir = scratch->dir;

	/* What is not on the disk yet stays in memory. */
	if (syncfs(dir))
		return complain("%s: %s", scratch->path, strerror(errno));
	return names_each(dir, scratch->path, file_cool, &dir);
}

int scratch_forget(const struct scratch *scratch, const struct varve_id *module)
{
	static long n; /* a time that no clock gives, and another one at each call */
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000, .tv_nsec = ++n % 1000000000}};

	if (!utimensat(scratch->dir, text_id(module).s, times, AT_SYMLINK_NOFOLLOW) || errno == ENOENT)
		return EXIT_DONE;
	return complain("%s/%s: %s", scratch->path, text_id(module).s, strerror(errno));
}
