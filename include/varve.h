/*
 * varve.h - Varve keeps the memory of a virtual machine's modules as a history of commits and restores any of them.
 *
 * Copyright the Varve authors. SPDX-License-Identifier: Apache-2.0
 *
 * Before anything else:
 *
 *  - A VM handle is one opened base directory. Any number of processes may have the same directory open; only one
 *    session exists at a time for a directory.
 *  - The memory that varve_memory_base() points to is the module's backing file, mapped MAP_SHARED. It is valid until
 *    the session ends (commit, abandon, or its VM's close); the address does not move while the session lasts.
 *  - Do not fork() and use a VM handle in the child.
 *  - Functions return 0 (or a count) on success and a negative errno on failure; varve_last_error() then gives one
 *    sentence, for the calling thread, that names the file concerned and what to do.
 *  - Every function may be called from any thread; calls on one VM handle that change the store run one after another.
 *  - A commit survives the death of any process from the moment varve_session_commit() returns. It survives a power
 *    failure once varve_persist() has returned, too.
 *
 * Errors that any call may return, besides those it lists: -ENOMEM, -EIO, -ENOSPC, -EDQUOT, -EACCES, -EROFS as the
 * system gave them; -EBADMSG a file of the store is damaged (named in varve_last_error()); -ECONNRESET the coordinator
 * died during the call, and the next call starts a new one; -ETIMEDOUT the call was cancelled, or is varve_vm_open(), and
 * the coordinator gives no sign of life: then nobody knows what will come of the call, and a session that it was part of
 * can only be abandoned, as after -ECONNRESET; -EMFILE this process may open no more files (a session takes one, and each
 * of its memories): then, too, the session can only be abandoned; -EINVAL an argument outside its range.
 */
#ifndef VARVE_H
#define VARVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VARVE_VERSION_MAJOR 1
#define VARVE_VERSION_MINOR 0
#define VARVE_VERSION_PATCH 0
#define VARVE_VERSION_STRING "1.0.0"

#if defined(__GNUC__)
#define VARVE_API __attribute__((visibility("default")))
#else
#define VARVE_API
#endif

/** Number of bytes in an id, and of characters (without the final NUL) in its text. */
#define VARVE_ID_SIZE 32
#define VARVE_ID_TEXT 64

/** A module's, a module commit's or a commit's id. */
struct varve_id {
	uint8_t bytes[VARVE_ID_SIZE];
};

struct varve_vm;
struct varve_session;
struct varve_memory;

/** varve_version() - the library's version, "MAJOR.MINOR.PATCH"; static storage. */
VARVE_API const char *varve_version(void);

/**
 * varve_last_error() - one sentence about the last failure of a call in this thread, "" if there was none.
 * The string is the library's, valid until this thread's next failing call.
 */
VARVE_API const char *varve_last_error(void);

/** varve_id_format() - write @id as 64 upper-case hex digits and a NUL into @text (65 bytes). */
VARVE_API void varve_id_format(const struct varve_id *id, char *text);

/** varve_id_parse() - read exactly 64 hex digits of either case. Returns 0 or -EINVAL, then @id is unchanged. */
VARVE_API int varve_id_parse(const char *text, struct varve_id *id);

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/** How workers read the files of a chain. */
enum varve_io {
	VARVE_IO_AUTO = 0, /**< io_uring where it works, else pread */
	VARVE_IO_URING = 1, /**< io_uring, or varve_vm_open() fails */
	VARVE_IO_PREAD = 2, /**< plain open, pread, close */
};

/** When files are synced to the device. */
enum varve_sync {
	VARVE_SYNC_PERSIST = 0, /**< at varve_persist(): what is persisted survives a power failure; the default */
	VARVE_SYNC_COMMIT = 1, /**< also at each commit, before it returns */
	VARVE_SYNC_NONE = 2, /**< never: only for stores that can be made again */
};

