/*
 * world.h - models of all modules of a VM, to run beside it.
 */
#ifndef VM_WORLD_H
#define VM_WORLD_H

#include <stdint.h>

#include "vm.h"
#include "workload.h"

struct world;

struct world *world_new(void);
void world_free(struct world *world);

/**
 * world_run() - run a transaction in @vm and in the world, and compare the results. @vm may be NULL: in the world only.
 * Returns 0, -EPROTO (results differ), or what the VM returned; vm_error() says more.
 */
int world_run(struct world *world, struct vm *vm, const struct transaction *transaction);

/** world_step() - world_run() for all transactions of a step of the workload. */
int world_step(struct world *world, struct vm *vm, uint64_t seed, uint64_t step);

/**
 * world_compare() - within a session of @vm: does it stand where the world does? Each module's contract must find its
 * own state consistent and have the model's digest. Returns 0, or -EPROTO.
 */
int world_compare(struct world *world, struct vm *vm);

#endif
