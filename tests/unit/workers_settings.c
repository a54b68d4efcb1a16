/*
 * workers_settings.c - what can be set, by whom, and what is said of what makes no sense.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu.h"
#include "err.h"
#include "pool.h"
#include "settings.h"
#include "varve.h"

static struct settings settings;
static char file[64];
static const struct origin flag = {ORIGIN_FLAG, 0};

static void begin(void)
{
	strcpy(file, "/tmp/varve-settings-XXXXXX");
	int fd = mkstemp(file);
	cr_assert_geq(fd, 0);
	close(fd);
	settings_init(&settings);
}

static void end(void)
{
	unlink(file);
}

TestSuite(settings, .init = begin, .fini = end);

static void put(const char *text)
{
	FILE *to = fopen(file, "w");
	cr_assert(to && fputs(text, to) >= 0 && fclose(to) == 0);
}

static int read_for(const char *text, const char *store)
{
	put(text);
	settings_init(&settings);
	return settings_file_read(&settings, file, true, store);
}

static void expect(enum setting setting, const char *value, const char *origin)
{
	char is[32], from[PATH_MAX], want[PATH_MAX];
	settings_value(&settings, setting, is);
	settings_origin(&settings, setting, from, sizeof(from));
	snprintf(want, sizeof(want), "%s%s", origin[0] == ':' ? file : "", origin);
	cr_assert_str_eq(is, value, "%s is %s, not %s", settings_name(setting), is, value);
	cr_assert_str_eq(from, want, "%s comes from %s, not %s", settings_name(setting), from, want);
}

/* A sentence that names the place, by file and line where it has them, and all of these words. */
static void expect_refused(int result, const char *place, const char *words)
{
	char want[PATH_MAX];
	snprintf(want, sizeof(want), "%s%s", place[0] == ':' ? file : "", place);
	cr_assert_eq(result, -EINVAL);
	cr_assert(strncmp(err_text(), want, strlen(want)) == 0, "\"%s\" does not begin with \"%s\"", err_text(), want);
	cr_assert(strstr(err_text(), words), "\"%s\" does not say \"%s\"", err_text(), words);
}

Test(settings, the_defaults_are_those_of_the_documents)
{
	char cpus[16];
	snprintf(cpus, sizeof(cpus), "%u", cpu_available());
	expect(SET_WORKERS, cpus, "default");
	expect(SET_MIN_WORKERS, "0", "default");
	expect(SET_IDLE_TIMEOUT, "60", "default");
	expect(SET_IO, "auto", "default");
	expect(SET_QUEUE_DEPTH, "64", "default");
	expect(SET_BACKGROUND_DISK, "350", "default");
	expect(SET_SYNC, "persist", "default");
	expect(SET_BACKGROUND_NICE, "10", "default");
	expect(SET_BACKGROUND_IO, "low", "default");
	expect(SET_MEMORY_LIMIT, "0", "default");
	cr_assert_eq(settings_check(&settings), 0);
}

Test(settings, values_are_taken_at_both_ends_of_their_range_and_as_written)
{
	static const struct {
		const char *name, *value;
		uint64_t is;
	} good[] = {{"workers", "1", 1}, {"workers", "1024", 1024}, {"min-workers", "0", 0}, {"idle-timeout", "0", 0},
	    {"idle-timeout", "0.01", 10}, {"idle-timeout", "2.5", 2500}, {"idle-timeout", "31536000", 31536000000},
	    {"queue-depth", "256", 256}, {"background-nice", "19", 19}, {"background-disk", "0", 0},
	    {"background-disk", "1000", 1000}, {"memory-limit", "0", 0}, {"memory-limit", "32M", 32u << 20},
	    {"memory-limit", "3g", 3ull << 30}, {"memory-limit", "64T", 1ull << 46},
	    {"memory-limit", "33554433", 33554433}, {"io", "pread", READ_PREAD}, {"sync", "none", VARVE_SYNC_NONE},
	    {"background-io", "idle", POOL_IO_IDLE}};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_assert_eq(settings_set(&settings, good[i].name, good[i].value, flag), 0, "%s", err_text());
		for (enum setting s = 0; s < SETTINGS; s++)
			if (strcmp(settings_name(s), good[i].name) == 0)
				cr_assert_eq(settings.values[s], good[i].is, "%s=%s", good[i].name, good[i].value);
	}
}

