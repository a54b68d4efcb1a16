/*
 * store_clients.c - several processes with one store: who waits for whom, who dies, who changes his mind.
 */
#include "helper_trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 40000

TestSuite(clients, .init = store_setup, .fini = store_teardown, .timeout = 60);

/* Memory that children share with the test. */
struct shared {
	_Atomic int ready;
	_Atomic int go;
};

static struct shared *shared_new(void)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(p != MAP_FAILED);
	return p;
}

static void wait_for(_Atomic int *flag, int value)
{
	for (int i = 0; i < 20000 && atomic_load(flag) < value; i++)
		usleep(500);
}

static int open_here(struct varve_vm **vm)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	options.workers = 2;
	return varve_vm_open(store_path(""), &options, vm);
}

/* ---- one session at a time --------------------------------------------------------------------------------------- */

static int add_alone(void *arg)
{
	struct varve_vm *vm;
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	(void)arg;
	int r = open_here(&vm);
	for (int i = 0; i < 5 && !r; i++) {
		r = varve_session_begin(vm, -1, &session);
		if (!r)
			r = varve_session_module(session, &m, &memory);
		if (!r) {
			++*(uint32_t *)varve_memory_base(memory);
			r = varve_session_commit(session, NULL, NULL);
		}
	}
	varve_vm_close(vm);
	return r;
}

/* Were two sessions open at once, an addition would be lost. */
Test(clients, sessions_of_four_processes_follow_each_other)
{
	pid_t children[4];
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 0, NULL);
	for (int i = 0; i < 4; i++)
		children[i] = child_start(add_alone, NULL);
	for (int i = 0; i < 4; i++)
		cr_assert(child_end(children[i]) == 0);
	char *image = calloc(1, SIZE);
	*(uint32_t *)(void *)image = 20;
	store_expect("M", image, SIZE);
	free(image);
	struct varve_log *log;
	must(varve_log(vm, &log));
	cr_assert(log->count == 21);
	varve_log_free(log);
	varve_vm_close(vm);
}

static int hold_session(void *arg)
{
	struct shared *shared = arg;
	struct varve_vm *vm;
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M"), n = id_of("N");
	int r = open_here(&vm);
	if (!r)
		r = varve_session_begin(vm, 0, &session);
	if (!r)
		r = varve_session_module(session, &m, &memory);
	if (!r)
		r = varve_memory_resize(memory, 2 * SIZE);
	if (!r)
		memset(varve_memory_base(memory), 'x', 2 * SIZE);
	if (!r)
		r = varve_session_deploy(session, &n, SIZE, &memory);
	if (r)
		return r;
	atomic_store(&shared->ready, 1);
	wait_for(&shared->go, 1);
	r = varve_session_abandon(session);
	varve_vm_close(vm);
	return r;
}

Test(clients, while_another_has_a_session_what_changes_is_refused_and_what_looks_is_not)
{
	struct shared *shared = shared_new();
	struct varve_session *session;
	struct varve_restore_options dry = VARVE_RESTORE_INIT;
	struct varve_vm *vm = store_open();
	struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', NULL);
	struct varve_id b = store_commit_one(vm, "M", SIZE, 'b', NULL);
	pid_t child = child_start(hold_session, shared);
	wait_for(&shared->ready, 1);
	must_fail(varve_session_begin(vm, 0, &session), -EBUSY);
	char pid[32];
	snprintf(pid, sizeof(pid), "%d", (int)child);
	cr_assert(strstr(varve_last_error(), pid), "who has it is not named: %s", varve_last_error());
	must_fail(varve_session_begin(vm, 20, &session), -EBUSY);
	must_fail(varve_restore(vm, &a, NULL, NULL), -EBUSY);
	dry.dry_run = true;
	must(varve_restore(vm, &a, &dry, NULL));
	size_t size;
	free(store_checkout(vm, &a, "M", &size));
	must(varve_persist(vm));
	expect_verified(vm, NULL);
	atomic_store(&shared->go, 1);
	must(varve_session_begin(vm, 5000, &session));
	must(varve_session_abandon(session));
	cr_assert(child_end(child) == 0);
	store_expect_fill("M", SIZE, 'b');
	must(varve_restore(vm, &b, NULL, NULL));
	varve_vm_close(vm);
}

