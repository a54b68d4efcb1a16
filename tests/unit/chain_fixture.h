/*
 * chain_fixture.h - modules with a history on disk, made without a coordinator, and jobs that are run on them here, in
 * the test's own process: so each step can be looked at.
 */
#ifndef CHAIN_FIXTURE_H
#define CHAIN_FIXTURE_H

#include "io_fixture.h"
#include "plan.h"
#include "rebuild.h"

#define CHAIN_MOST 12000

/** A module; its images as they were committed. */
struct chain {
	uint32_t module;
	struct varve_id id;
	uint8_t *images[CHAIN_MOST];
	uint64_t sizes[CHAIN_MOST];
	uint32_t count;
	uint32_t finished; /* the whole image of entry finished - 1 is the last's file; 0: there is none */
	uint32_t tiers_to, undo_to;
	struct stamp stamp;
};

static struct dir chain_base, chain_priv;
static struct catalog chain_catalog;
static struct job_context chain_context;
static struct delta_encoder *chain_encoder;

static inline void chains_open_in(const char *parent)
{
	fixture_open_in(parent);
	chain_base = fixture;
	cr_assert_eq(dir_make(&chain_priv, fixture.fd, ".varve", ".varve/"), 0);
	cr_assert_eq(catalog_create(&chain_catalog), 0);
	chain_context = (struct job_context) {
	    .base = &chain_base, .priv = &chain_priv, .catalog = &chain_catalog, .tiers_percent = TIERS_PERCENT};
	cr_assert_eq(reader_open(READ_PREAD, 1, &chain_context.reader), 0);
	cr_assert_eq(job_context_open(&chain_context), 0);
	cr_assert_eq(delta_encoder_open(&chain_encoder), 0);
}

static inline void chains_close(void)
{
	fixture_fault(NULL);
	delta_encoder_close(chain_encoder);
	job_context_close(&chain_context);
	reader_close(chain_context.reader);
	catalog_close(&chain_catalog);
	dir_close(&chain_priv);
	fixture_close();
}

