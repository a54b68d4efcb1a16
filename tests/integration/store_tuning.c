/*
 * store_tuning.c - settings through the library: the pool made larger and smaller under load, and what a program that
 * opens a store may set.
 */
#include "helper_large.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define MODULES 6
#define COMMITS 4
#define SIZE 300000

TestSuite(tuning, .init = store_setup, .fini = store_teardown, .timeout = 60);

static struct varve_id ids[COMMITS];
static atomic_bool over;
static atomic_uint checkouts;

static const char *name_of(int module)
{
	static const char *const names[MODULES] = {"TA", "TB", "TC", "TD", "TE", "TF"};
	return names[module];
}

static void fill(struct varve_vm *vm)
{
	static char images[MODULES][SIZE];
	struct content contents[MODULES];
	for (int k = 0; k < COMMITS; k++) {
		for (int m = 0; m < MODULES; m++) {
			memset(images[m], 'a' + k, SIZE);
			contents[m] = (struct content) {name_of(m), images[m], SIZE, NULL};
		}
		ids[k] = store_commit(vm, contents, MODULES);
	}
}

static void *check_out(void *arg)
{
	struct varve_vm *vm = arg;
	for (unsigned n = 0; !atomic_load(&over); n++) {
		size_t size;
		char *image = store_checkout(vm, &ids[n % COMMITS], name_of((int)n % MODULES), &size);
		cr_assert(size == SIZE && image[SIZE - 1] == (char)('a' + n % COMMITS));
		free(image);
		atomic_fetch_add(&checkouts, 1);
	}
	return NULL;
}

/* Of all times, the pool is made larger while everybody waits. */
Test(tuning, workers_come_and_go_under_load_and_no_job_is_lost)
{
	static const struct varve_workers changes[] = {{sizeof(changes[0]), 0, 1, 10, -1, false},
	    {sizeof(changes[0]), 5, 5, 0, -1, false}, {sizeof(changes[0]), 0, 2, 11, -1, false},
	    {sizeof(changes[0]), 1, 9, 12, -1, false}, {sizeof(changes[0]), -1, 3, -1, -1, false},
	    {sizeof(changes[0]), 2, -1, -1, -1, false}};
	struct varve_workers now = VARVE_WORKERS_INIT;
	struct varve_stat *stat;
	pthread_t threads[2];
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	fill(vm);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, check_out, vm);
	for (int i = 0; i < how_many(60, 600); i++) {
		must(varve_workers(vm, &changes[i % 6], &now));
		cr_assert(now.running >= now.min && now.min <= now.most, "%d running", (int)now.running);
		int k = i % COMMITS;
		must(varve_restore(vm, &ids[k], NULL, NULL));
		for (int m = 0; m < MODULES; m++)
			store_expect_fill(name_of(m), SIZE, 'a' + k);
	}
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	cr_assert_gt(atomic_load(&checkouts), 0);
	must(varve_stat(vm, &stat));
	for (size_t i = 0; i < stat->workers_count; i++)
		cr_assert_eq(stat->workers[i].restarts, 0, "a worker that is to go ends, it is not killed");
	varve_stat_free(stat);
	varve_vm_close(vm);
}

static int open_with(const char *settings, struct varve_vm **vm)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	options.settings = settings;
	return varve_vm_open(store_path(""), &options, vm);
}

Test(tuning, a_program_sets_what_its_coordinator_shall_have)
{
	struct varve_workers now = VARVE_WORKERS_INIT;
	struct varve_vm *vm;
	setenv("VARVE_MIN_WORKERS", "1", 1);
	must(open_with("workers=3,min-workers=2 idle-timeout=1.5", &vm));
	must(varve_workers(vm, NULL, &now));
	cr_assert(now.most == 3 && now.min == 2 && now.idle_ms == 1500);
	varve_vm_close(vm);
	end_processes();
	must(open_with("workers=3", &vm));
	must(varve_workers(vm, NULL, &now));
	cr_assert(now.most == 3 && now.min == 1 && now.idle_ms == 60000);
	varve_vm_close(vm);
	end_processes();
	must_fail(open_with("workers=3,colour=blue", &vm), -EINVAL);
	cr_assert(strstr(varve_last_error(), "colour"), "%s", varve_last_error());
	must_fail(open_with("queue-depth=1000", &vm), -EINVAL);
	cr_assert(strstr(varve_last_error(), "1 to 256"), "%s", varve_last_error());
}

