/*
 * vm.h - a small WebAssembly VM that runs contracts on Varve's memories.
 *
 * It is what a user of the library looks like: modules are deployed and called in sessions, sessions are committed or
 * abandoned, commits are restored. One thread at a time. A module's name says what it is, "KIND.REST" ("ledger.main"),
 * and its id is the name itself, filled up with zero bytes.
 *
 * Functions return 0 or a negative errno; vm_error() then says what was wrong.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "varve.h"

struct vm;

/** vm_open() - open the store in @dir or make one; @options as for varve_vm_open(). */
int vm_open(const char *dir, const struct varve_options *options, struct vm **vm);

/** vm_close() - a session that is open is abandoned. NULL is allowed. */
void vm_close(struct vm *vm);

/** vm_error() - one sentence about the last failure. */
const char *vm_error(void);

/** vm_fail() - remember a sentence for vm_error() and return -@err. */
int vm_fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** vm_store() - the library's handle, for what this header has no call for. */
struct varve_vm *vm_store(struct vm *vm);

/** vm_begin() - begin a session. */
int vm_begin(struct vm *vm);

/** vm_in_session() - is there one? */
bool vm_in_session(const struct vm *vm);

/** vm_deploy() - make a new module, with its contract's first state. Returns also -EEXIST, -EINVAL (no such kind). */
int vm_deploy(struct vm *vm, const char *name);

/**
 * vm_call() - call @entry of a module, in a session.
 * Returns also -ENOENT (no such module at the current commit, or no such entry), -EFAULT (the contract trapped: what it
 * had written until then stays written, so the session is best abandoned).
 */
int vm_call(struct vm *vm, const char *name, const char *entry, const int64_t args[3], int64_t *result);

/** vm_memory() - the memory of a module, which is instantiated if it is not yet. */
int vm_memory(struct vm *vm, const char *name, struct varve_memory **memory);

/** vm_each_active() - call @fn for each module that the session has used. Stops when @fn does not return 0. */
int vm_each_active(struct vm *vm, int (*fn)(void *arg, const char *name, struct varve_memory *memory), void *arg);

/** vm_commit() - commit the session and end it. @label, @commit may be NULL. After a failure the session goes on. */
int vm_commit(struct vm *vm, const char *label, struct varve_id *commit);

/** vm_abandon() - end the session; nothing of it remains. */
int vm_abandon(struct vm *vm);

/** vm_restore() - bring all modules to @commit, also with a session open, which goes on there. */
int vm_restore(struct vm *vm, const struct varve_id *commit);

/** vm_persist() - let the commits survive a restart of the machine. */
int vm_persist(struct vm *vm);

/** vm_module_id() - returns 0, or -EINVAL: not a name of 1 to 32 characters that begins with a kind. */
int vm_module_id(const char *name, struct varve_id *id);

/** vm_module_name() - the reverse, into @name of VARVE_ID_SIZE + 1 bytes. Returns 0 or -EINVAL. */
int vm_module_name(const struct varve_id *id, char *name);

#endif
