/*
 * world.c - models of all modules of a VM, to run beside it.
 */
#include "world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

struct place {
	struct place *next;
	struct model *model;
	char name[VARVE_ID_SIZE + 1];
};

struct world {
	struct place *places;
};

struct world *world_new(void)
{
	return calloc(1, sizeof(struct world));
}

void world_free(struct world *world)
{
	if (!world)
		return;
	while (world->places) {
		struct place *place = world->places;

		world->places = place->next;
		model_free(place->model);
		free(place);
	}
	free(world);
}

static struct model *model_of(struct world *world, const char *name)
{
	for (struct place *place = world->places; place; place = place->next)
		if (strcmp(place->name, name) == 0)
			return place->model;
	return NULL;
}

static int deploy(struct world *world, struct vm *vm, const char *name)
{
	struct place *place;
	int err = vm ? vm_deploy(vm, name) : 0;

	if (err)
		return err;
	if (strlen(name) > VARVE_ID_SIZE || model_of(world, name))
		return vm_fail(EEXIST, "%s: the world has such a module, or can not", name);
	place = calloc(1, sizeof(*place));
	if (!place)
		return vm_fail(ENOMEM, "%s: no memory for a model", name);
	strcpy(place->name, name);
	place->model = model_new(name);
	place->next = world->places;
	world->places = place;
	return place->model ? 0 : vm_fail(EINVAL, "%s: there is no model of this kind", name);
}

int world_run(struct world *world, struct vm *vm, const struct transaction *transaction)
{
	const char *name = transaction->module;
	struct model *model;
	int64_t expected;
	int64_t result;
	int err;

	if (!transaction->entry)
		return deploy(world, vm, name);
	model = model_of(world, name);
	if (!model)
		return vm_fail(ENOENT, "%s: the world has no such module", name);
	expected = model_call(model, transaction->entry, transaction->args);
	if (!vm)
		return 0;
	err = vm_call(vm, name, transaction->entry, transaction->args, &result);
	if (err || result == expected)
		return err;
	return vm_fail(EPROTO, "%s.%s(%" PRId64 ", %" PRId64 ", %" PRId64 ") is %" PRId64 " but should be %" PRId64,
	    name, transaction->entry, transaction->args[0], transaction->args[1], transaction->args[2], result,
	    expected);
}

struct running {
	struct world *world;
	struct vm *vm;
};

static int run(void *arg, const struct transaction *transaction)
{
	struct running *running = arg;

	return world_run(running->world, running->vm, transaction);
}

int world_step(struct world *world, struct vm *vm, uint64_t seed, uint64_t step)
{
	struct running running = {world, vm};

	return workload_step(seed, step, run, &running);
}

int world_compare(struct world *world, struct vm *vm)
{
	int err = 0;

	for (struct place *place = world->places; place && !err; place = place->next) {
		err = world_run(world, vm, &(struct transaction) {place->name, "check", {0, 0, 0}});
		if (!err)
			err = world_run(world, vm, &(struct transaction) {place->name, "digest", {0, 0, 0}});
	}
	return err;
}
