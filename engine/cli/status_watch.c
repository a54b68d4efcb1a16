/*
 * status_watch.c - varve status --watch: a screen that is kept up to date, or, where there is no terminal, a line for each
 * look.
 *
 * The screen is what `varve status` prints, or as much of it as there is room for, from the line that the user has scrolled
 * to. Looks are made by a thread (looker.h): where one is not answered, that is said, and keys and signals do what they
 * always do. They are looked for ten times a second: a signal does not end a wait of ncurses, and nobody shall wait for a
 * long interval to be over.
 */
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "looker.h"
#include "status.h"

#define SLICE_SECONDS 0.1
/** A look that takes an interval is late; but not one of less, and one of more is. */
#define LATE_MIN_SECONDS 0.5
#define LATE_MAX_SECONDS 2.0

/** Two looks, and perhaps a third that is under way. */
struct watch {
	struct cli *cli;
	struct looker looker;
	struct varve_stat *before; /**< NULL: there was none */
	struct varve_stat *now; /**< NULL: there was none yet */
	double looked; /**< when, seconds */
	double asked; /**< when the look under way began; 0: there is none */
	bool late; /**< it was said that there is no answer */
	struct status_rates rates;
	double due; /**< when the next look is to begin */
	size_t top; /**< the screen's first line, of those that there are */
};

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void ask(struct watch *watch)
{
	watch->asked = seconds_now();
	looker_ask(&watch->looker);
}

/* The answer to what was asked, if it comes within @seconds. 1: it is there; 0: not yet; or -errno. */
static int take(struct watch *watch, double seconds)
{
	int err;
	struct varve_stat *stat = looker_take(&watch->looker, seconds, &err);
	double now = seconds_now();

	if (!stat)
		return err;
	varve_stat_free(watch->before);
	watch->before = watch->now;
	watch->now = stat;
	rates_free(&watch->rates);
	rates_between(watch->before, stat, now - watch->looked, &watch->rates);
	watch->looked = now;
	watch->asked = 0;
	watch->late = false;
	return 1;
}

static bool is_late(const struct watch *watch)
{
	double interval = watch->cli->interval;
	double patience = interval < LATE_MIN_SECONDS   ? LATE_MIN_SECONDS
	                  : interval > LATE_MAX_SECONDS ? LATE_MAX_SECONDS
	                                                : interval;

	return watch->asked > 0 && seconds_now() - watch->asked >= patience;
}

/* Who does not answer, and for how long: free() it. */
static char *lateness(const struct watch *watch)
{
	char process[32] = "", *text;

	if (watch->now)
		snprintf(process, sizeof(process), ", process %d,", watch->now->coordinator_pid);
	if (asprintf(&text, "the coordinator%s has not answered for %s", process,
	        text_seconds(seconds_now() - watch->asked).s) < 0)
		exit(complain("out of memory"));
	return text;
}

