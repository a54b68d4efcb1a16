/*
 * io_fault.c - tests can make any named point fail, once, from a count on, or in one kind of process only.
 */
#include <signal.h>

#include "io_fixture.h"

static void arm(const char *list)
{
	fixture_fault(list);
}

Test(fault, unarmed_nothing_fails)
{
	arm(NULL);
	cr_assert(!fault_armed);
	cr_assert_eq(fault_at("write.data"), 0);
	arm("");
	cr_assert(!fault_armed);
}

Test(fault, the_nth_passage_fails_and_no_other)
{
	arm("write.data:3:ENOSPC");
	cr_assert(fault_armed);
	for (int i = 1; i <= 6; i++) {
		cr_assert_eq(fault_at("write.data"), i == 3 ? -ENOSPC : 0);
		cr_assert_eq(fault_at("write.create"), 0);
		cr_assert_eq(fault_at("write"), 0);
	}
}

Test(fault, a_plus_means_every_passage_from_there_on)
{
	arm("file.sync:2+:EIO");
	cr_assert_eq(fault_at("file.sync"), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(fault_at("file.sync"), -EIO);
}

/* So one loop over N fails each passage of a whole family in turn. */
Test(fault, a_star_counts_all_points_of_that_beginning_together)
{
	arm("file.*:3:EIO");
	cr_assert_eq(fault_at("file.sync"), 0);
	cr_assert_eq(fault_at("file.rename"), 0);
	cr_assert_eq(fault_at("dir.sync"), 0);
	cr_assert_eq(fault_at("file.resize"), -EIO);
	arm("*:2:EIO");
	cr_assert_eq(fault_at("a"), 0);
	cr_assert_eq(fault_at("b"), -EIO);
}

Test(fault, a_list_holds_several)
{
	arm("a:1:EIO,b:2:ENOMEM,a:2:EDQUOT");
	cr_assert_eq(fault_at("a"), -EIO);
	cr_assert_eq(fault_at("b"), 0);
	cr_assert_eq(fault_at("a"), -EDQUOT);
	cr_assert_eq(fault_at("b"), -ENOMEM);
}

Test(fault, loading_again_counts_from_zero)
{
	arm("a:2:EIO");
	cr_assert_eq(fault_at("a"), 0);
	fault_load();
	cr_assert_eq(fault_at("a"), 0);
	cr_assert_eq(fault_at("a"), -EIO);
}

Test(fault, a_role_restricts_it_to_such_processes)
{
	setenv("VARVE_FAULT_ROLE", "worker", 1);
	arm("a:1:EIO");
	cr_assert_eq(fault_at("a"), 0, "a library client is no worker");
	fault_role("coordinator");
	cr_assert_eq(fault_at("a"), 0);
	fault_role("worker");
	cr_assert_eq(fault_at("a"), -EIO);
	setenv("VARVE_FAULT_ROLE", "client", 1);
	fault_role("client");
	cr_assert_eq(fault_at("a"), -EIO);
}

/* Workers that die are started again; a fault that struck each of them would never let anything succeed. */
Test(fault, with_a_file_it_strikes_once_in_all_processes, .init = fixture_open, .fini = fixture_close)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/struck", fixture_path);
	setenv("VARVE_FAULT_FILE", path, 1);
	arm("a:1+:EIO");
	cr_assert_eq(fault_at("a"), -EIO);
	cr_assert_eq(access(path, F_OK), 0);
	cr_assert_eq(fault_at("a"), 0);
	fault_role("worker");
	cr_assert_eq(fault_at("a"), 0);
	unlink(path);
	cr_assert_eq(fault_at("a"), -EIO);
}

/* How a child that runs into "x" ends. */
static int end_of_child(const char *list, int options)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		freopen("/dev/null", "w", stderr);
		arm(list);
		fault_at("x");
		_exit(1);
	}
	cr_assert_eq(waitpid(pid, &status, options), pid);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return status;
}

Test(fault, processes_can_be_killed_stopped_and_ended)
{
	int status = end_of_child("x:1:kill", 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = end_of_child("x:1:stop", WUNTRACED);
	cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	status = end_of_child("x:1:exit", 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 66);
	status = end_of_child("x:2:kill", 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

/* A fault that is misspelt would let its test pass without having tested anything. */
Test(fault, a_list_that_is_not_understood_ends_the_program)
{
	static const char *const lists[] = {"x", "x:1", "x:1:EWHAT", "x:0:EIO", "x:one:EIO", "x:1-:EIO", ":1:EIO",
	    "x:1:EIO,", "x:1:EIO:EIO", "x:1:", "a-name-that-is-far-longer-than-the-name-of-any-point-could-be:1:EIO"};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		int status = end_of_child(lists[i], 0);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 66, "\"%s\" was accepted", lists[i]);
	}
}
