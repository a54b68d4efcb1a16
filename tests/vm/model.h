/*
 * model.h - what contracts should do, in plain C: no WebAssembly, no store.
 *
 * A model gives the results and digests that a contract of its kind gives after the same calls, by other means: sorted
 * arrays instead of hash tables, a search through all orders instead of price levels. State that has been restored is
 * compared with it, so that it is known to be right, and not only to be the bytes that were kept.
 */
#ifndef VM_MODEL_H
#define VM_MODEL_H

#include <stdint.h>

struct model;

/** model_new() - the model of a newly deployed module. Returns NULL if @module_name has no kind, or without memory. */
struct model *model_new(const char *module_name);
void model_free(struct model *model);

/** model_call() - returns what the contract's entry would. Entries that only look are "digest" and "check". */
int64_t model_call(struct model *model, const char *entry, const int64_t args[3]);

#endif
