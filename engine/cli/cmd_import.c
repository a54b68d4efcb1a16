/*
 * cmd_import.c - varve import: make the commits of a recording, one after the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "recording.h"

struct import {
	struct cli *cli;
	struct recording recording;
	struct varve_id *made; /* ids of the commits made so far */
	size_t count;
	uint64_t bytes; /* read so far */
};

static void import_advance(void *arg, uint64_t bytes)
{
	struct import *import = arg;

	import->bytes += bytes;
	progress_update(import->recording.bytes ? (double)import->bytes / (double)import->recording.bytes : 1,
	    import->count, import->recording.count, import->bytes);
}

static int import_module(struct import *import, struct varve_session *session, const struct recorded_module *module)
{
	struct image image = {.name = module->file,
	    .fd = recording_image(&import->recording, module),
	    .size = module->size,
	    .sha256 = module->has_sha256 ? module->sha256 : NULL,
	    .advance = import_advance,
	    .arg = import};
	int code;

	if (image.fd < 0)
		return EXIT_FAILED;
	code = image_load(session, &module->id, &image);
	close(image.fd);
	return code;
}

static int import_commit(struct import *import, const struct recorded_commit *commit)
{
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	struct varve_session *session;
	int code = EXIT_DONE;
	int err = varve_session_begin(import->cli->vm, SESSION_WAIT_MS, &session);

	if (err)
		return complain_about(err, NULL);
	for (size_t i = 0; i < commit->count && !code; i++)
		code = import_module(import, session, &commit->modules[i]);
	if (!code) {
		options.label = commit->label;
		err = varve_session_commit(session, &options, &import->made[import->count]);
		if (!err) {
			import->count++;
			return EXIT_DONE;
		}
		code = complain_about(err, "commit %zu of the recording", import->count);
	}
	varve_session_abandon(session);
	return code;
}

static int import_commits(struct import *import)
{
	const struct recording *recording = &import->recording;
	int code = EXIT_DONE;
	int err;

	interrupts_catch(NULL); /* the commit at hand is finished, not cancelled */
	progress_begin("import", "commits");
	while (import->count < recording->count && !code && !interrupted())
		code = import_commit(import, &recording->commits[import->count]);
	progress_end();
	/* What was made before a failure is good, and worth keeping. */
	err = varve_persist(import->cli->vm);
	if (err)
		return complain_about(err, NULL);
	if (import->count == recording->count) {
		store_optimize(import->cli);
		return EXIT_DONE;
	}
	if (!code)
		code = complain("interrupted");
	complain("%s: %zu of %zu commits were made and are kept", recording->path, import->count, recording->count);
	return code;
}

static void import_print(const struct import *import, double seconds)
{
	json_t *commits;

	if (!import->cli->json) {
		printf("%s in %s (%s of images, %s)\n", text_count(import->count, "commit", "commits").s,
		    text_seconds(seconds).s, text_size(import->bytes).s, text_rate(import->bytes, seconds).s);
		return;
	}
	commits = json_array();
	for (size_t i = 0; i < import->count; i++)
		json_array_append_new(commits, json_id(&import->made[i]));
	print_json(json_pack("{s:o}", "commits", commits));
}

static int import_run(struct cli *cli)
{
	struct import import = {.cli = cli};
	struct timespec begin, end;
	int code = recording_open(&import.recording, cli->args[1]);

	if (!code)
		code = store_open(cli, STORE_CREATE);
	if (!code) {
		import.made = memory_take(import.recording.count, sizeof(*import.made));
		clock_gettime(CLOCK_MONOTONIC, &begin);
		code = import_commits(&import);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if (!code)
			import_print(
			    &import, (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	}
	free(import.made);
	recording_release(&import.recording);
	return code;
}

static const struct argp_option import_options[] = {OPTIONS_JSON, OPTIONS_STORE, {0}};

const struct command command_import = {.name = "import",
    .args = "STORE RECORDING",
    .help = "Commit a recorded history.\n\n"
            "RECORDING is a directory with a manifest.json and the raw images that it lists. Each recorded commit "
            "becomes a commit of STORE, after the current one; STORE is made if it is not there. The store is "
            "persisted at the end, and also after Ctrl-C, which lets the commit at hand finish first.\v"
            "Example:\n"
            "  varve import store/ recordings/sqlite/\n",
    .options = import_options,
    .min = 2,
    .max = 2,
    .run = import_run};
