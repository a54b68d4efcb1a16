/*
 * varve_perf_json.c - the JSON that varve-perf writes, and what it says of the machine. README.md describes it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <linux/magic.h>

#include "varve_perf.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

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

static json_t *machine_json(const struct report *report, const struct settings *settings)
{
	struct utsname system;
	char cpu[128];
	uname(&system);
	processor(cpu, sizeof(cpu));
	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:s}", "cpu", cpu, "cpus", (json_int_t)settings->cpus,
	    "memory_bytes", (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), "architecture", system.machine,
	    "kernel", system.release, "filesystem", filesystem(settings->dir), "io_method", report->io_method,
	    "io_reason", report->io_reason);
}

/* ---- what was measured ------------------------------------------------------------------------------------------ */

/* What the library reported is a sum; a restore's share of it is told. */
static void reported_json(json_t *json, const struct row *row)
{
	size_t n = row->series.count;
	if (!row->reported || !n)
		return;
	json_object_set_new(json, "bytes_written", json_integer((json_int_t)(row->bytes_written / n)));
	json_object_set_new(json, "bytes_read", json_integer((json_int_t)(row->bytes_read / n)));
	json_object_set_new(json, "deltas_applied", json_real((double)row->deltas / (double)n));
	json_object_set_new(json, "coordinator_seconds", json_real(row->inside / (double)n));
}

static json_t *row_json(const struct row *row, double copy)
{
	const struct series *series = &row->series;
	json_t *samples = json_array();
	double median = series_quantile(series, 0.5);
	for (size_t i = 0; i < series->count; i++)
		json_array_append_new(samples, json_real(series->seconds[i]));
	json_t *json = json_pack("{s:s, s:o, s:f, s:f, s:f, s:f}", "scheme", row->scheme, "seconds", samples, "median",
	    median, "p95", series_quantile(series, 0.95), "min", series_quantile(series, 0), "max",
	    series_quantile(series, 1));
	if (!json)
		return NULL;
	json_object_set_new(json, "workers", row->workers ? json_integer(row->workers) : json_null());
	json_object_set_new(json, "ratio_to_copy", copy > 0 ? json_real(median / copy) : json_null());
	reported_json(json, row);
	if (row->pages_dirtied >= 0)
		json_object_set_new(json, "pages_dirtied", json_integer(row->pages_dirtied));
	if (row->disk_bytes)
		json_object_set_new(json, "disk_bytes", json_integer((json_int_t)row->disk_bytes));
	return json;
}

static json_t *case_json(const struct perf_case *c)
{
	const struct row *copy = case_find(c, SCHEME_COPY, 0);
	json_t *rows = json_array();
	for (size_t i = 0; i < c->rows_count; i++)
		if (c->rows[i].series.count)
			json_array_append_new(
			    rows, row_json(&c->rows[i], copy ? series_quantile(&copy->series, 0.5) : 0));
	json_t *disk = json_pack("{s:I, s:I, s:I, s:I, s:I}", "base_bytes", (json_int_t)c->disk.base_bytes,
	    "delta_bytes", (json_int_t)c->disk.delta_bytes, "last_bytes", (json_int_t)c->disk.last_bytes, "tier_bytes",
	    (json_int_t)c->disk.tier_bytes, "undo_bytes", (json_int_t)c->disk.undo_bytes);
	json_t *json = json_pack("{s:s, s:s, s:s, s:f, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:o, s:f, s:I, s:s, s:o}",
	    "name", c->name, "group", c->group, "title", c->title, "x", c->x, "x_name", c->x_name, "x_unit", c->x_unit,
	    "pattern", pattern_names[c->pattern], "commits", (json_int_t)c->commits, "modules", (json_int_t)c->modules,
	    "image_bytes", (json_int_t)c->image_bytes, "state", c->cold ? "cold" : "warm", "disk", disk,
	    "commit_seconds", c->commit_seconds, "worker_peak_bytes", (json_int_t)c->worker_peak_bytes, "left_out",
	    c->left_out, "rows", rows);
	if (json)
		json_object_set_new(json, "position", c->position < 0 ? json_null() : json_integer(c->position));
	return json;
}

static json_t *figure_json(const struct figure *figure)
{
	bool reached = figure->more ? figure->value >= figure->target : figure->value <= figure->target;
	return json_pack("{s:s, s:f, s:f, s:s, s:s, s:b, s:s}", "name", figure->name, "target", figure->target, "value",
	    figure->value, "unit", figure->unit, "better", figure->more ? "more" : "less", "reached", reached, "remark",
	    figure->remark);
}

int report_json(const struct report *report, const struct settings *settings, const char *path)
{
	char now[32];
	time_t t = time(NULL);
	struct tm tm;
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	json_t *cases = json_array(), *figures = json_array();
	for (size_t i = 0; i < report->cases_count; i++)
		json_array_append_new(cases, case_json(&report->cases[i]));
	for (size_t i = 0; i < report->figures_count; i++)
		json_array_append_new(figures, figure_json(&report->figures[i]));
	json_t *root = json_pack("{s:s, s:s, s:s, s:o, s:I, s:o, s:o}", "format", "varve-perf 2", "varve",
	    varve_version(), "time", now, "machine", machine_json(report, settings), "seed", (json_int_t)settings->seed,
	    "cases", cases, "figures", figures);
	int r = root ? json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : -1;
	json_decref(root);
	return r < 0 ? perf_fail("%s: it could not be written: %s", path, strerror(errno)) : 0;
}
