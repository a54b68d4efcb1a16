/*
 * varve_perf_report.c - what came out: a table for people, JSON for programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <jansson.h>
#include <linux/magic.h>

#include "varve_perf.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

const char *const scheme_names[] = {"copy", "naive walk", "restore", "back by one", "forward by one"};

int series_add(struct series *series, double seconds)
{
	if (series->count == series->capacity) {
		size_t capacity = series->capacity ? 2 * series->capacity : 16;
		double *list = realloc(series->seconds, capacity * sizeof(*list));
		if (!list)
			return perf_fail("out of memory");
		series->seconds = list;
		series->capacity = capacity;
	}
	series->seconds[series->count++] = seconds;
	return 0;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The median of the copies of the same history in the same state, which come first. */
static double copy_median(const struct report *report, const struct result *result)
{
	for (size_t i = report->results_count; i-- > 0;) {
		const struct result *other = &report->results[i];
		if (other->scheme == SCHEME_COPY && other->cold == result->cold &&
		    !strcmp(other->history, result->history))
			return other->median;
	}
	return result->median;
}

int report_add(struct report *report, const struct result *what, const struct series *series)
{
	struct result *results = realloc(report->results, (report->results_count + 1) * sizeof(*results));
	if (!results)
		return perf_fail("out of memory");
	report->results = results;
	struct result *result = &results[report->results_count];
	double *s = series->seconds;
	size_t n = series->count;
	*result = *what;
	qsort(s, n, sizeof(*s), compare_doubles);
	result->count = n;
	result->median = n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
	result->p95 = s[(n - 1) * 95 / 100 + ((n - 1) * 95 % 100 != 0)];
	result->min = s[0];
	result->max = s[n - 1];
	result->to_copy = result->median / copy_median(report, result);
	report->results_count++;
	return 0;
}

int report_add_history(struct report *report, const struct history_figures *figures)
{
	struct history_figures *list = realloc(report->histories, (report->histories_count + 1) * sizeof(*list));
	if (!list)
		return perf_fail("out of memory");
	report->histories = list;
	list[report->histories_count++] = *figures;
	return 0;
}

void report_release(struct report *report)
{
	free(report->results);
	free(report->histories);
	*report = (struct report) {0};
}

/* ---- the machine ------------------------------------------------------------------------------------------------ */

static const char *filesystem(const char *path)
{
	static char number[32];
	struct statfs fs;
	if (statfs(path, &fs) < 0)
		return "unknown";
	switch ((uint32_t)fs.f_type) {
	case EXT4_SUPER_MAGIC:
		return "ext4";
	case XFS_SUPER_MAGIC:
		return "xfs";
	case BTRFS_SUPER_MAGIC:
		return "btrfs";
	case TMPFS_MAGIC:
		return "tmpfs";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlayfs";
	default:
		snprintf(number, sizeof(number), "0x%" PRIx32, (uint32_t)fs.f_type);
		return number;
	}
}

static void processor(char *name, size_t size)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");
	snprintf(name, size, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		char *value = strchr(line, ':');
		if (!value || strncmp(line, "model name", 10) != 0)
			continue;
		value += strspn(value, ": ");
		value[strcspn(value, "\n")] = '\0';
		snprintf(name, size, "%s", value);
		break;
	}
	if (f)
		fclose(f);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const char *duration(double seconds, char text[16])
{
	if (seconds < 0.01)
		snprintf(text, 16, "%.0f us", seconds * 1e6);
	else if (seconds < 10)
		snprintf(text, 16, "%.1f ms", seconds * 1e3);
	else
		snprintf(text, 16, "%.2f s", seconds);
	return text;
}

