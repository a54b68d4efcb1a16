/*
 * runtime.h - what wasm2c's code needs at run time, with linear memories that are Varve's mappings.
 */
#ifndef VM_RUNTIME_H
#define VM_RUNTIME_H

#include <stdint.h>
#include <wasm-rt.h>

#include "varve.h"

/**
 * The module "env", from which every contract imports its memory; the name is the one that wasm2c's code expects.
 * One for each instance of a contract.
 */
struct Z_env_instance_t {
	wasm_rt_memory_t memory;
	struct varve_memory *backing; /**< NULL: the memory can not grow */
};

/** An entry of a contract; what it gets first is the contract's instance. */
typedef uint64_t runtime_entry(void *instance, uint64_t a, uint64_t b, uint64_t c);

/** runtime_attach() - let @env's memory be @backing, which may grow to @max_pages WebAssembly pages. */
void runtime_attach(struct Z_env_instance_t *env, struct varve_memory *backing, uint32_t max_pages);

/** runtime_refresh() - take over the size that the backing memory has now. Returns 0 or -EINVAL: not whole pages. */
int runtime_refresh(struct Z_env_instance_t *env);

/** runtime_detach() - no memory at all: every access traps. */
void runtime_detach(struct Z_env_instance_t *env);

/** runtime_call() - call @entry. Returns WASM_RT_TRAP_NONE with *@result set, or why it trapped. */
wasm_rt_trap_t runtime_call(runtime_entry *entry, void *instance, const int64_t *args, int64_t *result);

/** runtime_trap_text() - what a trap means. */
const char *runtime_trap_text(wasm_rt_trap_t trap);

#endif
