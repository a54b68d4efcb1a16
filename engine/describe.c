/*
 * describe.c - the history and the store in the words of varve.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "image.h"
#include "store.h"
#include "wire.h"

static int by_id(const void *a, const void *b)
{
	return memcmp(&((const struct varve_module_info *)a)->module, &((const struct varve_module_info *)b)->module,
	    sizeof(struct varve_id));
}

static void describe_entry(const struct store *store, uint32_t module, uint32_t index, struct varve_module_info *info)
{
	const struct catalog_module *m = catalog_module(&store->catalog, module);
	const struct chain_entry *entry = chain_entry(&store->catalog, module, index);
	*info = (struct varve_module_info) {.module = m->id, .commit = entry->id, .size = entry->size};
	info->kind = index == 0 ? VARVE_KIND_BASE : index == m->length - 1 ? VARVE_KIND_LAST : VARVE_KIND_DELTA;
	info->ordinal = info->kind == VARVE_KIND_DELTA ? entry->ordinal : 0;
	info->stored_bytes = info->kind == VARVE_KIND_DELTA ? entry->delta_bytes : entry->size;
}

/* The modules that commit @index changed, or (@table) all. Returns how many are in @list. */
static size_t describe_standings(
    const struct store *store, uint32_t index, uint32_t *table, struct varve_module_info *list)
{
	const struct commit *commit = &store->history.commits[index];
	size_t count = 0;
	if (!table) {
		for (uint32_t i = 0; i < commit->changes_count; i++)
			describe_entry(store, commit->changes[i].module, commit->changes[i].entry, &list[count++]);
	} else {
		history_table(&store->history, index, table);
		for (uint32_t m = 0; m < catalog_count(&store->catalog); m++)
			if (table[m] != CHAIN_NONE)
				describe_entry(store, m, table[m], &list[count++]);
	}
	qsort(list, count, sizeof(*list), by_id);
	return count;
}

int describe_log(const struct store *store, uint32_t first, uint32_t count, bool all, struct buf *out)
{
	uint32_t modules = catalog_count(&store->catalog);
	struct varve_module_info *list = malloc((modules + 1) * sizeof(*list));
	uint32_t *table = all ? malloc((modules + 1) * sizeof(*table)) : NULL;
	if (!list || (all && !table)) {
		free(list);
		free(table);
		return fail_sys(ENOMEM, "memory for the log");
	}
	buf_u32(out, count);
	for (uint32_t i = first; i < first + count; i++) {
		const struct commit *commit = &store->history.commits[i];
		struct varve_commit_info info = {
		    .index = i,
		    .commit = commit->id,
		    .parent_index = commit->parent == COMMIT_NONE ? VARVE_NONE : commit->parent,
		    .label = commit->label ? commit->label : "",
		    .time = commit->time,
		    .current = i == store->history.current,
		    .modules = list,
		};
		if (commit->parent != COMMIT_NONE)
			info.parent = store->history.commits[commit->parent].id;
		info.modules_count = describe_standings(store, i, table, list);
		wire_put_commit(out, &info);
	}
	free(list);
	free(table);
	return out->bad ? fail_sys(ENOMEM, "memory for the log") : 0;
}
