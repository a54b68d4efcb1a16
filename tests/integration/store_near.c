/*
 * store_near.c - the restore that takes back the last few commits, through the library: who does it, what it writes, and
 * that what it goes by may be gone.
 */
#include "helper_trouble.h"

#include <unistd.h>

TestSuite(near, .init = store_setup, .fini = store_teardown, .timeout = 30);

#define SIZE (3u << 20)
#define COMMITS 12
#define PAGE 4096u

static uint8_t images[COMMITS][SIZE];
static struct varve_id ids[COMMITS];

/* Each commit writes a page that all others write, too, and one of its own. */
static struct varve_vm *make_history(void)
{
	struct varve_vm *vm = store_open();
	noise(images[0], SIZE, 1);
	for (int k = 0; k < COMMITS; k++) {
		if (k)
			memcpy(images[k], images[k - 1], SIZE);
		noise(images[k] + 100 * PAGE, 500, (uint64_t)k + 100);
		noise(images[k] + (size_t)(200 + 9 * k) * PAGE, 700, (uint64_t)k + 200);
		ids[k] = store_commit(vm, &(struct content) {"N", images[k], SIZE, NULL}, 1);
	}
	must(varve_optimize(vm));
	return vm;
}

static struct varve_report restore_to(struct varve_vm *vm, int k)
{
	struct varve_report report;
	must(varve_restore(vm, &ids[k], NULL, &report));
	store_expect("N", images[k], SIZE);
	return report;
}

/* Handing it over would take about as long as doing it, however large the module is. */
Test(near, is_done_by_the_coordinator_and_writes_what_has_changed)
{
	struct varve_vm *vm = make_history();
	restore_to(vm, COMMITS - 1);
	struct varve_report back = restore_to(vm, COMMITS - 2);
	cr_assert(back.workers == 0 && back.deltas_applied == 1, "%u workers, %llu deltas", back.workers,
	    (unsigned long long)back.deltas_applied);
	cr_assert_eq(back.bytes_written, 2 * PAGE);
	struct varve_report forward = restore_to(vm, COMMITS - 1);
	cr_assert(forward.workers == 0 && forward.deltas_applied == 1 && forward.bytes_written == 2 * PAGE);
	struct varve_report eight = restore_to(vm, COMMITS - 9);
	cr_assert(eight.workers == 0 && eight.deltas_applied == 8 && eight.bytes_written == 9 * PAGE,
	    "%u workers, %llu deltas, %llu bytes", eight.workers, (unsigned long long)eight.deltas_applied,
	    (unsigned long long)eight.bytes_written);
	varve_vm_close(vm);
}

/* Who wants a process between the coordinator and what is decoded gets it. */
Test(near, is_done_by_a_worker_where_the_coordinator_must_not)
{
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = make_history();
	restore_to(vm, COMMITS - 1);
	struct varve_report back = restore_to(vm, COMMITS - 2);
	cr_assert(back.workers == 1 && back.bytes_written == 2 * PAGE, "%u workers", back.workers);
	varve_vm_close(vm);
	unsetenv("VARVE_INLINE");
}

/* The long way is a worker's: the coordinator has others to serve. */
Test(near, that_leads_nowhere_is_handed_over)
{
	struct varve_vm *vm = make_history();
	restore_to(vm, COMMITS - 1);
	cr_assert_eq(unlink(store_path(store_private("N", "pages"))), 0);
	struct varve_report back = restore_to(vm, COMMITS - 2);
	cr_assert(back.workers == 1 && back.bytes_written == 2 * PAGE, "%u workers, %llu bytes", back.workers,
	    (unsigned long long)back.bytes_written);
	/* The page hashes are there again. */
	cr_assert_eq(restore_to(vm, COMMITS - 3).workers, 0);
	varve_vm_close(vm);
}

/* The coordinator has others to serve: what it does itself goes by how long the file is, not by what was committed. */
Test(near, a_memory_that_has_become_long_is_committed_by_a_worker)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", 5000, 'a', NULL);
	uint64_t before = workers_sum(vm).jobs;
	store_commit_one(vm, "M", 5000, 'b', NULL);
	cr_assert_eq(workers_sum(vm).jobs, before);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	cr_assert_eq(truncate(store_path(store_file("M", NULL, "")), 50 << 20), 0);
	must(varve_session_commit(session, NULL, NULL));
	cr_assert_eq(workers_sum(vm).jobs, before + 2, "comparing, and publishing");
	/* It has been long: what was made of that is not for the coordinator either. */
	struct varve_id small = store_commit_one(vm, "M", 5000, 'c', NULL);
	store_commit_one(vm, "M", 5000, 'd', NULL);
	struct varve_report report;
	must(varve_restore(vm, &small, NULL, &report));
	cr_assert_eq(report.workers, 1);
	store_expect_fill("M", 5000, 'c');
	varve_vm_close(vm);
}

/* Without undo deltas pages are rebuilt; with none that is right, too. */
Test(near, does_without_undo_deltas)
{
	struct varve_vm *vm = make_history();
	restore_to(vm, COMMITS - 1);
	cr_assert_eq(truncate(store_path(store_private("N", "undo")), 3000), 0);
	for (int k = COMMITS - 2; k > 4; k -= 2)
		cr_assert_leq(restore_to(vm, k).bytes_written, 4 * PAGE);
	cr_assert_eq(unlink(store_path(store_private("N", "undo"))), 0);
	restore_to(vm, COMMITS - 1);
	for (int k = COMMITS - 2; k > 4; k -= 2)
		cr_assert_leq(restore_to(vm, k).bytes_written, 4 * PAGE);
	varve_vm_close(vm);
}

/* A dry run says what would be written. */
Test(near, in_a_dry_run_writes_nothing)
{
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_report report;
	struct varve_vm *vm = make_history();
	options.dry_run = true;
	restore_to(vm, COMMITS - 1);
	must(varve_restore(vm, &ids[COMMITS - 4], &options, &report));
	cr_assert_eq(report.bytes_written, 4 * PAGE);
	store_expect("N", images[COMMITS - 1], SIZE);
	varve_vm_close(vm);
}
