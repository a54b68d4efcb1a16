/*
 * figures.h - what a coordinator knows of itself and of its store, for those who look: varve_stat() and metrics.
 */
#ifndef WORKERS_FIGURES_H
#define WORKERS_FIGURES_H

#include "disk.h"
#include "latency.h"
#include "sandbox.h"
#include "wire.h"

struct coordinator;

struct figures {
	struct latency restores, checkouts, commits;
	uint64_t damage; /**< damaged files met */
	/* Asking the file system is the dear part, so it is not done for every look. */
	struct disk disk;
	uint64_t looked_ns; /**< when; 0: never */
	uint64_t look_cost_ns;
	/* What workers will read with, as long as none has said so. */
	char io_name[32];
	char io_reason[512];
	struct sandbox_result sandbox; /**< likewise; state NULL: not looked yet */
};

/** figures_note() - a request of this kind has ended after @ns, with @result. */
void figures_note(struct figures *figures, enum wire_type request, uint64_t ns, int result);

/** figures_take() - all of them, as they are now; starts no worker, waits for nothing. Returns 0 or -ENOMEM. In any case
 * figures_drop() afterwards; what @stat points to is good until then, and until the coordinator goes on. */
int figures_take(struct coordinator *c, struct varve_stat *stat);
void figures_drop(struct varve_stat *stat);

/** figures_close() - with the coordinator. */
void figures_close(struct figures *figures);

/** operations_list() - what is under way, then what waits: free() the list. operations.c */
int operations_list(struct coordinator *c, struct varve_operation_stat **list, size_t *count);

/** metrics_text() - the figures as OpenMetrics text, without a NUL, at the end of @out. metrics.c */
int metrics_text(struct coordinator *c, struct buf *out);
void metrics_write(const struct varve_stat *stat, const struct figures *figures, struct buf *out);
/** metrics_processes() - the part of it that is about operations under way and workers. metrics_processes.c */
struct text;
void metrics_processes(struct text *t, const struct varve_stat *stat);

#endif
