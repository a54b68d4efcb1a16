/*
 * status.h - what the files of `varve status` share.
 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include <stdio.h>

#include "cli.h"

/** What has happened between two looks; all 0 for the first one. */
struct status_rates {
	double seconds; /**< between them; 0: there was none before */
	double jobs; /**< a second, as the next two */
	double bytes_read;
	double bytes_written;
	double busy; /**< workers that were at work, on average */
	double *shares; /**< for each worker, its busy share in that time; NULL: there was no look before */
};

/** status_json() - everything, as an object; the caller's. */
json_t *status_json(const struct varve_stat *stat);

/** status_print() - everything, for people. @rates: NULL where there was only one look. */
void status_print(FILE *to, const struct varve_stat *stat, const struct status_rates *rates);

/** status_line() - the most of it, on one line. */
void status_line(FILE *to, const struct varve_stat *stat, const struct status_rates *rates);

/** status_metrics() - OpenMetrics text, to where the arguments say. Returns an exit code. */
int status_metrics(struct cli *cli);

/** status_watch() - until the user has enough. Returns an exit code. */
int status_watch(struct cli *cli);

/** rates_between() - @before: NULL, the first look. rates_free() frees what is in it. */
void rates_between(
    const struct varve_stat *before, const struct varve_stat *now, double seconds, struct status_rates *rates);
void rates_free(struct status_rates *rates);

#endif
