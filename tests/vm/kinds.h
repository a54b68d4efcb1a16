/*
 * kinds.h - the kinds of contracts that the VM can run.
 */
#ifndef VM_KINDS_H
#define VM_KINDS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime.h"

struct kind_entry {
	const char *name;
	runtime_entry *call;
};

struct kind {
	const char *name;
	uint32_t initial_pages; /**< of its memory when it is deployed */
	uint32_t max_pages;
	size_t instance_size; /**< wasm2c's struct for an instance */
	void (*init_module)(void);
	void (*instantiate)(
	    void *instance, struct Z_env_instance_t *env); /**< writes the data segments into env's memory */
	void (*release)(void *instance);
	uint32_t *(*stack_pointer)(void *instance);
	const struct kind_entry *entries;
	size_t entries_count;
};

/** kind_of() - the kind of a module: its name up to the first '.'. Returns NULL if there is none such. */
const struct kind *kind_of(const char *module_name);

/** kind_entry() - returns NULL if contracts of this kind have no such entry. */
runtime_entry *kind_entry(const struct kind *kind, const char *name);

#endif
