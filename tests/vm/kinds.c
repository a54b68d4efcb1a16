/*
 * kinds.c - the kinds of contracts that the VM can run: one table over the code that wasm2c has made of each.
 *
 * wasm2c gives every module types and functions of its own. The functions here bring them to one form. That the sizes
 * of memories are the same as the linker was told is seen to by the build, which gives both the same numbers.
 */
#include "kinds.h"

#include <string.h>

#include "book.h"
#include "counter.h"
#include "ledger.h"

#define ENTRY(kind, entry)                                                                                             \
	static uint64_t kind##_##entry(void *instance, uint64_t a, uint64_t b, uint64_t c)                             \
	{                                                                                                              \
		return Z_##kind##Z_##entry(instance, a, b, c);                                                         \
	}

#define LEDGER(X) X(ledger, mint) X(ledger, transfer) X(ledger, balance) X(ledger, accounts)
#define COUNTER(X) X(counter, count) X(counter, choose) X(counter, reset) X(counter, value)
#define BOOK(X) X(book, place) X(book, cancel) X(book, top) X(book, volume)

/* What every contract has. */
#define COMMON(X, kind) X(kind, init) X(kind, digest) X(kind, check) X(kind, peek) X(kind, poke) X(kind, pages)

#define ENTRY_ROW(kind, entry) {#entry, kind##_##entry},

#define KIND(kind, ENTRIES)                                                                                            \
	COMMON(ENTRY, kind)                                                                                            \
	ENTRIES(ENTRY)                                                                                                 \
	static const struct kind_entry kind##_entries[] = {COMMON(ENTRY_ROW, kind) ENTRIES(ENTRY_ROW)};                \
	static void kind##_instantiate(void *instance, struct Z_env_instance_t *env)                                   \
	{                                                                                                              \
		Z_##kind##_instantiate(instance, env);                                                                 \
	}                                                                                                              \
	static void kind##_release(void *instance)                                                                     \
	{                                                                                                              \
		Z_##kind##_free(instance);                                                                             \
	}                                                                                                              \
	static uint32_t *kind##_stack_pointer(void *instance)                                                          \
	{                                                                                                              \
		return Z_##kind##Z___stack_pointer(instance);                                                          \
	}

#define KIND_ROW(kind, pages)                                                                                          \
	{                                                                                                              \
#kind, pages, CONTRACT_MAX_PAGES, sizeof(Z_##kind##_instance_t), Z_##kind##_init_module,               \
		    kind##_instantiate, kind##_release, kind##_stack_pointer, kind##_entries,                          \
		    sizeof(kind##_entries) / sizeof(kind##_entries[0])                                                 \
	}

KIND(ledger, LEDGER)
KIND(counter, COUNTER)
KIND(book, BOOK)

static const struct kind kinds[] = {
    KIND_ROW(ledger, LEDGER_PAGES),
    KIND_ROW(counter, COUNTER_PAGES),
    KIND_ROW(book, BOOK_PAGES),
};

const struct kind *kind_of(const char *module_name)
{
	size_t length = strcspn(module_name, ".");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == length && memcmp(kinds[i].name, module_name, length) == 0)
			return &kinds[i];
	return NULL;
}

runtime_entry *kind_entry(const struct kind *kind, const char *name)
{
	for (size_t i = 0; i < kind->entries_count; i++)
		if (strcmp(kind->entries[i].name, name) == 0)
			return kind->entries[i].call;
	return NULL;
}
