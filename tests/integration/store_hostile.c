/*
 * store_hostile.c - whoever can connect to the socket can send what he likes: he is dropped, and disturbs nobody.
 */
#include "helper_service.h"
#include "helper_trouble.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE 40000
/** Most that one message can bring. */
#define PASSED_MAX 253

TestSuite(hostile, .init = store_setup, .fini = store_teardown, .timeout = 60);

static int connect_raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", store_path(".varve/socket"));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* With @pass beside it, @times over. Whether it went off. */
static bool send_with_many(int sock, const void *data, size_t size, int pass, int times)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * PASSED_MAX)];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (pass >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)times);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)times);
		for (int i = 0; i < times; i++)
			memcpy(CMSG_DATA(c) + sizeof(int) * (size_t)i, &pass, sizeof(int));
	}
	/* The other side may have had enough of us already. */
	if (sendmsg(sock, &message, MSG_NOSIGNAL) >= 0)
		return true;
	cr_assert(errno == EPIPE || errno == ECONNRESET || errno == EMSGSIZE || errno == EPERM, "%m");
	return false;
}

static void send_with(int sock, const void *data, size_t size, int pass)
{
	send_with_many(sock, data, size, pass, 1);
}

/* It is dropped, or told that this can not be; either way within a moment. */
static void expect_dropped(int sock)
{
	char answer[512];
	struct pollfd p = {sock, POLLIN, 0};
	for (int i = 0; i < 3; i++) {
		cr_assert(poll(&p, 1, 10000) == 1, "no answer to nonsense");
		if (recv(sock, answer, sizeof(answer), 0) <= 0)
			return;
	}
	cr_assert_fail("a client that talks nonsense is kept");
}

static void put32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

/* A greeting, so that what follows is looked at. */
static void greet(int sock)
{
	uint8_t hello[8 + 4 + 4 + 1] = {WIRE_HELLO, 0, 0, 0, 1, 0, 0, 0, WIRE_PROTOCOL, 0, 0, 0, 1, 0, 0, 0, '1'};
	char answer[512];
	send_with(sock, hello, sizeof(hello), -1);
	cr_assert(recv(sock, answer, sizeof(answer), 0) > 12);
	cr_assert(answer[0] == WIRE_REPLY && memcmp(answer + 8, "\0\0\0\0", 4) == 0, "the greeting was refused");
}

Test(hostile, a_client_that_talks_nonsense_is_dropped_and_disturbs_nobody)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	static uint8_t bytes[60000];
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	/* Before a greeting: too short, too long, of no type. */
	static const size_t sizes[] = {1, 7, 8, 100, 40000, 60000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int sock = connect_raw();
		noise(bytes, sizeof(bytes), i);
		send_with(sock, bytes, sizes[i], -1);
		expect_dropped(sock);
		close(sock);
	}
	/* Behind one: each type with a payload of noise, cut short, or that says it is in a memfd which it is not. */
	for (uint32_t type = 0; type < 70; type++) {
		for (int way = 0; way < 4; way++) {
			int sock = connect_raw(), pass = -1;
			greet(sock);
			noise(bytes, 200, type * 4u + (uint32_t)way);
			put32(bytes, type | (way == 2 ? 1u << 16 : 0));
			put32(bytes + 4, 7);
			if (way == 2) {
				put32(bytes + 8, 0xfffffff0);
				put32(bytes + 12, way == 2 ? 0 : 0xffffffff);
				pass = open("/dev/zero", O_RDWR | O_CLOEXEC);
			}
			if (way == 3)
				pass = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
			send_with(sock, bytes, way == 0 ? 8 : way == 1 ? 30 : way == 2 ? 16 : 200, pass);
			if (pass >= 0)
				close(pass);
			close(sock);
		}
	}
	memset(varve_memory_base(memory), 'b', SIZE);
	must(varve_session_commit(session, NULL, NULL));
	store_expect_fill("M", SIZE, 'b');
	struct varve_stat *stat;
	must(varve_stat(vm, &stat));
	cr_assert(stat->clients <= 2, "%u clients are left", stat->clients);
	varve_stat_free(stat);
	varve_vm_close(vm);
}

