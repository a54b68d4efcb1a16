/*
 * store_damage.c - every kind of file, spoiled in every way: what is lost is said, and nothing else is lost.
 *
 * The store: modules A and B, five commits each. After the last one the files of A are
 *
 *   A   A_C0 (base)   A_C1_0  A_C2_0  A_C3_0 (deltas)   A_C4 (last)   .varve/A.delta (of C4)
 */
#include "helper_trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMITS 5
#define SIZE 40000

static struct varve_id commits[COMMITS + 1];

/* What @module is at commit @k. */
static void fill(char *image, const char *module, int k)
{
	noise(image, SIZE, (uint64_t)module[0]);
	for (int i = 1; i <= k; i++)
		noise(image + (size_t)i * 5000, 3000, (uint64_t)module[0] * 100 + (uint64_t)i);
}

static void commit_both(struct varve_vm *vm, int k)
{
	static char a[SIZE], b[SIZE];
	char id[3] = {'C', (char)('0' + k), 0};
	fill(a, "A", k);
	fill(b, "B", k);
	commits[k] = store_commit(vm, (struct content[]) {{"A", a, SIZE, id}, {"B", b, SIZE, id}}, 2);
}

static void make_store(void)
{
	struct varve_vm *vm = store_open();
	for (int k = 0; k < COMMITS; k++) {
		commit_both(vm, k);
		if (k == COMMITS - 2)
			must(varve_persist(vm));
	}
	varve_vm_close(vm);
	end_processes();
}

static void setup(void)
{
	store_setup();
	/* Small jobs and large ones alike: what a worker says must come through. */
	setenv("VARVE_INLINE", "0", 0);
	make_store();
}

TestSuite(damage, .init = setup, .fini = store_teardown, .timeout = 30);

static int checkout(struct varve_vm *vm, const char *module, int k)
{
	static char want[SIZE], is[SIZE];
	struct varve_id id = id_of(module);
	FILE *file = tmpfile();
	uint64_t size = 0;
	cr_assert(file);
	int r = varve_checkout(vm, &commits[k], &id, fileno(file), &size);
	fill(want, module, k);
	if (!r)
		cr_assert(size == SIZE && pread(fileno(file), is, SIZE, 0) == SIZE && memcmp(is, want, SIZE) == 0,
		    "%s at commit %d is not what was committed", module, k);
	fclose(file);
	return r;
}

static void expect_at(const char *module, int k)
{
	static char want[SIZE];
	fill(want, module, k);
	store_expect(module, want, SIZE);
}

/* ---- ways to spoil a file ---------------------------------------------------------------------------------------- */

struct way {
	const char *name;
	void (*spoil)(const char *file);
};

static void flip_first(const char *file)
{
	file_flip(file, 0);
}
static void flip_middle(const char *file)
{
	file_flip(file, file_bytes(file) / 2);
}
static void flip_last(const char *file)
{
	file_flip(file, -1);
}
static void cut_one(const char *file)
{
	cr_assert(truncate(store_path(file), file_bytes(file) - 1) == 0);
}
static void cut_half(const char *file)
{
	cr_assert(truncate(store_path(file), file_bytes(file) / 2) == 0);
}
static void cut_all(const char *file)
{
	cr_assert(truncate(store_path(file), 0) == 0);
}
static void lengthen(const char *file)
{
	int fd = open(store_path(file), O_WRONLY | O_APPEND);
	cr_assert(fd >= 0 && write(fd, "", 1) == 1);
	close(fd);
}
static void take_away(const char *file)
{
	cr_assert(unlink(store_path(file)) == 0);
}
/* What was made as "spoilt" takes the file's place at once: idle workers make some files again as soon as they are gone. */
static void replace(const char *file)
{
	cr_assert(rename(store_path("spoilt"), store_path(file)) == 0);
}
static void link_to_copy(const char *file)
{
	char to[600];
	snprintf(to, sizeof(to), "%s-copy", store_path(file));
	cr_assert(link(store_path(file), to) == 0 && symlink(to, store_path("spoilt")) == 0);
	replace(file);
}
static void link_elsewhere(const char *file)
{
	cr_assert(symlink("/etc/passwd", store_path("spoilt")) == 0);
	replace(file);
}
static void link_nowhere(const char *file)
{
	cr_assert(symlink("nothing-of-this-name", store_path("spoilt")) == 0);
	replace(file);
}
static void make_directory(const char *file)
{
	while (mkdir(store_path(file), 0700) < 0)
		cr_assert(errno == EEXIST && unlink(store_path(file)) == 0);
}
static void make_fifo(const char *file)
{
	cr_assert(mkfifo(store_path("spoilt"), 0600) == 0);
	replace(file);
}
static void fill_with_ones(const char *file)
{
	long size = file_bytes(file);
	char *ones = malloc((size_t)size);
	memset(ones, 0xff, (size_t)size);
	file_put(file, ones, (size_t)size);
	free(ones);
}

