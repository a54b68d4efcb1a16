/*
 * operations.c - which operations are under way, for those who look: what, for whom, how far.
 */
#include <errno.h>
#include <stdlib.h>

#include "coordinator.h"
#include "cpu.h"
#include "figures.h"
#include "requests.h"

static uint64_t committed_modules(const struct store *store)
{
	uint64_t count = 0;
	for (uint32_t m = 0; m < catalog_count(&store->catalog); m++)
		count += catalog_module(&store->catalog, m)->length > 0;
	return count;
}

static void fill_progress(const struct peer *peer, struct varve_operation_stat *stat)
{
	const struct store *store = &peer->coordinator->store;
	const struct op *op = peer->op;
	stat->done = op->ended;
	if (peer->request == WIRE_RESTORE) {
		stat->done = op_restore_report(op)->modules;
		stat->total = op_restore_report(op)->modules_total;
	} else if (peer->request == WIRE_VERIFY) {
		stat->total = committed_modules(store);
	} else if (peer->request == WIRE_COMMIT) {
		stat->total = store->session.count;
	} else if (peer->request == WIRE_CHECKOUT || peer->request == WIRE_MODULE) {
		stat->total = 1;
	}
	/* A commit has more than one job a module. */
	if (stat->total && stat->done > stat->total)
		stat->done = stat->total;
	if (peer->request == WIRE_RESTORE)
		stat->share = op_restore_report(op)->share;
	else if (stat->total)
		stat->share = (double)stat->done / (double)stat->total;
}

static bool fill(const struct peer *peer, uint64_t now, struct varve_operation_stat *stat)
{
	/* The end of a session whose client has gone is nobody's request any more. */
	bool ends = !peer->request && peer->op && !peer->op->answered;
	const char *name = peer->request ? request_name(peer->request) : ends ? "abandon" : NULL;
	if (!name || (!peer->op && !peer->waiting))
		return false;
	*stat = (struct varve_operation_stat) {
	    .name = name,
	    .pid = peer->pid,
	    .waiting = peer->waiting,
	    .has_commit = peer->has_target,
	    .seconds = (double)(now - peer->begun_ns) / 1e9,
	};
	if (peer->has_target)
		stat->commit = peer->target;
	if (!stat->waiting)
		fill_progress(peer, stat);
	return true;
}

/* Those that nobody asked for, or waits for any more. */
static size_t fill_own(const struct coordinator *c, uint64_t now, struct varve_operation_stat *list)
{
	size_t count = 0;
	for (const struct op *op = c->dispatch.ops; op && count < 2; op = op->next_op) {
		if (!op->kind->background && !op->answered && !(c->settling && op->arg == c))
			continue;
		list[count++] = (struct varve_operation_stat) {
		    .name = op->kind->background ? "background" : "settle",
		    .done = op->ended,
		    .seconds = (double)(now - op->started_ns) / 1e9,
		};
	}
	return count;
}

struct turn {
	uint64_t turn;
	struct varve_operation_stat stat;
};

/* Those under way have no turn to wait for. */
static int by_turn(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;
	return (x->turn > y->turn) - (x->turn < y->turn);
}

int operations_list(struct coordinator *c, struct varve_operation_stat **list, size_t *count)
{
	struct turn *turns = calloc(c->peers_count + 1, sizeof(*turns));
	uint64_t now = clock_now();
	size_t n = 0;
	*count = 0;
	*list = calloc(c->peers_count + 3, sizeof(**list));
	if (!*list || !turns) {
		free(*list);
		free(turns);
		*list = NULL;
		return fail_sys(ENOMEM, "the status");
	}
	for (const struct peer *peer = c->peers; peer; peer = peer->next) {
		if (!fill(peer, now, &turns[n].stat))
			continue;
		turns[n].turn = turns[n].stat.waiting ? peer->turn : 0;
		n++;
	}
	qsort(turns, n, sizeof(*turns), by_turn);
	*count = fill_own(c, now, *list);
	for (size_t i = 0; i < n; i++)
		(*list)[(*count)++] = turns[i].stat;
	free(turns);
	return 0;
}
