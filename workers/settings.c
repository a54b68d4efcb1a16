/*
 * settings.c - the table of settings: names, ranges, how their values are written.
 */
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "err.h"
#include "job.h"
#include "log.h"
#include "pool.h"
#include "reader.h"

#define NAME_MAX_CHARS 48

enum form {
	NUMBER,
	SECONDS, /**< kept in milliseconds */
	BYTES,
	CHOICE, /**< kept as the index in the list */
};

static const char *const methods[] = {"auto", "uring", "pread", NULL};
static const char *const syncs[] = {"persist", "commit", "none", NULL};
static const char *const sandboxes[] = {"off", "on", "require", NULL};
static const char *const classes[] = {"normal", "low", "idle", NULL};

/* In the order of enum log_level. */
static const char *const levels[] = {"off", "error", "warning", "info", "debug", NULL};

struct row {
	const char *name;
	const char *allowed; /**< for messages: "it must be ..." */
	enum form form;
	uint64_t min;
	uint64_t max;
	uint64_t fallback;
	const char *const *choices;
	bool no_environment; /**< it is a promise of the program that opens the store */
	bool or_zero; /**< 0 is allowed beside the range */
};

static const struct row rows[SETTINGS] = {
    [SET_WORKERS] = {.name = "workers", .allowed = "a number from 1 to 1024", .min = 1, .max = RING_WORKERS},
    [SET_MIN_WORKERS] = {.name = "min-workers", .allowed = "a number from 0 to 1024", .max = RING_WORKERS},
    [SET_IDLE_TIMEOUT] = {.name = "idle-timeout",
        .allowed = "seconds from 0.01 to 31536000, or 0 (never)",
        .form = SECONDS,
        .min = 10,
        .max = 31536000000,
        .fallback = 60000,
        .or_zero = true},
    [SET_IO] = {.name = "io", .allowed = "auto, uring or pread", .form = CHOICE, .choices = methods},
    [SET_QUEUE_DEPTH] =
        {.name = "queue-depth", .allowed = "a number from 1 to 256", .min = 1, .max = 256, .fallback = 64},
    [SET_SYNC] = {.name = "sync",
        .allowed = "persist, commit or none",
        .form = CHOICE,
        .choices = syncs,
        .no_environment = true},
    [SET_BACKGROUND_NICE] = {.name = "background-nice", .allowed = "a number from 0 to 19", .max = 19, .fallback = 10},
    [SET_BACKGROUND_IO] = {.name = "background-io",
        .allowed = "normal, low or idle",
        .form = CHOICE,
        .choices = classes,
        .fallback = POOL_IO_LOW},
    [SET_BACKGROUND_DISK] = {.name = "background-disk",
        .allowed = "a number from 0 to 1000",
        .max = 1000,
        .fallback = TIERS_PERCENT},
    [SET_MEMORY_LIMIT] = {.name = "memory-limit",
        .allowed = "bytes from 32M to 64T (K, M, G, T stand for powers of 1,024), or 0 (none)",
        .form = BYTES,
        .min = POOL_MEMORY_MIN,
        .max = 1ull << 46,
        .or_zero = true},
    [SET_LOG_LEVEL] = {.name = "log-level",
        .allowed = "off, error, warning, info or debug",
        .form = CHOICE,
        .choices = levels,
        .fallback = LOG_INFO},
    [SET_SANDBOX] = {.name = "sandbox",
        .allowed = "on, off or require",
        .form = CHOICE,
        .choices = sandboxes,
        .fallback = SANDBOX_ON},
};

static const char *const outputs[] = {"stderr", NULL};

static const struct row variables[VARIABLES] = {
    [VARIABLE_HANG_MS] = {.name = "hang-ms", .allowed = "a number from 1 to 86400000", .min = 1, .max = 86400000},
    [VARIABLE_HELLO_MS] = {.name = "hello-ms", .allowed = "a number from 1 to 86400000", .min = 1, .max = 86400000},
    [VARIABLE_INLINE] = {.name = "inline", .allowed = "0 or 1", .max = 1, .fallback = 1},
    [VARIABLE_LOG] = {.name = "log", .allowed = "stderr", .form = CHOICE, .choices = outputs},
};

void settings_init(struct settings *settings)
{
	*settings = (struct settings) {.file = NULL};
	for (unsigned i = 0; i < SETTINGS; i++)
		settings->values[i] = rows[i].fallback;
	for (unsigned i = 0; i < VARIABLES; i++)
		settings->variables[i] = variables[i].fallback;
	unsigned cpus = cpu_available();
	settings->values[SET_WORKERS] = cpus < RING_WORKERS ? cpus : RING_WORKERS;
}

