/*
 * fixture.h - what the VM's tests share: a directory of their own, and calls that must succeed.
 */
#ifndef VM_FIXTURE_H
#define VM_FIXTURE_H

#include <stdint.h>

#include <criterion/criterion.h>

#include "vm.h"
#include "world.h"

#define FIXTURE_SEED 7

/** must() - a call of the VM that has to succeed. */
#define must(call) cr_assert((call) == 0, "%s: %s", #call, vm_error())

/** fixture_setup(), fixture_teardown() - make and remove a directory; for TestSuite(). */
void fixture_setup(void);
void fixture_teardown(void);

/** fixture_path() - a name in the directory; "" is the directory itself. Static storage, until the next call. */
const char *fixture_path(const char *name);

/** fixture_open() - open the store "store" in the directory, with two workers. */
struct vm *fixture_open(void);

/** fixture_commit() - commit the session. */
struct varve_id fixture_commit(struct vm *vm);

/** fixture_deployed() - a VM with "counter.c" at one and "ledger.l", where account 11 has 100 coins, in a first commit. */
struct vm *fixture_deployed(struct varve_id *commit);

/** fixture_call() - call an entry, which must not fail, and return its result. */
int64_t fixture_call(struct vm *vm, const char *name, const char *entry, int64_t a, int64_t b, int64_t c);

/** fixture_digest() - of a module whose own check must pass. */
int64_t fixture_digest(struct vm *vm, const char *name);

/** fixture_step() - run a step of the workload in a session of its own and commit it with its label. */
struct varve_id fixture_step(struct vm *vm, struct world *world, uint64_t step);

/** fixture_expect_step() - within a session: the VM must stand where steps 0 to @step lead. */
void fixture_expect_step(struct vm *vm, uint64_t step);

/** fixture_run() - run varve-vm with these arguments, quietly. Returns its exit code. */
int fixture_run(const char *command, const char *store, const char *arg, const char *arg2);

#endif
