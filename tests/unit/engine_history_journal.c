/*
 * engine_history_journal.c - the history in two files, `commits` and the journal, and `commits` written anew.
 */
#include <errno.h>

#include "history_fixture.h"

static struct fixture f;
static struct fixture g;

static void setup(void)
{
	fixture_open(&f);
	fixture_open(&g);
}

static void teardown(void)
{
	fixture_close(&f);
	fixture_close(&g);
}

TestSuite(history_journal, .init = setup, .fini = teardown);

/* ---- the journal ------------------------------------------------------------------------------------------------- */

/* `commits` with the first commits, and a journal with the rest, as persisting at @persisted leaves them. */
static void make_journal(struct buf *commits, struct buf *journal)
{
	history_begin_file(&f.history, 0, commits);
	uint32_t a = add_module(&f, 0);
	add_commit(&f, 0, a, 1, 1, commits);
	add_commit(&f, 1, a, 1, 2, commits);
	history_begin_file(&f.history, f.history.sequence, journal);
	add_commit(&f, 2, a, 1, 1, journal);
	add_commit(&f, 3, add_module(&f, 1), 1, 5, journal);
	history_set_current(&f.history, 1, journal);
	add_commit(&f, 4, a, 2, 6, journal);
}

/* Moving the journal to `commits` may end anywhere: between the two they always have everything, once. */
Test(history_journal, a_crash_anywhere_while_persisting_loses_and_repeats_nothing)
{
	struct buf commits = {0}, journal = {0};
	make_journal(&commits, &journal);
	size_t before = commits.size;
	buf_put(&commits, journal.data + STORE_BYTES, journal.size - STORE_BYTES);
	for (size_t size = before; size <= commits.size; size++) {
		uint64_t good;
		cr_assert_eq(history_load(&g.history, commits.data, size, &good), 0, "%s", err_text());
		cr_assert_eq(load(&g, &journal, &good), 0, "%zu of %zu: %s", size, commits.size, err_text());
		cr_assert_eq(good, journal.size);
		assert_same(&f, &g);
		cr_assert_eq(g.history.sequence, f.history.sequence);
		fixture_close(&g);
		fixture_open(&g);
	}
	buf_free(&commits);
	buf_free(&journal);
}

Test(history_journal, a_torn_journal_gives_what_is_whole_of_it)
{
	struct buf commits = {0}, journal = {0};
	make_journal(&commits, &journal);
	for (size_t size = 0; size <= journal.size; size++) {
		uint64_t good, last;
		cr_assert_eq(load(&g, &commits, &good), 0);
		last = g.history.sequence;
		cr_assert_eq(history_load(&g.history, journal.data, size, &good), 0, "%zu: %s", size, err_text());
		cr_assert_leq(good, size);
		cr_assert(size >= STORE_BYTES ? good >= STORE_BYTES : good == 0);
		cr_assert_geq(g.history.sequence, last);
		cr_assert_eq(g.history.count >= 5, size == journal.size);
		fixture_close(&g);
		fixture_open(&g);
	}
	buf_free(&commits);
	buf_free(&journal);
}

/* Compaction numbers the records anew; a journal that was not emptied after it must still be seen to be old, and one
 * begun after it must fit. */
Test(history_journal, a_journal_fits_a_compacted_file_too)
{
	struct buf commits = {0}, journal = {0}, compacted = {0}, next = {0};
	uint64_t good;
	make_journal(&commits, &journal);
	for (int i = 0; i < 20; i++)
		history_set_current(&f.history, (uint32_t)i % 5, NULL);
	cr_assert_eq(history_dump(&f.history, &compacted), 0);
	history_begin_file(&f.history, f.history.sequence, &next);
	cr_assert_eq(load(&g, &compacted, &good), 0, "%s", err_text());
	cr_assert_eq(load(&g, &journal, &good), 0, "%s", err_text());
	cr_assert_eq(load(&g, &next, &good), 0, "%s", err_text());
	assert_same(&f, &g);
	cr_assert_eq(g.history.sequence, f.history.sequence);
	add_commit(&f, 50, 0, 1, 1, &next);
	cr_assert_eq(load(&g, &next, &good), 0, "%s", err_text());
	assert_same(&f, &g);
	buf_free(&commits);
	buf_free(&journal);
	buf_free(&compacted);
	buf_free(&next);
}