/* ---- a VM that dies ---------------------------------------------------------------------------------------------- */

Test(clients, the_session_of_a_vm_that_is_killed_is_over_and_its_work_gone)
{
	struct shared *shared = shared_new();
	struct varve_session *session;
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', "A");
	pid_t child = child_start(hold_session, shared);
	wait_for(&shared->ready, 1);
	kill(child, SIGKILL);
	child_end(child);
	must(varve_session_begin(vm, 5000, &session));
	store_expect_fill("M", SIZE, 'a');
	cr_assert(strcmp(store_listing(), "M M_A") == 0, "%s", store_listing());
	must(varve_session_abandon(session));
	varve_vm_close(vm);
	end_processes();
	cr_assert(!store_is_clean(), "%s", store_is_clean());
}

/* The same where it was the only client: the coordinator tidies up before it ends. */
Test(clients, the_last_vm_may_be_killed_in_its_session)
{
	struct shared *shared = shared_new();
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', "A");
	varve_vm_close(vm);
	end_processes();
	pid_t child = child_start(hold_session, shared);
	wait_for(&shared->ready, 1);
	kill(child, SIGKILL);
	child_end(child);
	end_processes();
	store_expect_fill("M", SIZE, 'a');
	cr_assert(strcmp(store_listing(), "M M_A") == 0, "%s", store_listing());
	cr_assert(!store_is_clean(), "%s", store_is_clean());
}

struct restless {
	struct varve_id ids[3];
	struct shared *shared;
};

static int commit_and_restore(void *arg)
{
	struct restless *restless = arg;
	struct varve_vm *vm;
	int r = open_here(&vm);
	for (int i = 0; !r && i < 100000; i++) {
		struct varve_session *session;
		struct varve_memory *memory;
		struct varve_id m = id_of("M");
		r = varve_restore(vm, &restless->ids[i % 3], NULL, NULL);
		if (!r)
			r = varve_session_begin(vm, 0, &session);
		if (!r)
			r = varve_session_module(session, &m, &memory);
		if (r)
			break;
		memset(varve_memory_base(memory), 'A' + i % 26, 20000);
		r = varve_session_commit(session, NULL, NULL);
		atomic_store(&restless->shared->ready, i + 1);
	}
	return r;
}

/* Killed at any moment of its calls: everything is at one commit afterwards, and all commits are whole. */
Test(clients, a_vm_that_is_killed_in_a_commit_or_a_restore_leaves_all_modules_at_one_commit)
{
	static const char *const names[] = {"M", "N", "O"};
	struct restless restless = {.shared = shared_new()};
	char *data = malloc(SIZE);
	struct varve_vm *vm = store_open();
	for (int k = 0; k < 3; k++) {
		struct content contents[3];
		memset(data, 'a' + k, SIZE);
		for (int m = 0; m < 3; m++)
			contents[m] = (struct content) {names[m], data, SIZE, NULL};
		restless.ids[k] = store_commit(vm, contents, 3);
	}
	for (int i = 0; i < how_many(20, 500); i++) {
		atomic_store(&restless.shared->ready, 0);
		pid_t child = child_start(commit_and_restore, &restless);
		wait_for(&restless.shared->ready, 2);
		usleep((useconds_t)(i * 377 % 5000));
		kill(child, SIGKILL);
		child_end(child);
		struct varve_session *session;
		struct varve_log *log;
		struct varve_id head;
		must(varve_session_begin(vm, 5000, &session));
		must(varve_session_abandon(session));
		must(varve_resolve(vm, "HEAD", &head));
		must(varve_log(vm, &log));
		varve_log_free(log);
		for (int m = 0; m < 3; m++) {
			size_t size;
			char *image = store_checkout(vm, &head, names[m], &size);
			store_expect(names[m], image, size);
			free(image);
		}
	}
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	free(data);
}

