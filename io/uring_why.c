/*
 * uring_why.c - from an errno to a sentence that an administrator can act upon.
 *
 * The kernel says EPERM for three different reasons, and containers answer EPERM or ENOSYS in its name. Which it is can be
 * seen in two files of /proc.
 */
#include "uring_why.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"

#define FASTER "for faster cold restores"
#define CALLS "io_uring_setup, io_uring_enter and io_uring_register"

/* The number behind @key in @path; -1: there is none. */
static int number_in(const char *path, const char *key)
{
	char line[256];
	int number = -1;
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	while (number < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%d", &number) != 1)
			number = -1;
	fclose(file);
	return number;
}

struct uring_place uring_place(void)
{
	int mode = number_in("/proc/self/status", "Seccomp:");
	return (struct uring_place) {
	    .disabled = number_in("/proc/sys/kernel/io_uring_disabled", ""),
	    .filter = mode < 0 ? -1 : mode == 2,
	};
}

static int forbidden(int err, const char *name, struct uring_place place)
{
	if (place.disabled == 2)
		return fail(err,
		    "io_uring is forbidden here (%s): kernel.io_uring_disabled is 2; run sysctl -w "
		    "kernel.io_uring_disabled=0 "
		    "as root, and put it into /etc/sysctl.d/, " FASTER,
		    name);
	if (place.disabled == 1)
		return fail(err,
		    "io_uring is forbidden here (%s): kernel.io_uring_disabled is 1, and this process is neither "
		    "privileged "
		    "nor of the group kernel.io_uring_group; run sysctl -w kernel.io_uring_disabled=0 as root, or put "
		    "the "
		    "user into that group, " FASTER,
		    name);
	if (place.filter == 1)
		return fail(err,
		    "io_uring is forbidden here (%s): a seccomp filter blocks it, as those of containers do; "
		    "allow " CALLS " in its profile (docker run --security-opt seccomp=PROFILE; systemd: "
		    "SystemCallFilter=@aio) " FASTER,
		    name);
	return fail(err,
	    "io_uring is forbidden here (%s): neither sysctl kernel.io_uring_disabled nor a seccomp filter does that, "
	    "so it "
	    "is probably a security module (SELinux, AppArmor): allow io_uring in its policy " FASTER,
	    name);
}

int uring_why(int err, struct uring_place place)
{
	const char *name = strerrorname_np(err);

	switch (err) {
	case EPERM:
	case EACCES:
		return forbidden(err, name, place);
	case ENOSYS:
		if (place.filter == 1 && place.disabled >= 0)
			return fail(err,
			    "io_uring is missing here (%s): the kernel has it, a seccomp filter hides it, as those of "
			    "containers "
			    "do; allow " CALLS " in its profile (docker run --security-opt seccomp=PROFILE) " FASTER,
			    name);
		return fail(err,
		    "io_uring is missing here (%s): the kernel was built without it, or a filter of system calls hides "
		    "it; use "
		    "Linux 5.19 or later with CONFIG_IO_URING, and allow " CALLS ", " FASTER,
		    name);
	case ENOMEM:
		return fail(err,
		    "io_uring got no memory (%s): raise the limit of locked memory (ulimit -l; systemd: LimitMEMLOCK=) "
		    "or the "
		    "memory limit of the control group " FASTER,
		    name);
	case EMFILE:
	case ENFILE:
		return fail(err,
		    "io_uring got no descriptors (%s): raise the limit of open files (ulimit -n; systemd: "
		    "LimitNOFILE=) " FASTER,
		    name);
	default:
		return fail(err, "io_uring can not do here what is needed (%s): use Linux 5.19 or later " FASTER,
		    name ? name : "an unknown error");
	}
}
