/*
 * history_fixture.h - histories for tests: ids from numbers, commits in one line.
 */
#ifndef TESTS_HISTORY_FIXTURE_H
#define TESTS_HISTORY_FIXTURE_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "err.h"
#include "hash.h"
#include "history.h"
#include "names.h"

struct fixture {
	struct catalog catalog;
	struct history history;
	struct buf records;
};

static inline void fixture_open(struct fixture *f)
{
	*f = (struct fixture) {0};
	cr_assert_eq(catalog_create(&f->catalog), 0, "%s", err_text());
	cr_assert_eq(history_open(&f->history, &f->catalog), 0, "%s", err_text());
}

static inline void fixture_close(struct fixture *f)
{
	history_close(&f->history);
	catalog_close(&f->catalog);
	buf_free(&f->records);
}

/* Ids that differ in their first digits and have no pattern. @kind keeps modules, commits and contents apart. */
static inline struct varve_id id_of(uint64_t kind, uint64_t number)
{
	struct varve_id id;
	hash128(&number, sizeof(number), kind, id.bytes);
	hash128(&number, sizeof(number), ~kind, id.bytes + 16);
	return id;
}

enum { MODULE = 1, COMMIT = 2, CONTENT = 3 };

static inline uint32_t add_module(struct fixture *f, uint32_t number)
{
	struct varve_id id = id_of(MODULE, number);
	int64_t module = history_add_module(&f->history, &id, NULL);
	cr_assert_geq(module, 0, "%s", err_text());
	return (uint32_t)module;
}

/* A chain entry whose content is @content. */
static inline struct chain_entry entry_of(const struct fixture *f, uint32_t module, uint64_t content)
{
	bool base = catalog_module(&f->catalog, module)->length == 0;
	struct chain_entry entry = {
	    .id = id_of(CONTENT, content), .size = 4096 + content, .delta_bytes = base ? 0 : 160 + content % 100};
	memcpy(entry.hash.bytes, entry.id.bytes + 16, sizeof(entry.hash.bytes));
	return entry;
}

/* Commit number @number: each of the @count modules from @module on gets a new entry. */
static inline int64_t add_commit(
    struct fixture *f, uint64_t number, uint32_t module, uint32_t count, uint64_t content, struct buf *records)
{
	struct fresh_entry *fresh = calloc(count + 1, sizeof(*fresh));
	struct standing *changes = calloc(count + 1, sizeof(*changes));
	struct varve_id id = id_of(COMMIT, number);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t m = module + i;
		fresh[i] = (struct fresh_entry) {m, entry_of(f, m, content)};
		changes[i] = (struct standing) {m, catalog_module(&f->catalog, m)->length};
	}
	int64_t ret = history_add_commit(
	    &f->history, &id, number % 3 ? "a label" : NULL, (int64_t)number, fresh, count, changes, count, records);
	free(fresh);
	free(changes);
	return ret;
}

/* A commit that only moves @module to an entry that it has. */
static inline int64_t add_standing(
    struct fixture *f, uint64_t number, uint32_t module, uint32_t entry, struct buf *records)
{
	struct varve_id id = id_of(COMMIT, number);
	struct standing change = {module, entry};
	return history_add_commit(&f->history, &id, NULL, 0, NULL, 0, &change, 1, records);
}

/* Whether two histories are the same in all that they are for. */
static inline void assert_same(const struct fixture *a, const struct fixture *b)
{
	cr_assert_eq(a->history.count, b->history.count);
	cr_assert_eq(a->history.current, b->history.current);
	cr_assert_eq(memcmp(a->history.store, b->history.store, 16), 0);
	for (uint32_t i = 0; i < a->history.count; i++) {
		const struct commit *x = &a->history.commits[i], *y = &b->history.commits[i];
		cr_assert(id_equal(&x->id, &y->id) && x->parent == y->parent && x->time == y->time &&
		          x->depth == y->depth && x->changes_count == y->changes_count);
		cr_assert_eq(!x->label, !y->label);
		cr_assert(!x->label || strcmp(x->label, y->label) == 0);
		cr_assert(
		    !x->changes_count || memcmp(x->changes, y->changes, x->changes_count * sizeof(*x->changes)) == 0);
		cr_assert_eq(history_find(&b->history, &x->id), i);
	}
	cr_assert_eq(catalog_count(&a->catalog), catalog_count(&b->catalog));
	for (uint32_t m = 0; m < catalog_count(&a->catalog); m++) {
		const struct catalog_module *x = catalog_module(&a->catalog, m), *y = catalog_module(&b->catalog, m);
		cr_assert(id_equal(&x->id, &y->id));
		cr_assert_eq(x->length, y->length);
		for (uint32_t e = 0; e < x->length; e++)
			cr_assert_eq(memcmp(chain_entry(&a->catalog, m, e), chain_entry(&b->catalog, m, e),
			                 sizeof(struct chain_entry)),
			    0);
	}
}

/* Bytes of a record's head, and of a whole STORE record. */
enum { HEAD = 24, STORE_BYTES = HEAD + 76 + 8 };

/* Two modules, a branch, contents that recur, labels, a commit that goes back to an old entry, and one that changes
 * nothing: every form that a record can have. */
static inline void make_history(struct fixture *x)
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

static inline int load(struct fixture *x, const struct buf *b, uint64_t *good)
{
	return history_load(&x->history, b->data, b->size, good);
}

static inline void expect_empty(const struct fixture *x)
{
	cr_assert_eq(x->history.count, 0);
	cr_assert_eq(x->history.current, COMMIT_NONE);
	cr_assert_eq(x->history.sequence, 0);
	cr_assert_eq(catalog_count(&x->catalog), 0);
}

/* Where each record begins; the last is the file's end. */
static inline size_t record_starts(const struct buf *b, size_t *starts)
{
	size_t n = 0, at = 0;
	for (; at < b->size; at += HEAD + get_le32(b->data + at) + 8)
		starts[n++] = at;
	starts[n] = at;
	return n;
}

static inline void seal(uint8_t *at)
{
	size_t length = get_le32(at);
	put_le64(at + 16, hash64(at, 16));
	put_le64(at + HEAD + length, hash64(at, HEAD + length));
}

#endif
