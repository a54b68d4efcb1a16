/*
 * engine_rebuild.c - restores of which only that is written what differs, known files and unknown ones, of any size.
 */
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "chain_fixture.h"
#include "near.h"

static void setup_on_disk(void)
{
	chains_open_in("/tmp");
}

TestSuite(rebuild, .init = chains_open, .fini = chains_close, .timeout = 60);
TestSuite(rebuild_on_disk, .init = setup_on_disk, .fini = chains_close, .timeout = 60);

/* ---- clean pages stay clean -------------------------------------------------------------------------------------- */

#define PAGES 2000u
#define DIFFER 5u

static uint8_t big[PAGES * PAGE_BYTES];

static struct chain *big_chain(void)
{
	struct chain *chain = chain_new(1);
	chain_noise(big, sizeof(big));
	chain_add(chain, big, sizeof(big));
	for (unsigned k = 1; k < 3; k++) {
		chain_noise(big + k * 100 * PAGE_BYTES, 3 * PAGE_BYTES);
		chain_add(chain, big, sizeof(big));
	}
	chain_finish(chain);
	return chain;
}

static const unsigned differ[DIFFER] = {0, 7, 8, 1024, PAGES - 1};

/* Page by page, so that the page cache has single pages of it, too. */
static void spoil_pages(struct chain *chain, uint32_t at)
{
	memcpy(big, chain->images[at], sizeof(big));
	for (size_t i = 0; i < DIFFER; i++)
		big[differ[i] * PAGE_BYTES + 77 * i] ^= 1;
	unlink(chain_path(chain, NULL));
	int fd = open(chain_path(chain, NULL), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (size_t offset = 0; offset < sizeof(big); offset += PAGE_BYTES)
		cr_assert_eq(pwrite(fd, big + offset, PAGE_BYTES, (off_t)offset), PAGE_BYTES);
	close(fd);
}

/* Bytes that this process has given to write() and its like; 0: the kernel does not count them. */
static unsigned long long given_to_write(void)
{
	unsigned long long bytes = 0;
	char line[128];
	FILE *file = fopen("/proc/self/io", "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "wchar: %llu", &bytes);
	if (file)
		fclose(file);
	return bytes;
}

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* Pages of the backing file that are to be written to the disk; -1: the kernel does not say. */
static long dirty_pages(const struct chain *chain)
{
	struct {
		uint64_t at, size;
	} range = {0, 0};
	struct {
		uint64_t cached, dirty, writeback, evicted, recently_evicted;
	} state = {0};
	int fd = open(chain_path(chain, NULL), O_RDONLY | O_CLOEXEC);
	long r = syscall(SYS_cachestat, fd, &range, &state, 0);
	close(fd);
	return r < 0 ? -1 : (long)(state.dirty + state.writeback);
}

static void sync_back(const struct chain *chain)
{
	int fd = open(chain_path(chain, NULL), O_RDWR | O_CLOEXEC);
	cr_assert_eq(fsync(fd), 0);
	close(fd);
}

Test(rebuild, writes_the_pages_that_differ_and_no_other)
{
	struct chain *chain = big_chain();
	for (uint32_t at = 0; at < chain->count; at++) {
		spoil_pages(chain, at);
		unsigned long long given = given_to_write();
		struct job job = chain_restore(chain, at, false);
		given = given_to_write() - given;
		/* And the page hashes. */
		cr_assert(given <= DIFFER * PAGE_BYTES + PAGES * sizeof(uint64_t), "%llu bytes were written", given);
		cr_assert_eq(job.bytes_written, DIFFER * PAGE_BYTES, "entry %u: %llu bytes were written", at,
		    (unsigned long long)job.bytes_written);
	}
	chain_free(chain);
}

/* What was not written need not get to the disk, and a VM that maps it needs no page of it again. */
Test(rebuild_on_disk, leaves_pages_clean_that_are_what_they_should_be)
{
	struct chain *chain = big_chain();
	spoil_pages(chain, 1);
	sync_back(chain);
	if (dirty_pages(chain) == 0) {
		chain_restore(chain, 1, false);
		long dirty = dirty_pages(chain);
		cr_assert(dirty <= (long)DIFFER, "%ld pages are dirty", dirty);
	}
	chain_free(chain);
}

/* Nothing differs: the file is as it was, to the nanosecond. */
Test(rebuild, does_not_touch_a_file_that_is_there_already)
{
	struct chain *chain = big_chain();
	struct stat before, after;
	struct timespec old[2] = {{1000000, 5}, {1000000, 7}};
	for (uint32_t at = 0; at < chain->count; at++) {
		chain_back(chain, chain->images[at], chain->sizes[at]);
		cr_assert_eq(utimensat(AT_FDCWD, chain_path(chain, NULL), old, 0), 0);
		cr_assert_eq(stat(chain_path(chain, NULL), &before), 0);
		struct job job = chain_restore(chain, at, false);
		cr_assert_eq(job.bytes_written, 0);
		cr_assert_eq(stat(chain_path(chain, NULL), &after), 0);
		cr_assert(before.st_ino == after.st_ino && before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
		          before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
	}
	chain_free(chain);
}

/* Whoever has it mapped goes on with the same file. */
Test(rebuild, keeps_the_file_that_a_VM_has_mapped)
{
	struct chain *chain = big_chain();
	chain_back(chain, "x", 1);
	int fd = open(chain_path(chain, NULL), O_RDWR | O_CLOEXEC);
	cr_assert_eq(ftruncate(fd, sizeof(big)), 0);
	const uint8_t *memory = mmap(NULL, sizeof(big), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	for (uint32_t at = 0; at < chain->count; at++) {
		chain_restore(chain, at, at == 2);
		cr_assert(memcmp(memory, chain->images[at], sizeof(big)) == 0);
	}
	munmap((void *)(uintptr_t)memory, sizeof(big));
	chain_free(chain);
}

/* ---- every size -------------------------------------------------------------------------------------------------- */

static const uint64_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 8191, 8192, 8193, 20000, 65536, 65537};
#define SIZES (sizeof(sizes) / sizeof(*sizes))

/* Of an image that was cut, what is left is still that of the base, up to somewhere in the middle of a page. */
static void cut_and_grow(struct chain *chain, uint8_t *image, bool change)
{
	static const uint64_t cuts[] = {65537, 65536, 20000, 65536, 8193, 20000, 4097, 8191, 4095, 8192, 100, 1, 8192};
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		if (i && cuts[i] < cuts[i - 1])
			memset(image + cuts[i], 0, (size_t)(cuts[i - 1] - cuts[i]));
		image[0] ^= change;
		chain_add(chain, image, cuts[i]);
	}
}

/* Each size comes after each other one; bytes change, or do not. */
static struct chain *any_sizes(unsigned number, bool change)
{
	struct chain *chain = chain_new(number);
	static uint8_t image[65537];
	chain_noise(image, sizeof(image));
	cut_and_grow(chain, image, change);
	for (size_t from = 0; from < SIZES; from++)
		for (size_t to = 0; to < SIZES; to++) {
			for (int i = 0; i < 2; i++) {
				uint64_t size = i ? sizes[to] : sizes[from];
				memset(image + size, 0, sizeof(image) - size);
				if (change && size)
					image[chain_random() % size] ^= 0x55;
				chain_add(chain, image, size);
			}
			if (to % 4 == 3)
				chain_noise(image, sizeof(image));
		}
	chain_finish(chain);
	return chain;
}

/* A last page that is there in part has a hash of its own kind, and zeros behind it that nobody has written. */
Test(rebuild, brings_any_size_to_any_other)
{
	for (unsigned change = 0; change < 2; change++) {
		struct chain *chain = any_sizes(change, change);
		for (int tiers = 0; tiers < 2; tiers++) {
			for (uint32_t k = 0; k < chain->count; k++)
				chain_restore(chain, k, k % 3);
			for (uint32_t k = chain->count; k-- > 0;)
				chain_restore(chain, k, k % 5);
			chain_tiers(chain);
		}
		chain_free(chain);
	}
}

/* Whatever a stranger has left there. */
Test(rebuild, makes_the_image_of_a_file_of_any_size_and_content)
{
	struct chain *chain = any_sizes(1, true);
	static uint8_t junk[80000];
	chain_tiers(chain);
	for (uint32_t k = 0; k < chain->count; k++) {
		uint64_t size = k % 4 ? sizes[chain_random() % SIZES] : chain_random() % sizeof(junk);
		if (k % 2)
			chain_noise(junk, size);
		else
			memset(junk, 0, sizeof(junk));
		chain_back(chain, junk, size);
		chain_restore(chain, k, false);
	}
	cr_assert_eq(unlink(chain_path(chain, NULL)), 0);
	chain_restore(chain, 40, true);
	chain_free(chain);
}

static struct job begin_job(const struct chain *chain, uint32_t at)
{
	return (struct job) {.kind = JOB_RESTORE, .module = chain->module, .target = at, .stamp = chain->stamp};
}

static int open_back(const struct chain *chain, struct place *place, uint64_t *size)
{
	struct stat st;
	place->dir = &chain_base;
	name_backing(place->name, &chain->id);
	int fd = file_open(place->dir, place->name, O_RDWR);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &st), 0);
	*size = (uint64_t)st.st_size;
	return fd;
}

