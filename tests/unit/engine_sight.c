/*
 * engine_sight.c - the steps of publishing that a worker asks the coordinator for: what a job needs, and nothing that
 * whoever has taken a worker over might want.
 */
#include "chain_fixture.h"
#include "publish.h"

TestSuite(sight, .init = chains_open, .fini = chains_close, .timeout = 60);

static struct chain *chain;

static void step_image(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = 20000;
	image[k * 4096] = (uint8_t)(k + 1);
}

/* Three commits: the base, a delta in sight, the last with its delta out of sight. */
static void make(uint32_t count)
{
	chain = chain_history(1, count, 20000, step_image);
}

static int take(uint32_t kind, uint32_t target, enum sight_step step, uint32_t entry)
{
	struct job job = {.kind = kind, .module = chain->module, .target = target};
	struct sight_steps steps = {0};
	sight_add(&steps, step, entry);
	return sight_take(&chain_context, &job, &steps);
}

static bool is_there(const char *suffix)
{
	return chain_bytes(chain, suffix) >= 0;
}

static bool in_sight(uint32_t entry, bool delta)
{
	struct place place;
	if (delta)
		sight_delta(&chain_context, chain->module, entry, &place);
	else if (entry)
		place_last(&chain_context, chain->module, entry, &place);
	else
		place_base(&chain_context, chain->module, &place);
	return file_exists(place.dir, place.name);
}

/* In the order in which publishing takes them. */
Test(sight, each_step_moves_the_file_that_it_is_about)
{
	make(3);
	cr_assert(in_sight(2, false) && is_there("delta"));
	cr_assert_eq(take(JOB_REPAIR, 2, SIGHT_DELTA, 2), 0, "%s", err_text());
	cr_expect(in_sight(2, true) && !is_there("delta"));
	cr_assert_eq(take(JOB_REPAIR, 2, SIGHT_DELTA_BACK, 2), 0, "%s", err_text());
	cr_expect(!in_sight(2, true) && is_there("delta"));
	char delta[NAME_MAX_SIZE], next[NAME_MAX_SIZE];
	name_private(delta, &chain->id, "delta");
	name_private(next, &chain->id, "next");
	cr_assert_eq(file_rename(&chain_priv, delta, &chain_priv, next), 0);
	cr_assert_eq(take(JOB_PUBLISH, 2, SIGHT_KEEP, 2), 0, "%s", err_text());
	cr_expect(is_there("delta") && !is_there("next"));
	chain_free(chain);
}

/* Anybody could ask for it, by a job that is another's, or by a number that is none. */
Test(sight, what_is_no_step_of_the_job_is_refused_and_moves_nothing)
{
	static const uint32_t others[] = {JOB_NONE, JOB_RESTORE, JOB_CHECKOUT, JOB_VERIFY, JOB_TIERS, JOB_HASH_SHARD,
	    JOB_WRITE_SHARD, JOB_SYNC_FILES};
	make(3);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		for (int step = 0; step <= SIGHT_REMOVE + 1; step++)
			cr_expect_eq(
			    take(others[i], 2, (enum sight_step)step, 2), -EINVAL, "kind %u step %d", others[i], step);
	for (int step = 0; step <= SIGHT_REMOVE; step++) {
		cr_expect_eq(take(JOB_PUBLISH, 2, (enum sight_step)step, 0), -EINVAL, "entry 0, step %d", step);
		cr_expect_eq(take(JOB_PUBLISH, 2, (enum sight_step)step, 3), -EINVAL, "entry 3, step %d", step);
		cr_expect_eq(take(JOB_PUBLISH, 3, (enum sight_step)step, 3), -EINVAL, "target 3, step %d", step);
	}
	cr_expect_eq(take(JOB_PUBLISH, 2, (enum sight_step)(SIGHT_REMOVE + 1), 2), -EINVAL);
	cr_expect(strstr(err_text(), "is not one of publishing entry 2"), "%s", err_text());
	chain->module = 77;
	cr_expect_eq(take(JOB_PUBLISH, 2, SIGHT_DELTA, 1), -EINVAL);
	chain->module = 0;
	cr_expect(in_sight(0, false) && in_sight(1, true) && in_sight(2, false) && is_there("delta"));
	chain_free(chain);
}

/* The base is the only whole image that the chain can be had from. */
Test(sight, the_base_can_not_be_hidden_or_removed)
{
	make(2);
	cr_expect_eq(take(JOB_REPAIR, 1, SIGHT_HIDE, 0), -EINVAL);
	cr_expect_eq(take(JOB_REPAIR, 1, SIGHT_REMOVE, 0), -EINVAL);
	cr_expect(in_sight(0, false) && in_sight(1, false));
	chain_free(chain);
}

/* The image before the last goes only once its delta is in sight. */
Test(sight, an_image_is_removed_only_where_its_delta_is_there)
{
	struct place before, delta;
	make(3);
	place_last(&chain_context, chain->module, 1, &before);
	sight_delta(&chain_context, chain->module, 1, &delta);
	chain_write(&before, chain->images[1], chain->sizes[1]);
	cr_assert_eq(file_rename(delta.dir, delta.name, &chain_priv, "elsewhere"), 0);
	cr_expect_eq(take(JOB_REPAIR, 2, SIGHT_REMOVE, 1), -EINVAL);
	cr_expect(file_exists(before.dir, before.name));
	cr_assert_eq(file_rename(&chain_priv, "elsewhere", delta.dir, delta.name), 0);
	cr_expect_eq(take(JOB_REPAIR, 2, SIGHT_REMOVE, 1), 0, "%s", err_text());
	cr_expect(!file_exists(before.dir, before.name));
	chain_free(chain);
}
