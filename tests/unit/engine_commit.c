/*
 * engine_commit.c - jobs of a commit whose files are not what they should be: cut, or far longer, by whoever has a
 * descriptor of them.
 */
#include "chain_fixture.h"

#include <errno.h>

TestSuite(commit, .init = chains_open, .fini = chains_close, .timeout = 60);

#define MIB (1u << 20)
#define SMALL 20000u

static struct chain *chain;

static void large_image(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = 12 * MIB;
	chain_noise(image + k * 4096, 100);
}

static void small_image(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = SMALL;
	chain_noise(image + k * 4096, 100);
}

static struct job commit(void)
{
	struct job job = {.kind = JOB_COMMIT, .module = chain->module, .basis = chain->count - 1};
	chain_finish(chain);
	job_run(&chain_context, &job);
	return job;
}

/* A publication that begins: the entry is in the chain, its delta waits. */
static struct job publish(void)
{
	struct job written = commit();
	cr_assert_eq(written.result, 0, "%s", written.text);
	cr_assert(!written.unchanged);
	cr_assert_eq(chain_append(&chain_catalog, chain->module, &written.entry), chain->count);
	struct job job = {.kind = JOB_PUBLISH, .module = chain->module, .target = chain->count};
	job_run(&chain_context, &job);
	return job;
}

static void resize(const char *path, uint64_t size)
{
	cr_assert_eq(truncate(path, (off_t)size), 0, "%s: %m", path);
}

/* ---- cut ---------------------------------------------------------------------------------------------------------- */

static unsigned beats;

static void cut_it(void *arg)
{
	if (++beats == *(unsigned *)arg)
		resize(chain_path(chain, NULL), MIB + 5);
}

/* The coordinator runs such jobs as well: a client that cuts its own memory would end it for all. */
Test(commit, of_a_file_that_is_cut_meanwhile_fails_and_ends_nobody)
{
	chain = chain_history(1, 3, 12 * MIB, large_image);
	for (unsigned when = 2; when < 5; when++) {
		chain_back(chain, chain->images[0], chain->sizes[0]);
		beats = 0;
		chain_context.beat = cut_it;
		chain_context.arg = &when;
		struct job job = commit();
		chain_context.beat = NULL;
		cr_assert_geq(beats, when);
		cr_assert_eq(job.result, -EIO, "at step %u: %d, %s", when, job.result, job.text);
		cr_assert(strstr(job.text, "cut short"), "%s", job.text);
	}
	/* And the next one is as if nothing had been. */
	chain_back(chain, chain->images[0], chain->sizes[0]);
	struct job job = commit();
	cr_assert_eq(job.result, 0, "%s", job.text);
	struct image_hash hash;
	hash_image(chain->images[0], chain->sizes[0], &hash);
	cr_assert(hash_equal(&hash, &job.entry.hash));
}

/* ---- longer than this process may look at ------------------------------------------------------------------------- */

/* What a chain says of an image's size, and its file's length, are two things. */
Test(commit, of_a_file_that_is_too_long_for_this_process_is_left_to_another)
{
	chain = chain_history(1, 3, SMALL, small_image);
	chain_back(chain, chain->images[0], SMALL);
	chain_context.most = MIB;
	resize(chain_path(chain, NULL), UINT64_C(1) << 40);
	struct job job = commit();
	cr_assert_eq(job.result, 0, "%s", job.text);
	cr_assert(job.far);
	cr_assert_eq(chain_bytes(chain, "next"), -1);
	resize(chain_path(chain, NULL), MIB);
	job = commit();
	cr_assert(job.result == 0 && !job.far && job.entry.size == MIB, "%s", job.text);
}

/* Mending the last image takes the whole chain. */
Test(commit, against_a_last_image_that_is_wrong_is_left_to_another)
{
	struct place last;
	chain = chain_history(1, 4, SMALL, small_image);
	chain_back(chain, chain->images[0], SMALL);
	chain_finish(chain);
	place_last(&chain_context, chain->module, 3, &last);
	static const uint64_t sizes[] = {SMALL - 1, SMALL + 1, UINT64_C(1) << 40};
	for (size_t i = 0; i < 4; i++) {
		if (i < 3)
			resize(place_path(&last), sizes[i]);
		else
			chain_write(&last, chain->images[1], SMALL);
		chain_context.most = MIB;
		struct job job = commit();
		cr_assert(job.result == 0 && job.far, "%zu: %d, %s", i, job.result, job.text);
		chain_context.most = 0;
		job = commit();
		cr_assert(job.result == 0 && !job.far, "%zu: %d, %s", i, job.result, job.text);
	}
}

Test(commit, restoring_over_a_file_that_is_too_long_for_this_process_is_left_to_another)
{
	chain = chain_history(1, 3, SMALL, small_image);
	chain_back(chain, chain->images[0], SMALL);
	resize(chain_path(chain, NULL), UINT64_C(1) << 40);
	chain_context.most = MIB;
	struct job job = chain_job(chain, 1, false, 0);
	cr_assert(job.result == 0 && job.far, "%s", job.text);
	cr_assert_eq(chain_bytes(chain, NULL), (long)1 << 40, "it has been touched");
	chain_context.most = 0;
	chain_restore(chain, 1, false);
	cr_assert(chain_holds(chain, 1));
}

Test(commit, publishing_that_takes_the_whole_chain_is_left_to_another)
{
	chain = chain_history(1, 4, SMALL, small_image);
	chain_back(chain, chain->images[0], SMALL);
	chain_finish(chain);
	resize(chain_path(chain, "delta"), UINT64_C(1) << 39);
	chain_context.most = MIB;
	struct job job = publish();
	cr_assert(job.result == 0 && job.far, "%d, %s", job.result, job.text);
	cr_assert_geq(chain_bytes(chain, "next"), 1, "it has begun all the same");
	chain_context.most = 0;
	job = (struct job) {.kind = JOB_PUBLISH, .module = chain->module, .target = 4};
	job_run(&chain_context, &job);
	cr_assert(job.result == 0 && !job.far, "%d, %s", job.result, job.text);
	cr_assert_eq(chain_bytes(chain, "next"), -1);
}

/* ---- deltas longer than any can be -------------------------------------------------------------------------------- */

/* Loaded before it is looked at, a sparse file costs as much memory as it is long. */
Test(commit, a_delta_that_is_longer_than_it_can_be_is_not_loaded)
{
	struct place delta;
	chain = chain_history(1, 4, SMALL, small_image);
	chain_finish(chain);
	place_delta(&chain_context, chain->module, 1, 3, &delta);
	resize(place_path(&delta), UINT64_C(1) << 39);
	struct job job = chain_job(chain, 1, false, 0);
	cr_assert_eq(job.result, -EBADMSG, "%d, %s", job.result, job.text);
	cr_assert(strstr(job.text, delta.name) && strstr(job.text, "longer"), "%s", job.text);
	cr_assert_eq(chain_restore(chain, 3, false).result, 0);
}

/* Workers can write there; it is looked at when a store is opened. */
Test(commit, a_pending_delta_that_is_longer_than_it_can_be_is_made_again)
{
	chain = chain_history(1, 4, SMALL, small_image);
	chain_finish(chain);
	resize(chain_path(chain, "delta"), 12 * MIB);
	struct job job = {.kind = JOB_REPAIR, .module = chain->module, .target = 3};
	job_run(&chain_context, &job);
	cr_assert_eq(job.result, 0, "%s", job.text);
	cr_assert_lt(chain_bytes(chain, "delta"), 1000);
	cr_assert_lt(chain_context.scratch->file.capacity, 12 * MIB, "it was loaded");
}
