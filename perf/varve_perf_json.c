/*
 * varve_perf_json.c - the JSON that varve-perf writes, and what it says of the machine.
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

/* ---- the machine ------------------------------------------------------------------------------------------------ */

const char *machine_filesystem(const char *path)
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

void machine_processor(char *name, size_t size)
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
	machine_processor(cpu, sizeof(cpu));
	json_t *cases = json_array(), *histories = json_array();
	for (size_t i = 0; i < report->histories_count; i++)
		json_array_append_new(histories, history_json(&report->histories[i]));
	for (size_t i = 0; i < report->results_count; i++)
		json_array_append_new(cases, result_json(&report->results[i]));
	json_t *root = json_pack("{s:s, s:{s:s, s:I, s:I, s:s}, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "varve",
	    varve_version(), "machine", "cpu", cpu, "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
	    (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), "architecture", system.machine, "kernel",
	    system.release, "filesystem", machine_filesystem(settings->dir), "io_method", report->io_method,
	    "io_reason", report->io_reason, "seed", (json_int_t)settings->seed, "runs", (json_int_t)settings->runs,
	    "histories", histories, "cases", cases);
	int r = root ? json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : -1;
	json_decref(root);
	return r < 0 ? perf_fail("%s: it could not be written: %s", path, strerror(errno)) : 0;
}
