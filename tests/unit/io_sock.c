/*
 * io_sock.c - whole messages, descriptors beside them, and peers that do not keep to it.
 */
#include <signal.h>
#include <sys/socket.h>

#include "io_fixture.h"
#include "sock.h"

TestSuite(sock, .init = fixture_open, .fini = fixture_close, .timeout = 30);

Test(sock, a_message_arrives_whole_or_not_at_all)
{
	static char message[SOCK_MESSAGE_MAX];
	static char got[SOCK_MESSAGE_MAX];
	int fds[2];

	cr_assert_eq(sock_pair(fds), 0);
	for (size_t size = 1; size <= sizeof(message);
	     size = size * 4 - 1 > sizeof(message) ? sizeof(message) + 1 : size * 4) {
		memset(message, (int)(size & 0x7f) + 1, size);
		cr_assert_eq(sock_send(fds[0], message, size, -1), 0);
		cr_assert_eq(sock_recv(fds[1], got, sizeof(got), NULL), (ssize_t)size);
		cr_assert_arr_eq(got, message, size);
	}
	cr_assert_eq(sock_send(fds[0], message, sizeof(message), -1), 0);
	cr_assert_eq(sock_recv(fds[1], got, 100, NULL), -EMSGSIZE);
	cr_assert_eq(sock_send(fds[0], "ab", 2, -1), 0);
	cr_assert_eq(sock_recv(fds[1], got, sizeof(got), NULL), 2, "the one after it is not harmed");
	close(fds[0]);
	cr_assert_eq(sock_recv(fds[1], got, sizeof(got), NULL), 0);
	close(fds[1]);
}

Test(sock, what_can_not_be_a_message_is_refused)
{
	static char message[SOCK_MESSAGE_MAX + 1];
	int fds[2];

	cr_assert_eq(sock_pair(fds), 0);
	cr_assert_eq(sock_send(fds[0], message, 0, -1), -EMSGSIZE, "it would look like the end");
	cr_assert_eq(sock_send(fds[0], message, sizeof(message), -1), -EMSGSIZE);
	cr_assert_eq(sock_send(fds[0], message, 1, 999), -EBADF);
}

Test(sock, a_descriptor_comes_beside_its_message)
{
	char byte;
	int fds[2];
	int passed = -2;
	int before = fixture_descriptors();

	fixture_file("f", "content", 7);
	cr_assert_eq(sock_pair(fds), 0);
	int fd = file_open(&fixture, "f", O_RDONLY);
	cr_assert_eq(sock_send(fds[0], "x", 1, fd), 0);
	close(fd);
	cr_assert_eq(sock_recv(fds[1], &byte, 1, &passed), 1);
	cr_assert_geq(passed, 0);
	cr_assert(fcntl(passed, F_GETFD) & FD_CLOEXEC);
	char text[8] = "";
	cr_assert_eq(read(passed, text, 7), 7);
	cr_assert_str_eq(text, "content");
	close(passed);
	cr_assert_eq(sock_send(fds[0], "x", 1, -1), 0);
	cr_assert_eq(sock_recv(fds[1], &byte, 1, &passed), 1);
	cr_assert_eq(passed, -1);
	close(fds[0]);
	close(fds[1]);
	cr_assert_eq(fixture_descriptors(), before);
}

/* The kernel passes no more with one message. */
#define PASSED_MAX 253

/* A message as no one of ours sends it: with @count descriptors. */
static void send_many(int sock, size_t size, int count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * PASSED_MAX)];
		struct cmsghdr align;
	} control = {0};
	char message[64] = {1};
	struct iovec part = {message, size};
	struct msghdr head = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&head);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
	for (int i = 0; i < count; i++)
		memcpy(CMSG_DATA(c) + sizeof(int) * (size_t)i, &fixture.fd, sizeof(int));
	cr_assert_eq(sendmsg(sock, &head, 0), (ssize_t)size);
}

/* A client that sends descriptors with everything could make the coordinator run out of them. */
Test(sock, descriptors_that_nobody_asked_for_are_closed)
{
	char message[64];
	int fds[2];
	int passed;

	cr_assert_eq(sock_pair(fds), 0);
	int before = fixture_descriptors();
	for (int count = 1; count <= PASSED_MAX; count = count == 128 ? PASSED_MAX : count * 2) {
		send_many(fds[0], 1, count);
		cr_assert_eq(sock_recv(fds[1], message, sizeof(message), NULL), 1);
		cr_assert_eq(fixture_descriptors(), before);
		send_many(fds[0], 1, count);
		cr_assert_eq(sock_recv(fds[1], message, sizeof(message), &passed), 1);
		cr_assert_geq(passed, 0);
		cr_assert_eq(fixture_descriptors(), before + 1);
		close(passed);
		send_many(fds[0], 64, count);
		cr_assert_eq(sock_recv(fds[1], message, 8, &passed), -EMSGSIZE);
		cr_assert_eq(passed, -1);
		send_many(fds[0], 0, count);
		cr_assert_eq(sock_recv(fds[1], message, 8, &passed), 0);
		cr_assert_eq(passed, -1);
		cr_assert_eq(fixture_descriptors(), before);
	}
}

