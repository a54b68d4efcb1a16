/*
 * client_restore.c - a restore as the library sees it: live memories, progress, cancelling, an answer that is lost.
 */
#include <sys/time.h>

#include "client_case.h"

TestSuite(restore, .init = setup, .fini = teardown);

/* ---- restore ---------------------------------------------------------------------------------------------------- */

static void change(bool part, uint64_t size)
{
	fake.changes[0] = (struct fake_change) {fake_id(1), part, size};
	fake.changes_count = 1;
}

Test(restore, a_restore_moves_the_ends_of_live_memories_and_nothing_else)
{
	static const uint64_t sizes[] = {PAGE, 9 * PAGE, 0, 100, RESERVE, 3 * PAGE};
	struct varve_id id = fake_id(4);
	struct varve_report report;
	deploy(4 * PAGE);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		change(true, sizes[i]);
		cr_assert_eq(varve_restore(vm, &id, NULL, &report), 0, "%s", varve_last_error());
		assert_ends_at(sizes[i]);
		cr_assert_leq(fake.mapped_at_cut, (sizes[i] + PAGE - 1) / PAGE * PAGE, "cut while it could be touched");
	}
	cr_assert_eq(report.commit.bytes[0], 4);
	cr_assert(report.modules == 8 && report.bytes_written == 4096);
	cr_assert_eq(fake.seen[WIRE_SHRUNK], sizeof(sizes) / sizeof(sizes[0]));
	cr_assert_eq(varve_memory_resize(memory, 2 * PAGE), 0);
	assert_ends_at(2 * PAGE);
}

Test(restore, a_module_that_a_restored_commit_has_not_is_gone_until_one_has_it)
{
	struct varve_id id = fake_id(4), module = fake_id(1);
	struct varve_memory *again;
	deploy(2 * PAGE);
	change(false, 0);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), 0, "%s", varve_last_error());
	assert_ends_at(0);
	cr_assert_eq(varve_memory_resize(memory, PAGE), -ENOENT);
	cr_assert_eq(file_size(), 2 * PAGE, "its file must stay as it is");
	fake.fail_at = WIRE_MODULE;
	cr_assert_eq(varve_session_module(session, &module, &again), -EIO, "the coordinator must be asked");
	fake.fail_at = 0;
	change(true, PAGE);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), 0, "%s", varve_last_error());
	assert_ends_at(PAGE);
	cr_assert_eq(varve_session_module(session, &module, &again), 0);
	cr_assert_eq(again, memory);
	/* Or until it is deployed anew. */
	change(false, 0);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), 0);
	cr_assert_eq(varve_session_deploy(session, &module, 3 * PAGE, &again), 0, "%s", varve_last_error());
	cr_assert_eq(again, memory);
	assert_ends_at(3 * PAGE);
}

/* The coordinator cut the files before it failed, and tells no sizes. */
Test(restore, a_restore_that_fails_leaves_memories_as_long_as_their_files)
{
	struct varve_id id = fake_id(4);
	deploy(4 * PAGE);
	fake.restore_fails = true;
	change(true, 2 * PAGE);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -EBADMSG);
	cr_assert_str_eq(varve_last_error(), "a delta is damaged");
	assert_ends_at(2 * PAGE);
	change(true, 6 * PAGE);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -EBADMSG);
	assert_ends_at(6 * PAGE);
	/* The reason why the restore failed is told, not what came of it. */
	change(true, RESERVE + PAGE);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -EBADMSG);
	cr_assert_str_eq(varve_last_error(), "a delta is damaged");
	assert_ends_at(6 * PAGE);
}

Test(restore, a_restored_image_larger_than_the_reserve_is_an_error_and_not_mapped)
{
	struct varve_id id = fake_id(4);
	deploy(PAGE);
	change(true, RESERVE + PAGE);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -EFBIG);
	assert_error_says("reserve");
	assert_ends_at(0);
}

Test(restore, a_dry_run_moves_nothing)
{
	struct varve_id id = fake_id(4);
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	deploy(PAGE);
	change(true, 0);
	options.dry_run = true;
	cr_assert_eq(varve_restore(vm, &id, &options, NULL), 0, "%s", varve_last_error());
	assert_ends_at(PAGE);
}

