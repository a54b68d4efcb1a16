/*
 * store_heir.c - a service is started while a program's own coordinator has the store: it takes its place, and no call of
 * anybody fails for it.
 */
#include "helper_service.h"
#include "helper_trouble.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 40000

TestSuite(heir, .init = store_setup, .fini = store_teardown, .timeout = 60);

static void wait_until_served_by(struct varve_vm *vm, const struct service *service)
{
	for (int i = 0; i < 20000 && coordinator_pid(vm) != service->pid; i++)
		usleep(500);
	cr_assert_eq(coordinator_pid(vm), service->pid, "%s", service_log((struct service *)(uintptr_t)service));
}

static uint64_t commits(struct varve_vm *vm)
{
	struct varve_log *log;
	must(varve_log(vm, &log));
	uint64_t count = log->count;
	varve_log_free(log);
	return count;
}

Test(heir, a_service_takes_the_place_of_a_program_s_coordinator)
{
	struct varve_vm *vm = store_open();
	struct varve_id first = store_commit_one(vm, "M", SIZE, 'a', NULL);
	store_commit_one(vm, "M", SIZE, 'b', NULL);
	struct service service = service_start(NULL);
	wait_until_served_by(vm, &service);
	must(varve_restore(vm, &first, NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	store_commit_one(vm, "M", SIZE, 'c', NULL);
	service_end(&service);
	cr_assert_eq(commits(vm), 3);
	store_expect_fill("M", SIZE, 'c');
	varve_vm_close(vm);
	end_processes();
	cr_assert_null(store_is_clean(), "%s", store_is_clean());
}

/* A session is not lost for it. Nor is one that begins before the first one ends. */
Test(heir, a_service_waits_for_the_end_of_a_session)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	int holder = coordinator_pid(vm);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	struct service service = service_start(NULL);
	const char *log = service_log_until(&service, "event=wait");
	cr_assert(strstr(log, "event=wait"), "%s", log);
	memset(varve_memory_base(memory), 'b', SIZE);
	cr_assert_eq(coordinator_pid(vm), holder);
	must(varve_session_commit(session, NULL, NULL));
	wait_until_served_by(vm, &service);
	cr_assert_eq(commits(vm), 2);
	store_expect_fill("M", SIZE, 'b');
	varve_vm_close(vm);
	service_end(&service);
}

static struct varve_id ids[2];

static int work_all_the_time(void *arg)
{
	struct varve_vm *vm;
	struct varve_options options = VARVE_OPTIONS_INIT;
	int kind = *(int *)arg, fd = -1;
	int r = varve_vm_open(store_path(""), &options, &vm);
	char name[] = "/tmp/varve-heir-XXXXXX";
	struct varve_id m = id_of("M");
	if (kind == 1) {
		fd = mkstemp(name);
		unlink(name);
	}
	for (int i = 0; !r && i < 300; i++) {
		struct varve_session *session;
		usleep(2000);
		if (kind == 0)
			r = varve_restore(vm, &ids[i % 2], NULL, NULL);
		else if (kind == 1)
			r = varve_checkout(vm, &ids[i % 2], &m, fd, NULL);
		else if (!(r = varve_session_begin(vm, -1, &session)))
			r = varve_session_abandon(session);
		if (r == -EBUSY && kind == 0)
			r = 0;
	}
	if (r)
		fprintf(stderr, "kind %d: %d, %s\n", kind, r, varve_last_error());
	varve_vm_close(vm);
	return r != 0;
}

/* Never without anybody who wants something of it, and never does anybody else get the store in between. */
Test(heir, no_call_fails_for_it)
{
	pid_t children[3];
	int kinds[3] = {0, 1, 2};
	struct varve_vm *vm = store_open();
	ids[0] = store_commit_one(vm, "M", SIZE, 'a', NULL);
	ids[1] = store_commit_one(vm, "M", SIZE, 'b', NULL);
	for (int i = 0; i < 3; i++)
		children[i] = child_start(work_all_the_time, &kinds[i]);
	for (int i = 0; i < 3; i++) {
		struct service service = service_start(NULL);
		wait_until_served_by(vm, &service);
		usleep(50000);
		service_end(&service);
		usleep(50000);
	}
	for (int i = 0; i < 3; i++)
		cr_assert_eq(child_end(children[i]), 0);
	varve_vm_close(vm);
}

/* One that has changed its mind takes nothing with it; a second one need not wait for what will not come. */
Test(heir, the_heir_may_die_and_there_is_one_at_a_time)
{
	struct varve_session *session;
	struct varve_vm *vm = store_open();
	int status, holder = coordinator_pid(vm);
	must(varve_session_begin(vm, 0, &session));
	struct service heir = service_start(NULL);
	cr_assert(strstr(service_log_until(&heir, "event=wait"), "event=wait"));
	struct service second = service_start(NULL);
	cr_assert(waitpid(second.pid, &status, 0) == second.pid && WIFEXITED(status) && WEXITSTATUS(status) == 1);
	cr_assert(strstr(service_log(&second), "is about to serve"), "%s", service_log(&second));
	close(second.err);
	kill(heir.pid, SIGKILL);
	waitpid(heir.pid, NULL, 0);
	close(heir.err);
	must(varve_session_abandon(session));
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_abandon(session));
	cr_assert_eq(coordinator_pid(vm), holder);
	varve_vm_close(vm);
}
