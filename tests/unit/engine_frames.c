/*
 * engine_frames.c - keyframes: a restore is as short after thousands of commits as after some hundred, and never wrong,
 * whatever becomes of them.
 */
#include "chain_fixture.h"

TestSuite(frames, .init = chains_open, .fini = chains_close, .timeout = 60);

#define ROOM 40000u

/* ---- histories --------------------------------------------------------------------------------------------------- */

/* Changes that hardly ever fall on the same bytes: merging them saves nothing. */
static void scatter(uint8_t *image, uint64_t *size, uint32_t k)
{
	if (k == 0)
		chain_noise(image, ROOM);
	*size = ROOM;
	for (int i = 0; i < 10; i++)
		chain_noise(image + chain_random() % (ROOM - 24), 24);
}

static void hot_set(uint8_t *image, uint64_t *size, uint32_t k)
{
	if (k == 0)
		chain_noise(image, ROOM);
	*size = ROOM;
	for (int i = 0; i < 10; i++)
		chain_noise(image + 24 * (chain_random() % 20), 24);
}

/* Up and down between sizes that are whole pages and such that are not; what was cut off comes back as zeros. */
static void breathe(uint8_t *image, uint64_t *size, uint32_t k)
{
	static const uint64_t sizes[] = {30000, 32768, 16384, 32768, 20001, 28000, 24576, 24575, 36000};
	*size = sizes[k / 40 % (sizeof(sizes) / sizeof(*sizes))];
	for (int i = 0; i < 10; i++)
		chain_noise(image + chain_random() % (*size - 24), 24);
}

static void grow(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = 10000 + 37 * k;
	for (int i = 0; i < 10; i++)
		chain_noise(image + chain_random() % (*size - 24), 24);
}

static const struct {
	const char *name;
	void (*step)(uint8_t *image, uint64_t *size, uint32_t k);
} histories[] = {{"a scattered one", scatter}, {"one that breathes", breathe}, {"one that grows", grow}};
#define HISTORIES (sizeof(histories) / sizeof(*histories))

/* ---- what there is ----------------------------------------------------------------------------------------------- */

static struct map map;

/* The file of tiers, in the tests' own mapping; NULL: there is none. */
static const struct map *tiers_file(const struct chain *chain)
{
	struct stat st;
	int fd = open(chain_path(chain, "tiers"), O_RDONLY | O_CLOEXEC);
	map_close(&map);
	if (fd < 0)
		return NULL;
	cr_assert(fstat(fd, &st) == 0 && map_open(&map, fd, (size_t)st.st_size, false) == 0);
	close(fd);
	return (uint64_t)st.st_size > TIER_INDEX ? &map : NULL;
}

static unsigned frames_of(const struct chain *chain)
{
	const struct map *file = tiers_file(chain);
	struct start start;
	unsigned count = 0;
	for (uint32_t to = chain->count - 1; file && frame_find(&chain_context, chain->module, file, to, &start);
	     to = start.entry - 1)
		count++;
	return count;
}