static int stop_at_once(void *arg, const struct varve_report *report)
{
	(void)arg, (void)report;
	return 1;
}

/* Without a session nothing but the coordinator's own work is lost with it, and a restore may be done twice. With one,
 * the memories are lost: no other coordinator knows of them. */
Test(restore, a_restore_whose_coordinator_dies_is_asked_of_the_next_unless_it_is_a_sessions)
{
	struct varve_id id = fake_id(1);
	fake.die_once_at = WIRE_RESTORE;
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -ECONNRESET);
	cr_assert_eq(fake.seen[WIRE_RESTORE], 1);
	cr_assert_eq(varve_session_abandon(session), 0);
	fake.die_once_at = WIRE_RESTORE;
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), 0, "%s", varve_last_error());
	cr_assert_eq(fake.seen[WIRE_RESTORE], 3);
	/* One that kills every coordinator is not tried for ever. */
	fake.die_at = WIRE_RESTORE;
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -ECONNRESET);
	cr_assert_eq(fake.seen[WIRE_RESTORE], 5);
	assert_error_says("died during the restore");
	fake.die_at = 0;
	fake_stop(&fake);
	fake_listen(&fake);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), 0, "%s", varve_last_error());
}

/* It was told to stop: what the dead one has left undone must not be done by the next one. */
Test(restore, a_restore_that_was_cancelled_is_not_asked_of_the_next_coordinator)
{
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_id id = fake_id(1);
	cr_assert_eq(varve_session_abandon(session), 0);
	options.progress = stop_at_once;
	fake.restore_waits = true;
	fake.die_once_at = WIRE_CANCEL;
	cr_assert_eq(varve_restore(vm, &id, &options, NULL), -ECONNRESET, "%s", varve_last_error());
	cr_assert_eq(fake.seen[WIRE_RESTORE], 1);
}

/* The next one may take long until it says hello: it brings modules back. */
Test(restore, cancelling_is_noticed_while_the_library_turns_to_another_coordinator)
{
	struct varve_id id = fake_id(1);
	cr_assert_eq(varve_session_abandon(session), 0);
	fake.cancels = vm;
	fake.die_once_at = WIRE_RESTORE;
	fake.silent_at = WIRE_HELLO;
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -ECANCELED, "%s", varve_last_error());
	cr_assert_eq(fake.seen[WIRE_RESTORE], 1);
}

/* ---- progress and cancelling ------------------------------------------------------------------------------------- */

static unsigned told;

static int stop_at_third(void *arg, const struct varve_report *report)
{
	struct varve_id id = fake_id(4);
	cr_assert_eq(arg, &told);
	cr_assert(report->modules_total == 8 || report->modules_total == 0);
	/* Changing the store from here would wait for itself; looking at it is fine. */
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -EDEADLK);
	cr_assert_eq(varve_memory_resize(memory, 0), -EDEADLK);
	cr_assert_eq(varve_resolve(vm, "HEAD", &id), 0);
	return ++told == 3;
}

Test(restore, a_restore_tells_its_progress_and_ends_when_told_so)
{
	struct varve_id id = fake_id(4);
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_report report;
	deploy(PAGE);
	fake.restore_waits = true;
	options.progress = stop_at_third;
	options.progress_arg = &told;
	cr_assert_eq(varve_restore(vm, &id, &options, &report), -ECANCELED);
	cr_assert_eq(told, 3);
	cr_assert_eq(report.modules, 0);
	assert_ends_at(PAGE);
	cr_assert_eq(varve_session_commit(session, NULL, NULL), 0, "the session goes on: %s", varve_last_error());
}

