/*
 * log.c - logfmt lines on stderr, or for the journal.
 *
 * What is logged may come from a file or from a peer: a value is quoted, and what could end a line or move a cursor is
 * escaped, so that one event is one line whatever is in it.
 */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "names.h"
#include "utf8.h"

static struct {
	enum log_level level;
	bool journal;
	uint64_t dropped;
} out;

static const struct {
	const char *name;
	char priority; /* as syslog has it */
} levels[] = {{"off", '0'}, {"error", '3'}, {"warning", '4'}, {"info", '6'}, {"debug", '7'}};

/* Whether stderr is what JOURNAL_STREAM says: systemd sets that for a service, whose stderr may be another one now. */
static bool is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char rest;
	return text && sscanf(text, "%llu:%llu%c", &device, &inode, &rest) == 2 && !fstat(STDERR_FILENO, &st) &&
	       st.st_dev == device && st.st_ino == inode;
}

void log_open(enum log_level level)
{
	out.level = level;
	out.journal = is_journal();
}

static void add(struct log_entry *entry, const char *text, size_t length)
{
	/* Room for the newline, always. */
	if (length > sizeof(entry->text) - 1 - entry->length)
		length = sizeof(entry->text) - 1 - entry->length;
	memcpy(entry->text + entry->length, text, length);
	entry->length += length;
}

static void add_key(struct log_entry *entry, const char *key)
{
	if (entry->length && entry->text[entry->length - 1] != '>')
		add(entry, " ", 1);
	add(entry, key, strlen(key));
	add(entry, "=", 1);
}

static void add_word(struct log_entry *entry, const char *key, const char *word)
{
	add_key(entry, key);
	add(entry, word, strlen(word));
}

static void add_time(struct log_entry *entry)
{
	struct timespec now;
	struct tm utc;
	char day[32], text[64];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, sizeof(text), "%s.%06ldZ", day, now.tv_nsec / 1000);
	add_word(entry, "time", text);
}

void log_begin(struct log_entry *entry, enum log_level level, const char *event)
{
	entry->wanted = level <= out.level;
	entry->length = 0;
	if (!entry->wanted)
		return;
	if (out.journal)
		add(entry, (const char[]) {'<', levels[level].priority, '>'}, 3);
	else
		add_time(entry);
	add_word(entry, "level", levels[level].name);
	add_word(entry, "event", event);
}

static bool is_plain(const char *value)
{
	size_t length = strlen(value);
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '"' || *c == '=' || *c == '\\')
			return false;
	return length > 0;
}

/* The character at @c, as it stands between quotes: UTF-8 stays as it is, but for what ends a line or moves a cursor; of
 * what is no UTF-8 each byte is written as its number. Returns how many bytes were taken. */
static size_t quote(const unsigned char *c, char text[8])
{
	size_t length = utf8_length(c);
	bool latin = length == 2 && c[0] == 0xc2 && c[1] < 0xa0;
	if (*c == '"' || *c == '\\')
		snprintf(text, 8, "\\%c", *c);
	else if (*c == '\n')
		snprintf(text, 8, "\\n");
	else if (!length || *c < 0x20 || *c == 0x7f || latin)
		snprintf(text, 8, "\\x%02x", latin ? c[1] : c[0]);
	else
		snprintf(text, 8, "%.*s", (int)length, (const char *)c);
	return length ? length : 1;
}

static void add_quoted(struct log_entry *entry, const char *value)
{
	char text[8];
	/* The end is kept free, so that a value that is cut is still closed. */
	size_t room = sizeof(entry->text) - 64;
	add(entry, "\"", 1);
	for (const unsigned char *c = (const unsigned char *)value; *c;) {
		if (entry->length > room) {
			add(entry, "...", 3);
			break;
		}
		c += quote(c, text);
		add(entry, text, strlen(text));
	}
	add(entry, "\"", 1);
}

void log_text(struct log_entry *entry, const char *key, const char *value)
{
	if (!entry->wanted || entry->length > sizeof(entry->text) - 128)
		return;
	add_key(entry, key);
	if (is_plain(value) && strlen(value) < 128)
		add(entry, value, strlen(value));
	else
		add_quoted(entry, value);
}

void log_number(struct log_entry *entry, const char *key, uint64_t value)
{
	char text[32];
	if (!entry->wanted)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add_word(entry, key, text);
}

void log_seconds(struct log_entry *entry, const char *key, double value)
{
	char text[64];
	if (!entry->wanted)
		return;
	snprintf(text, sizeof(text), "%.6f", value);
	add_word(entry, key, text);
}

void log_id(struct log_entry *entry, const char *key, const struct varve_id *id)
{
	char text[VARVE_ID_TEXT + 1];
	if (!entry->wanted)
		return;
	id_to_text(id, text);
	add_word(entry, key, text);
}

/* A pipe, a socket or a terminal that nobody reads must not stop the coordinator: POLLOUT says that there is room for a
 * line, and nobody else's lines can be in the way of more than one. */
static bool has_room(void)
{
	struct pollfd p = {STDERR_FILENO, POLLOUT, 0};
	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

void log_end(struct log_entry *entry)
{
	if (!entry->wanted)
		return;
	if (!has_room()) {
		out.dropped++;
		return;
	}
	if (out.dropped)
		log_number(entry, "dropped", out.dropped);
	entry->text[entry->length++] = '\n';
	ssize_t written;
	do
		written = write(STDERR_FILENO, entry->text, entry->length);
	while (written < 0 && errno == EINTR);
	out.dropped = written < 0 ? out.dropped + 1 : 0;
}
