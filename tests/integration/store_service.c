/*
 * store_service.c - a coordinator as a service: what it tells the service manager and the log, and sockets that it is
 * handed.
 */
#include "helper_service.h"
#include "helper_trouble.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 40000

TestSuite(service, .init = store_setup, .fini = store_teardown, .timeout = 60);

/* ---- the service manager ---------------------------------------------------------------------------------------- */

static char manager_variable[128];

/* A socket like the service manager's, with an abstract name. */
static int manager_open(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(manager_variable, sizeof(manager_variable), "NOTIFY_SOCKET=@varve-test-%d", (int)getpid());
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "varve-test-%d", (int)getpid());
	cr_assert(bind(fd, (struct sockaddr *)&address,
	              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0);
	return fd;
}

/* Whether a message that begins with @text comes, within some seconds. */
static bool manager_hears(int fd, const char *text)
{
	char message[4096];
	for (int i = 0; i < 200; i++) {
		struct pollfd p = {fd, POLLIN, 0};
		if (poll(&p, 1, 10000) <= 0)
			return false;
		ssize_t n = recv(fd, message, sizeof(message) - 1, 0);
		message[n < 0 ? 0 : n] = 0;
		if (strncmp(message, text, strlen(text)) == 0)
			return true;
	}
	return false;
}

/* systemd starts what depends on a store only when it is ready, and kills what does not say that it lives. */
Test(service, the_service_manager_hears_when_it_is_ready_that_it_lives_what_it_does_and_that_it_stops)
{
	int manager = manager_open();
	const char *environment[] = {manager_variable, "WATCHDOG_USEC=100000", NULL};
	struct service_setup setup = {.environment = environment};
	struct service service = service_start(&setup);
	cr_assert(manager_hears(manager, "READY=1"));
	/* Ready means: who connects now is served. */
	cr_assert(access(store_path(".varve/socket"), F_OK) == 0);
	cr_assert(manager_hears(manager, "STATUS=Serving 0 commits"));
	for (int i = 0; i < 3; i++)
		cr_assert(manager_hears(manager, "WATCHDOG=1"), "beat %d", i);
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 1, NULL);
	/* Long enough for its queue to be full: what could not be said then is said later. */
	usleep(1200000);
	cr_assert(manager_hears(manager, "STATUS=Serving 1 commit to 1 client;"));
	varve_vm_close(vm);
	service_end(&service);
	cr_assert(manager_hears(manager, "STOPPING=1"));
	close(manager);
}

Test(service, a_manager_that_can_not_be_reached_is_named)
{
	const char *environment[] = {"NOTIFY_SOCKET=not-a-path", NULL};
	struct service_setup setup = {.environment = environment};
	struct service service = service_start(&setup);
	int status;
	cr_assert(waitpid(service.pid, &status, 0) == service.pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	cr_assert(strstr(service_log(&service), "NOTIFY_SOCKET is \"not-a-path\""), "%s", service_log(&service));
	close(service.err);
}

/* ---- sockets that are handed over ------------------------------------------------------------------------------- */

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 16) == 0);
	return fd;
}

static int look_from_elsewhere(void *arg)
{
	struct varve_vm *vm;
	struct varve_stat *stat;
	(void)arg;
	int r = varve_vm_open(store_path(""), NULL, &vm);
	if (!r)
		r = varve_stat(vm, &stat);
	if (!r) {
		r = stat->commits == 1 ? 0 : -EIO;
		varve_stat_free(stat);
	}
	varve_vm_close(vm);
	return r;
}

/* The client was there first: it must be served all the same, by nobody else, and the socket stays for the next start. */
Test(service, a_handed_socket_serves_who_connected_before_and_stays_when_the_service_ends)
{
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 1, NULL);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	int fd = listen_at(store_path(".varve/socket"), SOCK_SEQPACKET);
	pid_t early = child_start(look_from_elsewhere, NULL);
	struct pollfd p = {fd, POLLIN, 0};
	cr_assert(poll(&p, 1, 10000) == 1);
	struct service_setup setup = {.handed = fd};
	struct service service = service_start(&setup);
	cr_assert(child_end(early) == 0);
	vm = store_open();
	cr_assert(coordinator_pid(vm) == service.pid);
	varve_vm_close(vm);
	service_end(&service);
	cr_assert(access(store_path(".varve/socket"), F_OK) == 0, "the service manager's socket was removed");
	service = service_start(&setup);
	vm = store_open();
	cr_assert(coordinator_pid(vm) == service.pid);
	varve_vm_close(vm);
	service_end(&service);
	unlink(store_path(".varve/socket"));
	close(fd);
}

