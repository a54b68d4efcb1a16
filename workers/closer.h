/*
 * closer.h - closing what others have opened, without waiting for it.
 */
#ifndef WORKERS_CLOSER_H
#define WORKERS_CLOSER_H

/** closer_close() - have @fd closed by a thread, which the first call makes; for sock_discard_by(). Never waits, unless no
 * thread can be made. One thread of the process only may call it, and no process that was forked from it. */
void closer_close(int fd);

/** closer_waiting() - how many descriptors are not closed yet. */
unsigned closer_waiting(void);

#endif
