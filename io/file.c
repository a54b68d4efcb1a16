/*
 * file.c - files of one directory, and how they get there whole.
 *
 * Whoever can write to the directory may have put a link, a FIFO or a device where a file is meant. So every open goes
 * by openat2() beneath the directory without following links, never waits for a FIFO's other end, and what was opened
 * is looked at before it is used. Kernels before 5.6 and some system call filters have no openat2(); O_NOFOLLOW serves
 * there, which for names of one component comes to the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"
#include "file.h"
#include "file_open.h"

static atomic_bool no_openat2;

int file_name_check(const struct dir *dir, const char *name)
{
	if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return fail(EINVAL, "\"%s%s\" is not the name of a file in a directory", dir->label, name);
	return 0;
}

/* openat2() beneath @parent, or openat() where that is missing; a descriptor or -errno. */
static int open_beneath(int parent, const char *name, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {.flags = (unsigned)flags, .mode = mode, .resolve = FILE_OPEN_RESOLVE | resolve};
	bool missing = atomic_load_explicit(&no_openat2, memory_order_relaxed);
	int fd;

	if (!missing) {
		do
			fd = (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));
		while (fd < 0 && errno == EINTR);
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
			return fd >= 0 ? fd : -errno;
		missing = errno == ENOSYS;
	}
	if (resolve)
		return -EAGAIN;
	do
		fd = openat(parent, name, flags | O_NOFOLLOW, mode);
	while (fd < 0 && errno == EINTR);
	/* EPERM may have been meant for this one file: openat2() is given up only where openat() does better. */
	int rc = fd < 0 ? -errno : fd;
	if (missing || fd >= 0)
		atomic_store_explicit(&no_openat2, true, memory_order_relaxed);
	return rc;
}

int file_open_raw(const struct dir *dir, const char *name, int flags, bool cached)
{
	if (dir->fd < 0)
		return -ENOENT;
	if (cached && atomic_load_explicit(&no_openat2, memory_order_relaxed))
		return -EAGAIN;
	int fd = open_beneath(dir->fd, name, flags | FILE_OPEN_FLAGS, 0, cached ? RESOLVE_CACHED : 0);
	/* Kernels before 5.12 do not know RESOLVE_CACHED. */
	return cached && fd == -EINVAL ? -EAGAIN : fd;
}

int file_open_failed(int err, const struct dir *dir, const char *name)
{
	if (err == ENXIO) /* a socket, or a FIFO to be written that nobody reads */
		return fail(EINVAL, "%s%s is not a regular file: move it away", dir->label, name);
	return fail_sys(err, "%s%s can not be opened", dir->label, name);
}

int file_check(int fd, struct stat *st, const struct dir *dir, const char *name)
{
	if (fstat(fd, st) < 0)
		return fail_sys(errno, "%s%s can not be looked at", dir->label, name);
	if (!S_ISREG(st->st_mode))
		return fail(EINVAL, "%s%s is not a regular file: move it away", dir->label, name);
	return 0;
}

