/*
 * store.h - one opened base directory, as the coordinator has it: history, stamps, the session.
 *
 * S1  Only one process has a store: it holds the lock on .varve/lock.
 * S2  A commit exists from the moment its records are in the journal; files it needs are in .varve/ before.
 * S3  A module without a stamp is brought to its commit before anyone maps it.
 * S4  Memories of a session are mapped only while the session lock (.varve/session) is held, by the VM itself, too: so
 *     the successor of a coordinator that died knows whether a VM still maps backing files.
 */
#ifndef ENGINE_STORE_H
#define ENGINE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "history.h"
#include "job.h"
#include "journal.h"
#include "op.h"
#include "stamps.h"

struct session_module {
	struct varve_id id;
	uint32_t module; /**< MODULE_NONE: deployed in this session, unknown to the history */
	uint32_t basis; /**< where it stood when it was instantiated; CHAIN_NONE: deployed in this session */
	uint32_t before; /**< deployed, though other lines of history know it: the entry that its backing file held */
};

struct session {
	const void *owner; /**< the connection; NULL: there is no session */
	pid_t pid;
	int lock; /**< descriptor of .varve/session, locked */
	struct session_module *modules; /**< in the order in which they were instantiated */
	uint32_t count;
	uint32_t capacity;
};

/** How far background work on a module has come. */
struct module_work {
	uint32_t tiers_to;
	uint32_t undo_to;
	uint32_t failed_at; /**< the chain's length at which it failed; 0: it did not */
	bool busy;
};

struct store {
	const char *path;
	struct dir base;
	struct dir own; /**< .varve/: what only the coordinator writes: lock, socket, journal, stamps, marks */
	struct dir priv; /**< .varve/modules/: modules' files, which workers make */
	int lock; /**< .varve/lock */
	bool read_only;
	bool
	    unsettled; /**< backing files without a stamp may be anywhere; they are to be brought to the current commit */
	bool publishing; /**< a commit has been decided whose files are not all in sight yet: nobody reads files now */
	bool unpublished; /**< publishing failed: op_mend() before modules' files are used */
	bool unmended; /**< something could not be mended or tidied up: the next coordinator tries again */
	enum varve_sync sync;
	struct catalog catalog;
	struct history history;
	struct journal journal;
	struct stamps stamps;
	struct session session;
	uint32_t *synced; /**< by module: entries whose files are synced */
	uint32_t synced_count;
	struct module_work *work; /**< by module */
	uint32_t work_count;
	struct buf notices; /**< what opening has found, lines */
	struct executor *executor;
	uint64_t restores, checkouts, commits;
};

/** store_lock() - open directories and take the lock. @create: make them. @lock: its descriptor, if it was handed over (then
 * the store's, whatever is returned); else -1. -EWOULDBLOCK: another process has it; @store's directories are open, so that
 * it can be asked. -EPERM: another user's directory. A directory that can not be written is opened for reading only, without
 * a lock. */
int store_lock(struct store *store, const char *path, bool create, int lock);

/** store_unlock() - give back what store_lock() has taken. */
void store_unlock(struct store *store);

/** store_open() - load the history, mend what a crash left; @own runs the jobs that this takes. */
int store_open(struct store *store, struct job_context *own, enum varve_sync sync);

/** store_close() - everything ended as it should: leave the mark that says so, give back the lock. */
void store_close(struct store *store, bool clean);

/** store_standing() - the entry at which a module stands at the current commit; CHAIN_NONE: it is not part of it. */
uint32_t store_standing(const struct store *store, uint32_t module);

/** store_set_current() - move the current commit, and write that down. */
int store_set_current(struct store *store, uint32_t commit);

/** store_stamp() - the stamp of a module, if it is one that can hold. */
struct stamp store_stamp(const struct store *store, uint32_t module);

/** store_work(), store_set_work() - how far background work on a module has come. */
struct module_work store_work(const struct store *store, uint32_t module);
int store_set_work(struct store *store, uint32_t module, struct module_work work);

/** store_tiers_gone() - background work on a module's tiers begins anew. */
void store_tiers_gone(struct store *store, uint32_t module);

/* ---- session.c: what needs no jobs. All return 0 or -errno with a sentence. ---- */

/** session_busy() - -EBUSY, and who has the session. */
int session_busy(const struct store *store);

