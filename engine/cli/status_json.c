/*
 * status_json.c - varve status, for programs. Keys stay; new ones may come.
 */
#include "status.h"

static const char *state_name(enum varve_worker_state state)
{
	static const char *const names[] = {"none", "starting", "idle", "busy", "ending"};

	return state <= VARVE_WORKER_ENDING ? names[state] : "unknown";
}

static json_t *worker_json(const struct varve_worker_stat *worker)
{
	return json_pack("{s:i, s:b, s:o, s:o, s:o, s:f, s:o, s:s, s:f, s:o, s:o}", "pid", worker->pid, "busy",
	    worker->busy, "jobs", json_number(worker->jobs), "bytes_read", json_number(worker->bytes_read),
	    "bytes_written", json_number(worker->bytes_written), "busy_share", worker->busy_share, "restarts",
	    json_number(worker->restarts), "state", state_name(worker->state), "busy_seconds", worker->busy_seconds,
	    "job", *worker->job ? json_text(worker->job) : json_null(), "module",
	    *worker->job ? json_id(&worker->module) : json_null());
}

static json_t *module_json(const struct varve_module_stat *module)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "module", json_id(&module->module), "size",
	    json_number(module->size), "commits", json_number(module->commits), "base_bytes",
	    json_number(module->base_bytes), "deltas_bytes", json_number(module->deltas_bytes), "last_bytes",
	    json_number(module->last_bytes), "private_bytes", json_number(module->private_bytes), "tiers_bytes",
	    json_number(module->tiers_bytes), "undo_bytes", json_number(module->undo_bytes));
}

static json_t *latency_json(const struct varve_latency *latency)
{
	return json_pack("{s:o, s:o, s:f, s:f, s:f, s:f, s:f}", "count", json_number(latency->count), "failed",
	    json_number(latency->failed), "sum", latency->sum, "p50", latency->p50, "p95", latency->p95, "p99",
	    latency->p99, "max", latency->max);
}

static json_t *operation_json(const struct varve_operation_stat *operation)
{
	return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:f, s:f}", "name", json_text(operation->name), "pid",
	    operation->pid ? json_integer(operation->pid) : json_null(), "waiting", operation->waiting, "commit",
	    operation->has_commit ? json_id(&operation->commit) : json_null(), "done", json_number(operation->done),
	    "total", operation->total ? json_number(operation->total) : json_null(), "seconds", operation->seconds,
	    "share", operation->share);
}

static json_t *workers_json(const struct varve_worker_stat *workers, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, worker_json(&workers[i]));
	return list;
}

static void processes_json(json_t *status, const struct varve_stat *stat)
{
	json_t *operations = json_array();

	json_object_set_new(status, "workers", workers_json(stat->workers, stat->workers_count));
	json_object_set_new(status, "background", workers_json(stat->background, stat->background_count));
	json_object_set_new(status, "jobs_waiting", json_number(stat->jobs_waiting));
	json_object_set_new(status, "jobs_running", json_number(stat->jobs_running));
	json_object_set_new(status, "worker_deaths", json_number(stat->worker_deaths));
	for (size_t i = 0; i < stat->operations_count; i++)
		json_array_append_new(operations, operation_json(&stat->operations[i]));
	json_object_set_new(status, "operations", operations);
	json_object_set_new(status, "latency",
	    json_pack("{s:o, s:o, s:o}", "restore", latency_json(&stat->restore_latency), "checkout",
	        latency_json(&stat->checkout_latency), "commit", latency_json(&stat->commit_latency)));
}

json_t *status_json(const struct varve_stat *stat)
{
	json_t *modules = json_array();
	json_t *status = json_pack("{s:o, s:o, s:o, s:o, s:i, s:f, s:o, s:o, s:o, s:o}", "store",
	    json_text(stat->store), "commits", json_number(stat->commits), "persisted", json_number(stat->persisted),
	    "current", stat->has_current ? json_id(&stat->current) : json_null(), "coordinator_pid",
	    stat->coordinator_pid, "uptime", stat->uptime, "clients", json_number(stat->clients), "session_pid",
	    stat->session_pid ? json_integer(stat->session_pid) : json_null(), "io_method", json_text(stat->io_method),
	    "io_reason", json_text(stat->io_reason));

	json_object_set_new(status, "sandbox", json_text(stat->sandbox));
	json_object_set_new(status, "sandbox_reason", json_text(stat->sandbox_reason));
	json_object_set_new(status, "restores", json_number(stat->restores));
	json_object_set_new(status, "checkouts", json_number(stat->checkouts));
	json_object_set_new(status, "commits_made", json_number(stat->commits_made));
	json_object_set_new(status, "jobs", json_number(stat->jobs));
	json_object_set_new(status, "damage_found", json_number(stat->damage_found));
	json_object_set_new(status, "disk_bytes", json_number(stat->disk_bytes));
	json_object_set_new(status, "backing_bytes", json_number(stat->backing_bytes));
	json_object_set_new(status, "history_bytes", json_number(stat->history_bytes));
	processes_json(status, stat);
	for (size_t i = 0; i < stat->modules_count; i++)
		json_array_append_new(modules, module_json(&stat->modules[i]));
	json_object_set_new(status, "modules", modules);
	return status;
}
