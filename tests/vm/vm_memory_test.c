/*
 * vm_memory_test.c - what restores do to the memories under contracts: their ends, their zeros, and what is in them that
 * means something to the VM.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>

#include "fixture.h"

#define WASM_PAGE 65536

TestSuite(vm_memory, .init = fixture_setup, .fini = fixture_teardown);

static sigjmp_buf touch_target;
static volatile sig_atomic_t touch_signal;

static void touch_failed(int number)
{
	touch_signal = number;
	siglongjmp(touch_target, 1);
}

/* touch() - the signal that reading a byte raises; 0: none. */
static int touch(const volatile char *at)
{
	struct sigaction action = {.sa_handler = touch_failed};
	struct sigaction segv;
	struct sigaction bus;

	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	touch_signal = 0;
	if (sigsetjmp(touch_target, 1) == 0)
		(void)*at;
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return touch_signal;
}

static void accounts_mint(struct vm *vm, int64_t first, int64_t last)
{
	for (int64_t account = first; account <= last; account++)
		fixture_call(vm, "ledger.l", "mint", account * 7919, account, 0);
}

/*
 * A contract that reads beyond the end of its restored memory has to trap. A mapping left over a file that became
 * shorter would raise SIGBUS instead, which no VM expects, or show bytes of the future.
 */
Test(vm_memory, memory_that_grew_is_out_of_bounds_again_after_a_restore_to_before)
{
	struct varve_memory *memory;
	struct varve_id small;
	struct varve_id large;
	struct vm *vm = fixture_deployed(&small);
	int64_t pages_small;
	int64_t pages_large;
	int64_t result;
	char *base;

	must(vm_begin(vm));
	pages_small = fixture_call(vm, "ledger.l", "pages", 0, 0, 0);
	accounts_mint(vm, 1, 3000);
	pages_large = fixture_call(vm, "ledger.l", "pages", 0, 0, 0);
	cr_assert_gt(pages_large, pages_small);
	fixture_call(vm, "ledger.l", "poke", pages_large * WASM_PAGE - 1, 99, 0);
	large = fixture_commit(vm);

	must(vm_begin(vm));
	must(vm_memory(vm, "ledger.l", &memory));
	base = varve_memory_base(memory);
	cr_expect_eq(fixture_call(vm, "ledger.l", "peek", pages_large * WASM_PAGE - 1, 0, 0), 99);
	must(vm_restore(vm, &small));
	cr_expect_eq(fixture_call(vm, "ledger.l", "pages", 0, 0, 0), pages_small);
	cr_expect_eq(varve_memory_size(memory), (uint64_t)pages_small * WASM_PAGE);
	cr_expect_eq(vm_call(vm, "ledger.l", "peek", (int64_t[3]) {pages_small * WASM_PAGE}, &result), -EFAULT);
	cr_expect_eq(vm_call(vm, "ledger.l", "poke", (int64_t[3]) {pages_large * WASM_PAGE - 1, 1}, &result), -EFAULT);
	cr_expect_eq(touch(base + pages_small * WASM_PAGE - 1), 0);
	cr_expect_eq(touch(base + pages_small * WASM_PAGE), SIGSEGV);
	cr_expect_eq(touch(base + pages_large * WASM_PAGE - 1), SIGSEGV);
	cr_expect_eq(fixture_call(vm, "ledger.l", "balance", 11, 0, 0), 100);
	cr_expect_eq(fixture_digest(vm, "ledger.l"), fixture_digest(vm, "ledger.l"));

	must(vm_restore(vm, &large));
	cr_expect_eq(fixture_call(vm, "ledger.l", "pages", 0, 0, 0), pages_large);
	cr_expect_eq(fixture_call(vm, "ledger.l", "peek", pages_large * WASM_PAGE - 1, 0, 0), 99);
	cr_expect_eq(fixture_call(vm, "ledger.l", "accounts", 0, 0, 0), 3001);
	fixture_digest(vm, "ledger.l");
	must(vm_abandon(vm));
	vm_close(vm);
}

/* grow_and_mark() - let the ledger grow, into zeros, and leave a mark at the end. */
static void grow_and_mark(struct vm *vm)
{
	int64_t end;

	accounts_mint(vm, 1, 3000);
	end = fixture_call(vm, "ledger.l", "pages", 0, 0, 0) * WASM_PAGE;
	cr_expect_eq(fixture_call(vm, "ledger.l", "peek", end - 1, 0, 0), 0);
	fixture_digest(vm, "ledger.l");
	fixture_call(vm, "ledger.l", "poke", end - 1, 99, 0);
}

