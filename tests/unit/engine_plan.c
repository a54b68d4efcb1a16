/*
 * engine_plan.c - the way to an image is short, however long the history is, and every step on it is one that there is.
 */
#include "chain_fixture.h"

TestSuite(plan, .init = chains_open, .fini = chains_close, .timeout = 60);

static struct steps steps;

/* The plan to entry @to: whether it leads there, step by step, and what it starts from. */
static uint32_t plan_to(const struct chain *chain, uint32_t to)
{
	cr_assert_eq(plan_rebuild(&chain_context, chain->module, to, WAY_ANY, &steps), 0, "%s", err_text());
	uint32_t start = steps.start.entry;
	cr_assert(start == 0 || start == chain->count - 1 || steps.start.frame);
	uint32_t at = start;
	for (size_t i = 0; i < steps.count; i++) {
		cr_assert_eq(steps.list[i].from, at, "step %zu to entry %u begins elsewhere", i, to);
		at = steps.list[i].to;
	}
	cr_assert_eq(at, to, "the plan to entry %u leads to %u", to, at);
	return start;
}

/* A word changes in each commit, and after a while the same one again. */
static void counters(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = 8192;
	memcpy(image + k % 2048 * 4, &k, sizeof(k));
}

/* A restore of a long history may cost no more than that of a short one. */
Test(plan, is_of_few_steps_to_any_of_ten_thousand_commits)
{
	struct chain *chain = chain_history(1, 10000, 8192, counters);
	size_t most = 0;
	chain_tiers(chain);
	for (uint32_t k = 0; k < chain->count; k++) {
		plan_to(chain, k);
		most = steps.count > most ? steps.count : most;
	}
	cr_assert(most < 24, "%zu steps", most);
	for (uint32_t k = 7; k < chain->count; k += 1999) {
		struct job job = chain_restore(chain, k, false);
		cr_assert_lt(job.deltas_applied, 24);
	}
	steps_free(&steps);
	chain_free(chain);
}

/* ... at each moment of its life, not only where it happens to end. */
Test(plan, stays_short_while_the_history_grows)
{
	struct chain *chain = chain_new(1);
	for (uint32_t k = 1; k < 1500; k += 50) {
		chain_grow(chain, k, 8192, counters);
		chain_tiers(chain);
		for (uint32_t to = 0; to < k; to += 1 + k / 40) {
			plan_to(chain, to);
			cr_assert(steps.count < 24, "%zu steps to entry %u of %u", steps.count, to, k);
		}
	}
	steps_free(&steps);
	chain_free(chain);
}

Test(plan, follows_the_deltas_where_there_is_nothing_else)
{
	struct chain *chain = chain_history(1, 200, 8192, counters);
	uint32_t start = plan_to(chain, 100);
	cr_assert(start == 0 && steps.count == 100 && !steps.tiers);
	chain_tiers(chain);
	cr_assert_eq(plan_forward(&chain_context, chain->module, 3, 30, false, &steps), 0);
	cr_assert(steps.count == 27 && steps.list[0].from == 3 && steps.list[26].to == 30);
	cr_assert_eq(plan_forward(&chain_context, chain->module, 3, 30, true, &steps), 0);
	/* 3 to 8, two tiers to 24, and on to 30. */
	cr_assert(steps.count == 5 + 2 + 6, "%zu steps", steps.count);
	cr_assert(steps.list[5].kind == STEP_TIER && steps.list[5].from == 8 && steps.list[5].to == 16);
	cr_assert_eq(plan_forward(&chain_context, chain->module, 8, 8, true, &steps), 0);
	cr_assert_eq(steps.count, 0);
	steps_free(&steps);
	chain_free(chain);
}

/* It grows at 40 and shrinks at 93. */
static void grow_and_shrink(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = k < 40 ? 20000 : k < 93 ? 30000 : 25000;
	memcpy(image + k % 40 * 100, &k, sizeof(k));
}

/* An undo delta can not bring back what was cut off. */
Test(plan, goes_back_from_the_last_where_that_is_cheaper_but_not_to_before_an_image_shrank)
{
	struct chain *chain = chain_history(1, 96, 30000, grow_and_shrink);
	chain_tiers(chain);
	cr_assert_eq(plan_to(chain, 93), 95);
	cr_assert(steps.count == 2 && steps.list[0].kind == STEP_UNDO && steps.list[0].from == 95);
	cr_assert_eq(plan_to(chain, 92), 0);
	for (uint32_t to = 0; to < chain->count; to++) {
		uint32_t start = plan_to(chain, to);
		for (size_t i = 0; i < steps.count; i++) {
			const struct step *step = &steps.list[i];
			cr_assert_eq(step->kind == STEP_UNDO, start > 0);
			cr_assert(step->kind != STEP_UNDO || chain->sizes[step->from] >= chain->sizes[step->to],
			    "entry %u is undone", step->from);
		}
		chain_restore(chain, to, false);
	}
	steps_free(&steps);
	chain_free(chain);
}

/* Only the newest commits have undo deltas. */
Test(plan, goes_back_no_further_than_undo_deltas_are_kept)
{
	struct chain *chain = chain_history(1, 200, 8192, counters);
	uint32_t far = chain->count - 1 - UNDO_KEEP;
	/* Without tiers the way forward is long, and the way back would always be the cheaper one. */
	cr_assert_eq(plan_to(chain, far), chain->count - 1);
	cr_assert_eq(plan_to(chain, far - 1), 0);
	steps_free(&steps);
	chain_free(chain);
}

/* What is planned is cheap only if it can be done: right after commits there are no undo deltas yet. */
Test(plan, that_fails_for_want_of_undo_deltas_gives_way_to_the_next_best)
{
	struct chain *chain = chain_history(1, 400, 8192, counters);
	struct place place;
	chain_tiers(chain);
	place_undo(&chain_context, chain->module, &place);
	cr_assert_eq(file_unlink(place.dir, place.name), 0);
	long tiers = chain_bytes(chain, "tiers");
	cr_assert_gt(tiers, (long)TIER_INDEX);
	cr_assert_eq(plan_to(chain, 396), 399, "the test is about a way back");
	struct job job = chain_restore(chain, 396, false);
	cr_assert_lt(job.deltas_applied, 60, "%u deltas were applied: the whole chain was walked", job.deltas_applied);
	cr_assert_eq(chain_bytes(chain, "tiers"), tiers, "tiers were thrown away that are right");
	steps_free(&steps);
	chain_free(chain);
}
