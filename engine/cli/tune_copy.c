/*
 * tune_copy.c - take a store's files for a scratch store with the same history.
 *
 * A store is its files, so this is done without asking a coordinator: one may run there, for a VM that must not wait, or
 * none, and then none shall be started, as it would mend and write. What becomes of each file:
 *
 *   M_C_n      delta: nobody ever writes to one again, here or there. A second name for it (a hard link) costs no space
 *   M_C        base or last: copied. A commit in the store writes to the last in place, and would change ours with it
 *   commits    copied, as each restore appends to it
 *   .varve/    journal, merged deltas and the like: copied, since a coordinator appends to them; but not what speaks of
 *              processes, of backing files, or of an end in order
 *   M          backing file: left out. Ours are made by the first restore
 *
 * So no name of ours leads to a byte of the store that anybody writes: our coordinator writes to backing files, and
 * appends to records and to merged deltas, all of them its own; where it mends, it makes a new file and renames it.
 *
 * A VM may commit meanwhile. What its coordinator moves goes from .varve/ into sight, so .varve/ is taken first, and the
 * journal before all: then each delta of each commit in our history is ours as well, and a last image that is missing is
 * rebuilt, as after a crash. A last that changed while it was copied is dropped. All the same it is tried a few times to
 * find the store still: if it was, what is found damaged is damage.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <linux/fs.h>

#include "tune.h"

#define TRIES 4
#define COPY_BYTES (1u << 20)

enum kind {
	KIND_NONE,
	KIND_PRIVATE,
	KIND_DELTA,
	KIND_IMAGE,
};

/** What there is to be taken. */
struct survey {
	uint64_t files;
	uint64_t private_bytes, delta_bytes, image_bytes; /* on disk */
	char delta[256], image[256]; /* one of them */
};

/** One pass over a directory. */
struct pass {
	struct scratch *scratch;
	int from;
	int to;
	enum kind kind;
	struct survey *survey;
	uint64_t *done;
};

/* ---- names ------------------------------------------------------------------------------------------------------ */

static size_t id_length(const char *name)
{
	size_t length = strspn(name, "0123456789ABCDEF");

	return length == VARVE_ID_TEXT ? length : 0;
}

static enum kind kind_in_sight(const char *name)
{
	const char *rest = name + id_length(name);

	if (rest == name || *rest != '_' || !id_length(rest + 1))
		return KIND_NONE;
	rest += 1 + VARVE_ID_TEXT;
	if (!*rest)
		return KIND_IMAGE;
	return *rest == '_' && rest[1] && !rest[1 + strspn(rest + 1, "0123456789")] ? KIND_DELTA : KIND_NONE;
}

/* What there is of each module, but what speaks of its backing file, and what is not whole. */
static enum kind kind_private(const char *name)
{
	static const char *const others[] = {".new", ".pages", ".tmp", ".repair"};
	const char *end = strrchr(name, '.');

	if (!id_length(name) || name[VARVE_ID_TEXT] != '.')
		return KIND_NONE;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (!strcmp(end, others[i]))
			return KIND_NONE;
	}
	return KIND_PRIVATE;
}

/* ---- one file --------------------------------------------------------------------------------------------------- */

static int copy_by_hand(int from, int to, off_t at, off_t end)
{
	static char part[COPY_BYTES];

	while (at < end) {
		size_t want = end - at < (off_t)sizeof(part) ? (size_t)(end - at) : sizeof(part);
		ssize_t got = pread(from, part, want, at), put = 0;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0; /* it was cut meanwhile: its size says so */
		for (ssize_t done = 0; done < got; done += put) {
			put = pwrite(to, part + done, (size_t)(got - done), at + done);
			if (put < 0 && errno != EINTR)
				return -errno;
			if (put < 0)
				put = 0;
		}
		at += got;
	}
	return 0;
}

static int copy_part(int from, int to, off_t at, off_t end)
{
	while (at < end && !interrupted()) {
		off_t in = at, out = at;
		size_t want = end - at < 64 * (off_t)COPY_BYTES ? (size_t)(end - at) : 64 * (size_t)COPY_BYTES;
		ssize_t got = copy_file_range(from, &in, to, &out, want, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EXDEV || errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL))
			return copy_by_hand(from, to, at, end);
		if (got <= 0)
			return got < 0 ? -errno : 0;
		at += got;
	}
	return 0;
}

