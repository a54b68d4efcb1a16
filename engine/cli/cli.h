/*
 * cli.h - what the files of the command line share.
 *
 * A command is a function that gets its parsed arguments in struct cli and returns the exit code. Whoever finds a
 * failure says it on stderr, once, with one of the complain functions, and hands their exit code up.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <argp.h>
#include <jansson.h>

#include <varve.h>

/** The exit codes; they are a promise. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2, /**< the command line is wrong; nothing was opened */
	EXIT_DAMAGE = 3, /**< a file of the store is damaged */
};

/** How long import and commit wait for the session of another process. */
#define SESSION_WAIT_MS 10000

struct command;

/** One run of the program. */
struct cli {
	const struct command *command;
	bool json;
	bool dry_run;
	bool cold;
	unsigned seconds; /**< 0: not given */
	unsigned rounds; /**< 0: as many as there is time for */
	const char *scratch; /**< NULL: not given */
	unsigned workers; /**< 0: not given */
	uint64_t limit; /**< entries of the log; 0: all */
	const char *label; /**< NULL: none */
	enum varve_io io;
	enum varve_sync sync;
	char *settings; /**< for a coordinator, as in struct varve_options; NULL: none given */
	const char *config; /**< NULL: not given */
	const char *metrics; /**< NULL: not given */
	bool watch;
	bool openmetrics;
	double interval; /**< seconds between two looks; 0: not given */
	bool check_config;
	struct varve_workers change; /**< what is to be otherwise */
	char **args; /**< positional arguments: between command->min and command->max of them */
	int count;
	struct varve_vm *vm; /**< open between store_open() and the end of the program */
};

struct command {
	const char *name;
	const char *args; /**< as the help shows them */
	const char
	    *help; /**< what it does, a vertical tab, an example; its first line goes into the list of commands */
	const struct argp_option *options;
	int min, max; /**< positional arguments; max -1: any number */
	int (*run)(struct cli *cli);
};

extern const struct command command_import;
extern const struct command command_commit;
extern const struct command command_log;
extern const struct command command_show;
extern const struct command command_restore;
extern const struct command command_checkout;
extern const struct command command_verify;
extern const struct command command_status;
extern const struct command command_workers;
extern const struct command command_tune;
extern const struct command command_serve;

/* ---- options.c: arguments --------------------------------------------------------------------------------------- */

enum option_key {
	OPTION_COLD = 0x200, /* of `varve tune', like the next three */
	OPTION_ROUNDS,
	OPTION_SECONDS,
	OPTION_SCRATCH,
	OPTION_JSON = 'j',
	OPTION_DRY_RUN = 'n',
	OPTION_LABEL = 'l',
	OPTION_WORKERS = 'w',
	OPTION_LIMIT = 0x100,
	OPTION_IO,
	OPTION_SYNC,
	OPTION_CONFIG,
	OPTION_CHECK_CONFIG,
	OPTION_MIN,
	OPTION_MAX,
	OPTION_IDLE,
	OPTION_METRICS,
	OPTION_WATCH,
	OPTION_INTERVAL,
	OPTION_OPENMETRICS,
	OPTION_SETTING, /**< up to OPTION_SETTING_LAST: a setting of the coordinator that has the option's name */
	OPTION_SETTING_LAST = OPTION_SETTING + 31,
};

/** Entries of struct argp_option that several commands have. */
#define OPTIONS_JSON                                                                                                   \
	{                                                                                                              \
		"json", OPTION_JSON, NULL, 0, "Write the result as JSON", 0                                            \
	}
#define OPTIONS_STORE                                                                                                  \
	{"io", OPTION_IO, "METHOD", 0, "How a coordinator that this starts reads files: auto, uring or pread", 8},     \
	{                                                                                                              \
		"sync", OPTION_SYNC, "WHEN", 0,                                                                        \
		    "When a coordinator that this starts syncs files to the device: persist, commit or none", 8        \
	}

/** command_parse() - read @argv (argv[0] is the name to complain under) into @cli; exits with EXIT_USAGE if wrong. */
void command_parse(struct cli *cli, int argc, char **argv);

/** number_parse() - a decimal number from @min to @max, and nothing else. */
bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *number);

/* ---- store.c: the store, and being interrupted ------------------------------------------------------------------ */

enum store_mode {
	STORE_EXISTS, /**< a store must be there: a slip in its name must not make a new one */
	STORE_CREATE,
};

/** store_open() - open cli->args[0] as cli->vm and pass its notices on. Returns an exit code. */
int store_open(struct cli *cli, enum store_mode mode);

