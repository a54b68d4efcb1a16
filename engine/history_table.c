/*
 * history_table.c - where the modules stood at a commit.
 *
 * A commit keeps what it changed against its parent. To know where everything stood, parents are walked; so that no
 * walk is long, some commits carry a checkpoint, the whole table:
 *
 *   root <-- c1 <-- c2 <-- [C] <-- c4 <-- c5 <-- ... <-- [C] <-- ... <-- tip
 *                           ^------- at most `limit` steps -------'
 *
 * When a commit is `limit` steps away from the checkpoint above it, a new one is put half way between. In the middle
 * rather than at its end, for then all that branches off below shares it: from a commit far from its checkpoint,
 * thousands of branches may start (a VM that goes back to one state again and again), and a table for each of them
 * would be more than the store itself. As it is, the paths of limit / 2 commits from a checkpoint down to the commit
 * that asked for it have no commit in common with one another, so there are at most 2 / limit checkpoints a commit.
 * And since the limit grows with the modules, a commit costs at most 512 bytes of checkpoints, however many modules
 * there are, and a table still costs no more than in proportion to the modules.
 */
#include <string.h>

#include "history_private.h"

#define WALK_MIN 64u

static uint32_t walk_limit(const struct history *history)
{
	uint32_t limit = catalog_count(history->catalog) / 64;
	return limit > WALK_MIN ? limit : WALK_MIN;
}

static const struct standing *find_change(const struct commit *commit, uint32_t module)
{
	uint32_t low = 0, high = commit->changes_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (commit->changes[middle].module < module)
			low = middle + 1;
		else
			high = middle;
	}
	return low < commit->changes_count && commit->changes[low].module == module ? &commit->changes[low] : NULL;
}

uint32_t history_standing(const struct history *history, uint32_t commit, uint32_t module)
{
	while (commit != COMMIT_NONE) {
		const struct commit *c = &history->commits[commit];
		if (c->checkpoint)
			return module < c->checkpoint_count ? c->checkpoint[module] : CHAIN_NONE;
		const struct standing *change = find_change(c, module);
		if (change)
			return change->entry;
		commit = c->parent;
	}
	return CHAIN_NONE;
}

void history_table(const struct history *history, uint32_t commit, uint32_t *table)
{
	/* Newest first: what is set already is newer. No commit ever takes a module away again. */
	memset(table, 0xff, catalog_count(history->catalog) * sizeof(*table));
	while (commit != COMMIT_NONE) {
		const struct commit *c = &history->commits[commit];
		if (c->checkpoint) {
			for (uint32_t i = 0; i < c->checkpoint_count; i++)
				table[i] = table[i] == CHAIN_NONE ? c->checkpoint[i] : table[i];
			return;
		}
		for (uint32_t i = 0; i < c->changes_count; i++) {
			const struct standing *change = &c->changes[i];
			if (table[change->module] == CHAIN_NONE)
				table[change->module] = change->entry;
		}
		commit = c->parent;
	}
}

/* Memory may lack: then walks stay long until the next commit tries again. */
static bool make_checkpoint(struct history *history, uint32_t commit)
{
	uint32_t count = catalog_count(history->catalog);
	uint32_t *table = history_alloc(NULL, ((size_t)count + 1) * sizeof(*table));
	if (!table)
		return false;
	history_table(history, commit, table);
	/* Modules that came later may be taken back, and must not be mentioned. */
	while (count && table[count - 1] == CHAIN_NONE)
		count--;
	uint32_t *fitting = history_alloc(table, ((size_t)count + 1) * sizeof(*table));
	history->commits[commit].checkpoint = fitting ? fitting : table;
	history->commits[commit].checkpoint_count = count;
	return true;
}

void history_checkpoint(struct history *history, uint32_t index)
{
	struct commit *commits = history->commits;
	struct commit *commit = &commits[index];
	uint32_t limit = walk_limit(history);
	uint32_t parent = commit->parent;
	commit->walk = parent == COMMIT_NONE || commits[parent].checkpoint ? 1 : commits[parent].walk + 1;
	if (commit->walk < limit)
		return;

	/* `walk` was true when it was written; a checkpoint may have come in between since, for another branch. */
	uint32_t steps = 1;
	for (uint32_t c = parent; c != COMMIT_NONE && !commits[c].checkpoint; c = commits[c].parent)
		steps++;
	if (steps >= limit) {
		uint32_t middle = index;
		for (uint32_t i = 0; i < limit / 2; i++)
			middle = commits[middle].parent;
		if (make_checkpoint(history, middle))
			steps = limit / 2;
	}
	for (uint32_t c = index; c != COMMIT_NONE && !commits[c].checkpoint; c = commits[c].parent)
		commits[c].walk = steps--;
}