/* ---- a coordinator that dies -------------------------------------------------------------------------------------- */

/* Returns when it is dead, whether or not anybody has reaped it. */
static void kill_coordinator(struct varve_vm *vm)
{
	struct pollfd p = {(int)syscall(SYS_pidfd_open, coordinator_pid(vm), 0), POLLIN, 0};
	cr_assert(p.fd >= 0);
	usleep(
	    20000); /* a worker that has been forked just now would still hold the clients' sockets open for a moment */
	cr_assert(syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0) == 0);
	cr_assert(poll(&p, 1, 10000) == 1);
	close(p.fd);
}

Test(clients, what_was_committed_survives_the_coordinator_and_the_next_call_starts_another)
{
	struct varve_vm *vm = store_open();
	struct varve_id ids[6];
	for (int k = 0; k < 6; k++) {
		ids[k] = store_commit_one(vm, "M", SIZE, 'a' + k, NULL);
		if (k == 2)
			must(varve_persist(vm));
		kill_coordinator(vm);
	}
	for (int k = 0; k < 6; k++) {
		must(varve_restore(vm, &ids[k], NULL, NULL));
		store_expect_fill("M", SIZE, 'a' + k);
		kill_coordinator(vm);
	}
	must(varve_persist(vm));
	expect_verified(vm, NULL);
	varve_vm_close(vm);
}

/* Its memories are still mapped, so nobody else may have the modules until it lets go. */
Test(clients, a_session_whose_coordinator_died_is_dead_and_keeps_others_out_until_it_is_abandoned)
{
	struct varve_vm *vm = store_open(), *other;
	struct varve_session *session, *next;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	memset(varve_memory_base(memory), 'x', SIZE);
	kill_coordinator(vm);
	must_fail(varve_session_commit(session, NULL, NULL), -ECONNRESET);
	must_fail(varve_session_module(session, &m, &memory), -ECONNRESET);
	must_fail(varve_restore(vm, &a, NULL, NULL), -ECONNRESET);
	must(open_here(&other));
	must_fail(varve_session_begin(other, 0, &next), -EBUSY);
	must_fail(varve_restore(other, &a, NULL, NULL), -EBUSY);
	size_t size;
	char *image = store_checkout(other, &a, "M", &size);
	cr_assert(size == SIZE && image[0] == 'a');
	free(image);
	must(varve_session_abandon(session));
	must(varve_session_begin(other, 5000, &next));
	must(varve_session_module(next, &m, &memory));
	cr_assert(((char *)varve_memory_base(memory))[SIZE - 1] == 'a');
	must(varve_session_abandon(next));
	varve_vm_close(other);
	varve_vm_close(vm);
	store_expect_fill("M", SIZE, 'a');
}

static void *begin_main(void *arg)
{
	struct varve_session *session;
	int r = varve_session_begin(arg, -1, &session);
	if (!r)
		r = varve_session_abandon(session);
	return (void *)(intptr_t)r;
}

/* Whoever waits meanwhile waits for one that the coordinator knows nothing of, and must get its turn all the same. */
Test(clients, a_session_that_waits_for_one_whose_coordinator_died_begins_when_that_is_over)
{
	struct varve_vm *vm = store_open(), *other;
	struct varve_session *session, *next;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	pthread_t thread;
	void *result;
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	kill_coordinator(vm);
	must(open_here(&other));
	must_fail(varve_session_begin(other, 100, &next), -EBUSY);
	cr_assert(strstr(varve_last_error(), "whose coordinator died"), "%s", varve_last_error());
	cr_assert(pthread_create(&thread, NULL, begin_main, other) == 0);
	usleep(50000);
	must(varve_session_abandon(session));
	pthread_join(thread, &result);
	cr_assert_eq((int)(intptr_t)result, 0);
	varve_vm_close(other);
	varve_vm_close(vm);
}