static int discarded;

static void count_discarded(int fd)
{
	discarded++;
	close(fd);
}

/* Closing may take long: whoever must not wait for it has all of them handed to somebody else, none closed by the kernel. */
Test(sock, what_is_discarded_goes_where_it_was_asked_to)
{
	char message[64];
	int fds[2];
	int passed;

	cr_assert_eq(sock_pair(fds), 0);
	sock_discard_by(count_discarded);
	send_many(fds[0], 1, PASSED_MAX);
	cr_assert_eq(sock_recv(fds[1], message, sizeof(message), NULL), 1);
	cr_assert_eq(discarded, PASSED_MAX);
	send_many(fds[0], 1, PASSED_MAX);
	cr_assert_eq(sock_recv(fds[1], message, sizeof(message), &passed), 1);
	cr_assert_eq(discarded, 2 * PASSED_MAX - 1);
	sock_discard(passed);
	cr_assert_eq(discarded, 2 * PASSED_MAX);
	send_many(fds[0], 1, 3);
	cr_assert_eq(sock_read(fds[1], message, sizeof(message)), 1);
	cr_assert_eq(discarded, 2 * PASSED_MAX + 3);
	sock_discard_by(NULL);
	sock_discard(fds[1]);
	cr_assert_eq(discarded, 2 * PASSED_MAX + 3);
	close(fds[0]);
}

Test(sock, what_a_message_brings_is_known_without_taking_it)
{
	char message[64];
	int fds[2];
	int passed;

	cr_assert_eq(sock_pair(fds), 0);
	int before = fixture_descriptors();
	cr_assert_not(sock_brings(fds[1]));
	cr_assert_eq(sock_send(fds[0], "x", 1, -1), 0);
	cr_assert_not(sock_brings(fds[1]));
	send_many(fds[0], 2, 2);
	cr_assert_eq(sock_recv(fds[1], message, sizeof(message), NULL), 1);
	cr_assert(sock_brings(fds[1]));
	cr_assert_eq(fixture_descriptors(), before);
	cr_assert_eq(sock_recv(fds[1], message, sizeof(message), &passed), 2);
	cr_assert_geq(passed, 0);
	close(passed);
	close(fds[0]);
	cr_assert_not(sock_brings(fds[1]));
	close(fds[1]);
}

/* SIGPIPE would end the program that embeds the library. */
Test(sock, a_peer_that_is_gone_is_an_error_and_no_signal)
{
	int fds[2];
	char byte;

	signal(SIGPIPE, SIG_DFL);
	cr_assert_eq(sock_pair(fds), 0);
	cr_assert_eq(sock_send(fds[1], "x", 1, -1), 0);
	close(fds[1]);
	int rc = sock_send(fds[0], "x", 1, -1);
	cr_assert(rc == -EPIPE || rc == -ECONNRESET);
	cr_assert_eq(sock_recv(fds[0], &byte, 1, NULL), 1, "what it had said before is still there");
	close(fds[0]);
}