/* The coordinator is taking back what it has written: as long as it does the memory is not to be seen. */
Test(restore, after_a_cancel_memories_may_be_empty_until_their_modules_are_asked_for)
{
	struct varve_id id = fake_id(4), module = fake_id(1);
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_memory *again;
	deploy(2 * PAGE);
	fake.restore_waits = true;
	fake.cancel_result = -EINPROGRESS;
	options.progress = stop_at_once;
	cr_assert_eq(varve_restore(vm, &id, &options, NULL), -ECANCELED, "%s", varve_last_error());
	assert_error_says("was cancelled");
	assert_ends_at(0);
	cr_assert_eq(varve_memory_resize(memory, PAGE), -ENOENT);
	cr_assert_eq(file_size(), 2 * PAGE);
	cr_assert_eq(varve_session_module(session, &module, &again), 0, "%s", varve_last_error());
	cr_assert_eq(again, memory);
	assert_ends_at(2 * PAGE);
	/* One that only looked has nothing to take back. */
	options.dry_run = true;
	cr_assert_eq(varve_restore(vm, &id, &options, NULL), -ECANCELED, "%s", varve_last_error());
	assert_ends_at(2 * PAGE);
	/* And a restore says of itself how long each memory is. */
	options.dry_run = false;
	cr_assert_eq(varve_restore(vm, &id, &options, NULL), -ECANCELED);
	assert_ends_at(0);
	fake.restore_waits = false;
	change(true, 3 * PAGE);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), 0, "%s", varve_last_error());
	assert_ends_at(3 * PAGE);
	cr_assert_eq(varve_session_commit(session, NULL, NULL), 0, "the session goes on: %s", varve_last_error());
}

static void *restore_in_thread(void *arg)
{
	struct varve_id id = fake_id(4);
	*(int *)arg = varve_restore(vm, &id, NULL, NULL);
	return NULL;
}

Test(restore, cancelling_ends_the_call_in_progress_and_no_later_one)
{
	pthread_t thread;
	struct varve_id id = fake_id(4);
	int result = 0;
	for (int i = 0; i < 3; i++) {
		fake.restore_waits = true;
		fake.seen[WIRE_RESTORE] = 0;
		pthread_create(&thread, NULL, restore_in_thread, &result);
		while (!fake.seen[WIRE_RESTORE])
			usleep(500);
		varve_vm_cancel(vm);
		pthread_join(thread, NULL);
		cr_assert_eq(result, -ECANCELED);
		/* Nothing is in progress now. */
		varve_vm_cancel(vm);
		fake.restore_waits = false;
		cr_assert_eq(varve_restore(vm, &id, NULL, NULL), 0, "%s", varve_last_error());
	}
}

static void *begin_and_wait(void *arg)
{
	struct varve_session *second;
	int r = varve_session_begin(vm, -1, &second);
	if (!r)
		r = varve_session_abandon(second);
	*(int *)arg = r;
	return NULL;
}

/* Two calls are under way, and one cancel is news to both. */
Test(restore, cancelling_ends_every_call_in_progress)
{
	pthread_t waiting, restoring;
	int waited = 0, restored = 0;
	fake.restore_waits = true;
	pthread_create(&waiting, NULL, begin_and_wait, &waited);
	usleep(10000);
	pthread_create(&restoring, NULL, restore_in_thread, &restored);
	while (!fake.seen[WIRE_RESTORE])
		usleep(500);
	varve_vm_cancel(vm);
	pthread_join(waiting, NULL);
	pthread_join(restoring, NULL);
	cr_assert_eq(waited, -ECANCELED);
	cr_assert_eq(restored, -ECANCELED);
}

/* Two restores on one handle: the second one waits for the first, and is not to begin once both were cancelled. */
Test(restore, cancelling_ends_a_restore_that_waits_for_another_one)
{
	pthread_t first, second;
	int results[2] = {0};
	fake.restore_waits = true;
	pthread_create(&first, NULL, restore_in_thread, &results[0]);
	while (!fake.seen[WIRE_RESTORE])
		usleep(500);
	pthread_create(&second, NULL, restore_in_thread, &results[1]);
	usleep(20000);
	varve_vm_cancel(vm);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	cr_assert(results[0] == -ECANCELED && results[1] == -ECANCELED, "%d, %d", results[0], results[1]);
	cr_assert_eq(fake.seen[WIRE_RESTORE], 1);
}

static void on_alarm(int sig)
{
	(void)sig;
	varve_vm_cancel(vm);
}

/* Ctrl-C arrives in the very thread that waits. */
Test(restore, cancelling_works_from_a_signal_handler)
{
	struct varve_id id = fake_id(4);
	struct itimerval soon = {.it_value = {0, 30000}};
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	fake.restore_waits = true;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -ECANCELED);
}
