/*
 * vm_restart_test.c - a VM that ends and starts again, and histories that other processes look at.
 *
 * The other process is varve-vm, which works out by models what each contract's state has to be (vm_main.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "fixture.h"

TestSuite(vm_restart, .init = fixture_setup, .fini = fixture_teardown);

static struct world *steps(struct vm *vm, uint64_t count, struct varve_id *commits)
{
	struct world *world = world_new();

	for (uint64_t step = 0; step < count; step++)
		commits[step] = fixture_step(vm, world, step);
	return world;
}

/* persisted() - a store with @count commits, persisted, and its VM gone. */
static void persisted(uint64_t count, struct varve_id *commits)
{
	struct vm *vm = fixture_open();
	struct world *world = steps(vm, count, commits);

	must(vm_persist(vm));
	vm_close(vm);
	world_free(world);
}

/* store() - the path, in storage that lasts. */
static const char *store(void)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s", fixture_path("store"));
	return path;
}

static void expect_checked(const char *commit)
{
	cr_expect_eq(fixture_run("check", store(), commit, NULL), 0, "varve-vm check STORE %s", commit);
}

/* The reason for the library to exist: any commit, in any process, and it is the state that it was. */
Test(vm_restart, each_persisted_commit_is_restored_by_a_new_process)
{
	struct varve_id commits[12];
	char text[VARVE_ID_TEXT + 1];

	persisted(12, commits);
	for (size_t i = 0; i < 12; i++) {
		varve_id_format(&commits[(i * 5) % 12], text);
		expect_checked(text);
	}
	expect_checked("HEAD");
	cr_expect_eq(fixture_run("check", store(), "@12", NULL), 1, "there is no such commit");
}

/* Persisting is for power failures; the death of the VM's process alone must cost nothing. */
Test(vm_restart, a_commit_that_was_not_persisted_outlives_the_vm)
{
	struct varve_id commits[4];
	struct vm *vm = fixture_open();

	world_free(steps(vm, 4, commits));
	vm_close(vm);

	vm = fixture_open();
	must(vm_begin(vm));
	fixture_expect_step(vm, 3);
	must(vm_restore(vm, &commits[1]));
	fixture_expect_step(vm, 1);
	must(vm_abandon(vm));
	vm_close(vm);
}

/* What a session wrote and did not commit is in the backing files when its VM ends; no later VM may see it. */
Test(vm_restart, a_session_that_its_vm_did_not_end_leaves_nothing)
{
	struct varve_id commits[3];
	struct vm *vm = fixture_open();
	struct world *world = steps(vm, 3, commits);

	must(vm_begin(vm));
	must(world_step(world, vm, FIXTURE_SEED, 15));
	vm_close(vm);
	world_free(world);

	vm = fixture_open();
	must(vm_begin(vm));
	fixture_expect_step(vm, 2);
	must(vm_abandon(vm));
	vm_close(vm);
}

Test(vm_restart, modules_are_deployed_and_used_after_a_cold_start)
{
	struct varve_id commits[6];
	struct varve_id commit;
	struct vm *vm;

	persisted(6, commits);
	vm = fixture_open();
	must(vm_begin(vm));
	must(vm_deploy(vm, "ledger.new"));
	fixture_call(vm, "ledger.new", "mint", 1, 10, 0);
	fixture_expect_step(vm, 5);
	must(vm_commit(vm, NULL, &commit));
	must(vm_begin(vm));
	fixture_call(vm, "ledger.new", "transfer", 1, 2, 4);
	must(vm_restore(vm, &commit));
	cr_expect_eq(fixture_call(vm, "ledger.new", "balance", 1, 0, 0), 10);
	fixture_expect_step(vm, 5);
	must(vm_abandon(vm));
	must(vm_persist(vm));
	vm_close(vm);
	/* Its label says nothing about models, but each contract can still check itself. */
	expect_checked("HEAD");
	expect_checked("@5");
}