static uint64_t stored_of(const struct chain *chain)
{
	struct stat st;
	return stat(chain_path(chain, "tiers"), &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

static uint64_t deltas_of(const struct chain *chain)
{
	uint64_t bytes = 0;
	for (uint32_t i = 1; i < chain->count; i++)
		bytes += chain_entry(&chain_catalog, chain->module, i)->delta_bytes;
	return bytes;
}

/* The most work that the way to any entry takes. */
static uint64_t most_work(const struct chain *chain)
{
	struct steps steps = {0};
	uint64_t most = 0;
	for (uint32_t to = 1; to < chain->count; to++) {
		cr_assert_eq(plan_rebuild(&chain_context, chain->module, to, WAY_FORWARD, &steps), 0);
		uint32_t at = steps.start.entry;
		for (size_t i = 0; i < steps.count; i++) {
			cr_assert_eq(steps.list[i].from, at, "a step to entry %u begins elsewhere", to);
			at = steps.list[i].to;
		}
		cr_assert_eq(at, to);
		most = plan_work(&steps) > most ? plan_work(&steps) : most;
	}
	steps_free(&steps);
	return most;
}

/* ---- what they are for ------------------------------------------------------------------------------------------- */

/* It is what they are for. Without them the last of 2,000 entries takes five times the work of the last of 300. */
Test(frames, the_way_to_an_entry_is_no_longer_the_longer_the_history_is)
{
	struct chain *chain = chain_history(1, 2000, ROOM, scatter), *brief = chain_history(2, 300, ROOM, scatter);
	chain_tiers(brief);
	chain_tiers(chain);
	cr_assert_gt(frames_of(chain), 5);
	struct steps steps = {0};
	cr_assert_eq(plan_forward(&chain_context, chain->module, 0, chain->count - 1, true, &steps), 0);
	uint64_t without = plan_work(&steps);
	steps_free(&steps);
	cr_assert_leq(most_work(chain), most_work(brief), "%llu, in a brief history %llu",
	    (unsigned long long)most_work(chain), (unsigned long long)most_work(brief));
	cr_assert_gt(without, 3 * most_work(chain), "%llu without: the test is of no use", (unsigned long long)without);
	for (uint32_t at = 3; at < chain->count; at += 97)
		cr_assert_lt(chain_restore(chain, at, false).deltas_applied, 40);
	chain_free(chain);
	chain_free(brief);
}

/* ... nor is there a moment in its life when it is. */
Test(frames, are_there_as_soon_as_they_are_needed)
{
	struct chain *chain = chain_new(1);
	uint64_t first = 0;
	for (uint32_t k = 100; k <= 1200; k += 100) {
		chain_grow(chain, k, ROOM, scatter);
		chain_tiers(chain);
		first = k <= 300 ? most_work(chain) : first;
		cr_assert_leq(most_work(chain), first, "at %u", k);
	}
	chain_free(chain);
}

Test(frames, lead_to_every_commit_of_every_history_known_files_and_unknown)
{
	for (unsigned h = 0; h < HISTORIES; h++) {
		struct chain *chain = chain_history(h, 700, ROOM, histories[h].step);
		chain_tiers(chain);
		cr_assert_geq(frames_of(chain), 2, "%s has none", histories[h].name);
		for (uint32_t i = 0; i < chain->count; i += 3)
			chain_restore(chain, i * 457 % chain->count, i % 2);
		/* Back by more than undo deltas reach, from a known file. */
		for (uint32_t i = 695; i > 300; i -= 79) {
			chain_restore(chain, i, false);
			chain_restore(chain, i - 75, true);
		}
		chain_free(chain);
	}
}

/* Back beyond what undo deltas reach, the pages in question are rebuilt, and no others. */
Test(frames, serve_a_restore_by_difference)
{
	struct chain *chain = chain_history(1, 700, ROOM, scatter);
	chain_tiers(chain);
	for (uint32_t at = 300; at < 600; at += 37) {
		chain_restore(chain, at + 20, false);
		struct job job = chain_job(chain, at, true, JOB_NEAR);
		cr_assert(job.result == 0 && !job.far && chain_holds(chain, at), "entry %u: %s", at, job.text);
	}
	chain_free(chain);
}

/* A checkout builds the whole image, from the same start. */
Test(frames, serve_whole_images_too)
{
	struct chain *chain = chain_history(1, 700, ROOM, breathe);
	struct image *image = &chain_context.scratch->image;
	chain_tiers(chain);
	for (uint32_t at = 1; at < chain->count; at += 31) {
		struct job job = {.kind = JOB_CHECKOUT, .module = chain->module, .target = at};
		cr_assert_eq(image_build(&chain_context, &job, at, image), 0, "%s", err_text());
		cr_assert(image->size == chain->sizes[at] && !memcmp(image->data, chain->images[at], image->size));
		cr_assert_lt(job.deltas_applied, 48, "%u to entry %u", job.deltas_applied, at);
	}
	chain_free(chain);
}

/* ---- when there are none ----------------------------------------------------------------------------------------- */

/* Where merging does what they would, they would only take disk. */
Test(frames, are_not_made_where_tiers_keep_the_way_short)
{
	struct chain *chain = chain_history(1, 1500, ROOM, hot_set);
	chain_tiers(chain);
	cr_assert_eq(frames_of(chain), 0);
	chain_free(chain);
}

Test(frames, are_not_made_in_a_short_history)
{
	struct chain *chain = chain_history(1, FRAME_FIRST, ROOM, scatter);
	chain_tiers(chain);
	cr_assert_eq(frames_of(chain), 0);
	cr_assert_leq(stored_of(chain), deltas_of(chain) * 3 / 2 + 8 * PAGE_BYTES);
	chain_free(chain);
}

/* What is made again at will must not fill a disk, and who has little of it may say so. */
Test(frames, and_tiers_take_the_disk_that_they_may)
{
	static const uint32_t percents[] = {0, 10, 150, 200, 350, 1000};
	uint64_t before = 0;
	for (unsigned i = 0; i < sizeof(percents) / sizeof(*percents); i++) {
		struct chain *chain = chain_history(i, 900, ROOM, scatter);
		chain_context.tiers_percent = percents[i];
		chain_tiers(chain);
		/* And the blocks of its index. */
		uint64_t most = deltas_of(chain) * percents[i] / 100 + (percents[i] ? 8 * PAGE_BYTES : 0);
		cr_assert_leq(stored_of(chain), most, "%u %%: %llu bytes of %llu", percents[i],
		    (unsigned long long)stored_of(chain), (unsigned long long)deltas_of(chain));
		cr_assert(percents[i] == 0 || percents[i] > 150 || stored_of(chain) > before, "%u %%", percents[i]);
		before = stored_of(chain);
		for (uint32_t at = 1; at < chain->count; at += 173)
			chain_restore(chain, at, false);
		chain_free(chain);
	}
	chain_context.tiers_percent = TIERS_PERCENT;
}

#define HOLLOW_ROOM 400000u

/* A wasm memory is mostly zeros. */
static void hollow(uint8_t *image, uint64_t *size, uint32_t k)
{
	(void)k;
	*size = 1000000;
	for (int i = 0; i < 40; i++)
		chain_noise(image + 100000 + chain_random() % (HOLLOW_ROOM - 48), 48);
}

Test(frames, take_no_disk_for_pages_of_zeros)
{
	struct chain *chain = chain_history(1, 400, 1000000, hollow);
	chain_tiers(chain);
	cr_assert_gt(frames_of(chain), 0);
	cr_assert_lt(stored_of(chain), deltas_of(chain) * 3 / 2 + frames_of(chain) * (HOLLOW_ROOM + 32768));
	for (uint32_t at = 255; at < chain->count; at += 9)
		chain_restore(chain, at, false);
	chain_free(chain);
}

/* Making them anew, for whatever reason, adds nothing to a file that has them all. */
Test(frames, that_are_there_are_not_made_again)
{
	struct chain *chain = chain_history(1, 900, ROOM, scatter);
	chain_tiers(chain);
	long size = chain_bytes(chain, "tiers");
	chain_forget();
	chain_undone(chain);
	chain_tiers(chain);
	cr_assert_eq(chain_bytes(chain, "tiers"), size);
	chain_free(chain);
}

/* ---- what becomes of them ---------------------------------------------------------------------------------------- */

/* Where the newest keyframe up to @to is in the file, and its entry. */
static struct start frame_at(const struct chain *chain, uint32_t to)
{
	struct start start = {0};
	const struct map *file = tiers_file(chain);
	cr_assert(file && frame_find(&chain_context, chain->module, file, to, &start));
	return start;
}

static void overwrite(const struct chain *chain, uint64_t at, const void *data, size_t size)
{
	int fd = open(chain_path(chain, "tiers"), O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, data, size, (off_t)at), (ssize_t)size);
	close(fd);
}

static void flip_in_image(const struct chain *chain, const struct start *start)
{
	for (uint64_t at = 99; at < chain->sizes[start->entry]; at += 4096) {
		uint8_t byte = chain->images[start->entry][at] ^ 4;
		overwrite(chain, start->frame + at, &byte, 1);
	}
}

static void flip_in_table(const struct chain *chain, const struct start *start)
{
	overwrite(chain, start->frame + pages_of(chain->sizes[start->entry]) * PAGE_BYTES + 16, "x", 1);
}

static void zero_image(const struct chain *chain, const struct start *start)
{
	uint8_t *zeros = calloc(1, chain->sizes[start->entry]);
	overwrite(chain, start->frame, zeros, chain->sizes[start->entry]);
	free(zeros);
}

static void exchange(const struct chain *chain, const struct start *start)
{
	const uint8_t *other = chain->images[start->entry + 1];
	uint64_t table[64];
	hash_pages(other, chain->sizes[start->entry + 1], table);
	overwrite(chain, start->frame, other, chain->sizes[start->entry + 1]);
	overwrite(chain, start->frame + pages_of(chain->sizes[start->entry]) * PAGE_BYTES, table,
	    pages_of(chain->sizes[start->entry]) * sizeof(*table));
}

static void cut_within(const struct chain *chain, const struct start *start)
{
	cr_assert_eq(truncate(chain_path(chain, "tiers"), (off_t)start->frame + 5000), 0);
}

static const struct {
	const char *name;
	void (*spoil)(const struct chain *chain, const struct start *start);
} fates[] = {{"spoilt", flip_in_image}, {"spoilt in its table", flip_in_table}, {"zero", zero_image},
    {"another commit's", exchange}, {"cut off", cut_within}};
#define FATES (sizeof(fates) / sizeof(*fates))

/* Nothing in a keyframe is believed: not its bytes, not its hashes. What is wrong goes, and comes back right. */
Test(frames, that_are_spoilt_are_noticed_removed_and_made_again)
{
	for (unsigned f = 0; f < 2 * FATES; f++) {
		struct chain *chain = chain_history(f, 520, ROOM, scatter);
		const char *name = fates[f / 2].name;
		chain_tiers(chain);
		struct start start = frame_at(chain, 519);
		unsigned frames = frames_of(chain);
		if (f % 2) /* while the process has it mapped */
			chain_restore(chain, start.entry + 5, false);
		else
			chain_forget();
		fates[f / 2].spoil(chain, &start);
		struct job job = chain_restore(chain, start.entry, false);
		cr_assert(job.tiers_gone || fates[f / 2].spoil == cut_within, "%s: it was not noticed", name);
		for (uint32_t at = start.entry - 1; at < start.entry + 6; at++)
			chain_restore(chain, at, false);
		chain_undone(chain);
		chain_tiers(chain);
		cr_assert_eq(frames_of(chain), frames, "%s: not made again", name);
		job = chain_restore(chain, start.entry, false);
		cr_assert(job.deltas_applied == 0 && !job.tiers_gone, "%s: %u deltas", name, job.deltas_applied);
		chain_free(chain);
	}
}

/* Tiers are made of the pages of a keyframe: what is wrong with it must not get into them and stay. */
Test(frames, that_are_spoilt_do_not_keep_the_way_from_being_short)
{
	struct chain *chain = chain_history(1, 401, ROOM, scatter);
	chain_tiers(chain);
	struct start start = frame_at(chain, 399);
	flip_in_image(chain, &start);
	chain_grow(chain, 700, ROOM, scatter);
	chain_tiers(chain);
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t at = 1; at < chain->count; at += 11)
			if (chain_restore(chain, at, false).tiers_gone)
				chain_undone(chain);
		chain_tiers(chain);
	}
	for (uint32_t at = 1; at < chain->count; at += 7)
		cr_assert_lt(chain_restore(chain, at, false).deltas_applied, 48, "entry %u", at);
	chain_free(chain);
}

