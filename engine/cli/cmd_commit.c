/*
 * cmd_commit.c - varve commit: one commit from image files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* ID=FILE */
struct source {
	struct varve_id id;
	const char *file;
};

static int source_parse(const char *text, struct source *source)
{
	char id[VARVE_ID_TEXT + 1];

	source->file = strchr(text, '=');
	if (source->file && source->file - text == VARVE_ID_TEXT) {
		memcpy(id, text, VARVE_ID_TEXT);
		id[VARVE_ID_TEXT] = 0;
		source->file++;
		if (*source->file && !varve_id_parse(id, &source->id))
			return EXIT_DONE;
	}
	complain("`%s' is not of the form ID=FILE, where ID is 64 hex digits", text);
	return EXIT_USAGE;
}

static int sources_parse(const struct cli *cli, struct source *sources, size_t count)
{
	struct varve_id *ids = memory_take(count, sizeof(*ids));
	int code = EXIT_DONE;

	for (size_t i = 0; i < count && !code; i++) {
		code = source_parse(cli->args[i + 1], &sources[i]);
		ids[i] = sources[i].id;
	}
	if (!code && !ids_unique(ids, count)) {
		complain("a module is named twice; it can have only one image in a commit");
		code = EXIT_USAGE;
	}
	free(ids);
	return code;
}

static int source_open(const struct source *source, struct image *image)
{
	*image = (struct image) {.name = source->file};
	/* O_NONBLOCK: a FIFO is to be refused, not waited for. */
	image->fd = open(source->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (image->fd < 0)
		return complain("%s: %s", source->file, strerror(errno));
	if (!image_stat(image->fd, source->file, &image->size))
		return EXIT_DONE;
	close(image->fd);
	return EXIT_FAILED;
}

/* A slip in a file's name should be found before a store is made or a module deployed. */
static int sources_check(const struct source *sources, size_t count)
{
	struct image image;

	for (size_t i = 0; i < count; i++) {
		int code = source_open(&sources[i], &image);

		if (code)
			return code;
		close(image.fd);
	}
	return EXIT_DONE;
}

static int sources_load(struct varve_session *session, const struct source *sources, size_t count)
{
	struct image image;
	int code = EXIT_DONE;

	for (size_t i = 0; i < count && !code; i++) {
		if (interrupted())
			return complain("interrupted; nothing was committed");
		code = source_open(&sources[i], &image);
		if (code)
			return code;
		code = image_load(session, &sources[i].id, &image);
		close(image.fd);
	}
	return code;
}

static int commit_failed(int err)
{
	return err == -ECANCELED ? complain("interrupted; nothing was committed") : complain_about(err, NULL);
}

static int commit_make(struct cli *cli, const struct source *sources, size_t count, struct varve_id *commit)
{
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	struct varve_session *session;
	int err, code;

	interrupts_catch(cli->vm);
	err = varve_session_begin(cli->vm, SESSION_WAIT_MS, &session);
	if (err)
		return commit_failed(err);
	code = sources_load(session, sources, count);
	if (!code) {
		options.label = cli->label;
		err = varve_session_commit(session, &options, commit);
		if (!err)
			return EXIT_DONE;
		code = commit_failed(err);
	}
	varve_session_abandon(session);
	return code;
}

static int commit_run(struct cli *cli)
{
	size_t count = (size_t)cli->count - 1;
	struct source *sources = memory_take(count, sizeof(*sources));
	struct varve_id commit;
	int err, code = sources_parse(cli, sources, count);

	if (!code)
		code = sources_check(sources, count);
	if (!code)
		code = store_open(cli, STORE_CREATE);
	if (!code)
		code = commit_make(cli, sources, count, &commit);
	free(sources);
	if (code)
		return code;
	interrupts_catch(NULL); /* the commit is made: writing it down is not to be cancelled */
	err = varve_persist(cli->vm);
	if (err)
		return complain_about(err, "commit %s was made, but not persisted", text_id(&commit).s);
	store_optimize(cli);
	if (cli->json)
		print_json(json_pack("{s:o}", "commit", json_id(&commit)));
	else
		printf("%s\n", text_id(&commit).s);
	return EXIT_DONE;
}

static const struct argp_option commit_options[] = {OPTIONS_JSON,
    {"label", OPTION_LABEL, "TEXT", 0, "A name for the commit, shown by log and show", 0}, OPTIONS_STORE, {0}};

const struct command command_commit = {.name = "commit",
    .args = "STORE ID=FILE...",
    .help = "Make one commit from image files.\n\n"
            "Each FILE is the memory of the module ID (64 hex digits), of any size. A module that the current commit "
            "does not have is deployed; modules not named stay as they are. STORE is made if it is not there. Prints "
            "the new commit's id, once the commit is persisted.\v"
            "Example:\n"
            "  id=$(sha256sum < program.wasm | cut -c -64)\n"
            "  varve commit store/ $id=memory.bin --label 'after genesis'\n",
    .options = commit_options,
    .min = 2,
    .max = -1,
    .run = commit_run};
