/*
 * codec_bench.c - what a delta costs: bytes per commit, microseconds to find, encode, parse and apply.
 *
 * usage: codec_bench RECORDING [--join N] [--zeros N] [--raw N] [--list-raw N] [--ratio N] [--level N] [--repeat N] [--commits N]
 *
 * Goes through a recording commit by commit, and through its modules one after another, as committing does. Every delta
 * is applied as well, and the result compared outside the timed part. Times are sums over one pass; each step is done
 * --repeat times and the fastest counts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "delta_format.h"
#include "err.h"

enum step { STEP_DIFF, STEP_HASH, STEP_ENCODE, STEP_PARSE, STEP_APPLY, STEPS };
static const char *const step_names[STEPS] = {"diff", "hash", "encode", "parse", "apply"};

struct image {
	uint8_t *data;
	uint64_t size;
};

struct module {
	const char *id; /* the manifest's */
	struct image before;
};

struct bench {
	struct delta_encoder *encoder;
	struct delta_decoder *decoder;
	struct delta delta;
	struct runs runs;
	struct buf out;
	uint8_t *window;
	uint64_t window_size;
	unsigned repeat;
	struct module *modules;
	size_t modules_count;
	uint64_t *sizes; /* of the deltas */
	size_t deltas;
	uint64_t bytes, runs_count, changed;
	double seconds[STEPS];
};

