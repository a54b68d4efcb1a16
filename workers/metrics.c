/*
 * metrics.c - the figures as OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/).
 *
 * Families that are also in the older Prometheus text format are all that is used (no info, no stateset), so that the
 * node exporter's textfile collector takes it, too. There is no series per module: a store may have a million of them.
 */
#include <stdarg.h>
#include <stdio.h>

#include "coordinator.h"
#include "figures.h"
#include "utf8.h"

/** Histograms have a bound for each power of two from 2^14 ns (16 µs) to 2^35 ns (34 s). */
#define LEAST_BITS 14
#define MOST_BITS 35
#define LABELS_MAX 256

struct text {
	struct buf *out;
	struct buf store; /**< the label, escaped, with its name and a NUL */
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *format, ...)
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
static void put_label(struct buf *b, const char *name, const char *value)
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

/* @unit is what the name ends in, if it has one. */
static void family(struct text *t, const char *name, const char *type, const char *unit, const char *help)
{
	add(t, "# TYPE varve_%s %s\n", name, type);
	if (unit)
		add(t, "# UNIT varve_%s %s\n", name, unit);
	add(t, "# HELP varve_%s %s\n", name, help);
}

/* @labels: further ones, escaped, beginning with a comma; "": none. */
static void sample_name(struct text *t, const char *name, const char *labels)
{
	add(t, "varve_%s{", name);
	buf_put(t->out, t->store.data, t->store.size);
	add(t, "%s} ", labels);
}

static void sample(struct text *t, const char *name, const char *labels, uint64_t value)
{
	sample_name(t, name, labels);
	add(t, "%llu\n", (unsigned long long)value);
}

static void sample_seconds(struct text *t, const char *name, const char *labels, double value)
{
	sample_name(t, name, labels);
	add(t, "%.9g\n", value);
}

static void gauge(struct text *t, const char *name, const char *unit, const char *help, uint64_t value)
{
	family(t, name, "gauge", unit, help);
	sample(t, name, "", value);
}

static void counter(struct text *t, const char *name, const char *unit, const char *help, uint64_t value)
{
	char total[128];
	family(t, name, "counter", unit, help);
	snprintf(total, sizeof(total), "%s_total", name);
	sample(t, total, "", value);
}

/* ---- the store -------------------------------------------------------------------------------------------------- */

static void put_process(struct text *t, const struct varve_stat *stat)
{
	family(t, "build_info", "gauge", NULL, "The version of the coordinator.");
	sample(t, "build_info", ",version=\"" VARVE_VERSION_STRING "\"", 1);
	family(t, "uptime_seconds", "gauge", "seconds", "How long the coordinator has run.");
	sample_seconds(t, "uptime_seconds", "", stat->uptime);
	gauge(t, "clients", NULL, "Connections of clients.", stat->clients);
	gauge(t, "sessions", NULL, "Sessions that are open, 0 or 1.", stat->session_pid != 0);
	if (stat->io_method[0])
		gauge(t, "io_uring", NULL, "Whether workers read with io_uring (1) or with plain calls (0).",
		    strcmp(stat->io_method, "io_uring") == 0);
	if (stat->sandbox)
		gauge(t, "sandbox", NULL,
		    "Whether workers are in a sandbox of which nothing is missing (1) or not (0).",
		    strcmp(stat->sandbox, "on") == 0);
}

static void put_store(struct text *t, const struct varve_stat *stat)
{
	static const char *const kinds[] = {"base", "deltas", "last", "tiers", "undo", "other"};
	uint64_t bytes[6] = {0}, chain = 0, longest = 0, images = 0;
	for (size_t i = 0; i < stat->modules_count; i++) {
		const struct varve_module_stat *m = &stat->modules[i];
		uint64_t known = m->tiers_bytes + m->undo_bytes;
		uint64_t of[6] = {m->base_bytes, m->deltas_bytes, m->last_bytes, m->tiers_bytes, m->undo_bytes,
		    m->private_bytes > known ? m->private_bytes - known : 0};
		for (unsigned k = 0; k < 6; k++)
			bytes[k] += of[k];
		chain += m->commits;
		longest = m->commits > longest ? m->commits : longest;
		images += m->size;
	}
	gauge(t, "commits", NULL, "Commits in the history.", stat->commits);
	gauge(t, "commits_persisted", NULL, "Commits that the file `commits` holds.", stat->persisted);
	gauge(t, "modules", NULL, "Modules that were committed.", stat->modules_count);
	gauge(t, "module_commits", NULL, "Lengths of all modules' chains together.", chain);
	gauge(t, "chain_length_max", NULL, "Length of the longest chain of a module.", longest);
	gauge(t, "image_bytes", "bytes", "Newest images of all modules together.", images);
	family(t, "disk_bytes", "gauge", "bytes",
	    "What the store takes, by what it is for; tiers, undo and other can be made again.");
	for (unsigned k = 0; k < 6; k++) {
		char label[32];
		snprintf(label, sizeof(label), ",kind=\"%s\"", kinds[k]);
		sample(t, "disk_bytes", label, bytes[k]);
	}
	counter(t, "damage_found", NULL, "Damaged files that operations have met.", stat->damage_found);
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
		sample(t, "operation_duration_seconds_bucket", labels, latency_up_to(operation->latency, bits));
	}
	snprintf(labels, sizeof(labels), "%s,le=\"+Inf\"", operation->label);
	sample(t, "operation_duration_seconds_bucket", labels, operation->latency->count);
	sample(t, "operation_duration_seconds_count", operation->label, operation->latency->count);
	sample_seconds(t, "operation_duration_seconds_sum", operation->label, (double)operation->latency->sum_ns / 1e9);
}