static const struct way ways[] = {
    {"its first byte flipped", flip_first},
    {"a byte in the middle flipped", flip_middle},
    {"its last byte flipped", flip_last},
    {"cut by a byte", cut_one},
    {"cut in half", cut_half},
    {"empty", cut_all},
    {"a byte too long", lengthen},
    {"missing", take_away},
    {"a link to a copy of it", link_to_copy},
    {"a link to another file", link_elsewhere},
    {"a link to nothing", link_nowhere},
    {"a directory", make_directory},
    {"a FIFO", make_fifo},
    {"all ones", fill_with_ones},
};
#define WAYS (sizeof(ways) / sizeof(*ways))

/* One store for each way; the fixture has made the first. */
static void again(size_t way)
{
	if (way == 0)
		return;
	store_remove();
	make_store();
}

static bool says(const char *name)
{
	const char *slash = strrchr(name, '/');
	return strstr(varve_last_error(), slash ? slash + 1 : name) != NULL;
}

/* Whether a result is one that tells of a damaged file. */
static bool is_damage(int r)
{
	return r == -EBADMSG || r == -ELOOP || r == -EINVAL || r == -ENXIO || r == -EISDIR;
}

/* ---- what the chain needs ---------------------------------------------------------------------------------------- */

/* Commits [from, to] of A need @file, unless there is another way to them: then they are right. All else can be had. */
static void spoil_and_look(const char *file, const struct way *way, int from, int to)
{
	struct varve_vm *vm = store_open();
	way->spoil(file);
	for (int k = 0; k < COMMITS; k++) {
		int r = checkout(vm, "A", k);
		cr_assert(r == 0 || (k >= from && k <= to && is_damage(r)),
		    "%s is %s: checkout of commit %d gives %d, %s", file, way->name, k, r, varve_last_error());
		cr_assert(
		    r == 0 || says(file), "%s is %s, and the error says: %s", file, way->name, varve_last_error());
		must(checkout(vm, "B", k));
	}
	int r = varve_restore(vm, &commits[from], NULL, NULL);
	cr_assert(r == 0 || (is_damage(r) && says(file)), "%s is %s: restore gives %d, %s", file, way->name, r,
	    varve_last_error());
	expect_at("A", r ? COMMITS - 1 : from);
	expect_at("B", r ? COMMITS - 1 : from);
	expect_verified(vm, (const char *[]) {file, NULL});
	/* The newest commit is whole, so work goes on from it. */
	must(varve_restore(vm, &commits[COMMITS - 1], NULL, NULL));
	commit_both(vm, COMMITS);
	must(varve_restore(vm, &commits[COMMITS], NULL, NULL));
	expect_at("A", COMMITS);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
}

static void remove_spoiled(const char *file)
{
	if (rmdir(store_path(file)) < 0)
		unlink(store_path(file));
}

Test(damage, of_a_delta_in_the_middle_costs_the_commits_that_need_it_and_no_other)
{
	for (size_t i = 0; i < WAYS; i++) {
		again(i);
		spoil_and_look(store_file("A", "C2", "_0"), &ways[i], 2, 3);
		remove_spoiled(store_file("A", "C2", "_0"));
	}
}

Test(damage, of_the_base_leaves_the_newest_commit)
{
	for (size_t i = 0; i < WAYS; i++) {
		again(i);
		spoil_and_look(store_file("A", "C0", ""), &ways[i], 0, 3);
		remove_spoiled(store_file("A", "C0", ""));
	}
}

