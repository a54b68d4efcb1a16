/*
 * varve_perf_text.c - quantities in units that people read, and what has to be escaped where.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "varve_perf_report.h"

/* Three significant digits, and no trailing point. */
static void digits(struct text *text, double value, const char *unit)
{
	if (value >= 999999.5) {
		snprintf(text->s, sizeof(text->s), "%.3g%s%s", value, unit[0] ? " " : "", unit);
		return;
	}
	int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
	snprintf(text->s, sizeof(text->s), "%.*f%s%s", decimals, value, unit[0] ? " " : "", unit);
}

struct text text_duration(double seconds)
{
	static const struct {
		double unit;
		const char *name;
	} units[] = {{1e-9, "ns"}, {1e-6, "µs"}, {1e-3, "ms"}, {1, "s"}};
	struct text text = {""};
	size_t i = 0;
	if (isnan(seconds))
		return text;
	while (i < 3 && seconds >= 0.9995 * units[i + 1].unit)
		i++;
	digits(&text, seconds / units[i].unit, units[i].name);
	return text;
}

struct text text_bytes(double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	struct text text = {""};
	size_t i = 0;
	if (isnan(bytes))
		return text;
	for (; i < 4 && bytes >= 1023.5; i++)
		bytes /= 1024;
	if (i == 0 || bytes == floor(bytes))
		snprintf(text.s, sizeof(text.s), "%.0f %s", bytes, units[i]);
	else
		digits(&text, bytes, units[i]);
	return text;
}

struct text text_ratio(double ratio)
{
	struct text text = {""};
	if (isnan(ratio))
		return text;
	digits(&text, ratio, "");
	return text;
}

struct text text_count(double count)
{
	char plain[32];
	struct text text = {""};
	size_t at = 0;
	if (isnan(count) || count >= 1e15)
		return text;
	snprintf(plain, sizeof(plain), "%.0f", count);
	for (size_t i = 0, n = strlen(plain); i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			text.s[at++] = ',';
		text.s[at++] = plain[i];
	}
	return text;
}

size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xC0) != 0x80;
	return width;
}

void text_html(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			putc(*text, out);
		}
	}
}

/* In Markdown a backslash makes any ASCII punctuation mean itself; in front of others it would be shown. HTML could
 * still come in by <, so that and & are written as HTML has them. */
void text_markdown(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '&')
			fputs("&amp;", out);
		else if (strchr("\\`*_{}[]|#!~$>", *text))
			fprintf(out, "\\%c", *text);
		else
			putc(*text, out);
	}
}

void text_plain(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c & 0xC0) != 0x80) /* one for a whole character of UTF-8 */
			putc(c < 0x80 && (isalnum(c) || strchr(" .,:;()/+-_=?", c)) ? c : '.', out);
	}
}
