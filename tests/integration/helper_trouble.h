/*
 * helper_trouble.h - what the tests of damage, crashes and hostile clients share: names of files, ways to spoil them,
 * faults that strike in the coordinator or in a worker, and children that are VMs of their own.
 */
#ifndef HELPER_TROUBLE_H
#define HELPER_TROUBLE_H

#include <stdbool.h>
#include <sys/types.h>

#include "helper_store.h"

/** store_file() - name of a file of @module: of its commit @commit with @suffix ("" or "_0"); a backing file if @commit
 * is NULL. Static storage, for the next four calls. */
const char *store_file(const char *module, const char *commit, const char *suffix);

/** store_private() - ".varve/modules/<ModId>.<suffix>", likewise. */
const char *store_private(const char *module, const char *suffix);

/** file_bytes() - length of the store's file @name; -1: there is none. */
long file_bytes(const char *name);

/** file_flip() - turn one bit of the byte at @offset around, from the end if it is negative. */
void file_flip(const char *name, long offset);

/** file_put() - make or replace the store's file @name. */
void file_put(const char *name, const void *data, size_t size);

/** file_get() - the whole file, malloc()ed. */
void *file_get(const char *name, size_t *size);

/** store_is_clean() - no coordinator, no temporary file, no socket: what the last close must leave. NULL, or what is
 * wrong. */
const char *store_is_clean(void);

/** fault_set() - from now on, coordinators that are started have @fault (VARVE_FAULT's form) in processes of @role (NULL:
 * all). It strikes once in all, unless @again. */
void fault_set(const char *role, const char *fault, bool again);

/** fault_struck() - whether it has. */
bool fault_struck(void);
void fault_clear(void);

/** child_run() - run @run in a child process; it fails the test if it ends in any way but by returning 0. */
void child_run(int (*run)(void *arg), void *arg);

/** child_start() - the same without waiting. child_end() - wait; its status as from waitpid(). */
pid_t child_start(int (*run)(void *arg), void *arg);
int child_end(pid_t pid);

/** falls_asleep() - whether the process @pid, looked at each millisecond, sleeps 20 times in a row within @tries looks. */
bool falls_asleep(pid_t pid, int tries);

/** expect_verified() - verify names each of @files (NULL at the end; NULL: none) as damaged, and no other. */
void expect_verified(struct varve_vm *vm, const char *const *files);

/** expect_no_strays() - no file is in sight that no commit refers to. */
void expect_no_strays(struct varve_vm *vm);

/** how_many() - for what takes long: @quick, or @full if VARVE_LONG is set. */
int how_many(int quick, int full);

#endif