/* Grown memory is zero by the rules of WebAssembly, also where the file once held something else. */
Test(vm_memory, memory_that_grows_again_after_a_restore_or_an_abandon_is_zero)
{
	struct varve_id small;
	struct vm *vm = fixture_deployed(&small);

	for (int round = 0; round < 4; round++) {
		must(vm_begin(vm));
		grow_and_mark(vm);
		must(vm_restore(vm, &small));
		grow_and_mark(vm);
		if (round == 0)
			fixture_commit(vm);
		else
			must(vm_abandon(vm));
		must(vm_restore(vm, &small));
	}
	vm_close(vm);
}

/* Brought back to before it existed, a module is not there, and its memory is not either; but its history is kept. */
Test(vm_memory, a_module_younger_than_the_restored_commit_is_gone_until_a_commit_that_has_it)
{
	struct varve_id first;
	struct varve_id second;
	struct vm *vm = fixture_deployed(&first);
	struct varve_memory *memory;
	int64_t result;

	must(vm_begin(vm));
	must(vm_deploy(vm, "book.b"));
	fixture_call(vm, "book.b", "place", 0, 1000, 5);
	second = fixture_commit(vm);

	must(vm_begin(vm));
	must(vm_memory(vm, "book.b", &memory));
	must(vm_restore(vm, &first));
	cr_expect_eq(varve_memory_size(memory), 0);
	cr_expect_eq(touch(varve_memory_base(memory)), SIGSEGV);
	cr_expect_eq(vm_call(vm, "book.b", "top", (int64_t[3]) {0}, &result), -ENOENT);
	must(vm_restore(vm, &second));
	cr_expect_eq(fixture_call(vm, "book.b", "top", 0, 0, 0), 1000);
	fixture_digest(vm, "book.b");
	must(vm_abandon(vm));

	must(vm_restore(vm, &first));
	must(vm_begin(vm));
	cr_expect_eq(vm_call(vm, "book.b", "top", (int64_t[3]) {0}, &result), -ENOENT);
	must(vm_abandon(vm));
	vm_close(vm);
}

/* A contract that failed half way leaves its memory half changed: the way out is to abandon the session. */
Test(vm_memory, what_a_contract_wrote_before_it_trapped_is_gone_with_the_session)
{
	struct varve_id commit;
	struct vm *vm = fixture_deployed(&commit);
	int64_t digest;
	int64_t result;

	must(vm_begin(vm));
	digest = fixture_digest(vm, "ledger.l");
	fixture_call(vm, "ledger.l", "mint", 12, 5, 0);
	cr_expect_eq(vm_call(vm, "ledger.l", "poke", (int64_t[3]) {-1, 1}, &result), -EFAULT);
	cr_expect_eq(fixture_call(vm, "ledger.l", "balance", 12, 0, 0), 5, "a trap is no end of the instance");
	must(vm_abandon(vm));

	must(vm_begin(vm));
	cr_expect_eq(fixture_digest(vm, "ledger.l"), digest);
	must(vm_abandon(vm));
	vm_close(vm);
}

/*
 * The rule of a counter is a function pointer in its memory, set by the data segment at first. Were data segments
 * written again over a memory that comes from the store, the rule chosen later would be lost.
 */
Test(vm_memory, a_function_pointer_in_memory_is_what_it_was_at_the_restored_commit)
{
	struct varve_id adding;
	struct varve_id flipping;
	struct vm *vm = fixture_deployed(&adding);

	must(vm_begin(vm));
	fixture_call(vm, "counter.c", "choose", 2, 0, 0);
	flipping = fixture_commit(vm);
	vm_close(vm);

	vm = fixture_open();
	must(vm_begin(vm));
	cr_expect_eq(fixture_call(vm, "counter.c", "count", 0, 3, 0), 1 ^ 3);
	must(vm_restore(vm, &adding));
	cr_expect_eq(fixture_call(vm, "counter.c", "count", 0, 3, 0), 1 + 3);
	must(vm_restore(vm, &flipping));
	cr_expect_eq(fixture_call(vm, "counter.c", "count", 0, 3, 0), 1 ^ 3);
	must(vm_abandon(vm));
	vm_close(vm);
}
