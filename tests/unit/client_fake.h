/*
 * client_fake.h - a coordinator for tests of the library: it speaks the protocol and does what it is told.
 *
 * It runs in threads of the test's own process, one per connection, so that a test can look into it and break it at a
 * chosen message. fake_stop() is its death as a client sees it: every connection ends, nobody listens any more.
 */
#ifndef TESTS_CLIENT_FAKE_H
#define TESTS_CLIENT_FAKE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "names.h"
#include "sock.h"
#include "varve.h"
#include "wire.h"

#define FAKE_CONNS 32

/** How a restore shall change one module. */
struct fake_change {
	struct varve_id module;
	bool part;
	uint64_t size;
};

struct fake {
	char base[4096];
	struct dir dir, priv;
	int listener;
	pthread_t threads[FAKE_CONNS + 1];
	int socks[FAKE_CONNS];
	atomic_int conns;
	atomic_bool stopping;

	/* what to do */
	_Atomic int die_at; /**< this request is received, then the connection ends without an answer */
	_Atomic int die_once_at; /**< the same, the first time only */
	struct varve_vm *cancels; /**< dying, it cancels what this handle does */
	_Atomic int silent_at; /**< this request is received, and nothing more is heard */
	_Atomic int alive_first; /**< so many signs of life, 120 ms apart, come before each answer */
	_Atomic int fail_at; /**< this request is answered with fail_result, "the fake fails" */
	_Atomic int fail_result;
	_Atomic int garbage_at; /**< this request is answered with `garbage` for a payload behind the result */
	struct buf garbage;
	uint32_t protocol;
	int hello_result;
	bool restore_waits; /**< for CANCEL, telling its progress */
	int cancel_result; /**< the answer then */
	bool restore_fails; /**< after the files were cut, and put back */
	struct fake_change changes[8];
	unsigned changes_count;
	size_t log_rows;

	/* what has happened */
	atomic_uint seen[WIRE_OPTIMIZE + 1];
	atomic_bool mapped_at_abandon;
	_Atomic uint64_t mapped_at_cut; /**< bytes of backing files, after SHRUNK */
};

/* A sentence must name what it is about. */
#define assert_error_says(text)                                                                                        \
	cr_assert(strstr(varve_last_error(), text), "\"%s\" lacks \"%s\"", varve_last_error(), text)

static struct varve_id fake_id(uint8_t n)
{
	struct varve_id id;
	memset(id.bytes, n, sizeof(id.bytes));
	return id;
}

/* How many bytes of files whose path has @part in it this process maps. */
static uint64_t bytes_mapped(const char *part)
{
	char line[8192];
	unsigned long from, to;
	uint64_t sum = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, part) && sscanf(line, "%lx-%lx", &from, &to) == 2)
			sum += to - from;
	if (maps)
		fclose(maps);
	return sum;
}

static bool maps_file(const char *path)
{
	return bytes_mapped(path) > 0;
}

static void fake_reply(int sock, uint32_t serial, int result, const char *text, struct buf *rest, int fd)
{
	struct buf b = {0};
	buf_u32(&b, (uint32_t)result);
	if (result)
		wire_put_string(&b, text);
	else if (rest)
		buf_put(&b, rest->data, rest->size);
	wire_send(sock, WIRE_REPLY, serial, &b, fd);
	buf_free(&b);
}

/* A message within a request; blocking, although the socket does not. */
static bool fake_next(int sock, struct wire_message *m)
{
	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		int r = wire_recv(sock, m);
		if (r == 1)
			return true;
		if (r != -EAGAIN && r != -EINTR)
			return false;
		poll(&p, 1, -1);
	}
}

static int fake_file(struct fake *f, const struct varve_id *module, int flags)
{
	char name[NAME_MAX_SIZE];
	name_backing(name, module);
	return openat(f->dir.fd, name, flags | O_CLOEXEC, 0600);
}

