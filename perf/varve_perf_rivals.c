/*
 * varve_perf_rivals.c - what a restore is measured against: a plain copy, and the walk along the chain as it is
 * written down first, with the same deltas and the same codec, one module after another, in this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "delta.h"
#include "err.h"
#include "hash.h"
#include "varve_perf.h"

/* Reads a whole file into *@data, which is kept from one file to the next: fresh memory would cost more than reading. */
static ssize_t read_file(const char *path, uint8_t **data, size_t *capacity)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return perf_fail("%s: %s", path, strerror(errno));
	size_t size = (size_t)st.st_size, done = 0;
	if (size > *capacity) {
		free(*data);
		*data = malloc(size);
		*capacity = *data ? size : 0;
	}
	while (*data && done < size) {
		ssize_t n = pread(fd, *data + done, size - done, (off_t)done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	return done == size ? (ssize_t)size : perf_fail("%s: it could not be read", path);
}

static int overwrite(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t done = 0;
	while (fd >= 0 && done < size) {
		ssize_t n = pwrite(fd, data + done, size - done, (off_t)done);
		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (fd < 0 || done < size)
		return perf_fail("%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

static void copy_path(char *path, const struct store *store, const struct goal *goal, const char *suffix)
{
	char hex[VARVE_ID_TEXT + 1];
	varve_id_format(&goal->id, hex);
	snprintf(path, PATH_MAX, "%s/%s%s", store->copies, hex, suffix);
}

int copy_images(const struct store *store)
{
	static uint8_t *data;
	static size_t capacity;
	char path[PATH_MAX];
	for (size_t i = 0; i < store->goals_count; i++) {
		copy_path(path, store, &store->goals[i], ".final");
		ssize_t size = read_file(path, &data, &capacity);
		copy_path(path, store, &store->goals[i], "");
		if (size < 0 || overwrite(path, data, (size_t)size) < 0)
			return -1;
	}
	return 0;
}

/* What the walk holds. Buffers for files are kept; images are not, that is the point of it. */
struct walk {
	struct delta_decoder *decoder;
	struct delta delta;
	uint8_t *file;
	size_t capacity;
	uint8_t *image;
	uint64_t size;
};

static int walk_whole(struct walk *walk, size_t size)
{
	uint8_t *new = malloc(size + 1);
	struct image_hash hash;
	if (!new)
		return perf_fail("out of memory");
	memcpy(new, walk->file, size);
	free(walk->image);
	walk->image = new;
	walk->size = size;
	hash_image(new, size, &hash);
	return 0;
}

static int walk_delta(struct walk *walk, size_t size, const char *path)
{
	struct image_hash hash;
	if (delta_parse(&walk->delta, walk->file, size) < 0)
		return perf_fail("%s: %s", path, err_text());
	uint64_t new_size = walk->delta.new_size;
	uint64_t room = new_size > walk->size ? new_size : walk->size;
	room = (room + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	uint8_t *new = malloc(room + 1);
	if (!new)
		return perf_fail("out of memory");
	memcpy(new, walk->image, walk->size);
	memset(new + walk->size, 0, room - walk->size);
	free(walk->image);
	walk->image = new;
	walk->size = new_size;
	if (delta_apply(walk->decoder, &walk->delta, new, 0, room) < 0)
		return perf_fail("%s: %s", path, err_text());
	hash_image(new, new_size, &hash);
	if (!hash_equal(&hash, &walk->delta.hash))
		return perf_fail("%s: the image does not have the delta's hash", path);
	return 0;
}

static int walk_module(struct walk *walk, const struct store *store, const struct goal *goal)
{
	char path[PATH_MAX];
	for (size_t i = 0; i < goal->chain_count; i++) {
		snprintf(path, sizeof(path), "%s/%s", store->path, goal->chain[i].name);
		ssize_t size = read_file(path, &walk->file, &walk->capacity);
		if (size < 0)
			return -1;
		int r = goal->chain[i].kind == VARVE_KIND_DELTA ? walk_delta(walk, (size_t)size, path)
		                                                : walk_whole(walk, (size_t)size);
		if (r < 0)
			return r;
	}
	copy_path(path, store, goal, "");
	return overwrite(path, walk->image, walk->size);
}

int walk_images(const struct store *store)
{
	struct walk walk = {0};
	int r = delta_decoder_open(&walk.decoder);
	if (r < 0)
		return perf_fail("out of memory");
	for (size_t i = 0; i < store->goals_count && !r; i++) {
		r = walk_module(&walk, store, &store->goals[i]);
		free(walk.image);
		walk.image = NULL;
		walk.size = 0;
	}
	delta_decoder_close(walk.decoder);
	delta_free(&walk.delta);
	free(walk.file);
	return r;
}
