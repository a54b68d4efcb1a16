/*
 * wire.c - one message: its head, its payload in the packet or in a memfd, the descriptor beside it.
 *
 * Both processes run as the same user, yet neither trusts the other: a payload in a memfd is accepted only if it is
 * sealed against writing and shrinking, for otherwise its sender could change what was checked already, or cut it off
 * under the parser (SIGBUS). It must be on tmpfs, too: a memfd of huge pages can raise SIGBUS though it is sealed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "err.h"
#include "sock.h"
#include "wire.h"

#define WIRE_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static void put_head(uint8_t *head, enum wire_type type, unsigned flags, uint32_t serial)
{
	put_le16(head, (uint16_t)type);
	put_le16(head + 2, (uint16_t)flags);
	put_le32(head + 4, serial);
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The sealed memfd that holds @payload. */
static int spill(const struct buf *payload)
{
	int fd = memfd_create("varve-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return fail_sys(errno, "no memory for a message of %zu bytes", payload->size);
	int r = write_all(fd, payload->data, payload->size);
	if (!r && fcntl(fd, F_ADD_SEALS, WIRE_SEALS))
		r = -errno;
	if (r) {
		close(fd);
		return fail_sys(-r, "no memory for a message of %zu bytes", payload->size);
	}
	return fd;
}

int wire_send(int sock, enum wire_type type, uint32_t serial, const struct buf *payload, int fd)
{
	uint8_t packet[WIRE_HEAD + WIRE_INLINE_MAX];
	size_t size = payload ? payload->size : 0;
	if (payload && payload->bad)
		return fail(ENOMEM, "not enough memory for a message; free some, then try again");
	if (size <= WIRE_INLINE_MAX) {
		put_head(packet, type, 0, serial);
		if (size)
			memcpy(packet + WIRE_HEAD, payload->data, size);
		return sock_send(sock, packet, WIRE_HEAD + size, fd);
	}
	if (fd >= 0 || size > WIRE_PAYLOAD_MAX)
		return fail(EINVAL, "a message of %zu bytes can not be sent", size);
	int memfd = spill(payload);
	if (memfd < 0)
		return memfd;
	put_head(packet, type, WIRE_IN_MEMFD, serial);
	put_le64(packet + WIRE_HEAD, size);
	int r = sock_send(sock, packet, WIRE_HEAD + 8, memfd);
	close(memfd);
	return r;
}

/* Map the payload that came in message->fd. */
static int map_payload(struct wire_message *message)
{
	struct stat st;
	struct statfs fs;
	uint64_t size = cursor_u64(&message->payload);
	if (message->payload.bad || cursor_left(&message->payload) || message->fd < 0)
		return -EPROTO;
	/* First: only memory has seals, all else may be of a file system that does not answer. */
	int seals = fcntl(message->fd, F_GET_SEALS);
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
		return -EPROTO;
	if (!size || size > WIRE_PAYLOAD_MAX || fstat(message->fd, &st) || (uint64_t)st.st_size != size)
		return -EPROTO;
	if (fstatfs(message->fd, &fs) || fs.f_type != TMPFS_MAGIC)
		return -EPROTO;
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, message->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	close(message->fd);
	message->fd = -1;
	message->mapped = p;
	message->mapped_size = size;
	message->payload = cursor_over(p, size);
	return 0;
}

static bool type_known(unsigned type)
{
	return (type >= WIRE_HELLO && type <= WIRE_LEAVE) || (type >= WIRE_REPLY && type <= WIRE_ALIVE);
}

static int parse_head(struct wire_message *message, size_t size)
{
	const uint8_t *head = message->inline_data;
	if (size < WIRE_HEAD)
		return -EPROTO;
	unsigned type = get_le16(head), flags = get_le16(head + 2);
	if (!type_known(type) || (flags & ~(unsigned)WIRE_IN_MEMFD) || size > WIRE_HEAD + WIRE_INLINE_MAX)
		return -EPROTO;
	message->type = (enum wire_type)type;
	message->serial = get_le32(head + 4);
	message->payload = cursor_over(head + WIRE_HEAD, size - WIRE_HEAD);
	return flags & WIRE_IN_MEMFD ? map_payload(message) : 0;
}

int wire_recv(int sock, struct wire_message *message)
{
	message->fd = -1;
	message->mapped = NULL;
	message->mapped_size = 0;
	message->payload = cursor_over(message->inline_data, 0);
	ssize_t n = sock_recv(sock, message->inline_data, sizeof(message->inline_data), &message->fd);
	if (n == 0) {
		wire_release(message);
		return 0;
	}
	if (n == -EMSGSIZE)
		return fail(EPROTO, "a message is longer than any can be");
	if (n == -EAGAIN || n == -EINTR || n == -ECONNRESET)
		return (int)n;
	if (n < 0)
		return fail_sys((int)-n, "a message can not be received");
	int r = parse_head(message, (size_t)n);
	if (!r)
		return 1;
	wire_release(message);
	if (r != -EPROTO)
		return fail_sys(-r, "a message can not be mapped");
	return fail(EPROTO, "a message is not of the form that version " VARVE_VERSION_STRING " knows");
}

void wire_release(struct wire_message *message)
{
	if (message->fd >= 0)
		sock_discard(message->fd);
	if (message->mapped)
		munmap(message->mapped, message->mapped_size);
	message->fd = -1;
	message->mapped = NULL;
	message->mapped_size = 0;
	message->payload = cursor_over(message->inline_data, 0);
}

void wire_put_id(struct buf *b, const struct varve_id *id)
{
	buf_put(b, id->bytes, VARVE_ID_SIZE);
}

void wire_get_id(struct cursor *c, struct varve_id *id)
{
	cursor_copy(c, id->bytes, VARVE_ID_SIZE);
}

void wire_put_string(struct buf *b, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	if (length > UINT32_MAX) {
		b->bad = true;
		return;
	}
	buf_u32(b, (uint32_t)length);
	buf_put(b, text, length);
}

const char *wire_get_string(struct cursor *c, uint32_t *length)
{
	*length = cursor_u32(c);
	const uint8_t *text = cursor_take(c, *length);
	if (text && memchr(text, 0, *length))
		c->bad = true;
	if (c->bad) {
		*length = 0;
		return NULL;
	}
	return (const char *)text;
}

void wire_put_double(struct buf *b, double value)
{
	uint64_t bits;
	memcpy(&bits, &value, sizeof(bits));
	buf_u64(b, bits);
}

double wire_get_double(struct cursor *c)
{
	double value;
	uint64_t bits = cursor_u64(c);
	memcpy(&value, &bits, sizeof(value));
	if (!isfinite(value) || value < 0) {
		c->bad = true;
		return 0;
	}
	return value;
}

bool wire_get_bool(struct cursor *c)
{
	uint8_t value = cursor_u8(c);
	if (value > 1)
		c->bad = true;
	return value == 1;
}
