/*
 * status_watch.c - varve status --watch: a screen that is kept up to date, or, where there is no terminal, a line for each
 * look.
 *
 * The screen is what `varve status` prints, cut to what there is room for. Keys are looked for ten times a second: a signal
 * does not end a wait of ncurses, and nobody shall wait for a long interval to be over.
 */
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "status.h"

#define SLICE_MS 100

/** Two looks. */
struct watch {
	struct cli *cli;
	struct varve_stat *before; /**< NULL: there was none */
	struct varve_stat *now;
	double looked; /**< when, seconds */
	struct status_rates rates;
};

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Returns as varve_stat(); after a failure all is as it was. */
static int look(struct watch *watch)
{
	struct varve_stat *stat;
	double now;
	int err = varve_stat(watch->cli->vm, &stat);

	if (err)
		return err;
	now = seconds_now();
	varve_stat_free(watch->before);
	watch->before = watch->now;
	watch->now = stat;
	rates_free(&watch->rates);
	rates_between(watch->before, stat, now - watch->looked, &watch->rates);
	watch->looked = now;
	return 0;
}

static void watch_end(struct watch *watch)
{
	rates_free(&watch->rates);
	varve_stat_free(watch->before);
	varve_stat_free(watch->now);
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

static void nap(double seconds)
{
	double end = seconds_now() + seconds;

	while (!interrupted() && seconds > 0) {
		double slice = seconds < SLICE_MS / 1e3 ? seconds : SLICE_MS / 1e3;
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

static int watch_lines(struct watch *watch)
{
	while (!interrupted()) {
		int err = look(watch);

		if (err)
			return interrupted() ? EXIT_DONE : complain_about(err, NULL);
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

static void draw(const struct watch *watch)
{
	char *text = NULL, *line;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	int row = 0;

	if (!stream)
		return;
	status_print(stream, watch->now, &watch->rates);
	if (fclose(stream)) {
		free(text);
		return;
	}
	erase();
	for (line = text; *line && row < LINES - 1; row++) {
		size_t length = strcspn(line, "\n");

		draw_line(row, line, length);
		line += length + (line[length] != 0);
	}
	attron(A_REVERSE);
	draw_line(LINES - 1, *line ? " q: quit   more lines than fit " : " q: quit ", *line ? 31 : 9);
	attroff(A_REVERSE);
	refresh();
	free(text);
}

/* Waits until the next look is due. False: the user has enough. */
static bool wait_for_key(const struct watch *watch)
{
	double end = watch->looked + watch->cli->interval;

	while (!interrupted()) {
		double left = end - seconds_now();

		if (left <= 0)
			return true;
		timeout(left < SLICE_MS / 1e3 ? (int)(left * 1e3) + 1 : SLICE_MS);
		switch (getch()) {
		case 'q':
		case 'Q':
			return false;
		case KEY_RESIZE:
			draw(watch);
			break;
		case ' ':
			return true;
		default:
			break;
		}
	}
	return false;
}

static int watch_screen(struct watch *watch)
{
	int err;

	do {
		err = look(watch);
		if (err)
			break;
		draw(watch);
	} while (wait_for_key(watch));
	endwin();
	return err && !interrupted() ? complain_about(err, NULL) : EXIT_DONE;
}

int status_watch(struct cli *cli)
{
	struct watch watch = {.cli = cli};
	SCREEN *screen = NULL;
	int code;

	interrupts_catch(cli->vm);
	if (!cli->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
		setlocale(LC_CTYPE, "");
		screen = newterm(NULL, stdout, stdin); /* NULL: a terminal of a kind that it does not know */
	}
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
