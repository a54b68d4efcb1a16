/*
 * engine_names.c - what files are called. The names are on users' disks: they never change.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "names.h"

#define A_TEXT "00112233445566778899AABBCCDDEEFF0123456789ABCDEFFEDCBA9876543210"
#define B_TEXT "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000000000000000000000000001"

static struct varve_id id_of(const char *text)
{
	struct varve_id id;
	cr_assert(id_from_text(text, &id));
	return id;
}

Test(names, an_id_survives_being_written_and_read)
{
	char text[VARVE_ID_TEXT + 1];
	struct varve_id a = id_of(A_TEXT);

	id_to_text(&a, text);
	cr_assert_str_eq(text, A_TEXT);
	cr_assert_eq(a.bytes[1], 0x11);
	cr_assert_eq(a.bytes[31], 0x10);
}

/* People paste ids from other tools. */
Test(names, lower_case_digits_are_read_as_well)
{
	struct varve_id a = id_of("00112233445566778899aabbccddeeff0123456789abcdefFEDCBA9876543210");
	struct varve_id b = id_of(A_TEXT);

	cr_assert(id_equal(&a, &b));
}

Test(names, text_that_is_not_64_digits_is_no_id_and_changes_nothing)
{
	static const char *const wrong[] = {"", "0", A_TEXT "0", A_TEXT " ",
	    "0112233445566778899AABBCCDDEEFF0123456789ABCDEFFEDCBA9876543210",
	    "G0112233445566778899AABBCCDDEEFF0123456789ABCDEFFEDCBA9876543210",
	    "00112233445566778899AABBCCDDEEFF0123456789ABCDEFFEDCBA987654321/",
	    "00112233445566778899AABBCCDDEEFF0123456789ABCDEFFEDCBA987654321:"};
	struct varve_id before = id_of(B_TEXT), id = before;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_assert_not(id_from_text(wrong[i], &id), "'%s'", wrong[i]);
		cr_assert(id_equal(&id, &before));
	}
}

Test(names, files_are_called_as_the_documents_say)
{
	struct varve_id a = id_of(A_TEXT), b = id_of(B_TEXT);
	char name[NAME_MAX_SIZE];

	name_backing(name, &a);
	cr_assert_str_eq(name, A_TEXT);
	name_image(name, &a, &b);
	cr_assert_str_eq(name, A_TEXT "_" B_TEXT);
	name_delta(name, &a, &b, 0);
	cr_assert_str_eq(name, A_TEXT "_" B_TEXT "_0");
	name_delta(name, &a, &b, UINT32_MAX);
	cr_assert_str_eq(name, A_TEXT "_" B_TEXT "_4294967295");
	cr_assert_eq(strlen(name) + 1, NAME_MAX_SIZE);
	name_private(name, &a, "last");
	cr_assert_str_eq(name, A_TEXT ".last");
}

Test(names, every_kind_of_name_is_recognised_with_its_parts)
{
	struct varve_id a = id_of(A_TEXT), b = id_of(B_TEXT), module, commit;
	uint32_t ordinal;

	cr_assert_eq(name_parse(A_TEXT, &module, NULL, NULL), NAME_BACKING);
	cr_assert(id_equal(&module, &a));
	cr_assert_eq(name_parse(A_TEXT "_" B_TEXT, &module, &commit, NULL), NAME_IMAGE);
	cr_assert(id_equal(&module, &a) && id_equal(&commit, &b));
	cr_assert_eq(name_parse(A_TEXT "_" B_TEXT "_4294967295", &module, &commit, &ordinal), NAME_DELTA);
	cr_assert(id_equal(&module, &a) && id_equal(&commit, &b));
	cr_assert_eq(ordinal, UINT32_MAX);
	cr_assert_eq(name_parse(A_TEXT "_" B_TEXT "_0", NULL, NULL, NULL), NAME_DELTA);
}

/* A name that Varve would not have written must not be taken for one of its files: two names would mean one file. */
Test(names, a_name_that_varve_does_not_write_is_something_else)
{
	static const char *const others[] = {"", "commits", ".varve", A_TEXT "_", A_TEXT "x", A_TEXT "_" B_TEXT "_",
	    A_TEXT "_" B_TEXT "_00", A_TEXT "_" B_TEXT "_01", A_TEXT "_" B_TEXT "_4294967296",
	    A_TEXT "_" B_TEXT "_99999999999999999999", A_TEXT "_" B_TEXT "_-1", A_TEXT "_" B_TEXT "_1x",
	    A_TEXT "_" B_TEXT "x", A_TEXT "__" B_TEXT, A_TEXT ".last",
	    "00112233445566778899aABBCCDDEEFF0123456789ABCDEFFEDCBA9876543210"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_eq(name_parse(others[i], NULL, NULL, NULL), NAME_OTHER, "'%s'", others[i]);
}
