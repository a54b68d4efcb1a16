/*
 * workers_log.c - one event is one line, whatever is in it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static int ends[2];
static char text[8192];

static void setup(void)
{
	cr_assert(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
	dup2(ends[1], STDERR_FILENO);
	log_open(LOG_INFO);
}

TestSuite(log, .init = setup);

static const char *written(void)
{
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = 0;
	return text;
}

static const char *line_with(const char *value)
{
	struct log_entry entry;
	log_begin(&entry, LOG_ERROR, "test");
	log_text(&entry, "msg", value);
	log_end(&entry);
	const char *line = written();
	return strstr(line, "level=error event=test ") ? strstr(line, "msg=") : line;
}

/* A file's name could else forge lines, or hide what stands before it on a terminal. */
Test(log, values_can_not_end_a_line_or_move_a_cursor)
{
	cr_assert_str_eq(line_with("plain/word-1"), "msg=plain/word-1\n");
	cr_assert_str_eq(line_with(""), "msg=\"\"\n");
	cr_assert_str_eq(line_with("two words"), "msg=\"two words\"\n");
	cr_assert_str_eq(line_with("a=b \"c\" \\"), "msg=\"a=b \\\"c\\\" \\\\\"\n");
	cr_assert_str_eq(line_with("one\nlevel=info event=forged"), "msg=\"one\\nlevel=info event=forged\"\n");
	cr_assert_str_eq(line_with("\x1b[2J\x7f\xc2\x9b"), "msg=\"\\x1b[2J\\x7f\\x9b\"\n");
	cr_assert_str_eq(line_with("Straße"), "msg=\"Straße\"\n");
}

/* What reads a log as UTF-8 would stop at such a byte, or drop the line. */
Test(log, bytes_that_are_not_utf8_are_written_as_numbers)
{
	cr_assert_str_eq(line_with("/st\xffore"), "msg=\"/st\\xffore\"\n");
	cr_assert_str_eq(line_with("\xe2\x82"), "msg=\"\\xe2\\x82\"\n");
	cr_assert_str_eq(line_with("\xc0\xaf\xed\xa0\x80€"), "msg=\"\\xc0\\xaf\\xed\\xa0\\x80€\"\n");
	cr_assert_str_eq(line_with("\x9b"
	                           "2J"),
	    "msg=\"\\x9b2J\"\n");
}

Test(log, a_value_that_is_too_long_is_cut_and_closed_and_what_follows_is_there)
{
	static char lengthy[10000];
	struct log_entry entry;
	memset(lengthy, '"', sizeof(lengthy) - 1);
	log_begin(&entry, LOG_ERROR, "test");
	log_text(&entry, "msg", lengthy);
	log_number(&entry, "pid", UINT64_MAX);
	log_end(&entry);
	const char *line = written();
	cr_assert_leq(strlen(line), LOG_LINE);
	cr_assert(strstr(line, "...\" pid=18446744073709551615\n"), "%s", line + strlen(line) - 60);
}

Test(log, what_is_not_wanted_is_not_written)
{
	struct log_entry entry;
	log_begin(&entry, LOG_DEBUG, "test");
	log_number(&entry, "n", 1);
	log_end(&entry);
	log_open(LOG_OFF);
	log_begin(&entry, LOG_ERROR, "test");
	log_end(&entry);
	cr_assert_str_eq(written(), "");
}

/* Else the rest of the log would be read as part of a value that never ends. */
Test(log, however_many_values_are_too_long_each_that_is_begun_is_closed)
{
	static char lengthy[10000];
	struct log_entry entry;
	unsigned quotes = 0;
	memset(lengthy, ' ', sizeof(lengthy) - 1);
	log_begin(&entry, LOG_ERROR, "test");
	for (int i = 0; i < 20; i++)
		log_text(&entry, "key", lengthy);
	log_end(&entry);
	const char *line = written();
	for (const char *c = line; *c; c++)
		quotes += *c == '"';
	cr_assert(quotes >= 2 && quotes % 2 == 0, "%s", line + strlen(line) - 100);
	cr_assert_leq(strlen(line), LOG_LINE);
	cr_assert_eq(line[strlen(line) - 1], '\n');
}

/* A pipe that is full, as when a collector of logs hangs. */
Test(log, a_full_pipe_costs_lines_and_the_next_one_says_how_many, .timeout = 10)
{
	static char filler[4096];
	struct log_entry entry;
	while (write(ends[1], filler, sizeof(filler)) > 0)
		;
	/* From now on a line that is written all the same waits for ever. */
	fcntl(ends[1], F_SETFL, fcntl(ends[1], F_GETFL) & ~O_NONBLOCK);
	for (int i = 0; i < 3; i++) {
		log_begin(&entry, LOG_ERROR, "lost");
		log_end(&entry);
	}
	while (read(ends[0], text, sizeof(text)) > 0)
		;
	for (int i = 0; i < 2; i++) {
		log_begin(&entry, LOG_ERROR, "kept");
		log_end(&entry);
		cr_assert_eq(strstr(written(), "event=kept dropped=3\n") != NULL, i == 0, "%s", text);
	}
}
