/*
 * varve_perf_source.c - histories to restore: generated ones, and recordings of real programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "varve_perf.h"

#define WASM_PAGE 65536u
/* An image so large gets as much work a commit as the mission's; larger ones in proportion, up to a limit. */
#define WORK_BYTES (512u << 10)
#define WORK_MAX 16u

const char *const pattern_names[] = {"mission", "scattered", "clustered", "hot", "recording"};

struct recording {
	char *path;
	json_t *manifest;
	json_t *commits;
	size_t *order; /* which of the commits are taken; NULL: all */
	struct varve_id only; /* with order: the module */
};

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return random_next(state) % limit;
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

int source_generate(struct source *source, const struct shape *shape, uint64_t seed)
{
	*source =
	    (struct source) {.commits = shape->commits, .modules = shape->modules, .random = seed, .shape = *shape};
	source->images = calloc(shape->modules, sizeof(*source->images));
	if (!source->images)
		return perf_fail("out of memory");
	for (size_t i = 0; i < shape->modules; i++) {
		uint64_t state = seed + i * 1000003;
		for (size_t j = 0; j < VARVE_ID_SIZE; j++)
			source->images[i].id.bytes[j] = (uint8_t)random_next(&state);
	}
	return 0;
}

/* What was changed is noted, so that a gigabyte need not be compared to find a few words. */
static int note(struct image *image, uint64_t at, uint64_t size)
{
	if (image->spans_count == image->spans_capacity) {
		size_t capacity = image->spans_capacity ? 2 * image->spans_capacity : 64;
		struct span *spans = realloc(image->spans, capacity * sizeof(*spans));
		if (!spans)
			return perf_fail("out of memory");
		image->spans = spans;
		image->spans_capacity = capacity;
	}
	image->spans[image->spans_count++] = (struct span) {at, size};
	return 0;
}

/* A new wasm page: records of small numbers and of hashes, a third of it never used. */
static void fill_page(uint8_t *page, uint64_t *random)
{
	for (uint32_t at = 0; at < WASM_PAGE - WASM_PAGE / 3; at += 64) {
		uint64_t words[8] = {
		    random_below(random, 4096), at, random_below(random, 1u << 20), 0, 1, 0, random_next(random), 0};
		memcpy(page + at, words, sizeof(words));
	}
}

/* One of the 8-byte words from byte @from on, of @words. */
static int touch_word(struct image *image, uint64_t from, uint64_t words, uint64_t *random)
{
	uint64_t value = random_below(random, 1u << 24), at = from + 8 * random_below(random, words);
	memcpy(image->data + at, &value, sizeof(value));
	return note(image, at, sizeof(value));
}

static int touch_stretch(struct image *image, uint64_t length, uint64_t *random)
{
	uint64_t at = random_below(random, image->size - length);
	for (uint64_t i = 0; i < length; i++)
		image->data[at + i] = (uint8_t)(random_next(random) & 0x3f);
	return note(image, at, length);
}

/* A few words here and there; now and then a record, seldom a whole table. */
static int touch_mission(struct image *image, uint64_t *random)
{
	uint64_t kind = random_below(random, 100);
	for (uint64_t n = 4 + random_below(random, 36); n; n--)
		if (touch_word(image, 0, image->size / 8, random) < 0)
			return -1;
	if (kind < 70)
		return 0;
	return touch_stretch(
	    image, kind < 95 ? 256 + random_below(random, 4096) : 2048 + random_below(random, 12288), random);
}

static int touch_hot(struct image *image, uint64_t *random)
{
	uint64_t hot = image->size / 20 / PERF_PAGE * PERF_PAGE + PERF_PAGE, from = image->size / 4 / 8 * 8;
	int r = 0;
	for (unsigned n = 0; n < 256 && !r; n++)
		r = random_below(random, 10) ? touch_word(image, from, hot / 8, random)
		                             : touch_word(image, 0, image->size / 8, random);
	return r;
}

