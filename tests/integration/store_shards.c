/*
 * store_shards.c - one large module, several workers: the same bytes, however many there are.
 */
#include "helper_large.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

TestSuite(shards, .init = store_setup, .fini = store_teardown, .timeout = 120);

static struct varve_id ids[LARGE_COMMITS];

static const int order[] = {3, 0, 8, 2, 6, 4, 4, 5, 7, 1, 8};
#define ORDER ((int)(sizeof(order) / sizeof(*order)))

static struct varve_report restore(struct varve_vm *vm, int k)
{
	struct varve_report report;
	must(varve_restore(vm, &ids[k], NULL, &report));
	return report;
}

/* Nothing is known of the files, so all of them are built, shard by shard. */
Test(shards, any_number_of_workers_makes_the_same_bytes_of_unknown_files)
{
	static const unsigned workers[] = {1, 3, 8, 2};
	large_make("AB", false, ids);
	for (int w = 0; w < how_many(3, 4); w++) {
		struct varve_vm *vm = large_open(workers[w]);
		for (int i = 0; i < how_many(2, ORDER); i++) {
			int k = order[(i + w * 2) % ORDER];
			large_strange("AB", i % 2);
			struct varve_report report = restore(vm, k);
			cr_assert_eq(report.modules, 2, "%llu modules", (unsigned long long)report.modules);
			cr_assert_leq(report.workers, workers[w]);
			large_expect("AB", k);
		}
		varve_vm_close(vm);
		end_processes();
	}
}

struct seen {
	struct varve_vm *other;
	double own, other_s;
};

/* Once a worker hangs in the middle of it. */
static int look(void *arg, const struct varve_report *so_far)
{
	struct seen *seen = arg;
	struct varve_stat *stat;
	if (!fault_struck() || so_far->share == 0)
		return 0;
	must(varve_stat(seen->other, &stat));
	cr_assert_eq(so_far->modules, 0);
	seen->own = so_far->share;
	for (size_t i = 0; i < stat->operations_count; i++)
		if (strcmp(stat->operations[i].name, "restore") == 0)
			seen->other_s = stat->operations[i].share;
	varve_stat_free(stat);
	return 1;
}

/* Nobody should have to wonder whether it goes on. */
Test(shards, how_far_one_large_module_is_can_be_seen)
{
	struct seen seen = {0};
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	large_make("A", false, ids);
	setenv("VARVE_HANG_MS", "400", 1);
	fault_set("worker", "restore.written:3:hang", false);
	struct varve_vm *vm = large_open(1);
	seen.other = large_open(1);
	large_strange("A", false);
	options.progress = look;
	options.progress_arg = &seen;
	must_fail(varve_restore(vm, &ids[3], &options, NULL), -ECANCELED);
	cr_assert(seen.own > 0 && seen.own < 1, "%g", seen.own);
	cr_assert(seen.other_s > 0 && seen.other_s < 1, "%g", seen.other_s);
	varve_vm_close(seen.other);
	varve_vm_close(vm);
	end_processes();
	fault_clear();
	cr_assert_eq(restore(vm = large_open(2), 4).share, 1);
	large_expect("A", 4);
	varve_vm_close(vm);
}

/* Workers that have had a job. */
static int workers_used(struct varve_vm *vm)
{
	struct varve_stat *stat;
	int used = 0;
	must(varve_stat(vm, &stat));
	for (size_t i = 0; i < stat->workers_count; i++)
		used += stat->workers[i].jobs > 0;
	varve_stat_free(stat);
	return used;
}

/* They do take part: else all of this would be for nothing. */
Test(shards, several_workers_take_part_in_the_restore_of_one_module)
{
	large_make("A", false, ids);
	struct varve_vm *vm = large_open(2);
	/* Where the machine is busy, one of them may have done all before the other is awake. */
	for (int i = 0; i < 100 && workers_used(vm) < 2; i++) {
		large_strange("A", true);
		cr_assert_eq(restore(vm, i % 2 ? 3 : 8).workers, 2);
	}
	cr_assert_eq(workers_used(vm), 2);
	varve_vm_close(vm);
}

/* A restore leaves the page hashes of what it has written: the next one goes by difference, and touches that only. */
Test(shards, a_large_module_is_then_restored_by_difference)
{
	large_make("A", true, ids);
	struct varve_vm *vm = large_open(2);
	large_strange("A", true);
	restore(vm, 8);
	struct varve_report report = restore(vm, 7);
	large_expect("A", 7);
	cr_assert_leq(report.bytes_read, 1 * MIB, "%llu bytes were read", (unsigned long long)report.bytes_read);
	cr_assert_leq(report.bytes_written, 200000, "%llu bytes", (unsigned long long)report.bytes_written);
	report = restore(vm, 8);
	large_expect("A", 8);
	cr_assert_leq(report.bytes_read, 1 * MIB, "%llu bytes were read", (unsigned long long)report.bytes_read);
	/* By difference first, and where that does not lead there, by shards. */
	for (int i = 0; i < ORDER; i++) {
		restore(vm, order[i]);
		large_expect("A", order[i]);
	}
	varve_vm_close(vm);
}