/* The way by mapped files must not give up where nothing is wrong: what remains then is a way that takes long. */
Test(rebuild, needs_no_other_way_where_all_files_are_right)
{
	struct chain *chain = any_sizes(1, true);
	struct place place;
	uint64_t size;
	chain_back(chain, "junk", 4);
	for (int tiers = 0; tiers < 2; tiers++) {
		for (uint32_t k = 0; k < chain->count; k++) {
			struct job job = begin_job(chain, k * 5 % chain->count);
			int fd = open_back(chain, &place, &size);
			int r = restore_rebuild(&chain_context, &job, fd, &place, size);
			close(fd);
			warm_end(&chain_context);
			cr_assert_eq(r, 1, "entry %u: %d, %s", job.target, r, err_text());
			cr_assert(chain_holds(chain, job.target));
		}
		chain_tiers(chain);
	}
	chain_free(chain);
}

static void grow_a_little(uint8_t *image, uint64_t *size, uint32_t k)
{
	if (k == 0)
		chain_noise(image, *size = 300001);
	*size += k % 3 == 0 ? 1000 * (k % 7) : 0;
	for (int i = 0; i < 10; i++)
		image[chain_random() % *size] = (uint8_t)k;
}

/* ... and the same of the way by difference, forward and back, wherever images only grow. */
Test(rebuild, by_difference_needs_no_other_way_where_images_grow)
{
	struct chain *chain = chain_history(1, 100, 600000, grow_a_little);
	struct place place;
	uint64_t size;
	chain_tiers(chain);
	chain_restore(chain, 50, false);
	for (uint32_t i = 0; i < 150; i++) {
		uint32_t from = chain->stamp.entry, to = i % 2 ? from : (uint32_t)(chain_random() % chain->count);
		to = i % 2 ? (from ? from - 1 : 5) : to;
		if (to == from)
			continue;
		struct job job = begin_job(chain, to);
		int fd = open_back(chain, &place, &size);
		int r = restore_near(&chain_context, &job, fd, &place);
		warm_end(&chain_context);
		cr_assert(r == 1 || (r == 0 && job.deltas_applied == 0), "entry %u to %u: %d", from, to, r);
		cr_assert(r == 1 || to + 1 != from, "back by one from %u is left to the long way", from);
		if (r == 1) {
			cr_assert(chain_holds(chain, to), "entry %u to %u", from, to);
			cr_assert_eq(stamp_take(fd, to, &chain->stamp), 0);
		} else {
			chain_restore(chain, to, false);
		}
		close(fd);
	}
	chain_free(chain);
}

