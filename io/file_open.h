/*
 * file_open.h - the steps of file_open(), for the reading methods; seen within io/ only.
 */
#ifndef IO_FILE_OPEN_H
#define IO_FILE_OPEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "file.h"

/** What every open of a file adds to its flags: O_NONBLOCK, so that a FIFO in a file's place can not hold us up. */
#define FILE_OPEN_FLAGS (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/** And how: for linux/openat2.h's struct open_how. */
#define FILE_OPEN_RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

/** file_name_check() - 0, or -EINVAL with a sentence: not a single component. */
int file_name_check(const struct dir *dir, const char *name);

/**
 * file_open_raw() - open, without a sentence and without a look at what was opened.
 * @cached  only if that needs no waiting: else -EAGAIN (also where the kernel does not know how)
 */
int file_open_raw(const struct dir *dir, const char *name, int flags, bool cached);

/** file_open_failed() - the sentence for an error of opening. Returns -@err. */
int file_open_failed(int err, const struct dir *dir, const char *name);

/** file_check() - fstat(), and that it is a regular file; @fd stays open. */
int file_check(int fd, struct stat *st, const struct dir *dir, const char *name);

/** file_read_raw() - pread() until @size bytes or the file's end. Returns how many, or -errno, without a sentence. */
ssize_t file_read_raw(int fd, void *to, size_t size, uint64_t offset);

/** file_too_short() - the sentence for a file that ends before @end. Returns -EBADMSG. */
int file_too_short(const struct dir *dir, const char *name, uint64_t end);

#endif
