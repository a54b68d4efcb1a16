/*
 * store_frames.c - long histories: restores start from keyframes, of small modules and of large ones, and an operator
 * says what disk those may take.
 */
#include "helper_large.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

TestSuite(frames, .init = store_setup, .fini = store_teardown, .timeout = 120);

static struct varve_vm *open_with(const char *settings)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm;
	options.settings = settings;
	must(varve_vm_open(store_path(""), &options, &vm));
	return vm;
}

/* What is made in the background, and what it takes. */
static uint64_t tiers_bytes(struct varve_vm *vm)
{
	struct varve_stat *stat;
	must(varve_optimize(vm));
	must(varve_stat(vm, &stat));
	uint64_t bytes = stat->modules[0].tiers_bytes;
	varve_stat_free(stat);
	return bytes;
}

/* ---- what disk they take ----------------------------------------------------------------------------------------- */

#define COMMITS 420
#define SMALL 20000u

static struct varve_id ids[COMMITS];
static unsigned char image[SMALL];

static void small_image(int k)
{
	noise(image, SMALL, 1);
	for (int i = 1; i <= k; i++)
		noise(image + (size_t)i * 7919 % (SMALL - 300), 300, (uint64_t)i);
}

static void small_history(struct varve_vm *vm)
{
	small_image(0);
	for (int k = 0; k < COMMITS; k++) {
		if (k)
			noise(image + (size_t)k * 7919 % (SMALL - 300), 300, (uint64_t)k);
		ids[k] = store_commit(vm, &(struct content) {"A", image, SMALL, NULL}, 1);
	}
}

static struct varve_report restore_unknown(struct varve_vm *vm, int k)
{
	struct varve_report report;
	large_forget("A");
	must(varve_restore(vm, &ids[k], NULL, &report));
	return report;
}

/* A share of 0 is for those who have no disk for what can be made again; and what was chosen does not stay for ever. */
Test(frames, the_share_of_disk_for_what_is_made_in_the_background_is_a_setting)
{
	static const char *const shares[] = {"background-disk=0", "background-disk=60", "background-disk=110", NULL};
	struct varve_vm *vm = open_with(shares[0]);
	uint64_t before = 0, deltas = COMMITS * 320;
	small_history(vm);
	for (int i = 0; i < 4; i++) {
		uint64_t bytes = tiers_bytes(vm);
		cr_assert(i == 0 ? bytes == 0 : bytes > before, "%s: %llu bytes, before %llu", shares[i],
		    (unsigned long long)bytes, (unsigned long long)before);
		/* And the blocks of an index. */
		cr_assert_leq(bytes, deltas * (uint64_t)(i == 3 ? 350 : i == 2 ? 110 : 60) / 100 + 65536);
		restore_unknown(vm, 300 + i);
		small_image(300 + i);
		store_expect("A", image, SMALL);
		before = bytes;
		varve_vm_close(vm);
		end_processes();
		vm = open_with(i < 3 ? shares[i + 1] : NULL);
	}
	cr_assert_lt(restore_unknown(vm, 390).deltas_applied, 40);
	varve_vm_close(vm);
}

/* ---- large modules ----------------------------------------------------------------------------------------------- */

#define LARGE (20u * MIB)
#define PARTS 2
/* Entry 255 of its chain is all of a sudden large; the keyframe is entry 256. The newest is small again: then there is no
 * way back from it. */
#define BEFORE 255
#define AFTER 7
/* The keyframe, to be hashed and then to be written; from the base, each shard would read what entry 255 has changed. */
#define MOST_READ (2 * LARGE + 4 * MIB)

static unsigned char *large_image(int k)
{
	static unsigned char *bytes;
	bytes = bytes ? bytes : malloc(LARGE);
	noise(bytes, LARGE - 2 * MIB, 1);
	memset(bytes + LARGE - 2 * MIB, 0, 2 * MIB);
	for (int i = 0; i <= k; i++)
		noise(bytes + (size_t)i * 3 * MIB + 500, 5000, (uint64_t)i + 9);
	return bytes;
}

static void large_history(struct varve_vm *vm)
{
	char word[4096] = {0};
	for (int k = 0; k < BEFORE; k++) {
		snprintf(word, sizeof(word), "%d", k);
		store_commit(vm, &(struct content) {"A", word, sizeof(word), NULL}, 1);
	}
	for (int k = 0; k < AFTER; k++)
		ids[k] =
		    store_commit(vm, &(struct content) {"A", large_image(k), k == AFTER - 1 ? MIB : LARGE, NULL}, 1);
}

/* Several workers, each with a part of it: each starts from its part of the keyframe. */
Test(frames, serve_each_worker_that_restores_a_part_of_a_large_module_and_are_not_believed_by_any)
{
	struct varve_vm *vm = store_open();
	large_history(vm);
	cr_assert_gt(tiers_bytes(vm), 2 * 16 * MIB, "a tier, and a keyframe");
	for (int k = 1; k < AFTER - 1; k += 2) {
		uint64_t jobs = workers_sum(vm).jobs;
		struct varve_report report = restore_unknown(vm, k);
		/* By difference is tried first; were a part of it not right, one worker would do it all once more. */
		cr_assert_leq(workers_sum(vm).jobs - jobs, 1 + 2 * PARTS);
		cr_assert_lt(report.bytes_read, MOST_READ, "%llu", (unsigned long long)report.bytes_read);
		store_expect("A", large_image(k), LARGE);
	}
	/* The tier of entries 249 to 256 is before it in the file. */
	long size = file_bytes(store_private("A", "tiers"));
	int fd = open(store_path(store_private("A", "tiers")), O_RDWR | O_CLOEXEC);
	for (long at = size - (long)(19 * MIB); at < size - (long)(2 * MIB); at += 300000)
		cr_assert_eq(pwrite(fd, "not what it was", 15, at), 15);
	close(fd);
	restore_unknown(vm, 3);
	store_expect("A", large_image(3), LARGE);
	cr_assert_gt(tiers_bytes(vm), 2 * 16 * MIB, "they were not made again");
	cr_assert_lt(restore_unknown(vm, 2).bytes_read, MOST_READ);
	store_expect("A", large_image(2), LARGE);
	varve_vm_close(vm);
}
