/*
 * history.c - the commits store in memory.
 *
 *             history_add_commit()                        history_load()
 *                     |                                         |
 *                     v                                         v
 *   records <-- write_commit()  +---- history_apply_commit() ---+       history_drop_newest()
 *                               v                                              |
 *             commits[], their ids, chain entries in the catalog  <------------+
 *
 * H1  A commit is added whole or not at all: whatever can fail (memory, room in the catalog, a wrong number) fails
 *     before the commit can be found, and chain entries that were appended for it are cut off again.
 * H2  Everything carries the number of its record, so that all that came after a record can be taken back, be it one
 *     commit whose record could not be written or half a damaged file.
 * H3  Records count modules in the order of their own records, not by their index in the catalog: the catalog also has
 *     modules that were never committed, and may never be.
 */
#include "history_private.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "err.h"
#include "names.h"

static bool same_commit(const void *arg, const struct idmap_slot *slot, const struct varve_id *id)
{
	const struct history *history = arg;
	return id_equal(&history->commits[slot->value].id, id);
}

int history_open(struct history *history, struct catalog *catalog)
{
	*history = (struct history) {.catalog = catalog, .current = COMMIT_NONE};
	if (getrandom(history->store, sizeof(history->store), 0) != (ssize_t)sizeof(history->store))
		return fail_sys(errno, "getrandom()");
	history->index = history_alloc(NULL, sizeof(*history->index));
	if (!history->index)
		return fail(ENOMEM, "no memory for the history");
	*history->index = (struct history_index) {0};
	int ret = idmap_open(&history->index->commits, same_commit, history);
	if (ret)
		history_close(history);
	return ret;
}

static void release_commit(struct commit *commit)
{
	free(commit->label);
	free(commit->changes);
	free(commit->checkpoint);
}

void history_close(struct history *history)
{
	for (uint32_t i = 0; i < history->count; i++)
		release_commit(&history->commits[i]);
	free(history->commits);
	if (history->index) {
		idmap_close(&history->index->commits);
		free(history->index->number_of);
		free(history->index->numbers);
		free(history->index->order);
		free(history->index);
	}
	*history = (struct history) {.current = COMMIT_NONE};
}

uint32_t history_module(const struct history *history, const struct varve_id *id)
{
	return catalog_find(history->catalog, id);
}

uint32_t history_find(const struct history *history, const struct varve_id *id)
{
	const struct idmap_slot *slot = idmap_find(&history->index->commits, 0, id);
	return slot ? slot->value : COMMIT_NONE;
}

