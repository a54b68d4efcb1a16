/*
 * client_wire.c - messages: what one side puts in, the other gets out; and nothing a peer sends can do harm.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "sock.h"
#include "wire.h"

static int pair[2];
static struct wire_message message;

static void setup(void)
{
	cr_assert_eq(sock_pair(pair), 0);
	cr_assert_eq(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
}

static void teardown(void)
{
	wire_release(&message);
	close(pair[0]);
	close(pair[1]);
}

TestSuite(wire, .init = setup, .fini = teardown);

static struct varve_id id_of(uint8_t n)
{
	struct varve_id id;
	memset(id.bytes, n, sizeof(id.bytes));
	return id;
}

static struct buf filled(size_t size)
{
	struct buf b = {0};
	uint8_t *p = buf_reserve(&b, size ? size : 1);
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	b.size = size;
	return b;
}

static int open_files(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The switch from packet to memfd must not be seen by whoever reads the payload. */
Test(wire, a_payload_of_any_size_arrives_as_it_was)
{
	static const size_t sizes[] = {0, 1, WIRE_INLINE_MAX - 1, WIRE_INLINE_MAX, WIRE_INLINE_MAX + 1, 3 << 20};
	int before = open_files();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf b = filled(sizes[i]);
		cr_assert_eq(wire_send(pair[0], WIRE_LOG, (uint32_t)i + 1, &b, -1), 0);
		cr_assert_eq(wire_recv(pair[1], &message), 1);
		cr_assert_eq(message.type, WIRE_LOG);
		cr_assert_eq(message.serial, i + 1);
		cr_assert_eq(message.fd, -1);
		cr_assert_eq(cursor_left(&message.payload), sizes[i]);
		cr_assert_arr_eq(message.payload.at, b.data, sizes[i]);
		cr_assert_eq(message.mapped != NULL, sizes[i] > WIRE_INLINE_MAX);
		wire_release(&message);
		buf_free(&b);
	}
	cr_assert_eq(open_files(), before, "a descriptor was left open");
}

Test(wire, a_descriptor_travels_beside_a_small_payload)
{
	struct stat a, b;
	int fd = memfd_create("passed", MFD_CLOEXEC);
	cr_assert_eq(wire_send(pair[0], WIRE_CHECKOUT, 5, NULL, fd), 0);
	cr_assert_eq(wire_recv(pair[1], &message), 1);
	cr_assert_geq(message.fd, 0);
	fstat(fd, &a);
	fstat(message.fd, &b);
	cr_assert_eq(a.st_ino, b.st_ino);
	close(fd);
}

/* There is one place for a descriptor, and the memfd takes it. */
Test(wire, a_descriptor_beside_a_large_payload_is_refused)
{
	struct buf b = filled(WIRE_INLINE_MAX + 1);
	cr_assert_eq(wire_send(pair[0], WIRE_CHECKOUT, 5, &b, 0), -EINVAL);
	buf_free(&b);
}

Test(wire, a_payload_that_ran_out_of_memory_is_not_sent)
{
	struct buf b = {.bad = true};
	cr_assert_eq(wire_send(pair[0], WIRE_LOG, 1, &b, -1), -ENOMEM);
	cr_assert_eq(wire_recv(pair[1], &message), -EAGAIN);
}

Test(wire, the_end_is_told_apart_from_silence)
{
	cr_assert_eq(wire_recv(pair[1], &message), -EAGAIN);
	close(pair[0]);
	cr_assert_eq(wire_recv(pair[1], &message), 0);
	cr_assert_eq(wire_send(pair[1], WIRE_LOG, 1, NULL, -1), -EPIPE);
	pair[0] = open("/dev/null", O_RDONLY);
}

/* Send @size raw bytes with @fd; what does the receiver make of them? */
static int received(const void *bytes, size_t size, int fd)
{
	int before = open_files();
	cr_assert_eq(sock_send(pair[0], bytes, size, fd), 0);
	int r = wire_recv(pair[1], &message);
	if (r != 1)
		cr_assert_eq(open_files(), before, "a refused message left a descriptor open");
	wire_release(&message);
	return r;
}

Test(wire, a_head_that_is_not_of_the_form_is_refused)
{
	uint8_t head[WIRE_HEAD] = {0};
	put_le32(head + 4, 1);
	for (size_t size = 1; size < WIRE_HEAD; size++)
		cr_assert_eq(received(head, size, -1), -EPROTO);
	for (unsigned type = 0; type < 65536; type += type < 300 ? 1 : 253) {
		put_le16(head, (uint16_t)type);
		bool known = (type >= WIRE_HELLO && type <= WIRE_LEAVE) || (type >= WIRE_REPLY && type <= WIRE_ALIVE);
		cr_assert_eq(received(head, WIRE_HEAD, 0), known ? 1 : -EPROTO, "type %u", type);
	}
	put_le16(head, WIRE_LOG);
	for (unsigned bit = 0; bit < 16; bit++) {
		put_le16(head + 2, (uint16_t)(1u << bit));
		cr_assert_eq(received(head, WIRE_HEAD, -1), -EPROTO, "flag %u", bit);
	}
}

