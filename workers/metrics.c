/*
 * metrics.c - the figures as OpenMetrics text: the store, and how long operations took.
 *
 * Families that are also in the older Prometheus text format are all that is used (no info, no stateset), so that the
 * node exporter's textfile collector takes it, too. There is no series per module: a store may have a million of them.
 */
#include <stdio.h>

#include "coordinator.h"
#include "figures.h"
#include "metrics_text.h"

/** Histograms have a bound for each power of two from 2^14 ns (16 µs) to 2^35 ns (34 s). */
#define LEAST_BITS 14
#define MOST_BITS 35

/* ---- the store -------------------------------------------------------------------------------------------------- */

static void put_process(struct text *t, const struct varve_stat *stat)
{
	text_family(t, "build_info", "gauge", NULL, "The version of the coordinator.");
	text_sample(t, "build_info", ",version=\"" VARVE_VERSION_STRING "\"", 1);
	text_family(t, "uptime_seconds", "gauge", "seconds", "How long the coordinator has run.");
	text_seconds(t, "uptime_seconds", "", stat->uptime);
	text_gauge(t, "clients", NULL, "Connections of clients.", stat->clients);
	text_gauge(t, "sessions", NULL, "Sessions that are open, 0 or 1.", stat->session_pid != 0);
	if (stat->io_method[0])
		text_gauge(t, "io_uring", NULL, "Whether workers read with io_uring (1) or with plain calls (0).",
		    strcmp(stat->io_method, "io_uring") == 0);
	if (stat->sandbox)
		text_gauge(t, "sandbox", NULL,
		    "Whether workers are in a sandbox of which nothing is missing (1) or not (0).",
		    strcmp(stat->sandbox, "on") == 0);
	if (stat->io_method[0])
		text_info(t, "io_info", "How workers read, and why not with io_uring.", "method", stat->io_method,
		    stat->io_reason);
	if (stat->sandbox)
		text_info(t, "sandbox_info", "How workers are confined (on, partial, off), and what is missing.",
		    "state", stat->sandbox, stat->sandbox_reason);
}

#define KINDS 8

static void put_disk(struct text *t, const struct varve_stat *stat)
{
	static const char *const kinds[KINDS] = {
	    "base", "deltas", "last", "tiers", "undo", "backing", "history", "other"};
	uint64_t bytes[KINDS] = {[5] = stat->backing_bytes, [6] = stat->history_bytes}, known = 0;
	for (size_t i = 0; i < stat->modules_count; i++) {
		const struct varve_module_stat *m = &stat->modules[i];
		const uint64_t of[] = {m->base_bytes, m->deltas_bytes, m->last_bytes, m->tiers_bytes, m->undo_bytes};
		for (unsigned k = 0; k < sizeof(of) / sizeof(of[0]); k++)
			bytes[k] += of[k];
	}
	for (unsigned k = 0; k + 1 < KINDS; k++)
		known += bytes[k];
	bytes[KINDS - 1] = stat->disk_bytes > known ? stat->disk_bytes - known : 0;
	text_family(t, "disk_bytes", "gauge", "bytes",
	    "What the store takes on disk, by what it is for; tiers, undo, backing and other can be made again.");
	for (unsigned k = 0; k < KINDS; k++) {
		char label[32];
		snprintf(label, sizeof(label), ",kind=\"%s\"", kinds[k]);
		text_sample(t, "disk_bytes", label, bytes[k]);
	}
	text_gauge(t, "store_bytes", "bytes", "All of that together.", stat->disk_bytes);
}

