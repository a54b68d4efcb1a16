/*
 * settings.h - what can be set of a coordinator: one table, four ways to set it.
 *
 * A setting has a value and an origin. Setting it again counts only if the new origin is as strong or stronger, so it
 * does not matter in which order the sources are read:
 *
 *   default < configuration file < its section for this store < environment < command line
 */
#ifndef WORKERS_SETTINGS_H
#define WORKERS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum setting {
	SET_WORKERS,
	SET_MIN_WORKERS,
	SET_IDLE_TIMEOUT, /**< milliseconds; 0: never */
	SET_IO, /**< enum read_method */
	SET_QUEUE_DEPTH,
	SET_SYNC, /**< enum varve_sync */
	SET_BACKGROUND_NICE,
	SET_BACKGROUND_IO, /**< enum pool_io */
	SET_BACKGROUND_DISK, /**< hundredths of what the deltas take */
	SET_MEMORY_LIMIT, /**< bytes; 0: none */
	SET_LOG_LEVEL, /**< enum log_level */
	SET_SANDBOX, /**< enum sandbox_mode */
	SETTINGS
};

/** What only the environment says: VARVE_HANG_MS and so on. */
enum variable {
	VARIABLE_HANG_MS, /**< pool_setup.hang_ms; 0: it does not say */
	VARIABLE_HELLO_MS, /**< how long a client may wait with its greeting; 0: it does not say */
	VARIABLE_INLINE, /**< 0: the coordinator runs no job itself */
	VARIABLE_LOG, /**< "stderr" is all that it can be: the library acts on it (spawn.c) */
	VARIABLES
};

enum origin_kind { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_STORE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct origin {
	enum origin_kind kind;
	unsigned line; /**< in the configuration file */
};

struct settings {
	uint64_t values[SETTINGS];
	struct origin origins[SETTINGS];
	uint64_t variables[VARIABLES];
	const char *file; /**< the configuration file, the caller's; NULL: none was read */
};

/** What a configuration file is called if nobody says otherwise; it need not be there. */
#define SETTINGS_FILE "/etc/varve.conf"

/** settings_init() - the defaults. */
void settings_init(struct settings *settings);

/** settings_name() - as it stands in a file and, after "--", on the command line. */
const char *settings_name(enum setting setting);

/** settings_help() - a line for the usage, without its name: the values it takes. */
const char *settings_help(enum setting setting);

/**
 * settings_set() - set what is called @name to what @value says, unless a stronger origin has set it.
 * Returns 0, or -EINVAL: no setting has that name, or none such a value; the sentence says where it stands and what is
 * allowed.
 */
int settings_set(struct settings *settings, const char *name, const char *value, struct origin origin);

/** settings_list() - each "name=value" of @text, which blanks or commas keep apart, as from the command line. */
int settings_list(struct settings *settings, const char *text);

/** settings_environment() - what the environment says: VARVE_ and the name in upper case, '-' as '_'. Returns 0 or
 * -EINVAL. */
int settings_environment(struct settings *settings);

/**
 * settings_file_read() - what the configuration file @path says in general, then for the store @store (an absolute path).
 *
 * @must_exist  a missing file is an error
 *
 * The whole file is checked, also what it says of other stores: each part must go together by itself, whatever else is
 * set. A link that leads nowhere is no missing file. Returns 0, -ENOENT, -EPERM (it belongs to somebody else,
 * or others may write to it), -EINVAL (file, line, and what is allowed), or as open(). @path must outlive @settings.
 */
int settings_file_read(struct settings *settings, const char *path, bool must_exist, const char *store);

/** settings_check() - make them go together, when all sources were read: of two that do not, the one of the weaker
 * origin yields. Returns 0, or -EINVAL if neither is. */
int settings_check(struct settings *settings);

/** settings_show() - all of them, with where each comes from: as a table or as JSON. Returns 0 or -errno. */
int settings_show(const struct settings *settings, FILE *to, bool json);

/** settings_value() - the value of one as text that could be read again, in @text. */
void settings_value(const struct settings *settings, enum setting setting, char text[32]);

/** settings_word() - the value of one that is a word; NULL: it is a number, to be divided by *@unit. */
const char *settings_word(const struct settings *settings, enum setting setting, unsigned *unit);

/** settings_origin() - where it comes from, in words: "default", "/etc/varve.conf:3", "VARVE_WORKERS", "--workers". */
void settings_origin(const struct settings *settings, enum setting setting, char *text, size_t size);

#endif
