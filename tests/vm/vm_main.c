/*
 * vm_main.c - varve-vm: let a real VM make a history, and see whether it still knows what it is doing at a commit.
 *
 * The label of each commit says which step of which workload it is ("seed 1 step 17"). That is all that is needed to
 * work out by models alone what state every contract must be in there, in whichever process and however much later.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recording.h"
#include "vm.h"
#include "world.h"

static const char usage[] =
    "Usage: varve-vm record STORE [--commits N] [--seed N] [--dump DIR]\n"
    "       varve-vm check STORE COMMIT\n"
    "\n"
    "record  runs eight contracts, makes N commits (200) and persists them; goes on behind the current commit if the\n"
    "        store has one. --dump writes the same history as a recording, which `varve import` reads.\n"
    "check   restores COMMIT (as for `varve`: an id, HEAD, @n, ...), which is then the current one, lets each "
    "contract\n"
    "        check its own state, and compares it with what a model of the contract says.\n"
    "\n"
    "Exit code: 0 done, 1 failed, 2 wrong usage.\n";

struct position {
	uint64_t seed;
	uint64_t next; /* step */
};

struct settings {
	const char *store;
	const char *dump;
	uint64_t commits;
	uint64_t seed;
	bool seed_given;
};

static int complain(void)
{
	fprintf(stderr, "varve-vm: %s\n", vm_error());
	return 1;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* label_parse() - is it a label of the workload's? Then @position is behind that step. */
static bool label_parse(const char *label, struct position *position)
{
	uint64_t seed;
	uint64_t step;
	int end = -1;

	if (sscanf(label, "seed %" SCNu64 " step %" SCNu64 "%n", &seed, &step, &end) != 2 || label[end])
		return false;
	*position = (struct position) {seed, step + 1};
	return true;
}

/* position_find() - where the current commit of the store is in the workload; its start if there is none. */
static int position_find(struct vm *vm, const struct settings *settings, struct position *position)
{
	struct varve_log *log;
	bool known = false;
	int err = varve_log(vm_store(vm), &log);

	if (err)
		return vm_fail(-err, "%s", varve_last_error());
	*position = (struct position) {settings->seed, 0};
	for (size_t i = 0; i < log->count; i++)
		if (log->commits[i].current)
			known = label_parse(log->commits[i].label, position);
	if (log->count && !known)
		err = vm_fail(EINVAL, "%s: its current commit is none of this program's", settings->store);
	else if (settings->seed_given && position->seed != settings->seed)
		err = vm_fail(EINVAL, "%s: was made with --seed %" PRIu64, settings->store, position->seed);
	varve_log_free(log);
	return err;
}

/* world_at() - the world after all steps before @position. */
static struct world *world_at(const struct position *position)
{
	struct world *world = world_new();
	int err = world ? 0 : vm_fail(ENOMEM, "no memory for models");

	for (uint64_t step = 0; step < position->next && !err; step++)
		err = world_step(world, NULL, position->seed, step);
	if (!err)
		return world;
	world_free(world);
	return NULL;
}

struct tally {
	struct recording *recording;
	uint64_t images;
	uint64_t bytes;
};

static int image_add(void *arg, const char *name, struct varve_memory *memory)
{
	struct tally *tally = arg;
	struct varve_id id;
	int err = vm_module_id(name, &id);

	tally->images++;
	tally->bytes += varve_memory_size(memory);
	if (err || !tally->recording)
		return err;
	return recording_module(tally->recording, &id, varve_memory_base(memory), varve_memory_size(memory));
}

static int step_commit(struct vm *vm, struct world *world, const struct position *position, struct tally *tally)
{
	char label[64];
	int err = vm_begin(vm);

	snprintf(label, sizeof(label), "seed %" PRIu64 " step %" PRIu64, position->seed, position->next);
	if (!err)
		err = world_step(world, vm, position->seed, position->next);
	if (!err && tally->recording)
		recording_commit(tally->recording, label);
	if (!err)
		err = vm_each_active(vm, image_add, tally);
	return err ? err : vm_commit(vm, label, NULL);
}

static int record(const struct settings *settings)
{
	struct tally tally = {0};
	struct position position = {0};
	struct world *world = NULL;
	struct vm *vm = NULL;
	double start = seconds();
	int err = vm_open(settings->store, NULL, &vm);

	if (!err)
		err = position_find(vm, settings, &position);
	if (!err && settings->dump && position.next)
		err = vm_fail(EINVAL, "%s: --dump needs a new store, for a recording begins with the first commit",
		    settings->store);
	if (!err && settings->dump)
		err = recording_create(settings->dump, &tally.recording);
	if (!err) {
		world = world_at(&position);
		err = world ? 0 : -EPROTO;
	}
	for (uint64_t i = 0; i < settings->commits && !err; i++, position.next++)
		err = step_commit(vm, world, &position, &tally);
	if (!err)
		err = vm_persist(vm);
	if (tally.recording) {
		int end = recording_close(tally.recording, !err);

		err = err ? err : end;
	}
	world_free(world);
	vm_close(vm);
	if (err)
		return complain();
	printf("%" PRIu64 " commits of %d modules in %.2f s: %" PRIu64 " images, %.1f MB; now behind seed %" PRIu64
	       " step %" PRIu64 "\n",
	    settings->commits, WORKLOAD_MODULES, seconds() - start, tally.images, (double)tally.bytes / 1e6,
	    position.seed, position.next - 1);
	return 0;
}

/* modules_check() - each contract of the commit must find its own state consistent. */
static int modules_check(struct vm *vm, const struct varve_commit_info *commit)
{
	static const int64_t none[3];
	char name[VARVE_ID_SIZE + 1];
	int64_t digest;
	int64_t wrong;

	for (size_t i = 0; i < commit->modules_count; i++) {
		int err = vm_module_name(&commit->modules[i].module, name);

		if (!err)
			err = vm_call(vm, name, "check", none, &wrong);
		if (!err && wrong)
			err = vm_fail(EPROTO, "%s: its invariant %" PRId64 " does not hold", name, wrong);
		if (!err)
			err = vm_call(vm, name, "digest", none, &digest);
		if (err)
			return err;
		printf("%-16s %8" PRIu64 " bytes  digest %016" PRIx64 "\n", name, commit->modules[i].size,
		    (uint64_t)digest);
	}
	return 0;
}

static int commit_check(struct vm *vm, const struct varve_commit_info *commit)
{
	struct position position;
	struct world *world = NULL;
	int err = vm_restore(vm, &commit->commit);

	if (!err)
		err = vm_begin(vm);
	if (!err)
		err = modules_check(vm, commit);
	if (!err && label_parse(commit->label, &position)) {
		world = world_at(&position);
		err = world ? world_compare(world, vm) : -EPROTO;
		world_free(world);
		if (!err)
			printf("as the models have it after %s\n", commit->label);
	}
	if (vm_in_session(vm) && !err)
		err = vm_abandon(vm);
	return err;
}

static int check(const char *store, const char *text)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_log *log = NULL;
	struct varve_id commit;
	struct vm *vm;
	int err;

	options.must_exist = true;
	err = vm_open(store, &options, &vm);
	if (err)
		return complain();
	err = varve_resolve(vm_store(vm), text, &commit);
	if (!err)
		err = varve_commit_info(vm_store(vm), &commit, &log);
	err = err ? vm_fail(-err, "%s", varve_last_error()) : commit_check(vm, &log->commits[0]);
	varve_log_free(log);
	vm_close(vm);
	return err ? complain() : 0;
}

static bool number_parse(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno && *number <= UINT32_MAX;
}

static int usage_error(void)
{
	fputs(usage, stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"commits", required_argument, NULL, 'c'},
	    {"seed", required_argument, NULL, 's'},
	    {"dump", required_argument, NULL, 'd'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct settings settings = {.commits = 200, .seed = 1};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return fputs(usage, stdout) < 0;
		if (option == 'c' && number_parse(optarg, &settings.commits) && settings.commits)
			continue;
		if (option == 's' && number_parse(optarg, &settings.seed)) {
			settings.seed_given = true;
			continue;
		}
		if (option != 'd')
			return usage_error();
		settings.dump = optarg;
	}
	argc -= optind;
	argv += optind;
	if (argc == 2 && strcmp(argv[0], "record") == 0) {
		settings.store = argv[1];
		return record(&settings);
	}
	if (argc == 3 && strcmp(argv[0], "check") == 0)
		return check(argv[1], argv[2]);
	return usage_error();
}