Test(wire, a_packet_longer_than_any_message_is_refused)
{
	struct buf b = filled(60000);
	put_le16(b.data, WIRE_LOG);
	put_le16(b.data + 2, 0);
	cr_assert_eq(received(b.data, WIRE_HEAD + WIRE_INLINE_MAX, -1), 1);
	cr_assert_eq(received(b.data, WIRE_HEAD + WIRE_INLINE_MAX + 1, -1), -EPROTO);
	cr_assert_eq(received(b.data, 60000, -1), -EPROTO);
	buf_free(&b);
}

static int memfd_with(size_t size, int seals)
{
	int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	if (seals)
		cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int received_memfd(uint64_t said, int fd)
{
	uint8_t packet[WIRE_HEAD + 8] = {0};
	put_le16(packet, WIRE_LOG);
	put_le16(packet + 2, WIRE_IN_MEMFD);
	put_le64(packet + WIRE_HEAD, said);
	int r = received(packet, sizeof(packet), fd);
	if (fd >= 0)
		close(fd);
	return r;
}

/* A peer that can still write or cut a payload changes it between check and use, or kills its reader with SIGBUS. */
Test(wire, a_memfd_is_taken_only_if_it_is_sealed_and_as_long_as_said)
{
	const int sealed = F_SEAL_WRITE | F_SEAL_SHRINK;
	cr_assert_eq(received_memfd(50000, memfd_with(50000, sealed)), 1);
	cr_assert_eq(received_memfd(50000, memfd_with(50000, 0)), -EPROTO);
	cr_assert_eq(received_memfd(50000, memfd_with(50000, F_SEAL_WRITE)), -EPROTO);
	cr_assert_eq(received_memfd(50000, memfd_with(50000, F_SEAL_SHRINK)), -EPROTO);
	cr_assert_eq(received_memfd(50001, memfd_with(50000, sealed)), -EPROTO);
	cr_assert_eq(received_memfd(49999, memfd_with(50000, sealed)), -EPROTO);
	cr_assert_eq(received_memfd(0, memfd_with(0, sealed)), -EPROTO);
	cr_assert_eq(received_memfd(UINT64_MAX, memfd_with(50000, sealed)), -EPROTO);
	cr_assert_eq(received_memfd(WIRE_PAYLOAD_MAX + 1, memfd_with(WIRE_PAYLOAD_MAX + 1, sealed)), -EPROTO);
	cr_assert_eq(received_memfd(50000, -1), -EPROTO);
	cr_assert_eq(received_memfd(4096, open("/dev/zero", O_RDONLY)), -EPROTO);
}

/* ---- parts of payloads ------------------------------------------------------------------------------------------ */

Test(wire, strings_come_back_and_a_nul_in_one_is_bad)
{
	struct buf b = {0};
	uint32_t length;
	wire_put_string(&b, "");
	wire_put_string(&b, NULL);
	wire_put_string(&b, "h\xc3\xa9");
	struct cursor c = cursor_over(b.data, b.size);
	wire_get_string(&c, &length);
	cr_assert_eq(length, 0);
	wire_get_string(&c, &length);
	cr_assert_eq(length, 0);
	const char *text = wire_get_string(&c, &length);
	cr_assert_eq(length, 3);
	cr_assert_arr_eq(text, "h\xc3\xa9", 3);
	cr_assert(!c.bad && !cursor_left(&c));
	b.data[b.size - 2] = 0;
	c = cursor_over(b.data + 8, b.size - 8);
	cr_assert_null(wire_get_string(&c, &length));
	cr_assert(c.bad);
	cr_assert_eq(length, 0);
	buf_free(&b);
}

Test(wire, a_string_longer_than_what_is_there_is_bad)
{
	uint8_t bytes[6] = {3, 0, 0, 0, 'a', 'b'};
	uint32_t length;
	struct cursor c = cursor_over(bytes, sizeof(bytes));
	cr_assert_null(wire_get_string(&c, &length));
	cr_assert(c.bad);
	put_le32(bytes, UINT32_MAX);
	c = cursor_over(bytes, sizeof(bytes));
	cr_assert_null(wire_get_string(&c, &length));
	cr_assert_eq(length, 0);
}

static struct varve_report report_example(void)
{
	return (struct varve_report) {id_of(1), 2, 3, 4, 5, 6, 7.5, 8, 0.25};
}

Test(wire, a_report_comes_back)
{
	struct buf b = {0};
	struct varve_report in = report_example(), out;
	wire_put_report(&b, &in);
	struct cursor c = cursor_over(b.data, b.size);
	wire_get_report(&c, &out);
	cr_assert(!c.bad && !cursor_left(&c));
	cr_assert_arr_eq(out.commit.bytes, in.commit.bytes, VARVE_ID_SIZE);
	cr_assert(out.modules == 2 && out.modules_total == 3 && out.bytes_written == 4 && out.bytes_read == 5);
	cr_assert(out.deltas_applied == 6 && out.seconds > 7.49 && out.seconds < 7.51 && out.workers == 8 &&
	          out.share == 0.25);
	buf_free(&b);
}

/* Callers compute with these: a NaN would spread, a negative time divide. */
Test(wire, a_number_of_seconds_that_is_none_is_bad)
{
	static const double values[] = {-1.0, __builtin_nan(""), __builtin_inf()};
	for (size_t i = 0; i < 3; i++) {
		struct buf b = {0};
		wire_put_double(&b, values[i]);
		struct cursor c = cursor_over(b.data, b.size);
		wire_get_double(&c);
		cr_assert(c.bad);
		buf_free(&b);
	}
}

static void put_log_example(struct buf *b)
{
	struct varve_module_info modules[3] = {{id_of(1), id_of(2), VARVE_KIND_BASE, 0, 65536, 65536},
	    {id_of(3), id_of(4), VARVE_KIND_DELTA, 7, 131072, 150}, {id_of(5), id_of(6), VARVE_KIND_LAST, 0, 0, 0}};
	struct varve_commit_info commits[3] = {
	    {0, id_of(10), VARVE_NONE, {{0}}, "first", -5, false, 2, modules},
	    {1, id_of(11), 0, id_of(10), "", 1, false, 0, NULL},
	    {2, id_of(12), 1, id_of(11), "\xe2\x9c\x93", INT64_MAX, true, 1, modules + 2},
	};
	buf_u32(b, 3);
	for (int i = 0; i < 3; i++)
		wire_put_commit(b, &commits[i]);
}

Test(wire, a_log_comes_back_in_one_allocation)
{
	struct buf b = {0};
	put_log_example(&b);
	struct cursor c = cursor_over(b.data, b.size);
	struct varve_log *log = wire_get_log(&c);
	cr_assert_not_null(log);
	cr_assert(!c.bad && !cursor_left(&c));
	buf_free(&b);
	cr_assert_eq(log->count, 3);
	const struct varve_commit_info *first = &log->commits[0], *last = &log->commits[2];
	cr_assert(first->index == 0 && first->parent_index == VARVE_NONE && first->time == -5 && !first->current);
	cr_assert_str_eq(first->label, "first");
	cr_assert_eq(first->modules_count, 2);
	cr_assert(first->modules[1].kind == VARVE_KIND_DELTA && first->modules[1].ordinal == 7);
	cr_assert(first->modules[1].size == 131072 && first->modules[1].stored_bytes == 150);
	cr_assert_eq(first->modules[1].commit.bytes[31], 4);
	cr_assert_str_eq(log->commits[1].label, "");
	cr_assert(last->current && last->modules_count == 1 && last->modules[0].module.bytes[0] == 5);
	cr_assert_str_eq(last->label, "\xe2\x9c\x93");
	free(log);
}

static void put_stat_example(struct buf *b)
{
	struct varve_worker_stat workers[2] = {
	    {4, true, 5, 6, 7, 0.5, 8, VARVE_WORKER_BUSY, 1.5, "restore", id_of(9)},
	    {9, false, 10, 11, 12, 0.0, 13, VARVE_WORKER_IDLE, 0.25, "", {{0}}},
	};
	struct varve_worker_stat background = {
	    14, true, 15, 16, 17, 0.75, 18, VARVE_WORKER_ENDING, 2.5, "tiers", id_of(8)};
	struct varve_module_stat modules[1] = {{id_of(1), 2, 3, 4, 5, 6, 7, 8, 9}};
	struct varve_operation_stat operations[2] = {
	    {"restore", 40, false, true, id_of(5), 41, 42, 43.5, 0.75},
	    {"checkout", 50, true, true, id_of(6), 0, 1, 0.5, 0},
	};
	struct varve_stat stat = {"/store", 1, 2, true, id_of(3), 4, 5.5, 6, 7, "io_uring", "", "partial",
	    "no Landlock", 8, 9, 10, 11, 2, workers, 1, modules, 1, &background, 20, 21, 22, 23,
	    {24, 25, 1.0, 0.125, 0.25, 0.375, 0.5}, {26, 27, 2.0, 1, 2, 3, 4}, {28, 29, 3.0, 5, 6, 7, 8}, 2, operations,
	    51, 52, 53};
	wire_put_stat(b, &stat);
}

Test(wire, figures_of_a_store_come_back)
{
	struct buf b = {0};
	put_stat_example(&b);
	struct cursor c = cursor_over(b.data, b.size);
	struct varve_stat *stat = wire_get_stat(&c);
	cr_assert_not_null(stat);
	cr_assert(!c.bad && !cursor_left(&c));
	buf_free(&b);
	cr_assert_str_eq(stat->store, "/store");
	cr_assert_str_eq(stat->io_method, "io_uring");
	cr_assert_str_eq(stat->io_reason, "");
	cr_assert_str_eq(stat->sandbox, "partial");
	cr_assert_str_eq(stat->sandbox_reason, "no Landlock");
	cr_assert(stat->commits == 1 && stat->persisted == 2 && stat->has_current && stat->coordinator_pid == 4);
	cr_assert(stat->clients == 6 && stat->session_pid == 7 && stat->restores == 8 && stat->checkouts == 9);
	cr_assert(stat->commits_made == 10 && stat->jobs == 11 && stat->workers_count == 2 && stat->modules_count == 1);
	cr_assert(stat->workers[0].busy && stat->workers[1].pid == 9 && stat->workers[1].restarts == 13);
	cr_assert(stat->workers[0].state == VARVE_WORKER_BUSY && stat->workers[1].busy_seconds == 0.25);
	cr_assert_str_eq(stat->workers[0].job, "restore");
	cr_assert_str_eq(stat->workers[1].job, "");
	cr_assert_eq(stat->workers[0].module.bytes[0], 9);
	cr_assert(
	    stat->modules[0].size == 2 && stat->modules[0].private_bytes == 7 && stat->modules[0].undo_bytes == 9);
	cr_assert(stat->background_count == 1 && stat->background[0].pid == 14 && stat->background[0].restarts == 18);
	cr_assert_str_eq(stat->background[0].job, "tiers");
	cr_assert(stat->jobs_waiting == 20 && stat->jobs_running == 21);
	cr_assert(stat->worker_deaths == 22 && stat->damage_found == 23);
	cr_assert(
	    stat->restore_latency.failed == 25 && stat->checkout_latency.p99 == 3 && stat->commit_latency.max == 8);
	cr_assert(stat->disk_bytes == 51 && stat->backing_bytes == 52 && stat->history_bytes == 53);
	cr_assert_eq(stat->operations_count, 2);
	cr_assert_str_eq(stat->operations[0].name, "restore");
	cr_assert(stat->operations[0].done == 41 && stat->operations[0].total == 42 && !stat->operations[0].waiting);
	cr_assert_eq(stat->operations[0].share, 0.75);
	cr_assert_str_eq(stat->operations[1].name, "checkout");
	cr_assert(stat->operations[1].commit.bytes[0] == 6 && stat->operations[1].seconds == 0.5);
	free(stat);
}

/* The decoders read from a copy that ends exactly where the bytes end, so that a sanitizer sees one byte too many. */
static void *decode(const uint8_t *bytes, size_t size, bool log, bool *bad)
{
	uint8_t *copy = malloc(size ? size : 1);
	memcpy(copy, bytes, size);
	struct cursor c = cursor_over(copy, size);
	void *got = log ? (void *)wire_get_log(&c) : (void *)wire_get_stat(&c);
	*bad = c.bad || cursor_left(&c);
	free(copy);
	return got;
}

Test(wire, an_answer_cut_off_at_any_byte_is_bad)
{
	for (int log = 0; log < 2; log++) {
		struct buf b = {0};
		bool bad;
		if (log)
			put_log_example(&b);
		else
			put_stat_example(&b);
		for (size_t size = 0; size < b.size; size++) {
			cr_assert_null(decode(b.data, size, log, &bad), "cut at %zu", size);
			cr_assert(bad);
		}
		buf_free(&b);
	}
}

/* Whatever a byte is changed to: an answer or a refusal, never a wild read, a huge allocation or a hang. */
Test(wire, an_answer_with_any_byte_changed_does_no_harm)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	for (int log = 0; log < 2; log++) {
		struct buf b = {0};
		bool bad;
		if (log)
			put_log_example(&b);
		else
			put_stat_example(&b);
		for (size_t at = 0; at < b.size; at++) {
			for (size_t i = 0; i < sizeof(values); i++) {
				uint8_t was = b.data[at];
				b.data[at] = values[i];
				free(decode(b.data, b.size, log, &bad));
				b.data[at] = was;
			}
		}
		buf_free(&b);
	}
}

/* 2^32 - 1 commits promised by 4 bytes. */
Test(wire, a_count_that_the_bytes_can_not_hold_allocates_nothing)
{
	uint8_t bytes[64];
	bool bad;
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		cr_assert_null(decode(bytes, size, true, &bad));
		cr_assert_null(decode(bytes, size, false, &bad));
	}
}
