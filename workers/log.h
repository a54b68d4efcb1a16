/*
 * log.h - one line for the operator: what has happened, when, and to which commit, as key=value pairs (logfmt).
 *
 *   time=2026-11-24T20:25:03.123456Z level=info event=restore commit=2C380E... modules=8 seconds=0.0123 pid=4711
 *
 * On stderr; where that is the journal (JOURNAL_STREAM), the time is left out, which it has itself, and each line begins
 * with the priority that it understands. A line never waits for its reader: where there is no room it is dropped, and the
 * next one that gets through says how many were (dropped=).
 */
#ifndef WORKERS_LOG_H
#define WORKERS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "varve.h"

enum log_level { LOG_OFF, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/** Longest line, with its newline: what a pipe takes whole or not at all. */
#define LOG_LINE 2048

/** A line that is being put together. */
struct log_entry {
	bool wanted;
	size_t length;
	char text[LOG_LINE];
};

/** log_open() - what is less urgent than @level is not written from now on. Nothing is before the first call. */
void log_open(enum log_level level);

/** log_begin() - @event: one word. Lines that are not wanted cost nothing more. */
void log_begin(struct log_entry *entry, enum log_level level, const char *event);

void log_text(struct log_entry *entry, const char *key, const char *value);
void log_number(struct log_entry *entry, const char *key, uint64_t value);
void log_seconds(struct log_entry *entry, const char *key, double value);
void log_id(struct log_entry *entry, const char *key, const struct varve_id *id);

/** log_end() - write it. */
void log_end(struct log_entry *entry);

#endif
