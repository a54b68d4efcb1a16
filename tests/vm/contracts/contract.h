/*
 * contract.h - what all contracts share: their entry points' form, a heap, and a hash.
 *
 * C1  Every entry takes three i64 and returns one, so that the VM has one way to call them all.
 * C2  All state lies in linear memory. The only WebAssembly global that changes is the stack pointer, and that is back
 *     at its start whenever an entry has returned. So the memory alone is the state, and bringing it back is enough.
 * C3  Entries are deterministic: no clock, no randomness, no host calls.
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include <stdint.h>

#define ENTRY(name) __attribute__((export_name(#name))) int64_t name(int64_t a, int64_t b, int64_t c)

#define WASM_PAGE 65536u

/** The linker's: the first byte behind stack and static data. */
extern unsigned char __heap_base;

static uint32_t heap_end;

/** heap_alloc() - @size zero bytes that are never given back; the memory grows when they do not fit, or traps. */
static inline void *heap_alloc(uint32_t size)
{
	uint32_t start = heap_end ? heap_end : (uint32_t)(uintptr_t)&__heap_base;
	uint32_t pages = __builtin_wasm_memory_size(0);
	uint64_t end;

	start = (start + 15) & ~15u;
	end = (uint64_t)start + size;
	if (end > (uint64_t)pages * WASM_PAGE) {
		uint32_t more = (uint32_t)((end - (uint64_t)pages * WASM_PAGE + WASM_PAGE - 1) / WASM_PAGE);

		if (__builtin_wasm_memory_grow(0, more) == (__SIZE_TYPE__)-1)
			__builtin_trap();
	}
	heap_end = (uint32_t)end;
	return (void *)(uintptr_t)start;
}

/** mix() - spread the bits of @x over all 64 (the finaliser of splitmix64). */
static inline uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/** peek(), poke() - look at and change any byte of the memory, for tests of where the memory ends. */
ENTRY(peek)
{
	return *(volatile uint8_t *)(uintptr_t)(uint32_t)a;
}

ENTRY(poke)
{
	*(volatile uint8_t *)(uintptr_t)(uint32_t)a = (uint8_t)b;
	return 0;
}

/** pages() - how long the memory is, as the contract sees it. */
ENTRY(pages)
{
	return (int64_t)__builtin_wasm_memory_size(0);
}

#endif
