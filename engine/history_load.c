/*
 * history_load.c - replaying a file of records.
 *
 * Every number is checked against what the records before it have made, so that damage that a checksum does not find,
 * or a file made up by somebody, ends in an error and not in a history that never was. A file is applied whole or not
 * at all: half a history would be mistaken for a whole one.
 */
#include "history_private.h"

#include <errno.h>
#include <string.h>

#include "err.h"
#include "names.h"

struct loader {
	struct history *history;
	uint64_t through; /**< the file was written with the records up to this one */
	struct fresh_entry *fresh; /**< of the record being read; room for `fresh_room` */
	uint32_t fresh_room;
	struct standing *changes;
	uint32_t changes_room;
};

/* ---- the first record -------------------------------------------------------------------------------------------- */

struct store_record {
	uint8_t store[16];
	uint64_t through;
	uint32_t modules;
	uint32_t commits;
	struct varve_id newest;
};

/* Whether the history has been in the state that the file goes on from. */
static int check_basis(const struct history *history, const struct store_record *store, uint64_t sequence)
{
	const struct history_index *index = history->index;
	if (index->loaded && memcmp(store->store, history->store, sizeof(store->store)) != 0)
		return fail(ESTALE, "it belongs to another store");
	if (store->commits > history->count || store->modules > index->numbers_count ||
	    (index->loaded && sequence > history->sequence))
		return fail(ESTALE, "it goes on from record %llu and %u commits, of which only %llu and %u are there",
		    (unsigned long long)sequence, store->commits, (unsigned long long)history->sequence,
		    history->count);
	if (store->commits && !id_equal(&history->commits[store->commits - 1].id, &store->newest))
		return fail(ESTALE, "it goes on from a commit number %u that is another here", store->commits - 1);
	return 0;
}

static int parse_store(uint64_t sequence, struct cursor *c, struct store_record *store)
{
	uint8_t magic[sizeof(STORE_MAGIC) - 1];
	cursor_copy(c, magic, sizeof(magic));
	uint32_t format = cursor_u32(c);
	if (c->bad || memcmp(magic, STORE_MAGIC, sizeof(magic)) != 0)
		return fail(EBADMSG, "not the first record of a history");
	if (format != STORE_FORMAT)
		return fail(
		    EPROTONOSUPPORT, "format %u, which this version of Varve does not know: use a newer one", format);
	cursor_copy(c, store->store, sizeof(store->store));
	store->through = cursor_u64(c);
	store->modules = cursor_u32(c);
	store->commits = cursor_u32(c);
	cursor_copy(c, &store->newest, sizeof(store->newest));
	if (c->bad || cursor_left(c) || store->through < sequence)
		return fail(EBADMSG, "the first record of a history is not of its form");
	return 0;
}

static int load_store(struct loader *l, uint64_t sequence, struct cursor *c)
{
	struct history *history = l->history;
	struct store_record store;
	int ret = parse_store(sequence, c, &store);
	if (!ret)
		ret = check_basis(history, &store, sequence);
	if (ret)
		return ret;
	l->through = store.through;
	if (!history->index->loaded) {
		memcpy(history->store, store.store, sizeof(history->store));
		history->sequence = sequence;
		history->index->loaded = true;
	}
	return 0;
}

/* What a file's first record says was there when it was made. */
struct basis {
	struct store_record store;
	uint64_t sequence;
	bool known;
};

static int read_basis(void *arg, enum record_type type, uint64_t sequence, struct cursor *c)
{
	struct basis *basis = arg;
	basis->known = type == RECORD_STORE && !parse_store(sequence, c, &basis->store);
	basis->sequence = sequence;
	return 1; /* the others are of no interest */
}

bool history_lacks(const struct history *history, const void *bytes, size_t size, uint32_t *commits, uint64_t *sequence)
{
	struct basis basis = {.known = false};
	struct record_scan scan;
	record_read(bytes, size, read_basis, &basis, &scan);
	*commits = basis.store.commits;
	*sequence = basis.sequence;
	bool same = basis.known &&
	            (!history->index->loaded || memcmp(basis.store.store, history->store, sizeof(history->store)) == 0);
	return same && (basis.store.commits > history->count || basis.sequence > history->sequence);
}

