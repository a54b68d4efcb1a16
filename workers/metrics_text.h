/*
 * metrics_text.h - OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/), piece by piece.
 */
#ifndef WORKERS_METRICS_TEXT_H
#define WORKERS_METRICS_TEXT_H

#include "bytes.h"

/** Room for the further labels of most samples. */
#define LABELS_MAX 256

struct text {
	struct buf *out; /**< bad where something did not fit */
	struct buf store; /**< the label that each sample has, escaped, with its name */
};

/** text_add() - at most 511 bytes. */
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** text_label() - name and value, escaped; the value may be any bytes. */
void text_label(struct buf *b, const char *name, const char *value);

/** text_family() - what stands before a family's samples. Names have no "varve_". @unit: what the name ends in; NULL: none. */
void text_family(struct text *t, const char *name, const char *type, const char *unit, const char *help);

/** text_sample(), text_seconds() - @labels: further ones, escaped, beginning with a comma; "": none. */
void text_sample(struct text *t, const char *name, const char *labels, uint64_t value);
void text_seconds(struct text *t, const char *name, const char *labels, double value);

/** text_gauge(), text_counter() - a family with one sample. */
void text_gauge(struct text *t, const char *name, const char *unit, const char *help, uint64_t value);
void text_counter(struct text *t, const char *name, const char *unit, const char *help, uint64_t value);

/** text_info() - a family whose sample is always 1, for what is told in words: @value as the label @key, and why. */
void text_info(
    struct text *t, const char *name, const char *help, const char *key, const char *value, const char *reason);

#endif
