/*
 * helper_large.h - modules so large that several workers restore one of them, and nearly all zero, so that it is quick.
 *
 * What module @module is at commit @k anybody can work out: each commit writes a few stretches, most of them where one
 * shard ends and the next begins, and gives the module another size, in most cases none of whole pages.
 */
#ifndef HELPER_LARGE_H
#define HELPER_LARGE_H

#include "helper_trouble.h"

#define LARGE_COMMITS 9
#define MIB (1u << 20)

/** large_size() - of @module ('A', 'B': large; all others are small) at commit @k. */
size_t large_size(char module, int k);

/** large_make() - a store, closed again, of @modules (a letter each), with all commits in @ids. @tiers: with tiers, too. */
void large_make(const char *modules, bool tiers, struct varve_id *ids);

/** large_open() - with so many workers. */
struct varve_vm *large_open(unsigned workers);

/** large_commit() - one more. */
struct varve_id large_commit(struct varve_vm *vm, const char *modules, int k);

/** large_is() - whether the backing file of @module is what it was at commit @k. */
bool large_is(char module, int k);

/** large_expect() - all of @modules have to be. */
void large_expect(const char *modules, int k);

/** large_where() - the commit that all of @modules are at; the test fails if it is none, or not the same one. */
int large_where(const char *modules);

/** large_strange() - others have been at the backing files: nothing is known of them. @spoil: and their bytes are others. */
void large_strange(const char *modules, bool spoil);

/** large_forget() - the same of one module with any name, and its bytes stay. */
void large_forget(const char *module);

/** large_name() - the module's name, as for store_file() and its like. */
const char *large_name(char module);

#endif