/* ---- the others -------------------------------------------------------------------------------------------------- */

static int load_module(struct loader *l, uint64_t sequence, struct cursor *c)
{
	struct varve_id id;
	cursor_copy(c, &id, sizeof(id));
	if (c->bad || cursor_left(c))
		return fail(EBADMSG, "a module's record is not of its form");
	int64_t module = history_module(l->history, &id);
	if (module != MODULE_NONE && module_number(l->history, (uint32_t)module) != NUMBER_NONE)
		return fail(EBADMSG, "a second record for one module");
	if (module == MODULE_NONE)
		module = catalog_add(l->history->catalog, &id);
	return module < 0 ? (int)module : history_record_module(l->history, (uint32_t)module, sequence);
}

/* A count of modules, and room for so many. There can not be more than there are modules, which bounds the memory that
 * a made-up number can ask for. */
static int load_count(struct loader *l, struct cursor *c, uint32_t *count)
{
	uint64_t n = cursor_varint(c);
	if (c->bad || n > l->history->index->numbers_count)
		return fail(EBADMSG, "a commit of more modules than there are");
	*count = (uint32_t)n;
	return 0;
}

static int load_number(struct loader *l, struct cursor *c, uint32_t *module)
{
	uint64_t number = cursor_varint(c);
	if (c->bad || number >= l->history->index->numbers_count)
		return fail(EBADMSG, "a commit of a module that does not exist");
	*module = l->history->index->numbers[number].module;
	return 0;
}

static int make_room(void **array, uint32_t *room, uint32_t count, size_t each)
{
	if (count <= *room)
		return 0;
	uint32_t more = count < 64 ? 64 : count;
	void *p = history_alloc(*array, more * each);
	if (!p)
		return fail(ENOMEM, "no memory for a commit of %u modules", count);
	*array = p;
	*room = more;
	return 0;
}

static int load_fresh(struct loader *l, struct cursor *c, struct commit_draft *draft)
{
	int ret = load_count(l, c, &draft->fresh_count);
	if (!ret)
		ret = make_room((void **)&l->fresh, &l->fresh_room, draft->fresh_count, sizeof(*l->fresh));
	for (uint32_t i = 0; i < draft->fresh_count && !ret; i++) {
		struct fresh_entry *fresh = &l->fresh[i];
		*fresh = (struct fresh_entry) {0};
		ret = load_number(l, c, &fresh->module);
		cursor_copy(c, &fresh->entry.id, sizeof(fresh->entry.id));
		cursor_copy(c, &fresh->entry.hash, sizeof(fresh->entry.hash));
		fresh->entry.size = cursor_varint(c);
		fresh->entry.delta_bytes = cursor_varint(c);
	}
	draft->fresh = l->fresh;
	return ret;
}

static int load_changes(struct loader *l, struct cursor *c, struct commit_draft *draft)
{
	uint32_t others = 0;
	int ret = load_count(l, c, &others);
	if (ret)
		return ret;
	draft->changes_count = draft->fresh_count + others;
	ret = make_room((void **)&l->changes, &l->changes_room, draft->changes_count, sizeof(*l->changes));
	if (ret)
		return ret;
	struct standing *change = l->changes;
	for (uint32_t i = 0; i < draft->fresh_count; i++, change++) {
		change->module = l->fresh[i].module;
		change->entry = catalog_module(l->history->catalog, change->module)->length;
	}
	for (uint32_t i = 0; i < others && !ret; i++, change++) {
		ret = load_number(l, c, &change->module);
		uint64_t entry = cursor_varint(c);
		change->entry = entry < CHAIN_NONE ? (uint32_t)entry : CHAIN_NONE;
	}
	draft->changes = l->changes;
	return ret;
}

static int by_fresh_module(const void *a, const void *b)
{
	uint32_t x = ((const struct fresh_entry *)a)->module, y = ((const struct fresh_entry *)b)->module;
	return (x > y) - (x < y);
}

static int by_changed_module(const void *a, const void *b)
{
	uint32_t x = ((const struct standing *)a)->module, y = ((const struct standing *)b)->module;
	return (x > y) - (x < y);
}

