/*
 * names.h - how ids become file names (design: README.md, "Files").
 */
#ifndef ENGINE_NAMES_H
#define ENGINE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "varve.h"

/** Room for the longest name, "<ModId>_<CommitId>_<n>" and its NUL. */
#define NAME_MAX_SIZE (VARVE_ID_TEXT + 1 + VARVE_ID_TEXT + 1 + 10 + 1)

/** id_to_text() - 64 upper-case hex digits and a NUL. */
void id_to_text(const struct varve_id *id, char text[VARVE_ID_TEXT + 1]);

/** id_from_text() - read exactly 64 hex digits of either case, and then the NUL. False: they are not; @id is unchanged. */
bool id_from_text(const char *text, struct varve_id *id);

void name_backing(char *name, const struct varve_id *module);
void name_image(char *name, const struct varve_id *module, const struct varve_id *commit);
void name_delta(char *name, const struct varve_id *module, const struct varve_id *commit, uint32_t ordinal);

/** name_private() - "<ModId>.<suffix>", a file in .varve/modules/. @suffix: at most 20 characters. */
void name_private(char *name, const struct varve_id *module, const char *suffix);

/** What a name in the base directory can be. */
enum name_kind { NAME_OTHER, NAME_BACKING, NAME_IMAGE, NAME_DELTA };

/** name_parse() - upper-case hex only, no leading zeros in the ordinal; outputs may be NULL. */
enum name_kind name_parse(const char *name, struct varve_id *module, struct varve_id *commit, uint32_t *ordinal);

static inline bool id_equal(const struct varve_id *a, const struct varve_id *b)
{
	return __builtin_memcmp(a, b, sizeof(*a)) == 0;
}

#endif
