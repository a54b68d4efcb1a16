/*
 * vm_test.c - a VM in one process: sessions, commits, and restores while contracts are at work.
 *
 * That a state is right is judged by the contracts themselves (each has an invariant check and a digest) and by what was
 * seen when the state was made, not by comparing bytes.
 */
#include <errno.h>
#include <string.h>

#include "fixture.h"

TestSuite(vm, .init = fixture_setup, .fini = fixture_teardown);

/* A session is a trial: what is not committed must not be found by whoever comes next. */
Test(vm, an_abandoned_session_leaves_nothing_and_a_committed_one_is_seen_by_the_next)
{
	struct varve_id commit;
	struct vm *vm = fixture_deployed(&commit);

	must(vm_begin(vm));
	cr_expect_eq(fixture_call(vm, "counter.c", "count", 0, 41, 0), 42);
	must(vm_abandon(vm));

	must(vm_begin(vm));
	cr_expect_eq(fixture_call(vm, "counter.c", "value", 0, 0, 0), 1);
	cr_expect_eq(fixture_call(vm, "counter.c", "count", 0, 41, 0), 42);
	fixture_commit(vm);

	must(vm_begin(vm));
	cr_expect_eq(fixture_call(vm, "counter.c", "value", 0, 0, 0), 42);
	cr_expect_eq(fixture_digest(vm, "counter.c"), fixture_digest(vm, "counter.c"));
	must(vm_abandon(vm));
	vm_close(vm);
}

/* A module that was only tried must not be in the way of the real one, nor lend it its memory. */
Test(vm, a_module_deployed_in_an_abandoned_session_is_gone_and_can_be_deployed_anew)
{
	struct varve_id commit;
	struct vm *vm = fixture_deployed(&commit);
	int64_t result;

	must(vm_begin(vm));
	must(vm_deploy(vm, "counter.try"));
	fixture_call(vm, "counter.try", "choose", 2, 0, 0);
	fixture_call(vm, "counter.try", "count", 5, 77, 0);
	must(vm_abandon(vm));

	must(vm_begin(vm));
	cr_expect_eq(vm_call(vm, "counter.try", "value", (int64_t[3]) {5}, &result), -ENOENT);
	must(vm_deploy(vm, "counter.try"));
	cr_expect_eq(fixture_call(vm, "counter.try", "value", 5, 0, 0), 0);
	cr_expect_eq(fixture_call(vm, "counter.try", "count", 5, 3, 0), 3);
	cr_expect_eq(vm_deploy(vm, "counter.c"), -EEXIST);
	fixture_commit(vm);
	vm_close(vm);
}

Test(vm, each_of_two_commits_is_restored_and_seen_by_a_new_session)
{
	struct varve_id first;
	struct varve_id second;
	struct vm *vm = fixture_deployed(&first);

	must(vm_begin(vm));
	fixture_call(vm, "counter.c", "count", 0, 1, 0);
	second = fixture_commit(vm);

	for (int round = 0; round < 2; round++) {
		must(vm_restore(vm, &first));
		must(vm_begin(vm));
		cr_expect_eq(fixture_call(vm, "counter.c", "value", 0, 0, 0), 1);
		must(vm_abandon(vm));
		must(vm_restore(vm, &second));
		must(vm_begin(vm));
		cr_expect_eq(fixture_call(vm, "counter.c", "value", 0, 0, 0), 2);
		must(vm_abandon(vm));
	}
	vm_close(vm);
}

/* The call that undoes a failed block is made in the middle of a session, on memories that contracts stand on. */
Test(vm, two_modules_committed_twice_go_back_to_the_first_commit_in_a_live_session)
{
	struct varve_memory *memory;
	struct varve_id first;
	struct vm *vm = fixture_deployed(&first);
	void *base;

	must(vm_begin(vm));
	fixture_call(vm, "counter.c", "count", 0, 1, 0);
	fixture_call(vm, "ledger.l", "transfer", 11, 12, 30);
	fixture_commit(vm);

	must(vm_begin(vm));
	cr_expect_eq(fixture_call(vm, "counter.c", "count", 0, 100, 0), 102);
	cr_expect_eq(fixture_call(vm, "ledger.l", "balance", 12, 0, 0), 30);
	must(vm_memory(vm, "ledger.l", &memory));
	base = varve_memory_base(memory);
	must(vm_restore(vm, &first));
	cr_expect_eq(varve_memory_base(memory), base, "a memory's address must not move under a session");
	cr_expect_eq(fixture_call(vm, "counter.c", "value", 0, 0, 0), 1);
	cr_expect_eq(fixture_call(vm, "ledger.l", "balance", 11, 0, 0), 100);
	cr_expect_eq(fixture_call(vm, "ledger.l", "balance", 12, 0, 0), 0);
	cr_expect_eq(fixture_call(vm, "ledger.l", "accounts", 0, 0, 0), 1);
	must(vm_abandon(vm));
	vm_close(vm);
}