/* A slip must not become some other value. */
Test(settings, whatever_else_is_refused_with_its_name_and_what_is_allowed)
{
	static const struct {
		const char *name, *value, *says;
	} bad[] = {{"workers", "0", "1 to 1024"}, {"workers", "1025", "1 to 1024"}, {"workers", "-1", "1 to 1024"},
	    {"workers", "", "1 to 1024"}, {"workers", "4 ", "1 to 1024"}, {"workers", "4x", "1 to 1024"},
	    {"workers", "18446744073709551617", "1 to 1024"}, {"idle-timeout", "0.001", "0.01"},
	    {"idle-timeout", "1.", "0.01"}, {"idle-timeout", "1e3", "0.01"}, {"idle-timeout", "31536001", "31536000"},
	    {"queue-depth", "0", "1 to 256"}, {"background-nice", "20", "0 to 19"},
	    {"background-disk", "1001", "0 to 1000"}, {"background-disk", "3.5", "0 to 1000"},
	    {"memory-limit", "1M", "32M"}, {"memory-limit", "65T", "64T"},
	    {"memory-limit", "18446744073709551615T", "64T"}, {"memory-limit", "2GB", "32M"}, {"io", "uringx", "uring"},
	    {"io", "", "uring"}, {"sync", "PERSIST", "persist"}, {"background-io", "none", "idle"}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char place[64];
		snprintf(place, sizeof(place), "--%s is \"%s\"", bad[i].name, bad[i].value);
		expect_refused(settings_set(&settings, bad[i].name, bad[i].value, flag), place, bad[i].says);
	}
	expect_refused(settings_set(&settings, "wrokers", "4", flag), "wrokers: ", "workers, min-workers");
}

Test(settings, the_stronger_origin_wins_in_whatever_order_they_are_read)
{
	static const enum origin_kind orders[][5] = {{1, 2, 3, 4, 0}, {4, 3, 2, 1, 0}, {3, 1, 4, 2, 0}};
	for (unsigned most = ORIGIN_FILE; most <= ORIGIN_FLAG; most++) {
		for (size_t o = 0; o < 3; o++) {
			settings_init(&settings);
			settings.file = file;
			for (const enum origin_kind *kind = orders[o]; *kind; kind++) {
				char value[8];
				snprintf(value, sizeof(value), "%u", 10 + (unsigned)*kind);
				if (*kind <= most)
					cr_assert_eq(
					    settings_set(&settings, "workers", value, (struct origin) {*kind, 7}), 0);
			}
			cr_assert_eq(settings.values[SET_WORKERS], 10 + most);
		}
	}
	expect(SET_WORKERS, "14", "--workers");
}

Test(settings, the_environment_is_read_but_not_for_what_a_program_promises)
{
	setenv("VARVE_WORKERS", "3", 1);
	setenv("VARVE_MIN_WORKERS", "2", 1);
	setenv("VARVE_IDLE_TIMEOUT", "1.5", 1);
	setenv("VARVE_IO", "pread", 1);
	setenv("VARVE_QUEUE_DEPTH", "8", 1);
	setenv("VARVE_BACKGROUND_NICE", "1", 1);
	setenv("VARVE_BACKGROUND_IO", "normal", 1);
	setenv("VARVE_MEMORY_LIMIT", "1G", 1);
	setenv("VARVE_SYNC", "none", 1);
	cr_assert_eq(settings_environment(&settings), 0);
	expect(SET_WORKERS, "3", "VARVE_WORKERS");
	expect(SET_MIN_WORKERS, "2", "VARVE_MIN_WORKERS");
	expect(SET_IDLE_TIMEOUT, "1.500", "VARVE_IDLE_TIMEOUT");
	expect(SET_IO, "pread", "VARVE_IO");
	expect(SET_QUEUE_DEPTH, "8", "VARVE_QUEUE_DEPTH");
	expect(SET_BACKGROUND_NICE, "1", "VARVE_BACKGROUND_NICE");
	expect(SET_BACKGROUND_IO, "normal", "VARVE_BACKGROUND_IO");
	expect(SET_MEMORY_LIMIT, "1G", "VARVE_MEMORY_LIMIT");
	expect(SET_SYNC, "persist", "default");
	setenv("VARVE_QUEUE_DEPTH", "deep", 1);
	expect_refused(settings_environment(&settings), "VARVE_QUEUE_DEPTH is \"deep\"", "1 to 256");
	setenv("VARVE_QUEUE_DEPTH", "", 1);
	cr_assert_eq(settings_environment(&settings), 0, "empty is as good as unset");
}

