/*
 * sandbox_landlock.c - a worker reaches what is beneath the base directory, and nothing else.
 *
 * Rights are the kernel's to know: each version of Landlock's interface (ABI) adds some, and a ruleset that names one
 * it does not know is refused. So what is handled, which is to say forbidden unless a rule allows it, is cut to the
 * version that is there.
 *
 *   ABI 1  5.13  files                      ABI 4  6.7   TCP
 *   ABI 2  5.19  renames across directories ABI 5  6.10  ioctl() on devices
 *   ABI 3  6.2   truncation                 ABI 6  6.12  signals and abstract sockets outside of the sandbox
 *
 * ABI 1 forbids every rename from one directory to another, which is how files are published: it is as none.
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
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "file.h"

/* What the header of Linux 6.1 does not have yet. */
#define FS_ABI_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)
#define NET_TCP_ALL 3ull
#define SCOPE_ALL 3ull

/** The least that does (above). */
#define ABI_MIN 2

/** struct landlock_ruleset_attr, as of ABI 6; older kernels take it as long as what they do not know is 0. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

static const char remedy[] = "workers can reach files outside of the store";

static int abi(void)
{
	if (sandbox_denied("landlock"))
		return -ENOSYS;
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return version < 0 ? -errno : version;
}

static int explain(int err)
{
	switch (err) {
	case ENOSYS:
		return fail(
		    err, "%s: there is no Landlock here (ENOSYS); use Linux 5.19 or later, built with it", remedy);
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
	if (version < 0)
		return explain(-version);
	if (version < ABI_MIN)
		return fail(EOPNOTSUPP,
		    "%s: Landlock of this kernel can not allow renames between directories; use Linux 5.19 or later",
		    remedy);
	return 0;
}

static struct ruleset handled_by(int version)
{
	struct ruleset handled = {.fs = FS_ABI_1 | FS_REFER};
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

static int allow(int ruleset, int dir, uint64_t rights)
{
	struct landlock_path_beneath_attr beneath = {.allowed_access = rights, .parent_fd = dir};
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0 ? -errno : 0;
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

int landlock_enter(const struct sandbox_needs *needs)
{
	int err = landlock_check();
	if (err < 0)
		return err;
	struct ruleset handled = handled_by(abi());
	/* No devices, no links, no directories, nothing to be executed. */
	uint64_t rights =
	    handled.fs & (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
	                     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | FS_REFER | FS_TRUNCATE);
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	if (ruleset < 0)
		return explain(errno);
	err = allow(ruleset, needs->base->fd, rights);
	if (err == 0)
		err = allow_fault_file(ruleset, rights);
	if (err == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		err = -errno;
	close(ruleset);
	return err < 0 ? explain(-err) : 0;
}
