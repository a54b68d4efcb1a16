/*
 * store_shards_trouble.c - a restore of large modules meets with damage, full disks and deaths: it is completed, or every
 * module is at one commit, and the next restore is none the worse for it.
 */
#include "helper_large.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(trouble, .init = store_setup, .fini = store_teardown, .timeout = 120);

#define ALL "AcB"

static struct varve_id ids[LARGE_COMMITS];

static int restore(struct varve_vm *vm, int k)
{
	return varve_restore(vm, &ids[k], NULL, NULL);
}

static void expect_no_table(void)
{
	for (const char *m = "AB"; *m; m++)
		cr_assert_eq(file_bytes(store_private(large_name(*m), "table")), -1, "a table was left behind");
}

/* ---- deaths of workers ------------------------------------------------------------------------------------------- */

/* Each shard is built in two rounds, in any of which its worker may die. */
Test(trouble, a_worker_that_is_killed_in_either_round_costs_no_call)
{
	static const char *const faults[] = {"restore.built:1:kill", "restore.written:1:kill", "worker.take:1:kill",
	    "worker.take:3:kill", "worker.done:2:kill", "write.data:1:kill", "write.data:3:kill", "map:3:kill"};
	large_make(ALL, false, ids);
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f += (size_t)how_many(3, 1)) {
		fault_set("worker", faults[f], false);
		struct varve_vm *vm = large_open(2);
		large_strange("AB", true);
		must(restore(vm, 3 + (int)f % 2));
		large_expect(ALL, 3 + (int)f % 2);
		cr_assert(fault_struck(), "%s never struck", faults[f]);
		varve_vm_close(vm);
		end_processes();
		fault_clear();
		expect_no_table();
	}
}

/* Whatever a shard does to its worker, it is not tried for ever; and who reads of it learns which module it was. */
Test(trouble, a_shard_that_kills_two_workers_is_an_error_that_names_its_module)
{
	large_make("AB", false, ids);
	fault_set("worker", "restore.built:1+:kill", true);
	struct varve_vm *vm = large_open(2);
	large_strange("AB", false);
	must_fail(restore(vm, 3), -ENOTRECOVERABLE);
	cr_assert(strstr(varve_last_error(), store_file(large_name('A'), NULL, "")) ||
	              strstr(varve_last_error(), store_file(large_name('B'), NULL, "")),
	    "%s", varve_last_error());
	cr_assert(strstr(varve_last_error(), "restoring"), "%s", varve_last_error());
	varve_vm_close(vm);
	end_processes();
	fault_clear();
	vm = large_open(2);
	must(restore(vm, 8));
	large_expect("AB", 8);
	must(restore(vm, 3));
	large_expect("AB", 3);
	varve_vm_close(vm);
	end_processes();
	expect_no_table();
}

/* ---- deaths of the coordinator ----------------------------------------------------------------------------------- */

/* At its first write of each kind: the table is made, the file gets its size between the rounds, the table becomes the
 * page hashes, the current commit moves. */
Test(trouble, a_coordinator_that_is_killed_between_the_rounds_leaves_no_module_half_way)
{
	static const char *const faults[] = {"file.resize:1:kill", "write.create:1:kill", "file.rename:1:kill",
	    "file.resize:2:kill", "restore.decide:1:kill"};
	large_make(ALL, false, ids);
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f += (size_t)how_many(2, 1)) {
		struct varve_vm *vm = large_open(2);
		must(restore(vm, 8));
		varve_vm_close(vm);
		end_processes();
		large_strange("A", false);
		large_strange("B", true);
		fault_set("coordinator", faults[f], false);
		vm = large_open(2);
		int r = restore(vm, 3);
		varve_vm_close(vm);
		end_processes();
		cr_assert(
		    fault_struck() && (r == 0 || r == -ECONNRESET), "%s: %d, %s", faults[f], r, varve_last_error());
		fault_clear();
		vm = large_open(2);
		int at = large_where(ALL);
		cr_assert(at == 3 || (r && at == 8), "%s: at commit %d", faults[f], at);
		expect_no_table();
		must(restore(vm, 3));
		large_expect(ALL, 3);
		varve_vm_close(vm);
		end_processes();
	}
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static const char *last_part(const char *name)
{
	const char *slash = strrchr(name, '/');
	return slash ? slash + 1 : name;
}

Test(trouble, a_damaged_delta_is_named_and_every_module_stays_where_it_was)
{
	large_make(ALL, false, ids);
	struct varve_vm *vm = large_open(2);
	must(restore(vm, 8));
	const char *delta = store_file(large_name('B'), "C3", "_0");
	file_flip(delta, file_bytes(delta) / 2);
	for (int i = 0; i < 2; i++) {
		large_strange("A", i);
		large_strange("B", i);
		must_fail(restore(vm, 4), -EBADMSG);
		cr_assert(strstr(varve_last_error(), last_part(store_file(large_name('B'), "C3", "_0"))), "%s",
		    varve_last_error());
		large_expect(ALL, 8);
		expect_no_table();
	}
	must(restore(vm, 2));
	large_expect(ALL, 2);
	must(restore(vm, 8));
	large_expect(ALL, 8);
	expect_verified(vm, (const char *[]) {store_file(large_name('B'), "C3", "_0"), NULL});
	varve_vm_close(vm);
}