/* Of a module with the same name and sizes. */
Test(frames, of_another_history_are_not_believed)
{
	struct chain *chain = chain_history(1, 400, ROOM, scatter), *other = chain_history(2, 400, ROOM, scatter);
	chain_tiers(chain);
	chain_tiers(other);
	char from[256];
	snprintf(from, sizeof(from), "%s", chain_path(other, "tiers"));
	cr_assert_eq(rename(from, chain_path(chain, "tiers")), 0);
	cr_assert_eq(frames_of(chain), 0);
	for (uint32_t at = 255; at < chain->count; at += 9)
		chain_restore(chain, at, false);
	chain_free(chain);
	chain_free(other);
}

/* ---- making them ------------------------------------------------------------------------------------------------- */

/* A full disk, or one that fails: half of a keyframe takes no disk, and is never used. */
Test(frames, that_can_not_be_written_harm_nothing_and_leave_nothing)
{
	static const char *const faults[] = {"frames.write:1:EIO", "write.data:2:ENOSPC", "write.data:3:ENOSPC",
	    "write.data:4:EIO", "map:1:ENOMEM", "map:2:ENOMEM"};
	for (unsigned f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
		struct chain *chain = chain_history(f, 300, ROOM, scatter);
		chain_finish(chain);
		chain->undo_to = chain->count - 1;
		while (chain->tiers_to < FRAME_FIRST - TIER_FAN)
			chain->tiers_to = chain_tiers_job(chain, JOB_PATIENT).tiers_to;
		long size = chain_bytes(chain, "tiers");
		fixture_fault(faults[f]);
		struct job job = chain_tiers_job(chain, JOB_PATIENT);
		fixture_fault(NULL);
		cr_assert(!job.result || job.text[0], "%s: no sentence", faults[f]);
		cr_assert(!job.result || frames_of(chain) == 0, "%s", faults[f]);
		cr_assert(!job.result || chain_bytes(chain, "tiers") < size + (long)(ROOM / 2), "%s", faults[f]);
		for (uint32_t at = 250; at < chain->count; at += 5)
			chain_restore(chain, at, false);
		chain_undone(chain);
		chain_tiers(chain);
		cr_assert_eq(frames_of(chain), 1, "%s: not made afterwards", faults[f]);
		chain_free(chain);
	}
}

