/*
 * store_seeing.c - looking at a store while others work: nothing that is under way is hidden, and nobody is held up.
 */
#include "helper_service.h"
#include "helper_trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 40000

TestSuite(seeing, .init = store_setup, .fini = store_teardown, .timeout = 60);

/* ---- a restore that is under way -------------------------------------------------------------------------------- */

struct shared {
	_Atomic int ready;
	_Atomic int end;
	struct varve_id commits[2];
};

/* A VM that goes back and forth, with a memory that gets shorter: each restore waits until it has let go of the tail. */
static int go_back_and_forth(void *arg)
{
	struct shared *shared = arg;
	struct varve_vm *vm;
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id module = id_of("A");
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* stopped as it may be, it must not outlive a test that fails */
	int r = varve_vm_open(store_path(""), NULL, &vm);
	if (!r)
		r = varve_session_begin(vm, -1, &session);
	if (!r)
		r = varve_session_module(session, &module, &memory);
	shared->ready = 1;
	for (unsigned i = 0; !r && !shared->end; i++)
		r = varve_restore(vm, &shared->commits[i % 2], NULL, NULL);
	varve_vm_close(vm);
	return r;
}

/* The operation of that name, if it is there. */
static bool find_operation(struct varve_vm *vm, const char *name, struct varve_operation_stat *found)
{
	struct varve_stat *stat;
	bool is = false;
	must(varve_stat(vm, &stat));
	for (size_t k = 0; k < stat->operations_count; k++) {
		if (strcmp(stat->operations[k].name, name) == 0) {
			*found = stat->operations[k];
			found->name = name;
			is = true;
		}
	}
	varve_stat_free(stat);
	return is;
}

/* Stops @child at moments that chance chooses, until it is one in which a restore waits for it. */
static bool catch_restoring(struct varve_vm *vm, pid_t child, struct varve_operation_stat *found)
{
	for (unsigned i = 0; i < 5000; i++) {
		struct varve_operation_stat again;
		usleep(200 + i % 7 * 30);
		kill(child, SIGSTOP);
		waitpid(child, NULL, WUNTRACED);
		/* One that is just ending is there no more a moment later. */
		if (find_operation(vm, "restore", found) && (usleep(2000), find_operation(vm, "restore", &again)))
			return true;
		kill(child, SIGCONT);
	}
	return false;
}

/* A VM that is stopped in the middle of a restore keeps nobody else waiting; whoever wonders why it does not go on must
 * see it. */
Test(seeing, a_restore_that_waits_for_its_own_vm_is_seen_from_another_process)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct varve_vm *vm = store_open();
	struct varve_operation_stat seen;
	struct content first[2] = {{"A", "short", 5, NULL}, {"B", "two", 3, NULL}};
	struct content second[2] = {{"A", "much longer than that", 21, NULL}, {"B", "four", 4, NULL}};
	shared->commits[0] = store_commit(vm, first, 2);
	shared->commits[1] = store_commit(vm, second, 2);
	pid_t child = child_start(go_back_and_forth, shared);
	while (!shared->ready)
		usleep(500);
	cr_assert(catch_restoring(vm, child, &seen), "no restore is to be seen");
	cr_assert(seen.has_commit && seen.waiting && seen.pid == child);
	cr_assert(memcmp(&seen.commit, &shared->commits[0], sizeof(seen.commit)) == 0, "the one that is shorter");
	cr_assert(seen.seconds > 0);
	shared->end = 1;
	kill(child, SIGCONT);
	cr_assert(child_end(child) == 0);
	varve_vm_close(vm);
}

struct looking {
	struct varve_vm *vm; /**< another connection than the one that restores */
	struct varve_operation_stat seen;
	_Atomic bool found;
	_Atomic bool end;
};

static void *look_again_and_again(void *arg)
{
	struct looking *looking = arg;
	while (!looking->found && !looking->end)
		looking->found = find_operation(looking->vm, "restore", &looking->seen) && !looking->seen.waiting;
	return NULL;
}

/* Looking used to wait for its turn: the one moment at which somebody wants to look was the one at which it did not
 * answer. */
