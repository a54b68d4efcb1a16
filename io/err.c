/*
 * err.c - the sentence of a thread's last failure.
 *
 * One buffer per thread, no allocation: running out of memory must be reportable. A sentence that is too long loses
 * the end of what the caller said, never what the system said about it or the hint.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "err.h"

static _Thread_local char remembered[ERR_TEXT];
static _Thread_local int remembered_err;

static struct {
	int err;
	const char *hint;
} hints[] = {
    {ENOSPC, "free space on that filesystem, then try again"},
    {EDQUOT, "free space or have the quota raised, then try again"},
    {EACCES, "check owner and permissions of the file and its directory"},
    {EPERM, "check its owner and attributes, and whether a security policy forbids it"},
    {EROFS, "remount the filesystem for writing"},
    {EMFILE, "raise the limit of open files of this process (ulimit -n)"},
    {ENFILE, "raise the system's limit of open files (sysctl fs.file-max)"},
    {ENOMEM, "free memory or raise the memory limit, then try again"},
    {ELOOP, "symbolic links are not followed here: put the file itself in its place"},
    {EIO, "look for errors of the device in the kernel's log"},
    {EFBIG, "raise the limit of file sizes (ulimit -f), or use a filesystem that allows larger files"},
    {ENAMETOOLONG, "use a shorter path"},
    {ESTALE, "the network filesystem lost the file: remount it"},
    {ENOTDIR, "a part of the path is no directory"},
    {ETXTBSY, "end the program that runs from this file"},
};

static const char *hint_for(int err)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		if (hints[i].err == err)
			return hints[i].hint;
	}
	return NULL;
}

void err_set_hint(int err, const char *hint)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (hints[i].err == err)
			hints[i].hint = hint;
}

/* Cut @text to @length bytes, not within a UTF-8 character, and show that something is missing. */
static void cut(char *text, size_t length)
{
	size_t at = length - 3;
	while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
		at--;
	memcpy(text + at, "...", 4);
}

/* Join the caller's words and @suffix. The words may well be the sentence remembered so far, so it is built aside. */
static void __attribute__((format(printf, 2, 0))) remember(const char *suffix, const char *format, va_list args)
{
	char text[ERR_TEXT];
	size_t room = sizeof(text) - strlen(suffix);
	int length = vsnprintf(text, room, format, args);

	if (length < 0)
		text[0] = '\0';
	else if ((size_t)length >= room)
		cut(text, room - 1);
	size_t said = strlen(text);
	memcpy(remembered, text, said);
	memcpy(remembered + said, suffix, strlen(suffix) + 1);
}

int fail(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	remember("", format, args);
	va_end(args);
	remembered_err = err;
	return -err;
}

int fail_sys(int err, const char *format, ...)
{
	char reason[96];
	char suffix[256];
	const char *hint = hint_for(err);
	va_list args;

	snprintf(suffix, sizeof(suffix), ": %s%s%s", strerror_r(err, reason, sizeof(reason)), hint ? "; " : "",
	    hint ? hint : "");
	va_start(args, format);
	remember(suffix, format, args);
	va_end(args);
	remembered_err = err;
	return -err;
}

int fail_with(int err, const char *text)
{
	return fail(err, "%s", text);
}

void err_prefix(const char *format, ...)
{
	char old[ERR_TEXT];
	va_list args;

	memcpy(old, remembered, sizeof(old));
	/* What happened matters more than where: at least half of the room is the old sentence's. */
	if (strlen(old) > ERR_TEXT / 2 + ERR_TEXT / 4)
		cut(old, ERR_TEXT / 2 + ERR_TEXT / 4);
	va_start(args, format);
	remember(old, format, args);
	va_end(args);
}

const char *err_text(void)
{
	return remembered;
}

int err_code(void)
{
	return remembered_err > 0 ? -remembered_err : -EIO;
}

void err_clear(void)
{
	remembered_err = 0;
	remembered[0] = '\0';
}
