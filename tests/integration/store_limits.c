/*
 * store_limits.c - the same life of a store (helper_life.c) with more workers than CPUs and with one, by both ways of
 * reading, with little of what a process may have, and where io_uring is denied.
 */
#include "helper_life.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(limits, .init = store_setup, .fini = store_teardown, .timeout = 60);

static void live(const char *what)
{
	life_undisturbed(what);
	store_remove();
}

/* What the store says it reads with, and why. */
static void expect_method(const char *method, const char *reason)
{
	struct varve_vm *vm = store_open();
	struct varve_stat *stat;
	/* The first job starts the workers, which say it. */
	store_commit_one(vm, "M", 20000, 'a', NULL);
	must(varve_stat(vm, &stat));
	cr_assert(strcmp(stat->io_method, method) == 0, "it reads with %s", stat->io_method);
	cr_assert(
	    reason ? strstr(stat->io_reason, reason) != NULL : !*stat->io_reason, "reason: \"%s\"", stat->io_reason);
	varve_stat_free(stat);
	varve_vm_close(vm);
	end_processes();
	store_remove();
}

Test(limits, many_workers_on_few_cpus_and_one_worker_do_the_same)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	static const unsigned counts[] = {1, 64};
	for (size_t i = 0; i < 2; i++) {
		struct life life = {.current = -1, .maybe_current = -2};
		struct varve_vm *vm;
		options.workers = counts[i];
		setenv("VARVE_INLINE", "0", 1);
		must(varve_vm_open(store_path(""), &options, &vm));
		for (int step = 0; step < 5; step++)
			must(life_commit(vm, &life, step));
		for (int step = 4; step >= 0; step--)
			must(life_restore(vm, &life, step));
		struct varve_stat *stat;
		must(varve_stat(vm, &stat));
		cr_assert(stat->workers_count == counts[i]);
		varve_stat_free(stat);
		must(varve_set_workers(vm, counts[1 - i]));
		must(life_restore(vm, &life, 4));
		varve_vm_close(vm);
		end_processes();
		life_check(&life, "after many workers and one");
		store_remove();
	}
}

Test(limits, both_ways_of_reading_do_the_same)
{
	setenv("VARVE_IO", "pread", 1);
	live("VARVE_IO=pread");
	expect_method("pread", NULL);
	setenv("VARVE_IO", "auto", 1);
	live("VARVE_IO=auto");
}

Test(limits, io_uring_where_it_works)
{
	setenv("VARVE_IO", "uring", 1);
	struct varve_vm *vm;
	int r = varve_vm_open(store_path(""), NULL, &vm);
	if (r)
		cr_skip_test("there is no io_uring here");
	varve_vm_close(vm);
	end_processes();
	store_remove();
	live("VARVE_IO=uring");
	expect_method("io_uring", NULL);
}

/* As by Docker's default profile. What was asked for by name is an error, what was left open is not. */
static void deny_io_uring(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
	cr_assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	cr_assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

Test(limits, a_filter_that_denies_io_uring_is_worked_around_and_shown)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm;
	deny_io_uring();
	unsetenv("VARVE_IO");
	live("io_uring denied");
	expect_method("pread", "EPERM");
	options.io = VARVE_IO_URING;
	must_fail(varve_vm_open(store_path(""), &options, &vm), -EPERM);
}

Test(limits, io_uring_denied_by_the_environment_is_the_same)
{
	unsetenv("VARVE_IO");
	setenv("VARVE_IO_DENY", "EPERM", 1);
	expect_method("pread", "EPERM");
	setenv("VARVE_IO_DENY", "ENOSYS", 1);
	expect_method("pread", "io_uring");
}

Test(limits, little_memory_to_lock_and_few_files_to_open_are_enough)
{
	static const rlim_t locked[] = {8 << 20, 64 << 10, 0};
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max = 1024;
	must(setrlimit(RLIMIT_NOFILE, &limit));
	for (size_t i = 0; i < 3; i++) {
		char what[64];
		limit.rlim_cur = limit.rlim_max = locked[i];
		must(setrlimit(RLIMIT_MEMLOCK, &limit));
		snprintf(what, sizeof(what), "RLIMIT_MEMLOCK %llu", (unsigned long long)locked[i]);
		live(what);
	}
	limit.rlim_cur = limit.rlim_max = 64;
	must(setrlimit(RLIMIT_NOFILE, &limit));
	live("RLIMIT_NOFILE 64");
}

/* More modules than descriptors: none may be held open for each. */
Test(limits, more_modules_than_a_process_may_open_files)
{
	struct rlimit limit = {128, 128};
	must(setrlimit(RLIMIT_NOFILE, &limit));
	struct varve_vm *vm = store_open();
	struct varve_id ids[2];
	for (int k = 0; k < 2; k++) {
		for (int part = 0; part < 5; part++) {
			struct varve_session *session;
			struct varve_memory *memory;
			must(varve_session_begin(vm, 0, &session));
			for (int m = part * 60; m < part * 60 + 60; m++) {
				char name[16];
				snprintf(name, sizeof(name), "M%d", m);
				struct varve_id id = id_of(name);
				if (k == 0)
					must(varve_session_deploy(session, &id, 5000, &memory));
				else
					must(varve_session_module(session, &id, &memory));
				memset(varve_memory_base(memory), 'a' + k, 5000);
			}
			must(varve_session_commit(session, NULL, &ids[k]));
		}
	}
	must(varve_persist(vm));
	for (int k = 0; k < 2; k++) {
		must(varve_restore(vm, &ids[k], NULL, NULL));
		for (int m = 0; m < 300; m += 7) {
			char name[16];
			snprintf(name, sizeof(name), "M%d", m);
			store_expect_fill(name, 5000, 'a' + k);
		}
	}
	varve_vm_close(vm);
}

/* Where others put their stores: memory, not a disk. */
Test(limits, a_store_in_memory_does_the_same, .init = NULL, .fini = NULL)
{
	if (access("/dev/shm", W_OK) < 0)
		cr_skip_test("there is no /dev/shm");
	setenv("VARVE_TEST_DIR", "/dev/shm", 1);
	store_setup();
	live("/dev/shm");
	store_teardown();
}

/* Each memory takes one, and whoever has too few of them should hear that, and go on. */
Test(limits, a_session_that_has_no_open_files_left_says_so)
{
	struct rlimit few = {64, 0}, before;
	struct varve_session *session;
	struct varve_memory *memory;
	char name[16];
	int r = 0;
	struct varve_vm *vm = store_open();
	must(varve_session_begin(vm, 0, &session));
	cr_assert(getrlimit(RLIMIT_NOFILE, &before) == 0);
	few.rlim_max = before.rlim_max;
	cr_assert(setrlimit(RLIMIT_NOFILE, &few) == 0);
	for (int i = 0; !r && i < 100; i++) {
		snprintf(name, sizeof(name), "M%d", i);
		struct varve_id id = id_of(name);
		r = varve_session_deploy(session, &id, 4096, &memory);
	}
	cr_assert(r == -EMFILE && strstr(varve_last_error(), "ulimit -n"), "%d, %s", r, varve_last_error());
	cr_assert(setrlimit(RLIMIT_NOFILE, &before) == 0);
	must(varve_session_abandon(session));
	store_commit_one(vm, "M", 4096, 'a', NULL);
	varve_vm_close(vm);
}
