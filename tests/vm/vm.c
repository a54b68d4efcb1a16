/*
 * vm.c - a small WebAssembly VM that runs contracts on Varve's memories.
 *
 * A module of the VM lives as long as the VM, its memory only as long as a session:
 *
 *           vm_deploy (data segments go into the new memory)
 *   unknown ---------------------------------------------------> active --commit, abandon--> idle
 *      \                                                          ^  |                        |
 *       `-- vm_call (data segments go into a scratch memory) -----'  `-<---- vm_call ---------'
 *
 * V1  Data segments are written into a module's memory once in its life, when it is deployed. Whatever is restored or
 *     opened later has them, changed by what ran since.
 * V2  All else that an instance consists of is the same after every instantiation: its table, and the stack pointer,
 *     which is set back before each call since a trap leaves it anywhere.
 * V3  The size that bounds checks use is taken from the memory when it is attached and after each restore.
 */
#include "vm.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "runtime.h"

#define WASM_PAGE 65536u

struct module {
	struct module *next;
	char name[VARVE_ID_SIZE + 1];
	struct varve_id id;
	const struct kind *kind;
	struct Z_env_instance_t env; /* env.backing: NULL while the module is not active in a session */
	void *instance;
	uint32_t stack_top;
};

struct vm {
	struct varve_vm *store;
	struct varve_session *session;
	struct module *modules;
};

static char error_text[512];

int vm_fail(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error_text, sizeof(error_text), format, args);
	va_end(args);
	return -err;
}

/* varve_error() - pass on what a call of the library returned. */
static int varve_error(int err, const char *what)
{
	return err < 0 ? vm_fail(-err, "%s: %s", what, varve_last_error()) : 0;
}

const char *vm_error(void)
{
	return error_text;
}

int vm_module_id(const char *name, struct varve_id *id)
{
	size_t length = strlen(name);

	if (!length || length > VARVE_ID_SIZE || !kind_of(name))
		return vm_fail(EINVAL, "\"%s\" is no name of a module: ledger.NAME, counter.NAME, book.NAME", name);
	memset(id, 0, sizeof(*id));
	memcpy(id->bytes, name, length);
	return 0;
}

int vm_module_name(const struct varve_id *id, char *name)
{
	struct varve_id again;

	memcpy(name, id->bytes, VARVE_ID_SIZE);
	name[VARVE_ID_SIZE] = 0;
	for (const char *at = name; *at; at++)
		if (!isgraph((unsigned char)*at))
			return vm_fail(EINVAL, "an id in the store is no name of a module of this VM");
	if (vm_module_id(name, &again) || memcmp(&again, id, sizeof(again)) != 0)
		return vm_fail(EINVAL, "an id in the store is no name of a module of this VM");
	return 0;
}

int vm_open(const char *dir, const struct varve_options *options, struct vm **out)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int err;

	*out = NULL;
	if (!vm)
		return vm_fail(ENOMEM, "no memory for a VM");
	err = varve_vm_open(dir, options, &vm->store);
	if (err) {
		free(vm);
		return varve_error(err, "open");
	}
	*out = vm;
	return 0;
}

static void module_release(struct module *module)
{
	if (module->instance)
		module->kind->release(module->instance);
	free(module->instance);
	module->instance = NULL;
}

void vm_close(struct vm *vm)
{
	if (!vm)
		return;
	varve_vm_close(vm->store);
	while (vm->modules) {
		struct module *module = vm->modules;

		vm->modules = module->next;
		module_release(module);
		free(module);
	}
	free(vm);
}

struct varve_vm *vm_store(struct vm *vm)
{
	return vm->store;
}

bool vm_in_session(const struct vm *vm)
{
	return vm->session;
}

int vm_begin(struct vm *vm)
{
	if (vm->session)
		return vm_fail(EBUSY, "this VM has a session already: commit or abandon it first");
	return varve_error(varve_session_begin(vm->store, 0, &vm->session), "begin");
}

static int module_get(struct vm *vm, const char *name, struct module **out)
{
	struct module *module;
	struct varve_id id;
	int err;

	if (!vm->session)
		return vm_fail(EINVAL, "%s: there is no session: begin one first", name);
	for (module = vm->modules; module; module = module->next)
		if (strcmp(module->name, name) == 0)
			break;
	if (!module) {
		err = vm_module_id(name, &id);
		if (err)
			return err;
		module = calloc(1, sizeof(*module));
		if (!module)
			return vm_fail(ENOMEM, "%s: no memory", name);
		strcpy(module->name, name);
		module->id = id;
		module->kind = kind_of(name);
		module->next = vm->modules;
		vm->modules = module;
	}
	*out = module;
	return 0;
}

/* instantiate() - make the instance, with data segments written into the memory that env has now. */
static int instantiate(struct module *module)
{
	module_release(module);
	module->instance = calloc(1, module->kind->instance_size);
	if (!module->instance)
		return vm_fail(ENOMEM, "%s: no memory", module->name);
	module->kind->init_module();
	module->kind->instantiate(module->instance, &module->env);
	module->stack_top = *module->kind->stack_pointer(module->instance);
	return 0;
}

