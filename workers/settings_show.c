/*
 * settings_show.c - the settings in force, and where each comes from: `varve serve --check-config`.
 */
#include "settings.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "err.h"

#define PLACE_MAX 4200

static void show_table(const struct settings *settings, FILE *to)
{
	char value[32], place[PLACE_MAX];
	for (enum setting i = 0; i < SETTINGS; i++) {
		settings_value(settings, i, value);
		settings_origin(settings, i, place, sizeof(place));
		fprintf(to, "%-16s %-8s %s\n", settings_name(i), value, place);
	}
}

static json_t *json_value(const struct settings *settings, enum setting setting)
{
	unsigned unit;
	const char *word = settings_word(settings, setting, &unit);
	if (word)
		return json_string(word);
	uint64_t value = settings->values[setting];
	return value % unit ? json_real((double)value / unit) : json_integer((json_int_t)(value / unit));
}

/* {NAME: {"value": VALUE, "origin": TEXT}, ...} */
static int show_json(const struct settings *settings, FILE *to)
{
	char place[PLACE_MAX];
	json_t *all = json_object();
	for (enum setting i = 0; i < SETTINGS; i++) {
		settings_origin(settings, i, place, sizeof(place));
		/* A file's name can be any bytes; JSON wants UTF-8. */
		json_t *origin = json_string(place);
		json_object_set_new(all, settings_name(i),
		    json_pack("{s:o,s:o}", "value", json_value(settings, i), "origin", origin ? origin : json_null()));
	}
	bool good = json_object_size(all) == SETTINGS && json_dumpf(all, to, JSON_COMPACT) == 0;
	json_decref(all);
	fputc('\n', to);
	return good ? 0 : fail_sys(ENOMEM, "the settings can not be shown");
}

int settings_show(const struct settings *settings, FILE *to, bool json)
{
	int r = json ? show_json(settings, to) : 0;
	if (!json)
		show_table(settings, to);
	if (!r && (fflush(to) || ferror(to)))
		r = fail_sys(errno, "the settings can not be written");
	return r;
}