/* A coordinator's lock goes before its workers are told to die: one that is still writing must keep the next one out. */
Test(clients, every_worker_holds_the_lock_of_the_store)
{
	struct varve_vm *vm = store_open();
	struct varve_stat *stat;
	setenv("VARVE_INLINE", "0", 1);
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_stat(vm, &stat));
	cr_assert(stat->workers_count == 2);
	for (size_t i = 0; i < stat->workers_count; i++) {
		bool holds = false;
		for (int fd = 0; fd < 64 && !holds; fd++) {
			char link[64], file[600];
			snprintf(link, sizeof(link), "/proc/%d/fd/%d", stat->workers[i].pid, fd);
			ssize_t size = readlink(link, file, sizeof(file) - 1);
			holds = size > 0 && (file[size] = 0, strcmp(file, store_path(".varve/lock")) == 0);
		}
		cr_assert(holds, "worker %d does not hold the lock", stat->workers[i].pid);
	}
	varve_stat_free(stat);
	varve_vm_close(vm);
}

/* ---- at the same time ---------------------------------------------------------------------------------------------- */

static int check_out_and_log(void *arg)
{
	struct restless *restless = arg;
	struct varve_vm *vm;
	struct varve_id m = id_of("M");
	static char image[SIZE];
	int r = open_here(&vm);
	int fd = memfd_create("image", MFD_CLOEXEC);
	for (int i = 0; !r && !atomic_load(&restless->shared->go); i++) {
		struct varve_log *log;
		struct varve_id head;
		uint64_t size;
		int k = i % 3;
		r = varve_checkout(vm, &restless->ids[k], &m, fd, &size);
		if (!r && (size != SIZE || pread(fd, image, SIZE, 0) != SIZE || image[0] != 'a' + k ||
		              image[SIZE - 1] != 'a' + k))
			r = -1;
		/* The newest, too, which is just being published. */
		if (!r)
			r = varve_log(vm, &log);
		if (r)
			break;
		head = log->commits[log->count - 1].commit;
		varve_log_free(log);
		r = varve_checkout(vm, &head, &m, fd, &size);
		atomic_fetch_add(&restless->shared->ready, 1);
	}
	close(fd);
	varve_vm_close(vm);
	return r;
}

/* While one process commits and restores without a pause, others look at what was, and at what has just become. */
Test(clients, checkouts_and_logs_go_on_beside_commits_and_restores)
{
	struct restless restless = {.shared = shared_new()};
	static const char *const names[] = {"M", "N", "O"};
	char *data = malloc(SIZE);
	struct varve_vm *vm = store_open();
	pid_t children[3];
	for (int k = 0; k < 3; k++) {
		struct content contents[3];
		memset(data, 'a' + k, SIZE);
		for (int m = 0; m < 3; m++)
			contents[m] = (struct content) {names[m], data, SIZE, NULL};
		restless.ids[k] = store_commit(vm, contents, 3);
	}
	for (int i = 0; i < 3; i++)
		children[i] = child_start(check_out_and_log, &restless);
	wait_for(&restless.shared->ready, 3);
	for (int k = 0; k < how_many(100, 3000); k++) {
		struct content contents[3];
		noise(data, SIZE / 8, (uint64_t)k);
		for (int m = 0; m < 3; m++)
			contents[m] = (struct content) {names[m], data, SIZE, NULL};
		store_commit(vm, contents, 3);
		if (k % 10 == 9)
			must(varve_restore(vm, &restless.ids[k / 10 % 3], NULL, NULL));
	}
	atomic_store(&restless.shared->go, 1);
	for (int i = 0; i < 3; i++)
		cr_assert(child_end(children[i]) == 0, "a checkout beside commits failed");
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	free(data);
}
