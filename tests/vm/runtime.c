/*
 * runtime.c - what wasm2c's code needs at run time, with linear memories that are Varve's mappings.
 *
 * The usual runtime allocates linear memory itself. Here contracts import their memory, and all that is left to the
 * runtime is to grow it, by varve_memory_resize(). The generated code is compiled with explicit bounds checks against
 * memory.size, which is therefore brought up to date whenever a session begins or a restore has changed it. A trap is
 * a longjmp() out of generated code alone: none crosses a frame of the library's.
 *
 * The program runs contracts in one thread, and a contract never calls another one, so one jump buffer is enough.
 */
#include "runtime.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WASM_PAGE 65536u
#define TYPES_MAX 64
#define VALUES_MAX 16

/* Functions of the same signature must get the same number, in all modules: call_indirect compares it. */
struct func_type {
	uint32_t params;
	uint32_t results;
	wasm_rt_type_t values[VALUES_MAX];
};

static struct func_type func_types[TYPES_MAX];
static uint32_t func_types_count;
static jmp_buf trap_target;

uint32_t wasm_rt_call_stack_depth;

bool wasm_rt_is_initialized(void)
{
	return true;
}

void wasm_rt_trap(wasm_rt_trap_t trap)
{
	longjmp(trap_target, (int)trap);
}

uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...)
{
	struct func_type type = {.params = params, .results = results};
	uint32_t i;
	va_list values;

	if (params > VALUES_MAX || results > VALUES_MAX - params)
		abort();
	va_start(values, results);
	for (i = 0; i < params + results; i++)
		type.values[i] = va_arg(values, wasm_rt_type_t);
	va_end(values);
	for (i = 0; i < func_types_count; i++)
		if (memcmp(&func_types[i], &type, sizeof(type)) == 0)
			return i + 1;
	if (func_types_count == TYPES_MAX)
		abort();
	func_types[func_types_count] = type;
	return ++func_types_count;
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t elements, uint32_t max_elements)
{
	table->data = calloc(elements ? elements : 1, sizeof(*table->data));
	if (!table->data)
		abort();
	table->size = elements;
	table->max_size = max_elements;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table)
{
	free(table->data);
}

static void pages_set(wasm_rt_memory_t *memory, uint64_t size)
{
	memory->size = (uint32_t)size;
	memory->pages = (uint32_t)(size / WASM_PAGE);
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t delta)
{
	struct Z_env_instance_t *env =
	    (struct Z_env_instance_t *)((char *)memory - offsetof(struct Z_env_instance_t, memory));
	uint32_t before = memory->pages;
	uint64_t size = ((uint64_t)before + delta) * WASM_PAGE;

	if (!delta)
		return before;
	if (delta > memory->max_pages || before > memory->max_pages - delta || !env->backing)
		return UINT32_MAX;
	if (varve_memory_resize(env->backing, size))
		return UINT32_MAX;
	pages_set(memory, size);
	return before;
}

/* The import as wasm2c names it: asked once, when a module is instantiated. */
wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env);

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env)
{
	return &env->memory;
}

void runtime_attach(struct Z_env_instance_t *env, struct varve_memory *backing, uint32_t max_pages)
{
	env->backing = backing;
	env->memory.max_pages = max_pages;
	env->memory.data = varve_memory_base(backing);
	pages_set(&env->memory, 0);
}

int runtime_refresh(struct Z_env_instance_t *env)
{
	uint64_t size = varve_memory_size(env->backing);

	pages_set(&env->memory, 0);
	if (size % WASM_PAGE || size / WASM_PAGE > env->memory.max_pages)
		return -EINVAL;
	pages_set(&env->memory, size);
	return 0;
}

void runtime_detach(struct Z_env_instance_t *env)
{
	memset(env, 0, sizeof(*env));
}

wasm_rt_trap_t runtime_call(runtime_entry *entry, void *instance, const int64_t *args, int64_t *result)
{
	wasm_rt_trap_t trap;

	wasm_rt_call_stack_depth = 0;
	trap = (wasm_rt_trap_t)setjmp(trap_target);
	if (trap == WASM_RT_TRAP_NONE)
		*result = (int64_t)entry(instance, (uint64_t)args[0], (uint64_t)args[1], (uint64_t)args[2]);
	return trap;
}

const char *runtime_trap_text(wasm_rt_trap_t trap)
{
	static const char *const texts[] = {
	    [WASM_RT_TRAP_OOB] = "access outside of its memory or table",
	    [WASM_RT_TRAP_INT_OVERFLOW] = "integer overflow",
	    [WASM_RT_TRAP_DIV_BY_ZERO] = "division by zero",
	    [WASM_RT_TRAP_INVALID_CONVERSION] = "invalid conversion to an integer",
	    [WASM_RT_TRAP_UNREACHABLE] = "unreachable instruction",
	    [WASM_RT_TRAP_CALL_INDIRECT] = "indirect call of no function, or of one with another signature",
	    [WASM_RT_TRAP_EXHAUSTION] = "call stack exhausted",
	};

	if ((size_t)trap < sizeof(texts) / sizeof(texts[0]) && texts[trap])
		return texts[trap];
	return "unknown trap";
}