/**
 * Options of varve_vm_open(); initialise with VARVE_OPTIONS_INIT. workers, io and sync matter only if this call starts
 * the coordinator; one that runs already keeps its own.
 */
struct varve_options {
	size_t struct_size; /**< sizeof(struct varve_options), for later versions of this header */
	unsigned
	    workers; /**< most worker processes, 1 to 1024; 0: VARVE_WORKERS, or the CPUs this process really has */
	enum varve_io io; /**< VARVE_IO in the environment ("uring", "pread") is used where this is AUTO */
	enum varve_sync sync;
	bool must_exist; /**< do not create a store: -ENOENT if @base_dir holds none */
	uint64_t
	    reserve; /**< address space reserved for each memory, bytes; 0: 8 GiB; the limit of varve_memory_resize() */
	const char *
	    coordinator; /**< path of the varve-coordinator program; NULL: VARVE_COORDINATOR, or where it is installed */
	const char *settings; /**< further settings of the coordinator, "name=value" with blanks or commas between, as
	                           `varve serve --help` lists them; NULL: none */
	const char
	    *config; /**< varve_serve() only: its configuration file, which must belong to root or to the user and
	                         be writable by no other; NULL: /etc/varve.conf, if it is there */
	const char *metrics; /**< varve_serve() only: the path of a Unix socket (mode 0660) at which whoever connects is
	                          given OpenMetrics text; NULL: none */
};
#define VARVE_OPTIONS_INIT                                                                                             \
	{                                                                                                              \
		sizeof(struct varve_options), 0, VARVE_IO_AUTO, VARVE_SYNC_PERSIST, false, 0, NULL, NULL, NULL, NULL   \
	}

/**
 * varve_vm_open() - open the store in @base_dir, or make one (also the directory, mode 0700, if its parent exists).
 *
 * Connects to the coordinator of the directory, or starts one, which ends with its last client. If the directory has a
 * `commits` file its history is loaded. What a crash left behind is repaired.
 *
 * @options  may be NULL for the defaults.
 * @vm       out: the handle, to be closed with varve_vm_close(); NULL after a failure.
 *
 * Returns 0, or -ENOENT, -ENOTDIR, -EPERM (the directory belongs to another user), -EBADMSG (`commits` is damaged),
 * -EPROTONOSUPPORT (`commits`, or the running coordinator, is of another version), -ENOEXEC (the coordinator program
 * was not found), -ENOSYS (/proc is not mounted).
 */
VARVE_API int varve_vm_open(const char *base_dir, const struct varve_options *options, struct varve_vm **vm);

/**
 * varve_vm_close() - end the handle; a session still open is abandoned. NULL is allowed.
 * Waits, 2 s at most, until the coordinator of the last client has ended; but not where a restore that was cancelled is
 * still being taken back.
 */
VARVE_API void varve_vm_close(struct varve_vm *vm);

/**
 * varve_vm_notice() - what opening the store had to repair or go without, one sentence a line; "" if nothing.
 * Valid until varve_vm_close().
 */
VARVE_API const char *varve_vm_notice(const struct varve_vm *vm);

/**
 * varve_vm_cancel() - make the blocking call that runs on @vm in another thread end with -ECANCELED.
 * All or nothing: a restore that is cancelled leaves every module where it was (how soon: varve_restore()).
 * Async-signal-safe. Without a call in progress nothing happens.
 */
VARVE_API void varve_vm_cancel(struct varve_vm *vm);

/* ---- sessions --------------------------------------------------------------------------------------------------- */

/**
 * varve_session_begin() - begin the session of the store; it stands at the current commit.
 *
 * @wait_ms  how long to wait for the session of another, milliseconds; 0: not at all; negative: without limit.
 *
 * Returns 0, or -EBUSY (there is a session, still, and who has it is named).
 */
VARVE_API int varve_session_begin(struct varve_vm *vm, int wait_ms, struct varve_session **session);

