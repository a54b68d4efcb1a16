/*
 * progress.c - a bar on stderr, if that is a terminal:
 *
 *   import  [#########-----------]  45 %  90/200 commits  812 MiB  3 s left
 *
 * There is one bar at most. It is drawn ten times a second at most, and it is taken away before anything else is
 * written to stderr, since a message in the middle of a bar is read by nobody.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define BAR_WIDTH 20
#define REDRAW_SECONDS 0.1
#define GUESS_AFTER_SECONDS 0.5 /* before that, the time left would be a guess from nothing */

static struct {
	bool active; /* between begin and end, on a terminal */
	bool drawn;
	const char *verb;
	const char *unit;
	double begun;
	double drawn_at;
} bar;

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void progress_begin(const char *verb, const char *unit)
{
	bar.active = isatty(STDERR_FILENO) == 1;
	bar.drawn = false;
	bar.verb = verb;
	bar.unit = unit;
	bar.begun = seconds_now();
	bar.drawn_at = 0;
}

static size_t terminal_width(void)
{
	struct winsize size;

	return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 1 ? size.ws_col : 80;
}

void progress_update(double share, uint64_t done, uint64_t total, uint64_t bytes)
{
	char blocks[BAR_WIDTH + 1];
	char line[256];
	double now, elapsed;
	size_t width;

	if (!bar.active)
		return;
	now = seconds_now();
	if (now - bar.drawn_at < REDRAW_SECONDS)
		return;
	share = share < 0 ? 0 : share > 1 ? 1 : share;
	elapsed = now - bar.begun;
	for (int i = 0; i < BAR_WIDTH; i++)
		blocks[i] = i < (int)(share * BAR_WIDTH) ? '#' : '-';
	blocks[BAR_WIDTH] = 0;
	snprintf(line, sizeof(line), "%s  [%s] %3d %%  %llu/%llu %s  %s", bar.verb, blocks, (int)(share * 100),
	    (unsigned long long)done, (unsigned long long)total, bar.unit, text_size(bytes).s);
	if (elapsed >= GUESS_AFTER_SECONDS && share > 0) {
		double left = elapsed * (1 - share) / share;

		width = strlen(line);
		/* Whole seconds: more would pretend to know. */
		snprintf(line + width, sizeof(line) - width, "  %s left",
		    left < 1    ? "1 s"
		    : left < 60 ? text_count((uint64_t)left, "s", "s").s
		                : text_seconds(left).s);
	}
	/* A line that wraps could not be taken back. */
	width = terminal_width() - 1;
	if (width < sizeof(line))
		line[width] = 0;
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
	bar.drawn = true;
	bar.drawn_at = now;
}

void progress_hide(void)
{
	if (!bar.drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	bar.drawn = false;
	bar.drawn_at = 0;
}

void progress_end(void)
{
	progress_hide();
	bar.active = false;
}
