/*
 * store_killer.c - a VM that commits, restores and looks without a pause, while its processes are killed and stopped at
 * random: workers, one or all, the coordinator, the VM itself.
 *
 * Every few rounds all is looked at: each commit whose call returned is there, none whose call failed; all backing files
 * are at the current commit; calls work. At the end no process, no socket and no temporary file is left.
 *
 * VARVE_SEED chooses another sequence; which process is hit at which step is a matter of time in any case. VARVE_LONG=1
 * goes on for longer.
 */
#include "helper_trouble.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULES 3
#define COMMITS 20000
#define IMAGE_MAX 40000

TestSuite(killer, .init = store_setup, .fini = store_teardown, .timeout = 1200);

enum fate { NEVER, TRIED, MADE, FAILED };

/* What the VMs say of themselves, in memory that they share with the test. */
struct diary {
	_Atomic int next;
	_Atomic int ops;
	_Atomic unsigned char fate[COMMITS]; /* of each commit; TRIED: nobody knows */
	_Atomic int error; /* one that nobody expects */
	char what[64], text[512];
};

static struct diary *diary;
static const char *const names[MODULES] = {"KA", "KB", "KC"};

/* What module @m is at commit @n. */
static size_t image_of(int n, int m, uint8_t *image)
{
	size_t size = 16000 + (size_t)(n % 5) * 5000 + (size_t)m * 100;
	noise(image, size, (uint64_t)(n / 4 * MODULES + m));
	for (size_t at = 0; at < size; at += 4096)
		memcpy(image + at, &n, size - at < sizeof(n) ? size - at : sizeof(n));
	return size;
}

/* ---- the VM ------------------------------------------------------------------------------------------------------- */

/* What a call may say while its processes are killed. */
static bool expected(int r)
{
	return r == 0 || r == -ECONNRESET || r == -ENOTRECOVERABLE || r == -EAGAIN || r == -EBUSY;
}

static int note(const char *what, int r)
{
	int none = 0;
	if (expected(r) || !atomic_compare_exchange_strong(&diary->error, &none, r))
		return r;
	snprintf(diary->what, sizeof(diary->what), "%s", what);
	snprintf(diary->text, sizeof(diary->text), "%s", varve_last_error());
	return r;
}

static int write_all(struct varve_session *session, int n)
{
	static uint8_t image[IMAGE_MAX];
	int r = 0;
	for (int m = 0; m < MODULES && !r; m++) {
		struct varve_id id = id_of(names[m]);
		struct varve_memory *memory;
		size_t size = image_of(n, m, image);
		r = varve_session_module(session, &id, &memory);
		if (r == -ENOENT)
			r = varve_session_deploy(session, &id, size, &memory);
		if (!r)
			r = varve_memory_resize(memory, size);
		if (!r)
			memcpy(varve_memory_base(memory), image, size);
	}
	return r;
}

static void make_commit(struct varve_vm *vm)
{
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	struct varve_session *session;
	char label[16];
	if (note("begin", varve_session_begin(vm, 5000, &session)))
		return;
	int n = atomic_fetch_add(&diary->next, 1), r = -1;
	if (n < COMMITS && !note("write", write_all(session, n))) {
		snprintf(label, sizeof(label), "%d", n);
		options.label = label;
		atomic_store(&diary->fate[n], TRIED);
		r = note("commit", varve_session_commit(session, &options, NULL));
		if (r != -ECONNRESET)
			atomic_store(&diary->fate[n], r ? FAILED : MADE);
	}
	if (r)
		note("abandon", varve_session_abandon(session));
}

static void look_back(struct varve_vm *vm, unsigned *seed)
{
	static uint8_t image[IMAGE_MAX], is[IMAGE_MAX];
	struct varve_log *log;
	uint64_t size;
	if (note("log", varve_log(vm, &log)))
		return;
	if (log->count == 0) {
		varve_log_free(log);
		return;
	}
	const struct varve_commit_info *commit = &log->commits[(size_t)rand_r(seed) % log->count];
	int n = atoi(commit->label), m = rand_r(seed) % MODULES, r = 0;
	if (rand_r(seed) % 2) {
		note("restore", varve_restore(vm, &commit->commit, NULL, NULL));
	} else {
		struct varve_id id = id_of(names[m]);
		int fd = memfd_create("image", MFD_CLOEXEC);
		r = note("checkout", varve_checkout(vm, &commit->commit, &id, fd, &size));
		size_t want = image_of(n, m, image);
		if (!r &&
		    (size != want || pread(fd, is, sizeof(is), 0) != (ssize_t)want || memcmp(is, image, want) != 0))
			note("a checkout is not what was committed", -EBADMSG);
		close(fd);
	}
	varve_log_free(log);
}

static int be_busy(void *arg)
{
	unsigned seed = *(unsigned *)arg;
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm;
	options.workers = 3;
	while (note("open", varve_vm_open(store_path(""), &options, &vm)))
		usleep(1000);
	while (!atomic_load(&diary->error)) {
		switch (rand_r(&seed) % 8) {
		case 0:
			note("persist", varve_persist(vm));
			break;
		case 1:
			note("verify", varve_verify(vm, NULL, NULL, NULL));
			break;
		case 2:
			note("optimize", varve_optimize(vm));
			break;
		case 3:
		case 4:
		case 5:
			make_commit(vm);
			break;
		default:
			look_back(vm, &seed);
		}
		atomic_fetch_add(&diary->ops, 1);
	}
	return 0;
}

