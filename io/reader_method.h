/*
 * reader_method.h - what the reading methods share; seen within io/ only.
 */
#ifndef IO_READER_METHOD_H
#define IO_READER_METHOD_H

#include <stdbool.h>

#include "err.h"
#include "reader.h"

#define READER_DEPTH_MAX 256

struct reader {
	const struct reader_ops *ops;
	unsigned depth;
	struct uring *uring; /**< reader_uring.c's own; NULL: none */
	const struct read_request *failed; /**< the first of this run's requests that has failed; NULL: none */
	char sentence[ERR_TEXT]; /**< and its sentence */
	char reason[ERR_TEXT]; /**< see reader_reason() */
};

extern const struct reader_ops reader_uring;
extern const struct reader_ops reader_pread;

/**
 * reader_settle() - @request is through, with @result; if that is an error its sentence is the one remembered now.
 * Whichever request fails first in time, the sentence kept is that of the first in the list.
 */
void reader_settle(struct reader *r, struct read_request *request, int result);

/** reader_allowed() - whether a request is one that can be tried: its name, its range, no fault; else it is settled. */
bool reader_allowed(struct reader *r, struct read_request *request);

/**
 * reader_read_plainly() - do one request with plain calls, and settle it. For whatever io_uring could not do: it gives
 * the same sentences as the pread method, being what that consists of.
 */
void reader_read_plainly(struct reader *r, struct read_request *request);

#endif