/* A test that means to have no job run by the coordinator, or hanging workers killed, must not be told so by a slip. */
Test(settings, what_only_the_environment_says_is_checked_too)
{
	static const char *const wrong[][3] = {{"VARVE_HANG_MS", "0", "1 to 86400000"},
	    {"VARVE_HANG_MS", "x", "1 to 86400000"}, {"VARVE_HANG_MS", "-1", "1 to 86400000"},
	    {"VARVE_HANG_MS", "86400001", "1 to 86400000"}, {"VARVE_INLINE", "x", "0 or 1"},
	    {"VARVE_LOG", "x", "must be stderr"}};
	char text[64];
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		setenv(wrong[i][0], wrong[i][1], 1);
		snprintf(text, sizeof(text), "%s is \"%s\"", wrong[i][0], wrong[i][1]);
		expect_refused(settings_environment(&settings), text, wrong[i][2]);
		unsetenv(wrong[i][0]);
	}
	cr_assert_eq(settings_environment(&settings), 0);
	cr_assert_eq(settings.variables[VARIABLE_HANG_MS], 0);
	cr_assert_eq(settings.variables[VARIABLE_INLINE], 1);
	setenv("VARVE_HANG_MS", "86400000", 1);
	setenv("VARVE_INLINE", "0", 1);
	setenv("VARVE_LOG", "stderr", 1);
	cr_assert_eq(settings_environment(&settings), 0);
	cr_assert_eq(settings.variables[VARIABLE_HANG_MS], 86400000);
	cr_assert_eq(settings.variables[VARIABLE_INLINE], 0);
}

Test(settings, a_program_gives_them_as_a_list)
{
	cr_assert_eq(settings_list(&settings, " workers=3,min-workers=1  idle-timeout=0 "), 0);
	expect(SET_WORKERS, "3", "--workers");
	expect(SET_MIN_WORKERS, "1", "--min-workers");
	expect(SET_IDLE_TIMEOUT, "0", "--idle-timeout");
	cr_assert_eq(settings_list(&settings, ""), 0);
	expect_refused(settings_list(&settings, "workers"), "\"workers\" is no setting", "name=value");
	expect_refused(settings_list(&settings, "workers=2,io=floppy"), "--io is", "pread");
}

