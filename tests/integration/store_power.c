/*
 * store_power.c - power failures. A killed process is none: what it wrote is in the page cache. Here a coordinator tells
 * each thing that it does to files (power/record.c), a model of a disk (power/disk.c) forgets what was not synced, at
 * every moment and in several ways, and a coordinator opens what is left: each commit that was persisted is there.
 */
#include "helper_store.h"
#include "helper_trouble.h"
#include "power/disk.h"
#include "power/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMITS 14
#define MODULES 2
#define SIZE_MOST 40000

TestSuite(power, .init = store_setup, .fini = store_teardown, .timeout = 600);

/** What a module was at a commit: noise of a seed, in which a part may be another's. */
struct was {
	size_t size; /* 0: it was not there yet */
	unsigned seed, part;
};

static const char *const modules[MODULES] = {"A", "B"};
static struct was history[COMMITS][MODULES];
static struct varve_id ids[COMMITS];
static int made;
static char record_path[300], crash_path[300];

static void fill(char *image, const struct was *was)
{
	noise(image, was->size, was->seed);
	if (was->part)
		noise(image + was->size / 3, 700, was->part);
}

/* ---- a life ----------------------------------------------------------------------------------------------------- */

/* All that has returned so far survives, the test says. */
static void mark(void)
{
	struct record record = {.kind = RECORD_MARK, .size = (uint64_t)made};
	int fd = open(record_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && write(fd, &record, sizeof(record)) == sizeof(record));
	close(fd);
}

static void commit(struct varve_vm *vm, struct was a, struct was b)
{
	static char images[MODULES][SIZE_MOST];
	const struct was now[MODULES] = {a, b};
	struct content contents[MODULES];
	size_t count = 0;
	for (int m = 0; m < MODULES; m++) {
		history[made][m] = now[m];
		if (!now[m].size)
			continue;
		fill(images[m], &now[m]);
		contents[count++] = (struct content) {modules[m], images[m], now[m].size, NULL};
	}
	ids[made] = store_commit(vm, contents, count);
	made++;
}

static void persist(struct varve_vm *vm)
{
	must(varve_persist(vm));
	mark();
}

/* Growth, cuts, states that recur (the base's among them), another line of history, work in the background, an end. */
static void live(enum varve_sync sync)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm;
	bool each = sync == VARVE_SYNC_COMMIT;
	options.sync = sync;
	options.settings = "sandbox=off";
	made = 0;
	for (int part = 0; part < 2; part++) {
		must(varve_vm_open(store_path(""), &options, &vm));
		for (int i = 0; i < COMMITS / 2; i++) {
			static const struct was as[] = {{20000, 1, 0}, {20000, 1, 2}, {24000, 1, 3}, {20000, 1, 0},
			    {30000, 1, 4}, {24000, 1, 3}, {9000, 5, 0}};
			static const struct was bs[] = {{0, 0, 0}, {5000, 6, 0}, {5000, 6, 7}, {5000, 6, 7},
			    {5000, 6, 0}, {16000, 6, 8}, {5000, 6, 9}};
			struct was b = bs[i];
			if (part && !b.size)
				b = bs[1];
			commit(vm, as[i], b);
			if (each)
				mark();
			if (!each && (i == 0 || i == 2 || i == 3 || i == 5))
				persist(vm);
			if (i == 4)
				must(varve_optimize(vm));
			if (part && i == 3) {
				must(varve_restore(vm, &ids[4], NULL, NULL));
				if (!each)
					persist(vm);
			}
		}
		varve_vm_close(vm);
		end_processes();
	}
}

/* ---- what is left ----------------------------------------------------------------------------------------------- */

static bool check_image(struct varve_vm *vm, int k, int m, bool promised, const char *what)
{
	static char expected[SIZE_MOST];
	struct was *was = &history[k][m];
	struct varve_id module = id_of(modules[m]);
	uint64_t size = 0;
	bool right = false;
	int fd = memfd_create("image", MFD_CLOEXEC);
	int r = varve_checkout(vm, &ids[k], &module, fd, &size);
	if (!r) {
		char *image = malloc(size + 1);
		fill(expected, was);
		right =
		    size == was->size && pread(fd, image, size, 0) == (ssize_t)size && !memcmp(image, expected, size);
		free(image);
		/* What was not promised may be lost, but never be wrong. */
		cr_expect(right, "%s: commit %d, module %s is another image", what, k, modules[m]);
	}
	cr_expect(!promised || right, "%s: commit %d, module %s: %d, %s", what, k, modules[m], r, varve_last_error());
	close(fd);
	return right;
}