/* A descriptor, or -errno: with a sentence, but for -ENOENT, which is no failure to everyone. */
static int open_regular(const struct dir *dir, const char *name, int flags, struct stat *st)
{
	int rc = file_name_check(dir, name);
	if (rc)
		return rc;
	int fd = fault_at("read.open");
	if (!fd)
		fd = file_open_raw(dir, name, flags, false);
	if (fd < 0)
		return fd == -ENOENT ? fd : file_open_failed(-fd, dir, name);
	rc = file_check(fd, st, dir, name);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int file_open(const struct dir *dir, const char *name, int flags)
{
	struct stat st;
	int fd = open_regular(dir, name, flags, &st);
	return fd == -ENOENT ? file_open_failed(ENOENT, dir, name) : fd;
}

int file_create(const struct dir *dir, const char *name)
{
	int rc = file_name_check(dir, name);
	if (rc)
		return rc;
	if (!(rc = fault_at("write.create"))) {
		unlinkat(dir->fd, name, 0); /* if it can not be removed, O_EXCL says so */
		rc = open_beneath(dir->fd, name, O_RDWR | O_CREAT | O_EXCL | FILE_OPEN_FLAGS, 0600, 0);
	}
	return rc < 0 ? fail_sys(-rc, "%s%s can not be made", dir->label, name) : rc;
}

int file_stat(const struct dir *dir, const char *name, struct stat *st)
{
	int rc = file_name_check(dir, name);
	if (rc)
		return rc;
	if (dir->fd < 0)
		return -ENOENT;
	if (fstatat(dir->fd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return errno == ENOENT ? -ENOENT : fail_sys(errno, "%s%s can not be looked at", dir->label, name);
}

bool file_exists(const struct dir *dir, const char *name)
{
	struct stat st;
	return file_stat(dir, name, &st) == 0 && S_ISREG(st.st_mode);
}

int file_rename(const struct dir *from, const char *name, const struct dir *to, const char *new_name)
{
	int rc = file_name_check(from, name);
	if (rc || (rc = file_name_check(to, new_name)))
		return rc;
	if (!(rc = fault_at("file.rename")) && renameat(from->fd, name, to->fd, new_name) < 0)
		rc = -errno;
	if (rc)
		return fail_sys(-rc, "%s%s can not be renamed to %s%s", from->label, name, to->label, new_name);
	return 0;
}

int file_unlink(const struct dir *dir, const char *name)
{
	int rc = file_name_check(dir, name);
	if (rc)
		return rc;
	if (!(rc = fault_at("file.unlink")) && unlinkat(dir->fd, name, 0) < 0)
		rc = -errno;
	return rc && rc != -ENOENT ? fail_sys(-rc, "%s%s can not be removed", dir->label, name) : 0;
}

int file_too_short(const struct dir *dir, const char *name, uint64_t end)
{
	return fail(EBADMSG, "%s%s is damaged: it ends before byte %llu", dir->label, name, (unsigned long long)end);
}

ssize_t file_read_raw(int fd, void *to, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
		if (got == 0)
			break;
		if (got > 0)
			done += (size_t)got;
		else if (errno != EINTR)
			return -errno;
	}
	return (ssize_t)done;
}

int file_read_at(int fd, void *to, size_t size, uint64_t offset, const struct dir *dir, const char *name)
{
	if (size > INT64_MAX || offset > (uint64_t)INT64_MAX - size)
		return file_too_short(dir, name, offset);
	ssize_t got = fault_at("read.data");
	if (!got)
		got = file_read_raw(fd, to, size, offset);
	if (got < 0)
		return fail_sys((int)-got, "%s%s can not be read", dir->label, name);
	return (size_t)got < size ? file_too_short(dir, name, offset + size) : 0;
}

static int write_all(int fd, const char *from, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t put = pwrite(fd, from, size, (off_t)offset);
		if (put == 0)
			return -EIO;
		if (put < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		from += put;
		offset += (uint64_t)put;
		size -= (size_t)put;
	}
	return 0;
}

/* A disk that gets full, or a process that is killed, leaves a part of a write behind: so do the faults. */
static int write_in_halves(int fd, const char *from, size_t size, uint64_t offset)
{
	size_t half = size / 2;
	int rc = write_all(fd, from, half, offset);

	if (!rc)
		rc = fault_at("write.data");
	return rc ? rc : write_all(fd, from + half, size - half, offset + half);
}

int file_write_at(int fd, const void *from, size_t size, uint64_t offset, const struct dir *dir, const char *name)
{
	int rc = -EFBIG;

	if (size <= INT64_MAX && offset <= (uint64_t)INT64_MAX - size)
		rc = fault_armed ? write_in_halves(fd, from, size, offset) : write_all(fd, from, size, offset);
	return rc ? fail_sys(-rc, "%s%s can not be written", dir->label, name) : 0;
}

int file_reserve(int fd, uint64_t from, uint64_t size, const struct dir *dir, const char *name)
{
	int rc = fault_at("file.resize");

	while (!rc && fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)size) < 0) {
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			break;
		if (errno != EINTR)
			rc = -errno;
	}
	return rc ? fail_sys(-rc, "%s%s: no room is left to go on in", dir->label, name) : 0;
}

int file_resize(int fd, uint64_t size, const struct dir *dir, const char *name)
{
	int rc = fault_at("file.resize");

	if (size > INT64_MAX)
		rc = -EFBIG;
	while (!rc && ftruncate(fd, (off_t)size) < 0) {
		if (errno != EINTR)
			rc = -errno;
	}
	if (rc)
		return fail_sys(
		    -rc, "%s%s can not be made %llu bytes long", dir->label, name, (unsigned long long)size);
	return 0;
}

