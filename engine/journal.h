/*
 * journal.h - where records of the history are written: `commits`, and the journal in .varve/.
 *
 * A commit is decided by appending its records to the journal, which survives the death of every process. Persisting
 * moves the journal's records to `commits` and syncs it. While nothing waits in the journal, a move of the current
 * commit goes to `commits` at once. Crashes: record_format.md says what each leaves behind.
 *
 * Behind the end of either file some room is kept, so that one can still go back when the disk is full: a commit is not
 * made without it.
 */
#ifndef ENGINE_JOURNAL_H
#define ENGINE_JOURNAL_H

#include "err.h"
#include "file.h"
#include "history.h"

struct journal {
	const struct dir *base;
	const struct dir *priv;
	struct history *history;
	bool read_only;
	bool persisted_once; /**< there is a `commits` */
	uint64_t commits_size;
	uint64_t journal_size; /**< 0: there is no journal file */
	uint64_t commits_room; /**< up to where there is room on disk, as far as is known */
	uint64_t journal_room;
	uint64_t head_size; /**< of the journal's first record */
	uint64_t stale; /**< bytes of `commits` that a later record has made useless */
	uint32_t persisted; /**< commits that `commits` has */
	uint64_t sequence; /**< of its last record, as it was loaded */
	bool repeats; /**< the journal has records that `commits` has, too: appending it would write them twice */
	bool unsynced; /**< something was appended to `commits` and not synced */
	bool torn; /**< there is something behind the end of `commits`, to be cut off before it is appended to */
	char missing
	    [ERR_TEXT]; /**< what was persisted and is not there, as the journal says; "": nothing. Until there is
	                         * another commit neither file is changed, but that the current commit may move */
};

/** journal_open() - load both files into the (empty) history. What had to be cut or put aside is appended to @notices,
 * one sentence a line. -EBADMSG, -EPROTONOSUPPORT: `commits` can not be read. */
int journal_open(struct journal *journal, const struct dir *base, const struct dir *priv, struct history *history,
    bool read_only, struct buf *notices);

/** journal_append() - write @records, all or nothing. @moves: they only move the current commit. @sync: to the device. */
int journal_append(struct journal *journal, const struct buf *records, bool moves, bool sync);

/** journal_persist() - bring everything to `commits`; @sync: to the device, too. */
int journal_persist(struct journal *journal, bool sync);

/** journal_cut() - take back commit @index, which is not persisted, and all after it, on disk. The history is to be loaded
 * anew then. */
int journal_cut(struct journal *journal, uint32_t index);

/** journal_unpersisted() - whether journal_persist() would have something to write. */
bool journal_unpersisted(const struct journal *journal);

#endif
