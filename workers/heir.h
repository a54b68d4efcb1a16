/*
 * heir.h - the place of a coordinator that a client has started, taken by one that was started to stay.
 *
 * A program whose coordinator has died starts another one at its next call. Where `varve serve` was the one that died, the
 * service manager starts it again at the same moment, and may come second: it would never get the store as long as
 * programs use it. So it asks for it:
 *
 *   heir      HELLO, LEAVE --> waits
 *   holder    ends what is under way, no session being live; begins nothing else; closes all but the lock
 *   holder    --> the reply, with the lock's descriptor beside it, is the last that it does
 *   heir      has the lock, and opens the store
 *
 * The lock is never free in between: nobody else gets it. The holder's clients find their connections closed, and ask
 * again, as they do when a coordinator has died.
 */
#ifndef WORKERS_HEIR_H
#define WORKERS_HEIR_H

#include "store.h"

/**
 * heir_ask() - ask whoever has the store for its lock, and wait for it. @waits is called about once a second: process @pid
 * has it still, and a session, say.
 *
 * Returns its descriptor, the caller's; or -errno with a sentence: -EALREADY, it was started to stay as well, or is of
 * another version; -EAGAIN: there is nobody to ask (it has just ended, or is about to start).
 */
int heir_ask(const struct store *store, void (*waits)(void *arg, int pid), void *arg);

#endif
