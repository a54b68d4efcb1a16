/*
 * engine_warm.c - files that stay mapped between restores, and what others do to them meanwhile.
 */
#include "chain_fixture.h"

TestSuite(warm, .init = chains_open, .fini = chains_close, .timeout = 60);

#define SIZE 100001u

static void some(uint8_t *image, uint64_t *size, uint32_t k)
{
	if (k == 0)
		chain_noise(image, SIZE);
	*size = SIZE;
	for (int i = 0; i < 10; i++)
		chain_noise(image + chain_random() % (SIZE - 8), 8);
}

static struct chain *warm_chain(unsigned number, uint32_t count)
{
	struct chain *chain = chain_history(number, count, SIZE, some);
	chain_tiers(chain);
	chain_restore(chain, count / 2, false);
	chain_restore(chain, count / 2 + 1, false);
	return chain;
}

static const char *base_path(const struct chain *chain)
{
	struct place place;
	place_base(&chain_context, chain->module, &place);
	return place_path(&place);
}

static void *whole_file(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && fstat(fd, &st) == 0);
	void *data = malloc((size_t)st.st_size + 1);
	*size = (size_t)st.st_size;
	cr_assert_eq(read(fd, data, *size), (ssize_t)*size);
	close(fd);
	return data;
}

/* ---- it is what it is for ---------------------------------------------------------------------------------------- */

/* Opening files again is most of what a restore of a small module would cost. */
Test(warm, a_restore_opens_only_the_backing_file_where_the_one_before_was_of_the_same_module)
{
	struct chain *chain = warm_chain(1, 100);
	chain_restore(chain, 16, false);
	for (uint32_t k = 0; k < 80; k += 8) {
		fixture_fault("read.open:2+:EIO,read.data:1+:EIO");
		struct job job = chain_job(chain, k, false, 0);
		fixture_fault(NULL);
		cr_assert_eq(job.result, 0, "entry %u: %s", k, job.text);
		cr_assert(chain_holds(chain, k));
	}
	chain_free(chain);
}

/* One job's bad luck is not the next one's. */
Test(warm, a_mapping_that_failed_in_one_job_is_forgotten_in_the_next)
{
	struct chain *chain = warm_chain(1, 100), *other = warm_chain(2, 100);
	chain_restore(chain, 16, false);
	chain_restore(other, 16, false);
	for (uint32_t i = 0; i < 3; i++) {
		struct map map = {0};
		fixture_file("cut", "xxx", 3);
		int fd = file_open(&chain_base, "cut", O_RDWR);
		cr_assert_eq(map_open(&map, fd, 3, false), 0);
		cr_assert(ftruncate(fd, 0) == 0 && *(const volatile uint8_t *)map.data == 0);
		close(fd);
		map_close(&map);
		fixture_fault("read.open:2+:EIO,read.data:1+:EIO");
		struct job job = chain_job(i % 2 ? chain : other, 8 * i, false, 0);
		fixture_fault(NULL);
		cr_assert_eq(job.result, 0, "%s", job.text);
	}
	chain_free(chain);
	chain_free(other);
}

/* A place for each of 256 modules: the others share them. */
Test(warm, more_modules_than_are_kept_are_restored_as_well)
{
	enum { MODULES = 600 };
	static struct chain *chains[MODULES];
	for (unsigned m = 0; m < MODULES; m++) {
		uint8_t image[5000];
		chains[m] = chain_new(m);
		for (unsigned k = 0; k < 3; k++) {
			memset(image, (int)k, sizeof(image));
			memcpy(image + 4000, &m, sizeof(m));
			chain_add(chains[m], image, sizeof(image) - k);
		}
	}
	for (unsigned round = 0; round < 3; round++)
		for (unsigned m = 0; m < MODULES; m++)
			chain_restore(chains[m * 257 % MODULES], (m + round) % 3, round);
	for (unsigned m = 0; m < MODULES; m++)
		chain_free(chains[m]);
}

/* ---- what others do ---------------------------------------------------------------------------------------------- */

static void damage_in_place(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "something else", 14, 50000), 14);
	close(fd);
}

static void zero_in_place(const char *path)
{
	static const uint8_t zeros[SIZE];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, zeros, SIZE, 0), SIZE);
	close(fd);
}

static void put_another(const char *path)
{
	fixture_file("another", "xyz", 3);
	cr_assert_eq(renameat(fixture.fd, "another", AT_FDCWD, path), 0);
}

static void put_another_of_its_size(const char *path)
{
	static const uint8_t zeros[SIZE];
	fixture_file("another", zeros, SIZE);
	cr_assert_eq(renameat(fixture.fd, "another", AT_FDCWD, path), 0);
}

static void cut_half(const char *path)
{
	cr_assert_eq(truncate(path, SIZE / 2), 0);
}

static void cut_all(const char *path)
{
	cr_assert_eq(truncate(path, 0), 0);
}

static void take_away(const char *path)
{
	cr_assert_eq(unlink(path), 0);
}

static void (*const harms[])(const char *path) = {
    damage_in_place, zero_in_place, put_another, put_another_of_its_size, cut_half, cut_all, take_away};
#define HARMS (sizeof(harms) / sizeof(*harms))

