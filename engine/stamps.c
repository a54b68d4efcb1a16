/*
 * stamps.c - the file of stamps.
 *
 * Head, 48 bytes: "VARVSTMP", the store's 16 bytes, the boot's 16 bytes, XXH3-64 of these 40. Then 56 bytes for each
 * module by its index: entry u32, zero u32, inode, size, mtime, ctime u64, zero u64, XXH3-64 of these 48 and of the
 * module's index. A record that does not check says nothing: one torn by a crash, or never written.
 */
#include "stamps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "hash.h"

#define HEAD_SIZE 48
#define RECORD_SIZE 56
#define FILE_NAME "stamps"

/* Where it can not be read every time is another boot: what is not known must not be trusted. */
static void boot_id(uint8_t id[16])
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		length = getrandom(text, sizeof(text), 0);
	hash128(text, length > 0 ? (size_t)length : 0, 0, id);
}

static void put_head(uint8_t *head, const uint8_t store[16])
{
	memcpy(head, "VARVSTMP", 8);
	memcpy(head + 8, store, 16);
	boot_id(head + 24);
	put_le64(head + 40, hash64(head, 40));
}

static void put_record(uint8_t *to, uint32_t module, const struct stamp *stamp)
{
	put_le32(to, stamp->entry);
	put_le32(to + 4, 0);
	put_le64(to + 8, stamp->inode);
	put_le64(to + 16, stamp->size);
	put_le64(to + 24, (uint64_t)stamp->mtime_ns);
	put_le64(to + 32, (uint64_t)stamp->ctime_ns);
	put_le64(to + 40, 0);
	put_le64(to + 48, hash64(to, 48) ^ module);
}

static struct stamp get_record(const uint8_t *from, uint32_t module)
{
	struct stamp stamp = {.entry = CHAIN_NONE};
	if (get_le64(from + 48) != (hash64(from, 48) ^ module))
		return stamp;
	stamp.entry = get_le32(from);
	stamp.inode = get_le64(from + 8);
	stamp.size = get_le64(from + 16);
	stamp.mtime_ns = (int64_t)get_le64(from + 24);
	stamp.ctime_ns = (int64_t)get_le64(from + 32);
	return stamp;
}

static int grow(struct stamps *stamps, uint32_t count)
{
	if (count <= stamps->count)
		return 0;
	uint32_t want = count < 64 ? 64 : count + count / 2;
	struct stamp *list = realloc(stamps->list, want * sizeof(*list));
	if (!list)
		return fail_sys(ENOMEM, "memory for stamps");
	for (uint32_t i = stamps->count; i < want; i++)
		list[i] = (struct stamp) {.entry = CHAIN_NONE};
	stamps->list = list;
	stamps->count = want;
	return 0;
}

static int load(struct stamps *stamps, const struct buf *b, const uint8_t head[HEAD_SIZE])
{
	if (b->size < HEAD_SIZE || memcmp(b->data, head, HEAD_SIZE) != 0)
		return 0;
	size_t count = (b->size - HEAD_SIZE) / RECORD_SIZE;
	if (count > CATALOG_MODULES_MAX)
		return 0;
	int r = grow(stamps, (uint32_t)count);
	for (uint32_t i = 0; !r && i < count; i++)
		stamps->list[i] = get_record(b->data + HEAD_SIZE + (size_t)i * RECORD_SIZE, i);
	return r ? r : 1;
}

int stamps_open(struct stamps *stamps, const struct dir *priv, const uint8_t store[16])
{
	uint8_t head[HEAD_SIZE];
	struct buf b = {0};
	*stamps = (struct stamps) {.fd = -1};
	put_head(head, store);
	int loaded = 0;
	if (file_load(priv, FILE_NAME, HEAD_SIZE + (size_t)CATALOG_MODULES_MAX * RECORD_SIZE, &b) == 0)
		loaded = load(stamps, &b, head);
	buf_free(&b);
	if (loaded < 0)
		return loaded;
	stamps->other_boot = !loaded;
	stamps->fd = loaded ? file_open(priv, FILE_NAME, O_RDWR) : file_create(priv, FILE_NAME);
	if (stamps->fd >= 0 && !loaded && file_write_at(stamps->fd, head, sizeof(head), 0, priv, FILE_NAME)) {
		close(stamps->fd);
		file_unlink(priv, FILE_NAME);
		stamps->fd = -1;
	}
	return 0;
}

void stamps_close(struct stamps *stamps)
{
	if (stamps->fd >= 0)
		close(stamps->fd);
	free(stamps->list);
	*stamps = (struct stamps) {.fd = -1};
}

struct stamp stamps_get(const struct stamps *stamps, uint32_t module)
{
	if (module < stamps->count)
		return stamps->list[module];
	return (struct stamp) {.entry = CHAIN_NONE};
}

static int write_record(struct stamps *stamps, uint32_t module, const struct stamp *stamp)
{
	static const struct dir nowhere = {-1, ".varve/"};
	uint8_t record[RECORD_SIZE];
	if (stamps->fd < 0)
		return 0;
	put_record(record, module, stamp);
	return file_write_at(
	    stamps->fd, record, sizeof(record), HEAD_SIZE + (uint64_t)module * RECORD_SIZE, &nowhere, FILE_NAME);
}

int stamps_set(struct stamps *stamps, uint32_t module, const struct stamp *stamp)
{
	int r = grow(stamps, module + 1);
	if (r)
		return r;
	stamps->list[module] = *stamp;
	return write_record(stamps, module, stamp);
}

int stamps_clear(struct stamps *stamps, uint32_t module)
{
	struct stamp none = {.entry = CHAIN_NONE};
	if (module >= stamps->count || stamps->list[module].entry == CHAIN_NONE)
		return 0;
	stamps->list[module] = none;
	int r = write_record(stamps, module, &none);
	if (r && ftruncate(stamps->fd, 0) == 0) /* then none of them holds */
		r = 0;
	return r;
}