uint32_t history_commits_until(const struct history *history, uint64_t sequence)
{
	uint32_t low = 0, high = history->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (history->commits[middle].sequence <= sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

/* That no module has two is seen where changes are checked: each of those takes one at most. */
static int check_fresh(const struct catalog *catalog, const struct commit_draft *draft)
{
	for (uint32_t i = 0; i < draft->fresh_count; i++) {
		const struct fresh_entry *fresh = &draft->fresh[i];
		if (fresh->module >= catalog_count(catalog))
			return fail(EINVAL, "an entry of module %u, which does not exist", fresh->module);
		bool base = catalog_module(catalog, fresh->module)->length == 0;
		if (fresh->entry.size > IMAGE_BYTES_MAX || fresh->entry.delta_bytes > (base ? 0 : DELTA_BYTES_MAX))
			return fail(EINVAL, "an entry of module %u with impossible sizes", fresh->module);
	}
	return 0;
}

/* Changes ascend, each names an entry that exists or is made here, and each that is made here is named. */
static int check_changes(const struct catalog *catalog, const struct commit_draft *draft)
{
	uint32_t fresh = 0;
	for (uint32_t i = 0; i < draft->changes_count; i++) {
		const struct standing *change = &draft->changes[i];
		if (change->module >= catalog_count(catalog) || (i && change->module <= change[-1].module))
			return fail(
			    EINVAL, "a change of module %u, which does not exist or is out of order", change->module);
		uint32_t length = catalog_module(catalog, change->module)->length;
		bool made = fresh < draft->fresh_count && draft->fresh[fresh].module == change->module;
		if (made ? change->entry != length : change->entry >= length)
			return fail(EINVAL, "a change of module %u to its entry %u, which does not exist",
			    change->module, change->entry);
		fresh += made;
	}
	if (fresh != draft->fresh_count)
		return fail(
		    EINVAL, "an entry of module %u that the commit does not stand at", draft->fresh[fresh].module);
	return 0;
}

static int check_draft(const struct history *history, const struct commit_draft *draft)
{
	if (history_find(history, &draft->id) != COMMIT_NONE) {
		char text[VARVE_ID_TEXT + 1];
		id_to_text(&draft->id, text);
		return fail(EEXIST, "there is a commit with the id %s already", text);
	}
	if (draft->label_size > LABEL_MAX)
		return fail(EINVAL, "a label of %zu bytes; %u are the most", draft->label_size, LABEL_MAX);
	if (draft->label_size && memchr(draft->label, 0, draft->label_size))
		return fail(EINVAL, "a label with a NUL character in it");
	int ret = check_fresh(history->catalog, draft);
	return ret ? ret : check_changes(history->catalog, draft);
}

static int reserve_commit(struct history *history)
{
	int ret = idmap_reserve(&history->index->commits, 1);
	if (ret || history->count < history->capacity)
		return ret;
	if (history->count == COMMIT_NONE - 1)
		return fail(ENOSPC, "a store has room for %u commits, and all are in use", history->count);
	uint64_t capacity = history->capacity ? (uint64_t)history->capacity * 2 : 64;
	if (capacity >= COMMIT_NONE)
		capacity = COMMIT_NONE - 1;
	struct commit *commits = history_alloc(history->commits, capacity * sizeof(*commits));
	if (!commits)
		return fail(ENOMEM, "no memory for %llu commits", (unsigned long long)capacity);
	history->commits = commits;
	history->capacity = (uint32_t)capacity;
	return 0;
}

static int fill_commit(struct commit *commit, const struct commit_draft *draft, uint64_t sequence)
{
	*commit = (struct commit) {.id = draft->id, .parent = draft->parent, .time = draft->time, .sequence = sequence};
	if (draft->label_size) {
		commit->label = history_alloc(NULL, draft->label_size + 1);
		if (!commit->label)
			return fail(ENOMEM, "no memory for a commit's label");
		memcpy(commit->label, draft->label, draft->label_size);
		commit->label[draft->label_size] = 0;
	}
	if (draft->changes_count) {
		commit->changes = history_alloc(NULL, draft->changes_count * sizeof(*commit->changes));
		if (!commit->changes)
			return fail(ENOMEM, "no memory for a commit's changes");
		memcpy(commit->changes, draft->changes, draft->changes_count * sizeof(*commit->changes));
		commit->changes_count = draft->changes_count;
	}
	return 0;
}

static int append_entries(struct history *history, const struct commit_draft *draft)
{
	for (uint32_t i = 0; i < draft->fresh_count; i++) {
		struct chain_entry entry = draft->fresh[i].entry;
		entry.commit = history->count;
		int64_t ret = chain_append(history->catalog, draft->fresh[i].module, &entry);
		if (ret < 0) {
			while (i)
				chain_truncate(history->catalog, draft->fresh[--i].module);
			return (int)ret;
		}
	}
	return 0;
}

int history_apply_commit(struct history *history, const struct commit_draft *draft, uint64_t sequence)
{
	int ret = check_draft(history, draft);
	if (!ret)
		ret = reserve_commit(history);
	if (ret)
		return ret;
	struct commit *commit = &history->commits[history->count];
	ret = fill_commit(commit, draft, sequence);
	if (!ret)
		ret = append_entries(history, draft);
	if (ret) {
		release_commit(commit);
		return ret;
	}
	commit->depth = draft->parent == COMMIT_NONE ? 0 : history->commits[draft->parent].depth + 1;
	idmap_add(&history->index->commits, 0, &draft->id, history->count);
	history->current = history->count++;
	history->sequence = sequence;
	history_checkpoint(history, history->current);
	return 0;
}

/* Fresh entries in the order of their modules, as records have them: they may be handed over in any. */
static int by_module(const void *a, const void *b)
{
	uint32_t x = ((const struct fresh_entry *)a)->module, y = ((const struct fresh_entry *)b)->module;
	return (x > y) - (x < y);
}

static int sort_fresh(struct commit_draft *draft, struct fresh_entry **sorted)
{
	*sorted = NULL;
	uint32_t i = 1;
	while (i < draft->fresh_count && draft->fresh[i - 1].module < draft->fresh[i].module)
		i++;
	if (i >= draft->fresh_count)
		return 0;
	*sorted = history_alloc(NULL, draft->fresh_count * sizeof(**sorted));
	if (!*sorted)
		return fail(ENOMEM, "no memory for a commit of %u modules", draft->fresh_count);
	memcpy(*sorted, draft->fresh, draft->fresh_count * sizeof(**sorted));
	qsort(*sorted, draft->fresh_count, sizeof(**sorted), by_module);
	draft->fresh = *sorted;
	return 0;
}

/* Add a commit and the modules it is the first to have, and write their records. */
static int add_draft(struct history *history, const struct commit_draft *draft, struct buf *records)
{
	uint64_t sequence = history->sequence;
	size_t size = records->size;
	bool bad = records->bad;
	int ret = check_draft(history, draft);
	for (uint32_t i = 0; i < draft->fresh_count && !ret; i++) {
		uint32_t module = draft->fresh[i].module;
		if (module_number(history, module) != NUMBER_NONE)
			continue;
		ret = history_record_module(history, module, ++sequence);
		write_module(records, sequence, &catalog_module(history->catalog, module)->id);
	}
	if (!ret) {
		write_commit(history, records, ++sequence, draft);
		ret = records->bad ? fail(ENOMEM, "no memory for the record of a commit") : 0;
	}
	if (!ret)
		ret = history_apply_commit(history, draft, sequence);
	if (ret) {
		history_forget_modules(history, history->sequence);
		records->size = size;
		records->bad = bad;
	}
	return ret;
}

int64_t history_add_commit(struct history *history, const struct varve_id *id, const char *label, int64_t time,
    const struct fresh_entry *fresh, uint32_t fresh_count, const struct standing *changes, uint32_t changes_count,
    struct buf *records)
{
	struct commit_draft draft = {
	    .id = *id,
	    .parent = history->current,
	    .time = time,
	    .label = label,
	    .label_size = label ? strlen(label) : 0,
	    .fresh = fresh,
	    .fresh_count = fresh_count,
	    .changes = changes,
	    .changes_count = changes_count,
	};
	struct fresh_entry *sorted;
	int ret = sort_fresh(&draft, &sorted);
	if (ret)
		return ret;
	struct buf unwanted = {0};
	ret = add_draft(history, &draft, records ? records : &unwanted);
	buf_free(&unwanted);
	free(sorted);
	if (ret)
		return ret;
	return history->current;
}

void history_set_current(struct history *history, uint32_t commit, struct buf *records)
{
	history->current = commit;
	history->sequence++;
	if (records)
		write_current(records, history->sequence, commit);
}

/* ---- taking back ------------------------------------------------------------------------------------------------- */

static void drop_commit(struct history *history)
{
	uint32_t index = history->count - 1;
	struct commit *commit = &history->commits[index];
	for (uint32_t i = commit->changes_count; i-- > 0;) {
		const struct standing *change = &commit->changes[i];
		if (chain_entry(history->catalog, change->module, change->entry)->commit == index)
			chain_truncate(history->catalog, change->module);
	}
	idmap_remove(&history->index->commits, idmap_find(&history->index->commits, 0, &commit->id));
	release_commit(commit);
	history->count = index;
}

void history_drop_newest(struct history *history, uint32_t current, uint64_t sequence)
{
	while (history->count && history->commits[history->count - 1].sequence > sequence)
		drop_commit(history);
	history_forget_modules(history, sequence);
	history->current = current;
	history->sequence = sequence;
}
