/*
 * store_shards_cancel.c - a restore of large modules is cancelled: wherever it is then, the call returns soon, and whoever
 * comes next finds every module at one commit, byte for byte.
 */
#include "helper_large.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

TestSuite(cancel, .init = store_setup, .fini = store_teardown, .timeout = 120);

static struct varve_id ids[LARGE_COMMITS];

static int restore(struct varve_vm *vm, int k)
{
	return varve_restore(vm, &ids[k], NULL, NULL);
}

static int stop_once_it_hangs(void *arg, const struct varve_report *so_far)
{
	(void)arg, (void)so_far;
	return fault_struck();
}

/* Cancelled when a worker hangs, which then holds up what is to be taken back until that is done without it. */
static void cancel_restore(struct varve_vm *vm, int k)
{
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	options.progress = stop_once_it_hangs;
	must_fail(varve_restore(vm, &ids[k], &options, NULL), -ECANCELED);
	cr_assert(fault_struck(), "it never struck");
}

/* What the coordinator does is waited for by whatever needs to know where the store stands. */
static void wait_for_turn(struct varve_vm *vm)
{
	struct varve_log *log;
	must(varve_log(vm, &log));
	varve_log_free(log);
}

/* A store whose modules are at commit @from, of which nothing is known, opened with that fault in its workers. */
static struct varve_vm *open_at(const char *modules, int from, const char *fault, unsigned workers)
{
	struct varve_vm *vm = large_open(2);
	must(restore(vm, from));
	varve_vm_close(vm);
	end_processes();
	large_strange(modules, false);
	fault_set("worker", fault, false);
	return large_open(workers);
}

static void close_all(struct varve_vm *vm)
{
	varve_vm_close(vm);
	end_processes();
	fault_clear();
	for (const char *m = "AB"; *m; m++) {
		cr_assert_eq(file_bytes(store_private(large_name(*m), "table")), -1, "a table was left behind");
		cr_assert_eq(file_bytes(store_private(large_name(*m), "written")), -1, "marks were left behind");
	}
}

/* One worker does it all, and hangs at its Nth write, of page hashes, marks or pages: so it is cancelled there. What
 * it has done until then has to be found by others. Files get longer, and shorter. */
Test(cancel, at_any_write_of_a_restore_every_byte_is_brought_back)
{
	static const struct {
		int at, from, to;
	} cases[] = {{8, 8, 3}, {6, 3, 2}, {9, 3, 8}, {1, 8, 3}, {5, 8, 3}, {6, 8, 3}, {7, 8, 3}, {9, 8, 3}, {10, 8, 3},
	    {12, 8, 3}, {14, 8, 3}, {4, 3, 2}, {5, 3, 2}, {7, 3, 2}, {8, 3, 8}, {12, 3, 8}, {13, 4, 5}, {9, 6, 7}};
	large_make("A", false, ids);
	setenv("VARVE_HANG_MS", "400", 1);
	for (int i = 0; i < how_many(2, (int)(sizeof(cases) / sizeof(*cases))); i++) {
		char fault[64];
		int from = cases[i].from, to = cases[i].to;
		snprintf(fault, sizeof(fault), "write.data:%d:hang", cases[i].at);
		struct varve_vm *vm = open_at("A", from, fault, 1);
		cancel_restore(vm, to);
		wait_for_turn(vm);
		large_expect("A", from);
		must(restore(vm, to));
		large_expect("A", to);
		close_all(vm);
	}
}

/* Several modules and workers, one of which hangs, in the first round, or the second, or in the middle of either. */
Test(cancel, in_either_round_every_module_stays_where_it_was)
{
	static const char *const faults[] = {
	    "worker.take:2:hang", "restore.built:1:hang", "write.data:1:hang", "restore.written:1:hang"};
	large_make("AcB", false, ids);
	setenv("VARVE_HANG_MS", "400", 1);
	for (int i = 0; i < how_many(1, 4); i++) {
		struct varve_vm *vm = open_at("AB", 8, faults[i], 2);
		cancel_restore(vm, 3);
		wait_for_turn(vm);
		large_expect("AcB", 8);
		must(restore(vm, 5));
		large_expect("AcB", 5);
		close_all(vm);
	}
}

/* Whoever wants to stop does not want to wait for the rest of the file to be looked at: bytes in it that others have
 * written are none of the restore's, and still there. They go before anybody gets the file. */
Test(cancel, what_was_not_written_is_not_looked_at)
{
	const off_t far = 61 * (off_t)MIB;
	char is[6] = "";
	large_make("A", false, ids);
	setenv("VARVE_HANG_MS", "400", 1);
	struct varve_vm *vm = open_at("A", 3, "restore.written:1:hang", 1);
	int fd = open(store_path(store_file(large_name('A'), NULL, "")), O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "others", 6, far), 6);
	large_forget(large_name('A'));
	cancel_restore(vm, 4);
	wait_for_turn(vm);
	cr_assert(pread(fd, is, 6, far) == 6 && memcmp(is, "others", 6) == 0, "\"%.6s\"", is);
	cr_assert_eq(pwrite(fd, "\0\0\0\0\0\0", 6, far), 6);
	large_expect("A", 3);
	cr_assert_eq(pwrite(fd, "others", 6, far), 6);
	close(fd);
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id id = id_of(large_name('A'));
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &id, &memory));
	large_expect("A", 3);
	must(varve_session_abandon(session));
	close_all(vm);
}

