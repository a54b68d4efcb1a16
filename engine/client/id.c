/*
 * id.c - what needs no handle: the version, the last error, ids as text.
 */
#include <errno.h>

#include "err.h"
#include "varve.h"

const char *varve_version(void)
{
	return VARVE_VERSION_STRING;
}

const char *varve_last_error(void)
{
	return err_text();
}

void varve_id_format(const struct varve_id *id, char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	for (int i = 0; i < VARVE_ID_SIZE; i++) {
		*text++ = digits[id->bytes[i] >> 4];
		*text++ = digits[id->bytes[i] & 15];
	}
	*text = 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int varve_id_parse(const char *text, struct varve_id *id)
{
	struct varve_id parsed;
	if (!text || !id)
		return fail(EINVAL, "no id is given");
	for (int i = 0; i < VARVE_ID_SIZE; i++) {
		/* In order, so that nothing behind a NUL is looked at. */
		int high = digit(text[2 * i]);
		int low = high < 0 ? -1 : digit(text[2 * i + 1]);
		if (low < 0)
			return fail(EINVAL, "\"%.80s\" is not an id; it must be 64 hex digits", text);
		parsed.bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (text[VARVE_ID_TEXT])
		return fail(EINVAL, "\"%.80s\" is not an id; it must be 64 hex digits", text);
	*id = parsed;
	return 0;
}
