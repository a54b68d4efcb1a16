/*
 * varve_perf_rivals.c - what people would use instead: a chain of patches by another program, or a git repository.
 *
 * Each program is run as its user runs it, a process for each step (posix_spawn), from files to files. A chain holds the
 * first image whole and a patch for each that follows; getting to an image applies the patches up to it, one after
 * another. Making the chains is not timed. Where a program is missing it is left out, and that is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "varve_perf.h"

struct rival;

/** How a program is used. */
struct method {
	const char *scheme;
	const char *package; /**< Debian's */
	const char *programs[3]; /**< all must be there */
	int (*add)(
	    const struct rival *rival, size_t n, const char *old, const char *new); /**< image @n; 0 has no old */
	int (*finish)(const struct rival *rival); /**< may be NULL */
	int (*get)(const struct rival *rival, size_t n, const char *to); /**< image @n into the file @to */
};

/** A method with a chain of its own, in a directory of its own. */
struct rival {
	const struct method *method;
	char *directory;
	size_t count; /**< images */
	uint64_t disk_bytes;
};

struct rivals {
	struct rival *list;
	size_t count;
	const struct states *states;
	char *out; /**< the file that is restored */
};

/* ---- running ---------------------------------------------------------------------------------------------------- */

extern char **environ;

static bool installed(const char *program)
{
	char list[8192], path[PATH_MAX], *next = list;
	const char *folders = getenv("PATH"), *folder;
	snprintf(list, sizeof(list), "%s", folders ? folders : "/usr/bin:/bin");
	while ((folder = strsep(&next, ":"))) {
		snprintf(path, sizeof(path), "%s/%s", folder, program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static int run_failed(const char *const argv[], int status)
{
	char command[4096] = "";
	for (size_t used = 0; *argv && used < sizeof(command); argv++)
		used += (size_t)snprintf(command + used, sizeof(command) - used, " %s", *argv);
	return perf_fail("a program failed (wait status 0x%x):%s", (unsigned)status, command);
}

/* Runs a program and waits for it; its output goes to the file @out, made or written over, or nowhere, and what it says
 * of its progress is not shown. */
static int run(const char *out, const char *const argv[])
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status = 0;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
	    &actions, STDOUT_FILENO, out ? out : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	int error = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		return perf_fail("%s: %s", argv[0], strerror(error));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return perf_fail("waiting for %s: %s", argv[0], strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return run_failed(argv, status);
	return 0;
}

#define RUN(out, ...) run(out, (const char *const[]) {__VA_ARGS__, NULL})

/* ---- chains of patches ------------------------------------------------------------------------------------------ */

static void patch_path(char *path, const struct rival *rival, size_t n)
{
	snprintf(path, PATH_MAX, "%s/%zu.patch", rival->directory, n);
}

static void step_path(char *path, const struct rival *rival, size_t n)
{
	snprintf(path, PATH_MAX, "%s/step.%zu", rival->directory, n % 2);
}

static int copy_file(const char *from, const char *to)
{
	return RUN(NULL, "cp", "--", from, to);
}

static int bsdiff_make(const char *old, const char *new, const char *patch)
{
	return RUN(NULL, "bsdiff", old, new, patch);
}

static int bsdiff_apply(const char *old, const char *new, const char *patch)
{
	return RUN(NULL, "bspatch", old, new, patch);
}

static int xdelta_make(const char *old, const char *new, const char *patch)
{
	return RUN(NULL, "xdelta3", "-e", "-f", "-s", old, new, patch);
}

static int xdelta_apply(const char *old, const char *new, const char *patch)
{
	return RUN(NULL, "xdelta3", "-d", "-f", "-s", old, patch, new);
}

static int zstd_make(const char *old, const char *new, const char *patch)
{
	char from[PATH_MAX + 16];
	snprintf(from, sizeof(from), "--patch-from=%s", old);
	return RUN(NULL, "zstd", "-q", "-f", from, new, "-o", patch);
}

/* As much window as the image needs, which has to be allowed for large ones. */
static int zstd_apply(const char *old, const char *new, const char *patch)
{
	char from[PATH_MAX + 16];
	snprintf(from, sizeof(from), "--patch-from=%s", old);
	return RUN(NULL, "zstd", "-q", "-d", "-f", "--long=31", from, patch, "-o", new);
}

/* The image before the first patch is kept whole, as patch 0. */
static int chain_add(const struct rival *rival, size_t n, const char *old, const char *new,
    int (*make)(const char *old, const char *new, const char *patch))
{
	char patch[PATH_MAX];
	patch_path(patch, rival, n);
	return n ? make(old, new, patch) : copy_file(new, patch);
}

static int chain_get(const struct rival *rival, size_t n, const char *to,
    int (*apply)(const char *old, const char *new, const char *patch))
{
	char old[PATH_MAX], new[PATH_MAX], patch[PATH_MAX];
	patch_path(old, rival, 0);
	if (n == 0)
		return copy_file(old, to);
	for (size_t i = 1; i <= n; i++) {
		patch_path(patch, rival, i);
		step_path(new, rival, i);
		if (apply(old, i == n ? to : new, patch) < 0)
			return -1;
		step_path(old, rival, i);
	}
	return 0;
}

static int bsdiff_add(const struct rival *rival, size_t n, const char *old, const char *new)
{
	return chain_add(rival, n, old, new, bsdiff_make);
}

static int bsdiff_get(const struct rival *rival, size_t n, const char *to)
{
	return chain_get(rival, n, to, bsdiff_apply);
}

static int xdelta_add(const struct rival *rival, size_t n, const char *old, const char *new)
{
	return chain_add(rival, n, old, new, xdelta_make);
}

static int xdelta_get(const struct rival *rival, size_t n, const char *to)
{
	return chain_get(rival, n, to, xdelta_apply);
}

static int zstd_add(const struct rival *rival, size_t n, const char *old, const char *new)
{
	return chain_add(rival, n, old, new, zstd_make);
}

static int zstd_get(const struct rival *rival, size_t n, const char *to)
{
	return chain_get(rival, n, to, zstd_apply);
}

/* ---- git -------------------------------------------------------------------------------------------------------- */

#define GIT(rival, out, ...)                                                                                           \
	RUN(out, "git", "-C", (rival)->directory, "-c", "gc.auto=0", "-c", "user.name=varve-perf", "-c",               \
	    "user.email=varve-perf@localhost", "-c", "commit.gpgSign=false", __VA_ARGS__)

static int git_add(const struct rival *rival, size_t n, const char *old, const char *new)
{
	char image[PATH_MAX], tag[32];
	(void)old;
	snprintf(image, sizeof(image), "%s/image", rival->directory);
	snprintf(tag, sizeof(tag), "image-%zu", n);
	if ((n == 0 && GIT(rival, NULL, "init", "-q") < 0) || copy_file(new, image) < 0 ||
	    GIT(rival, NULL, "add", "image") < 0 ||
	    GIT(rival, NULL, "commit", "-q", "--no-verify", "--allow-empty", "-m", tag) < 0)
		return -1;
	return GIT(rival, NULL, "tag", tag);
}

static int git_finish(const struct rival *rival)
{
	char image[PATH_MAX];
	snprintf(image, sizeof(image), "%s/image", rival->directory);
	if (GIT(rival, NULL, "repack", "-a", "-d", "-f", "-q") < 0 || GIT(rival, NULL, "prune-packed", "-q") < 0)
		return -1;
	return unlink(image) < 0 ? perf_fail("%s: %s", image, strerror(errno)) : 0;
}

static int git_get(const struct rival *rival, size_t n, const char *to)
{
	char object[48];
	snprintf(object, sizeof(object), "image-%zu:image", n);
	return GIT(rival, to, "cat-file", "blob", object);
}

static const struct method methods[] = {
    {"bspatch", "bsdiff", {"bsdiff", "bspatch"}, bsdiff_add, NULL, bsdiff_get},
    {"xdelta3", "xdelta3", {"xdelta3"}, xdelta_add, NULL, xdelta_get},
    {"zstd --patch-from", "zstd", {"zstd"}, zstd_add, NULL, zstd_get},
    {"git cat-file", "git", {"git"}, git_add, git_finish, git_get},
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static int make_chain(struct rival *rival, const struct states *states)
{
	const char *old = NULL;
	if (mkdir(rival->directory, 0700) < 0)
		return perf_fail("%s: %s", rival->directory, strerror(errno));
	for (size_t i = 0; i < states->count; i++) {
		perf_progress("%s makes its chain, %zu of %zu", rival->method->scheme, i + 1, states->count);
		const char *new = states->list[i].images[0].file;
		if (perf_stopped() || rival->method->add(rival, i, old, new) < 0)
			return -1;
		old = new;
		rival->count++;
	}
	return rival->method->finish ? rival->method->finish(rival) : 0;
}

static const struct method *usable(size_t i, struct perf_case *c)
{
	for (size_t j = 0; methods[i].programs[j]; j++)
		if (!installed(methods[i].programs[j])) {
			case_leave_out(
			    c, "%s, which is not installed (Debian package %s)", methods[i].scheme, methods[i].package);
			return NULL;
		}
	return &methods[i];
}

int rivals_open(struct rivals **opened, const struct store *store, struct perf_case *c)
{
	struct rivals *rivals = *opened = calloc(1, sizeof(*rivals));
	if (!rivals || !(rivals->list = calloc(METHODS, sizeof(*rivals->list))) ||
	    asprintf(&rivals->out, "%s/rival", store->copies) < 0)
		return perf_fail("out of memory");
	rivals->states = &store->states;
	/* The repositories are ours: nobody's settings and no surrounding git command count. */
	unsetenv("GIT_DIR");
	unsetenv("GIT_INDEX_FILE");
	unsetenv("GIT_WORK_TREE");
	setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	for (size_t i = 0; i < METHODS; i++) {
		const struct method *method = usable(i, c);
		if (!method)
			continue;
		struct rival *rival = &rivals->list[rivals->count++];
		rival->method = method;
		if (asprintf(&rival->directory, "%s/rival-%zu", store->copies, i) < 0)
			return perf_fail("out of memory");
		if (make_chain(rival, rivals->states) < 0)
			return -1;
		rival->disk_bytes = perf_disk(rival->directory);
	}
	return 0;
}

int rivals_turn(struct rivals *rivals, const struct state *to, struct perf_case *c)
{
	size_t n = (size_t)(to - rivals->states->list);
	for (size_t i = 0; i < rivals->count; i++) {
		const struct rival *rival = &rivals->list[i];
		perf_progress("%s", rival->method->scheme);
		double start = perf_now();
		if (rival->method->get(rival, n, rivals->out) < 0)
			return -1;
		double seconds = perf_now() - start;
		if (image_check(rivals->out, &to->images[0]) < 0 ||
		    row_add(c, rival->method->scheme, 0, seconds, NULL) < 0)
			return -1;
		case_row(c, rival->method->scheme, 0)->disk_bytes = rival->disk_bytes;
	}
	return 0;
}

void rivals_close(struct rivals *rivals)
{
	if (!rivals)
		return;
	for (size_t i = 0; i < rivals->count; i++)
		free(rivals->list[i].directory);
	free(rivals->list);
	free(rivals->out);
	free(rivals);
}
