/*
 * op_private.h - shared by the operations. Private to engine/.
 */
#ifndef ENGINE_OP_PRIVATE_H
#define ENGINE_OP_PRIVATE_H

#include <errno.h>
#include <stdlib.h>

#include "names.h"
#include "store.h"

/** op_new() - zeroed memory for an operation of @size bytes, which begins with a struct op; NULL with a sentence. */
static inline void *op_new(struct store *store, const struct op_kind *kind, size_t size)
{
	struct op *op = calloc(1, size);
	if (!op) {
		fail_sys(ENOMEM, "memory for an operation");
		return NULL;
	}
	op->kind = kind;
	op->store = store;
	op->fd = -1;
	return op;
}

/** op_job() - a job of @kind for @module. */
static inline void op_job(struct store *store, struct job *job, enum job_kind kind, uint32_t module, uint32_t target)
{
	*job = (struct job) {.kind = kind, .module = module, .target = target, .basis = CHAIN_NONE};
	job->stamp = store_stamp(store, module);
}

#endif