/** store_optimize() - finish the background work, before nobody is there to do it. Only speed depends on it: if something
 * can not be made that is a note, the first time. */
void store_optimize(struct cli *cli);

/** store_options() - the options for varve_vm_open() and varve_serve() that @cli asks for. */
struct varve_options store_options(const struct cli *cli);

/** store_resolve() - find the commit that @text names. Returns an exit code. */
int store_resolve(struct cli *cli, const char *text, struct varve_id *commit);

/**
 * interrupts_catch() - from now on SIGINT, SIGTERM and SIGHUP only make interrupted() true, and cancel the call that
 * blocks on @vm, if it is not NULL. A second one ends the program.
 */
void interrupts_catch(struct varve_vm *vm);
bool interrupted(void);

/** interrupts_end() - from now on a signal ends the program at once, with these @words, of static storage. Returns
 * interrupted(). */
bool interrupts_end(const char *words);

/* ---- print.c: messages, tables, JSON ---------------------------------------------------------------------------- */

/** complain() - say "varve: …" on stderr. Returns EXIT_FAILED. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * complain_about() - say "varve: …: " and what the library says of its failure @err. NULL: nothing goes in front.
 * Returns EXIT_DAMAGE if @err is -EBADMSG, else EXIT_FAILED.
 */
int complain_about(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** note() - say "varve: note: …" on stderr. */
void note(const char *text);

/** A short text, returned by value: good until the end of the expression that it is in. */
struct text {
	char s[72];
};

struct text text_id(const struct varve_id *id);
struct text text_short(const struct varve_id *id); /**< its first 12 digits */
struct text text_size(uint64_t bytes); /**< "4.5 MiB" */
struct text text_rate(uint64_t bytes, double seconds); /**< "1.2 GiB/s" */
struct text text_seconds(double seconds); /**< "12.3 ms" */
struct text text_time(int64_t nanoseconds); /**< local, to the second */
struct text text_utc(int64_t nanoseconds); /**< RFC 3339, UTC, to the nanosecond */
struct text text_count(uint64_t count, const char *one, const char *many); /**< "1 module", "8 modules" */
const char *text_kind(enum varve_kind kind);

/** text_clean() - a copy of @text, to be freed, that is UTF-8; with @line also free of what moves a cursor. */
char *text_clean(const char *text, bool line);

/** print_clean() - write text that came from a file, so that it can not play tricks on the terminal. */
void print_clean(FILE *stream, const char *text);

/** A table: cells are added row by row; table_write() writes and frees them. */
struct table {
	const char *align; /**< a letter per column: 'l' or 'r' */
	char **cells;
	size_t count;
	size_t room;
};

void table_begin(struct table *table, const char *align);
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_write(FILE *to, struct table *table);
void table_print(struct table *table); /**< to stdout */

/** print_json() - write @value as a line, and free it. */
void print_json(json_t *value);

json_t *json_id(const struct varve_id *id);
json_t *json_number(uint64_t number);
json_t *json_text(const char *text);

/** memory_take() - calloc() that ends the program where there is no memory. */
void *memory_take(size_t count, size_t size);

/* ---- progress.c: a bar on stderr -------------------------------------------------------------------------------- */

/** progress_begin() - @verb, @unit: static strings, such as "import" and "commits". Shown only on a terminal. */
void progress_begin(const char *verb, const char *unit);
void progress_update(double share, uint64_t done, uint64_t total, uint64_t bytes);

/** progress_hide() - take the bar away, because something else is to be written; the next update shows it again. */
void progress_hide(void);
void progress_end(void);

/* ---- image.c: raw images into a session ------------------------------------------------------------------------- */

/** An image to be loaded. */
struct image {
	const char *name; /**< for messages */
	int fd;
	uint64_t size;
	const uint8_t *sha256; /**< what its content must have; NULL: not checked */
	void (*advance)(void *arg, uint64_t bytes); /**< told of each part loaded; may be NULL */
	void *arg;
};

/** image_stat() - check that @fd is a regular file and get its size. Returns an exit code. */
int image_stat(int fd, const char *name, uint64_t *size);

/**
 * image_load() - give @module of @session the content of @image, deploying it if the current commit has no such module.
 * Only pages that differ are written. Returns an exit code; after a failure the session is fit to be abandoned only.
 */
int image_load(struct varve_session *session, const struct varve_id *module, const struct image *image);

/** ids_unique() - whether all ids differ; sorts them. */
bool ids_unique(struct varve_id *ids, size_t count);

#endif
