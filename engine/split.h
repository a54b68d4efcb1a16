/*
 * split.h - the restore of one large module by several workers at once: which shards, in which order, and when it is done.
 */
#ifndef ENGINE_SPLIT_H
#define ENGINE_SPLIT_H

#include "image.h"
#include "store.h"

/** Images larger than this are restored shard by shard, bytes. */
#define SPLIT_MORE_THAN DELTA_SECTION
/** A shard is a sixteenth of its image, but at most so many bytes: what a worker builds at a time. */
#define SHARD_MOST (64u << 20)
/** Bytes of a shard that are looked at between two signs of life; DELTA_SECTION is a multiple of it. */
#define SHARD_WINDOW (4u << 20)

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
	bool cancelled; /* a shard was cut short, and has left its marks: no more are given out */
	bool counted; /* its deltas are in the report */
	uint64_t size;
	uint64_t shard; /* bytes */
	uint64_t at; /* up to here shards were given out in this state */
	uint64_t cut; /* as in split_begin() */
	uint32_t running;
	struct stamp stamp; /* SPLIT_DONE: of the backing file */
};

/** split_wanted() - whether the module is large enough at entry @target. */
bool split_wanted(const struct store *store, uint32_t module, uint32_t target);

/** split_begin() - where the table of page hashes can not be made, it is SPLIT_ALONE at once; where it is there already,
 * SPLIT_WRITE. @cut: 0, or what was done to the file since it was at @target is an earlier split that was not ended: it
 * cut the file to so many bytes, and left its marks; only what these say is written. */
void split_begin(
    struct split *split, struct store *store, uint32_t module, uint32_t target, uint32_t flags, uint64_t cut);

/** split_next() - the next shard's job. Returns 1, 0 (none before another is done), or -errno: the file can not be
 * written, and there is no use in going on. */
int split_next(struct split *split, struct store *store, struct job *job);

/** split_cut() - @cut for the one that takes it back; 0: nothing is known of what it has written. */
uint64_t split_cut(const struct split *split);

/** split_count() - which of the job's figures count for the module as a whole: those of whole images once, though shards
 * are read in both rounds, and of deltas once, though each shard's worker reads them. */
void split_count(struct split *split, const struct job *job, uint64_t *bytes_read, uint64_t *deltas);

/** split_done() - one has ended. Returns 0 or -errno: the restore has failed. */
int split_done(struct split *split, struct store *store, const struct job *job);

/** split_end() - at the end of the restore, however it went: the table and the marks go. */
void split_end(const struct split *split, const struct store *store);

/** split_place_marks() - the file of marks. */
void split_place_marks(const struct dir *priv, const struct catalog *catalog, uint32_t module, struct place *place);

#endif
