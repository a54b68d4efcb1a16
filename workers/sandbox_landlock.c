/*
 * sandbox_landlock.c - a worker reads what is beneath the base directory, and nothing else. It writes to backing files, and
 * to .varve/modules/, where all is that can be made again. What the store stands on (commits, journal, lock, images and
 * deltas of commits) it can neither write to, nor replace, nor remove: for the renames that publishing takes, and for
 * backing files that were not there when it began, it asks the coordinator (engine/sight.h, engine/backing.h).
 *
 * Rights are the kernel's to know: each version of Landlock's interface (ABI) adds some, and a ruleset that names one
 * it does not know is refused. So what is handled, which is to say forbidden unless a rule allows it, is cut to the
 * version that is there.
 *
 *   ABI 1  5.13  files                      ABI 4  6.7   TCP
 *   ABI 2  5.19  links across directories   ABI 5  6.10  ioctl() on devices
 *   ABI 3  6.2   truncation                 ABI 6  6.12  signals and abstract sockets outside of the sandbox
 *
 * Renames across directories no worker needs (sight.h). Where truncating is not known it is allowed, to who opens a file
 * for reading with O_TRUNC, and that is said. TCP and signals are the matter of the filter of system calls as well.
 *
 * Descriptors that were opened before, or are handed over (a checkout's file), stay what they are.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog.h"
#include "fault.h"
#include "file.h"
#include "names.h"

/* What the header of Linux 6.1 does not have yet. */
#define FS_ABI_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)
#define NET_TCP_ALL 3ull
#define SCOPE_ALL 3ull

/** So many modules' backing files can be written to without asking: each costs some microseconds at a worker's start. */
#define MODULES_MAX 4096

/** struct landlock_ruleset_attr, as of ABI 6; older kernels take it as long as what they do not know is 0. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

static const char remedy[] = "workers can reach files outside of the store, and replace any in it";

/** What came after ABI 3, and is the matter of the filter of system calls as well. */
static const struct {
	int abi;
	const char *what;
} later[] = {{4, "TCP"}, {5, "ioctl() on devices"}, {6, "signals to other processes"}};

/* Which interface there is; a test may have it seem older: VARVE_LANDLOCK_ABI. */
static int abi(void)
{
	if (sandbox_denied("landlock"))
		return -ENOSYS;
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 0)
		return -errno;
	const char *older = secure_getenv("VARVE_LANDLOCK_ABI");
	int wanted = older ? atoi(older) : 0;
	return wanted > 0 && wanted < version ? wanted : version;
}

static int explain(int err)
{
	switch (err) {
	case ENOSYS:
		return fail(
		    err, "%s: there is no Landlock here (ENOSYS); use Linux 5.13 or later, built with it", remedy);
	case EOPNOTSUPP:
		return fail(
		    err, "%s: Landlock is not switched on; add landlock to the kernel's parameter lsm=", remedy);
	case EPERM:
	case EACCES:
		return fail(err,
		    "%s: a filter of system calls, as containers have it, forbids Landlock; allow the calls landlock_*",
		    remedy);
	default:
		return fail_sys(err, "%s: Landlock", remedy);
	}
}

int landlock_check(void)
{
	int version = abi();
	return version < 0 ? explain(-version) : 0;
}

/* What entering it would end with, tried by a process that is ended by that: no ruleset is what it should complain of. */
int landlock_try(void)
{
	int err = landlock_check(), status = 0;
	if (err < 0)
		return err;
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		syscall(SYS_landlock_restrict_self, -1, 0);
		_exit(errno == EBADF ? 0 : errno);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	/* Where there is no child nobody knows. */
	return WIFEXITED(status) && WEXITSTATUS(status) ? explain(WEXITSTATUS(status)) : 0;
}

int landlock_gaps(bool alone)
{
	char text[128] = "";
	int version = abi();

	if (version > 0 && version < 3 && !alone)
		return fail(EOPNOTSUPP,
		    "workers can cut any file of the store short: Landlock of this kernel (ABI %d) does not know "
		    "truncating; use Linux 6.2 or later",
		    version);
	if (!alone)
		return 0;
	for (size_t i = 0; version > 0 && i < sizeof(later) / sizeof(later[0]); i++) {
		size_t used = strlen(text);
		if (version < later[i].abi)
			snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : "", later[i].what);
	}
	return text[0] ? fail(EOPNOTSUPP, "Landlock of this kernel (ABI %d) does not know %s; use Linux 6.12 or later",
	                     version, text)
	               : 0;
}

static struct ruleset handled_by(int version)
{
	struct ruleset handled = {.fs = FS_ABI_1};
	if (version >= 2)
		handled.fs |= FS_REFER;
	if (version >= 3)
		handled.fs |= FS_TRUNCATE;
	if (version >= 4)
		handled.net = NET_TCP_ALL;
	if (version >= 5)
		handled.fs |= FS_IOCTL_DEV;
	if (version >= 6)
		handled.scoped = SCOPE_ALL;
	return handled;
}

static int allow(int ruleset, int file, uint64_t rights)
{
	struct landlock_path_beneath_attr beneath = {.allowed_access = rights, .parent_fd = file};
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0 ? -errno : 0;
}

/* What is not there yet, or no file at all, is not allowed: who needs it asks. */
static int allow_backing_files(int ruleset, const struct sandbox_needs *needs, uint64_t rights)
{
	uint32_t count = needs->catalog ? catalog_count(needs->catalog) : 0;
	int err = 0;

	for (uint32_t m = 0; !err && m < count && m < MODULES_MAX; m++) {
		char name[NAME_MAX_SIZE];
		struct stat st;
		name_backing(name, &catalog_module(needs->catalog, m)->id);
		int file = openat(needs->base->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (file < 0)
			continue;
		if (fstat(file, &st) == 0 && S_ISREG(st.st_mode))
			err = allow(ruleset, file, rights);
		close(file);
	}
	return err;
}

/* A test may have the worker leave a mark elsewhere. */
static int allow_fault_file(int ruleset, uint64_t rights)
{
	char path[PATH_MAX];
	const char *file = fault_file();
	if (!file || snprintf(path, sizeof(path), "%s", file) >= (int)sizeof(path))
		return 0;
	char *slash = strrchr(path, '/');
	if (slash)
		slash[slash == path] = '\0';
	int dir = open(slash ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 0;
	int err = allow(ruleset, dir, rights & (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE));
	close(dir);
	return err;
}

/* No devices, no links, no directories, nothing to be executed. */
static int allow_all(int ruleset, const struct sandbox_needs *needs, uint64_t handled)
{
	uint64_t reads = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	uint64_t writes = handled & (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE);
	uint64_t makes = writes | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;

	int err = allow(ruleset, needs->base->fd, reads);
	/* Where the store can only be read there may be none. */
	if (err == 0 && needs->priv->fd >= 0)
		err = allow(ruleset, needs->priv->fd, makes);
	if (err == 0)
		err = allow_backing_files(ruleset, needs, writes);
	return err ? err : allow_fault_file(ruleset, makes);
}

int landlock_enter(const struct sandbox_needs *needs)
{
	int err = landlock_check();
	if (err < 0)
		return err;
	struct ruleset handled = handled_by(abi());
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	if (ruleset < 0)
		return explain(errno);
	err = allow_all(ruleset, needs, handled.fs);
	if (err == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		err = -errno;
	close(ruleset);
	return err < 0 ? explain(-err) : 0;
}
