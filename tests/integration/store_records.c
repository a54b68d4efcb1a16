/*
 * store_records.c - `commits` and the journal, spoiled: what was persisted is never lost without a word.
 *
 * The store has six commits: four are persisted, two are in the journal only.
 */
#include "helper_trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMITS 6
#define PERSISTED 4
#define SIZE 10000
#define JOURNAL ".varve/journal"

static struct varve_id commits[COMMITS + 1];
static char *saved[2];
static size_t saved_size[2];

/* What a crash would leave, with the coordinator gone and its journal there: killed, it can not move the journal. */
static void setup(void)
{
	store_setup();
	struct varve_vm *vm = store_open();
	for (int k = 0; k < COMMITS; k++) {
		commits[k] = store_commit_one(vm, "M", SIZE, 'a' + k, NULL);
		if (k == PERSISTED - 1)
			must(varve_persist(vm));
	}
	varve_vm_close(vm);
	end_processes();
	saved[0] = file_get("commits", &saved_size[0]);
	saved[1] = file_get(JOURNAL, &saved_size[1]);
}

TestSuite(records, .init = setup, .fini = store_teardown, .timeout = 60);

static void put_back(void)
{
	rmdir(store_path("commits"));
	file_put("commits", saved[0], saved_size[0]);
	file_put(JOURNAL, saved[1], saved_size[1]);
	unlink(store_path(JOURNAL ".old"));
}

/* The first @least commits at least are there, and right; returns how many there are. */
static size_t look(struct varve_vm *vm, size_t least, const char *what)
{
	struct varve_log *log;
	must(varve_log(vm, &log));
	size_t count = log->count;
	cr_assert(count >= least && count <= COMMITS, "%s: there are %zu commits", what, count);
	for (size_t k = 0; k < count; k++) {
		size_t size;
		cr_assert(memcmp(&log->commits[k].commit, &commits[k], sizeof(commits[k])) == 0, "%s", what);
		char *image = store_checkout(vm, &commits[k], "M", &size);
		cr_assert(
		    size == SIZE && image[0] == (char)('a' + k) && image[SIZE - 1] == (char)('a' + k), "%s", what);
		free(image);
	}
	varve_log_free(log);
	return count;
}

/* Opens the spoiled store: it has all that the file can have, and says so where that is less than all; or it can not be
 * opened, and the error says where it is damaged. */
static void open_spoiled(const char *file, size_t least, bool told, const char *what)
{
	struct varve_vm *vm;
	int r = varve_vm_open(store_path(""), NULL, &vm);
	if (r) {
		cr_assert(r == -EBADMSG || r == -EPROTONOSUPPORT, "%s: %d, %s", what, r, varve_last_error());
		cr_assert(strstr(varve_last_error(), file), "%s: %s", what, varve_last_error());
		cr_assert(strstr(varve_last_error(), "offset") || strstr(varve_last_error(), "record"), "%s: %s", what,
		    varve_last_error());
	} else {
		char *notice = strdup(varve_vm_notice(vm));
		size_t count = look(vm, least, what);
		cr_assert(!told || count == COMMITS || strstr(notice, file) || strstr(notice, "commits"),
		    "%s: %zu commits and \"%s\"", what, count, notice);
		free(notice);
		varve_vm_close(vm);
	}
	end_processes();
	/* Nothing that was not spoiled has been thrown away. */
	put_back();
	vm = store_open();
	cr_assert(look(vm, COMMITS, what) == COMMITS);
	varve_vm_close(vm);
	end_processes();
	put_back();
}

static void flip_all(const char *file, size_t size, size_t least)
{
	char what[64];
	for (size_t at = 0; at < size; at += (size_t)how_many(37, 1)) {
		snprintf(what, sizeof(what), "%s, byte %zu of %zu flipped", file, at, size);
		file_flip(file, (long)at);
		open_spoiled(strrchr(file, '/') ? strrchr(file, '/') + 1 : file, least, true, what);
	}
}

/* A journal that ends where a record ends is a journal like any other. */
static void cut_all(const char *file, size_t size, size_t least)
{
	char what[64];
	for (size_t to = 0; to < size; to += (size_t)how_many(53, 1)) {
		snprintf(what, sizeof(what), "%s, cut to %zu of %zu bytes", file, to, size);
		cr_assert(truncate(store_path(file), (off_t)to) == 0);
		open_spoiled(strrchr(file, '/') ? strrchr(file, '/') + 1 : file, least, file[0] != '.', what);
	}
}

Test(records, a_flipped_byte_in_commits_is_an_error_with_its_offset_or_a_cut_that_is_told)
{
	flip_all("commits", saved_size[0], PERSISTED - 1);
}

/* What is behind the end of what was written can not be told from a crash. */
Test(records, a_cut_commits_gives_what_is_left_and_says_so)
{
	cut_all("commits", saved_size[0], 0);
}

Test(records, a_damaged_journal_costs_nothing_that_was_persisted)
{
	flip_all(JOURNAL, saved_size[1], PERSISTED);
}

Test(records, a_cut_journal_costs_nothing_that_was_persisted)
{
	cut_all(JOURNAL, saved_size[1], PERSISTED);
}

