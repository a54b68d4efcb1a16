/*
 * store_faults.c - what the store before this one got wrong, and what would show it here.
 */
#include "helper_store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define KIB 1024u
#define MIB (1024u * KIB)

TestSuite(faults, .init = store_setup, .fini = store_teardown, .timeout = 60);

/* A history of one module: a few words change in each commit, now and then a page, now and then its size. */
struct story {
	struct varve_id ids[64];
	char *images[64];
	size_t sizes[64];
	int count;
};

static void story_make(struct varve_vm *vm, struct story *story, int count, const char *module)
{
	size_t size = 320 * KIB;
	char *image = calloc(1, 4 * MIB);
	noise(image, size, 1);
	for (int i = 0; i < count; i++) {
		srand((unsigned)i);
		for (int j = 0; j < 20; j++)
			image[(size_t)rand() % size] = (char)rand();
		if (i % 7 == 3)
			noise(image + (size_t)rand() % (size - 5000), 5000, (uint64_t)i);
		if (i % 10 == 9)
			size = i % 20 == 9 ? size + 64 * KIB : size - 32 * KIB - 100;
		story->sizes[i] = size;
		story->images[i] = malloc(size);
		memcpy(story->images[i], image, size);
		story->ids[i] = store_commit(vm, &(struct content) {module, image, size, NULL}, 1);
		memset(image + size, 0, 4 * MIB - size);
	}
	story->count = count;
	free(image);
}

static void story_free(struct story *story)
{
	for (int i = 0; i < story->count; i++)
		free(story->images[i]);
}

/* The wrong image for any commit in the middle of the chain. */
Test(faults, every_commit_of_a_chain_is_restored_as_it_was_in_any_order)
{
	struct varve_vm *vm = store_open();
	struct story story;
	story_make(vm, &story, 50, "M");
	static const int first[] = {0, 25, 49, 24, 26, 1, 48};
	srand(5);
	for (int i = 0; i < 60; i++) {
		int k = i < 7 ? first[i] : rand() % 50;
		must(varve_restore(vm, &story.ids[k], NULL, NULL));
		store_expect("M", story.images[k], story.sizes[k]);
	}
	for (int k = 0; k < 50; k++) {
		size_t size;
		char *image = store_checkout(vm, &story.ids[k], "M", &size);
		cr_assert(
		    size == story.sizes[k] && memcmp(image, story.images[k], size) == 0, "checkout of commit %d", k);
		free(image);
	}
	varve_vm_close(vm);
	story_free(&story);
}

/* A delta larger than the old image could be committed, but never restored. */
Test(faults, an_image_that_grows_sixteenfold_with_random_data_comes_back)
{
	struct varve_vm *vm = store_open();
	char *small = malloc(256 * KIB), *large = malloc(4 * MIB);
	noise(small, 256 * KIB, 1);
	noise(large, 4 * MIB, 2);
	struct varve_id ids[3];
	ids[0] = store_commit(vm, &(struct content) {"M", small, 256 * KIB, NULL}, 1);
	ids[1] = store_commit(vm, &(struct content) {"M", large, 4 * MIB, NULL}, 1);
	ids[2] = store_commit(vm, &(struct content) {"M", small, 256 * KIB, NULL}, 1);
	must(varve_restore(vm, &ids[1], NULL, NULL));
	store_expect("M", large, 4 * MIB);
	must(varve_restore(vm, &ids[0], NULL, NULL));
	store_expect("M", small, 256 * KIB);
	must(varve_restore(vm, &ids[1], NULL, NULL));
	store_expect("M", large, 4 * MIB);
	must(varve_restore(vm, &ids[2], NULL, NULL));
	store_expect("M", small, 256 * KIB);
	varve_vm_close(vm);
	free(small);
	free(large);
}

/* Overwrites some bytes in the middle of a file of the store, and gives what they were. */
static uint32_t damage_with(const char *name, uint32_t bytes)
{
	uint32_t were;
	struct stat st;
	int fd = open(store_path(name), O_RDWR);
	cr_assert(fd >= 0 && fstat(fd, &st) == 0, "%s", name);
	cr_assert(pread(fd, &were, 4, st.st_size / 2) == 4);
	cr_assert(pwrite(fd, &bytes, 4, st.st_size / 2) == 4);
	close(fd);
	return were;
}

static uint32_t damage(const char *name)
{
	return damage_with(name, 0xff00ff00);
}

