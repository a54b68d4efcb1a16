/*
 * engine_tiers.c - merged deltas: right whatever there is of them, and never more of them than their share of disk.
 */
#include "chain_fixture.h"

TestSuite(tiers, .init = chains_open, .fini = chains_close, .timeout = 60);

#define ROOM 120000u
#define LENGTH 300u

/* ---- histories --------------------------------------------------------------------------------------------------- */

static void grow(uint8_t *image, uint64_t *size, uint32_t k)
{
	chain_noise(image + *size, 333);
	*size += 333;
	image[chain_random() % *size] = (uint8_t)k;
}

static void shrink(uint8_t *image, uint64_t *size, uint32_t k)
{
	if (k == 0)
		chain_noise(image, *size = ROOM);
	*size -= 333;
	image[chain_random() % *size] = (uint8_t)k;
}

/* Up and down, through sizes that are whole pages and such that are not; what was cut off must come back as zeros. */
static void breathe(uint8_t *image, uint64_t *size, uint32_t k)
{
	static const uint64_t sizes[] = {40000, 40960, 8192, 40960, 100, 20000, 0, 4096, 4095, 60000, 60000};
	*size = sizes[k % (sizeof(sizes) / sizeof(*sizes))];
	if (*size > 64)
		chain_noise(image + chain_random() % (*size - 64), 64);
}

static void hot_set(uint8_t *image, uint64_t *size, uint32_t k)
{
	(void)k;
	*size = ROOM;
	for (int i = 0; i < 20; i++)
		chain_noise(image + 8 * (chain_random() % 500), 8);
}

static void scatter(uint8_t *image, uint64_t *size, uint32_t k)
{
	(void)k;
	*size = ROOM;
	for (int i = 0; i < 20; i++)
		chain_noise(image + chain_random() % (ROOM - 8), 8);
}

/* A, B, A, B, C, ...: images and their ids come again. */
static void recur(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = 30000;
	memset(image, 'A' + (int)(k % 5 == 4 ? k / 5 % 20 : k % 2), *size);
}

/* Nothing of it can be packed, and merging eight by eight saves a little only: all of that would be too much. */
static void hostile(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = ROOM;
	chain_noise(image + k % 40 * 2000, 2000);
}

static const struct {
	const char *name;
	void (*step)(uint8_t *image, uint64_t *size, uint32_t k);
} histories[] = {{"one that grows", grow}, {"one that shrinks", shrink}, {"one that breathes", breathe},
    {"one of a hot set", hot_set}, {"a scattered one", scatter}, {"one that recurs", recur},
    {"a hostile one", hostile}};
#define HISTORIES (sizeof(histories) / sizeof(*histories))

static uint64_t deltas_of(const struct chain *chain)
{
	uint64_t bytes = 0;
	for (uint32_t i = 1; i < chain->count; i++)
		bytes += chain_entry(&chain_catalog, chain->module, i)->delta_bytes;
	return bytes;
}

/* The file of tiers, in the tests' own mapping. NULL: there is none. */
static const struct map *tiers_file(const struct chain *chain)
{
	static struct map map;
	struct stat st;
	int fd = open(chain_path(chain, "tiers"), O_RDONLY | O_CLOEXEC);
	map_close(&map);
	if (fd < 0)
		return NULL;
	cr_assert(fstat(fd, &st) == 0 && map_open(&map, fd, (size_t)st.st_size, false) == 0);
	close(fd);
	return (uint64_t)st.st_size > TIER_INDEX ? &map : NULL;
}

/* Bytes of tiers and anchors. */
static uint64_t tiers_of(const struct chain *chain)
{
	const struct map *file = tiers_file(chain);
	uint64_t sum = 0, offset, size;
	for (unsigned level = 1; file && level <= TIER_ANCHOR; level++)
		for (struct tier tier = {level, 0}; tier_to(tier) < chain->count; tier.index++)
			sum += tier_find(&chain_context, chain->module, file, tier, &offset, &size) ? size : 0;
	return sum;
}

