/*
 * file.h - files beneath one directory: opened without following links, written whole under a temporary name, renamed.
 *
 * A `struct dir` is an open directory. Names are single components ("commits"); one that has a slash, is "." or ".."
 * or empty is refused with -EINVAL. A symbolic link, or anything that is not a regular file, is refused where a file
 * is meant: -ELOOP / -EINVAL, with a sentence. Every failure has a sentence (err.h) that names the file by the
 * directory's label and its name. Not for several threads at a time.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "bytes.h"

/** What the temporary names of file_publish() end in: such a file that is found after a crash can be removed. */
#define FILE_TEMPORARY ".tmp"

struct dir {
	int fd; /**< -1: not open; no file is in it then: -ENOENT */
	const char
	    *label; /**< put before names in messages: "" for the base directory, ".varve/" for the private one */
};

/** dir_open() - open @name beneath @parent (-1: a path of any form). @label must outlive the dir. */
int dir_open(struct dir *dir, int parent, const char *name, const char *label);

/** dir_make() - like dir_open(), after making the directory with mode 0700 if it is not there. */
int dir_make(struct dir *dir, int parent, const char *name, const char *label);

void dir_close(struct dir *dir);

/** file_open() - open a regular file. @flags as for open(2), without O_CREAT. Returns a descriptor or -errno. */
int file_open(const struct dir *dir, const char *name, int flags);

/** file_create() - open a regular file for reading and writing, new and empty (an old one of the name is unlinked
 * first), mode 0600. Returns a descriptor or -errno. */
int file_create(const struct dir *dir, const char *name);

/** file_stat() - as fstatat() without following links. Returns 0 or -errno; -ENOENT is returned without a sentence. */
int file_stat(const struct dir *dir, const char *name, struct stat *st);

/** file_exists() - whether a regular file of that name is there. */
bool file_exists(const struct dir *dir, const char *name);

/** file_rename() - rename from one directory to another, replacing what has the name. */
int file_rename(const struct dir *from, const char *name, const struct dir *to, const char *new_name);

/** file_unlink() - remove; a file that is not there is no error. */
int file_unlink(const struct dir *dir, const char *name);

/** file_read_at() - exactly @size bytes, or -EBADMSG (the file is shorter). @name is for messages. */
int file_read_at(int fd, void *to, size_t size, uint64_t offset, const struct dir *dir, const char *name);

/** file_write_at() - all of them, or -errno; then any part of them may have been written. */
int file_write_at(int fd, const void *from, size_t size, uint64_t offset, const struct dir *dir, const char *name);

/** file_resize() - ftruncate(). */
int file_resize(int fd, uint64_t size, const struct dir *dir, const char *name);

/** file_reserve() - room on disk for bytes [from, from + size), its length staying what it is. 0 too where the file system
 * knows no such thing. */
int file_reserve(int fd, uint64_t from, uint64_t size, const struct dir *dir, const char *name);

/** file_sync() - fdatasync(). */
int file_sync(int fd, const struct dir *dir, const char *name);

/** dir_sync() - make renames in @dir last. */
int dir_sync(const struct dir *dir);

/** file_load() - the whole file appended to @b (at most @limit bytes: -EFBIG). -ENOENT without a sentence. */
int file_load(const struct dir *dir, const char *name, size_t limit, struct buf *b);

/**
 * file_publish() - write @data under a temporary name in @tmp, sync it if @sync, rename it to @name in @dir.
 * Nothing is in sight before it is whole; after a failure the temporary name is gone, and what had the name before still
 * has it. That the rename lasts is dir_sync()'s to see to.
 */
int file_publish(
    const struct dir *tmp, const struct dir *dir, const char *name, const void *data, size_t size, bool sync);

/** dir_each() - call @fn for each name but "." and ".."; a result other than 0 ends it and is returned. */
int dir_each(const struct dir *dir, int (*fn)(void *arg, const char *name), void *arg);

#endif
