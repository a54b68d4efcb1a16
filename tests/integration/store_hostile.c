/*
 * store_hostile.c - whoever can connect to the socket can send what he likes: he is dropped, and disturbs nobody.
 */
#include "helper_trouble.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE 40000

TestSuite(hostile, .init = store_setup, .fini = store_teardown, .timeout = 60);

static int connect_raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", store_path(".varve/socket"));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

static void send_with(int sock, const void *data, size_t size, int pass)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (pass >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(int));
	}
	/* The other side may have had enough of us already. */
	if (sendmsg(sock, &message, MSG_NOSIGNAL) < 0)
		cr_assert(errno == EPIPE || errno == ECONNRESET || errno == EMSGSIZE, "%m");
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

/* ---- answers that are not read ---------------------------------------------------------------------------------- */

#define ASKED 4000

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

/* Else they would pile up in the coordinator's memory: a few bytes ask for the whole log. */
Test(hostile, who_does_not_take_answers_is_not_heard_and_gets_all_of_them_later)
{
	uint8_t log[8] = {WIRE_LOG};
	static uint8_t answer[WIRE_HEAD + WIRE_INLINE_MAX];
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	int sock = connect_raw();
	uint32_t asked = 0, answered = 0;
	greet(sock);
	struct pollfd p = {sock, POLLOUT, 0};
	for (; asked < ASKED && poll(&p, 1, 200) == 1; asked++) {
		put32(log + 4, asked + 1);
		cr_assert(send(sock, log, sizeof(log), MSG_NOSIGNAL) == sizeof(log), "%m");
	}
	cr_assert(asked < ASKED, "all requests are taken though no answer is");
	expect_served();
	for (; answered < asked; answered++) {
		cr_assert(recv(sock, answer, sizeof(answer), 0) > 12);
		uint32_t serial = (uint32_t)answer[4] | (uint32_t)answer[5] << 8;
		cr_assert(
		    answer[0] == WIRE_REPLY && serial == answered + 1, "answer %u is that to %u", answered + 1, serial);
	}
	/* As good as any other from then on. */
	put32(log + 4, ++asked);
	send_with(sock, log, sizeof(log), -1);
	cr_assert(recv(sock, answer, sizeof(answer), 0) > 12);
	close(sock);
	varve_vm_close(vm);
}
