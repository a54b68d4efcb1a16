/*
 * engine_history_names.c - what commits are called: ids that are given or made, and what people type.
 */
#include <errno.h>

#include "history_fixture.h"

static struct fixture f;

static void setup(void)
{
	fixture_open(&f);
}

static void teardown(void)
{
	fixture_close(&f);
}

TestSuite(history_names, .init = setup, .fini = teardown);

/* ---- ids --------------------------------------------------------------------------------------------------------- */

static struct varve_id default_id(uint32_t parent)
{
	uint32_t table[8];
	struct varve_id id;
	history_table(&f.history, parent, table);
	cr_assert_eq(history_default_commit_id(&f.history, parent, table, &id), 0);
	return id;
}

/* States recur; a commit's id must not, or it would name two commits. */
Test(history_names, a_commits_default_id_depends_on_parent_number_and_every_module)
{
	for (uint32_t i = 0; i < 3; i++)
		add_module(&f, i);
	add_commit(&f, 0, 0, 2, 1, NULL);
	struct varve_id first = default_id(0), again = default_id(0);
	cr_assert(id_equal(&first, &again));
	cr_assert_neq(memcmp(first.bytes, first.bytes + 16, 16), 0, "two halves of one seed are not 256 bits");

	uint32_t table[8];
	struct varve_id id;
	history_table(&f.history, 0, table);
	cr_assert_eq(history_default_commit_id(&f.history, COMMIT_NONE, table, &id), 0);
	cr_assert_not(id_equal(&first, &id), "the parent is not in the id");
	table[1] = CHAIN_NONE;
	cr_assert_eq(history_default_commit_id(&f.history, 0, table, &id), 0);
	cr_assert_not(id_equal(&first, &id));

	add_commit(&f, 1, 0, 0, 0, NULL); /* the same state, one commit on */
	id = default_id(0);
	cr_assert_not(id_equal(&first, &id), "the number is not in the id");
	id = default_id(1);
	cr_assert_not(id_equal(&first, &id));
}

/* Two deltas of one content may differ; which of them a commit stands at is part of what it is. */
Test(history_names, a_commits_default_id_depends_on_ordinals)
{
	uint32_t a = add_module(&f, 0);
	for (uint32_t i = 0; i < 4; i++)
		add_commit(&f, i, a, 1, i % 2, NULL);
	struct varve_id x, y;
	cr_assert(id_equal(&chain_entry(&f.catalog, a, 1)->id, &chain_entry(&f.catalog, a, 3)->id));
	cr_assert_eq(history_default_commit_id(&f.history, 0, (uint32_t[]) {1}, &x), 0);
	cr_assert_eq(history_default_commit_id(&f.history, 0, (uint32_t[]) {3}, &y), 0);
	cr_assert_not(id_equal(&x, &y));
}

/* The order of the modules is kept between commits, and must be made anew when one of them became another. */
Test(history_names, a_default_id_is_of_the_modules_that_are_there_now)
{
	uint32_t table[5] = {CHAIN_NONE, CHAIN_NONE, CHAIN_NONE, CHAIN_NONE, CHAIN_NONE};
	struct varve_id ids[2], unused;
	for (uint32_t i = 0; i < 2; i++) {
		fixture_close(&f);
		fixture_open(&f);
		for (uint32_t m = 0; m < 3; m++)
			add_module(&f, m);
		if (!i) { /* the others were there the other way round before, and an id was made of them */
			add_module(&f, 24);
			add_module(&f, 20);
			history_default_commit_id(&f.history, COMMIT_NONE, table, &unused);
			history_drop_modules(&f.history, 3, f.history.sequence);
		}
		add_module(&f, 20);
		add_module(&f, 24);
		add_commit(&f, 0, 0, 5, 1, NULL);
		uint32_t all[5] = {0};
		cr_assert_eq(history_default_commit_id(&f.history, COMMIT_NONE, all, &ids[i]), 0);
	}
	cr_assert(id_equal(&ids[0], &ids[1]));
}

/* Restoring the same store elsewhere gives the same ids, whatever order its modules came in. */
Test(history_names, a_default_id_does_not_depend_on_the_order_of_the_modules)
{
	struct fixture g;
	fixture_open(&g);
	for (uint32_t i = 0; i < 6; i++) {
		add_module(&f, i);
		add_module(&g, 5 - i);
	}
	add_commit(&f, 0, 0, 6, 1, NULL);
	add_commit(&g, 0, 0, 6, 1, NULL);
	uint32_t table[6] = {0};
	struct varve_id x, y;
	cr_assert_eq(history_default_commit_id(&f.history, 0, table, &x), 0);
	cr_assert_eq(history_default_commit_id(&g.history, 0, table, &y), 0);
	cr_assert(id_equal(&x, &y));
	fixture_close(&g);
}

Test(history_names, a_module_commits_default_id_is_made_of_its_image_hash)
{
	struct image_hash hash = {{1, 2, 3}}, other = {{1, 2, 4}};
	struct varve_id x, y, z;
	history_default_module_id(&hash, &x);
	history_default_module_id(&hash, &y);
	history_default_module_id(&other, &z);
	cr_assert(id_equal(&x, &y));
	cr_assert_not(id_equal(&x, &z));
	cr_assert_neq(memcmp(x.bytes, x.bytes + 16, 16), 0);
}