/* Bytes of the file, holes left out. */
static uint64_t stored_of(const struct chain *chain)
{
	const struct map *file = tiers_file(chain);
	static const uint8_t zeros[PAGE_BYTES];
	uint64_t sum = 0;
	for (uint64_t at = TIER_INDEX; file && at < file->size; at += PAGE_BYTES) {
		size_t size = file->size - at < PAGE_BYTES ? (size_t)(file->size - at) : PAGE_BYTES;
		sum += memcmp(file->data + at, zeros, size) ? size : 0;
	}
	return sum;
}

/* ---- what becomes of the file ------------------------------------------------------------------------------------ */

static void leave(const struct chain *chain)
{
	(void)chain;
}

static void take_away(const struct chain *chain)
{
	cr_assert_eq(unlink(chain_path(chain, "tiers")), 0);
}

static void cut_half(const struct chain *chain)
{
	long tiers = chain_bytes(chain, "tiers") - (long)TIER_INDEX;
	cr_assert_eq(truncate(chain_path(chain, "tiers"), (long)TIER_INDEX + tiers / 2), 0);
}

static void cut_index(const struct chain *chain)
{
	cr_assert_eq(truncate(chain_path(chain, "tiers"), 100), 0);
}

/* Bits in @count bytes of [from, to), if it has so many. */
static void flip(const struct chain *chain, long from, long to, int count)
{
	int fd = open(chain_path(chain, "tiers"), O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	for (int i = 0; i < count && to > from; i++) {
		uint8_t byte;
		long at = from + (long)(chain_random() % (uint64_t)(to - from));
		cr_assert_eq(pread(fd, &byte, 1, at), 1);
		byte ^= (uint8_t)(1u << chain_random() % 8);
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}

static void flip_some(const struct chain *chain)
{
	flip(chain, TIER_INDEX, chain_bytes(chain, "tiers"), 20);
}

static void flip_slots(const struct chain *chain)
{
	flip(chain, 0, 37 * (long)TIER_SLOT, 10);
}

static void zero_some(const struct chain *chain)
{
	static const uint8_t zeros[3000];
	int fd = open(chain_path(chain, "tiers"), O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, zeros, sizeof(zeros), TIER_INDEX + 1000), (ssize_t)sizeof(zeros));
	close(fd);
}

static void lose_undo(const struct chain *chain)
{
	struct place place;
	place_undo(&chain_context, chain->module, &place);
	cr_assert_eq(file_unlink(place.dir, place.name), 0);
}

static const struct {
	const char *name;
	void (*spoil)(const struct chain *chain);
} fates[] = {{"whole", leave}, {"missing", take_away}, {"cut in half", cut_half}, {"cut within its index", cut_index},
    {"spoilt", flip_some}, {"spoilt in its index", flip_slots}, {"partly zero", zero_some},
    {"whole, but undo deltas are missing", lose_undo}};
#define FATES (sizeof(fates) / sizeof(*fates))

/* ---- right ------------------------------------------------------------------------------------------------------- */

static void restore_some(struct chain *chain, const char *history, const char *fate)
{
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t at = i < 4 ? chain->count - 1 - i : (uint32_t)(chain_random() % chain->count);
		struct job job = chain_job(chain, at, i % 3, 0);
		cr_assert_eq(job.result, 0, "%s, tiers %s: entry %u: %s", history, fate, at, job.text);
		cr_assert(
		    chain_holds(chain, at), "%s, tiers %s: entry %u is not what was committed", history, fate, at);
	}
}