/* One commit's work on one module. */
static int touch(struct image *image, enum pattern pattern, uint64_t *random)
{
	uint64_t times = image->size / WORK_BYTES;
	int r = 0;
	switch (pattern) {
	case PATTERN_SCATTERED:
		for (unsigned n = 0; n < 64 && !r; n++)
			r = touch_word(image, 0, image->size / 8, random);
		return r;
	case PATTERN_CLUSTERED:
		for (unsigned n = 0; n < 4 && !r; n++)
			r = touch_stretch(image, 256 + random_below(random, 3840), random);
		return r;
	case PATTERN_HOT:
		return touch_hot(image, random);
	default:
		times = times < 1 ? 1 : times > WORK_MAX ? WORK_MAX : times;
		for (uint64_t n = 0; n < times && !r; n++)
			r = touch_mission(image, random);
		return r;
	}
}

static int generate(struct source *source, size_t index)
{
	const struct shape *shape = &source->shape;
	uint64_t first = shape->first / WASM_PAGE, last = shape->last / WASM_PAGE;
	uint64_t pages = first + index * (last - first + 1) / source->commits;
	for (size_t i = 0; i < source->modules; i++) {
		struct image *image = &source->images[i];
		uint64_t old = image->size;
		image->active = true;
		image->spans_count = 0;
		if (resize(image, pages * WASM_PAGE) < 0)
			return -1;
		for (uint64_t at = old; at < image->size; at += WASM_PAGE)
			fill_page(image->data + at, &source->random);
		if (image->size > old && note(image, old, image->size - old) < 0)
			return -1;
		if (index && touch(image, shape->pattern, &source->random) < 0)
			return -1;
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

/* The text of the id of module @i of a commit of a recording; NULL: there is none. */
static const char *module_text(const struct recording *recording, size_t commit, size_t i)
{
	json_t *modules = json_object_get(json_array_get(recording->commits, commit), "modules");
	return json_string_value(json_object_get(json_array_get(modules, i), "id"));
}

/* How many of a recording's commits list the module; which they are, in @order, if that is not NULL. */
static size_t commits_of(const struct recording *recording, const char *module, size_t *order)
{
	size_t count = 0;
	for (size_t c = 0; c < json_array_size(recording->commits); c++) {
		const char *text;
		for (size_t i = 0; (text = module_text(recording, c, i)); i++) {
			if (strcasecmp(text, module) != 0)
				continue;
			if (order)
				order[count] = c;
			count++;
			break;
		}
	}
	return count;
}

int source_one_module(struct source *source, size_t commits)
{
	struct recording *recording = source->recording;
	const char *text, *most = NULL;
	size_t count = 0;
	/* All that matter are in the first commits: one that comes late has fewer images. */
	for (size_t i = 0; (text = module_text(recording, 0, i)); i++) {
		size_t n = commits_of(recording, text, NULL);
		if (n > count) {
			count = n;
			most = text;
		}
	}
	if (count < 3 || varve_id_parse(most, &recording->only) < 0)
		return perf_fail(
		    "%s: no module of its first commit has the 3 images that a measurement needs", recording->path);
	recording->order = calloc(count, sizeof(*recording->order));
	if (!recording->order)
		return perf_fail("out of memory");
	commits_of(recording, most, recording->order);
	source->commits = commits && commits < count ? commits : count;
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
	free(image->file);
	image->file = strdup(path);
	int r = image->file ? resize(image, size) : perf_fail("out of memory");
	if (!r && fread(image->data, 1, size, f) != size)
		r = perf_fail("%s: it is shorter than the manifest says", path);
	fclose(f);
	return r;
}

static int replay(struct source *source, size_t index)
{
	const struct recording *recording = source->recording;
	size_t commit = recording->order ? recording->order[index] : index;
	json_t *module, *modules = json_object_get(json_array_get(recording->commits, commit), "modules");
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
			return perf_fail("%s: module %zu of commit %zu is not of the form", recording->path, i, commit);
		if (recording->order && memcmp(&id, &recording->only, sizeof(id)) != 0)
			continue;
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
	for (size_t i = 0; i < source->modules; i++) {
		free(source->images[i].data);
		free(source->images[i].file);
		free(source->images[i].spans);
	}
	free(source->images);
	if (source->recording) {
		free(source->recording->order);
		json_decref(source->recording->manifest);
		free(source->recording->path);
		free(source->recording);
	}
	*source = (struct source) {0};
}
