/*
 * tune_print.c - what was measured, as bars, and which of it to use.
 *
 *   io_uring  1 worker   ████████████████████████▒▒   2.31 ms  2.25 to 2.48
 *             2 workers  ████████████▒                1.24 ms  1.21 to 1.30  <- use this
 *
 * A bar is full up to the first quartile and light up to the third.
 */
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tune.h"

#define BAR_MIN 10
#define BAR_MAX 48
#define UNIT_LAST 1e-6
#define MARK "  <- use this"

/** Cells of the plot, which are aligned. */
struct row {
	char method[16];
	struct text workers;
	struct text median;
	char spread[80];
};

static bool is_utf8(void)
{
	return setlocale(LC_CTYPE, "") && !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static int terminal_width(void)
{
	struct winsize size;

	return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col > 1 ? size.ws_col : 80;
}

static int wider(int width, const char *text)
{
	int length = (int)strlen(text);

	return length > width ? length : width;
}

static const struct unit {
	double seconds;
	const char *name;
} units[] = {{1, "s"}, {1e-3, "ms"}, {UNIT_LAST, "us"}};

/* Three digits. All in one unit: so the longest bar has the largest number. */
static struct text number(double seconds, const struct unit *unit)
{
	double value = seconds / unit->seconds;
	struct text text;

	snprintf(text.s, sizeof(text.s), "%.*f", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value);
	return text;
}

static void print_blocks(const char *block, int count)
{
	for (int i = 0; i < count; i++)
		fputs(block, stdout);
}

static void print_bar(const struct trial *trial, double most, int width, bool utf8)
{
	int low = (int)(trial->low / most * width + 0.5), high = (int)(trial->high / most * width + 0.5);

	if (low < 1)
		low = 1;
	if (high < low)
		high = low;
	print_blocks(utf8 ? "\u2588" : "#", low);
	print_blocks(utf8 ? "\u2592" : "-", high - low);
	printf("%*s", width - high, "");
}

static struct row row_make(const struct tune *tune, size_t i, const struct unit *unit)
{
	const struct trial *trial = &tune->trials[i];
	struct row row = {
	    .workers = text_count(trial->workers, "worker", "workers"), .median = number(trial->median, unit)};

	if (!i || tune->trials[i - 1].io != trial->io)
		snprintf(row.method, sizeof(row.method), "%s", io_name(trial->io));
	strcat(strcat(row.median.s, " "), unit->name);
	snprintf(
	    row.spread, sizeof(row.spread), "%.30s to %.30s", number(trial->low, unit).s, number(trial->high, unit).s);
	return row;
}

/* Words of a text, in lines that fit the terminal. */
static void print_wrapped(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void print_wrapped(const char *format, ...)
{
	int column = 0, width = terminal_width();
	char *text, *rest;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = memory_take(1, 1);
	va_end(args);
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		int length = (int)strlen(word);

		if (column)
			putchar(column + 1 + length > width ? '\n' : ' ');
		column = column && column + 1 + length <= width ? column + 1 + length : length;
		fputs(word, stdout);
	}
	putchar('\n');
	free(text);
}

static void print_plot(const struct tune *tune, const struct advice *advice)
{
	int method = 0, workers = 0, median = 0, spread = 0, bar;
	const struct unit *unit = units;
	bool utf8 = is_utf8();
	double most = 0;

	for (size_t i = 0; i < tune->trials_count; i++)
		most = tune->trials[i].high > most ? tune->trials[i].high : most;
	while (unit->seconds > UNIT_LAST && most < 0.9995 * unit->seconds)
		unit++;
	for (size_t i = 0; i < tune->trials_count; i++) {
		struct row row = row_make(tune, i, unit);

		method = wider(method, row.method);
		workers = wider(workers, row.workers.s);
		median = wider(median, row.median.s);
		spread = wider(spread, row.spread);
	}
	bar = terminal_width() - 1 - (method + 2 + workers + 2 + 2 + median + 2 + spread + (int)strlen(MARK));
	bar = bar < BAR_MIN ? BAR_MIN : bar > BAR_MAX ? BAR_MAX : bar;
	for (size_t i = 0; i < tune->trials_count; i++) {
		struct row row = row_make(tune, i, unit);

		printf("%-*s  %*s  ", method, row.method, workers, row.workers.s);
		print_bar(&tune->trials[i], most, bar, utf8);
		printf("  %*s  %-*s%s\n", median, row.median.s, &tune->trials[i] == advice->use ? spread : 0,
		    row.spread, &tune->trials[i] == advice->use ? MARK : "");
	}
}

static void print_reason(const struct tune *tune, const struct advice *advice)
{
	char *clean = text_clean(advice->why, true);

	print_wrapped("Use %s with %s. %s", text_count(advice->use->workers, "worker", "workers").s,
	    io_name(advice->use->io), clean);
	free(clean);
	if (tune->rounds < TUNE_ROUNDS_MIN)
		print_wrapped("There was time for %s only, which is not worth much: give it more with --seconds.",
		    text_count(tune->rounds, "round", "rounds").s);
	else if (advice->noisy)
		print_wrapped("The rounds differ much: other work on the machine, perhaps. Measure again when there is "
		              "less of it, or for longer, with --seconds.");
}

static void print_settings(const struct tune *tune, const struct advice *advice)
{
	const struct trial *use = advice->use;
	const char *io = io_option(use->io);

	if (!advice->set_workers && !advice->set_io) {
		printf("That is the default: nothing has to be set.\n");
		return;
	}
	if (advice->usual && advice->usual_slower > 1 + TUNE_TOLERANCE)
		print_wrapped("The default, %s with %s, takes %.1f times as long.",
		    text_count(advice->usual->workers, "worker", "workers").s, io_name(advice->usual->io),
		    advice->usual_slower);
	else if (advice->usual)
		print_wrapped("The default, %s with %s, is about as fast.",
		    text_count(advice->usual->workers, "worker", "workers").s, io_name(advice->usual->io));
	printf("\nIn the environment of the VM    ");
	if (advice->set_workers)
		printf(" VARVE_WORKERS=%u", use->workers);
	if (advice->set_io)
		printf(" VARVE_IO=%s", io);
	printf("\nAs a service                     varve serve STORE");
	if (advice->set_workers)
		printf(" --workers %u", use->workers);
	if (advice->set_io)
		printf(" --io %s", io);
	if (advice->set_workers) {
		printf("\nAt once, in what runs already    varve workers ");
		print_clean(stdout, tune->cli->args[0]);
		printf(" %u", use->workers);
	}
	printf("\n");
}

void tune_print(const struct tune *tune, const struct advice *advice)
{
	print_wrapped("Restores of commits taken at random, of %s with %s, %s: median and quartiles of %s of %s.",
	    text_count(tune->commits_count, "commit", "commits").s,
	    text_count(tune->modules_count, "module", "modules").s, tune->cli->cold ? "cold" : "warm",
	    text_count(tune->rounds, "round", "rounds").s, text_count(tune->restores, "restore", "restores").s);
	printf("\n");
	print_plot(tune, advice);
	printf("\n");
	print_reason(tune, advice);
	print_settings(tune, advice);
}

static json_t *trial_json(const struct trial *trial)
{
	return json_pack("{s:s, s:o, s:f, s:f, s:f}", "io", io_option(trial->io), "workers",
	    json_number(trial->workers), "seconds", trial->median, "quartile_1", trial->low, "quartile_3", trial->high);
}

void tune_json(const struct tune *tune, const struct advice *advice)
{
	json_t *tried = json_array();

	for (size_t i = 0; i < tune->trials_count; i++)
		json_array_append_new(tried, trial_json(&tune->trials[i]));
	print_json(json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "commits",
	    json_number(tune->commits_count), "modules", json_number(tune->modules_count), "cold", tune->cli->cold,
	    "rounds", json_number(tune->rounds), "restores", json_number(tune->restores), "tried", tried, "use",
	    trial_json(advice->use), "fastest", trial_json(advice->best), "default",
	    advice->usual ? trial_json(advice->usual) : json_null(), "io_reason", json_text(tune->io_reason), "why",
	    json_text(advice->why)));
}
