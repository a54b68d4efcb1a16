/*
 * journal.c - appending to `commits` and to the journal.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"
#include "record.h"

#define COMMITS "commits"
#define JOURNAL "journal"
#define LOAD_MAX ((size_t)1 << 36)
/** `commits` is rewritten when more than half of it, and at least so much, is stale. */
#define STALE_MIN (64u << 10)
/** Room that is kept behind the end, bytes: a move takes some 30. Where the disk is not full more is taken at once. */
#define ROOM (16u << 10)
#define ROOM_AHEAD (128u << 10)

static void notice(struct buf *notices, const char *format, ...)
{
	char line[ERR_TEXT + 64];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	buf_put(notices, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	buf_u8(notices, '\n');
}

/* Cuts what a crash left half written behind a file of records. */
static int cut(const struct dir *dir, const char *name, uint64_t good)
{
	int fd = file_open(dir, name, O_RDWR);
	if (fd < 0)
		return fd;
	int r = file_resize(fd, good, dir, name);
	close(fd);
	return r;
}

static int load_commits(struct journal *j, struct buf *b)
{
	int r = file_load(j->base, COMMITS, LOAD_MAX, b);
	if (r == -ENOENT)
		return 0;
	uint64_t good = 0;
	if (!r)
		r = history_load(j->history, b->data, b->size, &good);
	if (r == -ENODATA)
		return fail(EBADMSG,
		    "%s: it is cut off before offset %zu, in its first record; restore it from a backup", COMMITS,
		    b->size);
	if (r == -EBADMSG)
		return fail(EBADMSG, "%s: %s; restore it from a backup", COMMITS, err_text());
	if (r) {
		err_prefix("%s: ", COMMITS);
		return r;
	}
	j->persisted_once = true;
	j->commits_size = good;
	j->persisted = j->history->count;
	j->sequence = j->history->sequence;
	j->torn = good < b->size;
	return 0;
}

/* What is behind the end of `commits`, which had @size bytes, goes, unless that is what is left of persisted commits. */
static int cut_commits(struct journal *j, size_t size, struct buf *notices)
{
	if (!j->torn || j->missing[0])
		return 0;
	notice(notices, "%s: the last %llu bytes, of a record that was not written to its end, were cut off", COMMITS,
	    (unsigned long long)(size - j->commits_size));
	j->torn = false;
	return j->read_only ? 0 : cut(j->base, COMMITS, j->commits_size);
}

/* The journal goes on from what `commits` does not have any more. It stays: nothing else knows of it. */
static void miss(struct journal *j, uint32_t commits, uint64_t sequence, struct buf *notices)
{
	const struct history *history = j->history;
	if (commits > history->count)
		snprintf(j->missing, sizeof(j->missing), "%u commits were persisted, only %u are there", commits,
		    history->count);
	else
		snprintf(j->missing, sizeof(j->missing), "it had %llu records, of which only %llu are there",
		    (unsigned long long)sequence, (unsigned long long)history->sequence);
	notice(notices,
	    "%s: %s; bring it back from a backup, or go on without: the next commit puts .varve/%s aside, as "
	    ".varve/%s.old",
	    COMMITS, j->missing, JOURNAL, JOURNAL);
}

/* A journal that does not fit `commits` is put aside: somebody has brought back an older or another `commits`. */
static int put_aside(struct journal *j, struct buf *notices, const char *why)
{
	notice(notices,
	    ".varve/%s does not fit %s (%s): commits that were not persisted are not there; it was kept as "
	    ".varve/%s.old",
	    JOURNAL, COMMITS, why, JOURNAL);
	return j->read_only ? 0 : file_rename(j->priv, JOURNAL, j->priv, JOURNAL ".old");
}

/* Up to where the journal is to be kept. */
struct keep {
	uint64_t beyond; /* what `commits` has: its records repeat nothing new */
	uint32_t commits; /* that are to be kept besides */
};

static int count_commits(void *arg, enum record_type type, uint64_t sequence, struct cursor *payload)
{
	struct keep *keep = arg;
	(void)payload;
	if (type != RECORD_COMMIT || sequence <= keep->beyond)
		return 0;
	return keep->commits-- == 0;
}

int journal_cut(struct journal *j, uint32_t index)
{
	struct buf b = {0};
	struct keep keep = {j->sequence, index - j->persisted};
	struct record_scan scan = {0};
	int r = file_load(j->priv, JOURNAL, LOAD_MAX, &b);
	if (!r)
		r = record_read(b.data, b.size, count_commits, &keep, &scan);
	buf_free(&b);
	err_clear();
	return r < 0 ? r : cut(j->priv, JOURNAL, scan.good);
}

static int load_journal(struct journal *j, struct buf *b, struct buf *notices)
{
	buf_clear(b);
	int r = j->priv->fd < 0 ? -ENOENT : file_load(j->priv, JOURNAL, LOAD_MAX, b);
	if (r)
		return r == -ENOENT ? 0 : r;
	uint64_t good = 0, before = j->history->sequence;
	r = history_load(j->history, b->data, b->size, &good);
	if (!b->size || r == -ENODATA) {
		notice(notices,
		    ".varve/%s was cut off by a crash of the machine: commits that were not persisted are not there",
		    JOURNAL);
		return j->read_only ? 0 : file_unlink(j->priv, JOURNAL);
	}
	uint32_t commits;
	uint64_t sequence;
	if (r == -ESTALE && history_lacks(j->history, b->data, b->size, &commits, &sequence)) {
		miss(j, commits, sequence, notices);
		return 0;
	}
	if (r == -ESTALE || r == -EBADMSG)
		return put_aside(j, notices, err_text());
	if (r)
		return r;
	struct buf head = {0};
	history_begin_file(j->history, 0, &head);
	j->head_size = head.size;
	buf_free(&head);
	if (good < j->head_size)
		good = 0;
	j->journal_size = good;
	/* A crash after `commits` was written, and before the journal was emptied. */
	j->repeats = good > j->head_size && get_le64(b->data + j->head_size + 8) <= before;
	if (good == b->size)
		return 0;
	notice(notices, ".varve/%s: the last %llu bytes, of a commit that was not written to its end, were cut off",
	    JOURNAL, (unsigned long long)(b->size - good));
	return j->read_only ? 0 : cut(j->priv, JOURNAL, good);
}

int journal_open(struct journal *j, const struct dir *base, const struct dir *priv, struct history *history,
    bool read_only, struct buf *notices)
{
	*j = (struct journal) {.base = base, .priv = priv, .history = history, .read_only = read_only};
	struct buf b = {0};
	int r = load_commits(j, &b);
	size_t size = b.size;
	if (!r)
		r = load_journal(j, &b, notices);
	if (!r)
		r = cut_commits(j, size, notices);
	buf_free(&b);
	return r;
}

/* Sees to it that there is room for moves behind @end; *@room: up to where there is some. */
static int keep_room(int fd, const struct dir *dir, const char *name, uint64_t end, uint64_t *room)
{
	uint64_t take = ROOM_AHEAD;
	if (*room >= end + ROOM)
		return 0;
	int r = file_reserve(fd, end, take, dir, name);
	if (r == -ENOSPC)
		r = file_reserve(fd, end, take = ROOM, dir, name);
	if (!r)
		*room = end + take;
	return r;
}

/* Writes at @offset; what was written of it is cut off again if not all of it could be, and the room behind it with it. */
static int write_record(int fd, const struct dir *dir, const char *name, const void *data, size_t size, uint64_t offset,
    uint64_t *room, bool sync)
{
	int r = file_write_at(fd, data, size, offset, dir, name);
	if (!r && sync)
		r = file_sync(fd, dir, name);
	if (!r)
		return 0;
	*room = 0;
	if (ftruncate(fd, (off_t)offset) < 0)
		err_prefix("(and cutting it to %llu bytes failed) ", (unsigned long long)offset);
	return r;
}

/* Appends at @offset, all or nothing. @room: as for keep_room(); @more: there has to be some behind it. */
static int append(const struct dir *dir, const char *name, const void *data, size_t size, uint64_t offset,
    uint64_t *room, bool more, bool sync)
{
	int fd = file_open(dir, name, O_RDWR);
	if (fd < 0)
		return fd == -ENOENT
		           ? fail(ENOENT, "%s%s: the file has gone while the store was open", dir->label, name)
		           : fd;
	int r = more ? keep_room(fd, dir, name, offset + size, room) : 0;
	if (!r)
		r = write_record(fd, dir, name, data, size, offset, room, sync);
	close(fd);
	return r;
}

static int start_journal(struct journal *j, uint64_t sequence, bool sync)
{
	struct buf head = {0};
	history_begin_file(j->history, sequence, &head);
	int r = head.bad ? fail_sys(ENOMEM, "memory for a record")
	                 : file_publish(j->priv, j->priv, JOURNAL, head.data, head.size, sync);
	if (!r && sync)
		r = dir_sync(j->priv);
	if (!r) {
		j->journal_size = j->head_size = head.size;
		j->journal_room = 0;
		j->repeats = false;
	}
	buf_free(&head);
	return r;
}

/* Before anything is added where persisted commits are missing. A move of the current commit leaves the journal. */
static int go_on(struct journal *j, bool moves)
{
	int r = j->torn ? cut(j->base, COMMITS, j->commits_size) : 0;
	if (r)
		return r;
	j->torn = false;
	if (moves || !j->missing[0])
		return 0;
	r = file_rename(j->priv, JOURNAL, j->priv, JOURNAL ".old");
	if (!r)
		j->missing[0] = 0;
	return r;
}

int journal_append(struct journal *j, const struct buf *records, bool moves, bool sync)
{
	if (records->bad)
		return fail_sys(ENOMEM, "memory for a record");
	if (j->read_only)
		return fail(
		    EROFS, "the store can only be read: its file system is read-only, or its directory not writable");
	int r = fault_at("journal.append");
	if (r)
		return fail_sys(-r, ".varve/%s", JOURNAL);
	r = go_on(j, moves);
	if (r)
		return r;
	if (moves && j->persisted_once && !journal_unpersisted(j)) {
		r = append(
		    j->base, COMMITS, records->data, records->size, j->commits_size, &j->commits_room, false, sync);
		if (!r) {
			j->commits_size += records->size;
			j->stale += records->size;
			j->unsynced = true;
		}
		return r;
	}
	if (!j->journal_size) {
		/* Records in hand have numbers already: the last elsewhere is the one before the first of them. */
		uint64_t first = get_le64(records->data + 8);
		r = start_journal(j, first - 1, sync);
	}
	if (!r)
		r = append(
		    j->priv, JOURNAL, records->data, records->size, j->journal_size, &j->journal_room, !moves, sync);
	if (!r)
		j->journal_size += records->size;
	return r;
}

bool journal_unpersisted(const struct journal *j)
{
	return j->journal_size > j->head_size;
}

static int rewrite(struct journal *j, bool sync)
{
	struct buf b = {0};
	int r = history_dump(j->history, &b);
	if (!r && b.bad)
		r = fail_sys(ENOMEM, "memory for the history");
	if (!r)
		r = file_publish(j->priv, j->base, COMMITS, b.data, b.size, sync);
	if (!r) {
		j->commits_size = b.size;
		j->commits_room = 0;
		j->persisted_once = true;
		j->stale = 0;
	}
	buf_free(&b);
	return r;
}

static int move_journal(struct journal *j, bool sync)
{
	struct buf b = {0};
	int r = file_load(j->priv, JOURNAL, LOAD_MAX, &b);
	if (r == -ENOENT || (!r && b.size != j->journal_size)) {
		/* Somebody has removed it. All that it held is in memory, too. */
		buf_free(&b);
		return rewrite(j, sync);
	}
	if (!r)
		r = append(j->base, COMMITS, b.data + j->head_size, b.size - (size_t)j->head_size, j->commits_size,
		    &j->commits_room, false, sync);
	if (!r)
		j->commits_size += b.size - j->head_size;
	buf_free(&b);
	return r;
}

/* All that is to be persisted goes to `commits`, by the cheapest way there is. */
static int write_commits(struct journal *j, bool sync)
{
	if (!j->persisted_once || j->repeats || (j->stale > STALE_MIN && j->stale > j->commits_size / 2))
		return rewrite(j, sync);
	if (journal_unpersisted(j))
		return move_journal(j, sync);
	/* Only the current commit has moved since: that is in `commits` already. */
	int fd = file_open(j->base, COMMITS, O_RDWR);
	if (fd < 0)
		return fd;
	int r = sync ? file_sync(fd, j->base, COMMITS) : 0;
	close(fd);
	return r;
}

int journal_persist(struct journal *j, bool sync)
{
	if (j->read_only)
		return fail(
		    EROFS, "the store can only be read: its file system is read-only, or its directory not writable");
	if ((j->persisted_once || j->missing[0]) && !journal_unpersisted(j) && !j->unsynced)
		return 0;
	int r = write_commits(j, sync);
	if (r)
		return r;
	/* Should anything fail from here on, the next attempt must not append the same records once more. */
	j->repeats = journal_unpersisted(j);
	j->unsynced = true;
	if (sync)
		r = dir_sync(j->base);
	if (!r)
		r = fault_at("persist.written") ? fail_sys(EIO, "%s", COMMITS) : 0;
	if (r)
		return r;
	j->unsynced = false;
	j->persisted = j->history->count;
	int fd = file_open(j->base, COMMITS, O_RDWR);
	if (fd >= 0) {
		/* All is persisted also without. */
		if (keep_room(fd, j->base, COMMITS, j->commits_size, &j->commits_room))
			err_clear();
		close(fd);
	}
	/* From here on `commits` has it all: a journal that stays only repeats what is known. */
	if (j->journal_size && start_journal(j, j->history->sequence, false) && !file_unlink(j->priv, JOURNAL)) {
		j->journal_size = 0;
		j->repeats = false;
	}
	return 0;
}
