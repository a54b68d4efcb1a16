/*
 * engine_history_load.c - the history in files: what a crash leaves behind, damage, the journal, compaction.
 */
#include <errno.h>
#include <stdio.h>

#include "hash.h"
#include "history_fixture.h"

enum { HEAD = 24, STORE_BYTES = HEAD + 76 + 8 };

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

TestSuite(history_load, .init = setup, .fini = teardown);

/* Two modules, a branch, contents that recur, labels, a commit that goes back to an old entry, and one that changes
 * nothing: every form that a record can have. */
static void make_history(struct fixture *x)
{
	history_begin_file(&x->history, 0, &x->records);
	uint32_t a = add_module(x, 0), b = add_module(x, 1);
	add_commit(x, 0, a, 1, 1, &x->records);
	add_commit(x, 1, a, 2, 2, &x->records);
	add_commit(x, 2, a, 1, 1, &x->records);
	history_set_current(&x->history, 1, &x->records);
	add_commit(x, 4, b, 1, 3, &x->records);
	add_standing(x, 5, a, 0, &x->records);
	add_commit(x, 6, a, 0, 0, &x->records);
	history_set_current(&x->history, 2, &x->records);
}

static int load(struct fixture *x, const struct buf *b, uint64_t *good)
{
	return history_load(&x->history, b->data, b->size, good);
}

static void expect_empty(const struct fixture *x)
{
	cr_assert_eq(x->history.count, 0);
	cr_assert_eq(x->history.current, COMMIT_NONE);
	cr_assert_eq(x->history.sequence, 0);
	cr_assert_eq(catalog_count(&x->catalog), 0);
}

/* Where each record begins; the last is the file's end. */
static size_t record_starts(const struct buf *b, size_t *starts)
{
	size_t n = 0, at = 0;
	for (; at < b->size; at += HEAD + get_le32(b->data + at) + 8)
		starts[n++] = at;
	starts[n] = at;
	return n;
}