Test(sock, a_client_finds_who_listens_and_each_knows_the_other)
{
	char text[8] = "";
	pid_t pid = 0;
	uid_t uid = 12345;

	int listener = sock_listen(&fixture, "socket", NULL);
	cr_assert_geq(listener, 0);
	cr_assert_eq(sock_accept(listener), -EAGAIN);
	int client = sock_connect(&fixture, "socket");
	cr_assert_geq(client, 0);
	int server = sock_accept(listener);
	cr_assert_geq(server, 0);
	cr_assert_eq(sock_peer(server, &pid, &uid), 0);
	cr_assert_eq(pid, getpid());
	cr_assert_eq(uid, getuid());
	cr_assert_eq(sock_recv(server, text, sizeof(text), NULL), -EAGAIN, "the coordinator must never wait");
	cr_assert_eq(sock_send(client, "hello", 6, -1), 0);
	cr_assert_eq(sock_recv(server, text, sizeof(text), NULL), 6);
	cr_assert_str_eq(text, "hello");
	for (int rc = 0, i = 0; rc != -EAGAIN; i++) {
		rc = sock_send(server, text, sizeof(text), -1);
		cr_assert(rc == 0 || rc == -EAGAIN);
		cr_assert_lt(i, 1000000, "a client that does not read is noticed");
	}
	struct stat st;
	cr_assert_eq(file_stat(&fixture, "socket", &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600u, "other users keep out");
	close(server);
	close(client);
	close(listener);
}

Test(sock, the_socket_of_one_that_died_is_replaced)
{
	struct stat st;

	err_clear();
	cr_assert_eq(sock_connect(&fixture, "socket"), -ENOENT);
	close(sock_listen(&fixture, "socket", NULL));
	cr_assert_eq(file_stat(&fixture, "socket", &st), 0);
	cr_assert_eq(sock_connect(&fixture, "socket"), -ECONNREFUSED);
	cr_assert_str_empty(err_text());
	int listener = sock_listen(&fixture, "socket", NULL);
	cr_assert_geq(listener, 0);
	close(sock_connect(&fixture, "socket"));
	cr_assert_eq(file_stat(&fixture, "socket.new", &st), -ENOENT);
	close(listener);
}

/* Who reads another's metrics at that path would read ours from now on, and nobody would know. */
Test(sock, a_stream_socket_that_somebody_has_is_left_to_him)
{
	ino_t first = 0, second = 0;
	struct stat st;

	int listener = sock_listen_stream(&fixture, "metrics", 0660, &first);
	cr_assert_geq(listener, 0);
	cr_assert_eq(sock_listen_stream(&fixture, "metrics", 0660, &second), -EADDRINUSE);
	cr_assert(fixture_says("metrics is another process's socket"));
	cr_assert_eq(file_stat(&fixture, "metrics", &st), 0);
	cr_assert_eq(st.st_ino, first);
	close(listener);
	int messages = sock_listen(&fixture, "other", NULL);
	cr_assert_eq(sock_listen_stream(&fixture, "other", 0660, &second), -EADDRINUSE, "of another type, but there");
	close(messages);
	listener = sock_listen_stream(&fixture, "metrics", 0660, &second);
	cr_assert_geq(listener, 0, "of one that is gone: %s", err_text());
	close(listener);
}

/* A server that ends must not make its successor unreachable. */
Test(sock, only_the_name_of_the_own_socket_is_removed)
{
	ino_t first = 0, second = 0;
	struct stat st;

	int before = sock_listen(&fixture, "socket", &first);
	int after = sock_listen(&fixture, "socket", &second);
	sock_unlink(&fixture, "socket", first);
	cr_assert_eq(file_stat(&fixture, "socket", &st), 0);
	cr_assert_eq(st.st_ino, second);
	sock_unlink(&fixture, "socket", second);
	cr_assert_eq(file_stat(&fixture, "socket", &st), -ENOENT);
	close(before);
	close(after);
}

/* A link would lead out of the base directory; a file of the user's must not be lost. */
Test(sock, only_a_socket_is_replaced_or_connected_to)
{
	fixture_file("file", "precious", 8);
	cr_assert_eq(sock_listen(&fixture, "file", NULL), -EEXIST);
	cr_assert(fixture_says("file is there and is no socket"));
	cr_assert_str_eq(fixture_text("file"), "precious");
	int listener = sock_listen(&fixture, "socket", NULL);
	cr_assert_eq(symlinkat("socket", fixture.fd, "link"), 0);
	cr_assert_eq(sock_connect(&fixture, "link"), -EEXIST);
	cr_assert_eq(sock_connect(&fixture, "../x"), -EINVAL);
	close(listener);
}

/* sun_path has room for 108 bytes; a base directory may be 4,000 characters deep. */
Test(sock, a_deep_directory_is_no_obstacle)
{
	char name[201];
	struct dir deep = fixture;

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < 18; i++) {
		struct dir below;
		cr_assert_eq(dir_make(&below, deep.fd, name, ""), 0);
		if (i)
			dir_close(&deep);
		deep = below;
	}
	int listener = sock_listen(&deep, "socket", NULL);
	cr_assert_geq(listener, 0, "%s", err_text());
	int client = sock_connect(&deep, "socket");
	cr_assert_geq(client, 0, "%s", err_text());
	name[100] = '\0';
	cr_assert_eq(sock_listen(&deep, name, NULL), -ENAMETOOLONG);
	close(client);
	close(listener);
	dir_close(&deep);
}