static bool somebody_waits(void *arg)
{
	(void)arg;
	return true;
}

/* A keyframe takes a whole image's time: who waits for the worker does not wait for that. */
Test(frames, are_given_up_when_somebody_waits_unless_it_is_for_them)
{
	struct chain *chain = chain_history(1, 300, ROOM, scatter);
	chain->undo_to = chain->count - 1;
	while (chain->tiers_to < FRAME_FIRST - TIER_FAN)
		chain->tiers_to = chain_tiers_job(chain, JOB_PATIENT).tiers_to;
	/* All else that belongs there is there then. */
	fixture_fault("frames.write:1:EIO");
	cr_assert_eq(chain_tiers_job(chain, JOB_PATIENT).result, -EIO);
	fixture_fault(NULL);
	chain_context.urgent = somebody_waits;
	struct job job = chain_tiers_job(chain, 0);
	cr_assert_eq(job.result, -EINTR, "%d, %s", job.result, job.text);
	cr_assert_eq(frames_of(chain), 0);
	cr_assert_eq(chain_tiers_job(chain, JOB_PATIENT).result, 0);
	cr_assert_eq(frames_of(chain), 1);
	chain_context.urgent = NULL;
	chain_free(chain);
}

/* ---- kept mapped ------------------------------------------------------------------------------------------------- */

static void heavy(uint8_t *image, uint64_t *size, uint32_t k)
{
	(void)k;
	*size = 200000;
	for (int i = 0; i < 10; i++)
		chain_noise(image + chain_random() % (200000 - 1600), 1600);
}

/* Long histories have large files of tiers, and small images: mapping those anew in each job is what would cost most. */
Test(frames, a_large_file_of_them_stays_mapped_from_job_to_job)
{
	struct chain *chain = chain_history(1, 400, 200000, heavy);
	chain_tiers(chain);
	cr_assert_gt(chain_bytes(chain, "tiers"), (long)TIER_INDEX + (5 << 20));
	chain_restore(chain, 320, false);
	chain_restore(chain, 321, false);
	for (uint32_t at = 256; at < 336; at += 8) {
		fixture_fault("read.open:2+:EIO,read.data:1+:EIO,map:1+:ENOMEM");
		struct job job = chain_job(chain, at, false, 0);
		fixture_fault(NULL);
		cr_assert_eq(job.result, 0, "entry %u: %s", at, job.text);
		cr_assert(chain_holds(chain, at));
	}
	chain_free(chain);
}
