/*
 * client_case.h - a session on a fake coordinator, one module's memory in it, and a way to see where that memory ends.
 */
#ifndef TESTS_CLIENT_CASE_H
#define TESTS_CLIENT_CASE_H

#include <setjmp.h>

#include "client_fake.h"
#include "client.h"

#define PAGE 4096u
#define RESERVE (1u << 20)

static struct fake fake;
static struct varve_vm *vm;
static struct varve_session *session;
static struct varve_memory *memory;
static uint8_t *base;

static void setup(void)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	options.reserve = RESERVE;
	setenv("VARVE_COORDINATOR", "/nowhere", 1);
	fake_init(&fake);
	fake_listen(&fake);
	cr_assert_eq(varve_vm_open(fake.base, &options, &vm), 0, "%s", varve_last_error());
	cr_assert_eq(varve_session_begin(vm, 0, &session), 0, "%s", varve_last_error());
}

static void teardown(void)
{
	varve_vm_close(vm);
	fake_stop(&fake);
	fake_release(&fake);
}

static void deploy(uint64_t size)
{
	struct varve_id module = fake_id(1);
	cr_assert_eq(varve_session_deploy(session, &module, size, &memory), 0, "%s", varve_last_error());
	base = varve_memory_base(memory);
}

/* ---- what can be touched ---------------------------------------------------------------------------------------- */

static sigjmp_buf touched;

static void on_fault(int sig)
{
	siglongjmp(touched, sig);
}

/* Write to an address: 0, or the signal that came of it. */
static int touch(uint8_t *address)
{
	struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER}, segv, bus;
	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	int sig = sigsetjmp(touched, 1);
	if (!sig)
		*(volatile uint8_t *)address = *(volatile uint8_t *)address;
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

static void assert_ends_at(uint64_t size)
{
	uint64_t end = (size + PAGE - 1) / PAGE * PAGE;
	cr_assert_eq(varve_memory_size(memory), size);
	cr_assert_eq(varve_memory_base(memory), base, "the address moved");
	if (size) {
		cr_assert_eq(touch(base), 0);
		cr_assert_eq(touch(base + size - 1), 0);
	}
	cr_assert_eq(touch(base + end), SIGSEGV, "the byte behind the end");
	cr_assert_eq(touch(base + RESERVE - 1), end == RESERVE ? 0 : SIGSEGV);
	cr_assert_eq(touch(base + RESERVE), SIGSEGV, "the guard page");
}

static off_t file_size(void)
{
	struct stat st;
	char name[NAME_MAX_SIZE];
	struct varve_id module = fake_id(1);
	name_backing(name, &module);
	cr_assert_eq(fstatat(fake.dir.fd, name, &st, 0), 0);
	return st.st_size;
}

#endif