static void check_images(struct varve_vm *vm, int promised, const char *what)
{
	struct varve_log *log;
	must(varve_log(vm, &log));
	cr_expect((int)log->count >= promised, "%s: %zu commits of %d", what, log->count, promised);
	for (int k = 0; k < (int)log->count && k < made; k++)
		for (int m = 0; m < MODULES; m++)
			if (history[k][m].size)
				check_image(vm, k, m, k < promised, what);
	varve_log_free(log);
}

/* It is a store to go on with. */
static void go_on(struct varve_vm *vm, int promised, const char *what)
{
	static char expected[SIZE_MOST];
	int k = promised - 1;
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id a = id_of("A"), id;
	int r = varve_restore(vm, &ids[k], NULL, NULL);
	if (!r)
		r = varve_session_begin(vm, 0, &session);
	cr_expect(!r, "%s: going on: %d, %s", what, r, varve_last_error());
	if (r)
		return;
	r = varve_session_module(session, &a, &memory);
	cr_expect(!r, "%s: going on: %d, %s", what, r, varve_last_error());
	fill(expected, &history[k][0]);
	if (!r)
		cr_expect(varve_memory_size(memory) >= history[k][0].size &&
		              !memcmp(varve_memory_base(memory), expected, history[k][0].size),
		    "%s: the memory is not what was persisted", what);
	if (!r)
		*(char *)varve_memory_base(memory) ^= 1;
	r = varve_session_commit(session, NULL, &id);
	if (!r)
		r = varve_persist(vm);
	cr_expect(!r, "%s: going on: %d, %s", what, r, varve_last_error());
}

/* Stamps know the boot that they were made in. */
static void boot_anew(void)
{
	char path[320];
	char byte = 0;
	snprintf(path, sizeof(path), "%s/.varve/stamps", crash_path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	for (off_t at = 0; at < 64; at++) {
		if (pread(fd, &byte, 1, at) != 1)
			break;
		byte = (char)(byte ^ 1);
		cr_assert(pwrite(fd, &byte, 1, at) == 1);
	}
	close(fd);
}

static void check(struct disk *disk, size_t count, enum disk_loss loss, uint64_t seed)
{
	char what[100], command[400];
	struct varve_vm *vm;
	snprintf(what, sizeof(what), "after %zu of %zu records, loss %d, seed %llu", count, disk_records(disk),
	    (int)loss, (unsigned long long)seed);
	int promised = (int)disk_crash(disk, count, loss, seed, crash_path);
	boot_anew();
	int r = promised ? varve_vm_open(crash_path, NULL, &vm) : -ENOENT;
	cr_expect(!r || !promised, "%s: %d, %s", what, r, varve_last_error());
	if (!r) {
		check_images(vm, promised, what);
		go_on(vm, promised, what);
		check_images(vm, promised, what);
		varve_vm_close(vm);
	}
	snprintf(command, sizeof(command), "rm -r '%s'", crash_path);
	cr_assert(system(command) == 0);
}

static void lose_power(enum varve_sync sync, const char *inlined)
{
	char honest[4096];
	const char *told = getenv("VARVE_COORDINATOR");
	snprintf(honest, sizeof(honest), "%s", told ? told : "");
	snprintf(record_path, sizeof(record_path), "%s.record", store_path(""));
	snprintf(crash_path, sizeof(crash_path), "%s.crash", store_path(""));
	unlink(record_path);
	setenv("VARVE_INLINE", inlined, 1);
	setenv("VARVE_COORDINATOR", POWER_RECORD, 1);
	setenv("VARVE_POWER_RECORD", record_path, 1);
	live(sync);
	if (told)
		setenv("VARVE_COORDINATOR", honest, 1);
	else
		unsetenv("VARVE_COORDINATOR");
	unsetenv("VARVE_POWER_RECORD");
	unsetenv("VARVE_INLINE");
	struct disk *disk = disk_open(record_path, store_path(""));
	size_t records = disk_records(disk), tries = (size_t)how_many(60, (int)records * LOSS_KINDS);
	cr_assert_gt(records, 200);
	for (size_t i = 0; i < tries; i++) {
		/* Every moment if there is time for it, else some that lie far apart, another each time. */
		size_t at = tries >= records ? i / LOSS_KINDS + 1 : (i * 2654435761u % records) + 1;
		check(disk, at, (enum disk_loss)(i % LOSS_KINDS), i);
	}
	disk_close(disk);
	unlink(record_path);
}

Test(power, what_was_persisted_survives_whatever_else_is_lost)
{
	lose_power(VARVE_SYNC_PERSIST, "1");
}

Test(power, what_workers_have_written_survives_as_well)
{
	lose_power(VARVE_SYNC_PERSIST, "0");
}

Test(power, where_each_commit_is_synced_each_one_survives)
{
	lose_power(VARVE_SYNC_COMMIT, "1");
}