/* Back and forth, with writes in between that no commit ever had: each restore must take back those, too. */
Test(vm, several_restores_follow_each_other_in_one_live_session)
{
	static const int order[] = {0, 5, 2, 3, 3, 1, 5, 4, 0, 2};
	struct varve_id commits[6];
	struct world *world = world_new();
	struct vm *vm = fixture_open();

	for (uint64_t step = 0; step < 6; step++)
		commits[step] = fixture_step(vm, world, step);
	world_free(world);

	must(vm_begin(vm));
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		must(vm_restore(vm, &commits[order[i]]));
		fixture_expect_step(vm, (uint64_t)order[i]);
		fixture_call(vm, "counter.votes", "count", (int64_t)i, 1 << 20, 0);
		for (int64_t account = 1; account < 300; account++)
			fixture_call(vm, "ledger.coins", "mint", account * 1000003, 5, 0);
	}
	must(vm_abandon(vm));
	must(vm_begin(vm));
	fixture_expect_step(vm, 2);
	must(vm_abandon(vm));
	vm_close(vm);
}

/* What is committed after a restore is a line of its own beside what was committed before. */
Test(vm, a_session_goes_on_from_the_restored_commit_and_both_lines_stay)
{
	struct varve_id commits[9];
	struct varve_id branch = {{0}};
	struct world *world = world_new();
	struct vm *vm = fixture_open();

	for (uint64_t step = 0; step < 9; step++)
		commits[step] = fixture_step(vm, world, step);
	world_free(world);

	/* In one session: restore, run the steps that were run before as one, commit. */
	world = world_new();
	for (uint64_t step = 0; step < 4; step++)
		must(world_step(world, NULL, FIXTURE_SEED, step));
	must(vm_begin(vm));
	must(vm_restore(vm, &commits[3]));
	for (uint64_t step = 4; step < 7; step++)
		must(world_step(world, vm, FIXTURE_SEED, step));
	must(vm_commit(vm, "branch", &branch));
	world_free(world);

	must(vm_begin(vm));
	fixture_expect_step(vm, 6);
	must(vm_restore(vm, &commits[8]));
	fixture_expect_step(vm, 8);
	must(vm_restore(vm, &branch));
	fixture_expect_step(vm, 6);
	must(vm_restore(vm, &commits[2]));
	fixture_expect_step(vm, 2);
	must(vm_abandon(vm));
	vm_close(vm);
}

/* A state that recurs once destroyed the base of a store like this one. */
Test(vm, a_state_that_recurs_is_restored_at_each_of_its_commits)
{
	static const int64_t values[] = {1, 1, 2, 1, 1, 3, 2, 1, 2, 2};
	enum { COMMITS = sizeof(values) / sizeof(values[0]) };
	struct varve_id commits[COMMITS];
	struct vm *vm = fixture_open();

	for (size_t i = 0; i < COMMITS; i++) {
		must(vm_begin(vm));
		if (i == 0)
			must(vm_deploy(vm, "counter.c"));
		/* reset() brings the whole memory back to its first bytes, so that equal values are equal images. */
		fixture_call(vm, "counter.c", "reset", 0, 0, 0);
		fixture_call(vm, "counter.c", "count", 9, values[i], 0);
		commits[i] = fixture_commit(vm);
		for (size_t other = 0; other < i; other++)
			cr_expect_neq(memcmp(&commits[i], &commits[other], sizeof(commits[i])), 0);
	}
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < COMMITS; i++) {
			/* Forwards, backwards, and in strides. */
			size_t at = round == 0 ? i : round == 1 ? COMMITS - 1 - i : i * 7 % COMMITS;

			must(vm_restore(vm, &commits[at]));
			must(vm_begin(vm));
			cr_expect_eq(fixture_call(vm, "counter.c", "value", 9, 0, 0), values[at], "commit %zu", at);
			must(vm_abandon(vm));
		}
	}
	vm_close(vm);
}

/* A commit in which nothing was changed, or nothing even used, is a commit all the same. */
Test(vm, a_commit_without_a_change_can_be_restored_like_any_other)
{
	struct varve_id commits[4];
	struct vm *vm = fixture_deployed(&commits[0]);

	must(vm_begin(vm));
	commits[1] = fixture_commit(vm);
	must(vm_begin(vm));
	fixture_call(vm, "counter.c", "value", 0, 0, 0);
	commits[2] = fixture_commit(vm);
	must(vm_begin(vm));
	fixture_call(vm, "counter.c", "count", 0, 1, 0);
	commits[3] = fixture_commit(vm);

	must(vm_begin(vm));
	for (int i = 3; i >= 0; i--) {
		must(vm_restore(vm, &commits[i]));
		cr_expect_eq(fixture_call(vm, "counter.c", "value", 0, 0, 0), i == 3 ? 2 : 1);
	}
	must(vm_abandon(vm));
	vm_close(vm);
}
