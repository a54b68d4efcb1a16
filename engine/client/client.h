/*
 * client.h - the library's inside: a VM handle, its connections, one call on one of them, its session's memories.
 *
 * A handle has one main connection, under vm->lock, for whatever changes the store; it is the one that a session
 * belongs to. What only looks at the store takes the main connection while there is no session, else a side
 * connection, so that looking never waits for changing.
 *
 * Locks, in the order in which they are taken: vm->lock (the main connection, vm->session), session->lock (its
 * memories; held by whatever moves their ends), vm->idle_lock (a leaf). The first two check for errors, so that a call
 * made inside one's own progress callback gets -EDEADLK and not a deadlock.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "bytes.h"
#include "varve.h"
#include "wire.h"

/** Side connections that are kept while nobody uses them. */
#define IDLE_MAX 4

/** One connection, used by one thread at a time. */
struct conn {
	int sock; /**< -1: not connected */
	uint32_t serial; /**< of the last request */
	uint32_t spin_skip; /**< messages that shall be waited for without spinning first */
	uint32_t spin_penalty; /**< how many these were after the last spin in vain */
	bool behind; /**< the last call was a restore that was cancelled, and the coordinator still takes it back */
	struct conn *next; /**< in vm->idle */
	struct wire_message message; /**< the last that was received; released before the next */
};

struct varve_vm {
	pid_t pid; /**< that opened it: a fork()ed child must not use it */
	char *path; /**< of the base directory, absolute */
	struct varve_options options; /**< .coordinator and .settings are our copies; .reserve is filled in */
	char *notice;
	uint64_t spin_ns; /**< how long to spin for an answer before sleeping */
	uint64_t restore_ns; /**< how long the last restore took; under @lock */
	uint64_t silence_ns; /**< how long a coordinator may be silent where an answer is due */

	int cancel_fd; /**< eventfd; see call.c */
	_Atomic uint32_t cancels;

	pthread_mutex_t lock;
	pthread_cond_t session_ended;
	struct conn *main;
	struct varve_session *session;

	pthread_mutex_t idle_lock;
	struct conn *idle;
	unsigned idle_count;
	unsigned calls; /**< that are under way, on any connection */
	uint32_t drained; /**< vm->cancels when cancel_fd was last emptied */
};

struct varve_session {
	struct varve_vm *vm;
	int lock_fd; /**< the store's session lock: held until no memory is mapped any more */
	_Atomic bool dead; /**< the connection it belonged to is lost */
	pthread_mutex_t lock;
	struct varve_memory **buckets;
	size_t buckets_count; /**< a power of two */
	size_t count;
	uint64_t seed; /**< module ids may be chosen by an attacker: their places in the table can not be foreseen */
};

struct varve_memory {
	struct varve_session *session;
	struct varve_memory *next; /**< in its bucket */
	struct varve_id module;
	int fd; /**< the backing file */
	bool gone; /**< its module is not part of the commit that was restored, or could not be mapped */
	uint8_t *base;
	uint64_t reserve; /**< address space at base, bytes, a multiple of the page size */
	uint64_t mapped; /**< of it, from the start, what shows the file: as many whole pages as size needs */
	_Atomic uint64_t size;
};

/* ---- vm.c: options, handles ------------------------------------------------------------------------------------- */

/** options_take() - fill in @to (@size bytes, zeroed) from the caller's @from of another version's size, if that can be
 * done without losing anything. NULL: nothing. */
int options_take(void *to, size_t size, const void *from, const char *what);

/** vm_options() - check @options (may be NULL) and copy them; .coordinator stays the caller's. */
int vm_options(const struct varve_options *options, struct varve_options *copy);

/** vm_path() - @base_dir as an absolute path, malloc()ed. The last component need not exist. */
int vm_path(const char *base_dir, char **path);

/** vm_enter() - refuse a handle that is NULL or another process's. */
int vm_enter(const struct varve_vm *vm);

/** vm_lock() - take vm->lock. */
int vm_lock(struct varve_vm *vm);
void vm_unlock(struct varve_vm *vm);

/** vm_borrow() - a connection for something that changes nothing; @brief: it will not take long, so the main
 * connection may serve. It need not be connected yet. NULL: out of memory. */
struct conn *vm_borrow(struct varve_vm *vm, bool brief);
void vm_return(struct varve_vm *vm, struct conn *conn);

/* ---- conn.c ----------------------------------------------------------------------------------------------------- */

struct conn *conn_new(void);
void conn_free(struct conn *conn);

/** conn_part() - say farewell: wait, two seconds at most, until the coordinator has taken note, or, where this was its
 * last client, has ended. So a program that closes a store can remove it, or start `varve serve`. Not where a restore was
 * cancelled last and is still being taken back: that was not to be waited for. */
void conn_part(struct conn *conn);

/** conn_open() - connect, starting a coordinator if there is none, and say HELLO. @cancels: vm->cancels when the call began
 * that wants it; if it is not that any more, -ECANCELED. @notice: out, malloc()ed; or NULL. */
int conn_open(struct varve_vm *vm, struct conn *conn, uint32_t cancels, char **notice);
void conn_close(struct conn *conn);

/* ---- spawn.c, find.c: the coordinator's program ------------------------------------------------------------------ */

/** spawn_find() - the path of the program, malloc()ed, or -ENOEXEC. @given: options.coordinator. */
int spawn_find(const char *given, char **program);

#define SPAWN_ARGS 24

/** The command line of a coordinator; the numbers in it point into itself, so it must not be copied. */
struct spawn_args {
	char *argv[SPAWN_ARGS];
	size_t count;
	char fd[16];
	char workers[16];
};