static void expect_stale(const struct buf *journal)
{
	uint64_t good, sequence = g.history.sequence;
	uint32_t count = g.history.count, current = g.history.current, modules = catalog_count(&g.catalog);
	cr_assert_eq(load(&g, journal, &good), -ESTALE);
	cr_assert(g.history.count == count && g.history.current == current && g.history.sequence == sequence &&
	          catalog_count(&g.catalog) == modules);
}

/* Somebody brought back an old `commits`, or one of another store: the journal's records would then be applied to
 * commits that they were not made for. */
Test(history_journal, a_journal_that_does_not_fit_is_refused_whole)
{
	struct buf commits = {0}, journal = {0}, other = {0}, shorter = {0};
	uint64_t good;
	make_journal(&commits, &journal);
	expect_stale(&journal); /* no `commits` at all */

	cr_assert_eq(history_load(&g.history, commits.data, commits.size - 1, &good), 0); /* one record short */
	expect_stale(&journal);
	fixture_close(&g);
	fixture_open(&g);

	buf_put(&other, commits.data, commits.size);
	other.data[HEAD + 12] ^= 1; /* the store's random bytes */
	seal(other.data);
	cr_assert_eq(load(&g, &other, &good), 0);
	expect_stale(&journal);
	fixture_close(&g);
	fixture_open(&g);

	/* The same store, as many records, but another commit: a copy of the directory went on by itself. */
	memcpy(g.history.store, f.history.store, sizeof(f.history.store));
	history_begin_file(&g.history, 0, &shorter);
	add_commit(&g, 0, add_module(&g, 0), 1, 1, &shorter);
	add_commit(&g, 66, 0, 1, 2, &shorter);
	fixture_close(&g);
	fixture_open(&g);
	cr_assert_eq(load(&g, &shorter, &good), 0);
	expect_stale(&journal);
	buf_free(&commits);
	buf_free(&journal);
	buf_free(&other);
	buf_free(&shorter);
}

/* While the journal is empty, moves of the current commit go to `commits`; the journal is then older than its records. */
Test(history_journal, a_journal_may_go_on_later_than_it_began)
{
	struct buf commits = {0}, journal = {0};
	uint64_t good;
	history_begin_file(&f.history, 0, &commits);
	add_commit(&f, 0, add_module(&f, 0), 1, 1, &commits);
	add_commit(&f, 1, 0, 1, 2, &commits);
	history_begin_file(&f.history, f.history.sequence, &journal);
	size_t before = commits.size;
	history_set_current(&f.history, 0, &commits);
	add_commit(&f, 2, 0, 1, 3, &journal);
	cr_assert_eq(load(&g, &commits, &good), 0);
	cr_assert_eq(load(&g, &journal, &good), 0, "%s", err_text());
	assert_same(&f, &g);
	fixture_close(&g);
	fixture_open(&g);
	/* without the move, the commit would have another parent */
	cr_assert_eq(history_load(&g.history, commits.data, before, &good), 0);
	expect_stale(&journal);
	buf_free(&commits);
	buf_free(&journal);
}

/* A journal without records that is newer than `commits`: records appended to it would have numbers that it is past. */
Test(history_journal, an_empty_journal_from_later_does_not_fit_either)
{
	struct buf commits = {0}, journal = {0};
	uint64_t good;
	history_begin_file(&f.history, 0, &commits);
	add_commit(&f, 0, add_module(&f, 0), 1, 1, &commits);
	size_t before = commits.size;
	history_set_current(&f.history, 0, &commits);
	history_begin_file(&f.history, f.history.sequence, &journal);
	cr_assert_eq(history_load(&g.history, commits.data, before, &good), 0);
	expect_stale(&journal);
	fixture_close(&g);
	fixture_open(&g);
	cr_assert_eq(load(&g, &commits, &good), 0);
	cr_assert_eq(load(&g, &journal, &good), 0, "%s", err_text());
	buf_free(&commits);
	buf_free(&journal);
}

