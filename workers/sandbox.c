/*
 * sandbox.c - a worker gives up what it does not need.
 *
 * It decodes what others wrote for a living. Whoever takes it over by that shall have nothing but what a worker has:
 *
 *   1. no_new_privs     nothing that it could execute gives it more; the next two need it
 *   2. Landlock         files beneath the base directory, no others, and few of them to be written; no TCP, no signals
 *                       to other processes
 *   3. capabilities     root's powers over the system are gone; those over files stay
 *   4. seccomp          the system calls of its work, no others; no way back
 *
 * The ring was made before: from then on it takes two operations only (io/uring.c), and those obey Landlock as plain
 * calls do.
 *
 * CAP_DAC_OVERRIDE and CAP_FOWNER are kept where root has them: a file in a store that root serves may belong to another
 * user, and the coordinator opens it by that right. Landlock bounds it to the store; without Landlock little would be
 * won, since most of what is worth writing belongs to root anyway.
 */
#include "sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Their runtimes make calls, and stop other threads, as no worker does. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const char switched_off[] = "it was switched off";

bool sandbox_denied(const char *part)
{
	const char *list = secure_getenv("VARVE_SANDBOX_DENY");
	return list && strstr(list, part) != NULL;
}

bool sandbox_possible(enum sandbox_mode mode)
{
	return mode != SANDBOX_OFF && !SANITIZED;
}

static int no_sanitizer(void)
{
	return SANITIZED ? fail(ENOTSUP, "built with a sanitizer, whose runtime needs what a sandbox forbids") : 0;
}

/* What of root's stays. Nothing to do for others: they have none, and can not get any (no_new_privs). Nor do they ask:
 * services' filters of system calls forbid capset(). */
static int drop_capabilities(void)
{
	const uint32_t kept = 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, sets) < 0)
		return fail_sys(errno, "a worker's capabilities");
	if (!(sets[0].permitted | sets[1].permitted | sets[0].inheritable | sets[1].inheritable))
		return 0;
	/* From the bounding set they can be dropped only by one that has CAP_SETPCAP, and should be by no other. */
	for (int i = 0; sets[0].effective & 1u << CAP_SETPCAP && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	sets[0].effective &= kept;
	sets[0].permitted &= kept;
	sets[0].inheritable = 0;
	sets[1] = (struct __user_cap_data_struct) {0};
	if (syscall(SYS_capset, &header, sets) < 0)
		return fail_sys(errno, "a worker's capabilities can not be given up");
	return 0;
}

/* Notes what is missing; an error only where nothing may be. */
static int note(enum sandbox_mode mode, int err, unsigned *missing, struct sandbox_result *result)
{
	if (err == 0)
		return 0;
	if (mode == SANDBOX_REQUIRE) {
		err_prefix("the sandbox of the workers is required, but ");
		return err;
	}
	size_t used = strlen(result->reason);
	snprintf(result->reason + used, sizeof(result->reason) - used, "%s%s", used ? "; " : "", err_text());
	++*missing;
	return 0;
}

int sandbox_enter(enum sandbox_mode mode, const struct sandbox_needs *needs, struct sandbox_result *result)
{
	unsigned missing = 0;
	int err;

	*result = (struct sandbox_result) {.state = "off"};
	if (mode == SANDBOX_OFF) {
		snprintf(result->reason, sizeof(result->reason), "%s", switched_off);
		return 0;
	}
	err = no_sanitizer();
	if (err < 0)
		return note(mode, err, &missing, result);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return note(mode, fail_sys(errno, "prctl(PR_SET_NO_NEW_PRIVS)"), &missing, result);
	if ((err = note(mode, landlock_enter(needs), &missing, result)) < 0)
		return err;
	if ((err = note(mode, landlock_gaps(false), &missing, result)) < 0)
		return err;
	if ((err = note(mode, drop_capabilities(), &missing, result)) < 0)
		return err;
	unsigned before = missing;
	if ((err = note(mode, filter_enter(needs), &missing, result)) < 0)
		return err;
	if (missing > before)
		note(mode, landlock_gaps(true), &missing, result);
	result->state = missing ? "partial" : "on";
	err_clear();
	return 0;
}

void sandbox_foresee(enum sandbox_mode mode, struct sandbox_result *result)
{
	unsigned missing = 0;

	*result = (struct sandbox_result) {.state = "off"};
	if (mode == SANDBOX_OFF) {
		snprintf(result->reason, sizeof(result->reason), "%s", switched_off);
		return;
	}
	if (note(SANDBOX_ON, no_sanitizer(), &missing, result) < 0 || missing)
		return;
	note(SANDBOX_ON, landlock_try(), &missing, result);
	note(SANDBOX_ON, landlock_gaps(false), &missing, result);
	unsigned before = missing;
	note(SANDBOX_ON, filter_check(), &missing, result);
	if (missing > before)
		note(SANDBOX_ON, landlock_gaps(true), &missing, result);
	result->state = missing ? "partial" : "on";
}

int sandbox_check(void)
{
	int err = no_sanitizer();
	if (err == 0)
		err = landlock_try();
	if (err == 0)
		err = landlock_gaps(false);
	if (err == 0)
		err = filter_check();
	if (err < 0)
		err_prefix("the sandbox of the workers is required, but ");
	return err;
}