static void die(const char *what)
{
	fprintf(stderr, "codec_bench: %s: %s\n", what, err_text());
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct image load(const char *directory, const char *file)
{
	char path[4096];
	struct image image = {NULL, 0};
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
		exit(1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		exit(1);
	}
	image.size = (uint64_t)st.st_size;
	image.data = malloc(image.size + 1);
	for (uint64_t at = 0; image.data && at < image.size;) {
		ssize_t n = read(fd, image.data + at, image.size - at);
		if (n <= 0) {
			perror(path);
			exit(1);
		}
		at += (uint64_t)n;
	}
	close(fd);
	if (!image.data)
		exit(1);
	return image;
}

static void start_window(struct bench *b, const struct image *before, uint64_t size)
{
	if (size > b->window_size) {
		free(b->window);
		b->window = malloc(size);
		b->window_size = b->window ? size : 0;
		if (!b->window)
			exit(1);
	}
	uint64_t common = before->size < size ? before->size : size;
	memcpy(b->window, before->data, common);
	memset(b->window + common, 0, size - common);
}

static void run_step(
    struct bench *b, enum step step, const struct image *before, const struct image *after, struct image_hash *hash)
{
	double best = 0;

	for (unsigned i = 0; i < b->repeat; i++) {
		int r = 0;
		if (step == STEP_ENCODE)
			buf_clear(&b->out);
		if (step == STEP_APPLY)
			start_window(b, before, after->size);
		double start = now();
		if (step == STEP_DIFF)
			r = diff_images(before->data, before->size, after->data, after->size, &b->runs);
		else if (step == STEP_HASH)
			hash_image(after->data, after->size, hash);
		else if (step == STEP_ENCODE)
			r = delta_encode(b->encoder, before->data, before->size, after->data, after->size, &b->runs,
			    hash, 0, &b->out);
		else if (step == STEP_PARSE)
			r = delta_parse(&b->delta, b->out.data, b->out.size);
		else
			r = delta_apply(b->decoder, &b->delta, b->window, 0, after->size);
		double seconds = now() - start;
		if (r)
			die(step_names[step]);
		best = i == 0 || seconds < best ? seconds : best;
	}
	b->seconds[step] += best;
}

static void add_delta(struct bench *b, const struct image *before, const struct image *after)
{
	struct image_hash hash;

	for (enum step step = 0; step < STEPS; step++)
		run_step(b, step, before, after, &hash);
	if (memcmp(b->window, after->data, after->size) || !hash_equal(&hash, &b->delta.hash)) {
		fprintf(stderr, "codec_bench: delta %zu gives another image\n", b->deltas);
		exit(1);
	}
	b->sizes = realloc(b->sizes, (b->deltas + 1) * sizeof(*b->sizes));
	if (!b->sizes)
		exit(1);
	b->sizes[b->deltas++] = b->out.size;
	b->bytes += b->out.size;
	b->runs_count += b->runs.count;
	for (size_t i = 0; i < b->runs.count; i++)
		b->changed += b->runs.list[i].size;
}

static struct module *find_module(struct bench *b, const char *id)
{
	for (size_t i = 0; i < b->modules_count; i++)
		if (!strcmp(b->modules[i].id, id))
			return &b->modules[i];
	b->modules = realloc(b->modules, (b->modules_count + 1) * sizeof(*b->modules));
	if (!b->modules)
		exit(1);
	b->modules[b->modules_count] = (struct module) {id, {NULL, 0}};
	return &b->modules[b->modules_count++];
}

static void play(struct bench *b, const char *directory, const json_t *manifest, size_t limit)
{
	const json_t *commits = json_object_get(manifest, "commits");

	for (size_t i = 0; i < json_array_size(commits) && i < limit; i++) {
		const json_t *modules = json_object_get(json_array_get(commits, i), "modules");
		for (size_t j = 0; j < json_array_size(modules); j++) {
			const json_t *entry = json_array_get(modules, j);
			const char *id = json_string_value(json_object_get(entry, "id"));
			const char *file = json_string_value(json_object_get(entry, "file"));
			if (!id || !file)
				continue;
			struct module *m = find_module(b, id);
			struct image after = load(directory, file);
			if (m->before.data)
				add_delta(b, &m->before, &after);
			free(m->before.data);
			m->before = after;
		}
	}
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void report(struct bench *b)
{
	double n = (double)b->deltas;

	if (!b->deltas)
		return;
	qsort(b->sizes, b->deltas, sizeof(*b->sizes), ascending);
	printf("%zu deltas, %.0f bytes each (least %lu, median %lu, most %lu), %.0f runs, %.0f bytes changed; us:",
	    b->deltas, (double)b->bytes / n, (unsigned long)b->sizes[0], (unsigned long)b->sizes[b->deltas / 2],
	    (unsigned long)b->sizes[b->deltas - 1], (double)b->runs_count / n, (double)b->changed / n);
	for (enum step step = 0; step < STEPS; step++)
		printf(" %s %.1f", step_names[step], b->seconds[step] * 1e6 / n);
	putchar('\n');
}

static void set_option(struct bench *b, const char *name, const char *value, size_t *limit)
{
	struct delta_tuning *tuning = delta_encoder_tuning(b->encoder);
	unsigned long n = strtoul(value, NULL, 10);

	if (!strcmp(name, "--join"))
		tuning->join = n;
	else if (!strcmp(name, "--zeros"))
		tuning->zeros = n;
	else if (!strcmp(name, "--raw"))
		tuning->raw = n;
	else if (!strcmp(name, "--list-raw"))
		tuning->list_raw = n;
	else if (!strcmp(name, "--ratio"))
		tuning->prefix_ratio = n;
	else if (!strcmp(name, "--level"))
		tuning->level = (int)strtol(value, NULL, 10);
	else if (!strcmp(name, "--repeat"))
		b->repeat = n ? (unsigned)n : 1;
	else if (!strcmp(name, "--commits"))
		*limit = n;
	else
		die(name);
}

int main(int argc, char **argv)
{
	struct bench b = {.repeat = 3};
	size_t limit = SIZE_MAX;
	char path[4096];
	json_error_t error;

	if (argc < 2 || argc % 2) {
		fputs("usage: codec_bench RECORDING [--OPTION N]...\n", stderr);
		return 2;
	}
	if (delta_encoder_open(&b.encoder) || delta_decoder_open(&b.decoder))
		die("start");
	for (int i = 2; i < argc; i += 2)
		set_option(&b, argv[i], argv[i + 1], &limit);
	snprintf(path, sizeof(path), "%s/manifest.json", argv[1]);
	json_t *manifest = json_load_file(path, 0, &error);
	if (!manifest) {
		fprintf(stderr, "codec_bench: %s: %s\n", path, error.text);
		return 1;
	}
	play(&b, argv[1], manifest, limit);
	report(&b);
	for (size_t i = 0; i < b.modules_count; i++)
		free(b.modules[i].before.data);
	free(b.modules);
	free(b.sizes);
	free(b.window);
	buf_free(&b.out);
	runs_free(&b.runs);
	delta_free(&b.delta);
	delta_encoder_close(b.encoder);
	delta_decoder_close(b.decoder);
	json_decref(manifest);
	return 0;
}
