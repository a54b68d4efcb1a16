/*
 * fuzz_history.c - hostile files of records.
 *
 * Checksums would keep a fuzzer out, so they are put right here, and what is tried is all that lies behind them. The
 * first byte of the input says how to read the rest:
 *
 *   bit 0 set    a file as it is on disk, in which heads and trailers get checksums that fit
 *   bit 0 clear  a list of (type u8, length u16, payload): each becomes the next record; a type 1 begins a second
 *                file, the journal, with the payload as its first record if it has one and else with one that fits
 *
 * Whatever is accepted must be a history that can be used: what a walk finds is what a table says, written down and
 * read again it is the same, and it can be taken back to nothing.
 */
#include <stdint.h>
#include <stdlib.h>

#include "hash.h"
#include "history.h"
#include "names.h"

#define HEAD 24u
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

struct opened {
	struct catalog catalog;
	struct history history;
};

static void opened_init(struct opened *o)
{
	CHECK(catalog_create(&o->catalog) == 0 && history_open(&o->history, &o->catalog) == 0);
}

static void opened_release(struct opened *o)
{
	history_close(&o->history);
	catalog_close(&o->catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix_checksums(uint8_t *data, size_t size)
{
	for (size_t at = 0; size - at >= HEAD;) {
		size_t length = get_le32(data + at);
		put_le64(data + at + 16, hash64(data + at, 16));
		if (length > size - at - HEAD || size - at - HEAD - length < 8)
			return;
		put_le64(data + at + HEAD + length, hash64(data + at, HEAD + length));
		at += HEAD + length + 8;
	}
}

static void check_standing(const struct history *history)
{
	uint32_t count = catalog_count(history->catalog);
	uint32_t *table = malloc(((size_t)count + 1) * sizeof(*table));
	CHECK(table);
	for (uint32_t c = 0; c < history->count && c < 64; c++) {
		history_table(history, c, table);
		for (uint32_t m = 0; m < count && m < 64; m++) {
			CHECK(history_standing(history, c, m) == table[m]);
			CHECK(table[m] == CHAIN_NONE || table[m] < catalog_module(history->catalog, m)->length);
		}
		CHECK(history_find(history, &history->commits[c].id) == c);
	}
	free(table);
}

static void check_dump(struct history *history)
{
	struct opened again;
	struct buf dump = {0};
	uint64_t good;
	CHECK(history_dump(history, &dump) == 0);
	opened_init(&again);
	CHECK(history_load(&again.history, dump.data, dump.size, &good) == 0 && good == dump.size);
	CHECK(again.history.count == history->count && again.history.current == history->current);
	CHECK(again.history.sequence == history->sequence);
	for (uint32_t c = 0; c < history->count; c++) {
		const struct commit *x = &history->commits[c], *y = &again.history.commits[c];
		CHECK(id_equal(&x->id, &y->id) && x->parent == y->parent && x->changes_count == y->changes_count);
	}
	buf_free(&dump);
	opened_release(&again);
}

static void load(struct history *history, const struct buf *file)
{
	uint32_t count = history->count, current = history->current, modules = catalog_count(history->catalog);
	uint64_t good;
	if (file->bad || !file->size)
		return;
	int ret = history_load(history, file->data, file->size, &good);
	CHECK(good <= file->size);
	if (ret)
		CHECK(history->count == count && history->current == current &&
		      catalog_count(history->catalog) == modules);
}

static void load_records(struct history *history, struct cursor *c)
{
	struct buf file = {0};
	uint64_t sequence = 0;
	history_begin_file(history, 0, &file);
	while (cursor_left(c) >= 3) {
		enum record_type type = (enum record_type)(cursor_u8(c) % 4 + 1);
		size_t length = cursor_u16(c);
		length = length < cursor_left(c) ? length : cursor_left(c);
		const uint8_t *payload = cursor_take(c, length);
		if (type == RECORD_STORE) {
			load(history, &file);
			buf_clear(&file);
			sequence = history->sequence;
			if (!length) {
				history_begin_file(history, sequence, &file);
				continue;
			}
			sequence--;
		}
		size_t record = record_begin(&file, type, ++sequence);
		buf_put(&file, payload, length);
		record_end(&file, record);
	}
	load(history, &file);
	buf_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_over(data, size);
	struct opened o;
	opened_init(&o);
	if (cursor_u8(&c) & 1) {
		struct buf file = {0};
		buf_put(&file, c.at, cursor_left(&c));
		if (file.size)
			fix_checksums(file.data, file.size);
		load(&o.history, &file);
		buf_free(&file);
	} else {
		load_records(&o.history, &c);
	}
	check_standing(&o.history);
	check_dump(&o.history);
	history_drop_newest(&o.history, COMMIT_NONE, 0);
	CHECK(o.history.count == 0);
	history_drop_modules(&o.history, 0, 0);
	CHECK(catalog_count(&o.catalog) == 0);
	opened_release(&o);
	return 0;
}
