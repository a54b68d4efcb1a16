/*
 * err.h - errors as negative errno, with one sentence of context for the calling thread.
 */
#ifndef IO_ERR_H
#define IO_ERR_H

#include <stddef.h>

/** Longest sentence kept, with its NUL; longer ones are cut. */
#define ERR_TEXT 512

/**
 * fail() - remember a sentence for this thread and return -@err.
 * @err  a positive errno. The sentence names the file, then what is wrong, then what to do.
 */
int fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/** fail_sys() - like fail(), for errno @err of a system call: ": " and what strerror() and a hint say are added. */
int fail_sys(int err, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/** err_set_hint() - from now on @hint is what fail_sys() adds in this process for @err, which must have a hint: whoever has
 * set a limit himself knows better what to do. @hint is kept, not copied. Before there are threads. */
void err_set_hint(int err, const char *hint);

/** fail_with() - remember a sentence made elsewhere (another process), and return -@err. */
int fail_with(int err, const char *text);

/** err_prefix() - put words in front of the sentence remembered: a layer above adds what it knows. */
void err_prefix(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

/** err_text() - the sentence remembered last in this thread; "" if there is none. Never NULL. */
const char *err_text(void);

/** err_code() - what fail() returned with it: for callers that got NULL, and not a number. -EIO if nothing is
 * remembered, so that it is an error in any case. */
int err_code(void);

/** err_clear() - forget it. */
void err_clear(void);

#endif
