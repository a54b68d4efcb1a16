/*
 * settings_file.c - the configuration file of `varve serve`, in the form of libconfig:
 *
 *   workers = 4
 *   idle-timeout = 60
 *   stores = (
 *     { path = "/var/lib/vm/ledger", workers = 8, memory-limit = "2G" }
 *   )
 *
 * It decides how a service runs, so it must be its owner's alone: root's or the user's, and writable by nobody else. All
 * of it is checked, also what it says of stores that this coordinator does not serve: a mistake is found when the file
 * is written and not when the other service is next started.
 */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "err.h"

#define FILE_MAX (1u << 20)
#define DIGITS_MAX 9

/** What is being read, and for whom. */
struct reading {
	struct settings *settings;
	const char *store;
	char **paths; /**< of the sections read so far */
};

static int wrong(const struct settings *settings, const config_setting_t *at, const char *what)
{
	return fail(EINVAL, "%.300s:%u: %s", settings->file, at ? config_setting_source_line(at) : 0, what);
}

/* A scalar as text, as it would stand on a command line. False: it is a list, or true or false. */
static bool to_text(const config_setting_t *setting, char *text, size_t size)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(text, size, "%lld", config_setting_get_int64(setting));
		return true;
	case CONFIG_TYPE_FLOAT:
		snprintf(text, size, "%.12g", config_setting_get_float(setting));
		return true;
	case CONFIG_TYPE_STRING:
		snprintf(text, size, "%s", config_setting_get_string(setting));
		return true;
	default:
		return false;
	}
}

/** What one part of the file says, by itself: whether that goes together must not depend on what else is set, or on which
 * store is served. */
static void begin_part(struct settings *part, const struct settings *whole)
{
	settings_init(part);
	part->file = whole->file;
}

static int read_one(struct settings *settings, const config_setting_t *setting, enum origin_kind kind)
{
	struct origin origin = {kind, config_setting_source_line(setting)};
	char text[64], what[128];
	if (to_text(setting, text, sizeof(text)))
		return settings_set(settings, config_setting_name(setting), text, origin);
	snprintf(what, sizeof(what), "%.48s must be a number, or a word in quotes", config_setting_name(setting));
	return wrong(settings, setting, what);
}

/* The path of a section; NULL with a sentence. */
static const char *section_path(const struct settings *settings, const config_setting_t *section)
{
	const char *path = NULL;
	if (!config_setting_is_group(section)) {
		wrong(settings, section, "a store is written { path = \"/...\", name = value ... }");
	} else if (!config_setting_lookup_string(section, "path", &path) || *path != '/') {
		wrong(settings, section, "a store needs a path, which begins with /");
		path = NULL;
	}
	return path;
}

/* A store is known by whatever path leads to it; one that is not there, by what is written. */
static int note_path(const struct reading *reading, const config_setting_t *section, const char *path)
{
	char **end = reading->paths;
	char *real = realpath(path, NULL);
	if (!real && !(real = strdup(path)))
		return fail_sys(ENOMEM, "the configuration");
	for (; *end; end++) {
		if (strcmp(*end, real) == 0) {
			free(real);
			return wrong(reading->settings, section, "this store has a section already");
		}
	}
	*end = real;
	return strcmp(real, reading->store) == 0;
}

static int read_section(const struct reading *reading, const config_setting_t *section)
{
	struct settings part;
	const char *path = section_path(reading->settings, section);
	int r = path ? note_path(reading, section, path) : -EINVAL;
	if (r < 0)
		return r;
	bool served = r == 1;
	r = 0;
	begin_part(&part, reading->settings);
	for (int i = 0; !r && i < config_setting_length(section); i++) {
		const config_setting_t *setting = config_setting_get_elem(section, (unsigned)i);
		if (strcmp(config_setting_name(setting), "path") == 0)
			continue;
		r = read_one(&part, setting, ORIGIN_STORE);
		if (!r && served)
			r = read_one(reading->settings, setting, ORIGIN_STORE);
	}
	return r ? r : settings_check(&part);
}

static int read_sections(struct reading *reading, const config_setting_t *stores)
{
	int count = config_setting_length(stores), r = 0;
	if (!config_setting_is_list(stores))
		return wrong(reading->settings, stores, "stores is a list: stores = ( { path = \"/...\" ... } )");
	reading->paths = calloc((size_t)count + 1, sizeof(*reading->paths));
	if (!reading->paths)
		return fail_sys(ENOMEM, "the configuration");
	for (int i = 0; !r && i < count; i++)
		r = read_section(reading, config_setting_get_elem(stores, (unsigned)i));
	for (int i = 0; i < count; i++)
		free(reading->paths[i]);
	free(reading->paths);
	return r;
}

