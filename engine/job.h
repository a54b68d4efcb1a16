/*
 * job.h - what a worker does: one job for one module, described by plain data that fits a slot of the job ring.
 *
 * A job names its module by its index in the catalog; whoever runs it finds all else there and on disk. Jobs are
 * idempotent: one whose worker died half way is run again, from its start, with the same description.
 */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog.h"
#include "err.h"
#include "file.h"
#include "reader.h"

enum job_kind {
	JOB_NONE,
	JOB_RESTORE, /**< bring the backing file to entry `target` */
	JOB_CHECKOUT, /**< bring entry `target` into the descriptor that is handed over */
	JOB_COMMIT, /**< compare the backing file with the last image, write what a new module commit needs to .varve/ */
	JOB_PUBLISH, /**< after the commit is decided: put the files in sight under their names */
	JOB_REPAIR, /**< rebuild the last image from base and deltas, as after a crash while publishing */
	JOB_VERIFY, /**< read and check every file of the module */
	JOB_TIERS, /**< make a tier, or an undo delta, of a chain whose newest entry is `target` */
	JOB_HASH_SHARD, /**< a part of a large module's restore to entry `target`: the page hashes of bytes [from, to) */
	JOB_WRITE_SHARD, /**< then those bytes, into the backing file */
	JOB_SYNC_FILES, /**< sync the files of entries from `basis` (CHAIN_NONE: 0) to `target` */
};

/** What is known of a backing file: which chain entry it holds, and the marks by which it would be noticed that somebody
 * else has written to it since. entry == CHAIN_NONE: nothing is known. */
struct stamp {
	uint32_t entry;
	uint32_t reserved;
	uint64_t inode;
	uint64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
};

enum {
	JOB_DRY = 1u << 0, /**< restore: find out what would be written, write nothing */
	JOB_NEAR = 1u << 3, /**< restore: by difference; where that can not be, `far` is set and nothing done */
	JOB_MARK = 1u << 4, /**< write shard: leave marks where anything is written */
	JOB_MARKED = 1u << 5, /**< write shard: only where there are marks, and from `size` on */
	JOB_PATIENT = 1u << 2, /**< tiers: somebody waits for just this, do not give up for others */
	JOB_SYNC = 1u << 1, /**< commit, publish: sync what is written; sync files: the whole file system at once */
};

struct sight_steps;

struct job {
	/* in */
	uint32_t kind;
	uint32_t module;
	uint32_t target; /**< chain entry: restore, checkout; publish, repair: the newest */
	uint32_t flags;
	uint32_t basis; /**< commit: the entry at which the session began, CHAIN_NONE: deployed in it */
	uint32_t reserved;
	uint32_t tiers_to; /**< tiers, in and out: up to this entry they are made */
	uint32_t undo_to;
	struct varve_id id; /**< commit: the id to give the module commit, if has_id */
	uint32_t has_id;
	uint64_t from; /**< shards: bytes of the image; where delta sections begin */
	uint64_t to;
	struct stamp stamp; /**< in: of the backing file, if known. out: what it holds now */

	/* out */
	int32_t result; /**< 0 or -errno */
	uint32_t unchanged; /**< commit: the bytes are what they were at `basis`, or at `same_entry` */
	uint32_t same_entry;
	uint32_t tiers_gone; /**< tiers were wrong, and removed: they are to be made again */
	uint32_t far; /**< shards, and restore with JOB_NEAR: this way does not lead there, take another. Where
	               * job_context.most is set: nothing was done, this is for another process */
	uint32_t deltas_applied;
	uint64_t bytes_read;
	uint64_t delta_bytes; /**< shards: of those, the deltas' */
	uint64_t bytes_written;
	uint64_t size; /**< of the image; in, write shard: as JOB_MARKED says */
	struct chain_entry entry; /**< commit: the new entry */
	uint64_t files, images, damaged; /**< verify */
	char text[ERR_TEXT]; /**< the sentence, if result is not 0 */
};

/** What job_context.tiers_percent is if nobody says otherwise. */
#define TIERS_PERCENT 350u

/** What a process needs to run jobs; made once, after fork(), and used for one job at a time. */
struct job_context {
	const struct dir *base;
	const struct dir *priv; /**< .varve/modules/ */
	const struct catalog *catalog;
	struct reader *reader;
	/** restore, commit, publish: this process may look at files of so many bytes, and walks no chain for what was not
	 * to be expected; else `far` is set, and nothing was done. 0: it may do all of it. */
	uint64_t most;
	uint32_t
	    tiers_percent; /**< JOB_TIERS: tiers and keyframes of a module may take so many hundredths of its deltas */

	/** the descriptor that belongs to a JOB_CHECKOUT; the context's to close. Or -errno. */
	int (*take_fd)(void *arg, const struct job *job);
	/** a descriptor, to read and write, for the backing file of a job's module; it is made if it is not there. The
	 * context's to close. Or -errno. NULL: whoever runs the job may open and make it himself. */
	int (*take_backing)(void *arg, const struct job *job);
	/** take steps of publishing (sight.h), and @wait for what comes of it, or else return 0. NULL: whoever runs the job
	 * may rename files of the base directory himself. */
	int (*sight)(void *arg, const struct job *job, const struct sight_steps *steps, bool wait);
	/** JOB_VERIFY: something was found. */
	void (*found)(void *arg, const struct job *job, bool damage, const char *file, const char *problem);
	/** a sign of life, cheap (no system call): due at least once a second or so in a job that may last long, or its
	 * process is taken for hung and replaced. May be NULL. */
	void (*beat)(void *arg);
	/** whether somebody waits for this worker: background jobs then give up. May be NULL. */
	bool (*urgent)(void *arg);
	/** whether nobody wants this job's result any more: it then ends with -ECANCELED as soon as that leaves everything
	 * as it was. Cheap. May be NULL. */
	bool (*cancelled)(void *arg);
	void *arg;

	struct job_scratch *scratch; /**< buffers and compression contexts, kept between jobs */
};

/** job_goes_on() - to be called in every loop over what may be large, some MiB at a time: gives the sign of life, and
 * returns 0, or -ECANCELED: what the job belongs to was cancelled. Where that has to be ignored, because half of the
 * work is worse than all of it, the sign of life is still due. */
int job_goes_on(const struct job_context *context);

/** job_context_open() - fill in @scratch; all other members are the caller's to set, before. */
int job_context_open(struct job_context *context);
void job_context_close(struct job_context *context);

/** stamp_take() - the marks of the open backing file @fd, which holds @entry. */
int stamp_take(int fd, uint32_t entry, struct stamp *stamp);

/** stamp_holds() - whether @fd is the file of the stamp, untouched since. False for a stamp that says nothing. */
bool stamp_holds(const struct stamp *stamp, int fd);

/** job_run() - run it; fills in the outputs, result and text. Never fails in any other way. */
void job_run(struct job_context *context, struct job *job);

#endif
