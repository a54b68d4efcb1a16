/*
 * varve_perf_copy.c - what a restore is measured against: a plain copy, and the walk along the chain as it is
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

static int overwrite(const char *path, const uint8_t *data, size_t size, off_t at)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t done = 0;
	while (fd >= 0 && done < size) {
		ssize_t n = pwrite(fd, data + done, size - done, at + (off_t)done);
		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (fd < 0 || done < size) {
		perf_fail("%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

/* The file that an image is written over. */
static void copy_path(char *path, const struct store *store, const struct varve_id *id)
{
	char hex[VARVE_ID_TEXT + 1];
	varve_id_format(id, hex);
	snprintf(path, PATH_MAX, "%s/%s", store->copies, hex);
}

static const struct kept *find_image(const struct state *state, const struct varve_id *id)
{
	for (size_t i = 0; i < state->count; i++)
		if (!memcmp(&state->images[i].id, id, sizeof(*id)))
			return &state->images[i];
	return NULL;
}

static int pad(const char *path, uint64_t from, uint64_t to)
{
	static const uint8_t zero[1u << 16];
	int r = 0;
	for (uint64_t at = from; at < to && !r; at += sizeof(zero))
		r = overwrite(path, zero, to - at < sizeof(zero) ? (size_t)(to - at) : sizeof(zero), (off_t)at);
	return r;
}

int copy_prepare(const struct store *store, const struct state *from, const struct state *to)
{
	static uint8_t *data;
	static size_t capacity;
	char path[PATH_MAX];
	for (size_t i = 0; i < to->count; i++) {
		const struct kept *final = &to->images[i], *old = find_image(from, &final->id);
		ssize_t size = read_file(old ? old->file : final->file, &data, &capacity);
		if (size < 0)
			return -1;
		if ((uint64_t)size > final->size)
			size = (ssize_t) final->size;
		copy_path(path, store, &final->id);
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, (off_t) final->size) < 0)
			return perf_fail("%s: %s", path, strerror(errno));
		close(fd);
		/* What is missing at the end is zero, but all its pages are there. */
		if (overwrite(path, data, (size_t)size, 0) < 0 || pad(path, (uint64_t)size, final->size) < 0)
			return -1;
	}
	return 0;
}

int copy_images(const struct store *store, const struct state *to)
{
	static uint8_t *data;
	static size_t capacity;
	char path[PATH_MAX];
	for (size_t i = 0; i < to->count; i++) {
		ssize_t size = read_file(to->images[i].file, &data, &capacity);
		copy_path(path, store, &to->images[i].id);
		if (size < 0 || overwrite(path, data, (size_t)size, 0) < 0)
			return -1;
	}
	return 0;
}

int copy_check(const struct store *store, const struct state *to)
{
	return state_check(to, store->copies);
}

/* ---- the naive walk --------------------------------------------------------------------------------------------- */

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

static void link_path(char *path, const struct store *store, const struct varve_module_info *link)
{
	char module[VARVE_ID_TEXT + 1], commit[VARVE_ID_TEXT + 1], ordinal[16] = "";
	varve_id_format(&link->module, module);
	varve_id_format(&link->commit, commit);
	if (link->kind == VARVE_KIND_DELTA)
		snprintf(ordinal, sizeof(ordinal), "_%u", link->ordinal);
	snprintf(path, PATH_MAX, "%s/%s_%s%s", store->path, module, commit, ordinal);
}

/* The first entry of the module's chain. */
static const struct link *find_chain(const struct store *store, const struct varve_id *module)
{
	size_t from = 0, to = store->chain_count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (memcmp(&store->chain[middle].info.module, module, sizeof(*module)) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return store->chain + from;
}

static int walk_module(struct walk *walk, const struct store *store, const struct state *to, const struct kept *final)
{
	const struct link *end = store->chain + store->chain_count;
	char path[PATH_MAX];
	for (const struct link *link = find_chain(store, &final->id); link < end && link->commit <= to->index; link++) {
		if (memcmp(&link->info.module, &final->id, sizeof(final->id)) != 0)
			break;
		link_path(path, store, &link->info);
		ssize_t size = read_file(path, &walk->file, &walk->capacity);
		if (size < 0)
			return -1;
		int r = link->info.kind == VARVE_KIND_DELTA ? walk_delta(walk, (size_t)size, path)
		                                            : walk_whole(walk, (size_t)size);
		if (r < 0)
			return r;
	}
	copy_path(path, store, &final->id);
	return overwrite(path, walk->image, walk->size, 0);
}

int walk_images(const struct store *store, const struct state *to)
{
	struct walk walk = {0};
	int r = delta_decoder_open(&walk.decoder);
	if (r < 0)
		return perf_fail("out of memory");
	for (size_t i = 0; i < to->count && !r; i++) {
		r = walk_module(&walk, store, to, &to->images[i]);
		free(walk.image);
		walk.image = NULL;
		walk.size = 0;
	}
	delta_decoder_close(walk.decoder);
	delta_free(&walk.delta);
	free(walk.file);
	return r;
}