static void print_row(const struct result *r)
{
	char workers[16] = "", median[16], p95[16], spread[40], min[16], max[16], module[16];
	if (r->workers)
		snprintf(workers, sizeof(workers), "%u", r->workers);
	duration(r->median, median);
	duration(r->p95, p95);
	duration(r->median / (double)r->modules, module);
	snprintf(spread, sizeof(spread), "%s to %s", duration(r->min, min), duration(r->max, max));
	printf("  %-14s  %7s  %10s  %10s  %22s  %10s  %7.2f  %3zu\n", scheme_names[r->scheme], workers, median, p95,
	    spread, module, r->to_copy, r->count);
}

static void print_history(const struct history_figures *h)
{
	char commit[16];
	printf("\n%s: %zu commits of %zu module%s, images of %.1f MB in all, stored in %.1f MB; a commit took %s\n",
	    h->name, h->commits, h->modules, h->modules == 1 ? "" : "s", (double)h->image_bytes / 1e6,
	    (double)h->stored_bytes / 1e6, duration(h->commit_seconds, commit));
}

void report_print(const struct report *report, const struct settings *settings)
{
	struct utsname system;
	char cpu[128];
	uname(&system);
	processor(cpu, sizeof(cpu));
	printf("%s, %ld CPUs, Linux %s, %s, reading by %s, seed %" PRIu64 ", varve %s\n", cpu,
	    sysconf(_SC_NPROCESSORS_ONLN), system.release, filesystem(settings->dir), report->io_method, settings->seed,
	    varve_version());
	if (report->io_reason[0])
		printf("%s\n", report->io_reason);
	for (size_t i = 0; i < report->histories_count; i++) {
		const struct history_figures *h = &report->histories[i];
		print_history(h);
		for (int cold = 0; cold <= 1; cold++) {
			bool head = false;
			for (size_t j = 0; j < report->results_count; j++) {
				const struct result *r = &report->results[j];
				if (strcmp(r->history, h->name) != 0 || r->cold != cold)
					continue;
				if (!head)
					printf("  %-14s  %7s  %10s  %10s  %22s  %10s  %7s  %3s\n",
					    cold ? "COLD" : "WARM", "workers", "median", "p95", "spread", "per module",
					    "x copy", "n");
				head = true;
				print_row(r);
			}
		}
	}
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static json_t *result_json(const struct result *r)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "history", r->history, "state",
	    r->cold ? "cold" : "warm", "scheme", scheme_names[r->scheme], "workers", (json_int_t)r->workers, "modules",
	    (json_int_t)r->modules, "image_bytes", (json_int_t)r->image_bytes, "n", (json_int_t)r->count, "median",
	    r->median, "p95", r->p95, "min", r->min, "max", r->max, "ratio_to_copy", r->to_copy);
}

static json_t *history_json(const struct history_figures *h)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "name", h->name, "commits", (json_int_t)h->commits,
	    "modules", (json_int_t)h->modules, "image_bytes", (json_int_t)h->image_bytes, "stored_bytes",
	    (json_int_t)h->stored_bytes, "commit_seconds", h->commit_seconds);
}

int report_json(const struct report *report, const struct settings *settings, const char *path)
{
	struct utsname system;
	char cpu[128];
	uname(&system);
	processor(cpu, sizeof(cpu));
	json_t *cases = json_array(), *histories = json_array();
	for (size_t i = 0; i < report->histories_count; i++)
		json_array_append_new(histories, history_json(&report->histories[i]));
	for (size_t i = 0; i < report->results_count; i++)
		json_array_append_new(cases, result_json(&report->results[i]));
	json_t *root = json_pack("{s:s, s:{s:s, s:I, s:I, s:s}, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "varve",
	    varve_version(), "machine", "cpu", cpu, "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
	    (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), "architecture", system.machine, "kernel",
	    system.release, "filesystem", filesystem(settings->dir), "io_method", report->io_method, "io_reason",
	    report->io_reason, "seed", (json_int_t)settings->seed, "runs", (json_int_t)settings->runs, "histories",
	    histories, "cases", cases);
	int r = root ? json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : -1;
	json_decref(root);
	return r < 0 ? perf_fail("%s: it could not be written: %s", path, strerror(errno)) : 0;
}