Test(seeing, a_restore_that_takes_long_is_seen_while_it_runs_and_how_far_it_is)
{
	enum { LARGE = 48 << 20 };
	struct varve_vm *vm = store_open();
	struct looking looking = {.vm = store_open()};
	struct varve_id ids[2];
	pthread_t looker;
	uint8_t *data = malloc(LARGE);
	for (int i = 0; i < 2; i++) {
		noise(data, LARGE, (uint64_t)i + 1);
		struct content contents[2] = {{"A", data, LARGE, NULL}, {"B", data, 4096, NULL}};
		ids[i] = store_commit(vm, contents, 2);
	}
	free(data);
	cr_assert(pthread_create(&looker, NULL, look_again_and_again, &looking) == 0);
	int i = 0;
	/* Where there is no CPU for the one who looks, the next restore may be seen. */
	for (; i < 100 && !looking.found; i++)
		must(varve_restore(vm, &ids[i % 2], NULL, NULL));
	looking.end = true;
	pthread_join(looker, NULL);
	cr_assert(looking.found, "none was seen while it ran");
	cr_assert(looking.seen.has_commit && looking.seen.pid == getpid());
	/* It may have been seen at the end of the one before the last. */
	cr_assert(memcmp(&looking.seen.commit, &ids[(i - 1) % 2], sizeof(ids[0])) == 0 ||
	          memcmp(&looking.seen.commit, &ids[i % 2], sizeof(ids[0])) == 0);
	cr_assert(looking.seen.total == 2 && looking.seen.done <= 2 && looking.seen.seconds > 0);
	varve_vm_close(looking.vm);
	varve_vm_close(vm);
}

Test(seeing, latencies_count_what_succeeded_and_tell_what_failed_apart)
{
	struct varve_vm *vm = store_open();
	struct varve_stat *stat;
	struct varve_id ids[3];
	struct varve_restore_options dry = VARVE_RESTORE_INIT;
	size_t size;
	for (int i = 0; i < 3; i++)
		ids[i] = store_commit_one(vm, "M", SIZE, i, NULL);
	for (int i = 0; i < 5; i++)
		must(varve_restore(vm, &ids[i % 3], NULL, NULL));
	dry.dry_run = true;
	must(varve_restore(vm, &ids[0], &dry, NULL));
	free(store_checkout(vm, &ids[0], "M", &size));
	must(varve_stat(vm, &stat));
	cr_assert(stat->commit_latency.count == 3 && stat->checkout_latency.count == 1);
	cr_assert(stat->restore_latency.count == 5 && stat->restore_latency.failed == 0);
	const struct varve_latency *l = &stat->restore_latency;
	cr_assert(0 < l->p50 && l->p50 <= l->p95 && l->p95 <= l->p99 && l->p99 <= l->max && l->max <= l->sum);
	cr_assert_eq(stat->damage_found, 0);
	varve_stat_free(stat);
	varve_vm_close(vm);
}

/* An operator who is told of damage by a number only has to know that it was counted. */
Test(seeing, damage_that_an_operation_meets_is_counted)
{
	struct varve_vm *vm = store_open();
	struct varve_stat *stat;
	struct varve_id id = store_commit_one(vm, "M", SIZE, 1, "c1");
	store_commit_one(vm, "M", SIZE, 2, "c2");
	file_flip(store_file("M", "c1", ""), 100);
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct varve_id module = id_of("M");
	must_fail(varve_checkout(vm, &id, &module, fd, NULL), -EBADMSG);
	close(fd);
	must(varve_stat(vm, &stat));
	cr_assert(stat->checkout_latency.failed == 1 && stat->checkout_latency.count == 0);
	cr_assert(stat->damage_found == 1);
	varve_stat_free(stat);
	varve_vm_close(vm);
}

/* ---- metrics ---------------------------------------------------------------------------------------------------- */

static int metrics_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (int i = 0; i < 20000; i++, usleep(500))
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
	cr_assert(false, "%s can not be connected to", path);
	return -1;
}