static long blocks_of(const char *module)
{
	struct stat st;
	cr_assert_eq(stat(store_path(store_file(module, NULL, "")), &st), 0);
	return (long)st.st_blocks * 512;
}

/* A memory of 64 MiB of which little was ever written does not take 64 MiB because it was restored. */
Test(shards, holes_stay_holes)
{
	large_make("A", false, ids);
	struct varve_vm *vm = large_open(2);
	struct statfs fs;
	cr_assert_eq(statfs(store_path(""), &fs), 0);
	for (int i = 0; i < 6; i++) {
		large_strange("A", false);
		if (i == 3)
			unlink(store_path(store_file(large_name('A'), NULL, "")));
		restore(vm, order[i]);
		large_expect("A", order[i]);
		if (fs.f_type == TMPFS_MAGIC)
			continue; /* there, reading a hole by way of a mapping fills it */
		cr_assert_lt(
		    blocks_of(large_name('A')), 4l * (long)MIB, "%ld bytes of disk", blocks_of(large_name('A')));
	}
	varve_vm_close(vm);
}

Test(shards, large_and_small_modules_are_restored_together)
{
	static const char modules[] = "cdBefghAijkl";
	large_make(modules, false, ids);
	struct varve_vm *vm = large_open(2);
	for (int i = 0; i < 6; i++) {
		if (i % 2)
			large_strange("Aefk", true);
		cr_assert_eq(restore(vm, order[i]).modules, 12);
		large_expect(modules, order[i]);
	}
	varve_vm_close(vm);
}

/* From an image that is restored as one to one that is restored by shards, and back; from nothing, too. */
Test(shards, a_module_may_become_large_and_small_again)
{
	struct varve_vm *vm = large_open(2);
	static const size_t sizes[] = {5000, 16 * MIB, 16 * MIB + 1, 0, 30 * MIB, 100};
	struct varve_id made[6];
	for (int k = 0; k < 6; k++)
		made[k] = store_commit_one(vm, "G", sizes[k], 'a' + k, NULL);
	for (int i = 0; i < 12; i++) {
		int k = i * 5 % 6;
		if (i > 5)
			unlink(store_path(store_file("G", NULL, "")));
		must(varve_restore(vm, &made[k], NULL, NULL));
		store_expect_fill("G", sizes[k], 'a' + k);
	}
	expect_verified(vm, NULL);
	varve_vm_close(vm);
}

/* Every page of it is another one: nothing is left out, and nothing is asked for twice. */
Test(shards, a_module_all_of_which_changes_is_restored)
{
	size_t size = 20 * MIB + 4097;
	char *one = malloc(size), *two = malloc(size);
	noise(one, size, 1);
	noise(two, size, 2);
	struct varve_vm *vm = large_open(2);
	struct varve_id first = store_commit(vm, &(struct content) {"N", one, size, NULL}, 1);
	struct varve_id second = store_commit(vm, &(struct content) {"N", two, size, NULL}, 1);
	struct varve_report report;
	large_forget("N");
	must(varve_restore(vm, &first, NULL, &report));
	cr_assert_eq(report.bytes_written, size);
	store_expect("N", one, size);
	large_forget("N");
	must(varve_restore(vm, &second, NULL, NULL));
	store_expect("N", two, size);
	varve_vm_close(vm);
	free(one);
	free(two);
}

/* The session's memory stays mapped, and is what it should be, wherever its end comes to lie. */
Test(shards, a_session_goes_on_in_a_large_memory)
{
	large_make("A", false, ids);
	struct varve_vm *vm = large_open(2);
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id id = id_of(large_name('A'));
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &id, &memory));
	char *base = varve_memory_base(memory);
	for (int i = 0; i < 6; i++) {
		size_t size = varve_memory_size(memory);
		memset(base + size - 100, 'x', 100);
		restore(vm, order[i]);
		cr_assert(varve_memory_base(memory) == (void *)base);
		cr_assert_eq(varve_memory_size(memory), large_size('A', order[i]));
		large_expect("A", order[i]);
	}
	must(varve_session_abandon(session));
	varve_vm_close(vm);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

/* Shards are read in two rounds, and each worker reads the deltas for itself: what a restore took does not depend on how
 * it was divided. */
