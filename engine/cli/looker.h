/*
 * looker.h - looks at a store that are made by a thread, so that whoever wants them is free while there is no answer.
 *
 * A coordinator that hangs, or is stopped, answers no look; keys and signals must count all the same.
 */
#ifndef CLI_LOOKER_H
#define CLI_LOOKER_H

#include <pthread.h>

#include "cli.h"

struct looker {
	struct varve_vm *vm;
	pthread_t thread;
	pthread_mutex_t lock; /**< over all that follows */
	pthread_cond_t changed;
	bool asked; /**< a look is wanted, or under way */
	bool stop; /**< the thread is to end */
	bool ended; /**< it has */
	struct varve_stat *stat; /**< of a look that succeeded */
	int result; /**< of one that failed; 0: of none */
	char *why; /**< its sentence */
};

/** looker_begin() - start the thread; nobody else may make calls on @vm until looker_end(). Ends the program if it can not. */
void looker_begin(struct looker *looker, struct varve_vm *vm);

/** looker_ask() - begin a look; the one before was taken. */
void looker_ask(struct looker *looker);

/** looker_take() - the look's result, waiting for it for at most @seconds. NULL, and 0 in *@result: not there yet; else its
 * -errno. The figures are the caller's. */
struct varve_stat *looker_take(struct looker *looker, double seconds, int *result);

/** looker_complain() - say why the look failed. Returns an exit code. */
int looker_complain(const struct looker *looker);

/** looker_end() - at once, also in the middle of a look. */
void looker_end(struct looker *looker);

#endif
