/*
 * io_shm.c - memory that processes share, and that none of them can take away from the others.
 */
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#include "io_fixture.h"
#include "shm.h"

Test(shm, a_child_sees_what_the_parent_writes_and_the_other_way_round)
{
	struct shm shm;

	cr_assert_eq(shm_create(&shm, "varve-test", 10000, false), 0);
	volatile char *bytes = shm.base;
	for (size_t i = 0; i < shm.size; i++)
		cr_assert_eq(bytes[i], 0);
	bytes[0] = 1;
	pid_t pid = fork();
	if (pid == 0) {
		bytes[9999] = 2;
		_exit(bytes[0] == 1 ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
	cr_assert_eq(bytes[9999], 2);
	shm_close(&shm);
	cr_assert_eq(shm.fd, -1);
}

/* Whoever cut it would kill all others with SIGBUS. */
Test(shm, nobody_can_change_its_size_or_its_seals)
{
	struct shm shm;

	cr_assert_eq(shm_create(&shm, "varve-test", 8192, false), 0);
	cr_assert_eq(ftruncate(shm.fd, 4096), -1);
	cr_assert_eq(ftruncate(shm.fd, 16384), -1);
	cr_assert_eq(fcntl(shm.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	cr_assert(fcntl(shm.fd, F_GETFD) & FD_CLOEXEC);
	shm_close(&shm);
}

/* The catalog is the coordinator's to write: a worker gone wrong must not be able to. */
Test(shm, readers_can_not_write_and_can_not_get_to)
{
	struct shm shm;

	cr_assert_eq(shm_create(&shm, "varve-test", 8192, true), 0);
	((volatile char *)shm.base)[5] = 5;
	cr_assert_eq(mmap(NULL, shm.size, PROT_READ | PROT_WRITE, MAP_SHARED, shm.fd, 0), MAP_FAILED);
	cr_assert_eq(pwrite(shm.fd, "x", 1, 0), -1);
	pid_t pid = fork();
	if (pid == 0) {
		void *base = shm.base;
		if (shm_remap_readonly(&shm) || shm.base != base || ((volatile char *)shm.base)[5] != 5)
			_exit(1);
		if (mprotect(shm.base, shm.size, PROT_READ | PROT_WRITE) == 0)
			_exit(2);
		signal(SIGSEGV, SIG_DFL);
		((volatile char *)shm.base)[5] = 6;
		_exit(3);
	}
	int status;
	waitpid(pid, &status, 0);
	cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) > 3, "the write went through: %d", status);
	cr_assert_eq(((volatile char *)shm.base)[5], 5);
	((volatile char *)shm.base)[5] = 7;
	shm_close(&shm);
}

/* The catalog is laid out for a million modules; it may only cost what is used. */
Test(shm, a_huge_one_costs_what_is_touched)
{
	struct shm shm;
	struct stat st;

	cr_assert_eq(shm_create(&shm, "varve-test", (size_t)1 << 36, true), 0);
	((volatile char *)shm.base)[(size_t)1 << 35] = 1;
	fstat(shm.fd, &st);
	cr_assert_lt(st.st_blocks * 512, 8 << 20);
	shm_close(&shm);
}

Test(shm, an_impossible_size_is_refused_and_nothing_leaks)
{
	struct shm shm;
	int before = fixture_descriptors();

	cr_assert_eq(shm_create(&shm, "varve-test", 0, false), -EINVAL);
	cr_assert_lt(shm_create(&shm, "varve-test", SIZE_MAX / 2, false), 0);
	cr_assert(fixture_says("varve-test"));
	fixture_fault("shm.create:1:EMFILE");
	cr_assert_eq(shm_create(&shm, "varve-test", 4096, false), -EMFILE);
	cr_assert(fixture_says("ulimit -n"));
	cr_assert_eq(shm.fd, -1);
	cr_assert_eq(fixture_descriptors(), before);
}