/* ---- dry --------------------------------------------------------------------------------------------------------- */

Test(rebuild, that_is_dry_says_what_would_be_written_and_writes_nothing)
{
	struct chain *chain = any_sizes(1, true);
	static uint8_t junk[30000];
	struct stat before, after;
	chain_noise(junk, sizeof(junk));
	for (uint32_t k = 0; k < chain->count; k += 3) {
		chain_back(chain, junk, k * 100 % sizeof(junk));
		cr_assert_eq(stat(chain_path(chain, NULL), &before), 0);
		struct job dry = chain_job(chain, k, false, JOB_DRY);
		cr_assert_eq(dry.result, 0, "%s", dry.text);
		cr_assert_eq(stat(chain_path(chain, NULL), &after), 0);
		cr_assert(before.st_size == after.st_size && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec &&
		          before.st_ctim.tv_nsec == after.st_ctim.tv_nsec &&
		          before.st_ctim.tv_sec == after.st_ctim.tv_sec);
		struct job wet = chain_restore(chain, k, false);
		cr_assert_eq(dry.bytes_written, wet.bytes_written, "entry %u: %llu and %llu", k,
		    (unsigned long long)dry.bytes_written, (unsigned long long)wet.bytes_written);
	}
	cr_assert_eq(unlink(chain_path(chain, NULL)), 0);
	cr_assert_eq(chain_job(chain, 9, false, JOB_DRY).result, 0);
	cr_assert_eq(chain_bytes(chain, NULL), -1, "it made the file");
	chain_free(chain);
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

/* A disk that is full in the middle: the next try completes it. */
Test(rebuild, that_is_cut_off_is_completed_by_the_next)
{
	static const char *const faults[] = {"write.data:1:ENOSPC", "write.data:2:ENOSPC", "restore.built:1:EIO",
	    "file.resize:1:EIO", "restore.written:1:EIO", "map:1:ENOMEM", "map:2:ENOMEM", "map:1+:ENOMEM",
	    "read.open:1:EIO", "read.data:1:EIO", "alloc:1:ENOMEM"};
	struct chain *chain = any_sizes(1, true);
	chain_tiers(chain);
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
		for (uint32_t k = 20; k < 60; k++) {
			uint32_t before = chain->stamp.entry;
			if (k % 2)
				chain_forget();
			fixture_fault(faults[f]);
			struct job job = chain_job(chain, k, k % 3, 0);
			fixture_fault(NULL);
			cr_assert(job.result == 0 || job.text[0], "%s: no sentence", faults[f]);
			cr_assert(job.result == 0 || job.result != -EBADMSG, "%s is taken for damage: %s", faults[f],
			    job.text);
			(void)before;
			if (!job.result)
				cr_assert(chain_holds(chain, k), "%s: entry %u", faults[f], k);
			else
				chain_restore(chain, k, true);
		}
	}
	chain_free(chain);
}