static void put_operations(struct text *t, const struct figures *figures)
{
	const struct operation operations[OPERATIONS] = {
	    {",operation=\"restore\"", &figures->restores},
	    {",operation=\"checkout\"", &figures->checkouts},
	    {",operation=\"commit\"", &figures->commits},
	};
	family(t, "operation_duration_seconds", "histogram", "seconds",
	    "Operations that succeeded, from the request to the answer.");
	for (unsigned i = 0; i < OPERATIONS; i++)
		put_histogram(t, &operations[i]);
	family(
	    t, "operation_longest_seconds", "gauge", "seconds", "The longest of them since the coordinator started.");
	for (unsigned i = 0; i < OPERATIONS; i++)
		sample_seconds(
		    t, "operation_longest_seconds", operations[i].label, (double)operations[i].latency->max_ns / 1e9);
	family(t, "operation_failures", "counter", NULL, "Operations that failed or were cancelled.");
	for (unsigned i = 0; i < OPERATIONS; i++)
		sample(t, "operation_failures_total", operations[i].label, operations[i].latency->failed);
}

static void put_queue(struct text *t, const struct varve_stat *stat)
{
	uint64_t running = 0, waiting = 0;
	for (size_t i = 0; i < stat->operations_count; i++) {
		running += !stat->operations[i].waiting;
		waiting += stat->operations[i].waiting;
	}
	gauge(t, "operations_running", NULL, "Operations under way.", running);
	gauge(t, "operations_waiting", NULL, "Operations that wait for their turn.", waiting);
	gauge(t, "jobs_running", NULL, "Jobs that workers work on.", stat->jobs_running);
	gauge(t, "jobs_waiting", NULL, "Jobs that no worker has taken yet.", stat->jobs_waiting);
	counter(t, "jobs", NULL, "Jobs done, by workers and by the coordinator.", stat->jobs);
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

struct column {
	const char *family;
	const char *unit;
	const char *help;
	uint64_t (*value)(const struct varve_worker_stat *worker);
	double (*seconds)(const struct varve_worker_stat *worker);
};

static uint64_t jobs_of(const struct varve_worker_stat *worker)
{
	return worker->jobs;
}

static uint64_t read_of(const struct varve_worker_stat *worker)
{
	return worker->bytes_read;
}

static uint64_t written_of(const struct varve_worker_stat *worker)
{
	return worker->bytes_written;
}

static double busy_of(const struct varve_worker_stat *worker)
{
	return worker->busy_seconds;
}

static const struct column columns[] = {
    {"worker_jobs", NULL, "Jobs that this process has done; each worker process starts from 0.", jobs_of, NULL},
    {"worker_read_bytes", "bytes", "What it has read.", read_of, NULL},
    {"worker_written_bytes", "bytes", "What it has written.", written_of, NULL},
    {"worker_busy_seconds", "seconds", "How long it has worked.", NULL, busy_of},
};

static void put_pool(struct text *t, const struct column *column, const char *pool,
    const struct varve_worker_stat *workers, size_t count)
{
	char labels[LABELS_MAX], name[128];
	snprintf(name, sizeof(name), "%s_total", column->family);
	for (size_t i = 0; i < count; i++) {
		if (!workers[i].pid)
			continue;
		snprintf(labels, sizeof(labels), ",pool=\"%s\",worker=\"%zu\"", pool, i);
		if (column->value)
			sample(t, name, labels, column->value(&workers[i]));
		else
			sample_seconds(t, name, labels, column->seconds(&workers[i]));
	}
}

static void put_workers(struct text *t, const struct varve_stat *stat)
{
	uint64_t running = 0, busy = 0;
	for (size_t i = 0; i < stat->workers_count; i++) {
		running += stat->workers[i].pid != 0;
		busy += stat->workers[i].busy;
	}
	gauge(t, "workers_limit", NULL, "Most worker processes that there can be.", stat->workers_count);
	gauge(t, "workers_running", NULL, "Worker processes, those of the background aside.", running);
	gauge(t, "workers_busy", NULL, "Those that have a job.", busy);
	counter(t, "worker_deaths", NULL, "Workers that were replaced because they died.", stat->worker_deaths);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		family(t, columns[i].family, "counter", columns[i].unit, columns[i].help);
		put_pool(t, &columns[i], "main", stat->workers, stat->workers_count);
		put_pool(t, &columns[i], "background", stat->background, stat->background_count);
	}
}

void metrics_write(const struct varve_stat *stat, const struct figures *figures, struct buf *out)
{
	struct text t = {.out = out};
	put_label(&t.store, "store", stat->store);
	put_process(&t, stat);
	put_store(&t, stat);
	put_operations(&t, figures);
	put_queue(&t, stat);
	put_workers(&t, stat);
	add(&t, "# EOF\n");
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