/** spawn_args() - @client_fd: -1 for one that runs in the foreground. Its strings are @options' and @path. */
int spawn_args(struct spawn_args *args, const struct varve_options *options, const char *path, int client_fd);

/** spawn_check() - change a command line for the foreground into one that only shows the settings. */
void spawn_check(struct spawn_args *args, bool json);

/** spawn_environment() - what a coordinator shall have for its environment. */
char **spawn_environment(void);

/** spawn_coordinator() - start it; *@sock is our end of its first connection, *@pid the process to reap. */
int spawn_coordinator(const struct varve_vm *vm, int *sock, pid_t *pid);

/** spawn_reap() - wait for the process started, which ends at once. Returns its wait status, or -1 if not known. */
int spawn_reap(pid_t pid);

/* ---- call.c ----------------------------------------------------------------------------------------------------- */

/** What to do if the coordinator dies. */
enum call_retry {
	RETRY_ALWAYS, /**< ask another one: doing it twice does no harm */
	RETRY_NEVER, /**< what is asked for was on that connection */
};

/** One request and its answer; call_begin() initialises it, call_end() must follow. */
struct call {
	struct varve_vm *vm;
	struct conn *conn;
	struct buf request;
	const char *name; /**< for messages: "the restore" */
	int pass; /**< descriptor to go with the request; -1: none */
	enum wire_type type;
	enum call_retry retry;
	bool abrupt; /**< cancelled by closing the connection: the coordinator need not be asked */
	uint64_t
	    yield_ns; /**< for so long the answer is looked for again and again, giving way to whoever wants the CPU */
	bool impatient; /**< a coordinator that is silent for vm->silence_ns will not answer */

	/** a PROGRESS, FINDING or SHRINK came, its payload not read yet. A result other than 0 closes the connection. */
	int (*event)(struct call *call, struct wire_message *message);
	/** about 20 times a second; a result other than 0 cancels. May be NULL. */
	int (*tick)(struct call *call);
	void *arg;

	/* out */
	bool sent; /**< the coordinator may have received it */
	bool lost; /**< the connection ended before the answer */

	/* call.c's own */
	bool cancelled;
	bool deaf; /**< cancel_fd is readable for a reason that is not ours: look at vm->cancels now and then */
	uint64_t silent_ns; /**< for how long nothing has come */
	uint32_t cancels; /**< vm->cancels at the start */
	uint64_t tick_at;
};

void call_begin(struct call *call, struct varve_vm *vm, struct conn *conn, enum wire_type type, const char *name);

/**
 * call_run() - send the request, connecting first if need be, wait for the reply, and give its payload in *@reply, all
 * of it after the result. It stays valid until the connection's next call.
 * Returns 0, or what the coordinator answered, with its sentence; -ECONNRESET, -EPROTO, -ECANCELED, -ETIMEDOUT
 * (cancelled, and the coordinator is silent) and what conn_open() returns. The connection is closed after -ECONNRESET,
 * -EPROTO and -ETIMEDOUT.
 */
int call_run(struct call *call, struct cursor *reply);

/** call_end() - free what it holds. Returns @r. */
int call_end(struct call *call, int r);

/** call_exchange() - as call_run(), on a connection that is open, once. */
int call_exchange(struct call *call, struct cursor *reply);

/** call_stopped() - whether varve_vm_cancel() was called since call_begin(). */
bool call_stopped(const struct call *call);

/** call_cancel() - ask the coordinator to end it; the answer is still to come. Returns 0, or -ECANCELED if abrupt. */
int call_cancel(struct call *call);

/** call_send() - a message without payload that belongs to the request under way. */
int call_send(struct call *call, enum wire_type type);

/** call_drop() - close the connection; a session that belongs to it is dead. */
void call_drop(struct call *call);

/** call_finish() - check that the reply has been read to its end without an error, else -EPROTO. */
int call_finish(struct call *call, const struct cursor *reply);

/** call_bad() - close the connection: -EPROTO, "the answer to ... is not of the form". */
int call_bad(struct call *call);

/** call_take_fd() - the descriptor that came with the reply, now the caller's; -EPROTO if there is none, -EMFILE if this
 * process may have no more. Then the connection is closed. */
int call_take_fd(struct call *call);

/** text_copy() - a string of a message, malloc()ed and terminated, control characters but newlines made harmless. */
char *text_copy(const char *text, uint32_t length);

/* ---- session.c -------------------------------------------------------------------------------------------------- */

/** session_end() - unmap everything, release the lock, free. The caller has vm->lock. */
void session_end(struct varve_session *session);

/** session_enter() - take vm->lock for a call on a session that lives. */
int session_enter(struct varve_session *session);

/** session_dead() - -ECONNRESET, with what to do about it. */
int session_dead(const struct varve_session *session);

struct varve_memory *session_find(const struct varve_session *session, const struct varve_id *module);

/* ---- memory.c --------------------------------------------------------------------------------------------------- */

/** memory_open() - reserve address space and map @fd, the backing file, of @size bytes. Takes @fd, also on failure. */
int memory_open(
    struct varve_session *session, const struct varve_id *module, int fd, uint64_t size, struct varve_memory **memory);

/** memory_adopt() - @fd with @size bytes is the backing file from now on. Takes @fd, also on failure. */
int memory_adopt(struct varve_memory *memory, int fd, uint64_t size);

/** memory_show() - the file has @size bytes now: make exactly them accessible. */
int memory_show(struct varve_memory *memory, uint64_t size);

/** memory_limit() - make what is beyond @size inaccessible; does nothing if it is already. */
int memory_limit(struct varve_memory *memory, uint64_t size);

/** memory_follow() - show what the file has, whatever that is: after a failure, when nobody says. */
int memory_follow(struct varve_memory *memory);

void memory_free(struct varve_memory *memory);

#endif
