/*
 * fuzz_wire.c - whatever arrives on a socket: no wild read, no endless loop, and what is accepted is written again as
 * the same bytes.
 *
 * The first byte says how the rest is looked at: as a whole packet, or as the payload of one of the large answers.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sock.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_log(const struct varve_log *log, struct buf *again)
{
	buf_u32(again, (uint32_t)log->count);
	for (size_t i = 0; i < log->count; i++)
		wire_put_commit(again, &log->commits[i]);
}

static void check_same(const struct buf *again, const uint8_t *data, size_t size)
{
	if (again->bad || again->size != size || memcmp(again->data, data, size))
		abort();
}

static void fuzz_log(const uint8_t *data, size_t size)
{
	struct buf again = {0};
	struct cursor c = cursor_over(data, size);
	struct varve_log *log = wire_get_log(&c);
	if (log) {
		put_log(log, &again);
		check_same(&again, data, size - cursor_left(&c));
	}
	buf_free(&again);
	free(log);
}

static void fuzz_stat(const uint8_t *data, size_t size)
{
	struct buf again = {0};
	struct cursor c = cursor_over(data, size);
	struct varve_stat *stat = wire_get_stat(&c);
	if (stat) {
		wire_put_stat(&again, stat);
		check_same(&again, data, size - cursor_left(&c));
	}
	buf_free(&again);
	free(stat);
}

static void fuzz_report(const uint8_t *data, size_t size)
{
	struct buf again = {0};
	struct varve_report report;
	struct cursor c = cursor_over(data, size);
	wire_get_report(&c, &report);
	if (!c.bad) {
		wire_put_report(&again, &report);
		check_same(&again, data, size - cursor_left(&c));
	}
	buf_free(&again);
}

static void fuzz_packet(const uint8_t *data, size_t size)
{
	static struct wire_message message;
	static int pair[2] = {-1, -1};
	if (pair[0] < 0 && (sock_pair(pair) || fcntl(pair[1], F_SETFL, O_NONBLOCK)))
		abort();
	/* An empty packet is how the end looks. */
	if (!size || size > SOCK_MESSAGE_MAX || sock_send(pair[0], data, size, size & 1 ? pair[0] : -1))
		return;
	if (wire_recv(pair[1], &message) == 1 && cursor_left(&message.payload) != size - WIRE_HEAD)
		abort();
	wire_release(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (*data % 4) {
	case 0:
		fuzz_log(data + 1, size - 1);
		break;
	case 1:
		fuzz_stat(data + 1, size - 1);
		break;
	case 2:
		fuzz_report(data + 1, size - 1);
		break;
	default:
		fuzz_packet(data + 1, size - 1);
		break;
	}
	return 0;
}