static const char *file_name(const char *module, const char *commit, const char *ordinal)
{
	static char name[2 * VARVE_ID_TEXT + 16];
	struct varve_id m = id_of(module), c = id_of(commit);
	snprintf(name, sizeof(name), "%s_%s%s", text_of(&m), text_of(&c), ordinal);
	return name;
}

/* A restore that failed half way left a half-restored VM. */
Test(faults, a_restore_that_fails_in_one_of_eight_modules_leaves_all_eight_as_they_were)
{
	struct varve_vm *vm = store_open();
	static const char *const names[] = {"M0", "M1", "M2", "M3", "M4", "M5", "M6", "M7"};
	struct varve_id ids[4];
	for (int k = 0; k < 4; k++) {
		struct content contents[8];
		char commit[4] = {'C', (char)('0' + k), 0};
		char *data[8];
		for (int m = 0; m < 8; m++) {
			data[m] = malloc(128 * KIB);
			memset(data[m], 16 * k + m + 1, 128 * KIB);
			contents[m] = (struct content) {names[m], data[m], 128 * KIB, commit};
		}
		ids[k] = store_commit(vm, contents, 8);
		for (int m = 0; m < 8; m++)
			free(data[m]);
	}
	for (int broken = 0; broken < 8; broken += 7) {
		/* From commit 0, there is no way to commit 1 but by its delta. */
		must(varve_restore(vm, &ids[0], NULL, NULL));
		/* Workers that have read the delta once may keep it. */
		varve_vm_close(vm);
		uint32_t were = damage(file_name(names[broken], "C1", "_0"));
		vm = store_open();
		/* What a file holds that others have touched is not known: the way to it leads along the chain. */
		struct varve_id touched = id_of(names[broken]);
		cr_assert(utimensat(AT_FDCWD, store_path(text_of(&touched)), NULL, 0) == 0);
		must_fail(varve_restore(vm, &ids[1], NULL, NULL), -EBADMSG);
		cr_assert(strstr(varve_last_error(), file_name(names[broken], "C1", "_0")),
		    "the sentence names no file: %s", varve_last_error());
		for (int m = 0; m < 8; m++)
			store_expect_fill(names[m], 128 * KIB, m + 1);
		/* The next call works, for what is whole. */
		must(varve_restore(vm, &ids[3], NULL, NULL));
		for (int m = 0; m < 8; m++)
			store_expect_fill(names[m], 128 * KIB, 16 * 3 + m + 1);
		damage_with(file_name(names[broken], "C1", "_0"), were);
	}
	varve_vm_close(vm);
}

static sigjmp_buf landing;
static volatile sig_atomic_t caught;

static void on_fault(int sig)
{
	caught = sig;
	siglongjmp(landing, 1);
}

static int signal_at(volatile char *p)
{
	caught = 0;
	if (sigsetjmp(landing, 1) == 0)
		(void)*p;
	return caught;
}

/* A restore to a smaller image left a live mapping that raised SIGBUS. */
Test(faults, shrinking_under_a_live_mapping_takes_the_tail_away_cleanly)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	struct varve_id small = store_commit_one(vm, "M", 64 * KIB, 's', NULL);
	struct varve_id large = store_commit_one(vm, "M", 512 * KIB, 'l', NULL);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	volatile char *base = varve_memory_base(memory);
	cr_assert(base[512 * KIB - 1] == 'l');
	for (int i = 0; i < 3; i++) {
		must(varve_restore(vm, &small, NULL, NULL));
		cr_assert(varve_memory_base(memory) == (void *)base && varve_memory_size(memory) == 64 * KIB);
		cr_assert(base[0] == 's' && base[64 * KIB - 1] == 's');
		cr_assert(signal_at(base + 64 * KIB) == SIGSEGV);
		cr_assert(signal_at(base + 512 * KIB - 1) == SIGSEGV);
		must(varve_restore(vm, &large, NULL, NULL));
		cr_assert(varve_memory_size(memory) == 512 * KIB && base[0] == 'l' && base[512 * KIB - 1] == 'l');
		cr_assert(signal_at(base + 512 * KIB) == SIGSEGV);
	}
	must(varve_session_abandon(session));
	varve_vm_close(vm);
}

