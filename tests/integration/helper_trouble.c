/*
 * helper_trouble.c - see helper_trouble.h.
 */
#include "helper_trouble.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME_SIZE (2 * VARVE_ID_TEXT + 32)

static char *next_name(void)
{
	static char names[4][NAME_SIZE];
	static int turn;
	return names[turn++ % 4];
}

const char *store_file(const char *module, const char *commit, const char *suffix)
{
	struct varve_id m = id_of(module), c = id_of(commit ? commit : "");
	char *name = next_name();
	if (commit)
		snprintf(name, NAME_SIZE, "%s_%s%s", text_of(&m), text_of(&c), suffix);
	else
		snprintf(name, NAME_SIZE, "%s", text_of(&m));
	return name;
}

const char *store_private(const char *module, const char *suffix)
{
	struct varve_id m = id_of(module);
	char *name = next_name();
	snprintf(name, NAME_SIZE, ".varve/modules/%s.%s", text_of(&m), suffix);
	return name;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

long file_bytes(const char *name)
{
	struct stat st;
	return lstat(store_path(name), &st) < 0 ? -1 : (long)st.st_size;
}

void file_flip(const char *name, long offset)
{
	unsigned char byte;
	int fd = open(store_path(name), O_RDWR | O_CLOEXEC);
	cr_assert(fd >= 0, "%s", name);
	if (offset < 0)
		offset += lseek(fd, 0, SEEK_END);
	cr_assert(pread(fd, &byte, 1, offset) == 1, "%s has no byte %ld", name, offset);
	byte ^= 0x10;
	cr_assert(pwrite(fd, &byte, 1, offset) == 1);
	close(fd);
}

void file_put(const char *name, const void *data, size_t size)
{
	/* In one step: a worker may be making the file at this moment. */
	char made[600];
	snprintf(made, sizeof(made), "%s.put", store_path(""));
	int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size, "%s", name);
	close(fd);
	cr_assert(rename(made, store_path(name)) == 0, "%s", name);
}

void *file_get(const char *name, size_t *size)
{
	struct stat st;
	int fd = open(store_path(name), O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && fstat(fd, &st) == 0, "%s", name);
	*size = (size_t)st.st_size;
	char *data = malloc(*size + 1);
	cr_assert(read(fd, data, *size) == (ssize_t)*size);
	close(fd);
	return data;
}

/* Whether nothing is in @name that should be there only for a while. */
static bool nothing_left(const char *name, char wrong[512])
{
	static const char *const passing[] = {".tmp", ".new", ".next", ".repair", ".old", "socket"};
	DIR *dir = opendir(store_path(name));
	bool left = !dir;
	if (!dir)
		snprintf(wrong, 512, "there is no %s", name);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++) {
			size_t length = strlen(entry->d_name), suffix = strlen(passing[i]);
			if (length < suffix || strcmp(entry->d_name + length - suffix, passing[i]) != 0)
				continue;
			snprintf(wrong, 512, "%s/%s was left behind", name, entry->d_name);
			left = true;
		}
	}
	if (dir)
		closedir(dir);
	return !left;
}

const char *store_is_clean(void)
{
	static char wrong[512];
	if (!nothing_left(".varve", wrong) || !nothing_left(".varve/modules", wrong))
		return wrong;
	return access(store_path(".varve/clean"), F_OK) ? "there is no mark of an orderly end" : NULL;
}

/* ---- faults ----------------------------------------------------------------------------------------------------- */

/* In a directory of its own: workers may write there, too (workers/sandbox_landlock.c). */
static const char *struck_path(void)
{
	static char path[512];
	snprintf(path, sizeof(path), "%s.struck/struck", store_path(""));
	return path;
}

/* Makes the directory, or removes it, without the file. */
static void struck_reset(bool make)
{
	char directory[512];
	snprintf(directory, sizeof(directory), "%s.struck", store_path(""));
	unlink(struck_path());
	if (make)
		mkdir(directory, 0700);
	else
		rmdir(directory);
}

void fault_set(const char *role, const char *fault, bool again)
{
	struck_reset(!again);
	setenv("VARVE_FAULT", fault, 1);
	if (role)
		setenv("VARVE_FAULT_ROLE", role, 1);
	else
		unsetenv("VARVE_FAULT_ROLE");
	if (again)
		unsetenv("VARVE_FAULT_FILE");
	else
		setenv("VARVE_FAULT_FILE", struck_path(), 1);
}

bool fault_struck(void)
{
	return access(struck_path(), F_OK) == 0;
}

void fault_clear(void)
{
	unsetenv("VARVE_FAULT");
	unsetenv("VARVE_FAULT_ROLE");
	unsetenv("VARVE_FAULT_FILE");
	struck_reset(false);
}

/* ---- children --------------------------------------------------------------------------------------------------- */

pid_t child_start(int (*run)(void *arg), void *arg)
{
	fflush(NULL);
	pid_t pid = fork();
	cr_assert(pid >= 0);
	if (pid)
		return pid;
	/* The handlers of the test's runner are not the child's. */
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	int r = run(arg);
	if (r)
		fprintf(stderr, "child: %d, %s\n", r, varve_last_error());
	_exit(r ? 1 : 0);
}

int child_end(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return status;
}

void child_run(int (*run)(void *arg), void *arg)
{
	int status = child_end(child_start(run, arg));
	cr_assert(status == 0, "the child ended with status %#x", (unsigned)status);
}

/* ---- verifying -------------------------------------------------------------------------------------------------- */

struct found {
	char files[16][NAME_SIZE];
	size_t count;
};

static void on_found(void *arg, const struct varve_finding *finding)
{
	struct found *found = arg;
	if (finding->damage && found->count < 16)
		snprintf(found->files[found->count++], NAME_SIZE, "%s", finding->file);
}

void expect_verified(struct varve_vm *vm, const char *const *files)
{
	static const char *const none[] = {NULL};
	struct varve_verify_report report;
	struct found found = {.count = 0};
	size_t want = 0;
	must(varve_verify(vm, on_found, &found, &report));
	for (files = files ? files : none; files[want]; want++) {
		size_t i = 0;
		while (i < found.count && strcmp(found.files[i], files[want]) != 0)
			i++;
		cr_assert(i < found.count, "verify does not name %s but %s", files[want],
		    found.count ? found.files[0] : "nothing");
	}
	cr_assert(report.damaged == want && found.count == want, "verify finds %llu damaged files, not %zu: %s",
	    (unsigned long long)report.damaged, want, found.count ? found.files[found.count - 1] : "");
}

static void on_stray(void *arg, const struct varve_finding *finding)
{
	if (!finding->damage && strstr(finding->problem, "no commit refers"))
		snprintf(arg, NAME_SIZE, "%s", finding->file);
}

void expect_no_strays(struct varve_vm *vm)
{
	char stray[NAME_SIZE] = "";
	must(varve_verify(vm, on_stray, stray, NULL));
	cr_assert(!*stray, "no commit refers to %s", stray);
}

int how_many(int quick, int full)
{
	return getenv("VARVE_LONG") ? full : quick;
}

bool falls_asleep(pid_t pid, int tries)
{
	char path[64], line[512];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int asleep = 0, i = 0; i < tries; i++) {
		usleep(1000);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t size = read(fd, line, sizeof(line) - 1);
		close(fd);
		cr_assert(size > 0);
		line[size] = 0;
		asleep = strstr(line, ") S ") ? asleep + 1 : 0;
		if (asleep == 20)
			return true;
	}
	return false;
}