/* ---- names of commits -------------------------------------------------------------------------------------------- */

static void resolves(const char *text, uint32_t expected)
{
	uint32_t commit = COMMIT_NONE;
	cr_assert_eq(history_resolve(&f.history, text, &commit), 0, "%s: %s", text, err_text());
	cr_assert_eq(commit, expected, "%s", text);
}

static void does_not_resolve(const char *text, int expected)
{
	uint32_t commit = 4711;
	err_clear();
	cr_assert_eq(history_resolve(&f.history, text, &commit), expected, "%s", text);
	cr_assert_eq(commit, 4711);
	cr_assert_neq(err_text()[0], 0);
	if (strlen(text) < 60)
		cr_assert_not_null(strstr(err_text(), text), "\"%s\" does not say what was looked for", err_text());
}

Test(history_names, a_commit_has_the_names_that_are_promised)
{
	does_not_resolve("HEAD", -ENOENT);
	does_not_resolve("@0", -ENOENT);
	for (uint64_t i = 0; i < 10; i++)
		add_commit(&f, i, 0, 0, 0, NULL);
	history_set_current(&f.history, 7, NULL);
	add_commit(&f, 10, 0, 0, 0, NULL);
	resolves("HEAD", 10);
	resolves("HEAD~0", 10);
	resolves("HEAD~1", 7);
	resolves("HEAD~8", 0);
	resolves("@0", 0);
	resolves("@10", 10);
	for (uint32_t i = 0; i <= 10; i++) {
		char text[VARVE_ID_TEXT + 1];
		id_to_text(&f.history.commits[i].id, text);
		resolves(text, i);
		for (int digits = 63; digits >= 6; digits--) {
			text[digits] = 0;
			resolves(text, i);
			for (char *p = text; *p; p++)
				*p = *p >= 'A' && *p <= 'F' ? (char)(*p + 'a' - 'A') : *p;
			resolves(text, i);
		}
	}
}

/* Text comes from command lines and from sockets. */
Test(history_names, what_is_no_commits_name_is_refused_with_a_reason)
{
	char text[300];
	for (uint64_t i = 0; i < 3; i++)
		add_commit(&f, i, 0, 0, 0, NULL);
	id_to_text(&f.history.commits[1].id, text);
	text[5] = 0;
	does_not_resolve(text, -EINVAL);
	does_not_resolve("HEAD~3", -ENOENT);
	does_not_resolve("HEAD~18446744073709551615", -ENOENT);
	does_not_resolve("@3", -ENOENT);
	does_not_resolve("@4294967296", -ENOENT);
	does_not_resolve("000000", -ENOENT);
	static const char *const wrong[] = {"HEAD~", "HEAD~-1", "HEAD~x", "HEAD~1 ", "HEAD~18446744073709551616",
	    "HEAD^", "head", "@", "@-1", "@1x", "@18446744073709551616", "@20000000000000000000", "00000g", " 000000",
	    "%s%n%s%n"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		does_not_resolve(wrong[i], -EINVAL);
	uint32_t commit;
	cr_assert_eq(history_resolve(&f.history, "", &commit), -EINVAL);
	memset(text, 'A', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	does_not_resolve(text, -EINVAL);
	text[65] = 0;
	does_not_resolve(text, -EINVAL);
	text[64] = 0;
	does_not_resolve(text, -ENOENT);
}

/* Restoring the wrong one of two would be worse than asking. */
Test(history_names, a_prefix_of_two_commits_names_neither)
{
	struct varve_id id = {{0xab, 0xcd, 0xef, 0x12}};
	history_add_commit(&f.history, &id, NULL, 0, NULL, 0, NULL, 0, NULL);
	id.bytes[3] = 0x13;
	history_add_commit(&f.history, &id, NULL, 0, NULL, 0, NULL, 0, NULL);
	does_not_resolve("ABCDEF", -ENOTUNIQ);
	does_not_resolve("ABCDEF1", -ENOTUNIQ);
	resolves("ABCDEF12", 0);
	resolves("abcdef13", 1);
	does_not_resolve("ABCDEF2", -ENOENT);
	does_not_resolve("ABCDE", -EINVAL);
	id.bytes[3] = 0x20;
	history_add_commit(&f.history, &id, NULL, 0, NULL, 0, NULL, 0, NULL);
	resolves("ABCDEF2", 2);
	does_not_resolve("ABCDEF3", -ENOENT);
}

/* Ids are the users' to choose: such that differ late or little must be found like others. */
Test(history_names, commits_are_found_by_id_whatever_their_ids_are)
{
	for (uint32_t i = 0; i < 5000; i++) {
		struct varve_id id = {{0}};
		put_le32(id.bytes + (i % 2 ? 28 : 0), i + 1);
		cr_assert_eq(history_find(&f.history, &id), COMMIT_NONE);
		cr_assert_eq(history_add_commit(&f.history, &id, NULL, 0, NULL, 0, NULL, 0, NULL), i);
		cr_assert_eq(history_find(&f.history, &id), i);
	}
	history_drop_newest(&f.history, 2499, 2500);
	for (uint32_t i = 0; i < 5000; i++) {
		struct varve_id id = {{0}};
		put_le32(id.bytes + (i % 2 ? 28 : 0), i + 1);
		cr_assert_eq(history_find(&f.history, &id), i < 2500 ? i : COMMIT_NONE);
	}
}
