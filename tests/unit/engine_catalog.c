/*
 * engine_catalog.c - the chains that workers read while the coordinator writes them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog.h"
#include "err.h"
#include "names.h"

static struct catalog catalog;

static void setup(void)
{
	cr_assert_eq(catalog_create(&catalog), 0, "%s", err_text());
}

static void teardown(void)
{
	catalog_close(&catalog);
}

TestSuite(catalog, .init = setup, .fini = teardown);

static struct varve_id id_of(uint64_t number)
{
	struct varve_id id = {{0}};
	memcpy(id.bytes, &number, sizeof(number));
	return id;
}

static uint32_t add(uint64_t number)
{
	struct varve_id id = id_of(number);
	int64_t module = catalog_add(&catalog, &id);
	cr_assert_geq(module, 0, "%s", err_text());
	return (uint32_t)module;
}

static uint32_t append(uint32_t module, uint64_t content)
{
	struct chain_entry entry = {.id = id_of(content), .size = content, .ordinal = 77, .commit = 5};
	int64_t index = chain_append(&catalog, module, &entry);
	cr_assert_geq(index, 0, "%s", err_text());
	return chain_entry(&catalog, module, (uint32_t)index)->ordinal;
}

/* A worker may hold an entry's address while the chain grows to any length. */
Test(catalog, an_entry_never_moves_and_never_changes)
{
	enum { LENGTH = 10000 };
	static const struct chain_entry *addresses[LENGTH];
	uint32_t module = add(1), other = add(2);
	for (uint32_t i = 0; i < LENGTH; i++) {
		append(module, i * 3);
		append(other, i);
		addresses[i] = chain_entry(&catalog, module, i);
	}
	cr_assert_eq(catalog_module(&catalog, module)->length, LENGTH);
	for (uint32_t i = 0; i < LENGTH; i++) {
		cr_assert_eq(chain_entry(&catalog, module, i), addresses[i]);
		cr_assert_eq(addresses[i]->size, i * 3);
		cr_assert_eq(chain_entry(&catalog, other, i)->size, i);
	}
}

/* The ordinal is part of a delta's file name: a wrong one overwrites another commit's delta. */
Test(catalog, ordinals_count_earlier_deltas_of_the_same_content_but_not_the_base)
{
	enum { A = 10, B, C };
	static const struct {
		uint64_t content[6];
		uint32_t ordinal[6];
	} cases[] = {
	    {{A, B, C, B, A, B}, {0, 0, 0, 1, 0, 2}},
	    {{A, A, A, A, A, A}, {0, 0, 1, 2, 3, 4}},
	    {{A, B, A, B, A, B}, {0, 0, 0, 1, 1, 2}},
	};
	for (size_t c = 0; c < 3; c++) {
		uint32_t module = add(c);
		for (size_t i = 0; i < 6; i++) {
			struct varve_id id = id_of(cases[c].content[i]);
			if (i)
				cr_assert_eq(chain_ordinal(&catalog, module, &id), cases[c].ordinal[i]);
			cr_assert_eq(append(module, cases[c].content[i]), cases[c].ordinal[i], "case %zu, %zu", c, i);
		}
	}
}

/* A commit that fails takes its entries back; the next one must get the names that it would have got without it. */
Test(catalog, taking_entries_back_takes_their_ordinals_back)
{
	enum { LENGTH = 3000, CONTENTS = 7 };
	static uint64_t model[LENGTH];
	uint32_t module = add(1), other = add(2), length = 0;
	srand(7);
	for (int step = 0; step < LENGTH; step++) {
		if (length && rand() % 3 == 0) {
			chain_truncate(&catalog, module);
			length--;
		} else {
			model[length] = 100 + (uint64_t)(rand() % CONTENTS);
			append(module, model[length++]);
		}
		append(other, 100); /* the same ids in another chain must not count */
		cr_assert_eq(catalog_module(&catalog, module)->length, length);
		for (uint64_t content = 100; content < 100 + CONTENTS; content++) {
			uint32_t expected = 0;
			for (uint32_t i = 1; i < length; i++)
				expected += model[i] == content;
			struct varve_id id = id_of(content);
			cr_assert_eq(chain_ordinal(&catalog, module, &id), expected);
		}
	}
}

