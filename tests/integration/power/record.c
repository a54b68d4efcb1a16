/*
 * record.c - a coordinator that tells what it does to files: with its main program linked, the calls that change, name or
 * sync files go by here (ld --wrap). They are told to the file that VARVE_POWER_RECORD names, each after it was done.
 *
 * Workers tell as well: they are to run without their sandbox.
 */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVERY_CALL(X)                                                                                                  \
	X(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t offset))                                      \
	X(int, ftruncate, (int fd, off_t size))                                                                        \
	X(int, renameat, (int from, const char *name, int to, const char *new_name))                                   \
	X(int, unlinkat, (int dir, const char *name, int flags))                                                       \
	X(int, fsync, (int fd))                                                                                        \
	X(int, fdatasync, (int fd))                                                                                    \
	X(int, syncfs, (int fd))                                                                                       \
	X(ssize_t, copy_file_range, (int from, off_t *in, int to, off_t *out, size_t size, unsigned flags))            \
	X(int, ioctl, (int fd, unsigned long request, long arg))                                                       \
	X(int, openat, (int dir, const char *name, int flags, mode_t mode))                                            \
	X(long, syscall, (long number, long a, long b, long c, long d, long e, long f))

#define DECLARE(type, name, arguments)                                                                                 \
	type __real_##name arguments;                                                                                  \
	type __wrap_##name arguments;
EVERY_CALL(DECLARE)

static void tell(struct record *record, const void *data, size_t size)
{
	const char *path = getenv("VARVE_POWER_RECORD");
	int before = errno;
	int out = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	record->bytes = (uint32_t)size;
	static const char zeros[8];
	size_t padding = (8 - size % 8) % 8; /* records are looked at where they lie */
	struct iovec parts[] = {
	    {record, sizeof(*record)}, {(void *)(uintptr_t)data, size}, {(void *)(uintptr_t)zeros, padding}};
	if (out >= 0) {
		if (writev(out, parts, 3) != (ssize_t)(sizeof(*record) + size + padding))
			abort();
		close(out);
	}
	errno = before;
}

/* False: nothing that lies in a directory. */
static bool about(struct record *record, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return false;
	record->device = st.st_dev;
	record->ino = st.st_ino;
	return true;
}

static void named(struct record *record, int which, int dir, const char *name)
{
	struct stat st;
	if (fstat(dir, &st) < 0)
		return;
	record->device = st.st_dev;
	record->dir[which] = st.st_ino;
	strncpy(record->name[which], name, sizeof(record->name[which]) - 1);
}

static void tell_write(int fd, const void *data, size_t size, off_t offset)
{
	struct record record = {.kind = RECORD_WRITE, .offset = (uint64_t)offset, .size = size};
	if (about(&record, fd))
		tell(&record, data, size);
}

/* What has come into @fd without going by here. */
static void tell_content(int fd, off_t offset, size_t size)
{
	char *data = malloc(size + 1);
	ssize_t got = data ? pread(fd, data, size, offset) : -1;
	if (got > 0)
		tell_write(fd, data, (size_t)got, offset);
	free(data);
}

static void tell_sync(int fd, enum record_kind kind)
{
	struct record record = {.kind = kind};
	if (about(&record, fd))
		tell(&record, NULL, 0);
}

static void tell_create(int dir, const char *name, int fd)
{
	struct record record = {.kind = RECORD_CREATE};
	named(&record, 0, dir, name);
	if (about(&record, fd))
		tell(&record, NULL, 0);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	ssize_t n = __real_pwrite(fd, data, size, offset);
	if (n > 0)
		tell_write(fd, data, (size_t)n, offset);
	return n;
}

int __wrap_ftruncate(int fd, off_t size)
{
	struct record record = {.kind = RECORD_CUT, .size = (uint64_t)size};
	int r = __real_ftruncate(fd, size);
	if (r == 0 && about(&record, fd))
		tell(&record, NULL, 0);
	return r;
}

int __wrap_renameat(int from, const char *name, int to, const char *new_name)
{
	struct record record = {.kind = RECORD_RENAME};
	int r = __real_renameat(from, name, to, new_name);
	named(&record, 0, from, name);
	named(&record, 1, to, new_name);
	if (r == 0)
		tell(&record, NULL, 0);
	return r;
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
	struct record record = {.kind = RECORD_UNLINK};
	int r = __real_unlinkat(dir, name, flags);
	named(&record, 0, dir, name);
	if (r == 0)
		tell(&record, NULL, 0);
	return r;
}

int __wrap_fsync(int fd)
{
	int r = __real_fsync(fd);
	if (r == 0)
		tell_sync(fd, RECORD_SYNC);
	return r;
}

int __wrap_fdatasync(int fd)
{
	int r = __real_fdatasync(fd);
	if (r == 0)
		tell_sync(fd, RECORD_SYNC);
	return r;
}

int __wrap_syncfs(int fd)
{
	int r = __real_syncfs(fd);
	if (r == 0)
		tell_sync(fd, RECORD_SYNC_ALL);
	return r;
}

ssize_t __wrap_copy_file_range(int from, off_t *in, int to, off_t *out, size_t size, unsigned flags)
{
	off_t at = *out;
	ssize_t n = __real_copy_file_range(from, in, to, out, size, flags);
	if (n > 0)
		tell_content(to, at, (size_t)n);
	return n;
}

int __wrap_ioctl(int fd, unsigned long request, long arg)
{
	struct stat st;
	int r = __real_ioctl(fd, request, arg);
	if (r == 0 && request == FICLONE && fstat(fd, &st) == 0)
		tell_content(fd, 0, (size_t)st.st_size);
	return r;
}

int __wrap_openat(int dir, const char *name, int flags, mode_t mode)
{
	int fd = __real_openat(dir, name, flags, mode);
	if (fd >= 0 && (flags & O_CREAT))
		tell_create(dir, name, fd);
	return fd;
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long r = __real_syscall(number, a, b, c, d, e, f);
	if (number == SYS_openat2 && r >= 0 && (((const struct open_how *)c)->flags & O_CREAT))
		tell_create((int)a, (const char *)b, (int)r);
	return r;
}
