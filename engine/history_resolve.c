/*
 * history_resolve.c - what people call a commit: an id, the beginning of one, HEAD, HEAD~n, @n.
 */
#include "history_private.h"

#include <errno.h>
#include <string.h>

#include "err.h"
#include "names.h"

#define PREFIX_MIN 6u

/* Decimal digits up to the end of the text. Returns false if there are none, or others, or too many for 64 bits. */
static bool parse_number(const char *text, uint64_t *number)
{
	uint64_t n = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return false;
	}
	*number = n;
	return true;
}

static int resolve_ancestor(const struct history *history, const char *text, uint64_t n, uint32_t *commit)
{
	uint32_t c = history->current;
	if (c == COMMIT_NONE)
		return fail(ENOENT, "%s: there is no commit yet", text);
	if (n > history->commits[c].depth)
		return fail(ENOENT, "%s: the current commit has only %u ancestors", text, history->commits[c].depth);
	while (n--)
		c = history->commits[c].parent;
	*commit = c;
	return 0;
}

static int resolve_index(const struct history *history, const char *text, uint64_t n, uint32_t *commit)
{
	if (n >= history->count)
		return fail(ENOENT, "%s: there are only %u commits, counted from @0", text, history->count);
	*commit = (uint32_t)n;
	return 0;
}

static bool has_prefix(const struct varve_id *id, const struct varve_id *prefix, size_t digits)
{
	size_t whole = digits / 2;
	if (memcmp(id, prefix, whole) != 0)
		return false;
	return digits % 2 == 0 || (id->bytes[whole] ^ prefix->bytes[whole]) < 0x10;
}

static int resolve_prefix(const struct history *history, const char *text, size_t digits, uint32_t *commit)
{
	char padded[VARVE_ID_TEXT + 1];
	struct varve_id prefix;
	memset(padded, '0', VARVE_ID_TEXT);
	padded[VARVE_ID_TEXT] = 0;
	memcpy(padded, text, digits);
	if (!id_from_text(padded, &prefix))
		return fail(EINVAL, "%s: not a commit: give an id, %u or more of its first digits, HEAD, HEAD~n or @n",
		    text, PREFIX_MIN);
	if (digits < PREFIX_MIN)
		return fail(EINVAL, "%s: too short: give at least %u digits of a commit's id", text, PREFIX_MIN);

	uint32_t found = digits == VARVE_ID_TEXT ? history_find(history, &prefix) : COMMIT_NONE;
	for (uint32_t i = 0; digits < VARVE_ID_TEXT && i < history->count; i++) {
		if (!has_prefix(&history->commits[i].id, &prefix, digits))
			continue;
		if (found != COMMIT_NONE)
			return fail(ENOTUNIQ,
			    "%s: several commits begin with it, @%u and @%u among them: give more digits", text, found,
			    i);
		found = i;
	}
	if (found == COMMIT_NONE)
		return fail(ENOENT, "%s: there is no such commit", text);
	*commit = found;
	return 0;
}

int history_resolve(const struct history *history, const char *text, uint32_t *commit)
{
	uint64_t n = 0;
	size_t length = strnlen(text, VARVE_ID_TEXT + 1);
	if (length > VARVE_ID_TEXT)
		return fail(
		    EINVAL, "%.*s...: too long for a commit's id, which has %u digits", 16, text, VARVE_ID_TEXT);
	if (strcmp(text, "HEAD") == 0)
		return resolve_ancestor(history, text, 0, commit);
	if (strncmp(text, "HEAD~", 5) == 0 && parse_number(text + 5, &n))
		return resolve_ancestor(history, text, n, commit);
	if (text[0] == '@' && parse_number(text + 1, &n))
		return resolve_index(history, text, n, commit);
	return resolve_prefix(history, text, length, commit);
}
