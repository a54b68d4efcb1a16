/*
 * helper_large.c - see helper_large.h.
 */
#include "helper_large.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM (72u * MIB)
#define STRETCHES 8

static const size_t sizes[LARGE_COMMITS] = {
    40 * MIB, 40 * MIB, 17 * MIB + 1, 64 * MIB + 5000, 64 * MIB + 5000, 33 * MIB, 16 * MIB + 4097, 48 * MIB, 48 * MIB};

size_t large_size(char module, int k)
{
	if (module != 'A' && module != 'B')
		return 9000 + 700 * (size_t)(k % 3);
	return sizes[k] + (module == 'B' ? 3 * MIB + 77 : 0);
}

const char *large_name(char module)
{
	static char names[4][3];
	static int turn;
	char *name = names[turn++ % 4];
	name[0] = 'L';
	name[1] = module;
	return name;
}

/* Commit @k's stretch @i: where, how long. */
static size_t stretch(char module, int k, int i, size_t *size)
{
	uint8_t random[8];
	size_t all = large_size(module, k), at;
	noise(random, sizeof(random), (uint64_t)module * 10007 + (uint64_t)k * 101 + (uint64_t)i);
	memcpy(&at, random, sizeof(at));
	*size = 50 + at % 6000;
	if (i < 5)
		at = (size_t)(i + 1) * 16 * MIB - 25 - (size_t)(k * 7); /* across the end of a shard */
	else
		at %= all;
	if (at >= all)
		at = all - 1;
	*size = *size < all - at ? *size : all - at;
	return at;
}

static void write_stretches(char *image, char module, int k)
{
	for (int i = 0; i < STRETCHES; i++) {
		size_t size, at = stretch(module, k, i, &size);
		noise(image + at, size, (uint64_t)module + (uint64_t)(k * 1000 + i));
	}
}

/* What is cut off is zero when it comes back. */
static void make_image(char *image, char module, int k)
{
	for (int step = 0; step <= k; step++) {
		size_t was = step ? large_size(module, step - 1) : 0, is = large_size(module, step);
		if (is < was)
			madvise(image + (is + 4095) / 4096 * 4096, was - is, MADV_DONTNEED);
		if (is % 4096)
			memset(image + is, 0, 4096 - is % 4096);
		write_stretches(image, module, step);
	}
}

struct varve_vm *large_open(unsigned workers)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm;
	options.workers = workers;
	must(varve_vm_open(store_path(""), &options, &vm));
	return vm;
}

struct varve_id large_commit(struct varve_vm *vm, const char *modules, int k)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	struct varve_module_id names[16];
	struct varve_id commit;
	char name[3] = {'C', (char)('0' + k), 0};
	must(varve_session_begin(vm, 0, &session));
	for (const char *m = modules; *m; m++) {
		struct varve_id id = id_of(large_name(*m));
		if (k == 0)
			must(varve_session_deploy(session, &id, large_size(*m, k), &memory));
		else
			must(varve_session_module(session, &id, &memory));
		must(varve_memory_resize(memory, large_size(*m, k)));
		write_stretches(varve_memory_base(memory), *m, k);
		names[options.ids_count++] = (struct varve_module_id) {id, id_of(name)};
	}
	options.ids = names;
	must(varve_session_commit(session, &options, &commit));
	return commit;
}

void large_make(const char *modules, bool tiers, struct varve_id *ids)
{
	struct varve_vm *vm = large_open(2);
	for (int k = 0; k < LARGE_COMMITS; k++)
		ids[k] = large_commit(vm, modules, k);
	if (tiers)
		must(varve_optimize(vm));
	varve_vm_close(vm);
	end_processes();
}

/* Whether bytes [at, end) of the file are those of @want. */
static bool same_bytes(int fd, const char *want, off_t at, off_t end)
{
	static char is[MIB];
	while (at < end) {
		size_t part = end - at < (off_t)MIB ? (size_t)(end - at) : MIB;
		if (pread(fd, is, part, at) != (ssize_t)part || memcmp(is, want + at, part) != 0)
			return false;
		at += (off_t)part;
	}
	return true;
}

/* Where the file has no data it is zero, and so is the image but for its stretches: these, and the data, are all there
 * is to look at. */
static bool same_file(int fd, const char *want, char module, int k)
{
	off_t size = (off_t)large_size(module, k);
	bool same = true;
	for (off_t at = 0, end; same && (at = lseek(fd, at, SEEK_DATA)) >= 0; at = end) {
		end = lseek(fd, at, SEEK_HOLE);
		same = same_bytes(fd, want, at, end < size ? end : size);
	}
	for (int i = 0; same && i < STRETCHES * (k + 1); i++) {
		size_t length, at = stretch(module, i / STRETCHES, i % STRETCHES, &length);
		off_t end = (off_t)(at + length);
		same = same_bytes(fd, want, (off_t)at, end < size ? end : size);
	}
	return same;
}

bool large_is(char module, int k)
{
	struct stat st;
	bool same = false;
	int fd = open(store_path(store_file(large_name(module), NULL, "")), O_RDONLY | O_CLOEXEC);
	char *want = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cr_assert(want != MAP_FAILED);
	if (fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size == large_size(module, k)) {
		make_image(want, module, k);
		same = same_file(fd, want, module, k);
	}
	if (fd >= 0)
		close(fd);
	munmap(want, ROOM);
	return same;
}

void large_expect(const char *modules, int k)
{
	for (const char *m = modules; *m; m++)
		cr_assert(large_is(*m, k), "module %c is not what it was at commit %d", *m, k);
}

int large_where(const char *modules)
{
	for (int k = 0; k < LARGE_COMMITS; k++)
		if (large_is(*modules, k)) {
			large_expect(modules, k);
			return k;
		}
	cr_assert(false, "module %c is at no commit", *modules);
	return -1;
}

void large_forget(const char *module)
{
	/* Times are not as fine as their unit, so a write right behind a restore may leave them as they were. */
	struct timespec times[2] = {{5, 5}, {7, 7}};
	cr_assert_eq(utimensat(AT_FDCWD, store_path(store_file(module, NULL, "")), times, 0), 0);
}

void large_strange(const char *modules, bool spoil)
{
	for (const char *m = modules; *m; m++) {
		const char *path = store_path(store_file(large_name(*m), NULL, ""));
		int fd = open(path, O_RDWR | O_CLOEXEC);
		cr_assert_geq(fd, 0);
		for (long at = 300; spoil && at < 50l * (long)MIB; at += 5l * (long)MIB + 1234)
			cr_assert_eq(pwrite(fd, "not what it was", 15, at), 15);
		close(fd);
		large_forget(large_name(*m));
	}
}