/**
 * varve_session_deploy() - make a new module of @size zero bytes; its backing file appears.
 *
 * @module  an id that no module of the current commit or of this session has.
 * @size    bytes, 0 to the reserve of the VM's options; need not be a multiple of the page size.
 * @memory  out: the session's, valid until the session ends.
 *
 * Returns 0, -EEXIST, or -EFBIG.
 */
VARVE_API int varve_session_deploy(
    struct varve_session *session, const struct varve_id *module, uint64_t size, struct varve_memory **memory);

/**
 * varve_session_module() - instantiate a module: the current commit's content is in its memory when this returns.
 * A module that this session has already is given again, with what the session has written.
 *
 * Returns 0, -ENOENT (the current commit has no such module), -EFBIG (larger than the reserve).
 */
VARVE_API int varve_session_module(
    struct varve_session *session, const struct varve_id *module, struct varve_memory **memory);

/** varve_memory_base() - where the memory starts; the same for as long as the session lasts. */
VARVE_API void *varve_memory_base(const struct varve_memory *memory);

/** varve_memory_size() - its length in bytes. */
VARVE_API uint64_t varve_memory_size(const struct varve_memory *memory);

/**
 * varve_memory_resize() - grow (by zero bytes) or shrink. What lies beyond the end can not be accessed: SIGSEGV, never
 * SIGBUS. Returns 0, or -EFBIG (more than the reserve); then nothing has changed.
 */
VARVE_API int varve_memory_resize(struct varve_memory *memory, uint64_t size);

/** The id that a module commit shall have, instead of the one made from its content. */
struct varve_module_id {
	struct varve_id module;
	struct varve_id commit;
};

/** What the caller says of a commit; initialise with VARVE_COMMIT_INIT. */
struct varve_commit_options {
	size_t struct_size; /**< sizeof(struct varve_commit_options) */
	const char *label; /**< UTF-8, at most 4,096 bytes; NULL: none */
	const struct varve_id *commit; /**< the commit's id; NULL: made from its parent and content */
	const struct varve_module_id *ids; /**< ids of module commits, in any order */
	size_t ids_count;
};
#define VARVE_COMMIT_INIT                                                                                              \
	{                                                                                                              \
		sizeof(struct varve_commit_options), NULL, NULL, NULL, 0                                               \
	}

/**
 * varve_session_commit() - commit all modules of the session and end it. The time does not depend on the length of
 * the history.
 *
 * @options  may be NULL. An id in it for a module that the session does not have is ignored; one for a module whose
 *           bytes are what they were is, too, since that module adds nothing.
 * @commit   out: the new commit's id; may be NULL.
 *
 * Returns 0, and @session is gone; or -EEXIST (there is a commit with the id of @options), -ENOSPC and others: then
 * nothing was committed and the session goes on, with all it has written; or -ECONNRESET: then only
 * varve_session_abandon() is left for @session.
 */
VARVE_API int varve_session_commit(
    struct varve_session *session, const struct varve_commit_options *options, struct varve_id *commit);

/**
 * varve_session_abandon() - end the session; nothing of it remains. @session is gone whatever is returned (an error
 * means that a module could not be brought back now; it will be tried again before the module is next used).
 */
VARVE_API int varve_session_abandon(struct varve_session *session);

/* ---- restore and checkout --------------------------------------------------------------------------------------- */

/** What a restore has done, or with dry_run would do. */
struct varve_report {
	struct varve_id commit; /**< the commit restored */
	uint64_t modules; /**< modules it brought to that commit */
	uint64_t modules_total; /**< modules it has to bring there: while it runs, more than modules */
	uint64_t bytes_written; /**< into backing files */
	uint64_t bytes_read; /**< from the store's files; what was looked at more than once counts once */
	uint64_t deltas_applied; /**< on the way to the modules' images; one that several were merged to is one */
	double seconds; /**< from the coordinator's receiving the request to its answer */
	unsigned workers; /**< worker processes that took part; 0: the coordinator did it by itself */
	double share; /**< of the work that is done, 0 to 1, by the images' sizes: also of one large module */
};

