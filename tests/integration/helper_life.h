/*
 * helper_life.h - a short life of a store in which every kind of change occurs, and a look at what is left of it.
 *
 * Whatever happened in it - faults, killed processes - the store that is opened afterwards must have every commit whose
 * call returned 0, as it was made; the others whole or not at all; and all backing files at its current commit.
 */
#ifndef HELPER_LIFE_H
#define HELPER_LIFE_H

#include "helper_trouble.h"

#define LIFE_STEPS 6

struct life {
	bool made[LIFE_STEPS]; /**< the commit's call returned 0 */
	bool maybe[LIFE_STEPS]; /**< its call said that the coordinator died: the commit may have been made */
	int current; /**< the step whose commit is the current one; -1: none */
	int maybe_current; /**< or this one, if a restore ended that way; -2: none other */
	int failed; /**< calls that failed */
	int last_error;
	char last_text[512];
};

/** life_image() - the content of module @module (0 to 2) as step @step writes it, malloc()ed. */
void *life_image(int step, int module, size_t *size);

/** life_module() - its name. */
const char *life_module(int module);

/** life_commit() - commit step @step, all of its modules, in a session of its own. 0 or the first error. */
int life_commit(struct varve_vm *vm, struct life *life, int step);

/** life_restore() - to the commit of @step. */
int life_restore(struct varve_vm *vm, struct life *life, int step);

/** How life_live() opens its store. */
extern enum varve_sync life_sync;

/** life_live() - from nothing to five commits on two branches, persisted twice. Goes on behind calls that fail. */
void life_live(struct life *life);

/** life_check() - open the store, check all of the above, and that it can go on from there. @what: for messages. */
void life_check(struct life *life, const char *what);

/** life_undisturbed() - both, where no call may fail, with workers that do all of it. */
void life_undisturbed(const char *what);

#endif