/* Holes stay holes. */
static int copy_bytes(const struct scratch *scratch, int from, int to, off_t size)
{
	off_t end = 0, data;
	int err = 0;

	if (scratch->clone && !ioctl(to, FICLONE, from))
		return 0;
	if (ftruncate(to, size))
		return -errno;
	while (!err && end < size && (data = lseek(from, end, SEEK_DATA)) >= 0 && data < size) {
		end = lseek(from, data, SEEK_HOLE);
		if (end < 0 || end > size)
			end = size;
		err = copy_part(from, to, data, end);
	}
	return err;
}

bool file_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Whether @name still leads to the file of @before, and nobody has written to it. */
static bool is_still(int dir, const char *name, const struct stat *before)
{
	struct stat now;

	return !fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) && file_same(before, &now);
}

/* Copies a regular file; one that has gone is no failure, @whole one that changed meanwhile neither: it is left out. */
static int file_copy(const struct pass *pass, const char *name, bool whole)
{
	int from = openat(pass->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), to = -1, err = 0;
	struct stat st;

	if (from < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? EXIT_DONE
		                                                           : complain("%s: %s", name, strerror(errno));
	if (fstat(from, &st) || !S_ISREG(st.st_mode)) {
		close(from);
		return EXIT_DONE;
	}
	to = openat(pass->to, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	err = to < 0 ? -errno : copy_bytes(pass->scratch, from, to, st.st_size);
	close(from);
	if (to >= 0 && close(to) && !err)
		err = -errno;
	if (err)
		return complain("%s/%s: copying it: %s", pass->scratch->path, name, strerror(-err));
	if (whole && !is_still(pass->from, name, &st))
		unlinkat(pass->to, name, 0);
	return EXIT_DONE;
}

static int file_take(void *arg, const char *name)
{
	struct pass *pass = arg;
	enum kind kind = pass->kind == KIND_PRIVATE ? kind_private(name) : kind_in_sight(name);

	if (kind != pass->kind)
		return EXIT_DONE;
	if (interrupted())
		return tune_interrupted();
	++*pass->done;
	progress_update((double)*pass->done / (double)(pass->survey->files + 1), *pass->done, pass->survey->files, 0);
	if (kind == KIND_DELTA && pass->scratch->link && !linkat(pass->from, name, pass->to, name, 0))
		return EXIT_DONE;
	return file_copy(pass, name, kind == KIND_IMAGE);
}

/* ---- all files -------------------------------------------------------------------------------------------------- */

struct marks {
	struct stat stats[5];
};

/* What a commit, and each step of putting it in sight, changes. */
static struct marks marks_take(const struct scratch *scratch)
{
	static const char *const names[] = {".", "commits", STORE_PRIVATE, STORE_PRIVATE "/journal", STORE_MODULES};
	struct marks marks = {0};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (fstatat(scratch->store, names[i], &marks.stats[i], AT_SYMLINK_NOFOLLOW))
			marks.stats[i] = (struct stat) {0};
	}
	return marks;
}

static bool marks_equal(const struct marks *a, const struct marks *b)
{
	bool equal = true;

	for (size_t i = 0; i < sizeof(a->stats) / sizeof(a->stats[0]); i++)
		equal = equal && file_same(&a->stats[i], &b->stats[i]);
	return equal;
}

static int open_directory(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Makes @name, and takes from the store's directory of that name what @take says. */
static int take_directory(struct pass *pass, const char *name, int (*take)(struct pass *pass))
{
	int code = EXIT_DONE;

	pass->from = open_directory(pass->scratch->store, name);
	if (mkdirat(pass->scratch->dir, name, 0700))
		code = complain("%s/%s: %s", pass->scratch->path, name, strerror(errno));
	pass->to = open_directory(pass->scratch->dir, name);
	if (!code && pass->from >= 0)
		code = take(pass);
	if (pass->from >= 0)
		close(pass->from);
	if (pass->to >= 0)
		close(pass->to);
	return code;
}

static int take_journal(struct pass *pass)
{
	return file_copy(pass, "journal", false);
}

static int take_work(struct pass *pass)
{
	pass->kind = KIND_PRIVATE;
	return names_each(pass->from, STORE_MODULES, file_take, pass);
}

static int take_all(struct scratch *scratch, const char *path, struct survey *survey)
{
	uint64_t done = 0;
	struct pass pass = {.scratch = scratch, .survey = survey, .done = &done};
	int code = take_directory(&pass, STORE_PRIVATE, take_journal);

	if (!code)
		code = take_directory(&pass, STORE_MODULES, take_work);
	pass.from = scratch->store;
	pass.to = scratch->dir;
	if (!code)
		code = file_copy(&pass, "commits", false);
	pass.kind = KIND_DELTA;
	if (!code)
		code = names_each(scratch->store, path, file_take, &pass);
	pass.kind = KIND_IMAGE;
	if (!code)
		code = names_each(scratch->store, path, file_take, &pass);
	return code;
}

/* ---- space ------------------------------------------------------------------------------------------------------ */

static int survey_in_sight(void *arg, const char *name)
{
	struct pass *pass = arg;
	struct survey *survey = pass->survey;
	enum kind kind = kind_in_sight(name);
	struct stat st;

	if (kind == KIND_NONE || fstatat(pass->from, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return EXIT_DONE;
	survey->files++;
	*(kind == KIND_DELTA ? &survey->delta_bytes : &survey->image_bytes) += (uint64_t)st.st_blocks * 512;
	snprintf(kind == KIND_DELTA ? survey->delta : survey->image, sizeof(survey->delta), "%s", name);
	return EXIT_DONE;
}

static int survey_private(void *arg, const char *name)
{
	struct pass *pass = arg;
	struct stat st;

	if (kind_private(name) == KIND_NONE || fstatat(pass->from, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode))
		return EXIT_DONE;
	pass->survey->files++;
	pass->survey->private_bytes += (uint64_t)st.st_blocks * 512;
	return EXIT_DONE;
}

/* Finds out what can be had without copying it, by doing it once. */
static void try_means(struct scratch *scratch, const struct survey *survey)
{
	int from = -1, to = -1;

	scratch->link = !*survey->delta || !linkat(scratch->store, survey->delta, scratch->dir, "probe", 0);
	unlinkat(scratch->dir, "probe", 0);
	if (*survey->image)
		from = openat(scratch->store, survey->image, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (from >= 0)
		to = openat(scratch->dir, "probe", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	scratch->clone = to >= 0 && !ioctl(to, FICLONE, from);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	unlinkat(scratch->dir, "probe", 0);
}

/* Says what it will take, where that is much more than it should be, and refuses where there is no room. */
static int check_space(const struct scratch *scratch, const char *path, const struct survey *survey)
{
	uint64_t copied = survey->private_bytes, need;
	struct statvfs fs;
	char *text;

	if (!scratch->clone)
		copied += survey->image_bytes;
	if (!scratch->link)
		copied += survey->delta_bytes;
	need = copied + survey->image_bytes; /* backing files: as large as the images are */
	if (!scratch->inside && !scratch->link) {
		if (asprintf(&text, "the store's files are copied to %s, %s: what is measured is that file system",
		        scratch->path, text_size(copied).s) < 0)
			return complain("out of memory");
		note(text);
		free(text);
	}
	if (fstatvfs(scratch->dir, &fs) || need <= (uint64_t)fs.f_bavail * fs.f_frsize)
		return EXIT_DONE;
	return complain("trying restores of %s takes about %s in %s, where %s are free; make room, or give another "
	                "directory with --scratch",
	    path, text_size(need).s, scratch->path, text_size((uint64_t)fs.f_bavail * fs.f_frsize).s);
}

static int look_around(struct scratch *scratch, const char *path, struct survey *survey)
{
	struct pass pass = {.scratch = scratch, .from = scratch->store, .survey = survey};
	int code = names_each(scratch->store, path, survey_in_sight, &pass);

	pass.from = open_directory(scratch->store, STORE_MODULES);
	if (pass.from >= 0) {
		if (!code)
			code = names_each(pass.from, STORE_MODULES, survey_private, &pass);
		close(pass.from);
	}
	if (code)
		return code;
	try_means(scratch, survey);
	return check_space(scratch, path, survey);
}

/* ---- together --------------------------------------------------------------------------------------------------- */

int scratch_fill(struct scratch *scratch, const char *path)
{
	struct survey survey = {0};
	struct marks before, after;
	int code = look_around(scratch, path, &survey);

	progress_begin("prepare", "files");
	for (int i = 0; i < TRIES && !code && !scratch->still; i++) {
		if (i)
			code = scratch_empty(scratch);
		before = marks_take(scratch);
		if (!code)
			code = take_all(scratch, path, &survey);
		after = marks_take(scratch);
		scratch->still = marks_equal(&before, &after);
	}
	progress_end();
	return !code && interrupted() ? tune_interrupted() : code;
}