/* All that comes until the end, which must come; static storage. */
static const char *read_all(int fd)
{
	static char text[1 << 18];
	size_t size = 0;
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		cr_assert(poll(&p, 1, 15000) == 1, "no end after %zu bytes", size);
		ssize_t n = recv(fd, text + size, sizeof(text) - 1 - size, 0);
		cr_assert(n >= 0, "%s", strerror(errno));
		if (n == 0)
			break;
		size += (size_t)n;
	}
	text[size] = 0;
	close(fd);
	return text;
}

static const char *ask(const char *path, const char *request)
{
	int fd = metrics_connect(path);
	cr_assert(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
	if (!*request)
		shutdown(fd, SHUT_WR);
	return read_all(fd);
}

static bool ends_well(const char *text)
{
	size_t size = strlen(text);
	return size > 6 && strcmp(text + size - 6, "# EOF\n") == 0;
}

static const char *metrics_path(void)
{
	static char path[4096];
	snprintf(path, sizeof(path), "%s.metrics", store_path(""));
	return path;
}

Test(seeing, metrics_are_given_over_http_and_as_they_are)
{
	const char *path = metrics_path(), *args[] = {"--metrics", path, NULL};
	struct service_setup setup = {.args = args};
	struct service service = service_start(&setup);
	const char *text = ask(path, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
	cr_assert(strncmp(text, "HTTP/1.0 200 OK\r\n", 17) == 0, "%s", text);
	cr_assert(strstr(text, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
	const char *body = strstr(text, "\r\n\r\n") + 4, *length = strstr(text, "Content-Length: ");
	cr_assert(length && (size_t)atol(length + 16) == strlen(body) && ends_well(body));
	cr_assert(strncmp(ask(path, ""), "# TYPE ", 7) == 0);
	/* One that says nothing at all gets it as well. */
	cr_assert(ends_well(read_all(metrics_connect(path))));
	cr_assert(strncmp(ask(path, "HEAD / HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 OK", 15) == 0);
	cr_assert(strncmp(ask(path, "GET /else HTTP/1.0\r\n\r\n"), "HTTP/1.0 404 ", 13) == 0);
	cr_assert(strncmp(ask(path, "\x16\x03\x01nonsense\r\n\r\n"), "HTTP/1.0 400 ", 13) == 0);
	service_end(&service);
	cr_assert(access(path, F_OK) < 0, "the socket of the metrics was left behind");
}

/* A scraper that hangs must not be felt: not by clients, not by other scrapers. */
Test(seeing, readers_that_do_not_read_hold_up_nobody)
{
	const char *path = metrics_path(), *args[] = {"--metrics", path, NULL};
	struct service_setup setup = {.args = args};
	struct service service = service_start(&setup);
	int stuck[40], small = 1;
	for (int i = 0; i < 40; i++) {
		stuck[i] = metrics_connect(path);
		setsockopt(stuck[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		/* Some have asked, some have begun to ask, some say nothing. */
		static const char *const requests[] = {"GET / HTTP/1.0\r\n\r\n", "GET / HT", ""};
		(void)send(stuck[i], requests[i % 3], strlen(requests[i % 3]), MSG_NOSIGNAL);
	}
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 1, NULL);
	cr_assert(ends_well(ask(path, "GET / HTTP/1.0\r\n\r\n")));
	/* Those that have been there longest were cut off, one that had begun to ask among them. */
	struct pollfd p = {stuck[1], POLLIN, 0};
	cr_assert(poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP), "it still has its place");
	cr_assert(strstr(ask(path, ""), "varve_commits{store="));
	varve_vm_close(vm);
	for (int i = 0; i < 40; i++)
		close(stuck[i]);
	service_end(&service);
}

/* Metrics are taken every few seconds, for ever: that must not start workers, or keep them. */
Test(seeing, looking_at_metrics_starts_no_worker)
{
	const char *path = metrics_path(), *args[] = {"--metrics", path, NULL};
	struct service_setup setup = {.args = args};
	struct service service = service_start(&setup);
	const char *text = ask(path, "");
	cr_assert(strstr(text, "varve_workers_running{store="));
	char *running = strstr(strstr(text, "varve_workers_running{"), "} ");
	cr_assert(running && strncmp(running, "} 0\n", 4) == 0, "%.40s", running);
	service_end(&service);
}