/* Else clients would look for it in vain, and start another coordinator. */
Test(service, a_socket_of_another_place_or_kind_is_refused)
{
	struct varve_vm *vm = store_open();
	varve_vm_close(vm);
	end_processes();
	char path[128];
	int status;
	snprintf(path, sizeof(path), "/tmp/varve-test-elsewhere-%d", (int)getpid());
	int right = listen_at(store_path(".varve/socket"), SOCK_SEQPACKET);
	int fds[] = {listen_at(path, SOCK_SEQPACKET), socket(AF_UNIX, SOCK_DGRAM, 0)};
	static const char *const says[] = {"where clients look for it", "ListenSequentialPacket="};
	for (int i = 0; i < 2; i++) {
		struct service_setup setup = {.handed = fds[i]};
		struct service service = service_start(&setup);
		cr_assert(waitpid(service.pid, &status, 0) == service.pid);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
		cr_assert(strstr(service_log(&service), says[i]), "%s", service_log(&service));
		close(service.err);
		close(fds[i]);
	}
	unlink(path);
	unlink(store_path(".varve/socket"));
	close(right);
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

/* Each line is key=value pairs, values quoted where they need it. The number of lines; -1 and a message: one is not. */
static int check_logfmt(const char *text)
{
	int lines = 0;
	for (const char *c = text; *c; lines++) {
		for (bool first = true; *c != '\n'; first = false) {
			if (!first && *c++ != ' ')
				return -1;
			const char *key = c;
			while (islower((unsigned char)*c) || *c == '_')
				c++;
			if (c == key || *c++ != '=')
				return -1;
			if (*c == '"') {
				for (c++; *c != '"'; c++)
					if (*c == '\n' || !*c || (*c == '\\' && !*++c))
						return -1;
				c++;
			} else {
				while (*c > ' ' && *c != '"' && *c != '=')
					c++;
			}
			if (!*c)
				return -1;
		}
		c++;
	}
	return lines;
}

/* One that somebody looks for in a year: which commit, when, by whom. */
Test(service, commits_restores_and_what_goes_wrong_are_lines_with_the_commits_id)
{
	const char *environment[] = {"VARVE_INLINE=0", NULL};
	struct service_setup setup = {.environment = environment};
	struct service service = service_start(&setup);
	char text[256];
	service_wait_ready();
	struct varve_vm *vm = store_open();
	struct varve_id first = store_commit_one(vm, "M", SIZE, 1, NULL), unknown = id_of("nothing");
	store_commit_one(vm, "M", SIZE, 2, NULL);
	must(varve_restore(vm, &first, NULL, NULL));
	must_fail(varve_restore(vm, &unknown, NULL, NULL), -ENOENT);
	snprintf(text, sizeof(text), "level=info event=commit commit=%s seconds=", text_of(&first));
	const char *log = service_log_until(&service, "event=restore");
	cr_assert(strstr(log, text), "no %s in\n%s", text, log);
	snprintf(text, sizeof(text), "level=info event=restore commit=%s modules=1 ", text_of(&first));
	cr_assert(strstr(log, text), "no %s in\n%s", text, log);
	cr_assert(strncmp(log, "time=2", 6) == 0 && log[31] == 'Z', "%s", log);

	/* A worker dies, and a file is damaged. */
	struct varve_stat *stat;
	must(varve_stat(vm, &stat));
	for (size_t i = 0; i < stat->workers_count; i++)
		if (stat->workers[i].pid)
			kill(stat->workers[i].pid, SIGKILL);
	varve_stat_free(stat);
	log = service_log_until(&service, "event=workers");
	cr_assert(strstr(log, "level=warning event=workers msg=\""), "%s", log);
	store_commit_one(vm, "M", SIZE, 3, NULL);
	cr_assert(check_logfmt(log) >= 4, "not logfmt:\n%s", log);
	varve_vm_close(vm);
	service_end(&service);
}

/* Each commit tries it again, of each module: a log that says so each time is one that nobody reads. */
Test(service, what_background_work_can_not_do_is_told_once)
{
	const char *environment[] = {"VARVE_FAULT=tiers.write:1+:EIO", "VARVE_FAULT_ROLE=worker", NULL};
	struct service_setup setup = {.environment = environment};
	struct service service = service_start(&setup);
	static const char said[] = "what makes restores fast can not all be made: module ";
	service_wait_ready();
	struct varve_vm *vm = store_open();
	for (int k = 0; k < 9; k++) {
		store_commit_one(vm, "M", SIZE, k, NULL);
		store_commit_one(vm, "N", SIZE, k, NULL);
	}
	const char *log = service_log_until(&service, said);
	cr_assert(strstr(log, said), "%s", log);
	store_commit_one(vm, "M", SIZE, 9, NULL);
	must_fail(varve_optimize(vm), -EIO);
	cr_assert(strstr(varve_last_error(), "module ") && strstr(varve_last_error(), "Input/output error"), "%s",
	    varve_last_error());
	log = service_log(&service);
	cr_assert_null(strstr(strstr(log, said) + 1, said), "%s", log);
	varve_vm_close(vm);
	service_end(&service);
}

/* Who has slowed the restores down, and whose image it was that somebody wanted a thousand times. */
Test(service, a_change_of_workers_and_at_debug_each_checkout_are_lines)
{
	const char *args[] = {"--log-level", "debug", NULL};
	struct service_setup setup = {.args = args};
	struct service service = service_start(&setup);
	struct varve_workers change = VARVE_WORKERS_INIT;
	char text[256], module[VARVE_ID_TEXT + 1];
	size_t size;
	service_wait_ready();
	struct varve_vm *vm = store_open();
	struct varve_id commit = store_commit_one(vm, "M", SIZE, 1, NULL), id = id_of("M");
	free(store_checkout(vm, &commit, "M", &size));
	must(varve_workers(vm, NULL, NULL));
	change.most = 3;
	change.idle_ms = 1500;
	must(varve_workers(vm, &change, NULL));
	const char *log = service_log_until(&service, "event=resize");
	varve_id_format(&id, module);
	snprintf(
	    text, sizeof(text), "level=debug event=checkout commit=%s module=%s seconds=", text_of(&commit), module);
	cr_assert(strstr(log, text), "no %s in\n%s", text, log);
	snprintf(
	    text, sizeof(text), "level=info event=resize workers=3 min=0 idle_timeout=1.500000 pid=%d\n", getpid());
	cr_assert(strstr(log, text), "no %s in\n%s", text, log);
	varve_vm_close(vm);
	service_end(&service);
}

/* The journal has the time itself, and sorts by what stands in front. */
Test(service, the_journal_gets_priorities_and_no_time)
{
	struct service_setup setup = {.journal = true};
	struct service service = service_start(&setup);
	const char *log = service_log_until(&service, "event=start");
	cr_assert(strncmp(log, "<6>level=info event=start ", 26) == 0, "%s", log);
	service_end(&service);
}

Test(service, what_is_less_urgent_than_the_level_is_not_written)
{
	const char *args[] = {"--log-level", "error", NULL};
	struct service_setup setup = {.args = args};
	struct service service = service_start(&setup);
	service_wait_ready();
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 1, NULL);
	varve_vm_close(vm);
	kill(service.pid, SIGTERM);
	int status;
	cr_assert(waitpid(service.pid, &status, 0) == service.pid && status == 0);
	cr_assert_str_eq(service_log(&service), "");
	close(service.err);
}

/* A log that nobody reads must not stop a store: lines are lost instead, and their number is told. */
Test(service, a_log_that_nobody_reads_holds_up_nobody)
{
	struct service_setup setup = {.pipe_size = 16384};
	struct service service = service_start(&setup);
	service_wait_ready();
	struct varve_vm *vm = store_open();
	struct varve_id ids[2] = {store_commit_one(vm, "M", SIZE, 1, NULL), store_commit_one(vm, "M", SIZE, 2, NULL)};
	for (int i = 0; i < 200; i++)
		must(varve_restore(vm, &ids[i % 2], NULL, NULL));
	service_log(&service);
	must(varve_restore(vm, &ids[0], NULL, NULL));
	const char *log = service_log_until(&service, "dropped=");
	const char *dropped = strstr(log, " dropped=");
	cr_assert(dropped && atoi(dropped + 9) > 50, "%s", log);
	cr_assert(check_logfmt(log) > 4, "%s", log);
	varve_vm_close(vm);
	service_end(&service);
}