/* Tiers are a short cut. Whatever is wrong with them, the chain decides. */
Test(tiers, of_any_history_and_in_any_state_never_lead_to_a_wrong_image)
{
	for (unsigned h = 0; h < HISTORIES; h++) {
		struct chain *chain = chain_history(h, LENGTH, ROOM, histories[h].step);
		for (unsigned f = 0; f < FATES; f++) {
			chain_undone(chain);
			chain_tiers(chain);
			fates[f].spoil(chain);
			chain_forget();
			restore_some(chain, histories[h].name, fates[f].name);
			/* And while the process had them mapped. */
			chain_undone(chain);
			chain_tiers(chain);
			chain_restore(chain, LENGTH / 2, false);
			fates[f].spoil(chain);
			restore_some(chain, histories[h].name, fates[f].name);
		}
		chain_free(chain);
	}
}

Test(tiers, of_every_history_lead_to_every_commit)
{
	for (unsigned h = 0; h < HISTORIES; h++) {
		struct chain *chain = chain_history(h, LENGTH, ROOM, histories[h].step);
		chain_tiers(chain);
		for (uint32_t k = 0; k < chain->count; k++)
			chain_restore(chain, k, k % 2);
		chain_free(chain);
	}
}

/* A file that was copied from elsewhere: same module, same sizes, whole in itself. */
Test(tiers, of_another_history_are_not_believed)
{
	struct chain *chain = chain_history(1, 200, ROOM, scatter), *other = chain_history(2, 200, ROOM, scatter);
	chain_tiers(chain);
	chain_tiers(other);
	char from[256];
	snprintf(from, sizeof(from), "%s", chain_path(other, "tiers"));
	cr_assert_eq(rename(from, chain_path(chain, "tiers")), 0);
	struct steps steps = {0};
	cr_assert_eq(plan_rebuild(&chain_context, chain->module, 100, WAY_FORWARD, &steps), 0);
	cr_assert_eq(steps.count, 100, "steps of another history are planned with");
	steps_free(&steps);
	for (uint32_t k = 0; k < 200; k += 9)
		chain_restore(chain, k, false);
	chain_free(chain);
	chain_free(other);
}

/* A tier from @from to @to whose every checksum is right, and whose bytes are those of another image. */
static void make_wrong(const struct chain *chain, uint32_t from, uint32_t to, struct buf *delta)
{
	const struct chain_entry *entry = chain_entry(&chain_catalog, chain->module, to);
	uint64_t size = chain->sizes[to];
	uint8_t *wrong = malloc(size);
	struct runs runs = {0};
	memcpy(wrong, chain->images[to], size);
	wrong[size / 2] ^= 1;
	cr_assert_eq(diff_images(chain->images[from], chain->sizes[from], wrong, size, &runs), 0);
	cr_assert_eq(delta_encode(chain_encoder, chain->images[from], chain->sizes[from], wrong, size, &runs,
	                 &entry->hash, DELTA_QUICK, delta),
	    0);
	runs_free(&runs);
	free(wrong);
}

/* A worker that had gone wrong may have made it. Only the hash of the image can tell. */
Test(tiers, that_are_whole_and_wrong_are_noticed_by_what_they_lead_to)
{
	struct chain *chain = chain_history(1, 96, ROOM, hot_set);
	struct buf delta = {0};
	for (uint32_t i = 0; i < 11; i++) {
		struct tier tier = {1, i};
		buf_clear(&delta);
		make_wrong(chain, tier_from(tier), tier_to(tier), &delta);
		cr_assert_eq(tier_append(&chain_context, chain->module, tier, &delta), 0);
	}
	for (uint32_t k = 95; k < 96; k--)
		chain_restore(chain, k, k % 2);
	cr_assert_eq(tiers_of(chain), 0, "the wrong tiers are still there");
	chain_tiers(chain);
	cr_assert_lt(chain_restore(chain, 80, false).deltas_applied, 11);
	buf_free(&delta);
	chain_free(chain);
}

/* ---- how much ---------------------------------------------------------------------------------------------------- */

