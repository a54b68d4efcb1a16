/*
 * find.c - where the coordinator's program is.
 *
 * A path that somebody gave, by option or environment, is the only one tried: falling back to another program would
 * hide the mistake. Otherwise it is looked for beside this library (installed, or in the build tree), where this
 * library was configured to be installed, and in PATH.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "err.h"

#define PROGRAM "varve-coordinator"

#ifndef VARVE_COORDINATOR_PATH
#define VARVE_COORDINATOR_PATH "/usr/local/libexec/varve/" PROGRAM
#endif

static bool runnable(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* The directory of this library, or of the program that it was linked into; "" if that is not known. */
static void own_directory(char *dir)
{
	char resolved[PATH_MAX];
	Dl_info info;
	dir[0] = 0;
	bool known = dladdr((const void *)(uintptr_t)varve_version, &info) && info.dli_fname &&
	             strchr(info.dli_fname, '/') && realpath(info.dli_fname, resolved);
	if (!known && !realpath("/proc/self/exe", resolved))
		return;
	char *slash = strrchr(resolved, '/');
	*slash = 0;
	memcpy(dir, resolved, (size_t)(slash - resolved) + 1);
}

/* @dir/@rest, malloc()ed, if it can be run. */
static char *candidate(const char *dir, size_t length, const char *rest)
{
	char *path;
	if (asprintf(&path, "%.*s/%s", (int)length, dir, rest) < 0)
		return NULL;
	if (runnable(path))
		return path;
	free(path);
	return NULL;
}

static char *find_beside(const char *dir)
{
	/* A library in lib/ or, with Debian's multiarch, in lib/TRIPLET/; then the build tree. */
	static const char *const places[] = {"../libexec/varve/" PROGRAM, "../../libexec/varve/" PROGRAM, PROGRAM};
	char *path = NULL;
	for (size_t i = 0; *dir && !path && i < sizeof(places) / sizeof(places[0]); i++)
		path = candidate(dir, strlen(dir), places[i]);
	return path;
}

static char *find_in_path(void)
{
	const char *at = secure_getenv("PATH");
	char *path = NULL;
	while (at && !path) {
		size_t length = strcspn(at, ":");
		/* An empty entry means the working directory: nobody keeps a coordinator there on purpose. */
		if (length)
			path = candidate(at, length, PROGRAM);
		at = at[length] ? at + length + 1 : NULL;
	}
	return path;
}

static int take_given(const char *given, const char *where, char **program)
{
	if (!runnable(given))
		return fail(ENOEXEC, "%s, which %s names, is not a program that can be run; correct it", given, where);
	*program = strdup(given);
	return *program ? 0 : fail(ENOMEM, "not enough memory to start a coordinator");
}

int spawn_find(const char *given, char **program)
{
	char dir[PATH_MAX];
	*program = NULL;
	if (given)
		return take_given(given, "the option `coordinator`", program);
	given = secure_getenv("VARVE_COORDINATOR");
	if (given && *given)
		return take_given(given, "VARVE_COORDINATOR", program);
	own_directory(dir);
	*program = find_beside(dir);
	if (!*program && runnable(VARVE_COORDINATOR_PATH))
		*program = strdup(VARVE_COORDINATOR_PATH);
	if (!*program)
		*program = find_in_path();
	if (*program)
		return 0;
	return fail(ENOEXEC,
	    "the program " PROGRAM
	    " was not found: not beside the library (%.200s), not at %s, not in PATH; install it, or set "
	    "VARVE_COORDINATOR",
	    dir, VARVE_COORDINATOR_PATH);
}