/** Options of varve_restore(); initialise with VARVE_RESTORE_INIT. */
struct varve_restore_options {
	size_t struct_size; /**< sizeof(struct varve_restore_options) */
	unsigned
	    workers; /**< at most so many worker processes, the pool growing to it if it is smaller; 0: the whole pool */
	bool dry_run; /**< only find out what would be read and written */
	/** Called about 20 times a second from the blocked thread; a value other than 0 cancels. May be NULL. */
	int (*progress)(void *arg, const struct varve_report *so_far);
	void *progress_arg;
};
#define VARVE_RESTORE_INIT                                                                                             \
	{                                                                                                              \
		sizeof(struct varve_restore_options), 0, false, NULL, NULL                                             \
	}

/**
 * varve_restore() - make @commit the current one and bring all modules' backing files to it: all of them, or none.
 *
 * Blocks until every file is written and verified. If this VM has a session it goes on, standing at @commit: its
 * uncommitted changes are gone, its memories keep their addresses and get the sizes they had at @commit. A memory
 * whose module is not part of @commit becomes empty.
 *
 * @options, @report  may be NULL.
 *
 * Cancelling ends it within 100 ms, unless it is through already. What it has written by then is taken back, which takes
 * no longer than the restore would have. For small modules that is done when the call returns; where it takes more than
 * 50 ms it goes on afterwards, behind the call and also behind the program's end, and calls that need modules wait for it:
 * to read backing files themselves is then to be done in a session. If this VM has one it goes on, but its memories are
 * empty until varve_session_module() gives them again; taking them away needs some microseconds for each, which counts
 * where a session has more than 5,000.
 *
 * Returns 0, -ENOENT (no such commit), -EBUSY (another VM has a session), -EBADMSG (damage; the file is named), -ECANCELED.
 * After an error every backing file is at the commit where it was; a session's uncommitted changes may be gone.
 */
VARVE_API int varve_restore(struct varve_vm *vm, const struct varve_id *commit,
    const struct varve_restore_options *options, struct varve_report *report);

/**
 * varve_checkout() - bring one module's image at @commit into @fd.
 *
 * @fd    a regular file or memfd, open for writing; stays the caller's. It is resized to the image.
 * @size  out: image size in bytes; may be NULL.
 *
 * Blocks until the image is complete and verified. No backing file is touched; any number of threads and processes
 * may check out at the same time.
 *
 * Returns 0, -ENOENT (no such commit, or the module is not part of it), -EBADF, -ECANCELED. After an error the
 * content of @fd is unspecified.
 */
VARVE_API int varve_checkout(
    struct varve_vm *vm, const struct varve_id *commit, const struct varve_id *module, int fd, uint64_t *size);

/**
 * varve_persist() - write the commits store, so that every commit made until now survives a restart of the machine.
 * Costs what is new since the last time.
 */
VARVE_API int varve_persist(struct varve_vm *vm);

/**
 * varve_optimize() - finish what makes restores fast, and is else made by idle workers in the background: merged deltas
 * along each chain ("tiers"), and undo deltas for the newest commits. Nothing depends on it but speed. Blocks until all
 * is made. For programs that commit and end at once.
 *
 * Returns 0, -ECANCELED (what is not made yet is made later), or why something could not be made: -ENOMEM (the setting
 * memory-limit, perhaps), -ENOSPC, -EDQUOT, -EFBIG, -EIO, ...; varve_last_error() names the first module of which that is
 * so. All else has been made then. It is tried again with the module's next commit, and at the next call. Damaged files
 * are no error here: what would be made of them is left out; varve_verify() finds them.
 */
VARVE_API int varve_optimize(struct varve_vm *vm);

/* ---- looking ---------------------------------------------------------------------------------------------------- */

enum varve_kind {
	VARVE_KIND_BASE = 0, /**< the module's first commit, a whole image */
	VARVE_KIND_DELTA = 1,
	VARVE_KIND_LAST = 2, /**< the module's newest commit, a whole image (if it is not the base) */
};

