/*
 * engine_undo.c - deltas backwards: the frequent restore, that of the last few commits, costs what they have changed and
 * is right whatever has happened to the file; and the file takes a bounded part of the disk.
 */
#include "chain_fixture.h"

#include <errno.h>

TestSuite(undo, .init = chains_open, .fini = chains_close, .timeout = 60);

#define ROOM 120000u

/* ---- histories --------------------------------------------------------------------------------------------------- */

/* By sizes that are no whole pages; what is new has something in it, or is zero. */
static void grow(uint8_t *image, uint64_t *size, uint32_t k)
{
	uint64_t more = k == 0 ? 9000 : k % 5 * 777;
	if (k % 2)
		chain_noise(image + *size, more);
	*size += more;
	for (int i = 0; i < 6; i++)
		chain_noise(image + chain_random() % (*size - 300), 1 + chain_random() % 300);
	if (k % 7 == 0)
		memset(image + *size - 5000, 0, 4500);
}

/* A tenth of it is written anew by each commit: what undoes 64 of them is several times an image. */
static void rewrite(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = ROOM;
	chain_noise(image + k % 11 * 10000, 10000 + chain_random() % 3000);
}

/* The same pages over and over. */
static void hot_pages(uint8_t *image, uint64_t *size, uint32_t k)
{
	(void)k;
	*size = ROOM;
	for (int i = 0; i < 30; i++)
		chain_noise(image + 8192 + chain_random() % 16000, 1 + chain_random() % 200);
}

static const struct {
	const char *name;
	void (*step)(uint8_t *image, uint64_t *size, uint32_t k);
} histories[] = {{"one that grows", grow}, {"one that is written anew", rewrite}, {"one of hot pages", hot_pages}};
#define HISTORIES (sizeof(histories) / sizeof(*histories))

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool find(const struct chain *chain, uint32_t entry, struct undo *undo)
{
	struct warm_module *kept = warm_module(&chain_context, chain->module);
	const struct map *file = warm_undo(&chain_context, kept, chain->module);
	return file && undo_find(&chain_context, chain->module, file, entry, undo);
}

/* The oldest entry that has a quick one; 0: none has. */
static uint32_t first_quick(const struct chain *chain)
{
	struct undo undo;
	uint32_t first = 0;
	for (uint32_t i = chain->count - 1; i > 0 && find(chain, i, &undo); i--)
		if (undo.form == UNDO_QUICK)
			first = i;
	return first;
}

