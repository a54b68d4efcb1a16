/*
 * bring.h - bringing backing files to entries of their chains: what a restore does in both directions, and settling.
 * Private to engine/.
 */
#ifndef ENGINE_BRING_H
#define ENGINE_BRING_H

#include "split.h"

/** Where a module has to go. */
struct aim {
	uint32_t module;
	uint32_t entry;
	uint64_t cut; /**< as for split_begin() */
};

struct bring {
	struct store *store;
	uint32_t flags; /* of its jobs: JOB_DRY, or 0 */
	struct aim *aims;
	uint32_t count;
	uint32_t at; /* aims before this one were begun */
	struct split *splits; /* large modules that are under way, or done; room for all of them */
	uint32_t splits_count;
};

/** bring_open() - nothing yet, and room for @most modules. 0 or -ENOMEM. */
int bring_open(struct bring *bring, struct store *store, uint32_t most, uint32_t flags);

/** bring_add() - one more; they are begun in this order. @cut: as for split_begin(). */
void bring_add(struct bring *bring, uint32_t module, uint32_t entry, uint64_t cut);

/** bring_next() - the next job. Returns 1, 0 (none before another is done), or -errno: one module was given up, the next
 * call goes on with the others. */
int bring_next(struct bring *bring, struct job *job);

/** bring_done() - one has ended. Returns 1 if its module is where it should be: @stamp is that of its file then, or says
 * nothing; 0 if there is more to do; or -errno with a sentence: it will not get there. */
int bring_done(struct bring *bring, const struct job *job, struct stamp *stamp);

/** bring_count() - which figures of a shard's job count for the restore as a whole. */
void bring_count(struct bring *bring, const struct job *job, uint64_t *bytes_read, uint64_t *deltas);

/** bring_split() - what has become of the shards of a module; NULL: it was not split. */
const struct split *bring_split(const struct bring *bring, uint32_t module);

/** bring_end() - no more jobs: what was only for them goes. bring_close() - and the memory. */
void bring_end(struct bring *bring);
void bring_close(struct bring *bring);

#endif
