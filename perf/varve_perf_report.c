/*
 * varve_perf_report.c - what came out, as a table for people.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "varve_perf.h"

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
	machine_processor(cpu, sizeof(cpu));
	printf("%s, %ld CPUs, Linux %s, %s, reading by %s, seed %" PRIu64 ", varve %s\n", cpu,
	    sysconf(_SC_NPROCESSORS_ONLN), system.release, machine_filesystem(settings->dir), report->io_method,
	    settings->seed, varve_version());
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