static int undo_open(const struct chain *chain)
{
	int fd = open(chain_path(chain, "undo"), O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	return fd;
}

/* Backs by so many; @k: where that leads to. */
static struct job back_by(struct chain *chain, uint32_t from, uint32_t steps)
{
	chain_restore(chain, from, false);
	return chain_restore(chain, from - steps, true);
}

/* Quick and packed ones, in one go, from any of the newest commits. */
Test(undo, leads_back_by_any_number_of_commits)
{
	for (unsigned h = 0; h < HISTORIES; h++) {
		struct chain *chain = chain_history(h, 90, 400000, histories[h].step);
		chain_tiers(chain);
		for (uint32_t from = 89; from > 70; from -= 3)
			for (uint32_t steps = 1; steps <= from - 26; steps += 1 + steps / 8) {
				struct job job = back_by(chain, from, steps);
				cr_assert_eq(job.deltas_applied, steps, "%s, %u back by %u: %u deltas",
				    histories[h].name, from, steps, job.deltas_applied);
			}
		/* And there and back again, never forgetting where it is. */
		for (int i = 0; i < 60; i++)
			chain_restore(chain, 30 + (uint32_t)(chain_random() % 60), true);
		chain_free(chain);
	}
}

/* Eight commits that write the same five pages are undone by writing five pages. */
Test(undo, writes_a_page_that_many_commits_have_changed_once)
{
	struct chain *chain = chain_history(1, 30, ROOM, hot_pages);
	chain_tiers(chain);
	struct job job = back_by(chain, 29, 8);
	cr_assert_eq(job.deltas_applied, 8);
	cr_assert_leq(
	    job.bytes_written, 6 * PAGE_BYTES, "%llu bytes were written", (unsigned long long)job.bytes_written);
	chain_free(chain);
}

/* A commit that was taken back is often made again: what is the same before and after must not be written. */
Test(undo, leaves_pages_clean_that_are_what_they_were)
{
	struct chain *chain = chain_new(1);
	uint8_t *image = calloc(1, ROOM);
	chain_noise(image, ROOM);
	for (uint32_t k = 0; k < 10; k++) {
		memset(image + 50000, k % 2, 20);
		image[100] = (uint8_t)k;
		chain_add(chain, image, ROOM);
	}
	chain_tiers(chain);
	struct job job = back_by(chain, 9, 2);
	cr_assert_eq(job.bytes_written, PAGE_BYTES);
	free(image);
	chain_free(chain);
}

/* ---- how much, and where ------------------------------------------------------------------------------------------ */

/* What is made again at will must not fill a disk: quick ones take one image's, and packed ones what deltas take. */
Test(undo, is_quick_for_the_newest_commits_as_long_as_that_takes_no_more_than_an_image)
{
	struct chain *chain = chain_new(1);
	uint8_t *image = calloc(1, ROOM);
	uint64_t size = 0;
	for (uint32_t k = 0; k < 200; k++) {
		struct undo undo;
		uint64_t quick = 0, packed = 0;
		rewrite(image, &size, k);
		chain_add(chain, image, size);
		if (k == 0)
			continue;
		chain_tiers(chain);
		uint32_t first = first_quick(chain), oldest = k > UNDO_KEEP ? k - UNDO_KEEP + 1 : 1;
		for (uint32_t i = k; i >= oldest; i--) {
			cr_assert(find(chain, i, &undo), "at %u there is none of %u", k, i);
			cr_assert_eq(undo.form == UNDO_QUICK, i >= first && first, "at %u that of %u", k, i);
			*(undo.form == UNDO_QUICK ? &quick : &packed) += undo.size;
		}
		cr_assert_leq(quick, ROOM);
		cr_assert(k < 20 || quick > ROOM / 2, "at %u only %llu bytes are quick", k, (unsigned long long)quick);
		/* Gaps that are too small for the next one are less than half of it. */
		cr_assert_leq((uint64_t)chain_bytes(chain, "undo"), UNDO_INDEX + (quick + packed) * 3 / 2 + 30000,
		    "at %u: %ld bytes for %llu", k, chain_bytes(chain, "undo"), (unsigned long long)(quick + packed));
	}
	free(image);
	chain_free(chain);
}

/* Small changes are all quick: nothing is gained by packing them. */
Test(undo, of_small_changes_is_all_quick)
{
	struct chain *chain = chain_history(1, 100, ROOM, hot_pages);
	struct undo undo;
	chain_tiers(chain);
	for (uint32_t i = 99; i > 99 - UNDO_KEEP; i--)
		cr_assert(find(chain, i, &undo));
	cr_assert_leq(first_quick(chain), 80);
	chain_free(chain);
}

/* Earlier versions had a file for each entry. */
Test(undo, files_of_an_earlier_version_go)
{
	struct chain *chain = chain_history(1, 5, ROOM, hot_pages);
	struct place place = {.dir = &chain_priv};
	name_private(place.name, &chain->id, "undo3");
	chain_write(&place, "old", 3);
	chain_tiers(chain);
	cr_assert_eq(chain_bytes(chain, "undo3"), -1);
	chain_free(chain);
}

/* ---- damage ------------------------------------------------------------------------------------------------------- */

/* Whatever a byte of the file is, the image is right. */
Test(undo, that_is_damaged_at_any_byte_never_leads_to_a_wrong_image)
{
	struct chain *chain = chain_history(1, 6, 400000, grow);
	chain_tiers(chain);
	long size = chain_bytes(chain, "undo");
	int fd = undo_open(chain);
	for (long at = 0; at < size; at += at < (long)UNDO_INDEX || at % 256 < 40 ? 1 : 9) {
		uint8_t is, wrong;
		cr_assert_eq(pread(fd, &is, 1, at), 1);
		wrong = is ^ (uint8_t)(1u << at % 8);
		cr_assert_eq(pwrite(fd, &wrong, 1, at), 1);
		chain_restore(chain, 5, true);
		chain_restore(chain, 1 + (uint32_t)at % 3, true);
		cr_assert_eq(pwrite(fd, &is, 1, at), 1);
	}
	/* It is in use again as soon as it is right. */
	cr_assert_eq(back_by(chain, 5, 4).deltas_applied, 4);
	close(fd);
	chain_free(chain);
}

/* Cut anywhere, before a process looks at it and while it has it mapped. */
Test(undo, that_was_cut_never_leads_to_a_wrong_image)
{
	struct chain *chain = chain_history(1, 12, ROOM, rewrite);
	chain_tiers(chain);
	long size = chain_bytes(chain, "undo");
	for (long at = size - 1; at > 0; at -= 7001) {
		for (int mapped = 0; mapped < 2; mapped++) {
			chain_undone(chain);
			chain_tiers(chain);
			back_by(chain, 11, mapped ? 10 : 1);
			cr_assert_eq(truncate(chain_path(chain, "undo"), at), 0);
			if (!mapped)
				chain_forget();
			chain_restore(chain, 11, true);
			chain_restore(chain, 2, true);
		}
	}
	chain_free(chain);
}

/* A slot holds for one entry of one history; a file that was copied from elsewhere is as good as none. */
Test(undo, of_another_commit_or_another_history_is_not_believed)
{
	struct chain *chain = chain_history(1, 100, ROOM, hot_pages), *other = chain_history(2, 100, ROOM, hot_pages);
	struct undo undo;
	uint8_t slots[UNDO_INDEX + UNDO_SLOT];
	chain_tiers(chain);
	chain_tiers(other);
	int fd = undo_open(chain);
	cr_assert_eq(pread(fd, slots, UNDO_INDEX, 0), UNDO_INDEX);
	memcpy(slots + UNDO_INDEX, slots, UNDO_SLOT);
	cr_assert_eq(pwrite(fd, slots + UNDO_SLOT, UNDO_INDEX, 0), UNDO_INDEX);
	close(fd);
	for (uint32_t i = 36; i < 100; i++)
		cr_assert_not(find(chain, i, &undo), "that of %u is another's", i);
	for (uint32_t k = 99; k > 80; k--)
		chain_restore(chain, k, k % 5 != 0);
	char name[256];
	snprintf(name, sizeof(name), "%s", chain_path(other, "undo"));
	cr_assert_eq(rename(name, chain_path(chain, "undo")), 0);
	for (uint32_t i = 36; i < 100; i++)
		cr_assert_not(find(chain, i, &undo), "that of %u is of another history", i);
	chain_free(chain);
	chain_free(other);
}

/* A worker that had gone wrong may have made it, with every checksum right. Only the hash of the image can tell. */
Test(undo, that_is_whole_and_wrong_is_noticed_by_what_it_leads_to)
{
	static const enum undo_form forms[] = {UNDO_PACKED, UNDO_QUICK};
	struct chain *chain = chain_history(1, 40, ROOM, rewrite);
	for (unsigned f = 0; f < 2; f++) {
		chain_undone(chain);
		chain_tiers(chain);
		for (uint32_t i = 30; i < 40; i += 3) {
			struct image is = {.data = chain->images[i], .size = ROOM}, before = is;
			before.data = malloc(ROOM);
			memcpy(before.data, chain->images[i - 1], ROOM);
			before.data[ROOM / 2] ^= 1;
			struct runs *runs = &chain_context.scratch->runs;
			cr_assert_eq(diff_images(is.data, ROOM, before.data, ROOM, runs), 0);
			cr_assert_eq(undo_write(&chain_context, chain->module, i, forms[f], &is, &before), 0);
			free(before.data);
		}
		for (uint32_t k = 39; k > 25; k--)
			chain_restore(chain, k, k != 39);
		cr_assert_eq(unlink(chain_path(chain, "undo")), 0);
	}
	chain_free(chain);
}

/* What could not be written is not there; what was is. */
Test(undo, that_could_not_be_written_is_made_later)
{
	int failed = 0;
	for (int n = 1; n < 12; n++) {
		struct chain *chain = chain_history((unsigned)n, 7, ROOM, rewrite);
		char fault[64];
		chain_finish(chain);
		snprintf(fault, sizeof(fault), "write.data:%d:ENOSPC", n);
		fixture_fault(fault);
		struct job job = {.kind = JOB_TIERS, .module = chain->module, .target = 6, .flags = JOB_PATIENT};
		for (int i = 0; i < 6 && !job.result; i++)
			job_run(&chain_context, &job);
		fixture_fault(NULL);
		failed += job.result == -ENOSPC;
		/* A full disk does not get any fuller by what has failed. */
		long used = (long)UNDO_INDEX;
		struct undo undo;
		for (uint32_t i = 1; i < 7; i++)
			used += find(chain, i, &undo) ? (long)undo.size : 0;
		cr_assert_leq(chain_bytes(chain, "undo"), used, "write %d failed: %ld bytes for %ld", n,
		    chain_bytes(chain, "undo"), used);
		chain_undone(chain);
		chain_tiers(chain);
		cr_assert_eq(back_by(chain, 6, 6).deltas_applied, 6);
		chain_free(chain);
	}
	cr_assert_geq(failed, 8, "only %d of the writes were made to fail", failed);
}

/* ---- without them ------------------------------------------------------------------------------------------------- */

/* What was cut off on the way from the base is zero where the image is longer again. */
static void cut_and_grow(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = k == 0 ? 60000 : k == 1 ? 10000 : 50000;
	if (k == 0)
		chain_noise(image, *size);
	for (uint32_t page = 0; page < *size / PAGE_BYTES; page++)
		if (page < 3 || k > 3)
			image[page * PAGE_BYTES + 2000 + k] ^= 0x5a;
}

/* By difference all the same: the pages that the commits have changed are rebuilt from the base. */
Test(undo, that_is_missing_is_made_up_for_by_rebuilding_the_pages_that_have_changed)
{
	struct chain *chain = chain_history(1, 9, 60000, cut_and_grow);
	chain_finish(chain);
	for (uint32_t to = 2; to < 8; to++) {
		chain_restore(chain, 8, false);
		struct job job = chain_job(chain, to, true, JOB_NEAR);
		cr_assert(job.result == 0 && !job.far, "back to %u: another way was taken", to);
		cr_assert(chain_holds(chain, to), "back to %u", to);
	}
	chain_free(chain);
}