/* instantiate_aside() - make the instance of a module that has run before: its data segments go nowhere (V1). */
static int instantiate_aside(struct module *module)
{
	uint32_t size = module->kind->initial_pages * WASM_PAGE;
	uint8_t *scratch = calloc(1, size);
	int err;

	if (!scratch)
		return vm_fail(ENOMEM, "%s: no memory", module->name);
	module->env.memory = (wasm_rt_memory_t) {scratch, size / WASM_PAGE, size / WASM_PAGE, size};
	err = instantiate(module);
	runtime_detach(&module->env);
	free(scratch);
	return err;
}

static int attach(struct module *module, struct varve_memory *memory)
{
	runtime_attach(&module->env, memory, module->kind->max_pages);
	if (runtime_refresh(&module->env))
		return vm_fail(EBADMSG, "%s: its memory of %llu bytes is none that this contract can have",
		    module->name, (unsigned long long)varve_memory_size(memory));
	return 0;
}

static int activate(struct vm *vm, const char *name, struct module **out)
{
	struct varve_memory *memory;
	struct module *module;
	int err = module_get(vm, name, &module);

	if (err)
		return err;
	*out = module;
	/* After a restore to before a module's deployment its memory is empty: ask again, for it may be back. */
	if (module->env.backing && module->env.memory.size)
		return 0;
	err = varve_error(varve_session_module(vm->session, &module->id, &memory), name);
	if (!err && !module->instance)
		err = instantiate_aside(module);
	return err ? err : attach(module, memory);
}

static int call(struct module *module, const char *entry, const int64_t args[3], int64_t *result)
{
	runtime_entry *fn = kind_entry(module->kind, entry);
	wasm_rt_trap_t trap;

	if (!fn)
		return vm_fail(ENOENT, "%s: a %s has no entry \"%s\"", module->name, module->kind->name, entry);
	*module->kind->stack_pointer(module->instance) = module->stack_top;
	trap = runtime_call(fn, module->instance, args, result);
	if (trap != WASM_RT_TRAP_NONE)
		return vm_fail(EFAULT, "%s.%s trapped: %s", module->name, entry, runtime_trap_text(trap));
	return 0;
}

int vm_deploy(struct vm *vm, const char *name)
{
	static const int64_t none[3];
	struct varve_memory *memory;
	struct module *module;
	int64_t result;
	int err = module_get(vm, name, &module);

	if (err)
		return err;
	err =
	    varve_session_deploy(vm->session, &module->id, (uint64_t)module->kind->initial_pages * WASM_PAGE, &memory);
	if (err)
		return varve_error(err, name);
	err = attach(module, memory);
	if (!err)
		err = instantiate(module);
	return err ? err : call(module, "init", none, &result);
}

int vm_call(struct vm *vm, const char *name, const char *entry, const int64_t args[3], int64_t *result)
{
	struct module *module;
	int err = activate(vm, name, &module);

	return err ? err : call(module, entry, args, result);
}

int vm_memory(struct vm *vm, const char *name, struct varve_memory **memory)
{
	struct module *module;
	int err = activate(vm, name, &module);

	*memory = err ? NULL : module->env.backing;
	return err;
}

int vm_each_active(struct vm *vm, int (*fn)(void *arg, const char *name, struct varve_memory *memory), void *arg)
{
	int err = 0;

	for (struct module *module = vm->modules; module && !err; module = module->next)
		if (module->env.backing && module->env.memory.size)
			err = fn(arg, module->name, module->env.backing);
	return err;
}

/* session_end() - the session's memories are gone. */
static void session_end(struct vm *vm)
{
	vm->session = NULL;
	for (struct module *module = vm->modules; module; module = module->next)
		runtime_detach(&module->env);
}

int vm_commit(struct vm *vm, const char *label, struct varve_id *commit)
{
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	int err;

	if (!vm->session)
		return vm_fail(EINVAL, "there is no session to commit");
	options.label = label;
	err = varve_session_commit(vm->session, &options, commit);
	if (!err)
		session_end(vm);
	return varve_error(err, "commit");
}

int vm_abandon(struct vm *vm)
{
	struct varve_session *session = vm->session;

	if (!session)
		return vm_fail(EINVAL, "there is no session to abandon");
	session_end(vm);
	return varve_error(varve_session_abandon(session), "abandon");
}

int vm_restore(struct vm *vm, const struct varve_id *commit)
{
	int err = varve_error(varve_restore(vm->store, commit, NULL, NULL), "restore");

	/* Sizes may have changed even if it failed. */
	for (struct module *module = vm->modules; module; module = module->next)
		if (module->env.backing && runtime_refresh(&module->env) && !err)
			err = vm_fail(EBADMSG, "%s: its memory is none that this contract can have", module->name);
	return err;
}

int vm_persist(struct vm *vm)
{
	return varve_error(varve_persist(vm->store), "persist");
}