/** chains_open() - in memory where that can be: ten thousand small files are made in an instant there. */
static inline void chains_open(void)
{
	chains_open_in(access("/dev/shm", R_OK | W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
}

/** chain_forget() - what a process keeps from job to job: the next one is another process's. */
static inline void chain_forget(void)
{
	job_context_close(&chain_context);
	cr_assert_eq(job_context_open(&chain_context), 0);
}

/** chain_new() - a module without a commit; @number tells it from others. To be freed with chain_free(). */
static inline struct chain *chain_new(unsigned number)
{
	struct chain *chain = calloc(1, sizeof(*chain));
	chain->id.bytes[0] = 0xAA;
	memcpy(chain->id.bytes + 1, &number, sizeof(number));
	int64_t module = catalog_add(&chain_catalog, &chain->id);
	cr_assert_geq(module, 0, "%s", err_text());
	chain->module = (uint32_t)module;
	chain->stamp.entry = CHAIN_NONE;
	return chain;
}

static inline void chain_free(struct chain *chain)
{
	for (uint32_t i = 0; i < chain->count; i++)
		free(chain->images[i]);
	free(chain);
}

static inline void chain_write(const struct place *place, const void *data, size_t size)
{
	int fd = file_create(place->dir, place->name);
	cr_assert_geq(fd, 0, "%s", err_text());
	cr_assert_eq(file_write_at(fd, data, size, 0, place->dir, place->name), 0, "%s", err_text());
	close(fd);
}

/** chain_add() - commit an image. chain_finish() is due before the next job. */
static inline void chain_add(struct chain *chain, const void *image, uint64_t size)
{
	uint32_t at = chain->count++;
	struct chain_entry entry = {.size = size};
	struct place place;
	cr_assert_lt(at, CHAIN_MOST);
	chain->images[at] = malloc(size + 1);
	chain->sizes[at] = size;
	memcpy(chain->images[at], image, size);
	hash_image(image, size, &entry.hash);
	memcpy(entry.id.bytes, entry.hash.bytes, sizeof(entry.hash.bytes));
	entry.id.bytes[31] = 1;
	if (chain->finished == at && at > 1) {
		/* The newest is not the last any more. */
		struct place pending, was;
		place_last(&chain_context, chain->module, at - 1, &was);
		file_unlink(was.dir, was.name);
		place_delta(&chain_context, chain->module, at - 1, at - 1, &pending);
		place_delta(&chain_context, chain->module, at - 1, at, &place);
		cr_assert_eq(file_rename(pending.dir, pending.name, place.dir, place.name), 0, "%s", err_text());
	}
	if (at == 0) {
		cr_assert_eq(chain_append(&chain_catalog, chain->module, &entry), 0);
		place_base(&chain_context, chain->module, &place);
		chain_write(&place, image, size);
		return;
	}
	struct runs runs = {0};
	struct buf delta = {0};
	cr_assert_eq(diff_images(chain->images[at - 1], chain->sizes[at - 1], image, size, &runs), 0);
	cr_assert_eq(delta_encode(chain_encoder, chain->images[at - 1], chain->sizes[at - 1], image, size, &runs,
	                 &entry.hash, 0, &delta),
	    0);
	entry.delta_bytes = delta.size;
	cr_assert_eq(chain_append(&chain_catalog, chain->module, &entry), at);
	place_delta(&chain_context, chain->module, at, at + 1, &place);
	chain_write(&place, delta.data, delta.size);
	buf_free(&delta);
	runs_free(&runs);
}

/** chain_finish() - put the newest entry's files where they belong. */
static inline void chain_finish(struct chain *chain)
{
	uint32_t last = chain->count - 1;
	struct place place, pending;
	if (chain->finished == chain->count)
		return;
	chain->finished = chain->count;
	if (last == 0)
		return;
	place_last(&chain_context, chain->module, last, &place);
	chain_write(&place, chain->images[last], chain->sizes[last]);
	place_delta(&chain_context, chain->module, last, last + 1, &place);
	pending = (struct place) {.dir = &chain_priv};
	name_private(pending.name, &chain->id, "delta");
	cr_assert_eq(file_rename(place.dir, place.name, pending.dir, pending.name), 0, "%s", err_text());
}

/** chain_tiers_job() - the next job of background work for it; what it has done is not taken over. */
static inline struct job chain_tiers_job(const struct chain *chain, uint32_t flags)
{
	struct job job = {.kind = JOB_TIERS,
	    .module = chain->module,
	    .target = chain->count - 1,
	    .flags = flags,
	    .tiers_to = chain->tiers_to,
	    .undo_to = chain->undo_to};
	job_run(&chain_context, &job);
	return job;
}

/** chain_tiers() - all of it, to the end. */
static inline void chain_tiers(struct chain *chain)
{
	uint32_t last = chain->count - 1;
	uint32_t jobs = 0;
	chain_finish(chain);
	while (chain->undo_to < last || chain->tiers_to / TIER_FAN < last / TIER_FAN) {
		struct job job = chain_tiers_job(chain, JOB_PATIENT);
		cr_assert_eq(job.result, 0, "%s", job.text);
		cr_assert_lt(jobs++, 2 * chain->count + UNDO_KEEP, "it does not get on");
		chain->tiers_to = job.tiers_gone ? 0 : job.tiers_to;
		chain->undo_to = job.undo_to;
	}
}

/** chain_undone() - make the tiers and undo deltas anew, as a coordinator that was just started would. */
static inline void chain_undone(struct chain *chain)
{
	chain->tiers_to = chain->undo_to = 0;
}

/** chain_path() - of a file of the module: ".varve/<ModId>.<suffix>", or, without @suffix, the backing file. Static. */
static inline const char *chain_path(const struct chain *chain, const char *suffix)
{
	static char path[256];
	char name[NAME_MAX_SIZE];
	if (suffix)
		name_private(name, &chain->id, suffix);
	else
		name_backing(name, &chain->id);
	snprintf(path, sizeof(path), "%s/%s%s", fixture_path, suffix ? ".varve/" : "", name);
	return path;
}

static inline const char *place_path(const struct place *place)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s%s", fixture_path, place->dir->label, place->name);
	return path;
}

/** chain_bytes() - length of that file; -1: there is none. */
static inline long chain_bytes(const struct chain *chain, const char *suffix)
{
	struct stat st;
	return lstat(chain_path(chain, suffix), &st) < 0 ? -1 : (long)st.st_size;
}

/** chain_back() - put @size bytes into the backing file, as somebody else would. */
static inline void chain_back(struct chain *chain, const void *data, uint64_t size)
{
	int fd = open(chain_path(chain, NULL), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	cr_assert_eq(pwrite(fd, data, size, 0), (ssize_t)size);
	close(fd);
}

/** chain_holds() - whether the backing file is exactly entry @at. */
static inline bool chain_holds(const struct chain *chain, uint32_t at)
{
	uint64_t size = chain->sizes[at];
	uint8_t *is = malloc(size + 1);
	int fd = open(chain_path(chain, NULL), O_RDONLY | O_CLOEXEC);
	bool same = fd >= 0 && pread(fd, is, size + 1, 0) == (ssize_t)size && memcmp(is, chain->images[at], size) == 0;
	if (fd >= 0)
		close(fd);
	free(is);
	return same;
}

/** chain_job() - run a JOB_RESTORE to entry @at; @stamped: what the backing file holds since the last is known. */
static inline struct job chain_job(struct chain *chain, uint32_t at, bool stamped, uint32_t flags)
{
	struct job job = {.kind = JOB_RESTORE, .module = chain->module, .target = at, .flags = flags};
	job.stamp = chain->stamp;
	if (!stamped)
		job.stamp.entry = CHAIN_NONE;
	chain_finish(chain);
	job_run(&chain_context, &job);
	if (!(flags & JOB_DRY)) {
		chain->stamp = job.stamp;
		if (job.result)
			chain->stamp.entry = CHAIN_NONE;
	}
	return job;
}

/** chain_restore() - the same, which must succeed, and be right. */
static inline struct job chain_restore(struct chain *chain, uint32_t at, bool stamped)
{
	struct job job = chain_job(chain, at, stamped, 0);
	cr_assert_eq(job.result, 0, "restore to entry %u of %u: %s", at, chain->count, job.text);
	cr_assert(chain_holds(chain, at), "entry %u of %u is not what was committed", at, chain->count);
	return job;
}

/* ---- what happens to an image ------------------------------------------------------------------------------------ */

static inline uint64_t chain_random(void)
{
	static uint64_t x = 88172645463325252u;
	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static inline void chain_noise(uint8_t *to, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		to[i] = (uint8_t)(chain_random() >> 13);
}

/** Makes an image, that of commit @k - 1, that of commit @k, of *size bytes. */
typedef void chain_step(uint8_t *image, uint64_t *size, uint32_t k);

/** chain_grow() - more commits, until there are @count; an image has room for @room bytes. */
static inline void chain_grow(struct chain *chain, uint32_t count, uint64_t room, chain_step *step)
{
	uint8_t *image = calloc(1, room + 1);
	uint64_t size = 0;
	if (chain->count) {
		size = chain->sizes[chain->count - 1];
		memcpy(image, chain->images[chain->count - 1], size);
	}
	while (chain->count < count) {
		uint64_t before = size;
		step(image, &size, chain->count);
		cr_assert_leq(size, room);
		if (size < before)
			memset(image + size, 0, before - size);
		chain_add(chain, image, size);
	}
	free(image);
	chain_finish(chain);
}

/** chain_history() - a new one of @count commits. */
static inline struct chain *chain_history(unsigned number, uint32_t count, uint64_t room, chain_step *step)
{
	struct chain *chain = chain_new(number);
	chain_grow(chain, count, room, step);
	return chain;
}

#endif