static void put_store(struct text *t, const struct varve_stat *stat)
{
	uint64_t chain = 0, longest = 0, images = 0;
	for (size_t i = 0; i < stat->modules_count; i++) {
		const struct varve_module_stat *m = &stat->modules[i];
		chain += m->commits;
		longest = m->commits > longest ? m->commits : longest;
		images += m->size;
	}
	text_gauge(t, "commits", NULL, "Commits in the history.", stat->commits);
	text_gauge(t, "commits_persisted", NULL, "Commits that the file `commits` holds.", stat->persisted);
	text_gauge(t, "modules", NULL, "Modules that were committed.", stat->modules_count);
	text_gauge(t, "module_commits", NULL, "Lengths of all modules' chains together.", chain);
	text_gauge(t, "chain_length_max", NULL, "Length of the longest chain of a module.", longest);
	text_gauge(t, "image_bytes", "bytes", "Newest images of all modules together.", images);
	put_disk(t, stat);
	text_counter(t, "damage_found", NULL,
	    "How often operations have met damage; one file that is met twice counts twice.", stat->damage_found);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

#define OPERATIONS 3

struct operation {
	const char *label;
	const struct latency *latency;
};

static void put_histogram(struct text *t, const struct operation *operation)
{
	char labels[LABELS_MAX];
	for (unsigned bits = LEAST_BITS; bits <= MOST_BITS; bits++) {
		snprintf(labels, sizeof(labels), "%s,le=\"%.12g\"", operation->label, (double)(1ull << bits) / 1e9);
		text_sample(t, "operation_duration_seconds_bucket", labels, latency_up_to(operation->latency, bits));
	}
	snprintf(labels, sizeof(labels), "%s,le=\"+Inf\"", operation->label);
	text_sample(t, "operation_duration_seconds_bucket", labels, operation->latency->count);
	text_sample(t, "operation_duration_seconds_count", operation->label, operation->latency->count);
	text_seconds(t, "operation_duration_seconds_sum", operation->label, (double)operation->latency->sum_ns / 1e9);
}

/* Quantiles as `varve status` has them; what a histogram with a bound for each power of two yields is coarser. There are
 * none of nothing. */
static void put_summary(struct text *t, const struct operation *operation)
{
	static const double quantiles[] = {0.5, 0.95, 0.99, 1};
	const struct varve_latency l = latency_describe(operation->latency);
	const double values[] = {l.p50, l.p95, l.p99, l.max};
	char labels[LABELS_MAX];
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]) && l.count; i++) {
		snprintf(labels, sizeof(labels), "%s,quantile=\"%g\"", operation->label, quantiles[i]);
		text_seconds(t, "operation_latency_seconds", labels, values[i]);
	}
	text_sample(t, "operation_latency_seconds_count", operation->label, l.count);
	text_seconds(t, "operation_latency_seconds_sum", operation->label, l.sum);
}

static void put_operations(struct text *t, const struct figures *figures)
{
	const struct operation operations[OPERATIONS] = {
	    {",operation=\"restore\"", &figures->restores},
	    {",operation=\"checkout\"", &figures->checkouts},
	    {",operation=\"commit\"", &figures->commits},
	};
	text_family(t, "operation_duration_seconds", "histogram", "seconds",
	    "Operations that succeeded, from the request to the answer.");
	for (unsigned i = 0; i < OPERATIONS; i++)
		put_histogram(t, &operations[i]);
	text_family(t, "operation_latency_seconds", "summary", "seconds",
	    "The same; quantiles are of all since the coordinator started, at most 1/32 too high. 1: the longest.");
	for (unsigned i = 0; i < OPERATIONS; i++)
		put_summary(t, &operations[i]);
	text_family(
	    t, "operation_longest_seconds", "gauge", "seconds", "The longest of them since the coordinator started.");
	for (unsigned i = 0; i < OPERATIONS; i++)
		text_seconds(
		    t, "operation_longest_seconds", operations[i].label, (double)operations[i].latency->max_ns / 1e9);
	text_family(t, "operation_failures", "counter", NULL, "Operations that failed or were cancelled.");
	for (unsigned i = 0; i < OPERATIONS; i++)
		text_sample(t, "operation_failures_total", operations[i].label, operations[i].latency->failed);
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

void metrics_write(const struct varve_stat *stat, const struct figures *figures, struct buf *out)
{
	struct text t = {.out = out};
	text_label(&t.store, "store", stat->store);
	put_process(&t, stat);
	put_store(&t, stat);
	put_operations(&t, figures);
	metrics_processes(&t, stat);
	text_add(&t, "# EOF\n");
	if (t.store.bad)
		out->bad = true;
	buf_free(&t.store);
}

int metrics_text(struct coordinator *c, struct buf *out)
{
	struct varve_stat stat;
	int r = figures_take(c, &stat);
	if (!r)
		metrics_write(&stat, &c->figures, out);
	figures_drop(&stat);
	return r;
}