/** session_begin() - take the session lock. -EBUSY. */
int session_begin(struct store *store, const void *owner, pid_t pid);

/** session_find() - the session's module; NULL if it does not have it. */
struct session_module *session_find(struct store *store, const struct varve_id *id);

/** session_deploy() - a new backing file. Returns its descriptor, the caller's. */
int session_deploy(struct store *store, const struct varve_id *id, uint64_t size);

/** session_map() - give out the backing file of a module, which holds what it should: its stamp goes, it becomes part of
 * the session. Returns the descriptor. */
int session_map(struct store *store, const struct varve_id *id, uint64_t *size);

/** session_ready() - whether the module can be mapped at once: 1; 0: @module must be brought to its commit first
 * (op_settle()). -ENOENT. */
int session_ready(struct store *store, const struct varve_id *id, uint32_t *module);

/** session_end() - forget it; the lock goes. Its modules' backing files are the caller's to see to. */
void session_end(struct store *store);

/** session_undeploy() - remove the backing files of modules deployed in this session. */
void session_undeploy(struct store *store);

/** session_deployed() - they are committed: remove the marks that would have them removed after a crash. */
void session_deployed(struct store *store);

/** session_lock() / session_unlock() - hold the session lock while backing files are written without a session. */
int session_lock(struct store *store);
void session_unlock(struct store *store);

/* ---- operations; each returns one that can be started, or NULL with a sentence: err_code() says which error. ---- */

struct op *op_commit(struct store *store, const struct varve_id *id, const char *label,
    const struct varve_module_id *ids, uint32_t ids_count);
/** of a completed op_commit() */
void op_commit_id(const struct op *op, struct varve_id *id);

/** op_restore() - @workers: at most so many jobs at a time, 0: no limit. The caller has seen to it that a session, if there
 * is one, is the asker's. */
struct op *op_restore(struct store *store, uint32_t commit, unsigned workers, bool dry);
const struct varve_report *op_restore_report(const struct op *op);
/** op_restore_workers() - how many workers there are: the most that can take part. */
void op_restore_workers(struct op *op, unsigned workers);

/** Modules of the session whose memory must lose its tail before files are cut: @list, of op_restore_shrinks() entries.
 * The operation waits until op_restore_shrunk() is called. */
struct shrink {
	uint32_t module;
	uint64_t size;
};
uint32_t op_restore_shrinks(struct op *op, const struct shrink **list);
void op_restore_shrunk(struct op *op);

/** op_settle() - bring modules to where they stand at the current commit: those of the session that ends
 * (OP_SETTLE_SESSION), one (its index), or all without a stamp (OP_SETTLE_ALL). */
#define OP_SETTLE_SESSION (UINT32_MAX - 1)
#define OP_SETTLE_ALL UINT32_MAX
struct op *op_settle(struct store *store, uint32_t what);

/** op_mend() - publish what could not be published before. */
struct op *op_mend(struct store *store);
/** store_wants_repair() - whether publishing the module's newest entry was cut off, or a file of it has gone or changed
 * its length. */
bool store_wants_repair(const struct store *store, uint32_t module);

struct op *op_checkout(struct store *store, uint32_t module, uint32_t entry, int fd);
uint64_t op_checkout_size(const struct op *op);
/** op_checkout_module() - whose image it is. */
const struct varve_id *op_checkout_module(const struct op *op);

struct op *op_verify(
    struct store *store, void (*found)(void *arg, bool damage, const char *file, const char *problem), void *arg);
/** op_verify_found() - a worker has found something for @op. */
void op_verify_found(struct op *op, bool damage, const char *file, const char *problem);
const struct varve_verify_report *op_verify_report(const struct op *op);

struct op *op_persist(struct store *store);

/** op_tiers() - make what makes restores fast: tiers and undo deltas. @background: when there is nothing else to do. Ends
 * with the first reason, if it is one that lasts, for which something could not be made; all else is made. */
struct op *op_tiers(struct store *store, bool background);
/** op_tiers_wanted() - whether there is any of that to do. */
bool op_tiers_wanted(const struct store *store);

/* ---- describe.c ---- */

/** describe_log() - @count commits from @first: `u32 n, n x commit` as wire.h has it. @all: with all modules. */
int describe_log(const struct store *store, uint32_t first, uint32_t count, bool all, struct buf *out);

#endif
