/*
 * image.c - bring a raw image into a module's memory.
 *
 * A page that is not written stays clean, and a commit costs what was written. So the image is compared with the
 * memory page by page and only what differs is copied. The SHA-256 is taken of the very bytes that are copied, in the
 * same pass: a file that somebody changes meanwhile can not be checked as one thing and loaded as another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "cli.h"

#define PAGE 4096
#define PART (64 * PAGE)

int image_stat(int fd, const char *name, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st))
		return complain("%s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return complain("%s: not a regular file; an image has to be one", name);
	*size = (uint64_t)st.st_size;
	return EXIT_DONE;
}

/* Up to @size bytes; less only at the end of the file. */
static ssize_t part_read(int fd, uint8_t *part, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = pread(fd, part + done, size - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static void pages_update(uint8_t *memory, const uint8_t *part, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE) {
		size_t length = size - at < PAGE ? size - at : PAGE;

		if (memcmp(memory + at, part + at, length))
			memcpy(memory + at, part + at, length);
	}
}

static int image_copy(uint8_t *memory, const struct image *image)
{
	static uint8_t part[PART] __attribute__((aligned(PAGE)));
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha256;
	uint64_t offset = 0;
	ssize_t got;

	sha256_init(&sha256);
	/* Read on to the end of the file, not to the size expected, so that a file that has grown is noticed. */
	while ((got = part_read(image->fd, part, sizeof(part), offset)) > 0) {
		size_t length = (size_t)got;

		if (length > image->size - offset)
			break;
		if (image->sha256)
			sha256_update(&sha256, length, part);
		pages_update(memory + offset, part, length);
		offset += length;
		if (image->advance)
			image->advance(image->arg, length);
	}
	if (got < 0)
		return complain("%s: %s", image->name, strerror((int)-got));
	if (got || offset != image->size)
		return complain("%s: it changed while it was read; try again", image->name);
	if (!image->sha256)
		return EXIT_DONE;
	sha256_digest(&sha256, sizeof(digest), digest);
	if (memcmp(digest, image->sha256, sizeof(digest)))
		return complain("%s: its SHA-256 is not the one that the recording states", image->name);
	return EXIT_DONE;
}

int image_load(struct varve_session *session, const struct varve_id *module, const struct image *image)
{
	struct varve_memory *memory;
	int err = varve_session_module(session, module, &memory);

	if (err == -ENOENT)
		err = varve_session_deploy(session, module, image->size, &memory);
	if (!err && varve_memory_size(memory) != image->size)
		err = varve_memory_resize(memory, image->size);
	if (err)
		return complain_about(err, "%s", image->name);
	return image_copy(varve_memory_base(memory), image);
}

static int id_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct varve_id));
}

bool ids_unique(struct varve_id *ids, size_t count)
{
	qsort(ids, count, sizeof(*ids), id_compare);
	for (size_t i = 1; i < count; i++) {
		if (!id_compare(&ids[i - 1], &ids[i]))
			return false;
	}
	return true;
}
