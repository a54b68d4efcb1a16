/*
 * engine_history.c - the history in memory: where modules stood, adding and taking back.
 */
#include <errno.h>
#include <stdio.h>

#include "fault.h"
#include "history_fixture.h"

static struct fixture f;

static void setup(void)
{
	fixture_open(&f);
}

static void teardown(void)
{
	fixture_close(&f);
}

TestSuite(history, .init = setup, .fini = teardown);

/* ---- standing ---------------------------------------------------------------------------------------------------- */

/* A module that a commit did not touch is part of it all the same, and is restored with it. */
Test(history, a_module_stands_where_the_nearest_ancestor_put_it)
{
	uint32_t a = add_module(&f, 0), b = add_module(&f, 1);
	cr_assert_eq(add_commit(&f, 0, a, 1, 1, NULL), 0);
	cr_assert_eq(add_commit(&f, 1, b, 1, 2, NULL), 1);
	cr_assert_eq(add_commit(&f, 2, a, 1, 3, NULL), 2);
	cr_assert_eq(history_standing(&f.history, 0, a), 0);
	cr_assert_eq(history_standing(&f.history, 0, b), CHAIN_NONE);
	cr_assert_eq(history_standing(&f.history, 1, a), 0);
	cr_assert_eq(history_standing(&f.history, 1, b), 0);
	cr_assert_eq(history_standing(&f.history, 2, a), 1);
	cr_assert_eq(history_standing(&f.history, 2, b), 0);
	cr_assert_eq(history_standing(&f.history, COMMIT_NONE, a), CHAIN_NONE);
	cr_assert_eq(history_standing(&f.history, 2, MODULE_NONE), CHAIN_NONE);
	uint32_t table[2];
	history_table(&f.history, COMMIT_NONE, table);
	cr_assert(table[0] == CHAIN_NONE && table[1] == CHAIN_NONE);
}

/* A commit after a restore is the restored one's child: what the commits in between changed is no part of it. */
Test(history, a_commit_after_a_restore_stands_on_the_restored_one)
{
	uint32_t a = add_module(&f, 0), b = add_module(&f, 1);
	add_commit(&f, 0, a, 2, 1, NULL);
	add_commit(&f, 1, a, 2, 2, NULL);
	history_set_current(&f.history, 0, NULL);
	cr_assert_eq(add_commit(&f, 2, b, 1, 3, NULL), 2);
	cr_assert_eq(f.history.commits[2].parent, 0);
	cr_assert_eq(f.history.commits[2].depth, 1);
	cr_assert_eq(f.history.current, 2);
	cr_assert_eq(history_standing(&f.history, 2, a), 0);
	cr_assert_eq(history_standing(&f.history, 2, b), 2);
}

enum { MODULES = 1000, COMMITS = 1500, CHANGES = 12 };

/* The model: every commit has the whole table. */
static uint32_t model[COMMITS][MODULES];
static uint32_t model_parent[COMMITS];

/* A commit of some modules, of which some get new entries and some go back to old ones. */
static void commit_at_random(uint64_t number, uint32_t modules)
{
	struct fresh_entry fresh[CHANGES];
	struct standing changes[CHANGES];
	uint32_t fresh_count = 0, changes_count = 0, index = f.history.count, current = f.history.current;
	if (current == COMMIT_NONE)
		memset(model[index], 0xff, sizeof(model[index]));
	else
		memcpy(model[index], model[current], sizeof(model[index]));
	model_parent[index] = current;
	uint32_t m = (uint32_t)rand() % modules / 4;
	while (changes_count < CHANGES && m < modules) {
		uint32_t length = catalog_module(&f.catalog, m)->length;
		uint32_t entry = length && rand() % 3 == 0 ? (uint32_t)rand() % length : length;
		if (entry == length)
			fresh[fresh_count++] = (struct fresh_entry) {m, entry_of(&f, m, (uint64_t)(rand() % 5))};
		changes[changes_count++] = (struct standing) {m, entry};
		model[index][m] = entry;
		m += 1 + (uint32_t)rand() % (modules / 6 + 1);
	}
	struct varve_id id = id_of(COMMIT, number);
	cr_assert_eq(history_add_commit(&f.history, &id, NULL, 0, fresh, fresh_count, changes, changes_count, NULL),
	    index, "%s", err_text());
}

static void compare_table(uint32_t commit)
{
	static uint32_t table[MODULES];
	uint32_t count = catalog_count(&f.catalog);
	history_table(&f.history, commit, table);
	cr_assert_eq(memcmp(table, model[commit], count * sizeof(*table)), 0, "commit %u", commit);
}

