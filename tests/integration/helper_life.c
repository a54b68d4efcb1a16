/*
 * helper_life.c - see helper_life.h.
 *
 * Each commit has its step as label, so that a commit of which nobody knows whether it was made can be told, and its
 * content checked. Step 0 writes module 0 only; steps 1, 2 and 5 write all three; step 3 writes 0 and 1, and leaves 2
 * as its parent has it; step 4 makes 2 shorter.
 */
#include "helper_life.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MODULES 3
#define NOBODY (-2)

enum varve_sync life_sync = VARVE_SYNC_PERSIST;

static bool writes(int step, int module)
{
	static const bool table[LIFE_STEPS][MODULES] = {
	    {1, 0, 0}, {1, 1, 1}, {1, 1, 1}, {1, 1, 0}, {0, 0, 1}, {1, 1, 1}};
	return table[step][module];
}

const char *life_module(int module)
{
	static const char *const names[MODULES] = {"LM", "LN", "LO"};
	return names[module];
}

void *life_image(int step, int module, size_t *size)
{
	*size = 20000 + 3000 * (size_t)step + 5000 * (size_t)module;
	if (step == 4)
		*size = 9001;
	char *image = calloc(1, 64000);
	noise(image, *size, (uint64_t)module + 100);
	memset(image + (size_t)(step * 1500), 'a' + step, 3000);
	return image;
}

/* ---- living ----------------------------------------------------------------------------------------------------- */

/* Counts a failure, and sees to it that it was said what went wrong. */
static int note(struct life *life, int r)
{
	if (!r)
		return 0;
	cr_assert(strlen(varve_last_error()) > 10, "a call failed with %d and says only \"%s\"", r, varve_last_error());
	life->failed++;
	life->last_error = r;
	snprintf(life->last_text, sizeof(life->last_text), "%s", varve_last_error());
	return r;
}

static int write_module(struct varve_session *session, int step, int module)
{
	struct varve_id id = id_of(life_module(module));
	struct varve_memory *memory;
	size_t size;
	char *image = life_image(step, module, &size);
	int r = varve_session_module(session, &id, &memory);
	if (r == -ENOENT)
		r = varve_session_deploy(session, &id, size, &memory);
	if (!r)
		r = varve_memory_resize(memory, size);
	if (!r)
		memcpy(varve_memory_base(memory), image, size);
	free(image);
	return r;
}

static int write_step(struct varve_session *session, int step)
{
	int r = 0;
	for (int m = 0; m < MODULES && !r; m++)
		if (writes(step, m))
			r = write_module(session, step, m);
	return r;
}

int life_commit(struct varve_vm *vm, struct life *life, int step)
{
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	struct varve_session *session;
	char label[2] = {(char)('0' + step), 0};
	int r = note(life, varve_session_begin(vm, 2000, &session));
	if (r)
		return r;
	options.label = label;
	r = note(life, write_step(session, step));
	if (!r) {
		r = note(life, varve_session_commit(session, &options, NULL));
		life->made[step] = r == 0;
		life->maybe[step] = r == -ECONNRESET;
		if (r == 0) {
			life->current = step;
			life->maybe_current = NOBODY;
		} else if (r == -ECONNRESET) {
			life->maybe_current = step;
		}
	}
	if (r)
		note(life, varve_session_abandon(session));
	return r;
}

/* The id of the commit that step @step has made; false if the store has none. */
static bool find_step(struct varve_vm *vm, int step, struct varve_id *id)
{
	struct varve_log *log;
	bool found = false;
	if (varve_log(vm, &log))
		return false;
	for (size_t i = 0; i < log->count; i++) {
		if (log->commits[i].label[0] != '0' + step)
			continue;
		*id = log->commits[i].commit;
		found = true;
	}
	varve_log_free(log);
	return found;
}

int life_restore(struct varve_vm *vm, struct life *life, int step)
{
	struct varve_id id;
	if (!find_step(vm, step, &id))
		return -ENOENT;
	int r = note(life, varve_restore(vm, &id, NULL, NULL));
	if (!r) {
		life->current = step;
		life->maybe_current = NOBODY;
	} else if (r == -ECONNRESET) {
		life->maybe_current = step;
	}
	return r;
}

static void abandon_one(struct varve_vm *vm, struct life *life)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id extra = id_of("LX");
	if (note(life, varve_session_begin(vm, 2000, &session)))
		return;
	int r = note(life, write_step(session, 2));
	if (!r)
		note(life, varve_session_deploy(session, &extra, 5000, &memory));
	note(life, varve_session_abandon(session));
}

static struct varve_vm *open_twice(struct life *life)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm;
	options.workers = 2;
	options.sync = life_sync;
	if (note(life, varve_vm_open(store_path(""), &options, &vm)))
		note(life, varve_vm_open(store_path(""), &options, &vm));
	return vm;
}