/** One module commit. */
struct varve_module_info {
	struct varve_id module;
	struct varve_id commit;
	enum varve_kind kind;
	uint32_t ordinal; /**< keeps deltas of one id apart; only for VARVE_KIND_DELTA */
	uint64_t size; /**< of the image, bytes */
	uint64_t stored_bytes; /**< of the file that holds it */
};

#define VARVE_NONE UINT64_MAX

/** One commit. */
struct varve_commit_info {
	uint64_t index; /**< commits are numbered in the order in which they were made, from 0 */
	struct varve_id commit;
	uint64_t parent_index; /**< VARVE_NONE: it has no parent; then @parent is zero */
	struct varve_id parent;
	const char *label; /**< "" if it has none */
	int64_t time; /**< when it was made, nanoseconds since 1970-01-01 UTC */
	bool current;
	size_t modules_count;
	const struct varve_module_info *modules; /**< in order of their module ids */
};

/** A list of commits; free with varve_log_free(). */
struct varve_log {
	size_t count;
	const struct varve_commit_info *commits; /**< oldest first */
};

/**
 * varve_log() - all commits, each with the modules that it changed.
 * @log  out: the caller's, to be freed with varve_log_free(); NULL after a failure.
 */
VARVE_API int varve_log(struct varve_vm *vm, struct varve_log **log);

/**
 * varve_commit_info() - one commit, with all modules as they stood at it. @log is as for varve_log(), with one entry.
 * Returns 0 or -ENOENT.
 */
VARVE_API int varve_commit_info(struct varve_vm *vm, const struct varve_id *commit, struct varve_log **log);

VARVE_API void varve_log_free(struct varve_log *log);

/**
 * varve_resolve() - find the commit that @text names: a whole id, a prefix of at least 6 digits that only one commit
 * has, `HEAD` (the current commit), `HEAD~n` (its n-th ancestor), or `@n` (the commit with index n).
 * Returns 0, -ENOENT, -EINVAL (not of these forms), -ENOTUNIQ (several commits have the prefix).
 */
VARVE_API int varve_resolve(struct varve_vm *vm, const char *text, struct varve_id *commit);

/** A damaged or missing file, or one that does not belong there. */
struct varve_finding {
	bool damage; /**< false: odd, but nothing is lost (a file that nothing refers to, say) */
	const char *file; /**< relative to the base directory */
	const char *problem; /**< one sentence */
};

/** What varve_verify() has seen. */
struct varve_verify_report {
	uint64_t modules;
	uint64_t files; /**< checked */
	uint64_t bytes; /**< read */
	uint64_t images; /**< module commits rebuilt and compared with their hash */
	uint64_t damaged; /**< findings with damage set */
};

/**
 * varve_verify() - read every file of the store, rebuild every module commit, compare it with its hash.
 *
 * @found   called for each finding, from the calling thread; strings are valid during the call only. May be NULL.
 * @report  out; may be NULL.
 *
 * Returns 0 if all was read, however much of it is damaged: look at report->damaged.
 */
VARVE_API int varve_verify(struct varve_vm *vm, void (*found)(void *arg, const struct varve_finding *finding),
    void *arg, struct varve_verify_report *report);

/** How a worker is. */
enum varve_worker_state {
	VARVE_WORKER_NONE = 0, /**< none runs here; one is started when a job needs it */
	VARVE_WORKER_STARTING = 1,
	VARVE_WORKER_IDLE = 2,
	VARVE_WORKER_BUSY = 3,
	VARVE_WORKER_ENDING = 4, /**< it was told to end, after its job if it has one */
};

