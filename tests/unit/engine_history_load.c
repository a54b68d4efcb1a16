/*
 * engine_history_load.c - the history in files: what a crash leaves behind, damage, hostile numbers.
 */
#include <errno.h>
#include <stdio.h>

#include "hash.h"
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

TestSuite(history_load, .init = setup, .fini = teardown);

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