const char *settings_name(enum setting setting)
{
	return rows[setting].name;
}

const char *settings_help(enum setting setting)
{
	return rows[setting].allowed;
}

/* ---- reading values --------------------------------------------------------------------------------------------- */

/* Digits at *@text, which is moved behind them. */
static bool take_digits(const char **text, uint64_t *value)
{
	const char *at = *text;
	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*value, 10u, value) ||
		    __builtin_add_overflow(*value, (unsigned)(*at - '0'), value))
			return false;
	bool any = at > *text;
	*text = at;
	return any;
}

/* "2", "0.25": to the millisecond. */
static bool take_seconds(const char **text, uint64_t *value)
{
	uint64_t unit = 100;
	if (!take_digits(text, value) || __builtin_mul_overflow(*value, 1000u, value))
		return false;
	if (**text != '.')
		return true;
	const char *first = ++*text;
	for (; **text >= '0' && **text <= '9'; ++*text, unit /= 10)
		if (__builtin_add_overflow(*value, (unsigned)(**text - '0') * unit, value))
			return false;
	return *text > first;
}

static bool take_bytes(const char **text, uint64_t *value)
{
	static const char units[] = "KMGT";
	if (!take_digits(text, value))
		return false;
	const char *unit = **text ? strchr(units, toupper((unsigned char)**text)) : NULL;
	if (!unit)
		return true;
	++*text;
	return !__builtin_mul_overflow(*value, 1ull << (10 * (unit - units + 1)), value);
}

static bool take_choice(const char **text, const char *const *choices, uint64_t *value)
{
	for (*value = 0; choices[*value]; ++*value) {
		if (strcmp(*text, choices[*value]) == 0) {
			*text += strlen(*text);
			return true;
		}
	}
	return false;
}

static bool parse(const struct row *row, const char *text, uint64_t *value)
{
	bool good;
	switch (row->form) {
	case SECONDS:
		good = take_seconds(&text, value);
		break;
	case BYTES:
		good = take_bytes(&text, value);
		break;
	case CHOICE:
		return take_choice(&text, row->choices, value);
	default:
		good = take_digits(&text, value);
	}
	return good && !*text && ((*value >= row->min && *value <= row->max) || (row->or_zero && *value == 0));
}

/* ---- where they come from --------------------------------------------------------------------------------------- */

