/*
 * utf8.h - text from files and peers: where its characters end, and which bytes are none.
 */
#ifndef IO_UTF8_H
#define IO_UTF8_H

#include <stddef.h>
#include <stdint.h>

/** utf8_length() - bytes of the UTF-8 character at @s, which ends with a NUL; 0: it is none. Overlong forms, surrogates and
 * what is beyond U+10FFFF are none (RFC 3629). */
static inline size_t utf8_length(const unsigned char *s)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
	if (n <= 1)
		return n;
	uint32_t c = *s & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

#endif
