/*
 * workers_closer.c - descriptors are closed by somebody else, and none waits for another.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "closer.h"
#include "fault.h"

#define MANY 500

TestSuite(closer, .timeout = 30);

static void expect_closed(int reading_end)
{
	char byte;
	cr_assert(read(reading_end, &byte, 1) == 0);
	close(reading_end);
}

Test(closer, all_are_closed)
{
	int ends[MANY];
	for (int i = 0; i < MANY; i++) {
		int fds[2];
		cr_assert(pipe(fds) == 0);
		ends[i] = fds[0];
		closer_close(fds[1]);
	}
	for (int i = 0; i < MANY; i++)
		expect_closed(ends[i]);
	while (closer_waiting())
		usleep(1000);
}

/* A file system that does not answer may keep a thread for good. */
Test(closer, those_behind_one_that_hangs_are_closed)
{
	int fds[2], stuck[2];
	setenv("VARVE_FAULT", "closer.close:1:hang", 1);
	fault_load();
	cr_assert(pipe(stuck) == 0);
	closer_close(stuck[1]);
	for (int i = 0; i < MANY; i++) {
		cr_assert(pipe(fds) == 0);
		closer_close(fds[1]);
		expect_closed(fds[0]);
	}
	while (closer_waiting() > 1)
		usleep(1000);
	cr_assert(closer_waiting() == 1);
}
