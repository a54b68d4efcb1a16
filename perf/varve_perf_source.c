/*
 * varve_perf_source.c - histories to restore: generated ones, and recordings of real programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "varve_perf.h"

#define WASM_PAGE 65536u
#define FIRST_PAGES 5u
#define LAST_PAGES 9u

struct recording {
	char *path;
	json_t *manifest;
	json_t *commits;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
	return next_random(state) % limit;
}

static int resize(struct image *image, uint64_t size)
{
	if (size > image->capacity) {
		uint8_t *data = realloc(image->data, size);
		if (!data)
			return perf_fail("out of memory for an image of %" PRIu64 " bytes", size);
		image->data = data;
		image->capacity = size;
	}
	if (size > image->size)
		memset(image->data + image->size, 0, size - image->size);
	image->size = size;
	return 0;
}

/* ---- generated -------------------------------------------------------------------------------------------------- */

int source_generate(struct source *source, size_t modules, size_t commits, uint64_t seed)
{
	*source = (struct source) {.commits = commits, .modules = modules, .random = seed};
	source->images = calloc(modules, sizeof(*source->images));
	if (!source->images)
		return perf_fail("out of memory");
	for (size_t i = 0; i < modules; i++) {
		uint64_t state = seed + i * 1000003;
		for (size_t j = 0; j < VARVE_ID_SIZE; j++)
			source->images[i].id.bytes[j] = (uint8_t)next_random(&state);
	}
	return 0;
}

/* A new wasm page: records of small numbers and of hashes, a third of it never used. */
static void fill_page(uint8_t *page, uint64_t *random)
{
	for (uint32_t at = 0; at < WASM_PAGE - WASM_PAGE / 3; at += 64) {
		uint64_t words[8] = {below(random, 4096), at, below(random, 1u << 20), 0, 1, 0, next_random(random), 0};
		memcpy(page + at, words, sizeof(words));
	}
}

/* One commit's work on one module: a few words here and there; now and then a record, seldom a whole table. */
static void touch(struct image *image, uint64_t *random)
{
	uint64_t words = image->size / 8, kind = below(random, 100);
	for (uint64_t n = 4 + below(random, 36); n; n--) {
		uint64_t value = below(random, 1u << 24);
		memcpy(image->data + 8 * below(random, words), &value, sizeof(value));
	}
	if (kind < 70)
		return;
	uint64_t length = kind < 95 ? 256 + below(random, 4096) : 2048 + below(random, 12288);
	uint64_t at = below(random, image->size - length);
	for (uint64_t i = 0; i < length; i++)
		image->data[at + i] = (uint8_t)(next_random(random) & 0x3f);
}

static int generate(struct source *source, size_t index)
{
	uint64_t pages = FIRST_PAGES + index * (LAST_PAGES - FIRST_PAGES + 1) / source->commits;
	for (size_t i = 0; i < source->modules; i++) {
		struct image *image = &source->images[i];
		uint64_t old = image->size;
		image->active = true;
		if (resize(image, pages * WASM_PAGE) < 0)
			return -1;
		for (uint64_t at = old; at < image->size; at += WASM_PAGE)
			fill_page(image->data + at, &source->random);
		if (index)
			touch(image, &source->random);
	}
	return 0;
}

/* ---- recorded --------------------------------------------------------------------------------------------------- */

int source_recording(struct source *source, const char *path)
{
	char name[PATH_MAX];
	json_error_t problem;
	struct recording *recording = calloc(1, sizeof(*recording));
	*source = (struct source) {.recording = recording};
	if (!recording || !(recording->path = strdup(path)))
		return perf_fail("out of memory");
	snprintf(name, sizeof(name), "%s/manifest.json", path);
	recording->manifest = json_load_file(name, 0, &problem);
	if (!recording->manifest)
		return perf_fail("%s: %s, line %d", name, problem.text, problem.line);
	recording->commits = json_object_get(recording->manifest, "commits");
	source->commits = json_array_size(recording->commits);
	if (source->commits < 3)
		return perf_fail(
		    "%s: it has %zu commits, fewer than the 3 that a measurement needs", name, source->commits);
	return 0;
}

static struct image *find_image(struct source *source, const struct varve_id *id)
{
	for (size_t i = 0; i < source->modules; i++)
		if (!memcmp(&source->images[i].id, id, sizeof(*id)))
			return &source->images[i];
	struct image *images = realloc(source->images, (source->modules + 1) * sizeof(*images));
	if (!images)
		return NULL;
	source->images = images;
	images[source->modules] = (struct image) {.id = *id};
	return &images[source->modules++];
}

static int load_image(struct image *image, const char *path, uint64_t size)
{
	FILE *f = fopen(path, "rbe");
	if (!f)
		return perf_fail("%s: %s", path, strerror(errno));
	int r = resize(image, size);
	if (!r && fread(image->data, 1, size, f) != size)
		r = perf_fail("%s: it is shorter than the manifest says", path);
	fclose(f);
	return r;
}

static int replay(struct source *source, size_t index)
{
	const struct recording *recording = source->recording;
	json_t *module, *modules = json_object_get(json_array_get(recording->commits, index), "modules");
	char path[PATH_MAX];
	size_t i;
	for (i = 0; i < source->modules; i++)
		source->images[i].active = false;
	json_array_foreach(modules, i, module)
	{
		const char *hex, *file;
		json_int_t size;
		struct varve_id id;
		if (json_unpack(module, "{s:s, s:s, s:I}", "id", &hex, "file", &file, "size", &size) < 0 || size < 0 ||
		    varve_id_parse(hex, &id) < 0)
			return perf_fail("%s: module %zu of commit %zu is not of the form", recording->path, i, index);
		struct image *image = find_image(source, &id);
		if (!image)
			return perf_fail("out of memory");
		image->active = true;
		snprintf(path, sizeof(path), "%s/%s", recording->path, file);
		if (load_image(image, path, (uint64_t)size) < 0)
			return -1;
	}
	return 0;
}

int source_next(struct source *source, size_t index)
{
	return source->recording ? replay(source, index) : generate(source, index);
}

void source_release(struct source *source)
{
	for (size_t i = 0; i < source->modules; i++)
		free(source->images[i].data);
	free(source->images);
	if (source->recording) {
		json_decref(source->recording->manifest);
		free(source->recording->path);
		free(source->recording);
	}
	*source = (struct source) {0};
}