/* Torn in the middle of a write: the bytes are cut off, told once, and never again. */
Test(records, a_torn_end_of_commits_is_cut_off_with_a_notice)
{
	struct varve_vm *vm;
	int fd = open(store_path("commits"), O_WRONLY | O_APPEND);
	cr_assert(fd >= 0 && write(fd, "\x40\0\0\0\3\0", 6) == 6);
	close(fd);
	vm = store_open();
	cr_assert(strstr(varve_vm_notice(vm), "commits"), "%s", varve_vm_notice(vm));
	cr_assert(look(vm, COMMITS, "torn") == COMMITS);
	cr_assert(file_bytes("commits") == (long)saved_size[0]);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	vm = store_open();
	cr_assert(strcmp(varve_vm_notice(vm), "") == 0, "%s", varve_vm_notice(vm));
	cr_assert(look(vm, COMMITS, "torn") == COMMITS);
	varve_vm_close(vm);
}

/* Neither followed nor opened for ever. */
Test(records, commits_must_be_a_file)
{
	struct varve_vm *vm;
	for (int i = 0; i < 4; i++) {
		unlink(store_path("commits"));
		if (i == 0)
			cr_assert(symlink("/etc/passwd", store_path("commits")) == 0);
		if (i == 1)
			cr_assert(symlink("nowhere", store_path("commits")) == 0);
		if (i == 2)
			cr_assert(mkfifo(store_path("commits"), 0600) == 0);
		if (i == 3)
			cr_assert(mkdir(store_path("commits"), 0700) == 0);
		int r = varve_vm_open(store_path(""), NULL, &vm);
		cr_assert(r == -ELOOP || r == -EINVAL || r == -EISDIR, "%d: %d, %s", i, r, varve_last_error());
		cr_assert(strstr(varve_last_error(), "commits"), "%s", varve_last_error());
		end_processes();
		put_back();
	}
	vm = store_open();
	cr_assert(look(vm, COMMITS, "put back") == COMMITS);
	varve_vm_close(vm);
}

static void must_be_said(struct varve_vm *vm, size_t there)
{
	char text[64];
	snprintf(text, sizeof(text), "%d commits were persisted, only %zu are there", COMMITS, there);
	cr_assert(strstr(varve_vm_notice(vm), text), "%s", varve_vm_notice(vm));
	cr_assert(!strstr(varve_vm_notice(vm), "not persisted"), "%s", varve_vm_notice(vm));
	struct varve_verify_report report;
	must(varve_verify(vm, NULL, NULL, &report));
	cr_assert_geq(report.damaged, 1);
}

/* Whoever looks must be able to look again, and to bring back what was lost. */
Test(records, persisted_commits_that_are_missing_are_told_of_and_what_proves_it_stays)
{
	size_t size[2], count = 0;
	struct varve_vm *vm = store_open();
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	char *whole = file_get("commits", &size[0]), *journal = file_get(JOURNAL, &size[1]);
	long cut = (long)saved_size[0] + 20;
	cr_assert_eq(truncate(store_path("commits"), cut), 0);
	for (int i = 0; i < 3; i++) {
		vm = store_open();
		count = look(vm, PERSISTED, "cut");
		cr_assert_eq(count, PERSISTED);
		must_be_said(vm, count);
		must(varve_persist(vm));
		if (i == 1)
			kill(coordinator_pid(vm), SIGKILL);
		varve_vm_close(vm);
		end_processes();
		cr_assert(store_holds("commits", whole, (size_t)cut) && store_holds(JOURNAL, journal, size[1]));
	}
	file_put("commits", whole, size[0]);
	vm = store_open();
	cr_assert_eq(look(vm, COMMITS, "brought back"), COMMITS);
	cr_assert_str_eq(varve_vm_notice(vm), "");
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	end_processes();

	/* Going back is no going on. */
	cr_assert_eq(truncate(store_path("commits"), cut), 0);
	for (int i = 0; i < 2; i++) {
		vm = store_open();
		must_be_said(vm, count);
		must(varve_restore(vm, &commits[i], NULL, NULL));
		store_expect_fill("M", SIZE, 'a' + i);
		must(varve_persist(vm));
		varve_vm_close(vm);
		end_processes();
		cr_assert(store_holds(JOURNAL, journal, size[1]));
	}
	vm = store_open();
	must_be_said(vm, count);
	store_commit_one(vm, "M", SIZE, 'z', NULL);
	must(varve_persist(vm));
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	end_processes();
	cr_assert(store_holds(JOURNAL ".old", journal, size[1]));
	vm = store_open();
	cr_assert_str_eq(varve_vm_notice(vm), "");
	store_expect_fill("M", SIZE, 'z');
	varve_vm_close(vm);
	free(whole);
	free(journal);
}

/* Somebody brings back an older `commits` from a backup, and not the rest. */
Test(records, an_older_commits_brings_back_the_commits_that_it_has)
{
	struct varve_vm *vm = store_open();
	must(varve_persist(vm));
	commits[COMMITS] = store_commit_one(vm, "M", SIZE, 'z', NULL);
	varve_vm_close(vm);
	end_processes();
	file_put("commits", saved[0], saved_size[0]);
	vm = store_open();
	cr_assert(strstr(varve_vm_notice(vm), "journal"), "%s", varve_vm_notice(vm));
	cr_assert(look(vm, PERSISTED, "older") == PERSISTED);
	for (int k = 0; k < PERSISTED; k++) {
		must(varve_restore(vm, &commits[k], NULL, NULL));
		store_expect_fill("M", SIZE, 'a' + k);
	}
	struct varve_id next = store_commit_one(vm, "M", SIZE, 'y', NULL);
	must(varve_restore(vm, &commits[0], NULL, NULL));
	must(varve_restore(vm, &next, NULL, NULL));
	store_expect_fill("M", SIZE, 'y');
	must(varve_persist(vm));
	expect_verified(vm, NULL);
	varve_vm_close(vm);
}