/* Connected and silent, or asking and never reading: others do not notice. */
Test(hostile, a_client_that_is_silent_or_does_not_read_delays_nobody)
{
	struct varve_vm *vm = store_open();
	int silent = connect_raw(), deaf = connect_raw();
	uint8_t log[8] = {10, 0, 0, 0};
	struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', NULL);
	greet(deaf);
	fcntl(deaf, F_SETFL, O_NONBLOCK);
	for (uint32_t i = 1; i < 5000; i++) {
		put32(log + 4, i);
		if (send(deaf, log, sizeof(log), MSG_NOSIGNAL) < 0)
			break;
	}
	for (int k = 0; k < 10; k++)
		store_commit_one(vm, "M", SIZE, 'b' + k, NULL);
	must(varve_restore(vm, &a, NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	close(deaf);
	close(silent);
	varve_vm_close(vm);
	end_processes();
	cr_assert(!store_is_clean(), "%s", store_is_clean());
}

/* ---- descriptors that are slow to close ------------------------------------------------------------------------- */

static int unread = -1;

/* Whoever closes it last waits for twenty seconds: what was sent is not read, and has to be before. */
static int lingering(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	struct linger linger = {1, 20};
	static char bytes[1 << 16];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1));
	cr_assert(!getsockname(listener, (struct sockaddr *)&address, &size));
	cr_assert(!connect(fd, (struct sockaddr *)&address, size));
	if (unread >= 0)
		close(unread);
	unread = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	cr_assert(unread >= 0 && !setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	close(listener);
	return fd;
}

/* A new client is greeted, and what it wants is done. */
static void expect_served(void)
{
	struct varve_vm *vm;
	struct varve_log *log;
	must(varve_vm_open(store_path(""), NULL, &vm));
	must(varve_log(vm, &log));
	must(varve_restore(vm, &log->commits[0].commit, NULL, NULL));
	varve_log_free(log);
	varve_vm_close(vm);
}

static void pass_lingering(int sock, const void *data, size_t size, int times)
{
	int fd = lingering();
	/* Where it was not passed, it is ours alone. */
	if (!send_with_many(sock, data, size, fd, times))
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger) {0, 0}, sizeof(struct linger));
	close(fd);
}

/* The coordinator has one thread for everybody. How long close() takes, whoever passes a descriptor decides. */
Test(hostile, a_descriptor_that_is_slow_to_close_keeps_nobody_waiting)
{
	static const uint8_t log[8] = {WIRE_LOG, 0, 0, 0, 2}, nonsense[8] = {0xff, 0xff};
	uint8_t checkout[8 + 64] = {WIRE_CHECKOUT, 0, 0, 0, 3};
	setenv("VARVE_SILENCE_MS", "3000", 1);
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	pid_t coordinator = coordinator_pid(vm);
	for (int way = 0; way < 6; way++) {
		int sock = connect_raw();
		if (way != 1)
			greet(sock);
		if (way == 0) /* a request that takes none */
			pass_lingering(sock, log, sizeof(log), 1);
		if (way == 1) /* no request */
			pass_lingering(sock, nonsense, sizeof(nonsense), 1);
		if (way == 2) /* more than anything takes */
			pass_lingering(sock, log, sizeof(log), PASSED_MAX);
		if (way == 3) /* the wrong one */
			pass_lingering(sock, checkout, sizeof(checkout), 1);
		if (way == 4) { /* never read: what is before it ends the connection */
			kill(coordinator, SIGSTOP);
			send_with(sock, nonsense, sizeof(nonsense), -1);
			pass_lingering(sock, log, sizeof(log), 1);
			kill(coordinator, SIGCONT);
		}
		if (way == 5) /* as if it were a payload */
			pass_lingering(sock, (uint8_t[16]) {WIRE_LOG, 0, WIRE_IN_MEMFD, 0, 2, 0, 0, 0, 8}, 16, 1);
		expect_served();
		close(sock);
		expect_served();
	}
	close(unread);
	varve_vm_close(vm);
}

/* The socket of the metrics may be open to others. */
Test(hostile, a_reader_of_metrics_that_passes_descriptors_keeps_nobody_waiting)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = store_path("../metrics"), *args[] = {"--metrics", path, NULL};
	struct service_setup setup = {.args = args};
	static char answer[1 << 16];
	setenv("VARVE_SILENCE_MS", "3000", 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	struct service service = service_start(&setup);
	service_wait_ready();
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	for (int way = 0; way < 3; way++) {
		int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		cr_assert(connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0);
		const char *text = way == 0 ? "GET / HT" : way == 1 ? "POST /" : "GET / HTTP/1.0\r\n\r\n";
		/* The kernel may refuse to pass it at all. */
		pass_lingering(sock, text, strlen(text), 1);
		close(sock);
		expect_served();
	}
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0);
	cr_assert(send(sock, "GET / HTTP/1.0\r\n\r\n", 18, 0) == 18);
	cr_assert(recv(sock, answer, sizeof(answer), MSG_WAITALL) > 1000);
	close(sock);
	close(unread);
	varve_vm_close(vm);
	service_end(&service);
}

