/*
 * reader_bench.c - how fast do the reading methods read many small files?
 *
 *   reader_bench [DIR [FILES [BYTES [RUNS]]]]
 *
 * Makes FILES (200) files of BYTES (4096) bytes in DIR (a new directory in the working directory, removed afterwards),
 * and reads all of them by each method RUNS (21) times, the methods taking turns: cold (each file's pages dropped from
 * the page cache by posix_fadvise; names and inodes stay) and warm. Medians in microseconds, and what they are of the
 * first line, which is what a program would do that knows nothing of all this: open, fstat, pread and close each file.
 * Files are synced one after another as they are made, so they lie on the disk in that order, and are asked for in it;
 * "mixed": in another one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cpu.h"
#include "err.h"
#include "file.h"
#include "reader.h"

#define CASES 10
#define RUNS_MAX 1001

static const struct {
	const char *name;
	enum read_method method;
	unsigned depth; /* 0: one by one, without a reader */
	bool mixed; /* asked for in another order than that of their places */
} cases[CASES] = {
    {"one by one", READ_PREAD, 0, false},
    {"one by one, mixed", READ_PREAD, 0, true},
    {"pread", READ_PREAD, 64, false},
    {"pread, mixed", READ_PREAD, 64, true},
    {"io_uring, 8", READ_URING, 8, false},
    {"io_uring, 16", READ_URING, 16, false},
    {"io_uring, 32", READ_URING, 32, false},
    {"io_uring, 64", READ_URING, 64, false},
    {"io_uring, 64, mixed", READ_URING, 64, true},
    {"io_uring, 128", READ_URING, 128, false},
};

struct bench {
	struct dir dir;
	size_t files;
	size_t size;
	size_t runs;
	char (*names)[32];
	struct read_request *requests;
	struct read_request *mixed; /* the same */
	struct reader *readers[CASES];
	double times[2][CASES][RUNS_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "reader_bench: %s: %s\n", what, err_text());
	exit(1);
}

static void make_files(struct bench *b)
{
	char *bytes = calloc(1, b->size + 1);

	b->names = calloc(b->files, sizeof(*b->names));
	b->requests = calloc(b->files, sizeof(*b->requests));
	for (size_t i = 0; i < b->files; i++) {
		snprintf(b->names[i], sizeof(b->names[i]), "%016zX_0", i * 7919);
		memset(bytes, (int)i, b->size);
		int fd = file_create(&b->dir, b->names[i]);
		if (fd < 0 || file_write_at(fd, bytes, b->size, 0, &b->dir, b->names[i]) ||
		    file_sync(fd, &b->dir, b->names[i]))
			die("making files");
		close(fd);
		b->requests[i] = (struct read_request) {
		    .dir = &b->dir, .name = b->names[i], .to = malloc(b->size + 1), .size = b->size, .whole = true};
		memset(b->requests[i].to, 0, b->size + 1);
	}
	free(bytes);
	b->mixed = malloc(b->files * sizeof(*b->mixed));
	memcpy(b->mixed, b->requests, b->files * sizeof(*b->mixed));
	for (size_t i = b->files - 1; i > 0; i--) {
		size_t other = (size_t)random() % (i + 1);
		struct read_request request = b->mixed[i];
		b->mixed[i] = b->mixed[other];
		b->mixed[other] = request;
	}
}

static void drop_pages(const struct bench *b)
{
	for (size_t i = 0; i < b->files; i++) {
		int fd = file_open(&b->dir, b->names[i], O_RDONLY);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

static int one_by_one(const struct bench *b, const struct read_request *requests)
{
	struct stat st;
	int bad = 0;

	for (size_t i = 0; i < b->files; i++) {
		const struct read_request *q = &requests[i];
		int fd = openat(b->dir.fd, q->name, O_RDONLY | O_CLOEXEC);
		bad |= fstat(fd, &st) || (size_t)st.st_size != q->size;
		bad |= pread(fd, q->to, q->size, 0) != (ssize_t)q->size;
		close(fd);
	}
	return bad;
}

static double measure(struct bench *b, size_t which)
{
	struct read_request *requests = cases[which].mixed ? b->mixed : b->requests;
	unsigned long long start = clock_now();
	int rc = cases[which].depth ? reader_run(b->readers[which], requests, b->files) : one_by_one(b, requests);
	double time = (double)(clock_now() - start) / 1e3;

	for (size_t i = 0; i < b->files; i++) {
		unsigned char *bytes = b->requests[i].to;
		rc |= b->size && (bytes[0] != (i & 0xff) || bytes[b->size - 1] != (i & 0xff));
		memset(bytes, 0xee, b->size);
	}
	if (rc)
		die(cases[which].name);
	return time;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static void report(struct bench *b)
{
	struct utsname system;

	uname(&system);
	printf("%zu files of %zu bytes, %zu runs, Linux %s, %u CPUs\n", b->files, b->size, b->runs, system.release,
	    cpu_available());
	printf("%-20s %10s %6s %10s %10s %6s %10s\n", "", "cold", "x", "p95", "warm", "x", "p95");
	for (size_t k = 0; k < CASES; k++) {
		if (cases[k].depth && !b->readers[k])
			continue;
		printf("%-20s", cases[k].name);
		for (int warm = 0; warm < 2; warm++) {
			double *t = b->times[warm][k];
			qsort(t, b->runs, sizeof(*t), ascending);
			printf(" %10.0f %6.2f %10.0f", t[b->runs / 2], t[b->runs / 2] / b->times[warm][0][b->runs / 2],
			    t[b->runs * 95 / 100]);
		}
		printf("\n");
	}
}

static size_t number(int argc, char **argv, int at, size_t otherwise)
{
	return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	static struct bench b;
	char fresh[] = "reader_bench.XXXXXX";
	const char *path = argc > 1 ? argv[1] : mkdtemp(fresh);

	b.files = number(argc, argv, 2, 200);
	b.size = number(argc, argv, 3, 4096);
	b.runs = number(argc, argv, 4, 21);
	if (!path || !b.files || !b.runs || b.runs > RUNS_MAX || dir_make(&b.dir, -1, path, ""))
		die("usage: reader_bench [DIR [FILES [BYTES [RUNS]]]]");
	make_files(&b);
	for (size_t k = 0; k < CASES; k++) {
		if (cases[k].depth && reader_open(cases[k].method, cases[k].depth, &b.readers[k]))
			fprintf(stderr, "%s: %s\n", cases[k].name, err_text());
	}
	for (size_t run = 0; run < b.runs; run++) {
		for (size_t k = 0; k < CASES; k++) {
			if (cases[k].depth && !b.readers[k])
				continue;
			drop_pages(&b);
			b.times[0][k][run] = measure(&b, k);
			b.times[1][k][run] = measure(&b, k);
		}
	}
	report(&b);
	for (size_t i = 0; i < b.files; i++)
		file_unlink(&b.dir, b.names[i]);
	for (size_t k = 0; k < CASES; k++)
		reader_close(b.readers[k]);
	dir_close(&b.dir);
	if (argc < 2)
		rmdir(path);
	return 0;
}