Test(settings, a_minimum_that_does_not_go_with_the_maximum_is_refused_only_if_both_come_from_the_same_place)
{
	cr_assert_eq(settings_list(&settings, "workers=2,min-workers=3"), 0);
	expect_refused(settings_check(&settings), "--min-workers is 3", "2");
	settings_init(&settings);
	setenv("VARVE_MIN_WORKERS", "5", 1);
	cr_assert_eq(settings_list(&settings, "workers=2"), 0);
	cr_assert_eq(settings_environment(&settings), 0);
	cr_assert_eq(settings_check(&settings), 0);
	cr_assert(settings.values[SET_MIN_WORKERS] == 2 && settings.values[SET_WORKERS] == 2);
	settings_init(&settings);
	cr_assert_eq(settings_list(&settings, "min-workers=1000"), 0);
	cr_assert_eq(settings_check(&settings), 0);
	cr_assert_eq(settings.values[SET_WORKERS], 1000, "who asks for a minimum has said how many there can be");
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

Test(settings, a_file_speaks_in_general_and_for_one_store)
{
	const char *text = "# of all\n"
	                   "workers = 4\n"
	                   "idle-timeout = 2.5\n"
	                   "io = \"pread\";\n"
	                   "memory-limit = \"4G\" # 4294967296\n"
	                   "stores = (\n"
	                   "  { path = \"/a\", workers = 5 },\n"
	                   "  { path = \"/b\"; workers = 6\n"
	                   "    background-nice = 19 }\n"
	                   ")\n";
	cr_assert_eq(read_for(text, "/b"), 0, "%s", err_text());
	expect(SET_WORKERS, "6", ":8");
	expect(SET_BACKGROUND_NICE, "19", ":9");
	expect(SET_IDLE_TIMEOUT, "2.500", ":3");
	expect(SET_IO, "pread", ":4");
	expect(SET_MEMORY_LIMIT, "4G", ":5");
	expect(SET_QUEUE_DEPTH, "64", "default");
	cr_assert_eq(read_for(text, "/c"), 0);
	expect(SET_WORKERS, "4", ":2");
	expect(SET_BACKGROUND_NICE, "10", "default");
	cr_assert_eq(read_for("", "/c"), 0);
	expect(SET_IO, "auto", "default");
}

Test(settings, a_store_is_known_by_whatever_path_leads_to_it)
{
	char text[256], real[PATH_MAX];
	char dir[] = "/tmp/varve-settings-dir-XXXXXX", link[64];
	cr_assert(mkdtemp(dir) && realpath(dir, real));
	snprintf(link, sizeof(link), "%s.link", dir);
	cr_assert_eq(symlink(dir, link), 0);
	snprintf(text, sizeof(text), "stores = ( { path = \"%s/.\", workers = 9 } )", link);
	cr_assert_eq(read_for(text, real), 0, "%s", err_text());
	expect(SET_WORKERS, "9", ":1");
	unlink(link);
	rmdir(dir);
}

Test(settings, a_mistake_in_a_file_is_told_by_line_with_what_is_allowed)
{
	expect_refused(read_for("workers = 4\nwrokers = 5\n", "/s"), ":2: wrokers", "there are workers");
	expect_refused(read_for("\nworkers = 0\n", "/s"), ":2: workers is \"0\"", "1 to 1024");
	expect_refused(read_for("workers = \"many\"\n", "/s"), ":1: workers is \"many\"", "1 to 1024");
	expect_refused(read_for("io = pread\n", "/s"), ":1: ", "quotes");
	expect_refused(read_for("workers = 4\nworkers = 5\n", "/s"), ":2: ", "uplicate");
	expect_refused(read_for("workers = true\n", "/s"), ":1: ", "a number, or a word");
	expect_refused(read_for("workers = [1, 2]\n", "/s"), ":1: ", "a number, or a word");
	expect_refused(read_for("# x\n\nworkers == 4\n", "/s"), ":3: ", "name = value");
	expect_refused(read_for("stores = 3\n", "/s"), ":1: ", "stores = (");
	expect_refused(read_for("stores = ( 3 )\n", "/s"), ":1: ", "path");
	expect_refused(read_for("stores = ( { workers = 3 } )\n", "/s"), ":1: ", "path");
	expect_refused(read_for("stores = ( { path = \"s\" } )\n", "/s"), ":1: ", "begins with /");
	expect_refused(
	    read_for("stores = ( { path = \"/s\" },\n { path = \"/s\" } )\n", "/s"), ":2: ", "a section already");
	expect_refused(read_for("idle-timeout = 1e300\n", "/s"), ":1: idle-timeout", "seconds");
	/* As a 32-bit number it is 2. */
	expect_refused(read_for("# x\nworkers = 4294967298\n", "/s"), ":2: ", "9 digits");
	expect_refused(read_for("workers = 0x100000001\n", "/s"), ":1: ", "decimal");
	expect_refused(read_for("memory-limit = -1\n", "/s"), ":1: memory-limit", "bytes");
	/* Otherwise it would be found at the next start of another service. */
	expect_refused(
	    read_for("stores = ( { path = \"/other\",\n workers = 0 } )\n", "/s"), ":2: workers", "1 to 1024");
	expect_refused(read_for("stores = ( { path = \"/other\",\n sotre = 0 } )\n", "/s"), ":2: sotre", "there are");
	expect_refused(
	    read_for("stores = ( { path = \"/a\", workers = 8 },\n { path = \"/a\", workers = 9 } )\n", "/s"),
	    ":2: ", "a section already");
	expect_refused(read_for("stores = ( { path = \"/a\", workers = 2,\n min-workers = 5 } )\n", "/s"),
	    ":2: min-workers is 5", "which is 2");
	/* Here the store's own section would hide it. */
	expect_refused(read_for("workers = 2\nmin-workers = 5\nstores = ( { path = \"/s\", workers = 8 } )\n", "/s"),
	    ":2: min-workers is 5", "which is 2");
	cr_assert_eq(read_for("workers = 2\nstores = ( { path = \"/a\", min-workers = 5 } )\n", "/s"), 0);
}

Test(settings, other_files_are_not_read_from_one)
{
	char text[128];
	put("workers = 7\n");
	char other[80];
	snprintf(other, sizeof(other), "%s.other", file);
	cr_assert_eq(rename(file, other), 0);
	snprintf(text, sizeof(text), "@include \"%s\"\n", other);
	cr_assert_lt(read_for(text, "/s"), 0);
	cr_assert(strstr(err_text(), "@include"), "%s", err_text());
	unlink(other);
}

/* Who can write to it decides how the service runs. */
Test(settings, a_file_that_others_may_write_to_is_refused)
{
	put("workers = 3\n");
	chmod(file, 0660);
	cr_assert_eq(settings_file_read(&settings, file, true, "/s"), -EPERM);
	cr_assert(strstr(err_text(), file) && strstr(err_text(), "chmod"), "%s", err_text());
	chmod(file, 0602);
	cr_assert_eq(settings_file_read(&settings, file, true, "/s"), -EPERM);
	chmod(file, 0644);
	cr_assert_eq(settings_file_read(&settings, file, true, "/s"), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(file, 4711, 0), 0);
		cr_assert_eq(settings_file_read(&settings, file, true, "/s"), -EPERM);
		cr_assert(strstr(err_text(), "4711"), "%s", err_text());
	}
}