/* The same when the restore fails: the memory is as long as its file, and every byte of it can be read. */
Test(faults, a_restore_that_fails_leaves_a_live_mapping_whole)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	store_commit_one(vm, "M", 64 * KIB, 'a', "A");
	struct varve_id b = store_commit_one(vm, "M", 32 * KIB, 'b', "B");
	store_commit_one(vm, "M", 512 * KIB, 'c', "C");
	damage(file_name("M", "B", "_0"));
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	char *base = varve_memory_base(memory);
	base[0] = 'x';
	must_fail(varve_restore(vm, &b, NULL, NULL), -EBADMSG);
	cr_assert(varve_memory_size(memory) == 512 * KIB);
	for (size_t i = 0; i < 512 * KIB; i += 4096)
		cr_assert(signal_at(base + i) == 0 && base[i] == (i || base[0] == 'c' ? 'c' : 'x'));
	must(varve_session_abandon(session));
	store_expect_fill("M", 512 * KIB, 'c');
	varve_vm_close(vm);
}

Test(faults, a_commit_id_that_does_not_exist_changes_nothing)
{
	struct varve_vm *vm = store_open();
	struct varve_id nobody = id_of("NOBODY"), current;
	struct varve_id only = store_commit_one(vm, "M", 64 * KIB, 'a', NULL);
	must_fail(varve_restore(vm, &nobody, NULL, NULL), -ENOENT);
	store_expect_fill("M", 64 * KIB, 'a');
	must(varve_resolve(vm, "HEAD", &current));
	cr_assert(memcmp(&current, &only, sizeof(only)) == 0);
	varve_vm_close(vm);
}

/* bsdiff did not finish in two minutes on 4 MiB of zeros with one byte changed. perf/ has the time; here it must end. */
Test(faults, one_changed_byte_in_a_large_image_of_zeros_is_a_small_commit)
{
	struct varve_vm *vm = store_open();
	char *image = calloc(1, 64 * MIB);
	store_commit(vm, &(struct content) {"M", image, 64 * MIB, "A"}, 1);
	for (unsigned i = 1; i < 6; i++) {
		char name[2] = {(char)('A' + i), 0};
		image[i * 10 * MIB] = 1;
		store_commit(vm, &(struct content) {"M", image, 64 * MIB, name}, 1);
	}
	struct stat st;
	cr_assert(stat(store_path(file_name("M", "B", "_0")), &st) == 0 && st.st_size < 200);
	/* On tmpfs looking at a hole fills it. */
	struct statfs system;
	cr_assert(statfs(store_path(""), &system) == 0 && stat(store_path(file_name("M", "F", "")), &st) == 0);
	cr_assert(system.f_type == TMPFS_MAGIC || st.st_blocks * 512 < 4 * (long)MIB);
	store_expect("M", image, 64 * MIB);
	varve_vm_close(vm);
	free(image);
}

/* Sessions whose changes were dropped, in every shape. */
Test(faults, nothing_of_an_abandoned_session_remains)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	store_commit_one(vm, "M", 128 * KIB, 'a', "A");
	must(varve_session_begin(vm, 0, &session));
	char *large = malloc(256 * KIB);
	memset(large, 'x', 256 * KIB);
	store_write(session, &(struct content) {"M", large, 256 * KIB, NULL});
	store_write(session, &(struct content) {"N", large, 100, NULL});
	struct varve_id n = id_of("N");
	must_fail(varve_session_deploy(session, &n, 100, &memory), -EEXIST);
	must(varve_session_abandon(session));
	cr_assert(strcmp(store_listing(), "M M_A") == 0, "%s", store_listing());
	store_expect_fill("M", 128 * KIB, 'a');
	must(varve_session_begin(vm, 0, &session));
	must_fail(varve_session_module(session, &n, &memory), -ENOENT);
	must(varve_session_abandon(session));
	varve_vm_close(vm);
	free(large);
}

/* A first commit of a module without a byte; growing from nothing, and back to nothing. */
Test(faults, an_empty_module_is_a_module)
{
	struct varve_vm *vm = store_open();
	struct varve_id ids[4];
	ids[0] = store_commit_one(vm, "M", 0, 0, NULL);
	ids[1] = store_commit_one(vm, "M", 100, 'a', NULL);
	ids[2] = store_commit_one(vm, "M", 0, 0, NULL);
	ids[3] = store_commit_one(vm, "M", 9000, 'b', NULL);
	must(varve_restore(vm, &ids[0], NULL, NULL));
	store_expect_fill("M", 0, 0);
	must(varve_restore(vm, &ids[1], NULL, NULL));
	store_expect_fill("M", 100, 'a');
	must(varve_restore(vm, &ids[3], NULL, NULL));
	store_expect_fill("M", 9000, 'b');
	must(varve_restore(vm, &ids[2], NULL, NULL));
	store_expect_fill("M", 0, 0);
	varve_vm_close(vm);
}

