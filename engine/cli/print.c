/*
 * print.c - messages, numbers for people, tables, JSON.
 *
 * Labels, file names and sentences of the library may hold any bytes, because they come from files that somebody else
 * may have written. Whatever goes to a terminal passes text_clean() first; whatever goes into JSON is made UTF-8.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

void *memory_take(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (!memory) {
		fputs("varve: out of memory\n", stderr);
		exit(EXIT_FAILED);
	}
	return memory;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

/* Length of the UTF-8 character at @s, 0 if it is none: as in RFC 3629, no surrogates, nothing longer than needed. */
static size_t utf8_length(const unsigned char *s)
{
	size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

/* Controls of ASCII and of Latin-1, line separators, and what turns the direction of writing about. */
static bool moves_cursor(const unsigned char *s)
{
	if (s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0))
		return true;
	if (s[0] != 0xe2 || (s[1] != 0x80 && s[1] != 0x81))
		return false;
	return s[1] == 0x80 ? s[2] >= 0xa8 && s[2] <= 0xae : s[2] >= 0xa6 && s[2] <= 0xa9;
}

char *text_clean(const char *text, bool line)
{
	const unsigned char *in = (const unsigned char *)text;
	char *copy = memory_take(strlen(text) + 1, 3); /* each byte may become U+FFFD, which has three */
	char *out = copy;

	while (*in) {
		size_t length = utf8_length(in);

		if (!length) {
			memcpy(out, "\xef\xbf\xbd", 3);
			out += 3;
		} else if (line && moves_cursor(in)) {
			*out++ = '?';
		} else {
			memcpy(out, in, length);
			out += length;
		}
		in += length ? length : 1;
	}
	return copy;
}

void print_clean(FILE *stream, const char *text)
{
	char *clean = text_clean(text, true);

	fputs(clean, stream);
	free(clean);
}

static void say(const char *lead, const char *text)
{
	progress_hide();
	fputs(lead, stderr);
	print_clean(stderr, text);
	fputc('\n', stderr);
}

static char *text_format(const char *format, va_list args)
{
	char *text;

	return vasprintf(&text, format, args) < 0 ? memory_take(1, 1) : text;
}

int complain(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = text_format(format, args);
	va_end(args);
	say("varve: ", text);
	free(text);
	return EXIT_FAILED;
}

int complain_about(int err, const char *format, ...)
{
	const char *why = varve_last_error();
	va_list args;
	char *text;

	if (!*why)
		why = strerror(-err);
	if (format) {
		va_start(args, format);
		text = text_format(format, args);
		va_end(args);
		complain("%s: %s", text, why);
		free(text);
	} else {
		complain("%s", why);
	}
	return err == -EBADMSG ? EXIT_DAMAGE : EXIT_FAILED;
}

void note(const char *text)
{
	say("varve: note: ", text);
}

/* ---- numbers, ids and times ------------------------------------------------------------------------------------- */

struct text text_id(const struct varve_id *id)
{
	struct text text;

	varve_id_format(id, text.s);
	return text;
}

struct text text_short(const struct varve_id *id)
{
	struct text text = text_id(id);

	text.s[12] = 0;
	return text;
}

struct text text_size(uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	struct text text;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text.s, sizeof(text.s), "%u B", (unsigned)bytes);
		return text;
	}
	/* 1023.95 would be printed as 1024. */
	for (; value >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= 1024;
	snprintf(text.s, sizeof(text.s), "%.*f %s", value < 9.95 ? 2 : value < 99.5 ? 1 : 0, value, units[unit]);
	return text;
}

struct text text_rate(uint64_t bytes, double seconds)
{
	double rate = seconds > 0 ? (double)bytes / seconds : 0;
	struct text text = text_size(rate < 1e19 ? (uint64_t)rate : UINT64_MAX);

	memcpy(text.s + strlen(text.s), "/s", 3);
	return text;
}

struct text text_seconds(double seconds)
{
	struct text text;
	unsigned long long whole;

	if (seconds < 0.9995)
		snprintf(text.s, sizeof(text.s), "%.3g ms", seconds * 1e3);
	else if (seconds < 59.95)
		snprintf(text.s, sizeof(text.s), "%.1f s", seconds);
	else if (seconds < 1e15) {
		whole = (unsigned long long)(seconds + 0.5);
		if (whole < 3600)
			snprintf(text.s, sizeof(text.s), "%llu min %llu s", whole / 60, whole % 60);
		else if (whole < 48 * 3600)
			snprintf(text.s, sizeof(text.s), "%llu h %llu min", whole / 3600, whole / 60 % 60);
		else
			snprintf(text.s, sizeof(text.s), "%llu days", whole / 86400);
	} else
		snprintf(text.s, sizeof(text.s), "a long time");
	return text;
}

/* Seconds and nanoseconds of a time that may lie before 1970. */
static time_t time_split(int64_t nanoseconds, long *rest)
{
	int64_t seconds = nanoseconds / 1000000000;

	*rest = (long)(nanoseconds % 1000000000);
	if (*rest < 0) {
		*rest += 1000000000;
		seconds--;
	}
	return (time_t)seconds;
}

struct text text_time(int64_t nanoseconds)
{
	struct text text = {"?"};
	struct tm tm;
	long rest;
	time_t seconds = time_split(nanoseconds, &rest);

	if (localtime_r(&seconds, &tm))
		strftime(text.s, sizeof(text.s), "%Y-%m-%d %H:%M:%S", &tm);
	return text;
}

struct text text_utc(int64_t nanoseconds)
{
	struct text text = {"?"};
	struct tm tm;
	long rest;
	time_t seconds = time_split(nanoseconds, &rest);
	size_t length;

	if (gmtime_r(&seconds, &tm)) {
		length = strftime(text.s, sizeof(text.s), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(text.s + length, sizeof(text.s) - length, ".%09ldZ", rest);
	}
	return text;
}

struct text text_count(uint64_t count, const char *one, const char *many)
{
	struct text text;

	snprintf(text.s, sizeof(text.s), "%llu %s", (unsigned long long)count, count == 1 ? one : many);
	return text;
}

const char *text_kind(enum varve_kind kind)
{
	switch (kind) {
	case VARVE_KIND_BASE:
		return "base";
	case VARVE_KIND_DELTA:
		return "delta";
	case VARVE_KIND_LAST:
		return "last";
	}
	return "?";
}
