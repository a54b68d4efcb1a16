/*
 * op.h - an operation on the store: a request that takes jobs. Declared here, driven by whoever has workers.
 *
 * An operation is a small state machine. The executor asks it for its next job as often as there is room, runs the
 * job somewhere, and hands back the result:
 *
 *   op_next() --OP_JOB--> (a worker runs it) --> op_done() --.
 *      ^  `--OP_WAIT: not before another job is done, or somebody kicks the executor
 *      `----------------------------------------------------'
 *   op_next() --OP_END--> op->complete()
 *
 * Operations that change the store run one after another; those that only read it run beside them.
 */
#ifndef ENGINE_OP_H
#define ENGINE_OP_H

#include "job.h"

struct store;
struct op;

enum op_step { OP_JOB, OP_WAIT, OP_END };

struct op_kind {
	const char *name;
	bool changes; /**< only one such operation runs at a time */
	bool background; /**< gets a turn only where there is no other */
	enum op_step (*next)(struct op *op, struct job *job);
	void (*done)(struct op *op, const struct job *job);
	void (*free)(struct op *op);
};

struct op {
	const struct op_kind *kind;
	struct store *store;
	unsigned limit; /**< most workers at a time; 0: as many as there are */
	unsigned running; /**< jobs handed out and not done; kept by the executor */
	unsigned handed; /**< jobs handed to workers so far; kept by the executor */
	unsigned ended; /**< jobs done so far; kept by the executor */
	uint64_t started_ns; /**< kept by the executor */
	bool cancelled; /**< set from outside; the operation ends as soon as it can */
	bool cancels_jobs; /**< then the jobs under way may be cut short, too, with -ECANCELED */
	bool cancel_told; /**< they have been told; kept by the executor */
	bool answered; /**< who cancelled it was told so already, and waits no more; kept by whoever answers */
	int fd; /**< passed to the worker with each job; -1: none. Closed with the operation. */
	int result; /**< 0 or -errno, valid at the end; */
	char text[ERR_TEXT]; /**< its sentence */

	void (*complete)(void *arg, struct op *op); /**< at the end; then the operation is freed */
	void *arg;

	struct op *next_op; /**< the executor's list */
	bool single; /**< it has one job at a time: where that is small it need not be handed over */
	bool hungry; /**< it was not asked for a job because there is no room for one; kept by the executor */
	bool parked; /**< the executor holds a job of it that can not run yet */
	struct job parked_job;
};

/** op_fail() - remember the first error. op_fail_job() - that of a job, but not that it was cut short because the
 * operation was cancelled: what that means the operation says itself. */
void op_fail(struct op *op, int result);
void op_fail_job(struct op *op, const struct job *job);

/** op_free() - with all it holds. */
void op_free(struct op *op);

/**
 * The executor: what has workers. The store hands it operations; it calls op->complete when each has ended, never from
 * within start().
 */
struct executor {
	void (*start)(struct executor *executor, struct op *op);
	/** something outside has changed that an operation waited for */
	void (*kick)(struct executor *executor);
};

#endif