/* A wrong image for a commit in the middle of a history, and for a branch, is the failure this store exists to avoid. */
Test(history, standing_is_that_of_a_model_that_keeps_every_table)
{
	uint64_t number = 0;
	srand(20240229);
	for (uint32_t i = 0; i < 50; i++)
		add_module(&f, i);
	while (f.history.count < COMMITS) {
		int what = rand() % 100;
		uint32_t count = f.history.count, current = f.history.current, modules = catalog_count(&f.catalog);
		if (what < 60 && modules < MODULES)
			add_module(&f, modules);
		if (what < 8 && count)
			history_set_current(&f.history, (uint32_t)rand() % count, NULL);
		else if (what < 12 && count > 3)
			history_set_current(&f.history, count - 1 - (uint32_t)rand() % 3, NULL);
		uint64_t sequence = f.history.sequence;
		current = f.history.current;
		commit_at_random(number++, catalog_count(&f.catalog));
		compare_table(f.history.current);
		if (what >= 95) {
			history_drop_newest(&f.history, current, sequence);
			cr_assert(
			    f.history.count == count && f.history.current == current && f.history.sequence == sequence);
		}
		for (int i = 0; f.history.count && i < 5; i++) {
			uint32_t c = (uint32_t)rand() % f.history.count, m = (uint32_t)rand() % modules;
			cr_assert_eq(history_standing(&f.history, c, m), model[c][m]);
		}
	}
	for (uint32_t c = 0; c < f.history.count; c++) {
		cr_assert_eq(f.history.commits[c].parent, model_parent[c]);
		compare_table(c);
	}
}

static uint64_t checkpoint_bytes(void)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < f.history.count; i++)
		if (f.history.commits[i].checkpoint)
			bytes += f.history.commits[i].checkpoint_count * sizeof(uint32_t);
	return bytes;
}

static uint32_t longest_walk(void)
{
	uint32_t longest = 0;
	for (uint32_t i = 0; i < f.history.count; i++) {
		uint32_t steps = 0;
		for (uint32_t c = i; c != COMMIT_NONE && !f.history.commits[c].checkpoint;
		     c = f.history.commits[c].parent)
			steps++;
		longest = steps > longest ? steps : longest;
	}
	return longest;
}

/* Restoring must not become slower with the length of the history, nor the history weigh more than its commits do. */
Test(history, walks_stay_short_and_checkpoints_few_along_a_line)
{
	for (uint32_t i = 0; i < MODULES; i++)
		add_module(&f, i);
	add_commit(&f, 0, 0, MODULES, 0, NULL);
	for (uint32_t i = 1; i < 5000; i++)
		add_commit(&f, i, i % MODULES, 1, i, NULL);
	cr_assert_leq(longest_walk(), 64);
	cr_assert_leq(checkpoint_bytes(), 5000 * 512);
}

/* A VM that returns to one state again and again grows a bush; a table for each of its branches would be too much. */
Test(history, branches_from_one_commit_share_a_checkpoint)
{
	for (uint32_t i = 0; i < MODULES; i++)
		add_module(&f, i);
	add_commit(&f, 0, 0, MODULES, 0, NULL);
	for (uint32_t i = 1; i < 62; i++)
		add_commit(&f, i, i, 1, i, NULL);
	uint32_t fork = f.history.current;
	for (uint32_t i = 0; i < 3000; i++) {
		history_set_current(&f.history, fork, NULL);
		for (uint32_t k = 0; k < 3; k++)
			add_commit(&f, 1000 + 3 * i + k, k, 1, i, NULL);
		cr_assert_eq(history_standing(&f.history, f.history.current, 61), 1);
	}
	cr_assert_leq(longest_walk(), 64);
	cr_assert_leq(checkpoint_bytes(), 3 * MODULES * sizeof(uint32_t));
}

/* ---- adding and taking back -------------------------------------------------------------------------------------- */

/* Deltas of one content are kept apart by their ordinals: the design's own example, seen through commits. */
Test(history, contents_that_recur_get_ordinals)
{
	uint32_t a = add_module(&f, 0);
	static const uint64_t contents[] = {1, 2, 3, 2, 5, 1, 1};
	static const uint32_t ordinals[] = {0, 0, 0, 1, 0, 0, 1};
	for (uint32_t i = 0; i < 7; i++) {
		add_commit(&f, i, a, 1, contents[i], NULL);
		cr_assert_eq(chain_entry(&f.catalog, a, i)->ordinal, ordinals[i]);
		cr_assert_eq(chain_entry(&f.catalog, a, i)->commit, i);
	}
}