/* What is made again at will must not fill a disk. */
Test(tiers, take_at_most_their_share_of_the_disk_at_every_length)
{
	for (unsigned h = 0; h < HISTORIES; h++) {
		struct chain *chain = chain_new(h);
		uint32_t count = histories[h].step == grow || histories[h].step == shrink ? 340 : 700;
		for (uint32_t k = 1; k < count; k += 8) {
			chain_grow(chain, k, ROOM, histories[h].step);
			chain_tiers(chain);
			cr_assert(tiers_of(chain) * 2 <= deltas_of(chain) * 3, "%s: %llu bytes of tiers at %u for %llu",
			    histories[h].name, (unsigned long long)tiers_of(chain), k,
			    (unsigned long long)deltas_of(chain));
			cr_assert(stored_of(chain) * 2 <= deltas_of(chain) * (k < FRAME_FIRST ? 3 : 7),
			    "%s: %llu bytes with keyframes at %u for %llu", histories[h].name,
			    (unsigned long long)stored_of(chain), k, (unsigned long long)deltas_of(chain));
		}
		cr_assert_gt(tiers_of(chain), 0, "%s has no tiers", histories[h].name);
		chain_free(chain);
	}
}

/* Making them anew, for whatever reason, adds nothing to a file that has them all. */
Test(tiers, that_are_there_are_not_made_again)
{
	struct chain *chain = chain_history(1, 200, ROOM, scatter);
	chain_tiers(chain);
	long size = chain_bytes(chain, "tiers");
	chain_undone(chain);
	chain_tiers(chain);
	cr_assert_eq(chain_bytes(chain, "tiers"), size);
	chain_forget();
	chain_undone(chain);
	chain_tiers(chain);
	cr_assert_eq(chain_bytes(chain, "tiers"), size);
	chain_free(chain);
}

/* A sparse index: a module with a few tiers takes a few blocks. */
Test(tiers, of_a_short_history_take_hardly_any_disk)
{
	struct chain *chain = chain_history(1, 20, ROOM, scatter);
	struct stat st;
	chain_tiers(chain);
	cr_assert_eq(stat(chain_path(chain, "tiers"), &st), 0);
	cr_assert_gt(st.st_size, (long)TIER_INDEX);
	cr_assert_lt(st.st_blocks * 512, 65536);
	chain_free(chain);
}

/* ---- making them ------------------------------------------------------------------------------------------------- */

/* A full disk, or a process that ends: what is half written is never used, and what was there is still. */
Test(tiers, that_can_not_be_written_harm_nothing)
{
	static const char *const faults[] = {"tiers.write:1:EIO", "write.data:1:ENOSPC", "write.data:2:ENOSPC",
	    "write.create:1:ENOSPC", "map:1:ENOMEM", "map:3:ENOMEM"};
	for (unsigned f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
		struct chain *chain = chain_history(f, 64, ROOM, scatter);
		fixture_fault(faults[f]);
		for (int i = 0; i < 3; i++) {
			struct job job = chain_tiers_job(chain, JOB_PATIENT);
			cr_assert(!job.result || job.text[0], "%s: no sentence", faults[f]);
			chain->tiers_to = job.result ? chain->tiers_to : job.tiers_to;
		}
		fixture_fault(NULL);
		for (uint32_t k = 0; k < chain->count; k += 5)
			chain_restore(chain, k, false);
		chain_undone(chain);
		chain_tiers(chain);
		for (uint32_t k = 0; k < chain->count; k += 5)
			chain_restore(chain, k, false);
		cr_assert(tiers_of(chain) * 2 <= deltas_of(chain) * 3, "%s", faults[f]);
		chain_free(chain);
	}
}

static bool somebody_waits(void *arg)
{
	(void)arg;
	return true;
}

