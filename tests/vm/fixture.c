/*
 * fixture.c - what the VM's tests share.
 */
#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[256];

void fixture_setup(void)
{
	const char *parent = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/varve-vm-test-XXXXXX", parent && *parent ? parent : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	/* The coordinator, which ends just after its last client, may be quicker with its own files. */
	(void)remove(path);
	return 0;
}

void fixture_teardown(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fixture_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

struct vm *fixture_open(void)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct vm *vm;

	options.workers = 2;
	must(vm_open(fixture_path("store"), &options, &vm));
	return vm;
}

int64_t fixture_call(struct vm *vm, const char *name, const char *entry, int64_t a, int64_t b, int64_t c)
{
	int64_t result = 0;

	must(vm_call(vm, name, entry, (int64_t[3]) {a, b, c}, &result));
	return result;
}

struct varve_id fixture_commit(struct vm *vm)
{
	struct varve_id commit;

	must(vm_commit(vm, NULL, &commit));
	return commit;
}

struct vm *fixture_deployed(struct varve_id *commit)
{
	struct vm *vm = fixture_open();

	must(vm_begin(vm));
	must(vm_deploy(vm, "counter.c"));
	must(vm_deploy(vm, "ledger.l"));
	fixture_call(vm, "counter.c", "count", 0, 1, 0);
	fixture_call(vm, "ledger.l", "mint", 11, 100, 0);
	*commit = fixture_commit(vm);
	return vm;
}

int64_t fixture_digest(struct vm *vm, const char *name)
{
	int64_t wrong = fixture_call(vm, name, "check", 0, 0, 0);

	cr_assert_eq(wrong, 0, "%s: its invariant %d does not hold", name, (int)wrong);
	return fixture_call(vm, name, "digest", 0, 0, 0);
}

struct varve_id fixture_step(struct vm *vm, struct world *world, uint64_t step)
{
	struct varve_id commit;
	char label[64];

	snprintf(label, sizeof(label), "seed %d step %llu", FIXTURE_SEED, (unsigned long long)step);
	must(vm_begin(vm));
	must(world_step(world, vm, FIXTURE_SEED, step));
	must(vm_commit(vm, label, &commit));
	return commit;
}

void fixture_expect_step(struct vm *vm, uint64_t step)
{
	struct world *world = world_new();

	cr_assert_not_null(world);
	for (uint64_t i = 0; i <= step; i++)
		must(world_step(world, NULL, FIXTURE_SEED, i));
	must(world_compare(world, vm));
	world_free(world);
}

int fixture_run(const char *command, const char *store, const char *arg, const char *arg2)
{
	char *const argv[] = {(char *)VM_PROGRAM, (char *)command, (char *)store, (char *)arg, (char *)arg2, NULL};
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	cr_assert_eq(posix_spawn(&pid, VM_PROGRAM, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