/* A file system may not answer for good. Then that descriptor stays, and others must be closed all the same. */
Test(hostile, descriptors_that_are_never_closed_keep_nobody_waiting)
{
	uint8_t cancel[8] = {WIRE_CANCEL, 0, 0, 0, 9};
	struct service_setup setup = {.files = 256};
	setenv("VARVE_SILENCE_MS", "3000", 1);
	fault_set("coordinator", "closer.close:1+:hang", true);
	struct service service = service_start(&setup);
	service_wait_ready();
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	int sock = connect_raw(), sent = 0;
	greet(sock);
	/* It is cut off before it has used up all that there are. */
	struct pollfd p = {sock, POLLIN, 0};
	while (poll(&p, 1, 0) == 0 && sent++ < 10000)
		send_with_many(sock, cancel, sizeof(cancel), STDERR_FILENO, 8);
	cr_assert(p.revents & POLLHUP, "%d descriptors were taken", 8 * sent);
	expect_served();
	expect_served();
	varve_vm_close(vm);
	service_end(&service);
	fault_clear();
}

/* ---- answers that are not read ---------------------------------------------------------------------------------- */

/* Else they would pile up: a few bytes ask for the whole log. And a large one is a memfd, of which no more may be on their
 * way to all clients of a user than a process may have open. */
Test(hostile, who_asks_again_without_having_read_the_answer_is_cut_off)
{
	uint8_t log[8] = {WIRE_LOG, 0, 0, 0, 1};
	static uint8_t answer[WIRE_HEAD + WIRE_INLINE_MAX];
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	int sock = connect_raw();
	struct pollfd p = {sock, POLLIN, 0};
	greet(sock);
	for (int i = 0; i < 100; i++) {
		send_with(sock, log, sizeof(log), -1);
		cr_assert(recv(sock, answer, sizeof(answer), 0) > 12);
	}
	send_with(sock, log, sizeof(log), -1);
	cr_assert(poll(&p, 1, 10000) == 1);
	send_with(sock, log, sizeof(log), -1);
	p.events = 0;
	cr_assert(poll(&p, 1, 10000) == 1 && p.revents & POLLHUP, "it was not");
	expect_served();
	close(sock);
	varve_vm_close(vm);
}

/* ---- connections that say nothing ------------------------------------------------------------------------------- */

#define CROWD 200

static void crowd(int *socks)
{
	for (int i = 0; i < CROWD; i++)
		socks[i] = connect_raw();
}

/* It does not run round in circles: whenever one looks, it sleeps. */
static void expect_asleep(pid_t pid)
{
	cr_assert(falls_asleep(pid, 5000), "it does not come to rest");
}

/* More connections than there are descriptors: those that a session's work takes are not given away. */
Test(hostile, a_crowd_at_the_door_takes_nothing_from_those_inside)
{
	static const char *const environment[] = {"VARVE_HELLO_MS=86400000", "VARVE_INLINE=0", NULL};
	struct service_setup setup = {.files = 128, .environment = environment};
	struct service service = service_start(&setup);
	struct varve_restore_options options = VARVE_RESTORE_INIT;
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	int socks[CROWD];
	service_wait_ready();
	struct varve_vm *vm = store_open();
	struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', NULL);
	store_commit_one(vm, "M", SIZE, 'b', NULL);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	crowd(socks);
	service_log_until(&service, "others wait until some leave");
	/* Workers are forked for it. */
	options.workers = 8;
	must(varve_restore(vm, &a, &options, NULL));
	cr_assert(*(char *)varve_memory_base(memory) == 'a');
	must(varve_session_abandon(session));
	expect_asleep(service.pid);
	const char *once = strstr(service_log(&service), "others wait until some leave");
	cr_assert(once && !strstr(once + 1, "others wait until some leave"), "%s", once);
	for (int i = 0; i < CROWD; i++)
		close(socks[i]);
	expect_served();
	varve_vm_close(vm);
	service_end(&service);
}

/* Whoever says nothing is cut off, the sooner the more want to come in. */
Test(hostile, who_only_connects_pushes_out_nobody_for_long)
{
	static const char *const environment[] = {"VARVE_HELLO_MS=1000", NULL};
	struct service_setup setup = {.files = 128, .environment = environment};
	struct service service = service_start(&setup);
	int socks[CROWD];
	service_wait_ready();
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	crowd(socks);
	expect_served();
	for (int i = 0; i < CROWD; i++) {
		struct pollfd p = {socks[i], POLLIN, 0};
		cr_assert(poll(&p, 1, 20000) == 1 && (p.revents & POLLHUP), "connection %d is kept", i);
		close(socks[i]);
	}
	/* It has greeted, and may be silent for as long as it likes. */
	store_commit_one(vm, "M", SIZE, 'b', NULL);
	varve_vm_close(vm);
	service_end(&service);
}
