/*
 * varve_perf_state.c - the images of some commits, kept in files beside the store, to copy and to compare with.
 *
 * In files and not in memory, because that is what a copy reads, and because a gigabyte a commit is too much. Those of
 * a recording are where they were.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "varve_perf.h"

#define CHUNK (1u << 20)

static int keep_image(struct kept *kept, const char *directory, const struct image *image)
{
	char hex[VARVE_ID_TEXT + 1];
	*kept = (struct kept) {.id = image->id, .size = image->size};
	if (image->file) {
		kept->file = strdup(image->file);
		return kept->file ? 0 : perf_fail("out of memory");
	}
	varve_id_format(&image->id, hex);
	if (asprintf(&kept->file, "%s/%s", directory, hex) < 0) {
		kept->file = NULL;
		return perf_fail("out of memory");
	}
	return perf_write(kept->file, image->data, image->size);
}

int states_keep(struct states *states, const char *directory, const struct source *source, size_t index,
    const struct varve_id *commit, bool sampled)
{
	char path[PATH_MAX];
	struct state *list = realloc(states->list, (states->count + 1) * sizeof(*list));
	if (!list)
		return perf_fail("out of memory");
	states->list = list;
	struct state *state = &list[states->count++];
	*state = (struct state) {.index = index, .commit = *commit, .sampled = sampled};
	state->images = calloc(source->modules, sizeof(*state->images));
	if (!state->images)
		return perf_fail("out of memory");
	snprintf(path, sizeof(path), "%s/%zu", directory, index);
	if (!source->recording && mkdir(path, 0700) < 0)
		return perf_fail("%s: %s", path, strerror(errno));
	for (; state->count < source->modules; state->count++) {
		if (keep_image(&state->images[state->count], path, &source->images[state->count]) < 0)
			return -1;
		state->bytes += source->images[state->count].size;
	}
	return 0;
}

const struct state *states_find(const struct states *states, size_t index)
{
	size_t from = 0, to = states->count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (states->list[middle].index == index)
			return &states->list[middle];
		if (states->list[middle].index < index)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

bool states_alike(const struct state *a, const struct state *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->images[i].size != b->images[i].size)
			return false;
	return true;
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

/* Reads up to CHUNK bytes; less only at the end of the file; -1 if it fails. */
static ssize_t read_chunk(int fd, uint8_t *to, uint64_t at)
{
	size_t done = 0;
	while (done < CHUNK) {
		ssize_t n = pread(fd, to + done, CHUNK - done, (off_t)(at + done));
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static bool same_bytes(int a, int b)
{
	static uint8_t left[CHUNK], right[CHUNK];
	for (uint64_t at = 0;; at += CHUNK) {
		ssize_t n = read_chunk(a, left, at), m = read_chunk(b, right, at);
		if (n < 0 || n != m || memcmp(left, right, (size_t)n) != 0)
			return false;
		if (n < (ssize_t)CHUNK)
			return true;
	}
}

/* For the test that a wrong byte is noticed: a byte of the file becomes another one. */
static void spoil(int fd, uint64_t size)
{
	uint8_t byte = 0;
	if (size && fault_at("perf.check") && pread(fd, &byte, 1, (off_t)(size - 1)) == 1) {
		byte ^= 1;
		pwrite(fd, &byte, 1, (off_t)(size - 1));
	}
}

int image_check(const char *path, const struct kept *kept)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC), good = open(kept->file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		spoil(fd, kept->size);
	bool same =
	    fd >= 0 && good >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size == kept->size && same_bytes(fd, good);
	if (fd >= 0)
		close(fd);
	if (good >= 0)
		close(good);
	return same
	           ? 0
	           : perf_fail("%s: it is not %s, which it must be after that; no figure of this run is worth anything",
	                 path, kept->file);
}

int state_check(const struct state *state, const char *directory)
{
	char path[PATH_MAX], hex[VARVE_ID_TEXT + 1];
	int r = 0;
	for (size_t i = 0; i < state->count && !r; i++) {
		varve_id_format(&state->images[i].id, hex);
		snprintf(path, sizeof(path), "%s/%s", directory, hex);
		r = image_check(path, &state->images[i]);
	}
	return r;
}

void states_release(struct states *states)
{
	for (size_t i = 0; i < states->count; i++) {
		for (size_t j = 0; j < states->list[i].count; j++)
			free(states->list[i].images[j].file);
		free(states->list[i].images);
	}
	free(states->list);
	*states = (struct states) {0};
}