/* The life of a VM in one test: nothing in it is special, and all of it has to fit together. */
Test(vm_restart, a_vm_commits_abandons_restores_runs_on_persists_exits_and_goes_on)
{
	struct varve_id commits[8];
	struct varve_id again;
	struct vm *vm = fixture_open();
	struct world *world = steps(vm, 8, commits);

	must(vm_begin(vm));
	must(world_step(world, vm, FIXTURE_SEED, 8));
	must(vm_abandon(vm));
	world_free(world);

	/* Back to the fourth commit in a session, and on from there, another way first: that is not committed. */
	world = world_new();
	for (uint64_t step = 0; step <= 3; step++)
		must(world_step(world, NULL, FIXTURE_SEED, step));
	must(vm_begin(vm));
	cr_assert_neq(world_compare(world, vm), 0, "or the comparison would show nothing");
	must(vm_restore(vm, &commits[3]));
	must(world_compare(world, vm));
	fixture_call(vm, "counter.votes", "reset", 0, 0, 0);
	must(vm_restore(vm, &commits[3]));
	must(world_step(world, vm, FIXTURE_SEED, 4));
	must(vm_commit(vm, "seed 7 step 4", &again));
	for (uint64_t step = 5; step < 7; step++)
		again = fixture_step(vm, world, step);
	must(vm_persist(vm));
	vm_close(vm);

	/* A new process goes on by itself, then this one does. */
	cr_assert_eq(fixture_run("record", store(), "--commits", "3"), 0);
	vm = fixture_open();
	for (uint64_t step = 7; step < 10; step++)
		must(world_step(world, NULL, FIXTURE_SEED, step));
	fixture_step(vm, world, 10);
	must(vm_begin(vm));
	fixture_expect_step(vm, 10);
	must(vm_restore(vm, &again));
	fixture_expect_step(vm, 6);
	must(vm_restore(vm, &commits[7]));
	fixture_expect_step(vm, 7);
	must(vm_abandon(vm));
	must(vm_persist(vm));
	vm_close(vm);
	world_free(world);
	for (int i = 0; i < 15; i += 3) {
		char text[16];

		snprintf(text, sizeof(text), "@%d", i);
		expect_checked(text);
	}
}

/* file_equals() - is the file at @path as long as @fd's and of the same bytes? */
static bool file_equals(const char *path, int fd, uint64_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;
	bool equal;
	void *a;
	void *b;

	if (file < 0)
		return false;
	equal = fstat(file, &stat) == 0 && (uint64_t)stat.st_size == size;
	a = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
	b = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	equal = equal && a != MAP_FAILED && b != MAP_FAILED && memcmp(a, b, size) == 0;
	munmap(a, size);
	munmap(b, size);
	close(file);
	return equal;
}

/* The recording is what perf compares with, so it has to be the same history as the store's, image by image. */
Test(vm_restart, the_recording_of_a_history_holds_what_the_store_checks_out)
{
	char dump[512];
	char name[768];
	char id[VARVE_ID_TEXT + 1];
	struct varve_log *log;
	struct vm *vm;

	snprintf(dump, sizeof(dump), "--dump=%s", fixture_path("recording"));
	cr_assert_eq(fixture_run("record", store(), "--commits=8", dump), 0);
	vm = fixture_open();
	cr_assert_eq(varve_log(vm_store(vm), &log), 0);
	cr_assert_eq(log->count, 8);
	for (size_t i = 0; i < log->count; i++) {
		const struct varve_commit_info *commit = &log->commits[i];

		for (size_t j = 0; j < commit->modules_count; j++) {
			int fd = memfd_create("image", MFD_CLOEXEC);
			uint64_t size;

			cr_assert_eq(
			    varve_checkout(vm_store(vm), &commit->commit, &commit->modules[j].module, fd, &size), 0);
			varve_id_format(&commit->modules[j].module, id);
			snprintf(name, sizeof(name), "%s/%s/%06zu.mem", strchr(dump, '=') + 1, id, i);
			cr_expect(file_equals(name, fd, size), "%s", name);
			close(fd);
		}
	}
	varve_log_free(log);
	vm_close(vm);
}