static int read_all(struct reading *reading, const config_t *config)
{
	const config_setting_t *root = config_root_setting(config);
	struct settings part;
	int r = 0;
	begin_part(&part, reading->settings);
	for (int i = 0; !r && i < config_setting_length(root); i++) {
		const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
		/* What another file says would escape the look at its owner. */
		if (config_setting_source_file(setting))
			r = wrong(reading->settings, NULL, "@include is not allowed");
		else if (strcmp(config_setting_name(setting), "stores") == 0)
			r = read_sections(reading, setting);
		else if (!(r = read_one(&part, setting, ORIGIN_FILE)))
			r = read_one(reading->settings, setting, ORIGIN_FILE);
	}
	return r ? r : settings_check(&part);
}

static int check_owner(int fd, const char *path)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return fail_sys(errno, "%.300s", path);
	if (!S_ISREG(st.st_mode))
		return fail(EINVAL, "%.300s is not a regular file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return fail(EPERM,
		    "%.300s belongs to user %u; it must belong to root or to the user who serves the store", path,
		    (unsigned)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return fail(EPERM, "%.300s can be written to by others (mode %04o); chmod go-w %.100s", path,
		    (unsigned)st.st_mode & 07777, path);
	return 0;
}

/* The parser keeps 32 bits of a number and says nothing of the others: so one of more than 9 digits, which could have
 * them, is refused where it stands outside of quotes and comments. */
static int check_digits(const struct settings *settings, const char *text)
{
	unsigned line = 1, digits = 0;
	bool quoted = false;
	for (; *text; text++) {
		line += *text == '\n';
		digits = *text >= '0' && *text <= '9' ? digits + 1 : 0;
		if (*text == '\\' && quoted && text[1])
			text++;
		else if (*text == '"')
			quoted = !quoted;
		else if (!quoted && (*text == '#' || (*text == '/' && text[1] == '/')))
			text += strcspn(text, "\n") - 1;
		else if (!quoted && digits > DIGITS_MAX)
			return fail(EINVAL, "%.300s:%u: a number of more than %d digits; write sizes in quotes: \"4G\"",
			    settings->file, line, DIGITS_MAX);
		else if (!quoted && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
			return fail(EINVAL, "%.300s:%u: numbers are decimal", settings->file, line);
	}
	return 0;
}

static int parse_text(struct reading *reading, const char *text)
{
	config_t config;
	int r = check_digits(reading->settings, text);
	if (r)
		return r;
	config_init(&config);
	if (config_read_string(&config, text))
		r = read_all(reading, &config);
	else
		r = fail(EINVAL, "%.300s:%d: %.60s; lines are name = value, and words stand in quotes",
		    reading->settings->file, config_error_line(&config), config_error_text(&config));
	config_destroy(&config);
	return r;
}

/* The whole file, and a NUL. */
static int load(int fd, const char *path, struct buf *text)
{
	ssize_t got;
	do {
		uint8_t *room = buf_reserve(text, 4096);
		got = room ? read(fd, room, 4096) : -1;
		if (got < 0)
			return fail_sys(room ? errno : ENOMEM, "%.300s, the configuration, can not be read", path);
		text->size += (size_t)got;
	} while (got > 0 && text->size <= FILE_MAX);
	if (got > 0)
		return fail(EINVAL, "%.300s is no configuration: it is larger than %u KiB", path, FILE_MAX >> 10);
	if (memchr(text->data, 0, text->size))
		return fail(EINVAL, "%.300s is no configuration: it is no text (a byte of it is zero)", path);
	buf_u8(text, 0);
	return text->bad ? fail_sys(ENOMEM, "%.300s", path) : 0;
}

int settings_file_read(struct settings *settings, const char *path, bool must_exist, const char *store)
{
	struct buf text = {0};
	char target[1];
	/* Without O_NONBLOCK a FIFO would hold us up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && readlink(path, target, sizeof(target)) > 0)
		return fail(
		    ENOENT, "%.300s, the configuration, is a link to what is not there: mend or remove it", path);
	if (fd < 0 && errno == ENOENT && !must_exist)
		return 0;
	if (fd < 0)
		return fail_sys(errno, "%.300s, the configuration, can not be opened", path);
	int r = check_owner(fd, path);
	if (!r)
		r = load(fd, path, &text);
	close(fd);
	settings->file = path;
	struct reading reading = {settings, store, NULL};
	if (!r)
		r = parse_text(&reading, (const char *)text.data);
	buf_free(&text);
	return r;
}