/* A VM has the memory of module A at commit 3, and has written to the far end of it. */
static struct varve_session *write_far(struct varve_vm *vm, struct varve_memory **memory)
{
	struct varve_session *session;
	struct varve_id id = id_of(large_name('A'));
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &id, memory));
	memset((char *)varve_memory_base(*memory) + 61 * (size_t)MIB, 'x', 100);
	return session;
}

/* As if nobody had asked for it, though the memory was to become shorter. */
Test(cancel, before_anything_is_touched_a_session_keeps_what_it_wrote)
{
	struct varve_memory *memory, *again;
	struct varve_id id = id_of(large_name('A'));
	large_make("A", false, ids);
	setenv("VARVE_HANG_MS", "400", 1);
	struct varve_vm *vm = open_at("", 3, "write.data:1:hang", 1);
	struct varve_session *session = write_far(vm, &memory);
	cancel_restore(vm, 2);
	must(varve_session_module(session, &id, &again));
	cr_assert_eq(again, memory);
	cr_assert_eq(varve_memory_size(memory), large_size('A', 3));
	cr_assert_eq(((char *)varve_memory_base(memory))[61 * (size_t)MIB + 99], 'x');
	must(varve_session_abandon(session));
	large_expect("A", 3);
	close_all(vm);
}

/* It may have been written to anywhere, and all of it goes back. Until it is there nobody sees it. */
Test(cancel, a_session_s_memory_is_brought_back_as_a_whole_and_is_empty_until_then)
{
	struct varve_memory *memory, *again;
	struct varve_id id = id_of(large_name('A'));
	large_make("A", false, ids);
	setenv("VARVE_HANG_MS", "400", 1);
	struct varve_vm *vm = open_at("", 3, "restore.written:1:hang", 1);
	struct varve_session *session = write_far(vm, &memory);
	void *base = varve_memory_base(memory);
	cancel_restore(vm, 4);
	cr_assert_eq(varve_memory_size(memory), 0, "%zu bytes", (size_t)varve_memory_size(memory));
	must_fail(varve_memory_resize(memory, MIB), -ENOENT);
	must(varve_session_module(session, &id, &again));
	cr_assert(again == memory && varve_memory_base(memory) == base);
	cr_assert_eq(varve_memory_size(memory), large_size('A', 3));
	large_expect("A", 3);
	must(varve_session_commit(session, NULL, NULL));
	large_expect("A", 3);
	close_all(vm);
}

/* Where it fails all of it is brought back, not only what the restore has written. */
Test(cancel, a_restore_that_fails_brings_a_session_s_memory_back_as_a_whole)
{
	struct varve_memory *memory;
	large_make("A", false, ids);
	struct varve_vm *vm = open_at("", 3, "restore.written:1:ENOSPC", 1);
	struct varve_session *session = write_far(vm, &memory);
	cr_assert_eq(restore(vm, 4), -ENOSPC, "%s", varve_last_error());
	cr_assert(fault_struck());
	large_expect("A", 3);
	must(varve_session_abandon(session));
	close_all(vm);
}

/* Nobody waits for a worker that hangs, not even for it to be noticed; nor does who closes the store. */
Test(cancel, whoever_has_cancelled_is_not_kept_waiting)
{
	struct varve_stat *stat;
	struct varve_session *session;
	large_make("A", false, ids);
	struct varve_vm *vm = open_at("A", 8, "restore.written:5:hang", 1);
	struct varve_vm *other = large_open(1);
	cancel_restore(vm, 4);
	must(varve_stat(other, &stat));
	cr_assert(stat->operations_count == 1 && strcmp(stat->operations[0].name, "settle") == 0, "%s",
	    stat->operations_count ? stat->operations[0].name : "no operation");
	varve_vm_close(vm);
	cr_assert_eq(kill(stat->workers[0].pid, SIGKILL), 0);
	varve_stat_free(stat);
	/* It is no session of another's, so it is not refused. */
	must(varve_session_begin(other, 0, &session));
	large_expect("A", 8);
	must(varve_session_abandon(session));
	close_all(other);
	cr_assert_null(store_is_clean(), "%s", store_is_clean());
}

static int cancel_and_die(void *arg)
{
	(void)arg;
	struct varve_vm *vm = large_open(1);
	cancel_restore(vm, 4);
	_exit(0);
}

/* The last program has gone, and the coordinator takes back what is written before it goes, too. */
Test(cancel, what_was_written_is_taken_back_behind_the_end_of_the_program)
{
	large_make("A", false, ids);
	setenv("VARVE_HANG_MS", "400", 1);
	varve_vm_close(open_at("A", 8, "restore.written:5:hang", 1));
	end_processes();
	child_run(cancel_and_die, NULL);
	end_processes();
	large_expect("A", 8);
	close_all(large_open(1));
	cr_assert_null(store_is_clean(), "%s", store_is_clean());
}

/* The next one does it, before anybody is let in. */
Test(cancel, the_coordinator_may_die_while_it_takes_back)
{
	large_make("A", false, ids);
	struct varve_vm *vm = open_at("A", 8, "restore.written:5:hang", 1);
	int pid = coordinator_pid(vm);
	cancel_restore(vm, 4);
	cr_assert(!large_is('A', 8), "it was quicker than this test");
	kill(pid, SIGKILL);
	wait_for_turn(vm);
	large_expect("A", 8);
	close_all(vm);
}