void life_live(struct life *life)
{
	*life = (struct life) {.current = -1, .maybe_current = NOBODY};
	struct varve_vm *vm = open_twice(life);
	if (!vm)
		return;
	life_commit(vm, life, 0);
	life_commit(vm, life, 1);
	life_commit(vm, life, 2);
	note(life, varve_persist(vm));
	life_restore(vm, life, 1);
	abandon_one(vm, life);
	life_commit(vm, life, 3);
	note(life, varve_persist(vm));
	life_restore(vm, life, 0);
	life_restore(vm, life, 3);
	life_commit(vm, life, 4);
	varve_vm_close(vm);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

/* The step that wrote module @module as it stands at commit @index of @log; -1: it is not part of it. */
static int writer_of(const struct varve_log *log, uint64_t index, int module)
{
	while (index != VARVE_NONE) {
		int step = log->commits[index].label[0] - '0';
		if (writes(step, module))
			return step;
		index = log->commits[index].parent_index;
	}
	return -1;
}

static void check_commit(struct varve_vm *vm, const struct varve_log *log, size_t index, const char *what)
{
	struct varve_id commit = log->commits[index].commit;
	for (int m = 0; m < MODULES; m++) {
		size_t size, want_size;
		int step = writer_of(log, index, m);
		if (step < 0)
			continue;
		char *is = store_checkout(vm, &commit, life_module(m), &size);
		char *want = life_image(step, m, &want_size);
		cr_assert(size == want_size && memcmp(is, want, size) == 0, "%s: module %d of commit %zu (step %s)",
		    what, m, index, log->commits[index].label);
		free(is);
		free(want);
	}
}

/* All backing files hold what the current commit says. */
static void check_backing(const struct varve_log *log, const char *what)
{
	for (size_t i = 0; i < log->count; i++) {
		if (!log->commits[i].current)
			continue;
		for (int m = 0; m < MODULES; m++) {
			size_t size;
			int step = writer_of(log, i, m);
			if (step < 0)
				continue;
			char *want = life_image(step, m, &size);
			cr_assert(store_holds(store_file(life_module(m), NULL, ""), want, size),
			    "%s: the backing file of module %d is not at the current commit (step %s)", what, m,
			    log->commits[i].label);
			free(want);
		}
	}
}

static void check_log(const struct life *life, const struct varve_log *log, const char *what)
{
	int seen[LIFE_STEPS] = {0}, current = -1;
	for (size_t i = 0; i < log->count; i++) {
		int step = log->commits[i].label[0] - '0';
		cr_assert(
		    step >= 0 && step < LIFE_STEPS, "%s: a commit with the label \"%s\"", what, log->commits[i].label);
		seen[step]++;
		if (log->commits[i].current)
			current = step;
	}
	for (int step = 0; step < LIFE_STEPS; step++) {
		cr_assert(!life->made[step] || seen[step] == 1, "%s: the commit of step %d is lost", what, step);
		cr_assert(life->made[step] || life->maybe[step] || !seen[step],
		    "%s: the commit of step %d failed, and yet was made; %d calls failed, the last with %d, %s", what,
		    step, life->failed, life->last_error, life->last_text);
	}
	cr_assert(current == life->current || current == life->maybe_current,
	    "%s: the current commit is that of step %d, not %d", what, current, life->current);
}

static struct varve_log *look(struct varve_vm *vm)
{
	struct varve_log *log;
	must(varve_log(vm, &log));
	return log;
}

/* It goes on: every commit can be restored, and a new one made. */
static void go_on(struct varve_vm *vm, const char *what)
{
	struct varve_log *log = look(vm);
	for (size_t i = 0; i < log->count; i++) {
		must(varve_restore(vm, &log->commits[i].commit, NULL, NULL));
		struct varve_log *now = look(vm);
		cr_assert(now->commits[i].current, "%s", what);
		check_backing(now, what);
		varve_log_free(now);
	}
	varve_log_free(log);
	struct life after = {.current = -1};
	must(life_commit(vm, &after, 5));
	log = look(vm);
	check_commit(vm, log, log->count - 1, what);
	check_backing(log, what);
	varve_log_free(log);
}

void life_check(struct life *life, const char *what)
{
	struct varve_vm *vm;
	int r = varve_vm_open(store_path(""), NULL, &vm);
	cr_assert(r == 0, "%s: the store can not be opened: %d, %s (before that %d calls failed, the last with %d, %s)",
	    what, r, varve_last_error(), life->failed, life->last_error, life->last_text);
	struct varve_log *log = look(vm);
	check_log(life, log, what);
	check_backing(log, what);
	for (size_t i = 0; i < log->count; i++)
		check_commit(vm, log, i, what);
	varve_log_free(log);
	expect_verified(vm, NULL);
	expect_no_strays(vm);
	go_on(vm, what);
	expect_verified(vm, NULL);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	cr_assert(!store_is_clean(), "%s: %s", what, store_is_clean());
}

void life_undisturbed(const char *what)
{
	struct life life;
	setenv("VARVE_INLINE", "0", 1);
	life_live(&life);
	cr_assert(life.failed == 0, "%s: %d calls failed, the last with %d, %s", what, life.failed, life.last_error,
	    life.last_text);
	end_processes();
	life_check(&life, what);
}