/* The journal is begun when its first records are in hand already, and so in the history. */
Test(history_journal, a_file_may_be_begun_after_its_records_were_made)
{
	struct buf commits = {0}, records = {0}, journal = {0};
	uint64_t good;
	history_begin_file(&f.history, 0, &commits);
	add_commit(&f, 0, add_module(&f, 0), 1, 1, &commits);
	uint64_t sequence = f.history.sequence;
	add_commit(&f, 1, add_module(&f, 1), 1, 1, &records);
	history_begin_file(&f.history, sequence, &journal);
	buf_put(&journal, records.data, records.size);
	cr_assert_eq(load(&g, &commits, &good), 0);
	cr_assert_eq(load(&g, &journal, &good), 0, "%s", err_text());
	assert_same(&f, &g);
	buf_free(&commits);
	buf_free(&records);
	buf_free(&journal);
}

Test(history_journal, a_damaged_journal_leaves_the_history_as_commits_has_it)
{
	struct buf commits = {0}, journal = {0};
	uint64_t good;
	make_journal(&commits, &journal);
	cr_assert_eq(load(&g, &commits, &good), 0);
	size_t starts[32], records = record_starts(&journal, starts);
	for (size_t r = 1; r + 1 < records; r++) {
		journal.data[starts[r] + HEAD] ^= 1;
		cr_assert_eq(load(&g, &journal, &good), -EBADMSG);
		cr_assert_eq(g.history.count, 2);
		cr_assert_eq(g.history.current, 1);
		cr_assert_eq(catalog_count(&g.catalog), 1);
		journal.data[starts[r] + HEAD] ^= 1;
	}
	cr_assert_eq(load(&g, &journal, &good), 0, "%s", err_text());
	assert_same(&f, &g);
	buf_free(&commits);
	buf_free(&journal);
}

/* ---- compaction -------------------------------------------------------------------------------------------------- */

Test(history_journal, a_compacted_file_is_the_same_history)
{
	struct buf dump = {0};
	uint64_t good;
	make_history(&f);
	for (uint32_t i = 0; i < 100; i++) {
		history_set_current(&f.history, i % f.history.count, &f.records);
		if (i % 3 == 0)
			add_commit(&f, 100 + i, i % 2, 1, i % 7, &f.records);
	}
	uint64_t sequence = f.history.sequence;
	cr_assert_eq(history_dump(&f.history, &dump), 0);
	cr_assert_lt(dump.size, f.records.size);
	cr_assert_eq(f.history.sequence, sequence);
	cr_assert_eq(load(&g, &dump, &good), 0, "%s", err_text());
	cr_assert_eq(g.history.sequence, sequence);
	assert_same(&f, &g);

	/* and again, byte for byte */
	struct buf again = {0};
	cr_assert_eq(history_dump(&g.history, &again), 0);
	cr_assert(again.size == dump.size && memcmp(again.data, dump.data, dump.size) == 0);
	buf_free(&dump);
	buf_free(&again);
}

/* It was renamed when it was whole, so an end that is missing is damage, and commits that were persisted are gone. */
Test(history_journal, a_compacted_file_that_was_cut_is_not_a_torn_one)
{
	struct buf dump = {0};
	uint64_t good;
	make_history(&f);
	cr_assert_eq(history_dump(&f.history, &dump), 0);
	for (size_t size = STORE_BYTES; size < dump.size; size++) {
		cr_assert_eq(history_load(&g.history, dump.data, size, &good), -EBADMSG, "cut at %zu", size);
		expect_empty(&g);
	}
	size_t end = dump.size;
	cr_assert_eq(load(&g, &dump, &good), 0);
	fixture_close(&g);
	fixture_open(&g);
	/* what was appended since may be torn as ever */
	add_commit(&f, 80, 0, 1, 3, &dump);
	for (size_t size = end; size < dump.size; size++) {
		cr_assert_eq(history_load(&g.history, dump.data, size, &good), 0, "%s", err_text());
		cr_assert_eq(good, end);
		fixture_close(&g);
		fixture_open(&g);
	}
	buf_free(&dump);
}