static int64_t try_commit(const struct fresh_entry *fresh, uint32_t fresh_count, const struct standing *changes,
    uint32_t changes_count, const char *label, uint64_t number)
{
	struct varve_id id = id_of(COMMIT, number);
	size_t size = f.records.size;
	uint32_t count = f.history.count, current = f.history.current;
	uint64_t sequence = f.history.sequence;
	int64_t ret =
	    history_add_commit(&f.history, &id, label, 0, fresh, fresh_count, changes, changes_count, &f.records);
	if (ret < 0)
		cr_assert(f.records.size == size && f.history.count == count && f.history.current == current &&
		          f.history.sequence == sequence);
	return ret;
}

/* What clients ask for ends here; nothing of it may be half done. */
Test(history, a_commit_that_can_not_be_changes_nothing)
{
	uint32_t a = add_module(&f, 0), b = add_module(&f, 1);
	add_commit(&f, 0, a, 1, 1, &f.records);
	struct fresh_entry fresh[2] = {{a, entry_of(&f, a, 2)}, {b, entry_of(&f, b, 2)}};
	struct standing both[2] = {{a, 1}, {b, 0}};
	char label[4098];
	memset(label, 'x', 4097);
	label[4097] = 0;

	cr_assert_eq(try_commit(fresh, 2, both, 2, NULL, 0), -EEXIST);
	cr_assert_eq(try_commit(fresh, 2, both, 2, label, 1), -EINVAL);
	cr_assert_eq(try_commit(fresh, 2, both, 1, NULL, 1), -EINVAL);
	cr_assert_eq(try_commit(fresh, 1, both, 2, NULL, 1), -EINVAL);
	cr_assert_eq(try_commit(NULL, 0, both, 1, NULL, 1), -EINVAL);
	cr_assert_eq(try_commit(NULL, 0, (struct standing[]) {{a, 0}, {a, 0}}, 2, NULL, 1), -EINVAL);
	cr_assert_eq(try_commit(NULL, 0, (struct standing[]) {{2, 0}}, 1, NULL, 1), -EINVAL);
	cr_assert_eq(try_commit(fresh, 1, (struct standing[]) {{a, 2}}, 1, NULL, 1), -EINVAL);
	fresh[0].module = UINT32_MAX;
	cr_assert_eq(try_commit(fresh, 1, both, 1, NULL, 1), -EINVAL);
	fresh[0].module = a;
	fresh[0].entry.size = (UINT64_C(1) << 46) + 1;
	cr_assert_eq(try_commit(fresh, 1, both, 1, NULL, 1), -EINVAL);
	fresh[0].entry.size = 0;
	fresh[1].entry.delta_bytes = 1; /* a base has no delta */
	cr_assert_eq(try_commit(fresh, 2, both, 2, NULL, 1), -EINVAL);
	fresh[1].entry.delta_bytes = 0;
	cr_assert_eq(catalog_module(&f.catalog, a)->length, 1);
	label[4096] = 0;
	cr_assert_eq(try_commit(fresh, 2, both, 2, label, 1), 1, "%s", err_text());
	cr_assert_eq(strlen(f.history.commits[1].label), 4096);
}

/* Deploying what was there before is no second module. */
Test(history, a_module_has_one_record)
{
	struct varve_id id = id_of(MODULE, 0);
	cr_assert_eq(history_add_module(&f.history, &id, &f.records), 0);
	size_t size = f.records.size;
	cr_assert_gt(size, 0);
	cr_assert_eq(history_add_module(&f.history, &id, &f.records), 0);
	cr_assert_eq(add_commit(&f, 0, 0, 0, 0, NULL), 0);
	cr_assert_eq(history_add_module(&f.history, &id, &f.records), 0);
	cr_assert_eq(f.records.size, size);
	cr_assert_eq(catalog_count(&f.catalog), 1);
}

/* A session in which nothing changed is a commit all the same. */
Test(history, a_commit_may_change_nothing)
{
	add_module(&f, 0);
	cr_assert_eq(add_commit(&f, 0, 0, 0, 0, NULL), 0);
	cr_assert_eq(add_commit(&f, 1, 0, 1, 7, NULL), 1);
	cr_assert_eq(add_commit(&f, 2, 0, 0, 0, NULL), 2);
	cr_assert_eq(history_standing(&f.history, 0, 0), CHAIN_NONE);
	cr_assert_eq(history_standing(&f.history, 2, 0), 0);
}

Test(history, new_entries_may_be_given_in_any_order)
{
	for (uint32_t i = 0; i < 3; i++)
		add_module(&f, i);
	struct fresh_entry fresh[] = {{2, entry_of(&f, 2, 20)}, {0, entry_of(&f, 0, 10)}, {1, entry_of(&f, 1, 30)}};
	struct standing changes[] = {{0, 0}, {1, 0}, {2, 0}};
	cr_assert_eq(try_commit(fresh, 3, changes, 3, NULL, 0), 0, "%s", err_text());
	cr_assert_eq(chain_entry(&f.catalog, 2, 0)->size, 4096 + 20);
	cr_assert_eq(chain_entry(&f.catalog, 0, 0)->size, 4096 + 10);
	fresh[1].module = 2; /* two of one module */
	cr_assert_eq(try_commit(fresh, 3, changes, 3, NULL, 1), -EINVAL);
}

