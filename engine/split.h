/*
 * split.h - the restore of one large module by several workers at once: which shards, in which order, and when it is done.
 */
#ifndef ENGINE_SPLIT_H
#define ENGINE_SPLIT_H

#include "image.h"
#include "store.h"

/** Images larger than this are restored shard by shard, bytes. */
#define SPLIT_MORE_THAN DELTA_SECTION
/** A shard is an eighth of its image, but at most so many bytes: what a worker builds at a time. */
#define SHARD_MOST (64u << 20)

enum split_state {
	SPLIT_HASH, /**< the shards' page hashes are being made */
	SPLIT_WRITE, /**< they are right; the shards are being written */
	SPLIT_DONE,
	SPLIT_ALONE, /**< something was wrong: the module has to be restored by one job, which finds out what */
};

struct split {
	uint32_t module;
	uint32_t target;
	uint32_t flags; /* of its jobs */
	enum split_state state;
	bool failed;
	uint64_t size;
	uint64_t shard; /* bytes */
	uint64_t at; /* up to here shards were given out in this state */
	uint32_t running;
	struct stamp stamp; /* SPLIT_DONE: of the backing file */
};

/** split_wanted() - whether the module is large enough at entry @target. */
bool split_wanted(const struct store *store, uint32_t module, uint32_t target);

/** split_begin() - where the table of page hashes can not be made, it is SPLIT_ALONE at once. */
void split_begin(struct split *split, struct store *store, uint32_t module, uint32_t target, uint32_t flags);

/** split_next() - the next shard's job; false: none before another is done. */
bool split_next(struct split *split, struct store *store, struct job *job);

/** split_done() - one has ended. Returns 0 or -errno: the restore has failed. */
int split_done(struct split *split, struct store *store, const struct job *job);

/** split_end() - at the end of the restore, however it went: the table goes. */
void split_end(const struct split *split, const struct store *store);

/** split_place() - the file of the table. */
void split_place(const struct dir *priv, const struct catalog *catalog, uint32_t module, struct place *place);

#endif
