/*
 * helper_store.c - see helper_store.h.
 */
#include "helper_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

void store_setup(void)
{
	snprintf(
	    root, sizeof(root), "%s/varve-test-XXXXXX", getenv("VARVE_TEST_DIR") ? getenv("VARVE_TEST_DIR") : "/tmp");
	cr_assert(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void store_teardown(void)
{
	end_processes();
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void store_remove(void)
{
	nftw(store_path(""), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *store_path(const char *name)
{
	static char paths[4][512];
	static int turn;
	char *path = paths[turn++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/store%s%s", root, *name ? "/" : "", name);
	return path;
}

struct varve_vm *store_open(void)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm;
	options.workers = 2;
	must(varve_vm_open(store_path(""), &options, &vm));
	return vm;
}

struct varve_id id_of(const char *name)
{
	struct varve_id id = {{0}};
	memcpy(id.bytes, name, strlen(name));
	return id;
}

const char *text_of(const struct varve_id *id)
{
	static char texts[4][VARVE_ID_TEXT + 1];
	static int turn;
	char *text = texts[turn++ % 4];
	varve_id_format(id, text);
	return text;
}

void store_write(struct varve_session *session, const struct content *content)
{
	struct varve_id id = id_of(content->module);
	struct varve_memory *memory;
	int r = varve_session_module(session, &id, &memory);
	if (r == -ENOENT)
		r = varve_session_deploy(session, &id, content->size, &memory);
	cr_assert(r == 0, "%s", varve_last_error());
	must(varve_memory_resize(memory, content->size));
	char *to = varve_memory_base(memory);
	for (size_t at = 0; at < content->size; at += 4096) {
		size_t part = content->size - at < 4096 ? content->size - at : 4096;
		if (memcmp(to + at, (const char *)content->data + at, part) != 0)
			memcpy(to + at, (const char *)content->data + at, part);
	}
}

struct varve_id store_commit(struct varve_vm *vm, const struct content *contents, size_t count)
{
	struct varve_session *session;
	struct varve_module_id ids[16];
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	struct varve_id commit;
	must(varve_session_begin(vm, 0, &session));
	for (size_t i = 0; i < count; i++) {
		store_write(session, &contents[i]);
		if (contents[i].id)
			ids[options.ids_count++] =
			    (struct varve_module_id) {id_of(contents[i].module), id_of(contents[i].id)};
	}
	options.ids = ids;
	must(varve_session_commit(session, &options, &commit));
	return commit;
}

struct varve_id store_commit_one(struct varve_vm *vm, const char *module, size_t size, int byte, const char *id)
{
	char *data = malloc(size + 1);
	memset(data, byte, size);
	struct varve_id commit = store_commit(vm, &(struct content) {module, data, size, id}, 1);
	free(data);
	return commit;
}

bool store_holds(const char *name, const void *data, size_t size)
{
	struct stat st;
	int fd = open(store_path(name), O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size != size)
		return false;
	char *is = malloc(size + 1);
	bool same = pread(fd, is, size, 0) == (ssize_t)size && memcmp(is, data, size) == 0;
	free(is);
	close(fd);
	return same;
}

void store_expect(const char *module, const void *data, size_t size)
{
	struct varve_id id = id_of(module);
	cr_assert(store_holds(text_of(&id), data, size), "the backing file of %s is not what it should be", module);
}

void store_expect_fill(const char *module, size_t size, int byte)
{
	char *data = malloc(size + 1);
	memset(data, byte, size);
	store_expect(module, data, size);
	free(data);
}

void *store_checkout(struct varve_vm *vm, const struct varve_id *commit, const char *module, size_t *size)
{
	struct varve_id id = id_of(module);
	uint64_t length;
	int fd = memfd_create("image", MFD_CLOEXEC);
	cr_assert(fd >= 0);
	must(varve_checkout(vm, commit, &id, fd, &length));
	char *data = malloc(length + 1);
	cr_assert(pread(fd, data, length, 0) == (ssize_t)length);
	close(fd);
	*size = length;
	return data;
}

/* Ids in a name are replaced by the text they begin with. */
static void shorten(const char *name, char *to)
{
	size_t hex = strspn(name, "0123456789ABCDEF");
	if (hex == VARVE_ID_TEXT) {
		for (int i = 0; i < VARVE_ID_TEXT; i += 2) {
			unsigned c;
			sscanf(name + i, "%2X", &c);
			if (c)
				*to++ = (char)c;
		}
		name += VARVE_ID_TEXT;
	}
	if (hex == VARVE_ID_TEXT && *name == '_') {
		*to++ = *name++;
		shorten(name, to);
		return;
	}
	strcpy(to, name);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

const char *store_listing(void)
{
	static char listing[8192];
	static char names[128][64];
	size_t count = 0;
	DIR *dir = opendir(store_path(""));
	cr_assert(dir);
	for (struct dirent *entry; (entry = readdir(dir)) && count < 128;) {
		if (entry->d_name[0] == '.')
			continue;
		shorten(entry->d_name, names[count++]);
	}
	closedir(dir);
	qsort(names, count, sizeof(names[0]), by_text);
	listing[0] = 0;
	for (size_t i = 0; i < count; i++)
		snprintf(listing + strlen(listing), sizeof(listing) - strlen(listing), "%s%s", i ? " " : "", names[i]);
	return listing;
}

void noise(void *to, size_t size, uint64_t seed)
{
	uint8_t *p = to;
	uint64_t x = seed * 2862933555777941757u + 3037000493u;
	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(x >> 32);
	}
}

int coordinator_pid(struct varve_vm *vm)
{
	struct varve_stat *stat;
	must(varve_stat(vm, &stat));
	int pid = stat->coordinator_pid;
	varve_stat_free(stat);
	return pid;
}

struct varve_worker_stat workers_sum(struct varve_vm *vm)
{
	struct varve_stat *stat;
	struct varve_worker_stat sum = {0};
	must(varve_stat(vm, &stat));
	for (size_t i = 0; i < stat->workers_count; i++) {
		sum.jobs += stat->workers[i].jobs;
		sum.bytes_read += stat->workers[i].bytes_read;
		sum.bytes_written += stat->workers[i].bytes_written;
		sum.restarts += stat->workers[i].restarts;
	}
	varve_stat_free(stat);
	return sum;
}

void end_processes(void)
{
	int fd = open(store_path(".varve/lock"), O_RDWR | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < 5000; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			break;
		usleep(1000);
	}
	if (fd >= 0)
		close(fd);
}