static void fake_module(struct fake *f, int sock, uint32_t serial, struct wire_message *m)
{
	struct buf b = {0};
	struct varve_id module;
	struct stat st = {0};
	wire_get_id(&m->payload, &module);
	int fd = fake_file(f, &module, m->type == WIRE_DEPLOY ? O_RDWR | O_CREAT : O_RDWR);
	if (fd < 0) {
		fake_reply(sock, serial, -ENOENT, "there is no such module", NULL, -1);
		return;
	}
	if (m->type == WIRE_DEPLOY)
		cr_assert_eq(ftruncate(fd, (off_t)cursor_u64(&m->payload)), 0);
	fstat(fd, &st);
	buf_u64(&b, (uint64_t)st.st_size);
	fake_reply(sock, serial, 0, NULL, &b, fd);
	buf_free(&b);
	close(fd);
}

static void fake_progress(int sock, uint32_t serial, uint64_t modules)
{
	struct buf b = {0};
	struct varve_report report = {.modules = modules, .modules_total = 8};
	wire_put_report(&b, &report);
	wire_send(sock, WIRE_PROGRESS, serial, &b, -1);
	buf_free(&b);
}

/* Tell which memories will be cut, wait for SHRUNK, cut. False: the client is gone. */
static bool fake_cut(struct fake *f, int sock, uint32_t serial, struct wire_message *m)
{
	struct buf b = {0};
	buf_u32(&b, f->changes_count);
	for (unsigned i = 0; i < f->changes_count; i++) {
		wire_put_id(&b, &f->changes[i].module);
		buf_u64(&b, f->changes[i].part ? f->changes[i].size : 0);
	}
	wire_send(sock, WIRE_SHRINK, serial, &b, -1);
	buf_free(&b);
	if (!fake_next(sock, m) || m->type != WIRE_SHRUNK || m->serial != serial)
		return false;
	atomic_fetch_add(&f->seen[WIRE_SHRUNK], 1);
	f->mapped_at_cut = bytes_mapped(f->base);
	for (unsigned i = 0; i < f->changes_count; i++) {
		int fd = fake_file(f, &f->changes[i].module, O_RDWR);
		if (f->changes[i].part)
			cr_assert_eq(ftruncate(fd, (off_t)f->changes[i].size), 0);
		close(fd);
	}
	return true;
}

/* False: it dies. */
static bool fake_restore(struct fake *f, int sock, uint32_t serial, struct wire_message *m)
{
	struct buf b = {0};
	struct varve_report report = {.modules = 8, .modules_total = 8, .bytes_written = 4096, .seconds = 0.25};
	wire_get_id(&m->payload, &report.commit);
	cursor_u32(&m->payload);
	bool dry = wire_get_bool(&m->payload);
	for (uint64_t n = 0; f->restore_waits; n++) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		fake_progress(sock, serial, n);
		if (poll(&p, 1, 5) <= 0)
			continue;
		bool cancel = fake_next(sock, m) && m->type == WIRE_CANCEL && m->serial == serial;
		if (cancel && atomic_compare_exchange_strong(&f->die_once_at, &(int) {WIRE_CANCEL}, 0))
			return false;
		fake_reply(sock, serial, cancel ? f->cancel_result : -EPROTO, "the restore was cancelled", NULL, -1);
		return true;
	}
	if (f->changes_count && !dry && !fake_cut(f, sock, serial, m))
		return true;
	if (f->restore_fails) {
		fake_reply(sock, serial, -EBADMSG, "a delta is damaged", NULL, -1);
		return true;
	}
	wire_put_report(&b, &report);
	buf_u32(&b, f->changes_count);
	for (unsigned i = 0; i < f->changes_count; i++) {
		wire_put_id(&b, &f->changes[i].module);
		buf_u8(&b, f->changes[i].part);
		buf_u64(&b, f->changes[i].size);
	}
	fake_reply(sock, serial, 0, NULL, &b, -1);
	buf_free(&b);
	return true;
}