/* Whole by itself, and wrong: only the hash of what results can tell. */
Test(damage, a_file_of_another_module_or_commit_in_place_of_the_right_one_is_noticed)
{
	static const char *const others[][3] = {{"B", "C2", "_0"}, {"A", "C1", "_0"}};
	for (size_t i = 0; i < 2; i++) {
		again(i);
		struct varve_vm *vm = store_open();
		size_t size;
		char *other = file_get(store_file(others[i][0], others[i][1], others[i][2]), &size);
		file_put(store_file("A", "C2", "_0"), other, size);
		free(other);
		must_fail(checkout(vm, "A", 2), -EBADMSG);
		cr_assert(says(store_file("A", "C2", "_0")), "%s", varve_last_error());
		expect_verified(vm, (const char *[]) {store_file("A", "C2", "_0"), NULL});
		must(checkout(vm, "A", 1));
		must(checkout(vm, "A", 4));
		varve_vm_close(vm);
		end_processes();
	}
}

/* ---- what can be made again -------------------------------------------------------------------------------------- */

/* The last can be had from the chain, and the pending delta from the images on both its sides: nothing is lost. */
static void spoil_and_go_on(const char *file, const struct way *way, bool open)
{
	struct varve_vm *vm = open ? store_open() : NULL;
	way->spoil(file);
	if (!vm)
		vm = store_open();
	for (int k = 0; k < COMMITS; k++) {
		int r = checkout(vm, "A", k);
		cr_assert(
		    r == 0, "%s is %s: checkout of commit %d gives %d, %s", file, way->name, k, r, varve_last_error());
	}
	for (int k = COMMITS - 1; k >= 0; k--) {
		int r = varve_restore(vm, &commits[k], NULL, NULL);
		cr_assert(
		    r == 0, "%s is %s: restore of commit %d gives %d, %s", file, way->name, k, r, varve_last_error());
		expect_at("A", k);
	}
	must(varve_restore(vm, &commits[COMMITS - 1], NULL, NULL));
	if (way->spoil == make_directory)
		rmdir(store_path(file)); /* the one thing that a rename does not replace */
	commit_both(vm, COMMITS);
	for (int k = 0; k < COMMITS; k++) {
		must(checkout(vm, "A", k));
		must(checkout(vm, "B", k));
	}
	must(varve_persist(vm));
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	end_processes();
}

Test(damage, of_the_last_image_is_mended_from_the_chain)
{
	for (size_t i = 0; i < 2 * WAYS; i++) {
		again(i);
		spoil_and_go_on(store_file("A", "C4", ""), &ways[i / 2], i % 2);
	}
}

Test(damage, of_the_pending_delta_is_mended_from_the_images)
{
	for (size_t i = 0; i < 2 * WAYS; i++) {
		again(i);
		spoil_and_go_on(store_private("A", "delta"), &ways[i / 2], i % 2);
	}
}

Test(damage, of_a_backing_file_is_set_right_by_a_restore)
{
	for (size_t i = 0; i < WAYS; i++) {
		again(i);
		const char *file = store_file("A", NULL, "");
		struct varve_vm *vm = store_open();
		ways[i].spoil(file);
		int r = varve_restore(vm, &commits[2], NULL, NULL);
		if (r) { /* somebody else's link, FIFO or directory is not replaced behind his back */
			cr_assert(is_damage(r) && says(file), "%s: %d, %s", ways[i].name, r, varve_last_error());
			expect_at("B", COMMITS - 1);
			remove_spoiled(file);
			must(varve_restore(vm, &commits[2], NULL, NULL));
		}
		expect_at("A", 2);
		expect_at("B", 2);
		varve_vm_close(vm);
		end_processes();
	}
}

/* Everything in .varve/ but the journal's commits can be made again. */
Test(damage, of_private_files_costs_nothing)
{
	static const char *const files[] = {"stamps", "clean", "lock", "session"};
	int count = 0;
	for (size_t f = 0; f < sizeof(files) / sizeof(*files); f++) {
		for (size_t i = 0; i < WAYS; i++) {
			char file[64];
			snprintf(file, sizeof(file), ".varve/%s", files[f]);
			if (file_bytes(file) == 0 && i < 5)
				continue; /* there is nothing in it to spoil */
			again((size_t)count++);
			ways[i].spoil(file);
			struct varve_vm *vm;
			int r = varve_vm_open(store_path(""), NULL, &vm);
			if (r) {
				cr_assert(is_damage(r) && says(file), "%s is %s: %d, %s", file, ways[i].name, r,
				    varve_last_error());
				remove_spoiled(file);
				vm = store_open();
			}
			struct varve_session *session;
			r = varve_session_begin(vm, 0, &session);
			if (r) {
				cr_assert(is_damage(r) && says(file), "%s is %s: %d, %s", file, ways[i].name, r,
				    varve_last_error());
				remove_spoiled(file);
				must(varve_session_begin(vm, 0, &session));
			}
			must(varve_session_abandon(session));
			must(varve_restore(vm, &commits[1], NULL, NULL));
			expect_at("A", 1);
			expect_at("B", 1);
			varve_vm_close(vm);
			end_processes();
		}
	}
}