static unsigned findings;

static void count_finding(void *arg, const struct varve_finding *finding)
{
	(void)arg, (void)finding;
	findings++;
}

/* It must be a limit for one job that goes too far, never the end of the store. A restore does not need the whole image. */
Test(tuning, what_needs_more_memory_than_workers_may_take_fails_and_changes_nothing)
{
	const size_t large = 60u << 20;
	char *image = malloc(large);
	struct varve_id commits[4];
	struct varve_vm *vm;
	setenv("VARVE_INLINE", "0", 1);
	vm = store_open();
	for (int k = 0; k < 4; k++) {
		memset(image, 'a', large);
		noise(image + 4096 * k, 4096, (uint64_t)k + 1);
		commits[k] =
		    store_commit(vm, (struct content[]) {{"BIG", image, large, NULL}, {"LOW", image, 9000, NULL}}, 2);
	}
	varve_vm_close(vm);
	end_processes();
	/* Nothing that would make it easy. */
	const char *suffixes[] = {"stamps", "tiers", "pages", "undo"};
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		unlink(store_path(i ? store_private("BIG", suffixes[i]) : ".varve/stamps"));

	must(open_with("memory-limit=32M", &vm));
	struct varve_id big = id_of("BIG");
	/* The second time as well, when it is known already. */
	for (int i = 0; i < 2; i++) {
		must_fail(varve_optimize(vm), -ENOMEM);
		cr_assert(strstr(varve_last_error(), text_of(&big)) && strstr(varve_last_error(), "memory-limit"), "%s",
		    varve_last_error());
	}
	cr_assert(access(store_path(store_private("LOW", "undo")), F_OK) == 0, "the other module was left out, too");
	/* It says nothing of any file. */
	must_fail(varve_verify(vm, count_finding, NULL, NULL), -ENOMEM);
	cr_assert(strstr(varve_last_error(), "memory-limit"), "%s", varve_last_error());
	cr_assert_eq(findings, 0);
	int fd = memfd_create("image", MFD_CLOEXEC);
	must_fail(varve_checkout(vm, &commits[1], &big, fd, NULL), -ENOMEM);
	char want[512];
	snprintf(want, sizeof(want),
	    "module %s: memory for an image of %zu bytes: Cannot allocate memory; a worker may take 32 MiB: raise "
	    "memory-limit, or set it to 0",
	    text_of(&big), large);
	cr_assert_str_eq(varve_last_error(), want);
	close(fd);
	store_expect("BIG", image, large);
	store_expect("LOW", image, 9000);
	for (int k = 0; k < 4; k++) {
		large_forget("BIG");
		must(varve_restore(vm, &commits[k], NULL, NULL));
	}
	store_expect("BIG", image, large);
	size_t size;
	free(store_checkout(vm, &commits[0], "LOW", &size));
	cr_assert_eq(size, 9000);
	varve_vm_close(vm);
	end_processes();

	must(open_with("memory-limit=100M", &vm));
	must(varve_restore(vm, &commits[1], NULL, NULL));
	must(varve_verify(vm, count_finding, NULL, NULL));
	cr_assert_eq(findings, 0);
	varve_vm_close(vm);
	free(image);
}

/* Who is told of damage throws a commit away. */
Test(tuning, want_of_memory_is_never_taken_for_damage)
{
	char fault[32];
	int failed = 0;
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	for (int k = 0; k < 4; k++)
		store_commit_one(vm, "M", 20000, 'a' + k, NULL);
	varve_vm_close(vm);
	end_processes();
	for (int n = 1; n <= how_many(16, 100); n++) {
		snprintf(fault, sizeof(fault), "alloc:%d:ENOMEM", n);
		fault_set("worker", fault, false);
		must(open_with("workers=1", &vm));
		int r = varve_verify(vm, count_finding, NULL, NULL);
		cr_assert(r == 0 || r == -ENOMEM || r == -EAGAIN, "%s: %d, %s", fault, r, varve_last_error());
		cr_assert_eq(findings, 0, "%s: something is said of a file", fault);
		failed += r == -ENOMEM;
		varve_vm_close(vm);
		end_processes();
		fault_clear();
	}
	cr_assert_gt(failed, 0);
}
