/*
 * replay.c - runs a fuzz target without libFuzzer: every file of its corpus, then mutations of them.
 *
 * The sequence depends on nothing but the corpus and the seed, so that what fails once fails again; the input that
 * was being tried is written to replay-crash.bin when the target aborts. A target that is quick gets thousands of
 * inputs, one that is slow gets what fits in about a second: a test suite must stay one that people run.
 *
 * usage: TARGET [--runs N] [--seed N] [FILE|DIRECTORY]...
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

#define INPUT_MAX (1u << 20)
#define INPUT_SECONDS 30

struct input {
	uint8_t *data;
	size_t size;
};

static struct input *inputs;
static size_t inputs_count;
static const struct input *current;
static uint64_t random_state = 1;

static uint64_t random_next(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static size_t random_below(size_t limit)
{
	return limit ? (size_t)(random_next() % limit) : 0;
}

static void *must(void *p)
{
	if (!p) {
		fputs("replay: out of memory\n", stderr);
		exit(2);
	}
	return p;
}

/* Only calls that a signal handler may make. */
static void crashed(int sig)
{
	int fd = open("replay-crash.bin", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0 && current && write(fd, current->data, current->size) == (ssize_t)current->size)
		(void)!write(STDERR_FILENO, "replay: the input is in replay-crash.bin\n", 41);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* The copy has exactly its own size, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *data, size_t size)
{
	struct input input = {must(malloc(size ? size : 1)), size};

	memcpy(input.data, data, size);
	current = &input;
	alarm(INPUT_SECONDS); /* an input that never ends is a finding as well */
	LLVMFuzzerTestOneInput(input.data, size);
	current = NULL;
	free(input.data);
}

static void add(const uint8_t *data, size_t size)
{
	inputs = must(realloc(inputs, (inputs_count + 1) * sizeof(*inputs)));
	inputs[inputs_count].data = must(malloc(size ? size : 1));
	inputs[inputs_count].size = size;
	if (size)
		memcpy(inputs[inputs_count].data, data, size);
	inputs_count++;
}

static void load_file(const char *path)
{
	uint8_t *data = must(malloc(INPUT_MAX));
	FILE *f = fopen(path, "rb");

	if (!f) {
		perror(path);
		exit(2);
	}
	add(data, fread(data, 1, INPUT_MAX, f));
	fclose(f);
	free(data);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In the order of names: what comes out must not depend on the file system. */
static void load(const char *path)
{
	struct dirent **names;
	struct stat st;
	char full[4096];
	int n;

	if (stat(path, &st) < 0)
		return; /* a target without a corpus starts from nothing */
	if (!S_ISDIR(st.st_mode)) {
		load_file(path);
		return;
	}
	n = scandir(path, &names, visible, alphasort);
	for (int i = 0; i < n; i++) {
		if (snprintf(full, sizeof(full), "%s/%s", path, names[i]->d_name) < (int)sizeof(full))
			load_file(full);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void mutate_once(uint8_t *data, size_t *size)
{
	static const uint64_t numbers[] = {
	    0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 40, INT64_MAX, UINT64_MAX};
	size_t at = random_below(*size), n = 1 + random_below(16);
	uint64_t number = numbers[random_below(sizeof(numbers) / sizeof(numbers[0]))];

	switch (random_below(7)) {
	case 0: /* flip one bit */
		if (*size)
			data[at] ^= (uint8_t)(1u << random_below(8));
		break;
	case 1: /* cut the tail off */
		*size = at;
		break;
	case 2: /* a number that parsers trip over */
		n = (size_t)1 << random_below(4);
		if (at + n <= *size)
			memcpy(data + at, &number, n);
		break;
	case 3: /* random bytes at the end */
		for (; n && *size < INPUT_MAX; n--)
			data[(*size)++] = (uint8_t)random_next();
		break;
	case 4: /* take some bytes out */
		n = n < *size - at ? n : *size - at;
		memmove(data + at, data + at + n, *size - at - n);
		*size -= n;
		break;
	case 5: /* double some bytes */
		n = n < *size - at ? n : *size - at;
		if (*size + n > INPUT_MAX)
			break;
		memmove(data + at + n, data + at, *size - at);
		*size += n;
		break;
	default: /* a random byte */
		if (*size)
			data[at] = (uint8_t)random_next();
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void mutate(unsigned long runs)
{
	uint8_t *data = must(malloc(INPUT_MAX));
	uint64_t start = now_ns();

	for (unsigned long i = 0; i < runs && now_ns() - start < 1000000000u; i++) {
		const struct input *from = &inputs[random_below(inputs_count)];
		size_t size = from->size;

		memcpy(data, from->data, size);
		for (size_t n = 1 + random_below(4); n; n--)
			mutate_once(data, &size);
		run(data, size);
	}
	free(data);
}

int main(int argc, char **argv)
{
	unsigned long runs = 20000;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--runs") && i + 1 < argc)
			runs = strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			random_state = strtoull(argv[++i], NULL, 10);
		else
			load(argv[i]);
	}
	signal(SIGABRT, crashed);
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
	signal(SIGALRM, crashed);
	add(NULL, 0);
	for (size_t i = 0; i < inputs_count; i++)
		run(inputs[i].data, inputs[i].size);
	mutate(runs);
	for (size_t i = 0; i < inputs_count; i++)
		free(inputs[i].data);
	free(inputs);
	return 0;
}