Test(trouble, a_damaged_base_is_named_and_every_module_stays_where_it_was)
{
	large_make("A", false, ids);
	struct varve_vm *vm = large_open(2);
	must(restore(vm, 8));
	file_flip(store_file(large_name('A'), "C0", ""), 30 * (long)MIB);
	large_strange("A", true);
	must_fail(restore(vm, 1), -EBADMSG);
	cr_assert(strstr(varve_last_error(), store_file(large_name('A'), "C0", "")), "%s", varve_last_error());
	large_expect("A", 8);
	varve_vm_close(vm);
}

/* What only makes it quick, or cancelling: .table and .written are made anew each time, .pages afterwards. */
Test(trouble, what_is_in_the_way_of_private_files_costs_nothing)
{
	static const char *const suffixes[] = {"pages", "table", "base-pages", "written"};
	large_make("A", false, ids);
	for (int i = 0; i < 4; i++) {
		struct varve_vm *vm = large_open(2);
		unlink(store_path(store_private(large_name('A'), suffixes[i])));
		cr_assert_eq(mkdir(store_path(store_private(large_name('A'), suffixes[i])), 0700), 0);
		large_strange("A", true);
		must(restore(vm, 3));
		large_expect("A", 3);
		must(restore(vm, 4));
		large_expect("A", 4);
		varve_vm_close(vm);
		end_processes();
		cr_assert_eq(rmdir(store_path(store_private(large_name('A'), suffixes[i]))), 0);
	}
}

/* Page hashes of the whole images are kept, and believed only if they are right as a whole. Once lost they are there
 * again. */
Test(trouble, page_hashes_that_are_wrong_or_lost_cost_nothing_but_time)
{
	char kept[128];
	char *was = NULL, *is;
	size_t was_size, is_size;
	snprintf(kept, sizeof(kept), "%s", store_private(large_name('A'), "base-pages"));
	large_make("A", false, ids);
	struct varve_vm *vm = large_open(1);
	was = file_get(kept, &was_size);
	cr_assert(was && was_size == large_size('A', 0) / 512, "%zu bytes", was_size);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			cr_assert_eq(unlink(store_path(kept)), 0);
		else
			file_flip(kept, i ? (long)was_size / 2 : -1);
		large_strange("A", true);
		must(restore(vm, 3 + i));
		large_expect("A", 3 + i);
		is = file_get(kept, &is_size);
		cr_assert(is && is_size == was_size && memcmp(is, was, is_size) == 0, "they were not put right");
		free(is);
	}
	free(was);
	expect_verified(vm, NULL);
	varve_vm_close(vm);
}

/* A tier that is whole in length and wrong in content. */
Test(trouble, damaged_tiers_are_done_without)
{
	large_make("A", true, ids);
	struct varve_vm *vm = large_open(2);
	long tiers = file_bytes(store_private(large_name('A'), "tiers"));
	cr_assert_gt(tiers, 0, "there are no tiers");
	file_flip(store_private(large_name('A'), "tiers"), tiers - 1000);
	for (int k = 8; k >= 0; k -= 2) {
		large_strange("A", k % 4);
		must(restore(vm, k));
		large_expect("A", k);
	}
	expect_verified(vm, NULL);
	varve_vm_close(vm);
}

/* ---- full disks -------------------------------------------------------------------------------------------------- */

Test(trouble, a_disk_that_gets_full_in_either_round_leaves_every_module_where_it_was)
{
	int from = 8, full = 0;
	large_make(ALL, false, ids);
	for (int n = 1; n < 12; n += how_many(5, 1)) {
		char fault[64];
		snprintf(fault, sizeof(fault), "write.data:%d:ENOSPC", n);
		fault_set("worker", fault, false);
		struct varve_vm *vm = large_open(2);
		int to = 11 - from;
		/* It strikes once, if at all. */
		for (int i = 0; i < 2 && from != to; i++) {
			large_strange("AB", false);
			int r = restore(vm, to);
			cr_assert(r == 0 || r == -ENOSPC, "%s: %d, %s", fault, r, varve_last_error());
			cr_assert(r == 0 || strstr(varve_last_error(), "space"), "%s", varve_last_error());
			large_expect(ALL, r ? from : to);
			expect_no_table();
			full += r != 0;
			from = r ? from : to;
		}
		cr_assert_eq(from, to, "%s strikes more than once", fault);
		varve_vm_close(vm);
		end_processes();
		fault_clear();
	}
	cr_assert_gt(full, 0, "no disk was full");
}
