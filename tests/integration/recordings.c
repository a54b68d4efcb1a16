/*
 * recordings.c - the histories of real programs in perf/recordings/: every commit is imported; every commit is checked
 * out and restored, in random order, and compared with the SHA-256 that the recording's manifest has.
 *
 * SQLite's images are 2 GB in all: of those every seventh commit is looked at, with VARVE_LONG=1 all.
 */
#include "helper_store.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULES_MAX 16
#define COMMITS_MAX 256

TestSuite(recordings, .init = store_setup, .fini = store_teardown, .timeout = 600);

/* What a module is at a commit. */
struct state {
	bool there;
	size_t size;
	char sha256[65];
};

struct recording {
	char folder[512];
	size_t modules;
	size_t commits;
	struct varve_id ids[MODULES_MAX];
	struct state states[COMMITS_MAX][MODULES_MAX];
};

static void run(const char *format, const char *a, const char *b)
{
	char command[2048];
	snprintf(command, sizeof(command), format, a, b);
	cr_assert(system(command) == 0, "%s", command);
}

static size_t module_of(struct recording *r, const char *text)
{
	struct varve_id id;
	must(varve_id_parse(text, &id));
	size_t i = 0;
	while (i < r->modules && memcmp(&r->ids[i], &id, sizeof(id)) != 0)
		i++;
	cr_assert(i < MODULES_MAX);
	if (i == r->modules)
		r->ids[r->modules++] = id;
	return i;
}

static void load(struct recording *r, const char *name)
{
	char archive[1024], path[1024];
	snprintf(r->folder, sizeof(r->folder), "%.400s", store_path(""));
	snprintf(strrchr(r->folder, '/'), 16, "/recording");
	snprintf(archive, sizeof(archive), "%s/perf/recordings/%s.tar.zst", getenv("SRCDIR"), name);
	run("mkdir %1$s && tar --zstd -xf %2$s -C %1$s", r->folder, archive);
	snprintf(path, sizeof(path), "%s/%s/manifest.json", r->folder, name);
	json_t *manifest = json_load_file(path, 0, NULL), *commit, *module;
	cr_assert(manifest, "%s", path);
	size_t i, j;
	json_array_foreach(json_object_get(manifest, "commits"), i, commit)
	{
		cr_assert(i < COMMITS_MAX);
		if (i)
			memcpy(r->states[i], r->states[i - 1], sizeof(r->states[i]));
		json_array_foreach(json_object_get(commit, "modules"), j, module)
		{
			struct state *s = &r->states[i][module_of(r, json_string_value(json_object_get(module, "id")))];
			s->there = true;
			s->size = (size_t)json_integer_value(json_object_get(module, "size"));
			snprintf(
			    s->sha256, sizeof(s->sha256), "%s", json_string_value(json_object_get(module, "sha256")));
		}
		r->commits++;
	}
	json_decref(manifest);
	snprintf(path, sizeof(path), "%s/%s", r->folder, name);
	run("\"$VARVE\" import %s %s >/dev/null", store_path(""), path);
}

static void expect(int fd, const struct state *state, size_t commit)
{
	struct sha256_ctx sha;
	struct stat st;
	uint8_t digest[SHA256_DIGEST_SIZE];
	char text[65];
	cr_assert(
	    fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size == state->size, "commit %zu: wrong size", commit);
	void *data = mmap(NULL, state->size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	cr_assert(data != MAP_FAILED);
	sha256_init(&sha);
	sha256_update(&sha, state->size, data);
	sha256_digest(&sha, sizeof(digest), digest);
	munmap(data, state->size);
	for (int i = 0; i < 32; i++)
		snprintf(text + (ptrdiff_t)2 * i, 3, "%02x", digest[i]);
	cr_assert(strcmp(text, state->sha256) == 0, "commit %zu: not the image that was recorded", commit);
}

static void *checkout(struct varve_vm *vm, const struct varve_id *commit, const struct varve_id *module, size_t *size)
{
	uint64_t length;
	int fd = memfd_create("image", MFD_CLOEXEC);
	must(varve_checkout(vm, commit, module, fd, &length));
	char *data = malloc(length + 1);
	cr_assert(pread(fd, data, length, 0) == (ssize_t)length);
	close(fd);
	*size = length;
	return data;
}

static void check_commit(struct varve_vm *vm, const struct recording *r, size_t k, const struct varve_log *log)
{
	const struct varve_id *commit = &log->commits[k].commit;
	must(varve_restore(vm, commit, NULL, NULL));
	for (size_t m = 0; m < r->modules; m++) {
		if (!r->states[k][m].there)
			continue;
		int fd = open(store_path(text_of(&r->ids[m])), O_RDONLY | O_CLOEXEC);
		expect(fd, &r->states[k][m], k);
		close(fd);
		size_t size;
		void *image = checkout(vm, commit, &r->ids[m], &size);
		cr_assert(
		    store_holds(text_of(&r->ids[m]), image, size), "commit %zu, checked out: not what was restored", k);
		free(image);
	}
}

static void check_recording(const char *name, size_t step)
{
	struct recording *r = calloc(1, sizeof(*r));
	struct varve_log *log;
	load(r, name);
	struct varve_vm *vm = store_open();
	must(varve_log(vm, &log));
	cr_assert(log->count == r->commits, "%zu commits of %zu were imported", log->count, r->commits);
	size_t order[COMMITS_MAX], count = 0;
	for (size_t k = 0; k < r->commits; k += getenv("VARVE_LONG") ? 1 : step)
		order[count++] = k;
	srand(3);
	for (size_t i = count; i > 1; i--) {
		size_t j = (size_t)rand() % i, k = order[i - 1];
		order[i - 1] = order[j];
		order[j] = k;
	}
	for (size_t i = 0; i < count; i++)
		check_commit(vm, r, order[i], log);
	varve_log_free(log);
	varve_vm_close(vm);
	free(r);
}

Test(recordings, contract)
{
	check_recording("contract", 1);
}

Test(recordings, synthetic)
{
	check_recording("synthetic", 1);
}

Test(recordings, sqlite)
{
	check_recording("sqlite", 7);
}
