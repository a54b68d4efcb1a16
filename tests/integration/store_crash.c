/*
 * store_crash.c - every process is made to fail, or killed, at every place where that can be asked for.
 *
 * Each test is a loop: a whole life of a store (helper_life.c) in which the Nth passage through the places of a family
 * fails, for N = 1, 2, ... until there is no Nth passage. After each the store is opened without faults and looked at.
 * That takes minutes for all of N; by default steps are taken, and VARVE_LONG=1 takes them all.
 */
#include "helper_life.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

TestSuite(crash, .init = store_setup, .fini = store_teardown, .timeout = 600);

struct sweep {
	const char *role;
	const char *place; /* a name, or a prefix with "*" */
	const char *action;
	const char *here; /* VARVE_INLINE: "0" has every job run by a worker, "1" small ones by the coordinator */
	int step; /* of N, where time is short */
	int most; /* calls that may fail; the others must succeed */
};

/* One life with one fault. Returns whether it has struck. */
static bool live_once(const struct sweep *sweep, int n)
{
	struct life life;
	char fault[128], what[256];
	snprintf(fault, sizeof(fault), "%s:%d:%s", sweep->place, n, sweep->action);
	snprintf(
	    what, sizeof(what), "VARVE_FAULT_ROLE=%s VARVE_FAULT=%s VARVE_INLINE=%s", sweep->role, fault, sweep->here);
	setenv("VARVE_INLINE", sweep->here, 1);
	fault_set(sweep->role, fault, false);
	life_live(&life);
	bool struck = fault_struck();
	fault_clear();
	end_processes();
	cr_assert(life.failed <= (struck ? sweep->most : 0), "%s: %d calls failed, the last with %d, %s", what,
	    life.failed, life.last_error, life.last_text);
	life_check(&life, what);
	store_remove();
	return struck;
}

static void run(const struct sweep *sweep)
{
	int step = how_many(sweep->step, 1), n = 1, lives = 0;
	while (live_once(sweep, n)) {
		n += step;
		lives++;
	}
	cr_assert(lives > 0, "the fault %s never struck", sweep->place);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

Test(crash, an_error_at_any_place_in_the_coordinator_costs_one_call_and_no_commit)
{
	run(&(struct sweep) {"coordinator", "*", "EIO", "1", 31, 3});
}

Test(crash, an_error_at_any_place_in_a_worker_costs_one_call_and_no_commit)
{
	run(&(struct sweep) {"worker", "*", "EIO", "0", 31, 3});
}

/* The same with a file that can not be written: the names of these places are those that write. */
Test(crash, a_full_disk_at_any_write_costs_calls_and_no_commit)
{
	run(&(struct sweep) {"coordinator", "write.*", "ENOSPC", "1", 17, 3});
	run(&(struct sweep) {"worker", "write.*", "ENOSPC", "0", 17, 3});
}

/* Where the order of things matters most. */
Test(crash, an_error_between_any_two_steps_of_a_commit_or_a_restore_is_survived)
{
	static const char *const places[] = {
	    "commit.*", "publish.*", "restore.*", "journal.*", "persist.*", "file.rename"};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		run(&(struct sweep) {"coordinator", places[i], "EIO", "1", 4, 3});
		/* Journal, persisting, renames: a worker does none of these. */
		if (places[i][0] != 'j' && places[i][0] != 'f' && strncmp(places[i], "pe", 2) != 0)
			run(&(struct sweep) {"worker", places[i], "EIO", "0", 9, 3});
	}
}

/* ---- deaths ----------------------------------------------------------------------------------------------------- */

/* Jobs are idempotent: another worker does the job, and nobody notices. */
Test(crash, a_worker_that_is_killed_anywhere_costs_no_call)
{
	run(&(struct sweep) {"worker", "*", "kill", "0", 31, 0});
}

Test(crash, a_worker_that_is_killed_between_two_steps_costs_no_call)
{
	static const char *const places[] = {"commit.*", "publish.*", "restore.*", "worker.*"};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		run(&(struct sweep) {"worker", places[i], "kill", "0", 9, 0});
}

/* One call ends with -ECONNRESET, and if it was part of a session, that is abandoned. */
Test(crash, a_coordinator_that_is_killed_anywhere_loses_no_commit)
{
	run(&(struct sweep) {"coordinator", "*", "kill", "1", 31, 2});
}

Test(crash, a_coordinator_that_is_killed_between_two_steps_loses_no_commit)
{
	static const char *const places[] = {
	    "commit.*", "publish.*", "restore.*", "journal.*", "persist.*", "file.rename"};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		run(&(struct sweep) {"coordinator", places[i], "kill", "1", 4, 2});
}

/* Each commit is synced and persisted before it returns: other steps, the same promise. */
Test(crash, a_store_that_syncs_each_commit_loses_none)
{
	life_sync = VARVE_SYNC_COMMIT;
	run(&(struct sweep) {"coordinator", "*", "EIO", "1", 97, 3});
	run(&(struct sweep) {"coordinator", "*", "kill", "1", 97, 2});
	run(&(struct sweep) {"worker", "*", "EIO", "0", 97, 3});
}

/* ---- jobs that kill ------------------------------------------------------------------------------------------------ */

static char life_text[512];

static int try_commit(struct varve_vm *vm)
{
	struct life life = {.current = -1};
	int r = life_commit(vm, &life, 1);
	snprintf(life_text, sizeof(life_text), "%s", life.last_text);
	return r;
}

/* Whatever a job does to its worker, it is not tried for ever, and the next one is not harmed. */
Test(crash, a_job_that_kills_two_workers_is_an_error_and_the_store_goes_on)
{
	struct life life = {.current = -1};
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	must(life_commit(vm, &life, 0));
	must(life_commit(vm, &life, 2));
	varve_vm_close(vm);
	end_processes();
	fault_set("worker", "commit.written:1+:kill", true);
	vm = store_open();
	must_fail(try_commit(vm), -ENOTRECOVERABLE);
	bool named = false;
	for (int m = 0; m < 3; m++) {
		struct varve_id module = id_of(life_module(m));
		named |= strstr(life_text, text_of(&module)) != NULL;
	}
	cr_assert(named && strstr(life_text, "committing module "), "%s", life_text);
	must_fail(try_commit(vm), -ENOTRECOVERABLE);
	must(life_restore(vm, &life, 0));
	must(life_restore(vm, &life, 2));
	varve_vm_close(vm);
	end_processes();
	fault_set("worker", "restore.*:1+:kill", true);
	vm = store_open();
	must_fail(life_restore(vm, &life, 0), -ENOTRECOVERABLE);
	cr_assert(strstr(varve_last_error(), "restoring module "), "%s", varve_last_error());
	varve_vm_close(vm);
	end_processes();
	fault_clear();
	life_check(&life, "after jobs that kill");
}

/* Workers that can not even start: every job says so, and whoever needs none is served. */
Test(crash, workers_that_die_at_their_start_are_an_error_and_no_hang)
{
	struct life life = {.current = -1};
	setenv("VARVE_INLINE", "0", 1);
	fault_set("worker", "worker.start:1+:EIO", true);
	struct varve_vm *vm = store_open();
	cr_assert(try_commit(vm) < 0);
	cr_assert(strstr(varve_last_error(), "worker"), "%s", varve_last_error());
	struct varve_log *log;
	must(varve_log(vm, &log));
	varve_log_free(log);
	varve_vm_close(vm);
	end_processes();
	fault_clear();
	life_check(&life, "after workers that did not start");
}