int file_sync(int fd, const struct dir *dir, const char *name)
{
	int rc = fault_at("file.sync");

	if (!rc && fdatasync(fd) < 0)
		rc = -errno;
	return rc ? fail_sys(-rc, "%s%s can not be synced", dir->label, name) : 0;
}

int file_load(const struct dir *dir, const char *name, size_t limit, struct buf *b)
{
	struct stat st;

	int fd = open_regular(dir, name, O_RDONLY, &st);
	if (fd < 0)
		return fd;
	int rc = 0;
	if ((uint64_t)st.st_size > limit) {
		rc = fail(EFBIG, "%s%s is longer than %zu bytes", dir->label, name, limit);
		goto out;
	}
	size_t size = (size_t)st.st_size;
	uint8_t *to = buf_reserve(b, size);
	if (!to) {
		err_prefix("%s%s can not be loaded: ", dir->label, name);
		rc = -ENOMEM;
		goto out;
	}
	rc = file_read_at(fd, to, size, 0, dir, name);
	if (!rc)
		b->size += size;
out:
	close(fd);
	return rc;
}

int file_publish(
    const struct dir *tmp, const struct dir *dir, const char *name, const void *data, size_t size, bool sync)
{
	char temporary[NAME_MAX + 1];

	/* With the process in it: the same name may be on its way in another one. */
	int length = snprintf(temporary, sizeof(temporary), "%s.%d" FILE_TEMPORARY, name, (int)getpid());
	if (length < 0 || (size_t)length >= sizeof(temporary))
		return fail(ENAMETOOLONG, "%s%s: the name is too long", dir->label, name);
	int fd = file_create(tmp, temporary);
	if (fd < 0)
		return fd;
	int rc = file_write_at(fd, data, size, 0, tmp, temporary);
	if (!rc && sync)
		rc = file_sync(fd, tmp, temporary);
	close(fd);
	if (!rc)
		rc = file_rename(tmp, temporary, dir, name);
	if (rc)
		unlinkat(tmp->fd, temporary, 0);
	return rc;
}

int dir_open(struct dir *dir, int parent, const char *name, const char *label)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	*dir = (struct dir) {.fd = -1, .label = label};
	/* The path of the base directory is the user's own: it may be relative, deep, and lead through links. */
	int fd = parent < 0 ? open(name, flags) : open_beneath(parent, name, flags, 0, 0);
	if (fd < 0)
		return fail_sys(parent < 0 ? errno : -fd, "the directory %s can not be opened", name);
	dir->fd = fd;
	return 0;
}

int dir_make(struct dir *dir, int parent, const char *name, const char *label)
{
	int rc = dir_open(dir, parent, name, label);

	if (rc != -ENOENT)
		return rc;
	if (mkdirat(parent < 0 ? AT_FDCWD : parent, name, 0700) < 0 && errno != EEXIST)
		return fail_sys(errno, "the directory %s can not be made", name);
	return dir_open(dir, parent, name, label);
}

void dir_close(struct dir *dir)
{
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
}

int dir_sync(const struct dir *dir)
{
	int rc = fault_at("dir.sync");

	/* EINVAL: a filesystem that has nothing to sync for a directory. */
	if (!rc && fsync(dir->fd) < 0 && errno != EINVAL)
		rc = -errno;
	return rc ? fail_sys(-rc, "the directory %s can not be synced", *dir->label ? dir->label : "of the store") : 0;
}

int dir_each(const struct dir *dir, int (*fn)(void *arg, const char *name), void *arg)
{
	/* Opened again: a descriptor has one position, and this one may be read while it is being read. */
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (!stream) {
		rc = fail_sys(errno, "the directory %s can not be listed", *dir->label ? dir->label : "of the store");
		if (fd >= 0)
			close(fd);
		return rc;
	}
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(stream);
		if (!entry) {
			if (errno)
				rc = fail_sys(errno, "the directory %s can not be listed",
				    *dir->label ? dir->label : "of the store");
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if ((rc = fn(arg, entry->d_name)))
			break;
	}
	closedir(stream);
	return rc;
}