/** One worker process, or the place of one. */
struct varve_worker_stat {
	int pid; /**< 0: none runs here; one is started when a job needs it */
	bool busy;
	uint64_t jobs; /**< done since it was started */
	uint64_t bytes_read;
	uint64_t bytes_written;
	double busy_share; /**< of the time since it was started, 0 to 1 */
	unsigned restarts; /**< how often the process at this place was replaced because it died */
	enum varve_worker_state state;
	double busy_seconds; /**< since it was started; the job under way counts as far as it has told */
	const char *job; /**< what it does now: "restore", "checkout", "commit", "publish", "repair", "verify", "tiers",
	                      "sync"; "": nothing */
	struct varve_id module; /**< for this module, if @job is not "" */
};

/** One module. */
struct varve_module_stat {
	struct varve_id module;
	uint64_t size; /**< of its newest commit's image, bytes */
	uint64_t commits; /**< module commits: base, deltas and last */
	uint64_t base_bytes; /**< what its files in the store take on disk, as all that follows; holes take nothing */
	uint64_t deltas_bytes;
	uint64_t last_bytes; /**< 0 while the base is the last, too */
	uint64_t private_bytes; /**< in .varve/: all of it can be made again */
	uint64_t tiers_bytes; /**< part of it: merged deltas and keyframes */
	uint64_t undo_bytes; /**< part of it: undo deltas */
};

/** How long requests of one kind took, from their arrival at the coordinator to the answer, waiting included. Seconds;
 * percentiles are at most 3.2 % too high, and never too low. 0 while there was none. */
struct varve_latency {
	uint64_t count; /**< that succeeded, since the coordinator started; only these are in what follows */
	uint64_t failed;
	double sum;
	double p50;
	double p95;
	double p99;
	double max;
};

/** An operation that is under way, or waits for its turn. */
struct varve_operation_stat {
	const char
	    *name; /**< "restore", "checkout", "commit", "abandon", "persist", "verify", "optimize", "begin" (waits for
	                       the session), "module" (brings one to its commit), "settle" (brings all, after a crash), or
	                       "background" */
	int pid; /**< of the process that asked for it; 0: the coordinator itself */
	bool waiting; /**< for another one to end */
	bool has_commit; /**< restore, checkout: @commit is the one asked for */
	struct varve_id commit;
	uint64_t done; /**< modules done; background: jobs */
	uint64_t total; /**< modules to do; 0: not known */
	double seconds; /**< since it was asked for */
	double share; /**< done of total, 0 to 1; restore: by the images' sizes, also of one large module */
};

/** The store and the processes that serve it; free with varve_stat_free(). */
struct varve_stat {
	const char *store; /**< absolute path */
	uint64_t commits;
	uint64_t persisted; /**< how many of them `commits` holds */
	bool has_current; /**< false: there is no commit yet */
	struct varve_id current;
	int coordinator_pid;
	double uptime; /**< of the coordinator, seconds */
	unsigned clients; /**< connections, this one too */
	int session_pid; /**< the process that has the session; 0: none */
	const char *io_method; /**< "io_uring" or "pread" */
	const char *io_reason; /**< why not io_uring, and what repairs it; "" if it is, or if pread was asked for */
	const char *sandbox; /**< how workers are confined: "on", "partial" (as far as the system can), "off" */
	const char *sandbox_reason; /**< what is missing, and what repairs it; "" if nothing is */
	uint64_t restores; /**< done since the coordinator started; likewise the next three */
	uint64_t checkouts;
	uint64_t commits_made;
	uint64_t jobs;
	size_t workers_count;
	const struct varve_worker_stat *workers;
	size_t modules_count;
	const struct varve_module_stat *modules;
	size_t background_count;
	const struct varve_worker_stat *background; /**< workers of low priority, for what nobody waits for */
	uint64_t jobs_waiting; /**< posted, and taken by no worker yet */
	uint64_t jobs_running;
	uint64_t worker_deaths; /**< workers that were replaced because they died, since the coordinator started */
	uint64_t
	    damage_found; /**< how often operations have met damage since then: one file, met twice, counts twice */
	struct varve_latency restore_latency;
	struct varve_latency checkout_latency;
	struct varve_latency commit_latency;
	size_t operations_count;
	const struct varve_operation_stat *operations; /**< those under way, then those that wait, in their order */
	uint64_t disk_bytes; /**< what the store takes on disk: modules, the next two, and what else is in .varve/ */
	uint64_t backing_bytes; /**< part of it: backing files, also those of a session */
	uint64_t history_bytes; /**< part of it: `commits` and the journal */
};

