/*
 * worker_talk.h - the worker's side of its control socket (control.h). If the coordinator is not there any more, the
 * process ends.
 */
#ifndef WORKERS_WORKER_TALK_H
#define WORKERS_WORKER_TALK_H

#include <stdbool.h>

#include "bytes.h"
#include "reader.h"
#include "ring.h"
#include "sandbox.h"
#include "sight.h"

struct talk {
	int control;
	struct buf packet;
};

/** talk_hello() - that it serves, and how. talk_failed() - why it can not. */
void talk_hello(struct talk *talk, const struct reader *reader, const struct sandbox_result *sandbox);
void talk_failed(struct talk *talk, const char *sentence);

/** talk_found() - what a verification has found. */
void talk_found(struct talk *talk, struct ticket job, bool damage, const char *file, const char *problem);

/** talk_want_fd() - the descriptor that belongs to the job, or -errno with a sentence. */
int talk_want_fd(struct talk *talk, struct ticket job);

/** talk_sight() - the steps of publishing that are due; @wait: until they are taken. 0 or -errno with a sentence. */
int talk_sight(struct talk *talk, struct ticket job, const struct sight_steps *steps, bool wait);

#endif