static void seal(uint8_t *at)
{
	size_t length = get_le32(at);
	put_le64(at + 16, hash64(at, 16));
	put_le64(at + HEAD + length, hash64(at, HEAD + length));
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

Test(history_load, what_was_written_is_what_is_read)
{
	uint64_t good;
	make_history(&f);
	cr_assert_eq(load(&g, &f.records, &good), 0, "%s", err_text());
	cr_assert_eq(good, f.records.size);
	cr_assert_eq(g.history.sequence, f.history.sequence);
	assert_same(&f, &g);
}

/* Only what was being appended may be lost, and nothing of it may be half there. */
Test(history_load, a_file_cut_anywhere_gives_the_history_up_to_there)
{
	size_t starts[32];
	make_history(&f);
	size_t records = record_starts(&f.records, starts), whole = 0;
	for (size_t size = 1; size <= f.records.size; size++) {
		uint64_t good;
		uint8_t *cut = malloc(size);
		memcpy(cut, f.records.data, size);
		whole += size == starts[whole + 1];
		int ret = history_load(&g.history, cut, size, &good);
		cr_assert_eq(ret, whole ? 0 : -ENODATA, "cut at %zu: %s", size, err_text());
		cr_assert_eq(good, starts[whole]);
		cr_assert_eq(g.history.sequence, whole ? whole - 1 : 0);
		for (uint32_t i = 0; i < g.history.count; i++)
			cr_assert(id_equal(&g.history.commits[i].id, &f.history.commits[i].id));
		free(cut);
		fixture_close(&g);
		fixture_open(&g);
	}
	cr_assert_eq(whole, records);
}

/* The journal's promise: a file cut anywhere can be gone on with, as if what was lost had never been. */
Test(history_load, appending_goes_on_behind_a_cut)
{
	make_history(&f);
	for (size_t size = STORE_BYTES; size < f.records.size; size += 7) {
		struct fixture again;
		uint64_t good;
		fixture_open(&again);
		cr_assert_eq(history_load(&g.history, f.records.data, size, &good), 0);
		buf_put(&g.records, f.records.data, good);
		add_commit(&g, 77, add_module(&g, 0), 1, 9, &g.records);
		add_commit(&g, 78, add_module(&g, 7), 1, 9, &g.records);
		cr_assert_eq(load(&again, &g.records, &good), 0, "cut at %zu: %s", size, err_text());
		cr_assert_eq(good, g.records.size);
		assert_same(&g, &again);
		fixture_close(&again);
		fixture_close(&g);
		fixture_open(&g);
	}
}

Test(history_load, a_damaged_byte_is_an_error_with_its_place_or_the_torn_end)
{
	size_t starts[32];
	make_history(&f);
	size_t records = record_starts(&f.records, starts);
	for (size_t at = 0; at < f.records.size; at++) {
		size_t hit = 0;
		uint64_t good;
		char text[64];
		while (starts[hit + 1] <= at)
			hit++;
		f.records.data[at] ^= (uint8_t)(1 + at % 255);
		int ret = load(&g, &f.records, &good);
		f.records.data[at] ^= (uint8_t)(1 + at % 255);
		cr_assert_eq(good, starts[hit]);
		if (ret == 0) {
			cr_assert_eq(hit, records - 1, "damage at %zu was overlooked", at);
			fixture_close(&g);
			fixture_open(&g);
			continue;
		}
		cr_assert_eq(ret, -EBADMSG, "at %zu: %s", at, err_text());
		snprintf(text, sizeof(text), "at offset %zu: ", starts[hit]);
		cr_assert_not_null(strstr(err_text(), text), "%s", err_text());
		expect_empty(&g);
	}
}

/* A checksum is no proof: whoever makes a file up computes it, too. Any number may be in any place then. */
Test(history_load, numbers_that_can_not_be_are_refused_whatever_their_checksum)
{
	size_t starts[32];
	int accepted = 0;
	make_history(&f);
	size_t records = record_starts(&f.records, starts);
	for (size_t r = 0; r < records; r++) {
		size_t length = get_le32(f.records.data + starts[r]);
		for (size_t i = 0; i < length; i++) {
			uint8_t *byte = f.records.data + starts[r] + HEAD + i, was = *byte;
			static const uint8_t values[] = {0, 1, 2, 0x7f, 0x80, 0xff};
			for (size_t v = 0; v < sizeof(values); v++) {
				uint64_t good;
				*byte = values[v];
				seal(f.records.data + starts[r]);
				int ret = load(&g, &f.records, &good);
				cr_assert(ret == 0 || ret == -EBADMSG || ret == -EPROTONOSUPPORT || ret == -ESTALE,
				    "%d: %s", ret, err_text());
				accepted += ret == 0;
				if (ret)
					expect_empty(&g);
				fixture_close(&g);
				fixture_open(&g);
			}
			*byte = was;
			seal(f.records.data + starts[r]);
		}
	}
	cr_assert_gt(accepted, 0);
}

static void put_current(struct buf *b, uint64_t sequence, uint64_t commit)
{
	size_t at = record_begin(b, RECORD_CURRENT, sequence);
	buf_varint(b, commit);
	record_end(b, at);
}

/* The parts of a commit's record, for making up such that do not fit. */
struct made_up {
	uint64_t parent;
	uint64_t label;
	uint64_t fresh[4];
	uint64_t fresh_count;
	uint64_t others[8];
	uint64_t others_count;
	uint64_t size;
	uint64_t delta_bytes;
	uint64_t number;
	size_t trailing;
};

static int load_made_up(const struct made_up *m)
{
	struct buf b = {0};
	uint64_t good;
	struct varve_id id = id_of(COMMIT, 900 + m->number), content = id_of(CONTENT, 900);
	fixture_close(&f);
	fixture_close(&g);
	fixture_open(&f);
	fixture_open(&g);
	history_begin_file(&f.history, 0, &b);
	for (uint32_t i = 0; i < 3; i++)
		add_module(&f, i);
	add_commit(&f, 0, 0, 2, 1, &b);
	id = m->number ? id : f.history.commits[0].id;
	size_t at = record_begin(&b, RECORD_COMMIT, f.history.sequence + 1);
	buf_put(&b, &id, sizeof(id));
	buf_varint(&b, m->parent);
	buf_u64(&b, 0);
	buf_varint(&b, m->label);
	for (uint64_t i = 0; i < m->label && i < 5000; i++)
		buf_u8(&b, i == 7 ? 0 : 'x');
	buf_varint(&b, m->fresh_count);
	for (uint64_t i = 0; i < m->fresh_count && i < 4; i++) {
		buf_varint(&b, m->fresh[i]);
		buf_put(&b, &content, 32);
		buf_put(&b, &content, 16);
		buf_varint(&b, m->size);
		buf_varint(&b, m->delta_bytes);
	}
	buf_varint(&b, m->others_count);
	for (uint64_t i = 0; i < 2 * m->others_count && i < 8; i++)
		buf_varint(&b, m->others[i]);
	for (size_t i = 0; i < m->trailing; i++)
		buf_u8(&b, 0);
	record_end(&b, at);
	int ret = load(&g, &b, &good);
	if (ret) {
		cr_assert_eq(good, at);
		expect_empty(&g);
	}
	buf_free(&b);
	return ret;
}

/* Each of them would be a read or a write beyond an array, or a history that never was, if it were believed. */
Test(history_load, a_made_up_commit_is_refused_for_each_number_that_does_not_fit)
{
	static const struct made_up fits = {
	    .parent = 1, .fresh = {1}, .fresh_count = 1, .others = {0, 0}, .others_count = 1, .number = 1};
	struct made_up m = fits;
	cr_assert_eq(load_made_up(&m), 0, "%s", err_text());
#define REFUSED(...)                                                                                                   \
	do {                                                                                                           \
		m = fits;                                                                                              \
		__VA_ARGS__;                                                                                           \
		cr_assert_eq(load_made_up(&m), -EBADMSG, #__VA_ARGS__);                                                \
	} while (0)
	REFUSED(m.number = 0);
	REFUSED(m.parent = 2);
	REFUSED(m.parent = UINT64_MAX);
	REFUSED(m.parent = UINT64_C(1) << 32 | 1);
	REFUSED(m.label = 20);
	REFUSED(m.label = 4097);
	REFUSED(m.label = UINT64_MAX);
	REFUSED(m.fresh[0] = 2);
	REFUSED(m.fresh[0] = UINT64_C(1) << 32 | 1);
	REFUSED(m.fresh_count = 3);
	REFUSED(m.fresh_count = UINT64_MAX);
	REFUSED(m.fresh_count = 2, m.fresh[1] = 1);
	REFUSED(m.fresh[0] = 0);
	REFUSED(m.others[0] = 1);
	REFUSED(m.others[0] = 2);
	REFUSED(m.others[0] = UINT64_MAX);
	REFUSED(m.others[1] = 1);
	REFUSED(m.others[1] = UINT64_C(1) << 32);
	REFUSED(m.others[1] = UINT32_MAX);
	REFUSED(m.others_count = 3);
	REFUSED(m.others_count = UINT64_MAX);
	REFUSED(m.others_count = 2);
	REFUSED(m.size = (UINT64_C(1) << 46) + 1);
	REFUSED(m.size = UINT64_MAX);
	REFUSED(m.delta_bytes = (UINT64_C(1) << 47) + 1);
	REFUSED(m.trailing = 1);
	m = fits;
	m.size = UINT64_C(1) << 46;
	m.delta_bytes = UINT64_C(1) << 47;
	cr_assert_eq(load_made_up(&m), 0, "%s", err_text());
#undef REFUSED
}

static int load_bytes(const struct buf *records, size_t at, struct buf *record)
{
	struct buf b = {0};
	uint64_t good;
	buf_put(&b, records->data, at);
	buf_put(&b, record->data, record->size);
	int ret = load(&g, &b, &good);
	if (ret)
		expect_empty(&g);
	buf_free(&b);
	buf_free(record);
	return ret;
}

/* The same for the smaller records. */
Test(history_load, a_made_up_record_of_any_type_is_refused_where_it_does_not_fit)
{
	struct buf record = {0};
	struct varve_id id = id_of(MODULE, 0);
	make_history(&f);
	uint64_t next = f.history.sequence + 1;
	put_current(&record, next, f.history.count);
	cr_assert_eq(load_bytes(&f.records, f.records.size, &record), -EBADMSG);
	put_current(&record, next, UINT64_C(1) << 32);
	cr_assert_eq(load_bytes(&f.records, f.records.size, &record), -EBADMSG);
	size_t at = record_begin(&record, RECORD_MODULE, next);
	buf_put(&record, &id, sizeof(id)); /* it has one already */
	record_end(&record, at);
	cr_assert_eq(load_bytes(&f.records, f.records.size, &record), -EBADMSG);
	at = record_begin(&record, RECORD_MODULE, next);
	buf_put(&record, &id, sizeof(id) - 1);
	record_end(&record, at);
	cr_assert_eq(load_bytes(&f.records, f.records.size, &record), -EBADMSG);
	buf_put(&record, f.records.data, STORE_BYTES);
	put_le64(record.data + 8, 5); /* its number, beyond what the file says it was written with */
	seal(record.data);
	cr_assert_eq(load_bytes(&f.records, 0, &record), -EBADMSG);
	put_current(&record, next, f.history.count - 1);
	cr_assert_eq(load_bytes(&f.records, f.records.size, &record), 0, "%s", err_text());
}

/* A damaged file must not become the beginning of a new, empty history. */
Test(history_load, a_file_without_a_whole_first_record_is_no_history)
{
	uint64_t good = 1;
	uint8_t zeros[300] = {0};
	uint8_t noise[300];
	memset(noise, 0x5a, sizeof(noise));
	cr_assert_eq(history_load(&g.history, "", 0, &good), -ENODATA);
	cr_assert_eq(good, 0);
	cr_assert_eq(history_load(&g.history, zeros, sizeof(zeros), &good), -ENODATA);
	cr_assert_eq(history_load(&g.history, noise, sizeof(noise), &good), -EBADMSG);
	make_history(&f);
	f.records.data[HEAD] ^= 1; /* another magic */
	seal(f.records.data);
	cr_assert_eq(load(&g, &f.records, &good), -EBADMSG);
	f.records.data[HEAD] ^= 1;
	put_le32(f.records.data + HEAD + 8, 2); /* a format to come */
	seal(f.records.data);
	cr_assert_eq(load(&g, &f.records, &good), -EPROTONOSUPPORT);
	expect_empty(&g);
}

/* Stores made today must be read by every later version: these bytes are the format, for good. */
Test(history_load, the_format_is_what_it_was)
{
	static const char golden[] =
	    "4c0000000100010000000000000000004a4ec6b54db5ec37566172766552656301000000000102030405060708090a0b"
	    "0c0d0e0f0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
	    "00000000a372fb2efba6cd632000000002000100010000000000000098af5781b996291b4f83b3b7ca3641168c375ee0"
	    "bb8b2e94db3403350ce58911695173c785cff3756ac51d26ba726a3867000000030001000200000000000000418c12c2"
	    "fdc91a19e732258455185f1f5b1582d6aed22b5db2c3f8110326477264a43f146057bdee000100000000000000076120"
	    "6c6162656c010029bfdc04682f106f7764b5b7487658a54c6e01d0b996fc1b6e3a4d2bdd4cc6f24c6e01d0b996fc1b6e"
	    "3a4d2bdd4cc6f2e8270000d783e41bbe6b6d762e000000030001000300000000000000e0af9ad319ec30b1352f52a00a"
	    "81a56642b738e916ffa567ec521e580a02498ef8534565769ca1680100000000000000000000010000cc87718c33cadb"
	    "9001000000040001000400000000000000360a4450c16cb63a0084bc9f73285fe542";
	uint8_t bytes[1024];
	size_t size = (sizeof(golden) - 1) / 2;
	uint64_t good;
	for (size_t i = 0; i < size; i++) {
		unsigned byte;
		cr_assert_eq(sscanf(golden + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	for (uint8_t i = 0; i < 16; i++)
		f.history.store[i] = i;
	history_begin_file(&f.history, 0, &f.records);
	add_commit(&f, 1, add_module(&f, 0), 1, 1000, &f.records);
	add_standing(&f, 2, 0, 0, &f.records);
	history_set_current(&f.history, 0, &f.records);
	cr_assert_eq(f.records.size, size);
	cr_assert_eq(memcmp(f.records.data, bytes, size), 0);
	cr_assert_eq(history_load(&g.history, bytes, size, &good), 0, "%s", err_text());
	assert_same(&f, &g);
}

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
Test(history_load, a_crash_anywhere_while_persisting_loses_and_repeats_nothing)
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

Test(history_load, a_torn_journal_gives_what_is_whole_of_it)
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
Test(history_load, a_journal_fits_a_compacted_file_too)
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
Test(history_load, a_journal_that_does_not_fit_is_refused_whole)
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
Test(history_load, a_journal_may_go_on_later_than_it_began)
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
Test(history_load, an_empty_journal_from_later_does_not_fit_either)
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
Test(history_load, a_file_may_be_begun_after_its_records_were_made)
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

Test(history_load, a_damaged_journal_leaves_the_history_as_commits_has_it)
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

Test(history_load, a_compacted_file_is_the_same_history)
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
Test(history_load, a_compacted_file_that_was_cut_is_not_a_torn_one)
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
Test(history_load, modules_that_were_never_committed_are_not_written)
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
Test(history_load, a_module_whose_commit_was_torn_off_can_be_committed)
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
Test(history_load, a_large_history_survives_being_written_and_read)
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
