/*
 * sandbox.h - what a worker may still do once it decodes what others wrote: nothing but its work (README.md, "Sandbox").
 */
#ifndef WORKERS_SANDBOX_H
#define WORKERS_SANDBOX_H

#include <stdbool.h>

#include "err.h"

struct catalog;
struct dir;

enum sandbox_mode {
	SANDBOX_OFF,
	SANDBOX_ON, /**< as much of it as the system has */
	SANDBOX_REQUIRE, /**< all of it, or no worker */
};

/** What a worker needs to get through. */
struct sandbox_needs {
	const struct dir *base; /**< it may read what is beneath, .varve/ included, and nothing else */
	const struct dir *priv; /**< beneath this one it may make, change and remove files, too */
	const struct catalog *catalog; /**< it may write to the backing files of these modules; NULL: to none */
	int control; /**< the only socket that it may use */
	bool uring; /**< it has a ring */
};

struct sandbox_result {
	const char *state; /**< "on", "partial", "off" */
	char reason[ERR_TEXT]; /**< what is missing, and what would make it work; "" if nothing is */
};

/**
 * sandbox_enter() - give up, for the rest of this process's life, all that is not needed.
 *
 * A system call that nobody foresaw is not made: it seems to be missing (-ENOSYS), and the pool hears of it, once for
 * each (CONTROL_DENIED). One that no worker has a use for, but whoever has taken one over would, ends the process
 * (SIGSYS).
 *
 * Returns 0 and says in @result what came of it, or, with SANDBOX_REQUIRE, -errno with a sentence.
 */
int sandbox_enter(enum sandbox_mode mode, const struct sandbox_needs *needs, struct sandbox_result *result);

/** sandbox_possible() - whether it gives anything up at all in @mode: nothing can be where a sanitizer was built in. */
bool sandbox_possible(enum sandbox_mode mode);

/** sandbox_foresee() - what will probably come of it, as long as no worker has said so. */
void sandbox_foresee(enum sandbox_mode mode, struct sandbox_result *result);

/** sandbox_check() - whether SANDBOX_REQUIRE can be met here, before a worker is started. Returns 0, or -errno with a
 * sentence. */
int sandbox_check(void);

/* ---- for sandbox*.c only ---- */

/** landlock_enter() - files beneath @needs->base only; no network, and no signals to others, where the kernel can.
 * landlock_check() - whether it is there; landlock_try() - and may be entered, which takes a fork. Return 0, or -errno with
 * a sentence. */
int landlock_enter(const struct sandbox_needs *needs);
int landlock_check(void);
int landlock_try(void);

/** landlock_gaps() - what an older Landlock lets through in spite of the filter of system calls; @alone: what that would
 * see to, if it were there. Returns 0, or -errno with a sentence. */
int landlock_gaps(bool alone);

/** filter_enter() - no system calls but those that are needed; the last step. filter_check() - whether there are
 * filters here. Return 0, or -errno with a sentence. */
int filter_enter(const struct sandbox_needs *needs);
int filter_check(void);

/** sandbox_denied() - whether a test wants @part ("landlock", "seccomp") to be missing: VARVE_SANDBOX_DENY. */
bool sandbox_denied(const char *part);

#endif