/**
 * varve_stat() - what there is to know of the store and its processes. Answered at once, whatever is under way, so that
 * a restore can be watched from another process; varve_vm_cancel() ends it at once, even if the coordinator stands still.
 * What there is on disk is looked up anew unless that is dear: it may then be some seconds old, and of a store with more
 * than 2,048 deltas those that were not looked at yet count for their length.
 */
VARVE_API int varve_stat(struct varve_vm *vm, struct varve_stat **stat);
VARVE_API void varve_stat_free(struct varve_stat *stat);

/**
 * varve_metrics() - the figures of varve_stat() as OpenMetrics text, for a monitoring system; each series has the label
 * `store`. Starts no worker, so that it costs an idle store nothing to be looked at.
 *
 * @text  out: ends with "# EOF" and a NUL; the caller's, to be freed with varve_metrics_free(). NULL after a failure.
 */
VARVE_API int varve_metrics(struct varve_vm *vm, char **text);
VARVE_API void varve_metrics_free(char *text);

/** How many workers a coordinator has; initialise with VARVE_WORKERS_INIT. */
struct varve_workers {
	size_t struct_size; /**< sizeof(struct varve_workers) */
	int64_t min; /**< that are kept while there is nothing to do, 0 to 1024; -1 in a change: as it is */
	int64_t most; /**< that can be, 1 to 1024; or -1 */
	int64_t idle_ms; /**< those beyond @min end after so many milliseconds without a job, 10 to 31,536,000,000 (more
	                      than 49 days count as 49 days); 0: never; or -1 */
	int64_t running; /**< out: how many there are now */
	bool passing; /**< out: the coordinator ends with its last client, and this process is the only one: what is
	                   changed ends with varve_vm_close() */
};
#define VARVE_WORKERS_INIT                                                                                             \
	{                                                                                                              \
		sizeof(struct varve_workers), -1, -1, -1, -1, false                                                    \
	}

/**
 * varve_workers() - change how many workers the running coordinator has, or look. Jobs that run are not disturbed: a
 * worker that is to go ends after its job.
 *
 * @change  what is to be otherwise; a minimum above the maximum that there is raises it, a maximum below the minimum
 *          lowers that. NULL: nothing.
 * @now     out: what holds now; initialised as well. May be NULL.
 *
 * Returns 0, -EINVAL, or -EAGAIN and others if a worker that is wanted can not be started; then nothing has changed.
 */
VARVE_API int varve_workers(struct varve_vm *vm, const struct varve_workers *change, struct varve_workers *now);

/** varve_set_workers() - change the most workers that the running coordinator may have, 1 to 1024: varve_workers() with
 * nothing but @most. */
VARVE_API int varve_set_workers(struct varve_vm *vm, unsigned workers);

/**
 * varve_serve() - become the coordinator of @base_dir: replaces the calling program, as execve() does, and serves until
 * SIGTERM or SIGINT. Returns only if it fails: -ENOEXEC, or as execve(). @options may be NULL. The program's exit status
 * is 0, or, with a sentence on standard error, 3 if `commits` is damaged, else 1: also where the store can only be read.
 */
VARVE_API int varve_serve(const char *base_dir, const struct varve_options *options);

/**
 * varve_serve_check() - as varve_serve(), but only writes the settings that would hold, and where each comes from, to
 * standard output: as a table, or, with @json, as an object. No store is touched. The program's exit status is 0, or
 * another and a sentence on standard error if one of them makes no sense.
 */
VARVE_API int varve_serve_check(const char *base_dir, const struct varve_options *options, bool json);

#ifdef __cplusplus
}
#endif

#endif /* VARVE_H */
