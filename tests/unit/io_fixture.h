/*
 * io_fixture.h - a directory of its own for each test of the io layer, and faults armed from within.
 */
#ifndef IO_FIXTURE_H
#define IO_FIXTURE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"
#include "file.h"

static char fixture_path[64];
static struct dir fixture;

static inline void fixture_open_in(const char *parent)
{
	snprintf(fixture_path, sizeof(fixture_path), "%s/varve-io-XXXXXX", parent);
	cr_assert_not_null(mkdtemp(fixture_path));
	cr_assert_eq(dir_open(&fixture, -1, fixture_path, ""), 0);
}

static inline void fixture_open(void)
{
	fixture_open_in("/tmp");
}

static inline int fixture_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void fixture_close(void)
{
	dir_close(&fixture);
	nftw(fixture_path, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fixture_file(const char *name, const void *data, size_t size)
{
	int fd = openat(fixture.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, size), (ssize_t)size);
	close(fd);
}

/* The text of a small file; "" if there is none. */
static inline const char *fixture_text(const char *name)
{
	static char text[4096];
	int fd = openat(fixture.fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static inline void fixture_fault(const char *list)
{
	if (list)
		setenv("VARVE_FAULT", list, 1);
	else
		unsetenv("VARVE_FAULT");
	fault_load();
}

/* Descriptors that this process has open. */
static inline int fixture_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* From now on system call @number fails with @err in this process, as in many a container. */
static inline void fixture_deny(unsigned number, unsigned err)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static inline bool fixture_says(const char *words)
{
	return strstr(err_text(), words) != NULL;
}

#endif
