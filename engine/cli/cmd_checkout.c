/*
 * cmd_checkout.c - varve checkout: a commit's images into a directory.
 *
 * An image is written to a temporary name in DIR and renamed once it is whole, so that DIR/<ModId> is never half an
 * image, and a symbolic link of that name is replaced, not followed. The directory must not be a store's: there
 * DIR/<ModId> is the file that a VM may be running on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

struct checkout {
	struct cli *cli;
	struct varve_id commit;
	struct varve_id *modules;
	size_t count;
	int dir;
	uint64_t bytes;
	json_t *done;
};

/* The modules named on the command line; wrong ones are found before the store is opened. */
static int modules_parse(struct checkout *checkout)
{
	const struct cli *cli = checkout->cli;

	checkout->count = (size_t)cli->count - 3;
	checkout->modules = memory_take(checkout->count, sizeof(*checkout->modules));
	for (size_t i = 0; i < checkout->count; i++) {
		if (!varve_id_parse(cli->args[i + 3], &checkout->modules[i]))
			continue;
		complain("`%s' is not the id of a module: it has 64 hex digits", cli->args[i + 3]);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int modules_list(struct checkout *checkout)
{
	struct varve_log *log;
	int err;

	if (checkout->count)
		return EXIT_DONE;
	err = varve_commit_info(checkout->cli->vm, &checkout->commit, &log);
	if (err)
		return complain_about(err, NULL);
	free(checkout->modules);
	checkout->count = log->commits[0].modules_count;
	checkout->modules = memory_take(checkout->count, sizeof(*checkout->modules));
	for (size_t i = 0; i < checkout->count; i++)
		checkout->modules[i] = log->commits[0].modules[i].module;
	varve_log_free(log);
	return EXIT_DONE;
}

static int dir_open(struct checkout *checkout)
{
	const char *path = checkout->cli->args[2];

	if (mkdir(path, 0777) && errno != EEXIST)
		return complain("%s: %s", path, strerror(errno));
	checkout->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (checkout->dir < 0)
		return complain("%s: %s", path, strerror(errno));
	if (!faccessat(checkout->dir, ".varve", F_OK, AT_SYMLINK_NOFOLLOW))
		return complain("%s: this is a store, and its backing files have the names that the images would get; "
		                "give another directory (`varve restore' changes the backing files)",
		    path);
	return EXIT_DONE;
}

/* Memory may hold secrets: the image is its owner's alone, as the store is. */
static int temporary_open(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 || errno != EEXIST)
		return fd;
	/* An earlier process with our number was killed. */
	unlinkat(dir, name, 0);
	return openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void module_done(struct checkout *checkout, const char *name, uint64_t size)
{
	const char *dir = checkout->cli->args[2];
	size_t length = strlen(dir) + strlen(name) + 2;
	char *path = memory_take(length, 1);

	snprintf(path, length, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name);
	json_array_append_new(checkout->done,
	    json_pack("{s:s, s:o, s:o}", "module", name, "file", json_text(path), "size", json_number(size)));
	free(path);
	checkout->bytes += size;
}

static int module_write(struct checkout *checkout, const struct varve_id *module)
{
	const char *path = checkout->cli->args[2];
	struct text name = text_id(module);
	char temporary[VARVE_ID_TEXT + 32];
	uint64_t size;
	int fd, err;

	snprintf(temporary, sizeof(temporary), ".%s.%d", name.s, (int)getpid());
	fd = temporary_open(checkout->dir, temporary);
	if (fd < 0)
		return complain("%s/%s: %s", path, temporary, strerror(errno));
	err = varve_checkout(checkout->cli->vm, &checkout->commit, module, fd, &size);
	/* Some filesystems tell only here that the space is used up. */
	if (close(fd) && !err)
		err = complain("%s/%s: %s", path, temporary, strerror(errno));
	else if (err == -ECANCELED)
		err = complain("interrupted");
	else if (err)
		err = complain_about(err, NULL);
	else if (renameat(checkout->dir, temporary, checkout->dir, name.s))
		err = complain("%s/%s: %s", path, name.s, strerror(errno));
	if (err) {
		unlinkat(checkout->dir, temporary, 0);
		return err;
	}
	module_done(checkout, name.s, size);
	return EXIT_DONE;
}

static int modules_write(struct checkout *checkout)
{
	int code = EXIT_DONE;

	interrupts_catch(checkout->cli->vm);
	progress_begin("checkout", "modules");
	for (size_t i = 0; i < checkout->count && !code; i++) {
		progress_update((double)i / (double)checkout->count, i, checkout->count, checkout->bytes);
		code = interrupted() ? complain("interrupted") : module_write(checkout, &checkout->modules[i]);
	}
	progress_end();
	return code;
}

static void checkout_print(struct checkout *checkout, double seconds)
{
	if (checkout->cli->json) {
		print_json(json_pack("{s:o, s:O}", "commit", json_id(&checkout->commit), "modules", checkout->done));
		return;
	}
	printf("Checked out %s into ", text_short(&checkout->commit).s);
	print_clean(stdout, checkout->cli->args[2]);
	printf(": %s, %s in %s\n", text_count(checkout->count, "module", "modules").s, text_size(checkout->bytes).s,
	    text_seconds(seconds).s);
}

static int checkout_run(struct cli *cli)
{
	struct checkout checkout = {.cli = cli, .dir = -1, .done = json_array()};
	struct timespec begin, end;
	int code = modules_parse(&checkout);

	if (!code)
		code = store_open(cli, STORE_EXISTS);
	if (!code)
		code = store_resolve(cli, cli->args[1], &checkout.commit);
	if (!code)
		code = modules_list(&checkout);
	if (!code)
		code = dir_open(&checkout);
	if (!code) {
		clock_gettime(CLOCK_MONOTONIC, &begin);
		code = modules_write(&checkout);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if (!code)
			checkout_print(&checkout,
			    (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	}
	if (checkout.dir >= 0)
		close(checkout.dir);
	json_decref(checkout.done);
	free(checkout.modules);
	return code;
}

static const struct argp_option checkout_options[] = {OPTIONS_JSON, OPTIONS_STORE, {0}};

const struct command command_checkout = {.name = "checkout",
    .args = "STORE COMMIT DIR [ID...]",
    .help =
        "Write a commit's images into a directory.\n\n"
        "The image of each module as it was at COMMIT is written to DIR/<ModId>, readable by its owner only; DIR is "
        "made if it is not there, an image that is there already is replaced. With IDs, only of these modules. The "
        "store's own backing files are not touched.\v"
        "Example:\n"
        "  varve checkout store/ HEAD~5 old/\n",
    .options = checkout_options,
    .min = 3,
    .max = -1,
    .run = checkout_run};
