/*
 * cmd_status.c - varve status: the store, and the processes that serve it.
 */
#include <stdio.h>

#include "cli.h"

static json_t *worker_json(const struct varve_worker_stat *worker)
{
	return json_pack("{s:i, s:b, s:o, s:o, s:o, s:f, s:o}", "pid", worker->pid, "busy", worker->busy, "jobs",
	    json_number(worker->jobs), "bytes_read", json_number(worker->bytes_read), "bytes_written",
	    json_number(worker->bytes_written), "busy_share", worker->busy_share, "restarts",
	    json_number(worker->restarts));
}

static json_t *module_json(const struct varve_module_stat *module)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "module", json_id(&module->module), "size",
	    json_number(module->size), "commits", json_number(module->commits), "base_bytes",
	    json_number(module->base_bytes), "deltas_bytes", json_number(module->deltas_bytes), "last_bytes",
	    json_number(module->last_bytes), "private_bytes", json_number(module->private_bytes));
}

static void status_json(const struct varve_stat *stat)
{
	json_t *workers = json_array();
	json_t *modules = json_array();
	json_t *status = json_pack("{s:o, s:o, s:o, s:o, s:i, s:f, s:o, s:o, s:o, s:o}", "store",
	    json_text(stat->store), "commits", json_number(stat->commits), "persisted", json_number(stat->persisted),
	    "current", stat->has_current ? json_id(&stat->current) : json_null(), "coordinator_pid",
	    stat->coordinator_pid, "uptime", stat->uptime, "clients", json_number(stat->clients), "session_pid",
	    stat->session_pid ? json_integer(stat->session_pid) : json_null(), "io_method", json_text(stat->io_method),
	    "io_reason", json_text(stat->io_reason));

	json_object_set_new(status, "restores", json_number(stat->restores));
	json_object_set_new(status, "checkouts", json_number(stat->checkouts));
	json_object_set_new(status, "commits_made", json_number(stat->commits_made));
	json_object_set_new(status, "jobs", json_number(stat->jobs));
	for (size_t i = 0; i < stat->workers_count; i++)
		json_array_append_new(workers, worker_json(&stat->workers[i]));
	json_object_set_new(status, "workers", workers);
	for (size_t i = 0; i < stat->modules_count; i++)
		json_array_append_new(modules, module_json(&stat->modules[i]));
	json_object_set_new(status, "modules", modules);
	print_json(status);
}

static void summary_print(const struct varve_stat *stat)
{
	fputs("Store        ", stdout);
	print_clean(stdout, stat->store);
	printf("\nCommits      %llu, %llu of them persisted\n", (unsigned long long)stat->commits,
	    (unsigned long long)stat->persisted);
	printf("Current      %s\n", stat->has_current ? text_id(&stat->current).s : "none yet");
	printf("Coordinator  process %d, for %s, %s\n", stat->coordinator_pid, text_seconds(stat->uptime).s,
	    text_count(stat->clients, "client", "clients").s);
	if (stat->session_pid)
		printf("Session      of process %d\n", stat->session_pid);
	else
		printf("Session      none\n");
	printf("Reading      %s", stat->io_method);
	if (*stat->io_reason) {
		fputs(", because ", stdout);
		print_clean(stdout, stat->io_reason);
	}
	printf("\nDone         %s, %s, %s; %s\n", text_count(stat->commits_made, "commit", "commits").s,
	    text_count(stat->restores, "restore", "restores").s, text_count(stat->checkouts, "checkout", "checkouts").s,
	    text_count(stat->jobs, "job", "jobs").s);
}

static void head_add(struct table *table, const char *const *names)
{
	for (; *names; names++)
		table_cell(table, "%s", *names);
}

static void workers_print(const struct varve_stat *stat)
{
	static const char *const names[] = {
	    "WORKER", "PROCESS", "NOW", "JOBS", "READ", "WRITTEN", "BUSY", "RESTARTS", NULL};
	struct table table;

	if (!stat->workers_count) {
		puts("\nNo workers.");
		return;
	}
	putchar('\n');
	table_begin(&table, "rrlrrrrr");
	head_add(&table, names);
	for (size_t i = 0; i < stat->workers_count; i++) {
		const struct varve_worker_stat *worker = &stat->workers[i];

		table_cell(&table, "%zu", i);
		table_cell(&table, "%d", worker->pid);
		table_cell(&table, "%s", worker->busy ? "busy" : "idle");
		table_cell(&table, "%llu", (unsigned long long)worker->jobs);
		table_cell(&table, "%s", text_size(worker->bytes_read).s);
		table_cell(&table, "%s", text_size(worker->bytes_written).s);
		table_cell(&table, "%.1f %%", worker->busy_share * 100);
		table_cell(&table, "%u", worker->restarts);
	}
	table_print(&table);
}

static void sizes_add(struct table *table, const struct varve_module_stat *module)
{
	table_cell(table, "%s", text_size(module->size).s);
	table_cell(table, "%llu", (unsigned long long)module->commits);
	table_cell(table, "%s", text_size(module->base_bytes).s);
	table_cell(table, "%s", text_size(module->deltas_bytes).s);
	table_cell(table, "%s", text_size(module->last_bytes).s);
	table_cell(table, "%s", text_size(module->private_bytes).s);
}

static void modules_print(const struct varve_stat *stat)
{
	static const char *const names[] = {"MODULE", "IMAGE", "CHAIN", "BASE", "DELTAS", "LAST", "PRIVATE", NULL};
	struct varve_module_stat sum = {0};
	struct table table;

	if (!stat->modules_count) {
		puts("\nNo modules.");
		return;
	}
	putchar('\n');
	table_begin(&table, "lrrrrrr");
	head_add(&table, names);
	for (size_t i = 0; i < stat->modules_count; i++) {
		const struct varve_module_stat *module = &stat->modules[i];

		table_cell(&table, "%s", text_short(&module->module).s);
		sizes_add(&table, module);
		sum.size += module->size;
		sum.commits += module->commits;
		sum.base_bytes += module->base_bytes;
		sum.deltas_bytes += module->deltas_bytes;
		sum.last_bytes += module->last_bytes;
		sum.private_bytes += module->private_bytes;
	}
	if (stat->modules_count > 1) {
		table_cell(&table, "all %zu", stat->modules_count);
		sizes_add(&table, &sum);
	}
	table_print(&table);
}

static int status_run(struct cli *cli)
{
	struct varve_stat *stat;
	int err, code = store_open(cli, STORE_EXISTS);

	if (code)
		return code;
	err = varve_stat(cli->vm, &stat);
	if (err)
		return complain_about(err, NULL);
	if (cli->json) {
		status_json(stat);
	} else {
		summary_print(stat);
		workers_print(stat);
		modules_print(stat);
	}
	varve_stat_free(stat);
	return EXIT_DONE;
}

static const struct argp_option status_options[] = {OPTIONS_JSON, OPTIONS_STORE, {0}};

const struct command command_status = {.name = "status",
    .args = "STORE",
    .help = "Show the store, its coordinator and its workers.\n\n"
            "For each worker: jobs done, bytes read and written, and the share of its time that it was busy; for each "
            "module: how long its chain is, and what it takes on disk. With no coordinator running, one is started for "
            "this, so that figures of processes begin at zero.\v"
            "Example:\n"
            "  watch varve status store/\n",
    .options = status_options,
    .min = 1,
    .max = 1,
    .run = status_run};