/* Records have modules in no order that means anything here (a module may have another index than it had where the
 * record was written). Duplicates stand side by side then, and are found where the commit is checked. */
static void sort_draft(struct loader *l, const struct commit_draft *draft)
{
	uint32_t i = 1;
	while (i < draft->fresh_count && l->fresh[i - 1].module < l->fresh[i].module)
		i++;
	if (i < draft->fresh_count)
		qsort(l->fresh, draft->fresh_count, sizeof(*l->fresh), by_fresh_module);
	for (i = 1; i < draft->changes_count && l->changes[i - 1].module < l->changes[i].module;)
		i++;
	if (i < draft->changes_count)
		qsort(l->changes, draft->changes_count, sizeof(*l->changes), by_changed_module);
}

static int load_commit(struct loader *l, uint64_t sequence, struct cursor *c)
{
	struct commit_draft draft = {0};
	cursor_copy(c, &draft.id, sizeof(draft.id));
	uint64_t parent = cursor_varint(c);
	draft.time = (int64_t)cursor_u64(c);
	uint64_t label = cursor_varint(c);
	if (c->bad || parent > l->history->count || label > LABEL_MAX)
		return fail(EBADMSG, "a commit's record with a parent or a label that can not be");
	draft.parent = parent ? (uint32_t)(parent - 1) : COMMIT_NONE;
	draft.label_size = (size_t)label;
	draft.label = (const char *)cursor_take(c, draft.label_size);
	int ret = load_fresh(l, c, &draft);
	if (!ret)
		ret = load_changes(l, c, &draft);
	if (ret)
		return ret;
	if (c->bad || cursor_left(c))
		return fail(EBADMSG, "a commit's record is not of its form");
	sort_draft(l, &draft);
	ret = history_apply_commit(l->history, &draft, sequence);
	return ret == -EINVAL || ret == -EEXIST ? -EBADMSG : ret;
}

static int load_current(struct loader *l, struct cursor *c)
{
	uint64_t commit = cursor_varint(c);
	if (c->bad || cursor_left(c) || commit >= l->history->count)
		return fail(EBADMSG, "the record of the current commit names one that does not exist");
	l->history->current = (uint32_t)commit;
	return 0;
}

static int load_record(void *arg, enum record_type type, uint64_t sequence, struct cursor *c)
{
	struct loader *l = arg;
	if (type == RECORD_STORE)
		return load_store(l, sequence, c);
	if (sequence <= l->history->sequence)
		return 0;
	if (sequence != l->history->sequence + 1)
		return fail(ESTALE, "it goes on with record %llu, where number %llu is the last that is there",
		    (unsigned long long)sequence, (unsigned long long)l->history->sequence);
	int ret;
	if (type == RECORD_MODULE)
		ret = load_module(l, sequence, c);
	else if (type == RECORD_COMMIT)
		ret = load_commit(l, sequence, c);
	else
		ret = load_current(l, c);
	if (!ret)
		l->history->sequence = sequence;
	return ret;
}

int history_load(struct history *history, const void *bytes, size_t size, uint64_t *good)
{
	struct loader l = {.history = history};
	struct record_scan scan;
	uint64_t sequence = history->sequence;
	uint32_t modules = catalog_count(history->catalog);
	uint32_t current = history->current;
	bool loaded = history->index->loaded;
	uint8_t store[sizeof(history->store)];
	memcpy(store, history->store, sizeof(store));

	int ret = record_read(bytes, size, load_record, &l, &scan);
	if (!ret && !scan.records && !loaded)
		ret = fail(ENODATA, "its first record is not whole");
	if (!ret && scan.records && scan.sequence < l.through)
		ret = fail(EBADMSG, "at offset %llu: its end is missing: it was written with records up to number %llu",
		    (unsigned long long)scan.good, (unsigned long long)l.through);
	if (ret) {
		history_drop_newest(history, current, sequence);
		history_drop_modules(history, modules, sequence);
		memcpy(history->store, store, sizeof(store));
		history->index->loaded = loaded;
	}
	*good = scan.good;
	free(l.fresh);
	free(l.changes);
	return ret;
}
