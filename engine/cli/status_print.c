/*
 * status_print.c - varve status, for people. Nothing is wider than 80 columns but what is long by itself.
 */
#include <stdlib.h>
#include <string.h>

#include "status.h"

#define BAR_WIDTH 20

/* ---- rates ------------------------------------------------------------------------------------------------------ */

/* What a worker has done since: all of it, if another process has its place now. */
static uint64_t since(uint64_t before, uint64_t now, bool same)
{
	return same && now >= before ? now - before : now;
}

void rates_between(
    const struct varve_stat *before, const struct varve_stat *now, double seconds, struct status_rates *rates)
{
	*rates = (struct status_rates) {0};
	if (!before || seconds <= 0)
		return;
	rates->seconds = seconds;
	rates->shares = memory_take(now->workers_count, sizeof(*rates->shares));
	rates->jobs = (double)since(before->jobs, now->jobs, before->coordinator_pid == now->coordinator_pid) / seconds;
	for (size_t i = 0; i < now->workers_count; i++) {
		const struct varve_worker_stat none = {0}, *to = &now->workers[i];
		const struct varve_worker_stat *from = i < before->workers_count ? &before->workers[i] : &none;
		bool same = from->pid == to->pid;
		double busy = same ? to->busy_seconds - from->busy_seconds : to->busy_seconds;

		if (!to->pid)
			continue;
		rates->bytes_read += (double)since(from->bytes_read, to->bytes_read, same) / seconds;
		rates->bytes_written += (double)since(from->bytes_written, to->bytes_written, same) / seconds;
		rates->shares[i] = busy < 0 ? 0 : busy > seconds ? 1 : busy / seconds;
		rates->busy += rates->shares[i];
	}
}

void rates_free(struct status_rates *rates)
{
	free(rates->shares);
	rates->shares = NULL;
}

/* ---- the store -------------------------------------------------------------------------------------------------- */

static void summary_print(FILE *to, const struct varve_stat *stat)
{
	fputs("Store        ", to);
	print_clean(to, stat->store);
	fprintf(to, "\nCommits      %llu, %llu of them persisted\n", (unsigned long long)stat->commits,
	    (unsigned long long)stat->persisted);
	fprintf(to, "Current      %s\n", stat->has_current ? text_id(&stat->current).s : "none yet");
	fprintf(to, "Disk         %s; %s backing files, %s commits and journal\n", text_size(stat->disk_bytes).s,
	    text_size(stat->backing_bytes).s, text_size(stat->history_bytes).s);
	fprintf(to, "Coordinator  process %d, for %s, %s\n", stat->coordinator_pid, text_seconds(stat->uptime).s,
	    text_count(stat->clients, "client", "clients").s);
	if (stat->session_pid)
		fprintf(to, "Session      of process %d\n", stat->session_pid);
	else
		fprintf(to, "Session      none\n");
	fprintf(to, "Reading      %s", *stat->io_method ? stat->io_method : "not known yet");
	if (*stat->io_reason) {
		fputs(", because ", to);
		print_clean(to, stat->io_reason);
	}
	fprintf(to, "\nSandbox      %s", stat->sandbox);
	if (*stat->sandbox_reason) {
		fputs(", because ", to);
		print_clean(to, stat->sandbox_reason);
	}
	fprintf(to, "\nJobs         %llu done, %llu running, %llu waiting\n", (unsigned long long)stat->jobs,
	    (unsigned long long)stat->jobs_running, (unsigned long long)stat->jobs_waiting);
	if (stat->worker_deaths)
		fprintf(to, "Deaths       %s, replaced\n", text_count(stat->worker_deaths, "worker", "workers").s);
	if (stat->damage_found)
		fprintf(to, "Damage       met %s (one file counts each time); run varve verify\n",
		    text_count(stat->damage_found, "time", "times").s);
}

