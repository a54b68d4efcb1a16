/*
 * workload.h - what is done with contracts: step after step of transactions, each made from a seed and its number.
 */
#ifndef VM_WORKLOAD_H
#define VM_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

/** The modules of the workload, all of them deployed by the end of its fourth step. */
#define WORKLOAD_MODULES 8
extern const char *const workload_modules[WORKLOAD_MODULES];

struct transaction {
	const char *module;
	const char *entry; /**< NULL: deploy the module */
	int64_t args[3];
};

/**
 * workload_step() - give all transactions of @step to @run, in order; it stops when that does not return 0.
 * A step depends on nothing but @seed and its number. Returns what @run returned last.
 */
int workload_step(
    uint64_t seed, uint64_t step, int (*run)(void *arg, const struct transaction *transaction), void *arg);

#endif
