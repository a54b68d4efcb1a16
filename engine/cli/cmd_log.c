/*
 * cmd_log.c - varve log and varve show: what commits there are, and what is in one.
 */
#include <stdio.h>

#include "cli.h"

static json_t *module_json(const struct varve_module_info *module)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:o}", "module", json_id(&module->module), "module_commit",
	    json_id(&module->commit), "ordinal",
	    module->kind == VARVE_KIND_DELTA ? json_number(module->ordinal) : json_null(), "size",
	    json_number(module->size), "kind", text_kind(module->kind), "stored_bytes",
	    json_number(module->stored_bytes));
}

static json_t *entry_json(const struct varve_commit_info *entry)
{
	json_t *modules = json_array();

	for (size_t i = 0; i < entry->modules_count; i++)
		json_array_append_new(modules, module_json(&entry->modules[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:b, s:o}", "index", json_number(entry->index), "commit",
	    json_id(&entry->commit), "parent",
	    entry->parent_index == VARVE_NONE ? json_null() : json_id(&entry->parent), "label",
	    *entry->label ? json_text(entry->label) : json_null(), "time", text_utc(entry->time).s, "current",
	    entry->current, "modules", modules);
}

/* Programs read the history from its beginning, with the index as the position. */
static void log_json(const struct varve_log *log, size_t first)
{
	json_t *entries = json_array();

	for (size_t i = first; i < log->count; i++)
		json_array_append_new(entries, entry_json(&log->commits[i]));
	print_json(entries);
}

/* People ask what was last. */
static void log_table(const struct varve_log *log, size_t first)
{
	struct table table;

	table_begin(&table, "lrlllrl");
	for (size_t i = log->count; i-- > first;) {
		const struct varve_commit_info *entry = &log->commits[i];

		table_cell(&table, "%s", entry->current ? "*" : " ");
		table_cell(&table, "@%llu", (unsigned long long)entry->index);
		table_cell(&table, "%s", text_short(&entry->commit).s);
		table_cell(&table, "%s", text_time(entry->time).s);
		table_cell(&table, "%s", entry->label);
		table_cell(&table, "%zu", entry->modules_count);
		table_cell(&table, "%s", entry->modules_count == 1 ? "module" : "modules");
	}
	table_print(&table);
}

static int log_run(struct cli *cli)
{
	struct varve_log *log;
	size_t first = 0;
	int err, code = store_open(cli, STORE_EXISTS);

	if (code)
		return code;
	err = varve_log(cli->vm, &log);
	if (err)
		return complain_about(err, NULL);
	if (cli->limit && cli->limit < log->count)
		first = log->count - (size_t)cli->limit;
	if (cli->json)
		log_json(log, first);
	else
		log_table(log, first);
	varve_log_free(log);
	return EXIT_DONE;
}

static void show_print(const struct varve_commit_info *entry)
{
	struct table table;

	printf("Commit  %s\n", text_id(&entry->commit).s);
	printf("Index   @%llu%s\n", (unsigned long long)entry->index, entry->current ? ", the current one" : "");
	if (entry->parent_index == VARVE_NONE)
		printf("Parent  none\n");
	else
		printf("Parent  @%llu %s\n", (unsigned long long)entry->parent_index, text_id(&entry->parent).s);
	printf("Time    %s\n", text_time(entry->time).s);
	if (*entry->label) {
		fputs("Label   ", stdout);
		print_clean(stdout, entry->label);
		putchar('\n');
	}
	putchar('\n');
	if (!entry->modules_count) {
		puts("No modules.");
		return;
	}
	table_begin(&table, "llrrr");
	for (const char *const *head = (const char *const[]) {"MODULE", "HELD BY", "STATE", "SIZE", "STORED", NULL};
	     *head; head++)
		table_cell(&table, "%s", *head);
	for (size_t i = 0; i < entry->modules_count; i++) {
		const struct varve_module_info *module = &entry->modules[i];

		table_cell(&table, "%s", text_id(&module->module).s);
		if (module->kind == VARVE_KIND_DELTA)
			table_cell(&table, "delta %u", module->ordinal);
		else
			table_cell(&table, "%s", text_kind(module->kind));
		table_cell(&table, "%s", text_short(&module->commit).s);
		table_cell(&table, "%s", text_size(module->size).s);
		table_cell(&table, "%s", text_size(module->stored_bytes).s);
	}
	table_print(&table);
}

static int show_run(struct cli *cli)
{
	struct varve_id commit;
	struct varve_log *log;
	int err, code = store_open(cli, STORE_EXISTS);

	if (!code)
		code = store_resolve(cli, cli->args[1], &commit);
	if (code)
		return code;
	err = varve_commit_info(cli->vm, &commit, &log);
	if (err)
		return complain_about(err, NULL);
	if (cli->json)
		print_json(entry_json(&log->commits[0]));
	else
		show_print(&log->commits[0]);
	varve_log_free(log);
	return EXIT_DONE;
}

static const struct argp_option log_options[] = {
    OPTIONS_JSON, {"limit", OPTION_LIMIT, "N", 0, "Only the newest N commits", 0}, OPTIONS_STORE, {0}};

static const struct argp_option show_options[] = {OPTIONS_JSON, OPTIONS_STORE, {0}};

const struct command command_log = {.name = "log",
    .args = "STORE",
    .help = "List the commits.\n\n"
            "One line per commit, the newest first: a star at the current one, its number, the first digits of its "
            "id, when it was made, its label, and how many modules it changed. With --json the oldest comes first, "
            "and the modules that each commit changed are listed.\v"
            "Example:\n"
            "  varve log store/ --limit 10\n"
            "  varve --json log store/ | jq -r '.[].commit'\n",
    .options = log_options,
    .min = 1,
    .max = 1,
    .run = log_run};

const struct command command_show = {.name = "show",
    .args = "STORE COMMIT",
    .help = "Show one commit, with all modules as they stood at it.\n\n"
            "For each module: which file holds its state (base, delta with its ordinal, or last), the first digits of "
            "the module commit's id, the size of the image, and how many bytes it takes in the store.\v"
            "Example:\n"
            "  varve show store/ HEAD~3\n",
    .options = show_options,
    .min = 2,
    .max = 2,
    .run = show_run};
