/*
 * varve_perf_print.c - what was just measured, on the terminal: by the same way that any result goes, so that a table
 * never says what the JSON does not.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "varve_perf.h"
#include "varve_perf_report.h"

static int print(const char *path)
{
	struct document document;
	struct tables tables;
	int r = document_read(&document, path);
	if (r)
		return r;
	r = tables_make(&tables, &document);
	if (!r) {
		terminal_report(stdout, &document, &tables);
		tables_release(&tables);
	}
	document_release(&document);
	return r;
}

void report_print(const struct report *report, const struct settings *settings)
{
	char path[64];
	int fd = memfd_create("varve-perf", MFD_CLOEXEC);
	if (fd < 0) {
		perf_fail("memory for the table: %s", strerror(errno));
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (report_json(report, settings, path) == 0 && print(path) < 0)
		perf_fail("the table: %s", err_text());
	close(fd);
}