/* Modules that a session did not touch come back, too, to where they stood. */
Test(faults, inactive_modules_are_restored_with_the_others)
{
	struct varve_vm *vm = store_open();
	struct varve_id ids[6];
	ids[0] = store_commit_one(vm, "M", KIB, 'a', NULL);
	ids[1] = store_commit_one(vm, "N", KIB, 'a', NULL);
	ids[2] = store_commit_one(vm, "M", KIB, 'b', NULL);
	ids[3] = store_commit_one(vm, "N", KIB, 'b', NULL);
	ids[4] = store_commit_one(vm, "M", KIB, 'c', NULL);
	ids[5] = store_commit(vm, NULL, 0);
	static const char *const states[] = {"a?", "aa", "ba", "bb", "cb", "cb"};
	static const int order[] = {1, 4, 2, 5, 3, 0, 1};
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		int k = order[i];
		must(varve_restore(vm, &ids[k], NULL, NULL));
		store_expect_fill("M", KIB, states[k][0]);
		if (states[k][1] != '?')
			store_expect_fill("N", KIB, states[k][1]);
	}
	varve_vm_close(vm);
}

/* Somebody else's write to a backing file is noticed: a restore brings the commit, not what it found. */
Test(faults, a_backing_file_that_others_wrote_to_is_set_right)
{
	struct varve_vm *vm = store_open();
	struct varve_id m = id_of("M");
	struct varve_id a = store_commit_one(vm, "M", 64 * KIB, 'a', NULL);
	damage(text_of(&m));
	must(varve_restore(vm, &a, NULL, NULL));
	store_expect_fill("M", 64 * KIB, 'a');
	unlink(store_path(text_of(&m)));
	must(varve_restore(vm, &a, NULL, NULL));
	store_expect_fill("M", 64 * KIB, 'a');
	damage(text_of(&m));
	struct varve_session *session;
	struct varve_memory *memory;
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	cr_assert(((char *)varve_memory_base(memory))[32 * KIB] == 'a');
	must(varve_session_abandon(session));
	varve_vm_close(vm);
}

/* Many modules, each with its own history; one restore brings them all. */
Test(faults, a_thousand_modules_are_restored_together)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id ids[3];
	for (int k = 0; k < 3; k++) {
		must(varve_session_begin(vm, 0, &session));
		for (int i = 0; i < 1000; i++) {
			char name[16];
			snprintf(name, sizeof(name), "M%d", i);
			struct varve_id id = id_of(name);
			if (k == 0)
				must(varve_session_deploy(session, &id, 4096, &memory));
			else if (i % k == 0)
				must(varve_session_module(session, &id, &memory));
			else
				continue;
			snprintf(varve_memory_base(memory), 32, "%d at %d", i, k);
		}
		must(varve_session_commit(session, NULL, &ids[k]));
	}
	static const int order[] = {0, 2, 1, 0, 1};
	for (int o = 0; o < 5; o++) {
		struct varve_report report;
		must(varve_restore(vm, &ids[order[o]], NULL, &report));
		cr_assert(report.modules == 1000);
		for (int i = 0; i < 1000; i += 37) {
			char name[16], want[4096] = "";
			snprintf(name, sizeof(name), "M%d", i);
			snprintf(want, sizeof(want), "%d at %d", i, order[o] == 2 && i % 2 ? 1 : order[o]);
			store_expect(name, want, sizeof(want));
		}
	}
	varve_vm_close(vm);
}

/* The time of a commit does not depend on the length of the chain, so a long one is made quickly. */
Test(faults, a_long_chain_is_made_and_walked)
{
	struct varve_vm *vm = store_open();
	int count = getenv("VARVE_LONG") ? 10000 : 600;
	struct varve_id *ids = malloc((size_t)count * sizeof(*ids));
	uint32_t image[2048] = {0};
	for (int k = 0; k < count; k++) {
		image[k % 2048] = (uint32_t)k;
		ids[k] = store_commit(vm, &(struct content) {"M", image, sizeof(image), NULL}, 1);
	}
	for (int i = 0; i < 8; i++) {
		int k = i == 0 ? count - 1 : (int)((long)i * 7919 % count);
		memset(image, 0, sizeof(image));
		for (int j = 0; j <= k; j++)
			image[j % 2048] = (uint32_t)j;
		must(varve_restore(vm, &ids[k], NULL, NULL));
		store_expect("M", image, sizeof(image));
	}
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	vm = store_open();
	must(varve_restore(vm, &ids[count / 2], NULL, NULL));
	varve_vm_close(vm);
	free(ids);
}