Test(tiers, are_given_up_when_somebody_waits_unless_it_is_for_them)
{
	struct chain *chain = chain_history(1, 64, ROOM, scatter);
	chain_context.urgent = somebody_waits;
	struct job job = chain_tiers_job(chain, 0);
	cr_assert_eq(job.result, -EINTR, "%d, %s", job.result, job.text);
	cr_assert_eq(tiers_of(chain), 0);
	job = chain_tiers_job(chain, JOB_PATIENT);
	cr_assert(job.result == 0 && tiers_of(chain) > 0, "%s", job.text);
	chain_context.urgent = NULL;
	chain_free(chain);
}

/* Nobody may ever restore by way of the tier that is spoilt; those that are made of it, and undo deltas, are wanted. */
Test(tiers, that_are_spoilt_do_not_keep_new_ones_from_being_made)
{
	struct chain *chain = chain_history(1, 151, ROOM, hot_set);
	chain_tiers(chain);
	flip(chain, TIER_INDEX, chain_bytes(chain, "tiers"), 200);
	chain_grow(chain, 300, ROOM, hot_set);
	chain_tiers(chain);
	for (uint32_t k = 0; k < chain->count; k += 3)
		cr_assert_lt(chain_restore(chain, k, false).deltas_applied, 24);
	chain_free(chain);
}

/* The same of a delta is damage: it is told of, and ends. */
Test(tiers, can_not_be_made_of_a_damaged_delta)
{
	struct chain *chain = chain_history(1, 100, ROOM, hot_set);
	struct place place;
	place_delta(&chain_context, chain->module, 50, 99, &place);
	cr_assert_eq(truncate(place_path(&place), 60), 0);
	struct job job;
	int jobs = 0;
	do {
		job = chain_tiers_job(chain, JOB_PATIENT);
		chain->tiers_to = job.tiers_to;
		chain->undo_to = job.undo_to;
	} while (!job.result && ++jobs < 200);
	cr_assert_eq(job.result, -EBADMSG, "%d after %d jobs, %s", job.result, jobs, job.text);
	cr_assert(strstr(job.text, place.name), "%s", job.text);
	for (uint32_t k = 0; k < 50; k++)
		chain_restore(chain, k, false);
	chain_free(chain);
}

/* Its checksum is over all of it: whoever can write the file could have a reader look at gigabytes of holes. */
Test(tiers, one_that_is_longer_than_a_delta_can_be_is_none)
{
	struct chain *chain = chain_history(1, 20, ROOM, scatter);
	struct tier tier = {1, 0};
	chain_tiers(chain);
	struct warm_module *kept = warm_module(&chain_context, chain->module);
	for (uint64_t size = delta_most(ROOM); size <= delta_most(ROOM) + 1; size++) {
		struct tier_writer w;
		uint64_t offset, is;
		cr_assert_eq(tier_begin(&chain_context, chain->module, &w), 0);
		cr_assert_eq(ftruncate(w.fd, (off_t)(w.end + size)), 0);
		cr_assert_eq(tier_end(&chain_context, chain->module, tier, &w, w.end, size, 0), 0);
		const struct map *file = warm_tiers(&chain_context, kept, chain->module);
		cr_assert_eq(
		    tier_find(&chain_context, chain->module, file, tier, &offset, &is), size == delta_most(ROOM));
	}
	chain_restore(chain, 9, false);
	chain_free(chain);
}

/* ---- undo deltas ------------------------------------------------------------------------------------------------- */

/* Back by one is the most frequent restore of all: it may cost what was changed, and no more. */
Test(tiers, undo_deltas_lead_back_by_any_number_of_commits_and_touch_only_what_those_changed)
{
	struct chain *chain = chain_history(1, 200, ROOM, hot_set);
	chain_tiers(chain);
	for (uint32_t back = 1; back <= UNDO_KEEP; back++) {
		chain_restore(chain, chain->count - 1, false);
		struct job job = chain_restore(chain, chain->count - 1 - back, true);
		cr_assert_eq(job.deltas_applied, back, "back by %u: %u deltas", back, job.deltas_applied);
		cr_assert_leq(job.bytes_written, 2 * PAGE_BYTES);
	}
	chain_free(chain);
}