static void rates_print(FILE *to, const struct status_rates *rates)
{
	if (!rates || rates->seconds <= 0)
		return;
	fprintf(to, "Now          %.1f workers busy, %.0f jobs/s, %s/s read, %s/s written\n", rates->busy, rates->jobs,
	    text_size((uint64_t)rates->bytes_read).s, text_size((uint64_t)rates->bytes_written).s);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void operation_print(FILE *to, const struct varve_operation_stat *operation)
{
	char bar[BAR_WIDTH + 1] = "";

	fprintf(to, "%-12s ", operation->waiting ? "Waiting" : "Under way");
	print_clean(to, operation->name);
	if (operation->has_commit)
		fprintf(to, " %s", text_short(&operation->commit).s);
	if (operation->pid)
		fprintf(to, ", process %d", operation->pid);
	fprintf(to, ", %s", text_seconds(operation->seconds).s);
	if (operation->total && !operation->waiting) {
		uint64_t done = operation->done < operation->total ? operation->done : operation->total;

		for (unsigned i = 0; i < BAR_WIDTH; i++)
			bar[i] = (double)(i + 1) <= operation->share * BAR_WIDTH ? '#' : '-';
		fprintf(to, "  [%s] %llu/%llu", bar, (unsigned long long)done, (unsigned long long)operation->total);
	} else if (operation->done) {
		fprintf(to, ", %s", text_count(operation->done, "job done", "jobs done").s);
	}
	fputc('\n', to);
}

static void head_add(struct table *table, const char *const *names)
{
	for (; *names; names++)
		table_cell(table, "%s", *names);
}

static void latency_add(struct table *table, const char *name, const struct varve_latency *latency)
{
	const double times[] = {latency->p50, latency->p95, latency->p99, latency->max};

	table_cell(table, "%s", name);
	table_cell(table, "%llu", (unsigned long long)latency->count);
	table_cell(table, "%llu", (unsigned long long)latency->failed);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		table_cell(table, "%s", latency->count ? text_seconds(times[i]).s : "-");
}

static void latencies_print(FILE *to, const struct varve_stat *stat)
{
	static const char *const names[] = {"OPERATION", "DONE", "FAILED", "P50", "P95", "P99", "MAX", NULL};
	struct table table;

	fputc('\n', to);
	table_begin(&table, "lrrrrrr");
	head_add(&table, names);
	latency_add(&table, "restore", &stat->restore_latency);
	latency_add(&table, "checkout", &stat->checkout_latency);
	latency_add(&table, "commit", &stat->commit_latency);
	table_write(to, &table);
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

static void worker_add(struct table *table, const struct varve_worker_stat *worker, double share)
{
	static const char *const states[] = {"-", "starting", "idle", "busy", "ending"};
	char module[16];

	if (worker->pid)
		table_cell(table, "%d", worker->pid);
	else
		table_cell(table, "-");
	snprintf(module, sizeof(module), "%.8s", text_short(&worker->module).s);
	if (*worker->job)
		table_cell(table, "%s %s", worker->job, module);
	else
		table_cell(table, "%s", worker->state <= VARVE_WORKER_ENDING ? states[worker->state] : "?");
	table_cell(table, "%llu", (unsigned long long)worker->jobs);
	table_cell(table, "%s", text_size(worker->bytes_read).s);
	table_cell(table, "%s", text_size(worker->bytes_written).s);
	table_cell(table, "%.1f %%", share * 100);
	table_cell(table, "%u", worker->restarts);
}

static void workers_print(FILE *to, const struct varve_stat *stat, const struct status_rates *rates)
{
	static const char *const names[] = {"WORKER", "PID", "NOW", "JOBS", "READ", "WRITTEN", "BUSY", "DIED", NULL};
	struct table table;

	if (!stat->workers_count && !stat->background_count) {
		fputs("\nNo workers.\n", to);
		return;
	}
	fputc('\n', to);
	table_begin(&table, "rrlrrrrr");
	head_add(&table, names);
	for (size_t i = 0; i < stat->workers_count; i++) {
		table_cell(&table, "%zu", i);
		worker_add(
		    &table, &stat->workers[i], rates && rates->shares ? rates->shares[i] : stat->workers[i].busy_share);
	}
	for (size_t i = 0; i < stat->background_count; i++) {
		table_cell(&table, "low %zu", i);
		worker_add(&table, &stat->background[i], stat->background[i].busy_share);
	}
	table_write(to, &table);
}

/* ---- modules ---------------------------------------------------------------------------------------------------- */

static void sizes_add(struct table *table, const struct varve_module_stat *module)
{
	table_cell(table, "%s", text_size(module->size).s);
	table_cell(table, "%llu", (unsigned long long)module->commits);
	table_cell(table, "%s", text_size(module->base_bytes).s);
	table_cell(table, "%s", text_size(module->deltas_bytes).s);
	table_cell(table, "%s", text_size(module->last_bytes).s);
	table_cell(table, "%s", text_size(module->tiers_bytes).s);
	table_cell(table, "%s", text_size(module->undo_bytes).s);
}

static void modules_print(FILE *to, const struct varve_stat *stat)
{
	static const char *const names[] = {
	    "MODULE", "IMAGE", "CHAIN", "BASE", "DELTAS", "LAST", "TIERS", "UNDO", NULL};
	struct varve_module_stat sum = {0};
	struct table table;

	if (!stat->modules_count) {
		fputs("\nNo modules.\n", to);
		return;
	}
	for (size_t i = 0; i < stat->modules_count; i++) {
		const struct varve_module_stat *module = &stat->modules[i];

		sum.size += module->size;
		sum.commits += module->commits;
		sum.base_bytes += module->base_bytes;
		sum.deltas_bytes += module->deltas_bytes;
		sum.last_bytes += module->last_bytes;
		sum.tiers_bytes += module->tiers_bytes;
		sum.undo_bytes += module->undo_bytes;
	}
	fputc('\n', to);
	table_begin(&table, "lrrrrrrr");
	head_add(&table, names);
	/* First, so that it is to be seen on a small screen as well. */
	if (stat->modules_count > 1) {
		table_cell(&table, "all %zu", stat->modules_count);
		sizes_add(&table, &sum);
	}
	for (size_t i = 0; i < stat->modules_count; i++) {
		table_cell(&table, "%s", text_short(&stat->modules[i].module).s);
		sizes_add(&table, &stat->modules[i]);
	}
	table_write(to, &table);
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

void status_print(FILE *to, const struct varve_stat *stat, const struct status_rates *rates)
{
	summary_print(to, stat);
	rates_print(to, rates);
	for (size_t i = 0; i < stat->operations_count; i++)
		operation_print(to, &stat->operations[i]);
	latencies_print(to, stat);
	workers_print(to, stat, rates);
	modules_print(to, stat);
}

void status_line(FILE *to, const struct varve_stat *stat, const struct status_rates *rates)
{
	unsigned long long waiting = 0;

	for (size_t i = 0; i < stat->operations_count; i++)
		waiting += stat->operations[i].waiting;
	fprintf(to, "%s, %s, %s, %s; %.1f busy, %llu jobs waiting, %llu requests waiting",
	    text_count(stat->commits, "commit", "commits").s, text_count(stat->commits_made, "made", "made").s,
	    text_count(stat->restores, "restore", "restores").s, text_count(stat->checkouts, "checkout", "checkouts").s,
	    rates->busy, (unsigned long long)stat->jobs_waiting, waiting);
	if (stat->restore_latency.count)
		fprintf(to, "; restores p50 %s, p99 %s", text_seconds(stat->restore_latency.p50).s,
		    text_seconds(stat->restore_latency.p99).s);
	for (size_t i = 0; i < stat->operations_count; i++) {
		const struct varve_operation_stat *operation = &stat->operations[i];

		if (operation->waiting)
			continue;
		fputs("; ", to);
		print_clean(to, operation->name);
		if (operation->has_commit)
			fprintf(to, " %s", text_short(&operation->commit).s);
		if (operation->total)
			fprintf(to, " %llu/%llu", (unsigned long long)operation->done,
			    (unsigned long long)operation->total);
	}
	fputc('\n', to);
}
