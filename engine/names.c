/*
 * names.c - ids as text, and the names of files made of them.
 */
#include "names.h"

#include <string.h>

#define SUFFIX_MAX 20

static const char digits[16] = "0123456789ABCDEF";

/* Appends the id's digits and returns where they end. Not a string yet. */
static char *put_id(char *to, const struct varve_id *id)
{
	for (unsigned i = 0; i < VARVE_ID_SIZE; i++) {
		*to++ = digits[id->bytes[i] >> 4];
		*to++ = digits[id->bytes[i] & 15];
	}
	return to;
}

static char *put_number(char *to, uint32_t number)
{
	char reversed[10];
	unsigned n = 0;

	do {
		reversed[n++] = digits[number % 10];
		number /= 10;
	} while (number);
	while (n)
		*to++ = reversed[--n];
	return to;
}

/* The digit's value, or -1. File names have upper case only, or one file would have many names. */
static int digit_value(char c, bool lower_too)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (lower_too && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Reads 64 digits; stops at the first character that is none, so never runs past a NUL. */
static bool get_id(const char *from, bool lower_too, struct varve_id *id)
{
	for (unsigned i = 0; i < VARVE_ID_SIZE; i++) {
		int high = digit_value(from[2 * i], lower_too);
		int low = high < 0 ? -1 : digit_value(from[2 * i + 1], lower_too);
		if (low < 0)
			return false;
		id->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool get_number(const char *from, uint32_t *number)
{
	uint64_t value = 0;

	if (from[0] == '0' && from[1])
		return false;
	if (!from[0])
		return false;
	for (; *from; from++) {
		if (*from < '0' || *from > '9')
			return false;
		value = value * 10 + (uint64_t)(*from - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*number = (uint32_t)value;
	return true;
}

void id_to_text(const struct varve_id *id, char text[VARVE_ID_TEXT + 1])
{
	*put_id(text, id) = '\0';
}

bool id_from_text(const char *text, struct varve_id *id)
{
	struct varve_id parsed;

	if (!get_id(text, true, &parsed) || text[VARVE_ID_TEXT])
		return false;
	*id = parsed;
	return true;
}

void name_backing(char *name, const struct varve_id *module)
{
	id_to_text(module, name);
}

void name_image(char *name, const struct varve_id *module, const struct varve_id *commit)
{
	name = put_id(name, module);
	*name++ = '_';
	*put_id(name, commit) = '\0';
}

void name_delta(char *name, const struct varve_id *module, const struct varve_id *commit, uint32_t ordinal)
{
	name = put_id(name, module);
	*name++ = '_';
	name = put_id(name, commit);
	*name++ = '_';
	*put_number(name, ordinal) = '\0';
}

void name_private(char *name, const struct varve_id *module, const char *suffix)
{
	size_t size = strnlen(suffix, SUFFIX_MAX);

	name = put_id(name, module);
	*name++ = '.';
	memcpy(name, suffix, size);
	name[size] = '\0';
}

enum name_kind name_parse(const char *name, struct varve_id *module, struct varve_id *commit, uint32_t *ordinal)
{
	struct varve_id of_module, of_commit = {{0}};
	uint32_t number = 0;
	enum name_kind kind = NAME_BACKING;

	if (!get_id(name, false, &of_module))
		return NAME_OTHER;
	name += VARVE_ID_TEXT;
	if (*name) {
		if (*name++ != '_' || !get_id(name, false, &of_commit))
			return NAME_OTHER;
		name += VARVE_ID_TEXT;
		kind = NAME_IMAGE;
	}
	if (*name) {
		if (*name++ != '_' || !get_number(name, &number))
			return NAME_OTHER;
		kind = NAME_DELTA;
	}
	if (module)
		*module = of_module;
	if (commit)
		*commit = of_commit;
	if (ordinal)
		*ordinal = number;
	return kind;
}