Test(damage, removing_the_private_directory_costs_only_what_was_not_persisted)
{
	char command[700];
	struct varve_vm *vm = store_open();
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	snprintf(command, sizeof(command), "rm -r %s", store_path(".varve"));
	cr_assert(system(command) == 0);
	vm = store_open();
	for (int k = 0; k < COMMITS; k++)
		must(checkout(vm, "A", k));
	for (int k = 0; k < COMMITS; k++)
		must(varve_restore(vm, &commits[k], NULL, NULL));
	commit_both(vm, COMMITS);
	expect_verified(vm, NULL);
	varve_vm_close(vm);
}

/* ---- what only makes restores fast ------------------------------------------------------------------------------- */

#define LONG 40

static void fill_long(char *image, int k)
{
	noise(image, SIZE, 7);
	for (int i = 1; i <= k; i++)
		noise(image + (size_t)(i % 9) * 4000, 300, (uint64_t)i + 1000);
}

/* All files of .varve/ that end in @suffix, or begin with it behind the module's id. */
static size_t spoil_all(const char *suffix, const struct way *way)
{
	size_t count = 0;
	char name[64];
	for (int i = -1; i < 64; i++) {
		snprintf(name, sizeof(name), i < 0 ? "%s" : "%s%d", suffix, i);
		const char *file = store_private("L", name);
		if (file_bytes(file) <= 0)
			continue;
		way->spoil(file);
		count++;
	}
	return count;
}

/* Tiers, undo deltas and page hashes are believed only as far as the hash of the image that results. */
static void restore_all(const char *suffix, const struct way *way, const struct varve_id *long_ids)
{
	static const int order[] = {39, 38, 35, 20, 36, 39, 0, 17, 39, 3};
	static char want[SIZE];
	struct varve_vm *vm = store_open();
	must(varve_restore(vm, &long_ids[LONG - 1], NULL, NULL));
	cr_assert(spoil_all(suffix, way) > 0, "there are no files .%s", suffix);
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		size_t size;
		fill_long(want, order[i]);
		int r = varve_restore(vm, &long_ids[order[i]], NULL, NULL);
		cr_assert(r == 0, ".%s is %s: restore of %d gives %d, %s", suffix, way->name, order[i], r,
		    varve_last_error());
		store_expect("L", want, SIZE);
		char *is = store_checkout(vm, &long_ids[order[i]], "L", &size);
		cr_assert(size == SIZE && memcmp(is, want, SIZE) == 0, ".%s is %s: checkout of %d", suffix, way->name,
		    order[i]);
		free(is);
	}
	expect_verified(vm, NULL);
	must(varve_optimize(vm));
	varve_vm_close(vm);
	end_processes();
	for (int i = -1; i < 64; i++) {
		char name[64];
		snprintf(name, sizeof(name), i < 0 ? "%s" : "%s%d", suffix, i);
		rmdir(store_path(store_private("L", name)));
	}
}

Test(damage, of_what_only_makes_restores_fast_costs_nothing_and_never_gives_a_wrong_image)
{
	static const char *const suffixes[] = {"tiers", "undo", "pages"};
	struct varve_id long_ids[LONG];
	static char image[SIZE];
	struct varve_vm *vm = store_open();
	for (int k = 0; k < LONG; k++) {
		fill_long(image, k);
		long_ids[k] = store_commit(vm, &(struct content) {"L", image, SIZE, NULL}, 1);
	}
	must(varve_optimize(vm));
	varve_vm_close(vm);
	end_processes();
	char copy[700], back[1500];
	snprintf(copy, sizeof(copy), "cp -a %s %s-kept", store_path(""), store_path(""));
	snprintf(back, sizeof(back), "rm -r %s && cp -a %s-kept %s", store_path(""), store_path(""), store_path(""));
	cr_assert(system(copy) == 0);
	for (size_t s = 0; s < 3; s++) {
		for (size_t i = s; i < WAYS; i += (size_t)how_many(3, 1)) {
			restore_all(suffixes[s], &ways[i], long_ids);
			cr_assert(system(back) == 0);
		}
	}
}