static void environment_name(const char *name, char text[NAME_MAX_CHARS])
{
	snprintf(text, NAME_MAX_CHARS, "VARVE_%s", name);
	for (char *c = text; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

/* What a value at @origin is called: "/etc/varve.conf:3: workers", "VARVE_WORKERS", "--workers". */
static void place_name(const struct settings *settings, const char *name, struct origin origin, char *text, size_t size)
{
	char variable[NAME_MAX_CHARS];
	environment_name(name, variable);
	switch (origin.kind) {
	case ORIGIN_FILE:
	case ORIGIN_STORE:
		snprintf(text, size, "%.300s:%u: %s", settings->file, origin.line, name);
		break;
	case ORIGIN_ENVIRONMENT:
		snprintf(text, size, "%s", variable);
		break;
	case ORIGIN_FLAG:
		snprintf(text, size, "--%s", name);
		break;
	default:
		snprintf(text, size, "%s", name);
	}
}

void settings_origin(const struct settings *settings, enum setting setting, char *text, size_t size)
{
	struct origin origin = settings->origins[setting];
	if (origin.kind == ORIGIN_DEFAULT)
		snprintf(text, size, "default");
	else if (origin.kind <= ORIGIN_STORE)
		snprintf(text, size, "%s:%u", settings->file, origin.line);
	else
		place_name(settings, rows[setting].name, origin, text, size);
}

static const struct row *find(const char *name)
{
	for (unsigned i = 0; i < SETTINGS; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static int unknown(const struct settings *settings, const char *name, struct origin origin)
{
	char names[256] = "", place[384];
	for (unsigned i = 0; i < SETTINGS; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? ", " : "", rows[i].name);
	/* The command line has refused a flag that there is not: it was written in a list. */
	if (origin.kind == ORIGIN_FLAG)
		origin.kind = ORIGIN_DEFAULT;
	place_name(settings, name, origin, place, sizeof(place));
	return fail(EINVAL, "%.360s: there is no such setting; there are %s", place, names);
}

/* The value of @row that @value at @origin stands for, into *@number. Returns 0 or -EINVAL. */
static int take(
    const struct settings *settings, const struct row *row, const char *value, struct origin origin, uint64_t *number)
{
	char place[384];
	uint64_t parsed;
	if (parse(row, value, &parsed)) {
		*number = parsed;
		return 0;
	}
	place_name(settings, row->name, origin, place, sizeof(place));
	return fail(EINVAL, "%s is \"%.40s\"; it must be %s", place, value, row->allowed);
}

int settings_set(struct settings *settings, const char *name, const char *value, struct origin origin)
{
	const struct row *row = find(name);
	uint64_t number;
	int r = row ? take(settings, row, value, origin, &number) : unknown(settings, name, origin);
	if (r)
		return r;
	if (origin.kind < settings->origins[row - rows].kind)
		return 0;
	settings->values[row - rows] = number;
	settings->origins[row - rows] = origin;
	return 0;
}

int settings_list(struct settings *settings, const char *text)
{
	static const char between[] = " ,\t\n";
	struct origin origin = {ORIGIN_FLAG, 0};
	char *copy = strdup(text), *rest = copy;
	int r = copy ? 0 : fail_sys(ENOMEM, "the settings");
	for (char *word; !r && rest && (word = strsep(&rest, between));) {
		if (!*word)
			continue;
		char *value = strchr(word, '=');
		if (!value) {
			r = fail(EINVAL, "\"%.40s\" is no setting: they are written name=value", word);
			break;
		}
		*value++ = 0;
		r = settings_set(settings, word, value, origin);
	}
	free(copy);
	return r;
}

/* NULL: it is not set, or to nothing. */
static const char *in_environment(const struct row *row)
{
	char variable[NAME_MAX_CHARS];
	environment_name(row->name, variable);
	const char *value = row->no_environment ? NULL : getenv(variable);
	return value && *value ? value : NULL;
}

int settings_environment(struct settings *settings)
{
	struct origin origin = {ORIGIN_ENVIRONMENT, 0};
	const char *value;
	int r = 0;
	for (unsigned i = 0; !r && i < SETTINGS; i++)
		if ((value = in_environment(&rows[i])))
			r = settings_set(settings, rows[i].name, value, origin);
	for (unsigned i = 0; !r && i < VARIABLES; i++)
		if ((value = in_environment(&variables[i])))
			r = take(settings, &variables[i], value, origin, &settings->variables[i]);
	return r;
}

int settings_check(struct settings *settings)
{
	uint64_t *most = &settings->values[SET_WORKERS], *least = &settings->values[SET_MIN_WORKERS];
	const struct origin *origins = settings->origins;
	char place[384];
	if (*least <= *most)
		return 0;
	if (origins[SET_MIN_WORKERS].kind < origins[SET_WORKERS].kind) {
		*least = *most;
		return 0;
	}
	if (origins[SET_MIN_WORKERS].kind > origins[SET_WORKERS].kind) {
		*most = *least;
		return 0;
	}
	place_name(settings, "min-workers", origins[SET_MIN_WORKERS], place, sizeof(place));
	return fail(EINVAL, "%s is %llu; it can not be more than workers, which is %llu", place,
	    (unsigned long long)*least, (unsigned long long)*most);
}

void settings_value(const struct settings *settings, enum setting setting, char text[32])
{
	const struct row *row = &rows[setting];
	unsigned long long value = settings->values[setting];
	unsigned unit = 0;
	switch (row->form) {
	case CHOICE:
		snprintf(text, 32, "%s", row->choices[value]);
		break;
	case SECONDS:
		snprintf(text, 32, value % 1000 ? "%llu.%03llu" : "%llu", value / 1000, value % 1000);
		break;
	case BYTES:
		for (; value && value % 1024 == 0 && unit < 4; unit++)
			value /= 1024;
		snprintf(text, 32, unit ? "%llu%c" : "%llu", value, "KMGT"[unit ? unit - 1 : 0]);
		break;
	default:
		snprintf(text, 32, "%llu", value);
	}
}

const char *settings_word(const struct settings *settings, enum setting setting, unsigned *unit)
{
	const struct row *row = &rows[setting];
	*unit = row->form == SECONDS ? 1000 : 1;
	return row->form == CHOICE ? row->choices[settings->values[setting]] : NULL;
}
