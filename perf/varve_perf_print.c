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

int report_print(const struct report *report, const struct settings *settings)
{
	char path[64];
	int fd = memfd_create("varve-perf", MFD_CLOEXEC);
	if (fd < 0)
		return perf_fail("memory for the table: %s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int r = report_json(report, settings, path);
	if (!r && print(path) < 0)
		r = perf_fail("the table: %s", err_text());
	close(fd);
	return r;
}