/* Chains of one id only, or of none twice, are the extremes of the index behind the ordinals. */
Test(catalog, a_chain_of_10000_knows_its_ordinals_whether_ids_repeat_or_not)
{
	uint32_t same = add(1), different = add(2);
	for (uint32_t i = 0; i < 10000; i++) {
		cr_assert_eq(append(same, 5), i ? i - 1 : 0);
		cr_assert_eq(append(different, i), 0);
	}
	for (uint32_t i = 0; i < 10000; i++) {
		struct varve_id id = id_of(i);
		cr_assert_eq(chain_ordinal(&catalog, different, &id), i != 0);
	}
}

Test(catalog, modules_are_found_by_id_also_after_some_were_dropped)
{
	enum { MODULES = 1000 };
	for (uint64_t i = 0; i < MODULES; i++)
		cr_assert_eq(add(i), i);
	for (uint32_t i = 0; i < MODULES / 2; i++)
		catalog_drop_newest(&catalog);
	for (uint64_t i = 0; i < MODULES; i++) {
		struct varve_id id = id_of(i);
		cr_assert_eq(catalog_find(&catalog, &id), i < MODULES / 2 ? i : MODULE_NONE);
	}
	cr_assert_eq(add(5000), MODULES / 2);
	cr_assert_eq(catalog_count(&catalog), MODULES / 2 + 1);
}

/* Commits that fail again and again must not eat up the catalog. */
Test(catalog, a_dropped_modules_memory_is_used_again)
{
	uint32_t module = add(1);
	append(module, 1);
	const struct chain_entry *entry = chain_entry(&catalog, module, 0);
	for (uint64_t i = 0; i < 100; i++) {
		chain_truncate(&catalog, module);
		catalog_drop_newest(&catalog);
		module = add(i + 10);
		cr_assert_eq(append(module, i), 0);
		cr_assert_eq(chain_entry(&catalog, module, 0), entry);
	}
}

/* Runs @child in a process that has the catalog as a worker has it; it waits for @go. Its exit status. */
static pid_t fork_worker(int go, int (*child)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		if (shm_remap_readonly(&catalog.shm) != 0 || read(go, &c, 1) != 1)
			_exit(100);
		_exit(child());
	}
	return pid;
}

static int read_all(void)
{
	if (catalog_count(&catalog) != 50)
		return 1;
	for (uint32_t m = 0; m < 50; m++)
		for (uint32_t i = 0; i < 200; i++)
			if (chain_entry(&catalog, m, i)->size != (uint64_t)m * 1000 + i)
				return 2;
	return 0;
}

/* Workers are forked before most of the history is made. */
Test(catalog, a_process_forked_before_sees_what_is_added_after)
{
	int go[2], status = -1;
	cr_assert_eq(pipe(go), 0);
	pid_t pid = fork_worker(go[0], read_all);
	for (uint64_t m = 0; m < 50; m++) {
		uint32_t module = add(m);
		for (uint64_t i = 0; i < 200; i++)
			append(module, m * 1000 + i);
	}
	cr_assert_eq(write(go[1], "x", 1), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	close(go[0]);
	close(go[1]);
}

static int write_one(void)
{
	signal(SIGSEGV, SIG_DFL);
	((struct chain_entry *)(uintptr_t)chain_entry(&catalog, 0, 0))->size = 666;
	return 0;
}

/* A worker decodes hostile data: one that was taken over must not be able to rewrite history. */
Test(catalog, a_worker_can_not_write_into_it)
{
	int go[2], status = -1;
	cr_assert_eq(pipe(go), 0);
	append(add(1), 42);
	pid_t pid = fork_worker(go[0], write_one);
	cr_assert_eq(write(go[1], "x", 1), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	/* a sanitizer turns the signal into an exit status of its own */
	cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	cr_assert_eq(chain_entry(&catalog, 0, 0)->size, 42);
	/* nor can it map the memory for writing once more */
	void *again = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, catalog.shm.fd, 0);
	cr_assert_eq(again, MAP_FAILED);
	close(go[0]);
	close(go[1]);
}

/* With a limit on file sizes, asking for too much would kill the process with SIGXFSZ. */
Test(catalog, it_makes_do_with_less_where_file_sizes_are_limited)
{
	struct catalog small;
	struct rlimit limit = {UINT64_C(5) << 30, RLIM_INFINITY};
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(catalog_create(&small), 0, "%s", err_text());
	cr_assert_leq(small.shm.size, limit.rlim_cur);
	catalog_close(&small);
	limit.rlim_cur = 1 << 20;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(catalog_create(&small), -EFBIG);
	cr_assert_not_null(strstr(err_text(), "ulimit -f"));
}