static void fake_begin(struct fake *f, int sock, uint32_t serial)
{
	int fd = openat(f->priv.fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (flock(fd, LOCK_EX | LOCK_NB))
		fake_reply(sock, serial, -EBUSY, "process 1 has the session", NULL, -1);
	else
		fake_reply(sock, serial, 0, NULL, NULL, fd);
	close(fd);
}

static void fake_put_log(struct buf *b, size_t rows)
{
	struct varve_module_info module = {fake_id(7), fake_id(8), VARVE_KIND_DELTA, 3, 65536, 164};
	buf_u32(b, (uint32_t)rows);
	for (size_t i = 0; i < rows; i++) {
		struct varve_commit_info commit = {i, fake_id((uint8_t)i), i ? i - 1 : VARVE_NONE, {{0}}, "a label",
		    1700000000, i + 1 == rows, 1, &module};
		wire_put_commit(b, &commit);
	}
}

static void fake_put_stat(struct buf *b)
{
	struct varve_worker_stat workers[2] = {
	    {.pid = 11, .busy = true, .busy_share = 0.5}, {.pid = 12, .restarts = 3}};
	struct varve_module_stat module = {.module = fake_id(7), .size = 1, .commits = 2, .base_bytes = 3};
	struct varve_stat stat = {.store = "/a/store",
	    .commits = 5,
	    .persisted = 4,
	    .has_current = true,
	    .current = fake_id(4),
	    .coordinator_pid = 10,
	    .uptime = 1.5,
	    .clients = 2,
	    .io_method = "pread",
	    .io_reason = "it was asked for",
	    .sandbox = "on",
	    .sandbox_reason = "",
	    .workers_count = 2,
	    .workers = workers,
	    .modules_count = 1,
	    .modules = &module};
	wire_put_stat(b, &stat);
}

static void fake_verify(int sock, uint32_t serial)
{
	struct buf b = {0};
	for (uint8_t damage = 0; damage < 2; damage++) {
		buf_u8(&b, damage);
		wire_put_string(&b, damage ? "A_B" : "stray");
		wire_put_string(&b, "it is\x1b[31m odd");
		wire_send(sock, WIRE_FINDING, serial, &b, -1);
		buf_clear(&b);
	}
	for (uint64_t i = 1; i <= 5; i++)
		buf_u64(&b, i);
	fake_reply(sock, serial, 0, NULL, &b, -1);
	buf_free(&b);
}

static void fake_hello(struct fake *f, int sock, uint32_t serial)
{
	struct buf b = {0};
	buf_u32(&b, f->protocol);
	wire_put_string(&b, "1.0.0");
	wire_put_string(&b, "a notice");
	fake_reply(sock, serial, f->hello_result, "the fake does not want you", &b, -1);
	buf_free(&b);
}

/* The requests whose answers are short. */
static void fake_small(struct fake *f, int sock, uint32_t serial, struct wire_message *m)
{
	struct buf b = {0};
	struct varve_id commit = fake_id(9);
	switch ((int)m->type) {
	case WIRE_COMMIT:
	case WIRE_RESOLVE:
		wire_put_id(&b, &commit);
		break;
	case WIRE_ABANDON:
		f->mapped_at_abandon = maps_file(f->base);
		break;
	case WIRE_CHECKOUT:
		cr_assert_eq(pwrite(m->fd, "image", 5, 0), 5);
		buf_u64(&b, 5);
		break;
	case WIRE_LOG:
		fake_put_log(&b, f->log_rows);
		break;
	case WIRE_INFO:
		fake_put_log(&b, 1);
		break;
	case WIRE_STAT:
		fake_put_stat(&b);
		break;
	case WIRE_WORKERS:
		/* What it was told, and that one runs. */
		for (unsigned i = 0; i < 3; i++)
			buf_u32(&b, cursor_u32(&m->payload));
		buf_u32(&b, 1);
		buf_u8(&b, 1);
		break;
	default:
		break;
	}
	fake_reply(sock, serial, 0, NULL, &b, -1);
	buf_free(&b);
}

static bool fake_answer(struct fake *f, int sock, struct wire_message *m)
{
	uint32_t serial = m->serial;
	int type = (int)m->type;
	if (type <= WIRE_SHRUNK)
		atomic_fetch_add(&f->seen[type], 1);
	if (f->die_at == type || atomic_compare_exchange_strong(&f->die_once_at, &(int) {type}, 0)) {
		varve_vm_cancel(f->cancels);
		return false;
	}
	for (int i = 0; i < f->alive_first; i++) {
		wire_send(sock, WIRE_ALIVE, 0, NULL, -1);
		usleep(120000);
	}
	if (f->silent_at == type)
		return true;
	if (f->fail_at == type)
		fake_reply(sock, serial, f->fail_result, "the fake fails", NULL, -1);
	else if (f->garbage_at == type)
		fake_reply(sock, serial, 0, NULL, &f->garbage, -1);
	else if (type == WIRE_HELLO)
		fake_hello(f, sock, serial);
	else if (type == WIRE_BEGIN)
		fake_begin(f, sock, serial);
	else if (type == WIRE_DEPLOY || type == WIRE_MODULE)
		fake_module(f, sock, serial, m);
	else if (type == WIRE_RESTORE)
		return fake_restore(f, sock, serial, m);
	else if (type == WIRE_VERIFY)
		fake_verify(sock, serial);
	else if (type != WIRE_CANCEL)
		fake_small(f, sock, serial, m);
	return true;
}

static void fake_serve(struct fake *f, int sock)
{
	struct wire_message *m = malloc(sizeof(*m));
	while (fake_next(sock, m)) {
		bool go_on = fake_answer(f, sock, m);
		wire_release(m);
		if (!go_on)
			break;
	}
	free(m);
	shutdown(sock, SHUT_RDWR);
}

struct fake_conn {
	struct fake *f;
	int index;
};

static void *fake_conn_main(void *arg)
{
	struct fake_conn conn = *(struct fake_conn *)arg;
	free(arg);
	fake_serve(conn.f, conn.f->socks[conn.index]);
	return NULL;
}

static void *fake_listen_main(void *arg)
{
	struct fake *f = arg;
	while (!f->stopping) {
		struct pollfd p = {.fd = f->listener, .events = POLLIN};
		poll(&p, 1, 5);
		int sock = sock_accept(f->listener);
		if (sock < 0)
			continue;
		cr_assert_lt(f->conns, FAKE_CONNS);
		struct fake_conn *conn = malloc(sizeof(*conn));
		*conn = (struct fake_conn) {f, f->conns};
		f->socks[conn->index] = sock;
		pthread_create(&f->threads[conn->index], NULL, fake_conn_main, conn);
		f->conns++;
	}
	return NULL;
}

/* Listen in f->base, which is there. */
static void fake_listen(struct fake *f)
{
	f->stopping = false;
	f->conns = 0;
	f->listener = sock_listen(&f->priv, "socket", NULL);
	cr_assert_geq(f->listener, 0);
	pthread_create(&f->threads[FAKE_CONNS], NULL, fake_listen_main, f);
}

static void fake_stop(struct fake *f)
{
	f->stopping = true;
	pthread_join(f->threads[FAKE_CONNS], NULL);
	for (int i = 0; i < f->conns; i++)
		shutdown(f->socks[i], SHUT_RDWR);
	for (int i = 0; i < f->conns; i++) {
		pthread_join(f->threads[i], NULL);
		close(f->socks[i]);
	}
	close(f->listener);
	unlinkat(f->priv.fd, "socket", 0);
}

/* A directory for the test, and nobody who serves it. */
static void fake_init(struct fake *f)
{
	const char *tmp = getenv("TMPDIR");
	memset(f, 0, sizeof(*f));
	f->protocol = WIRE_PROTOCOL;
	f->fail_result = -EIO;
	f->cancel_result = -ECANCELED;
	snprintf(f->base, sizeof(f->base), "%s/varve-client-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(f->base));
	f->dir = (struct dir) {open(f->base, O_PATH | O_DIRECTORY | O_CLOEXEC), ""};
	cr_assert_eq(mkdirat(f->dir.fd, ".varve", 0700), 0);
	f->priv = (struct dir) {openat(f->dir.fd, ".varve", O_PATH | O_DIRECTORY | O_CLOEXEC), ".varve/"};
}

static void fake_release(struct fake *f)
{
	char command[4200];
	close(f->priv.fd);
	close(f->dir.fd);
	buf_free(&f->garbage);
	signal(SIGCHLD, SIG_DFL); /* system() waits */
	snprintf(command, sizeof(command), "rm -rf '%s'", f->base);
	cr_assert_eq(system(command), 0);
}

#endif