/* ---- the killer ---------------------------------------------------------------------------------------------------- */

enum victim { WORKER, COORDINATOR };

/* Processes of the store, by what they are called: they all have its path in their command line. */
static int find(enum victim victim, pid_t *pids, int most)
{
	DIR *proc = opendir("/proc");
	int count = 0;
	for (struct dirent *entry; proc && (entry = readdir(proc)) && count < most;) {
		char path[300], line[2048] = "", comm[32] = "";
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
		close(fd);
		if (size <= 0 || !memmem(line, (size_t)size, store_path(""), strlen(store_path(""))))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		size = fd < 0 ? 0 : read(fd, comm, sizeof(comm) - 1);
		close(fd);
		if (size > 0 && (strncmp(comm, "varve-coord", 11) == 0) == (victim == COORDINATOR))
			pids[count++] = (pid_t)atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return count;
}

static void hit(pid_t pid, unsigned *seed)
{
	if (rand_r(seed) % 3) {
		kill(pid, SIGKILL);
		return;
	}
	kill(pid, SIGSTOP);
	usleep((useconds_t)(rand_r(seed) % 20000));
	kill(pid, SIGCONT);
}

/* One process, or all workers at once. */
static void strike(pid_t *vm, unsigned *seed)
{
	pid_t pids[64];
	int way = rand_r(seed) % 10;
	int count = find(way < 7 ? WORKER : COORDINATOR, pids, 64);
	if (way == 9) {
		kill(*vm, SIGKILL);
		child_end(*vm);
		*vm = 0;
	} else if (way == 6) {
		for (int i = 0; i < count; i++)
			kill(pids[i], SIGKILL);
	} else if (count) {
		hit(pids[rand_r(seed) % count], seed);
	}
}

/* ---- looking -------------------------------------------------------------------------------------------------------- */

static void check_log(const struct varve_log *log, unsigned first)
{
	static bool seen[COMMITS];
	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < log->count; i++) {
		int n = atoi(log->commits[i].label);
		cr_assert(n >= 0 && n < COMMITS && !seen[n], "seed %u: commit \"%s\"", first, log->commits[i].label);
		seen[n] = true;
		cr_assert(diary->fate[n] != FAILED && diary->fate[n] != NEVER,
		    "seed %u: commit %d failed, and is there", first, n);
	}
	for (int n = 0; n < COMMITS; n++)
		cr_assert(diary->fate[n] != MADE || seen[n], "seed %u: commit %d is lost", first, n);
}

static void on_finding(void *arg, const struct varve_finding *finding)
{
	cr_assert_fail("seed %u: %s: %s", *(unsigned *)arg, finding->file, finding->problem);
}

/* Everything is at one commit, and everything works. */
static void look(unsigned first)
{
	static uint8_t image[IMAGE_MAX];
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_log *log;
	struct varve_stat *stat;
	cr_assert(!diary->error, "seed %u: %s: %d, %s", first, diary->what, diary->error, diary->text);
	must(varve_session_begin(vm, 10000, &session));
	must(varve_session_abandon(session));
	must(varve_log(vm, &log));
	check_log(log, first);
	for (size_t i = 0; i < log->count; i++) {
		for (int m = 0; m < MODULES && log->commits[i].current; m++) {
			size_t size = image_of(atoi(log->commits[i].label), m, image);
			cr_assert(store_holds(store_file(names[m], NULL, ""), image, size),
			    "seed %u: %s is not at the current commit", first, names[m]);
		}
	}
	varve_log_free(log);
	must(varve_verify(vm, on_finding, &first, NULL));
	must(varve_stat(vm, &stat));
	for (size_t i = 0; i < stat->workers_count; i++)
		cr_assert(!stat->workers[i].pid || kill(stat->workers[i].pid, 0) == 0, "worker %d is dead",
		    stat->workers[i].pid);
	varve_stat_free(stat);
	varve_vm_close(vm);
}

Test(killer, whatever_is_killed_or_stopped_at_whatever_moment_the_store_is_whole)
{
	unsigned first = getenv("VARVE_SEED") ? (unsigned)atoi(getenv("VARVE_SEED")) : 1, seed = first;
	pid_t vm = 0, left[4];
	setenv("VARVE_INLINE", seed % 2 ? "0" : "1", 1);
	diary = mmap(NULL, sizeof(*diary), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(diary != MAP_FAILED);
	for (int round = 0; round < how_many(40, 3000); round++) {
		unsigned theirs = first * 7919 + (unsigned)round;
		if (!vm)
			vm = child_start(be_busy, &theirs);
		usleep((useconds_t)(rand_r(&seed) % 30000));
		strike(&vm, &seed);
		if (round % 10 < 9)
			continue;
		if (vm) {
			kill(vm, SIGKILL);
			child_end(vm);
		}
		vm = 0;
		look(first);
	}
	if (vm) {
		kill(vm, SIGKILL);
		child_end(vm);
	}
	cr_assert(atomic_load(&diary->ops) > 0, "the VM has done nothing at all");
	look(first);
	end_processes();
	cr_assert(!store_is_clean(), "seed %u: %s", first, store_is_clean());
	for (int i = 0; i < 2000 && find(WORKER, left, 4) + find(COORDINATOR, left, 4); i++)
		usleep(1000);
	cr_assert(find(WORKER, left, 4) + find(COORDINATOR, left, 4) == 0, "process %d is left behind", (int)left[0]);
}
