/*
 * metrics_text.c - metadata, labels and numbers, as OpenMetrics wants them.
 */
#include "metrics_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

void text_add(struct text *t, const char *format, ...)
{
	char line[512];
	va_list args;
	va_start(args, format);
	int length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= sizeof(line))
		t->out->bad = true;
	else
		buf_put(t->out, line, (size_t)length);
}

/* A path may hold any bytes; the text must be UTF-8, and a label's value must not end early. */
void text_label(struct buf *b, const char *name, const char *value)
{
	buf_put(b, name, strlen(name));
	buf_put(b, "=\"", 2);
	for (const unsigned char *c = (const unsigned char *)value; *c;) {
		size_t length = utf8_length(c);
		if (*c == '\\' || *c == '"')
			buf_put(b, (const char[]) {'\\', (char)*c}, 2);
		else if (*c == '\n')
			buf_put(b, "\\n", 2);
		else if (length)
			buf_put(b, c, length);
		else
			buf_put(b, "\xef\xbf\xbd", 3);
		c += length ? length : 1;
	}
	buf_put(b, "\"", 1);
}

void text_family(struct text *t, const char *name, const char *type, const char *unit, const char *help)
{
	text_add(t, "# TYPE varve_%s %s\n", name, type);
	if (unit)
		text_add(t, "# UNIT varve_%s %s\n", name, unit);
	text_add(t, "# HELP varve_%s %s\n", name, help);
}

static void text_name(struct text *t, const char *name, const char *labels)
{
	text_add(t, "varve_%s{", name);
	buf_put(t->out, t->store.data, t->store.size);
	buf_put(t->out, labels, strlen(labels));
	buf_put(t->out, "} ", 2);
}

void text_sample(struct text *t, const char *name, const char *labels, uint64_t value)
{
	text_name(t, name, labels);
	text_add(t, "%llu\n", (unsigned long long)value);
}

void text_seconds(struct text *t, const char *name, const char *labels, double value)
{
	text_name(t, name, labels);
	text_add(t, "%.9g\n", value);
}

void text_gauge(struct text *t, const char *name, const char *unit, const char *help, uint64_t value)
{
	text_family(t, name, "gauge", unit, help);
	text_sample(t, name, "", value);
}

void text_counter(struct text *t, const char *name, const char *unit, const char *help, uint64_t value)
{
	char total[128];
	text_family(t, name, "counter", unit, help);
	snprintf(total, sizeof(total), "%s_total", name);
	text_sample(t, total, "", value);
}

void text_info(
    struct text *t, const char *name, const char *help, const char *key, const char *value, const char *reason)
{
	struct buf labels = {0};
	buf_put(&labels, ",", 1);
	text_label(&labels, key, value);
	buf_put(&labels, ",", 1);
	text_label(&labels, "reason", reason);
	buf_u8(&labels, 0);
	text_family(t, name, "gauge", NULL, help);
	if (labels.bad)
		t->out->bad = true;
	else
		text_sample(t, name, (const char *)labels.data, 1);
	buf_free(&labels);
}