Test(shards, the_report_says_the_same_for_any_number_of_workers)
{
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_report dry, one;
	options.dry_run = true;
	large_make("A", false, ids);
	for (unsigned workers = 1; workers <= 3; workers++) {
		struct varve_vm *vm = large_open(workers);
		restore(vm, 8);
		large_strange("A", false);
		unlink(store_path(store_private(large_name('A'), "base-pages")));
		must(varve_restore(vm, &ids[3], &options, &dry));
		struct varve_report wet = restore(vm, 3);
		if (workers == 1)
			one = wet;
		cr_assert_eq(wet.deltas_applied, 3, "%llu deltas", (unsigned long long)wet.deltas_applied);
		cr_assert_leq(wet.bytes_read, large_size('A', 0) + 200000, "%llu bytes were read",
		    (unsigned long long)wet.bytes_read);
		cr_assert_eq(wet.bytes_read, one.bytes_read);
		cr_assert_eq(wet.bytes_written, one.bytes_written);
		cr_assert(dry.bytes_read == wet.bytes_read && dry.deltas_applied == wet.deltas_applied);
		varve_vm_close(vm);
		end_processes();
	}
}

/* The most memory that any worker ever had, bytes. */
static size_t workers_peak(struct varve_vm *vm)
{
	struct varve_stat *stat;
	size_t peak = 0;
	must(varve_stat(vm, &stat));
	for (size_t i = 0; i < stat->workers_count; i++) {
		char path[64], line[256];
		size_t kib;
		snprintf(path, sizeof(path), "/proc/%d/status", (int)stat->workers[i].pid);
		FILE *status = fopen(path, "r");
		while (status && fgets(line, sizeof(line), status))
			if (sscanf(line, "VmHWM: %zu", &kib) == 1 && kib * 1024 > peak)
				peak = kib * 1024;
		if (status)
			fclose(status);
	}
	varve_stat_free(stat);
	return peak;
}

/* Neither a commit nor a restore, in any of its ways, needs the image as a whole; mapped files count as well. */
Test(shards, no_worker_ever_has_a_whole_image)
{
	const size_t size = 80 * MIB;
	struct varve_id made[3], id = id_of("W");
	struct varve_vm *vm = large_open(2);
	struct varve_session *session;
	struct varve_memory *memory;
	for (int k = 0; k < 3; k++) {
		must(varve_session_begin(vm, 0, &session));
		if (k == 0)
			must(varve_session_deploy(session, &id, size, &memory));
		else
			must(varve_session_module(session, &id, &memory));
		char *base = varve_memory_base(memory);
		for (size_t at = (size_t)k * 1000; at < size; at += k ? 300000 : 1000)
			base[at] = (char)('a' + k);
		must(varve_session_commit(session, NULL, &made[k]));
	}
	large_forget("W");
	must(varve_restore(vm, &made[1], NULL, NULL));
	must(varve_restore(vm, &made[0], NULL, NULL));
	must(varve_restore(vm, &made[2], NULL, NULL));
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &id, &memory));
	memset(varve_memory_base(memory), 'x', size / 2);
	must(varve_session_abandon(session));
	must(varve_restore(vm, &made[1], NULL, NULL));
	size_t peak = workers_peak(vm);
	cr_assert(peak > 1 * MIB && peak < size, "%zu bytes", peak);
	varve_vm_close(vm);
}

/* ---- dry --------------------------------------------------------------------------------------------------------- */

Test(shards, a_dry_run_writes_nothing_and_leaves_nothing)
{
	large_make("A", false, ids);
	struct varve_vm *vm = large_open(2);
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_report dry, wet;
	struct stat before, after;
	options.dry_run = true;
	for (int i = 0; i < 4; i++) {
		const char *path = store_path(store_file(large_name('A'), NULL, ""));
		if (i % 2)
			large_strange("A", true);
		cr_assert_eq(stat(path, &before), 0);
		must(varve_restore(vm, &ids[order[i]], &options, &dry));
		cr_assert_eq(stat(path, &after), 0);
		cr_assert(before.st_size == after.st_size && before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
		              before.st_ctim.tv_nsec == after.st_ctim.tv_nsec,
		    "the file was touched");
		cr_assert_eq(file_bytes(store_private(large_name('A'), "table")), -1, "a table was left behind");
		must(varve_restore(vm, &ids[order[i]], NULL, &wet));
		cr_assert_eq(dry.bytes_written, wet.bytes_written, "%llu bytes were foretold, %llu written",
		    (unsigned long long)dry.bytes_written, (unsigned long long)wet.bytes_written);
		large_expect("A", order[i]);
	}
	varve_vm_close(vm);
}