static void watch_end(struct watch *watch)
{
	/* Closing the store waits for the coordinator. One that does not answer now is not asked to: ending the look that is
	 * under way ends the connection. */
	if (watch->now && watch->asked <= 0) {
		ask(watch);
		take(watch, SLICE_SECONDS);
	}
	looker_end(&watch->looker);
	rates_free(&watch->rates);
	varve_stat_free(watch->before);
	varve_stat_free(watch->now);
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

static void nap(double seconds)
{
	double end = seconds_now() + seconds;

	while (!interrupted() && seconds > 0) {
		double slice = seconds < SLICE_SECONDS ? seconds : SLICE_SECONDS;
		struct timespec time = {(time_t)slice, (long)((slice - (double)(time_t)slice) * 1e9)};

		nanosleep(&time, NULL);
		seconds = end - seconds_now();
	}
}

static void line_print(const struct watch *watch)
{
	struct timespec now;

	if (watch->cli->json) {
		print_json(status_json(watch->now));
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	printf("%s  ", text_time((int64_t)now.tv_sec * 1000000000 + now.tv_nsec).s);
	status_line(stdout, watch->now, &watch->rates);
}

/* Says it once, until there is an answer. */
static void lateness_note(struct watch *watch)
{
	char *text;

	if (watch->late || !is_late(watch))
		return;
	watch->late = true;
	text = lateness(watch);
	note(text);
	free(text);
}

static int watch_lines(struct watch *watch)
{
	while (!interrupted()) {
		int there;

		ask(watch);
		while (!(there = take(watch, SLICE_SECONDS)) && !interrupted())
			lateness_note(watch);
		if (interrupted())
			break;
		if (there < 0)
			return looker_complain(&watch->looker);
		line_print(watch);
		if (fflush(stdout))
			return EXIT_FAILED; /* nobody reads any more: said at the end, if it is to be said */
		nap(watch->cli->interval);
	}
	return EXIT_DONE;
}

/* ---- the screen ------------------------------------------------------------------------------------------------- */

/* The bytes of the first @columns characters of a line. */
static size_t cut(const char *line, size_t length, int columns)
{
	size_t at = 0;

	for (; at < length; at++)
		if ((line[at] & 0xc0) != 0x80 && columns-- <= 0)
			break;
	return at;
}

static void draw_line(int row, const char *line, size_t length)
{
	move(row, 0);
	addnstr(line, (int)cut(line, length, COLS - 1));
	clrtoeol();
}

static size_t lines_count(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

/* How many lines there is room for, above that of the hints. */
static size_t page(void)
{
	return LINES > 1 ? (size_t)LINES - 1 : 1;
}

/* The last line: what keys do, and what is amiss. */
static void draw_hints(const struct watch *watch, size_t count)
{
	char *text, *late = is_late(watch) ? lateness(watch) : NULL;
	int length;

	if (late)
		length = asprintf(&text, " q: quit   %s ", late);
	else if (count > page())
		length = asprintf(&text, " q: quit   lines %zu-%zu of %zu: arrows, PgUp, PgDn ", watch->top + 1,
		    watch->top + page(), count);
	else
		length = asprintf(&text, " q: quit ");
	free(late);
	if (length < 0)
		return;
	attron(A_REVERSE);
	draw_line(LINES - 1, text, (size_t)length);
	attroff(A_REVERSE);
	free(text);
}

/* What `varve status` prints: free() it. */
static char *status_text(const struct watch *watch)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		exit(complain("out of memory"));
	if (watch->now)
		status_print(stream, watch->now, &watch->rates);
	fclose(stream);
	return text;
}

static void draw(struct watch *watch)
{
	char *text = status_text(watch), *line = text;
	size_t count = lines_count(text), most = count > page() ? count - page() : 0;

	if (watch->top > most)
		watch->top = most;
	for (size_t i = 0; i < watch->top; i++)
		line += strcspn(line, "\n") + 1;
	erase();
	for (int row = 0; *line && row < (int)page(); row++) {
		size_t length = strcspn(line, "\n");

		draw_line(row, line, length);
		line += length + 1;
	}
	draw_hints(watch, count);
	refresh();
	free(text);
}

/* Whether the key scrolls; how far there is anything draw() knows. */
static bool scroll_by(struct watch *watch, int key)
{
	size_t by = key == KEY_NPAGE || key == KEY_PPAGE ? page() : 1;

	switch (key) {
	case KEY_DOWN:
	case KEY_NPAGE:
	case 'j':
		watch->top += by;
		return true;
	case KEY_UP:
	case KEY_PPAGE:
	case 'k':
		watch->top -= by < watch->top ? by : watch->top;
		return true;
	case KEY_HOME:
		watch->top = 0;
		return true;
	case KEY_END:
		watch->top = SIZE_MAX;
		return true;
	default:
		return false;
	}
}

/* Does what a key asks for, if one comes within @seconds. False: the user has enough. */
static bool obey_key(struct watch *watch, double seconds)
{
	int key;

	timeout(seconds > 0 ? (int)(seconds * 1e3) + 1 : 0);
	key = getch();
	if (key == ' ')
		watch->due = 0;
	else if (key == KEY_RESIZE || scroll_by(watch, key))
		draw(watch);
	return key != 'q' && key != 'Q';
}

static int watch_screen(struct watch *watch)
{
	int there;

	do {
		double left;

		if (watch->asked <= 0 && seconds_now() >= watch->due)
			ask(watch);
		there = watch->asked > 0 ? take(watch, SLICE_SECONDS) : 0;
		if (there > 0)
			watch->due = watch->looked + watch->cli->interval;
		if (there > 0 || is_late(watch))
			draw(watch);
		left = watch->asked > 0 ? 0 : watch->due - seconds_now();
		if (!obey_key(watch, left < SLICE_SECONDS ? left : SLICE_SECONDS))
			break;
	} while (there >= 0 && !interrupted());
	endwin();
	return there < 0 && !interrupted() ? looker_complain(&watch->looker) : EXIT_DONE;
}

/* NULL: there is no terminal that can be drawn on. */
static SCREEN *screen_open(const struct cli *cli)
{
	SCREEN *screen;
	const char *cursor;

	if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return NULL;
	setlocale(LC_CTYPE, "");
	screen = newterm(NULL, stdout, stdin); /* NULL: a terminal of a kind that it does not know */
	if (!screen)
		return NULL;
	/* TERM=dumb: it is known, and nothing can be placed on it. Not there is NULL or (char *)-1. */
	cursor = tigetstr("cup");
	if (cursor && cursor != (const char *)-1)
		return screen;
	endwin();
	delscreen(screen);
	return NULL;
}

int status_watch(struct cli *cli)
{
	struct watch watch = {.cli = cli};
	SCREEN *screen;
	int code;

	if (cli->interval <= 0)
		cli->interval = 1;
	interrupts_catch(cli->vm);
	screen = screen_open(cli);
	looker_begin(&watch.looker, cli->vm);
	if (screen) {
		cbreak();
		noecho();
		keypad(stdscr, TRUE);
		curs_set(0);
		code = watch_screen(&watch);
		delscreen(screen);
	} else {
		code = watch_lines(&watch);
	}
	watch_end(&watch);
	return code;
}
