/*
 * helper_store.h - what the tests of whole stores share: a directory of their own, modules whose content a test says,
 * and a look at the directory.
 */
#ifndef HELPER_STORE_H
#define HELPER_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "varve.h"

/** must() - a call that has to succeed. */
#define must(call)                                                                                                     \
	do {                                                                                                           \
		int must_result = (call);                                                                              \
		cr_assert(must_result == 0, "%s: %d, %s", #call, must_result, varve_last_error());                     \
	} while (0)

/** must_fail() - a call that has to fail with @error, and say why. */
#define must_fail(call, error)                                                                                         \
	do {                                                                                                           \
		int must_result = (call);                                                                              \
		cr_assert(                                                                                             \
		    must_result == (error), "%s: %d, not %d: %s", #call, must_result, (error), varve_last_error());    \
		cr_assert(varve_last_error()[0], "%s: fails without a sentence", #call);                               \
	} while (0)

void store_setup(void);
void store_teardown(void);

/** store_remove() - the test's store, which no process has any more; the next one begins with none. */
void store_remove(void);

/** store_path() - a file of the test's store, "" for the store itself; static storage, for the next four calls. */
const char *store_path(const char *name);

/** store_open() - with two workers; the method of reading is VARVE_IO's. */
struct varve_vm *store_open(void);

/** id_of() - an id that starts with @name, the rest zero: its text is easily told apart. */
struct varve_id id_of(const char *name);
const char *text_of(const struct varve_id *id);

/** An image that a test commits. */
struct content {
	const char *module;
	const void *data;
	size_t size;
	const char *id; /**< the module commit's, as for id_of(); NULL: by default */
};

/** store_write() - in a session: bring a module to @content, deploying it if the current commit does not have it. */
void store_write(struct varve_session *session, const struct content *content);

/** store_commit() - one session that commits these. */
struct varve_id store_commit(struct varve_vm *vm, const struct content *contents, size_t count);

/** store_commit_one() - of one module with @size bytes, all of them @byte. */
struct varve_id store_commit_one(struct varve_vm *vm, const char *module, size_t size, int byte, const char *id);

/** store_holds() - whether the file @name is exactly this. */
bool store_holds(const char *name, const void *data, size_t size);

/** store_expect() - the backing file of @module must be exactly this. */
void store_expect(const char *module, const void *data, size_t size);
void store_expect_fill(const char *module, size_t size, int byte);

/** store_checkout() - the image of @module at @commit, malloc()ed, its size in *@size. */
void *store_checkout(struct varve_vm *vm, const struct varve_id *commit, const char *module, size_t *size);

/** store_listing() - the names in the directory, sorted, one space between, ids shortened to the name that id_of() was
 * given; without .varve. Static storage. */
const char *store_listing(void);

/** noise() - @size bytes that do not compress, the same for the same @seed. */
void noise(void *to, size_t size, uint64_t seed);

/** coordinator_pid() - of the store's. */
int coordinator_pid(struct varve_vm *vm);

/** workers_sum() - jobs, bytes and restarts of all workers together. */
struct varve_worker_stat workers_sum(struct varve_vm *vm);

/** end_processes() - wait until no coordinator has the store any more. */
void end_processes(void);

#endif
