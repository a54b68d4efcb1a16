/*
 * io_err.c - a failure is a negative errno and one sentence that says what to do.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

static bool says(const char *words)
{
	return strstr(err_text(), words) != NULL;
}

Test(err, a_failure_is_a_negative_errno_and_its_sentence)
{
	cr_assert_str_empty(err_text());
	cr_assert_eq(fail(EINVAL, "%s has %d legs", "commits", 3), -EINVAL);
	cr_assert_str_eq(err_text(), "commits has 3 legs");
	err_clear();
	cr_assert_str_empty(err_text());
}

/* Who runs out of something wants to know of what, and what to do, not the number of an error. */
Test(err, what_the_system_said_comes_with_what_repairs_it)
{
	cr_assert_eq(fail_sys(ENOSPC, "commits can not be written"), -ENOSPC);
	cr_assert(says("commits can not be written: No space left on device; free space"));
	fail_sys(EMFILE, "x");
	cr_assert(says("ulimit -n"));
	fail_sys(ELOOP, "x");
	cr_assert(says("links are not followed"));
	fail_sys(EROFS, "x");
	cr_assert(says("remount"));
	fail_sys(EDQUOT, "x");
	cr_assert(says("quota"));
	fail_sys(EINTR, "x");
	cr_assert_str_eq(err_text(), "x: Interrupted system call");
}

/* Two remedies for one thing are one too many. */
Test(err, who_has_set_a_limit_says_what_to_do_about_it)
{
	fail_sys(ENOMEM, "x");
	cr_assert_str_eq(
	    err_text(), "x: Cannot allocate memory; free memory or raise the memory limit, then try again");
	err_set_hint(ENOMEM, "raise it");
	fail_sys(ENOMEM, "x");
	cr_assert_str_eq(err_text(), "x: Cannot allocate memory; raise it");
	fail_sys(EIO, "x");
	cr_assert(says("kernel's log"));
}

/* A path may be 4,000 characters long; the reason must not be pushed out by it. */
Test(err, a_sentence_too_long_loses_its_middle_not_its_reason)
{
	char path[4001];

	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	fail_sys(ENOSPC, "%s", path);
	cr_assert_lt(strlen(err_text()), (size_t)ERR_TEXT);
	cr_assert(says("...: No space left on device; free space on that filesystem, then try again"));
	fail(EINVAL, "%s", path);
	cr_assert_eq(strlen(err_text()), (size_t)ERR_TEXT - 1);
	cr_assert(says("p..."));
}

/* A terminal and a JSON reader both choke on half a character. */
Test(err, a_cut_never_goes_through_a_character)
{
	char path[2001];

	for (size_t shift = 0; shift < 2; shift++) {
		memset(path, 'x', shift);
		for (size_t i = shift; i + 1 < sizeof(path) - 1; i += 2)
			memcpy(path + i, "\xc3\xa4", 2);
		path[shift + (sizeof(path) - 1 - shift) / 2 * 2] = '\0';
		fail(EINVAL, "%s", path);
		const char *dots = strstr(err_text(), "...");
		cr_assert_not_null(dots);
		cr_assert_eq(dots[-1], '\xa4', "cut in the middle of a character");
	}
}

Test(err, layers_above_put_their_words_in_front)
{
	fail(EBADMSG, "the checksum is wrong");
	err_prefix("%s: ", "AB_CD_0");
	cr_assert_str_eq(err_text(), "AB_CD_0: the checksum is wrong");

	char words[1000];
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	err_prefix("%s", words);
	cr_assert(says("...AB_CD_0: the checksum is wrong"));
	for (int i = 0; i < 5; i++)
		err_prefix("%s", words);
	cr_assert_lt(strlen(err_text()), (size_t)ERR_TEXT);
	err_prefix("in front: ");
	cr_assert_eq(strncmp(err_text(), "in front: www", 13), 0, "full is no reason to say nothing");
}

Test(err, the_sentence_remembered_may_be_part_of_the_next)
{
	fail(EIO, "first");
	fail(EIO, "second after %s", err_text());
	cr_assert_str_eq(err_text(), "second after first");
}

/* It comes from another process, and per cent signs in it are no instructions. */
Test(err, a_sentence_from_elsewhere_is_taken_as_it_is)
{
	cr_assert_eq(fail_with(EIO, "100%s of %n"), -EIO);
	cr_assert_str_eq(err_text(), "100%s of %n");
	fail_with(EIO, err_text());
	cr_assert_str_eq(err_text(), "100%s of %n");
}

static void *other_thread(void *arg)
{
	*(bool *)arg = *err_text() == '\0';
	fail(EIO, "of the other thread");
	return NULL;
}

Test(err, each_thread_has_its_own)
{
	pthread_t thread;
	bool empty = false;

	fail(EIO, "of this thread");
	pthread_create(&thread, NULL, other_thread, &empty);
	pthread_join(thread, NULL);
	cr_assert(empty);
	cr_assert_str_eq(err_text(), "of this thread");
}