/* When the journal can not be written the session goes on, and may try again: with the same ids, and the same names. */
Test(history, a_commit_taken_back_can_be_made_again)
{
	struct fixture g;
	fixture_open(&g);
	memcpy(g.history.store, f.history.store, sizeof(f.history.store));
	history_begin_file(&f.history, 0, &f.records);
	history_begin_file(&g.history, 0, &g.records);
	uint32_t a = add_module(&f, 0);
	add_module(&g, 0);
	add_commit(&f, 0, a, 1, 1, &f.records);
	add_commit(&g, 0, a, 1, 1, &g.records);
	uint32_t modules = catalog_count(&f.catalog);
	for (int attempt = 0; attempt < 3; attempt++) {
		size_t size = f.records.size;
		uint64_t sequence = f.history.sequence;
		struct varve_id id = id_of(MODULE, 1);
		uint32_t b = (uint32_t)history_add_module(&f.history, &id, &f.records);
		add_module(&f, 2);
		cr_assert_eq(add_commit(&f, 1, a, 3, 5, &f.records), 1, "%s", err_text());
		cr_assert_eq(catalog_module(&f.catalog, b)->length, 1);
		if (attempt == 2)
			break;
		history_drop_newest(&f.history, 0, sequence);
		cr_assert_eq(catalog_module(&f.catalog, b)->length, 0);
		if (attempt)
			history_drop_modules(&f.history, modules, sequence);
		cr_assert_eq(history_module(&f.history, &id), attempt ? MODULE_NONE : b);
		f.records.size = size;
	}
	add_module(&g, 1);
	add_module(&g, 2);
	add_commit(&g, 1, a, 3, 5, &g.records);
	assert_same(&f, &g);
	cr_assert_eq(f.records.size, g.records.size);
	cr_assert_eq(memcmp(f.records.data, g.records.data, g.records.size), 0);
	fixture_close(&g);
}

/* A history of @before commits, to which one more is added while allocation number @n fails. */
static int64_t commit_without_memory(uint32_t before, int n)
{
	char fault[32];
	for (uint32_t i = 0; i < 40; i++)
		add_module(&f, i);
	history_begin_file(&f.history, 0, &f.records);
	for (uint32_t i = 0; i < before; i++)
		add_commit(&f, i, i % 20, 1, i % 3, &f.records);
	f.records.capacity = f.records.size; /* the record does not fit either */
	f.records.data = realloc(f.records.data, f.records.size);
	size_t size = f.records.size;
	uint64_t sequence = f.history.sequence;
	snprintf(fault, sizeof(fault), "alloc:%d:ENOMEM", n);
	setenv("VARVE_FAULT", fault, 1);
	fault_load();
	int64_t ret = add_commit(&f, before, 10, 30, 77, &f.records);
	unsetenv("VARVE_FAULT");
	fault_load();
	if (ret < 0) {
		cr_assert_eq(ret, -ENOMEM);
		cr_assert(f.records.size == size && !f.records.bad && f.history.sequence == sequence);
		cr_assert_eq(f.history.count, before);
		cr_assert_eq(f.history.current, before - 1);
		cr_assert_eq(catalog_module(&f.catalog, 39)->length, 0);
		ret = add_commit(&f, before, 10, 30, 77, &f.records);
		cr_assert_eq(ret, before, "%s", err_text());
		return -ENOMEM;
	}
	return ret;
}

/* Memory that lacks may fail a commit, but must not leave a part of it. */
Test(history, any_allocation_may_fail_and_leaves_the_history_as_it_was)
{
	/* Numbers of commits at which one more lets the array, the index, or nothing grow, or asks for a checkpoint. */
	static const uint32_t befores[] = {63, 64, 96, 100};
	for (size_t i = 0; i < 4; i++) {
		int failures = 0;
		while (commit_without_memory(befores[i], failures + 1) < 0) {
			struct fixture g;
			uint64_t good;
			failures++;
			fixture_open(&g);
			cr_assert_eq(
			    history_load(&g.history, f.records.data, f.records.size, &good), 0, "%s", err_text());
			assert_same(&g, &f);
			fixture_close(&g);
			fixture_close(&f);
			fixture_open(&f);
		}
		cr_assert_geq(failures, 3);
		fixture_close(&f);
		fixture_open(&f);
	}
}