Test(settings, what_is_no_file_is_no_configuration)
{
	cr_assert_eq(settings_file_read(&settings, "/nowhere/varve.conf", true, "/s"), -ENOENT);
	cr_assert_eq(settings_file_read(&settings, "/nowhere/varve.conf", false, "/s"), 0);
	cr_assert_eq(settings_file_read(&settings, "/dev/null", true, "/s"), -EINVAL);
	cr_assert_eq(settings_file_read(&settings, "/tmp", true, "/s"), -EINVAL);
	unlink(file);
	cr_assert_eq(mkfifo(file, 0600), 0);
	cr_assert_eq(settings_file_read(&settings, file, false, "/s"), -EINVAL);
	unlink(file);
	cr_assert_eq(symlink("/nowhere/varve.conf", file), 0);
	cr_assert_eq(settings_file_read(&settings, file, false, "/s"), -ENOENT, "somebody meant it to be there");
	cr_assert(strstr(err_text(), "a link to what is not there"), "%s", err_text());
}

Test(settings, what_is_too_large_or_no_text_is_said_to_be_that)
{
	cr_assert_eq(truncate(file, 5), 0);
	expect_refused(settings_file_read(&settings, file, true, "/s"), file, "it is no text");
	FILE *to = fopen(file, "w");
	for (int i = 0; i < 1 << 16; i++)
		fputs("# 0123456789abc\n", to);
	fclose(to);
	cr_assert_eq(settings_file_read(&settings, file, true, "/s"), 0, "%s", err_text());
	cr_assert_eq(truncate(file, (1 << 20) + 1), 0);
	expect_refused(settings_file_read(&settings, file, true, "/s"), file, "larger than 1024 KiB");
}
