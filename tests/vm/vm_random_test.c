/*
 * vm_random_test.c - lives of a VM that nobody thought of.
 *
 * Sessions are begun, used, committed, abandoned and left open, commits are restored with and without a session, the VM
 * is closed and opened, in random order. Every commit's state follows from how it came about: from its parent by one
 * step of the workload, whose seed is random as well, so that lines which part differ in what they do.
 *
 * VARVE_LONG=1 makes it run longer. Which life went wrong is in the message; they are numbered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

#define COMMITS_MAX 64

TestSuite(vm_random, .init = fixture_setup, .fini = fixture_teardown);

struct commit {
	struct varve_id id;
	int parent; /* -1: none */
	uint64_t seed;
	uint64_t step;
};

struct life {
	uint64_t number;
	uint64_t random;
	struct vm *vm;
	struct commit commits[COMMITS_MAX];
	int count;
	int current; /* commit; -1: none */
};

static uint64_t random_below(struct life *life, uint64_t limit)
{
	life->random = life->random * 6364136223846793005u + 1442695040888963407u;
	return (life->random >> 33) % limit;
}

static void replay(struct life *life, struct world *world, int commit)
{
	if (commit < 0)
		return;
	replay(life, world, life->commits[commit].parent);
	must(world_step(world, NULL, life->commits[commit].seed, life->commits[commit].step));
}

/* current_world() - the world that the VM should stand at; in a session it is compared with it. */
static struct world *current_world(struct life *life)
{
	struct world *world = world_new();

	cr_assert_not_null(world);
	replay(life, world, life->current);
	if (vm_in_session(life->vm))
		cr_assert_eq(world_compare(world, life->vm), 0, "life %d, %d commits, at %d: %s", (int)life->number,
		    life->count, life->current, vm_error());
	return world;
}

static void restore(struct life *life)
{
	int commit;

	if (!life->count)
		return;
	commit = (int)random_below(life, (uint64_t)life->count);
	must(vm_restore(life->vm, &life->commits[commit].id));
	life->current = commit;
	if (vm_in_session(life->vm))
		world_free(current_world(life));
}

/* session() - run a step in a session, perhaps after a restore in it, and end it in one of the possible ways. */
static void session(struct life *life)
{
	struct commit *commit = &life->commits[life->count];
	struct world *world;

	must(vm_begin(life->vm));
	if (random_below(life, 4) == 0)
		restore(life);
	world = current_world(life);
	commit->parent = life->current;
	commit->seed = random_below(life, 3);
	commit->step = life->current < 0 ? 0 : life->commits[life->current].step + 1;
	must(world_step(world, life->vm, commit->seed, commit->step));
	world_free(world);
	if (random_below(life, 4) == 0)
		restore(life); /* what the step did is gone */
	else if (random_below(life, 4) != 0 && life->count < COMMITS_MAX) {
		must(vm_commit(life->vm, NULL, &commit->id));
		life->current = life->count++;
		return;
	}
	if (random_below(life, 3) == 0)
		return; /* left to vm_close() */
	must(vm_abandon(life->vm));
}

static void act(struct life *life)
{
	uint64_t choice = random_below(life, 12);

	if (vm_in_session(life->vm) || choice == 0) {
		vm_close(life->vm);
		life->vm = fixture_open();
	} else if (choice == 1) {
		must(vm_persist(life->vm));
	} else if (choice < 4) {
		restore(life);
	} else if (life->count < COMMITS_MAX) {
		session(life);
	}
}

static void live(uint64_t number, int acts)
{
	struct life life = {.number = number, .random = number, .current = -1};

	life.vm = fixture_open();
	for (int i = 0; i < acts; i++)
		act(&life);
	if (vm_in_session(life.vm))
		must(vm_abandon(life.vm));
	for (int i = 0; i < life.count; i++) {
		must(vm_restore(life.vm, &life.commits[i].id));
		life.current = i;
		must(vm_begin(life.vm));
		world_free(current_world(&life));
		must(vm_abandon(life.vm));
	}
	vm_close(life.vm);
}

/* The order in which a user calls is not ours to choose; every state must come back whatever happened in between. */
Test(vm_random, every_commit_of_a_random_life_is_restored_as_it_was)
{
	const char *is_long = getenv("VARVE_LONG");
	uint64_t lives = is_long && *is_long == '1' ? 60 : 2;

	for (uint64_t number = 1; number <= lives; number++) {
		live(number, 60);
		fixture_teardown();
		fixture_setup();
	}
}