/* The catalog has modules that no record knows: those of a session that never committed. */
Test(history_journal, modules_that_were_never_committed_are_not_written)
{
	struct buf dump = {0};
	uint64_t good;
	history_begin_file(&f.history, 0, &f.records);
	for (uint32_t i = 0; i < 6; i++)
		add_module(&f, i);
	add_commit(&f, 0, 4, 1, 1, &f.records);
	add_commit(&f, 1, 1, 2, 1, &f.records);
	add_standing(&f, 2, 4, 0, &f.records);
	add_commit(&f, 3, 1, 5, 2, &f.records);
	cr_assert_eq(load(&g, &f.records, &good), 0, "%s", err_text());
	cr_assert_eq(catalog_count(&g.catalog), 5);
	cr_assert_eq(history_dump(&f.history, &dump), 0);
	for (int i = 0; i < 2; i++) {
		for (uint32_t m = 0; m < 6; m++) {
			struct varve_id id = id_of(MODULE, m);
			uint32_t here = history_module(&g.history, &id);
			cr_assert_eq(here == MODULE_NONE, m == 0);
			for (uint32_t c = 0; m && c < 4; c++)
				cr_assert_eq(history_standing(&g.history, c, here), history_standing(&f.history, c, m));
		}
		fixture_close(&g);
		fixture_open(&g);
		cr_assert_eq(load(&g, &dump, &good), 0, "%s", err_text());
	}
	buf_free(&dump);
}

/* A module's record whose commit was torn off is a module without commits; it must not be in the way of a new one. */
Test(history_journal, a_module_whose_commit_was_torn_off_can_be_committed)
{
	uint64_t good;
	size_t starts[8];
	history_begin_file(&f.history, 0, &f.records);
	add_commit(&f, 0, add_module(&f, 0), 1, 1, &f.records);
	record_starts(&f.records, starts);
	cr_assert_eq(history_load(&g.history, f.records.data, starts[2] + 5, &good), 0);
	cr_assert_eq(good, starts[2]);
	cr_assert_eq(catalog_module(&g.catalog, 0)->length, 0);
	buf_put(&g.records, f.records.data, good);
	add_commit(&g, 0, add_module(&g, 0), 1, 1, &g.records);
	cr_assert_eq(g.records.size, f.records.size);
	cr_assert_eq(memcmp(g.records.data, f.records.data, f.records.size), 0);
}

/* A thousand modules and a bush of branches: what the randomised test of the history in memory does not write down. */
Test(history_journal, a_large_history_survives_being_written_and_read)
{
	struct buf dump = {0};
	uint64_t good;
	srand(42);
	history_begin_file(&f.history, 0, &f.records);
	for (uint32_t i = 0; i < 1000; i++)
		add_module(&f, i);
	add_commit(&f, 0, 0, 900, 1, &f.records);
	for (uint32_t i = 1; i < 2000; i++) {
		if (rand() % 10 == 0)
			history_set_current(&f.history, (uint32_t)rand() % f.history.count, &f.records);
		add_commit(
		    &f, i, (uint32_t)rand() % 990, 1 + (uint32_t)rand() % 10, (uint64_t)(rand() % 3), &f.records);
	}
	cr_assert_eq(load(&g, &f.records, &good), 0, "%s", err_text());
	cr_assert_eq(history_dump(&g.history, &dump), 0);
	fixture_close(&g);
	fixture_open(&g);
	cr_assert_eq(load(&g, &dump, &good), 0, "%s", err_text());
	cr_assert_eq(g.history.count, 2000);
	for (uint32_t c = 0; c < 2000; c++)
		for (uint32_t m = c % 37; m < catalog_count(&f.catalog); m += 37) {
			const struct varve_id *id = &catalog_module(&f.catalog, m)->id;
			cr_assert_eq(history_standing(&g.history, c, history_module(&g.history, id)),
			    history_standing(&f.history, c, m));
		}
	buf_free(&dump);
}
