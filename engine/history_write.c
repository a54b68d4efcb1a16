/*
 * history_write.c - the history as records. Their format: record_format.md.
 */
#include "history_private.h"

#include <errno.h>
#include <string.h>

#include "err.h"

/* @through: the file is written up to this record at once, and never seen with less. */
static void write_store(const struct history *history, struct buf *records, uint64_t sequence, uint64_t through,
    uint32_t commits, uint32_t modules)
{
	static const struct varve_id none;
	size_t record = record_begin(records, RECORD_STORE, sequence);
	buf_put(records, STORE_MAGIC, sizeof(STORE_MAGIC) - 1);
	buf_u32(records, STORE_FORMAT);
	buf_put(records, history->store, sizeof(history->store));
	buf_u64(records, through);
	buf_u32(records, modules);
	buf_u32(records, commits);
	buf_put(records, commits ? &history->commits[commits - 1].id : &none, sizeof(none));
	record_end(records, record);
}

void history_begin_file(const struct history *history, uint64_t sequence, struct buf *records)
{
	write_store(history, records, sequence, sequence, history_commits_until(history, sequence),
	    history_modules_until(history, sequence));
}

void write_module(struct buf *records, uint64_t sequence, const struct varve_id *id)
{
	size_t record = record_begin(records, RECORD_MODULE, sequence);
	buf_put(records, id, sizeof(*id));
	record_end(records, record);
}

static void write_entry(struct buf *records, uint32_t number, const struct chain_entry *entry)
{
	buf_varint(records, number);
	buf_put(records, &entry->id, sizeof(entry->id));
	buf_put(records, &entry->hash, sizeof(entry->hash));
	buf_varint(records, entry->size);
	buf_varint(records, entry->delta_bytes);
}

void write_commit(
    const struct history *history, struct buf *records, uint64_t sequence, const struct commit_draft *draft)
{
	size_t record = record_begin(records, RECORD_COMMIT, sequence);
	buf_put(records, &draft->id, sizeof(draft->id));
	buf_varint(records, draft->parent == COMMIT_NONE ? 0 : (uint64_t)draft->parent + 1);
	buf_u64(records, (uint64_t)draft->time);
	buf_varint(records, draft->label_size);
	buf_put(records, draft->label, draft->label_size);

	buf_varint(records, draft->fresh_count);
	for (uint32_t i = 0; i < draft->fresh_count; i++)
		write_entry(records, module_number(history, draft->fresh[i].module), &draft->fresh[i].entry);

	buf_varint(records, draft->changes_count - draft->fresh_count);
	uint32_t fresh = 0;
	for (uint32_t i = 0; i < draft->changes_count; i++) {
		const struct standing *change = &draft->changes[i];
		if (fresh < draft->fresh_count && draft->fresh[fresh].module == change->module) {
			fresh++;
			continue;
		}
		buf_varint(records, module_number(history, change->module));
		buf_varint(records, change->entry);
	}
	record_end(records, record);
}

void write_current(struct buf *records, uint64_t sequence, uint32_t commit)
{
	size_t record = record_begin(records, RECORD_CURRENT, sequence);
	buf_varint(records, commit);
	record_end(records, record);
}

/* Write commit @index again as it was first written. @fresh has room for the entries of its largest commit. */
static void write_again(
    const struct history *history, struct buf *records, uint64_t sequence, uint32_t index, struct fresh_entry *fresh)
{
	const struct commit *commit = &history->commits[index];
	struct commit_draft draft = {
	    .id = commit->id,
	    .parent = commit->parent,
	    .time = commit->time,
	    .label = commit->label,
	    .label_size = commit->label ? strlen(commit->label) : 0,
	    .fresh = fresh,
	    .changes = commit->changes,
	    .changes_count = commit->changes_count,
	};
	for (uint32_t i = 0; i < commit->changes_count; i++) {
		const struct standing *change = &commit->changes[i];
		const struct chain_entry *entry = chain_entry(history->catalog, change->module, change->entry);
		if (entry->commit == index)
			fresh[draft.fresh_count++] = (struct fresh_entry) {change->module, *entry};
	}
	write_commit(history, records, sequence, &draft);
}

int history_dump(struct history *history, struct buf *records)
{
	const struct history_index *index = history->index;
	bool moved = history->count && history->current != history->count - 1;
	uint64_t needed = (uint64_t)index->numbers_count + history->count + moved;
	uint32_t largest = 1;
	for (uint32_t i = 0; i < history->count; i++)
		largest = history->commits[i].changes_count > largest ? history->commits[i].changes_count : largest;
	struct fresh_entry *fresh = history_alloc(NULL, largest * sizeof(*fresh));
	if (!fresh)
		return fail(ENOMEM, "no memory for rewriting the history");

	size_t size = records->size;
	uint64_t last = history->sequence > needed ? history->sequence : needed;
	uint64_t sequence = last - needed;
	write_store(history, records, sequence, last, 0, 0);
	for (uint32_t i = 0; i < index->numbers_count; i++)
		write_module(records, ++sequence, &catalog_module(history->catalog, index->numbers[i].module)->id);
	for (uint32_t i = 0; i < history->count; i++)
		write_again(history, records, ++sequence, i, fresh);
	if (moved)
		write_current(records, ++sequence, history->current);
	free(fresh);
	if (records->bad) {
		records->size = size;
		return fail(ENOMEM, "no memory for rewriting the history");
	}
	history->sequence = last;
	return 0;
}