/* Every page of the backing file is one of the image that it held, or of the one that it should hold. */
static void expect_old_or_new(const struct chain *chain, uint32_t old, uint32_t new)
{
	size_t size;
	uint8_t *is = whole_file(chain_path(chain, NULL), &size);
	cr_assert_eq(size, SIZE);
	for (size_t at = 0; at < size; at += PAGE_BYTES) {
		size_t part = size - at < PAGE_BYTES ? size - at : PAGE_BYTES;
		cr_assert(memcmp(is + at, chain->images[old] + at, part) == 0 ||
		              memcmp(is + at, chain->images[new] + at, part) == 0,
		    "a wrong page was written at %zu", at);
	}
	free(is);
}

/* Either what is mapped still serves, or the error names the file; never a wrong image. */
Test(warm, a_base_that_others_harm_is_never_a_wrong_image)
{
	for (unsigned h = 0; h < HARMS; h++) {
		struct chain *chain = warm_chain(h, 100);
		char path[256];
		size_t size;
		snprintf(path, sizeof(path), "%s", base_path(chain));
		void *base = whole_file(path, &size);
		for (unsigned round = 0; round < 2; round++) {
			harms[h](path);
			for (uint32_t k = 0; k < 80; k += 13) {
				chain_back(chain, chain->images[70], SIZE);
				struct job job = chain_job(chain, k, false, 0);
				if (!job.result) {
					cr_assert(chain_holds(chain, k), "harm %u: entry %u is wrong", h, k);
					continue;
				}
				cr_assert(job.result == -EBADMSG || job.result == -ENOENT, "harm %u: %d, %s", h,
				    job.result, job.text);
				cr_assert(strstr(job.text, strrchr(path, '/') + 1), "harm %u: %s", h, job.text);
				expect_old_or_new(chain, 70, k);
			}
			/* The newest have another way. */
			chain_restore(chain, 99, false);
			chain_restore(chain, 98, false);
			/* Put right, it serves again, in the same process. */
			fixture_file("right", base, size);
			cr_assert_eq(renameat(fixture.fd, "right", AT_FDCWD, path), 0);
			chain_restore(chain, 40, false);
			chain_restore(chain, 0, false);
		}
		free(base);
		chain_free(chain);
	}
}

/* The last is mapped, too; without it the chain leads to every commit. */
Test(warm, a_last_that_others_harm_costs_nothing_but_time)
{
	for (unsigned h = 0; h < HARMS; h++) {
		struct chain *chain = warm_chain(h, 100);
		struct place place;
		chain_restore(chain, 99, false);
		chain_restore(chain, 95, false);
		place_last(&chain_context, chain->module, 99, &place);
		harms[h](place_path(&place));
		chain_restore(chain, 99, false);
		chain_restore(chain, 97, false);
		chain_forget();
		chain_restore(chain, 99, false);
		chain_restore(chain, 96, false);
		chain_free(chain);
	}
}

/* Its mapping stays from one restore to the next: by then it may be shorter, longer, or another file. */
Test(warm, a_backing_file_that_changes_between_restores_is_looked_at_anew)
{
	struct chain *chain = warm_chain(1, 100);
	for (uint32_t k = 0; k < 90; k += 3) {
		const char *path = chain_path(chain, NULL);
		chain_restore(chain, 50, false);
		switch (k % 7) {
		case 0:
			zero_in_place(path);
			break;
		case 1:
			cut_all(path);
			break;
		case 2:
			cut_half(path);
			break;
		case 3:
			cr_assert_eq(truncate(path, 0), 0);
			cr_assert_eq(truncate(path, SIZE), 0);
			break;
		case 4:
			put_another_of_its_size(path);
			break;
		case 5:
			take_away(path);
			break;
		default:
			cr_assert_eq(truncate(path, 3 * SIZE), 0);
		}
		chain_restore(chain, k, k % 2);
	}
	chain_free(chain);
}

/* ---- the same name for something else ---------------------------------------------------------------------------- */

/* A module's first commit may fail after its entries were made; then the index, and the id, are given again. */
Test(warm, a_module_that_begins_anew_is_not_taken_for_what_it_was)
{
	struct chain *chain = warm_chain(1, 40);
	chain_restore(chain, 39, false);
	while (chain->count) {
		chain_truncate(&chain_catalog, chain->module);
		free(chain->images[--chain->count]);
	}
	chain->finished = chain->tiers_to = chain->undo_to = 0;
	chain->stamp.entry = CHAIN_NONE;
	uint8_t *image = calloc(1, SIZE);
	uint64_t size;
	for (uint32_t k = 0; k < 40; k++) {
		some(image, &size, k);
		chain_add(chain, image, size);
		chain_finish(chain);
		chain_restore(chain, k / 2, k % 2);
		chain_restore(chain, k, k % 3);
	}
	chain_tiers(chain);
	for (uint32_t k = 0; k < 40; k++)
		chain_restore(chain, k, k % 2);
	free(image);
	chain_free(chain);
}

/* A, B, A, B: the last has the base's content, and its id, again and again. */
Test(warm, an_image_that_recurs_is_told_from_what_was_mapped_under_its_name)
{
	struct chain *chain = chain_new(1);
	uint8_t *image = calloc(1, SIZE);
	for (uint32_t k = 0; k < 60; k++) {
		memset(image, k % 3 == 2 ? (int)k : k % 2 ? 'B' : 'A', SIZE);
		chain_add(chain, image, SIZE - k % 4);
		chain_finish(chain);
		chain_restore(chain, k, k % 2);
		chain_restore(chain, k / 3, k % 3);
		if (k % 10 == 9)
			chain_tiers(chain);
	}
	for (uint32_t k = 0; k < 60; k++)
		chain_restore(chain, 59 - k, k % 2);
	free(image);
	chain_free(chain);
}
