/*
 * store_directory.c - what lies in the directory at every moment. Other tools read these names: they are a promise.
 */
#include "helper_store.h"
#include "helper_trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 131072

TestSuite(directory, .init = store_setup, .fini = store_teardown, .timeout = 30);

static void expect(const char *listing)
{
	cr_assert(strcmp(store_listing(), listing) == 0, "the directory is\n  %s\nand should be\n  %s", store_listing(),
	    listing);
}

/* The table of the README, line by line. */
Test(directory, looks_as_the_table_says_at_every_moment)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M"), ids[5];
	expect("");
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_deploy(session, &m, SIZE, &memory));
	expect("M");
	must(varve_session_abandon(session));
	expect("");
	ids[0] = store_commit_one(vm, "M", SIZE, 1, "C1");
	expect("M M_C1");
	ids[1] = store_commit_one(vm, "M", SIZE, 2, "C2");
	expect("M M_C1 M_C2");
	ids[2] = store_commit_one(vm, "M", SIZE, 3, "C3");
	expect("M M_C1 M_C2_0 M_C3");
	ids[3] = store_commit_one(vm, "M", SIZE, 2, "C2");
	expect("M M_C1 M_C2 M_C2_0 M_C3_0");
	ids[4] = store_commit_one(vm, "M", SIZE, 5, "C5");
	expect("M M_C1 M_C2_0 M_C2_1 M_C3_0 M_C5");
	must(varve_persist(vm));
	expect("M M_C1 M_C2_0 M_C2_1 M_C3_0 M_C5 commits");
	static const int bytes[] = {1, 2, 3, 2, 5};
	for (int i = 0; i < 5; i++) {
		must(varve_restore(vm, &ids[i], NULL, NULL));
		expect("M M_C1 M_C2_0 M_C2_1 M_C3_0 M_C5 commits");
		store_expect_fill("M", SIZE, bytes[i]);
	}
	varve_vm_close(vm);
	expect("M M_C1 M_C2_0 M_C2_1 M_C3_0 M_C5 commits");
}

/* Whole images under their names are whole images: other tools may read them. */
Test(directory, base_and_last_are_plain_images)
{
	struct varve_vm *vm = store_open();
	struct varve_id m = id_of("M"), a = id_of("A"), b = id_of("B");
	char name[2 * VARVE_ID_TEXT + 2], data[5000];
	memset(data, 7, sizeof(data));
	store_commit(vm, &(struct content) {"M", data, sizeof(data), "A"}, 1);
	snprintf(name, sizeof(name), "%s_%s", text_of(&m), text_of(&a));
	cr_assert(store_holds(name, data, sizeof(data)));
	data[4999] = 8;
	store_commit(vm, &(struct content) {"M", data, sizeof(data), "B"}, 1);
	snprintf(name, sizeof(name), "%s_%s", text_of(&m), text_of(&b));
	cr_assert(store_holds(name, data, sizeof(data)));
	varve_vm_close(vm);
}

/* A, B, A: the base is the last, too, and must outlive what comes after. The old store destroyed it. */
Test(directory, one_file_serves_a_base_whose_content_recurs)
{
	struct varve_vm *vm = store_open();
	struct varve_id ids[5];
	ids[0] = store_commit_one(vm, "M", SIZE, 'a', "A");
	ids[1] = store_commit_one(vm, "M", SIZE, 'b', "B");
	ids[2] = store_commit_one(vm, "M", SIZE, 'a', "A");
	expect("M M_A M_B_0");
	ids[3] = store_commit_one(vm, "M", SIZE, 'c', "C");
	expect("M M_A M_A_0 M_B_0 M_C");
	ids[4] = store_commit_one(vm, "M", SIZE, 'a', "A");
	expect("M M_A M_A_0 M_B_0 M_C_0");
	static const char bytes[] = "abaca";
	for (int i = 4; i >= 0; i--) {
		must(varve_restore(vm, &ids[i], NULL, NULL));
		store_expect_fill("M", SIZE, bytes[i]);
	}
	varve_vm_close(vm);
}

/* An id names files and proves nothing: the same id for other content, over the base and over the last. */
Test(directory, an_id_that_the_caller_repeats_for_other_content_loses_nothing)
{
	struct varve_vm *vm = store_open();
	struct varve_id ids[6];
	for (int i = 0; i < 6; i++)
		ids[i] = store_commit_one(vm, "M", SIZE, 'a' + i, "X");
	expect("M M_X M_X_0 M_X_1 M_X_2 M_X_3 M_X_4");
	for (int i = 0; i < 6; i++) {
		must(varve_restore(vm, &ids[i], NULL, NULL));
		store_expect_fill("M", SIZE, 'a' + i);
	}
	varve_vm_close(vm);
}

/* A, A: nothing has changed, so nothing is stored; both commits are there and can be restored. */
Test(directory, a_module_whose_bytes_are_what_they_were_adds_nothing)
{
	struct varve_vm *vm = store_open();
	struct varve_id first = store_commit_one(vm, "M", SIZE, 'a', NULL), second, third;
	struct varve_stat *stat;
	char *before = strdup(store_listing());
	second = store_commit_one(vm, "M", SIZE, 'a', NULL);
	cr_assert(strcmp(store_listing(), before) == 0);
	cr_assert(memcmp(&first, &second, sizeof(first)) != 0, "two commits have one id");
	must(varve_stat(vm, &stat));
	cr_assert(stat->commits == 2 && stat->modules_count == 1 && stat->modules[0].commits == 1,
	    "the module has %llu commits of its own", (unsigned long long)stat->modules[0].commits);
	varve_stat_free(stat);
	third = store_commit_one(vm, "M", SIZE, 'b', NULL);
	must(varve_restore(vm, &second, NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	must(varve_restore(vm, &third, NULL, NULL));
	must(varve_restore(vm, &first, NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	free(before);
	varve_vm_close(vm);
}

/* Also after an old commit was restored: what it had then, not what the newest has, decides. */
Test(directory, a_module_left_alone_after_a_restore_adds_nothing)
{
	struct varve_vm *vm = store_open();
	struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', "A");
	store_commit_one(vm, "M", SIZE, 'b', "B");
	store_commit_one(vm, "M", SIZE, 'c', "C");
	must(varve_restore(vm, &a, NULL, NULL));
	struct varve_id again = store_commit_one(vm, "M", SIZE, 'a', "A2");
	expect("M M_A M_B_0 M_C");
	struct varve_id d = store_commit_one(vm, "M", SIZE, 'd', "D");
	expect("M M_A M_B_0 M_C_0 M_D");
	must(varve_restore(vm, &again, NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	must(varve_restore(vm, &d, NULL, NULL));
	store_expect_fill("M", SIZE, 'd');
	varve_vm_close(vm);
}

/* A module deployed later is not part of an earlier commit: its files stay, and it comes back with its commit. */
Test(directory, a_module_deployed_later_steps_aside_and_comes_back)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id n = id_of("N");
	struct varve_id first = store_commit_one(vm, "M", SIZE, 'a', "A");
	struct varve_id second = store_commit_one(vm, "N", SIZE, 'n', "B");
	must(varve_restore(vm, &first, NULL, NULL));
	expect("M M_A N N_B");
	must(varve_session_begin(vm, 0, &session));
	must_fail(varve_session_module(session, &n, &memory), -ENOENT);
	must(varve_session_abandon(session));
	must(varve_restore(vm, &second, NULL, NULL));
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &n, &memory));
	cr_assert(*(char *)varve_memory_base(memory) == 'n');
	must(varve_session_abandon(session));
	varve_vm_close(vm);
}

/* On another line of history the same module may be deployed anew; both lines keep theirs. */
Test(directory, a_module_can_be_deployed_again_on_another_line)
{
	struct varve_vm *vm = store_open();
	struct varve_id root = store_commit_one(vm, "M", SIZE, 'a', "A");
	struct varve_id left = store_commit_one(vm, "N", SIZE, 'l', "L");
	must(varve_restore(vm, &root, NULL, NULL));
	struct varve_id right = store_commit_one(vm, "N", SIZE / 2, 'r', "R");
	must(varve_restore(vm, &left, NULL, NULL));
	store_expect_fill("N", SIZE, 'l');
	must(varve_restore(vm, &right, NULL, NULL));
	store_expect_fill("N", SIZE / 2, 'r');
	varve_vm_close(vm);
}

/* Everything in .varve/ can be made again: not one commit is lost with it, once persisted. */
Test(directory, without_its_private_files_a_persisted_store_restores_every_commit)
{
	struct varve_vm *vm = store_open();
	struct varve_id ids[6];
	static const char *const names[] = {"A", "B", "A", "C", "A", "A"};
	for (int i = 0; i < 6; i++)
		ids[i] = store_commit_one(vm, "M", SIZE + (size_t)i * 100, '0' + i, names[i]);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	char command[600];
	snprintf(command, sizeof(command), "rm -r %s", store_path(".varve"));
	cr_assert(system(command) == 0);
	vm = store_open();
	for (int i = 0; i < 6; i++) {
		must(varve_restore(vm, &ids[i], NULL, NULL));
		store_expect_fill("M", SIZE + (size_t)i * 100, '0' + i);
	}
	store_commit_one(vm, "M", SIZE, 'x', "X");
	for (int i = 0; i < 6; i++) {
		must(varve_restore(vm, &ids[i], NULL, NULL));
		store_expect_fill("M", SIZE + (size_t)i * 100, '0' + i);
	}
	varve_vm_close(vm);
}

/* A commit during which the coordinator dies. */
static void commit_cut_off(struct varve_vm *vm)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	memset(varve_memory_base(memory), '3', SIZE);
	must_fail(varve_session_commit(session, NULL, NULL), -ECONNRESET);
	must(varve_session_abandon(session));
}

/* A store of the version before, which ended in order or in the middle of a commit, has its modules' files in .varve/. */
Test(directory, what_an_earlier_version_left_in_the_private_directory_is_taken_over)
{
	struct varve_id ids[3];
	struct varve_vm *vm;
	for (int crash = 0; crash < 2; crash++) {
		setenv("VARVE_INLINE", "0", 1);
		vm = store_open();
		for (int i = 0; i < 3; i++)
			ids[i] = store_commit_one(vm, "M", SIZE + (size_t)i * 100, '0' + i, NULL);
		must(varve_persist(vm));
		varve_vm_close(vm);
		end_processes();
		if (crash) {
			fault_set("coordinator", "publish.step:2:kill", false);
			vm = store_open();
			commit_cut_off(vm);
			varve_vm_close(vm);
			end_processes();
			cr_assert(fault_struck());
			fault_clear();
		}
		char command[1400];
		snprintf(command, sizeof(command), "mv %s/.varve/modules/* %s/.varve/ && rmdir %s/.varve/modules",
		    store_path(""), store_path(""), store_path(""));
		cr_assert(system(command) == 0);
		vm = store_open();
		cr_expect(access(store_path(store_private("M", "delta")), F_OK) == 0);
		expect_verified(vm, NULL);
		struct varve_log *log;
		must(varve_log(vm, &log));
		cr_expect(log->count == 3 + (size_t)crash);
		varve_log_free(log);
		for (int i = 0; i < 3; i++) {
			must(varve_restore(vm, &ids[i], NULL, NULL));
			store_expect_fill("M", SIZE + (size_t)i * 100, '0' + i);
		}
		varve_vm_close(vm);
		end_processes();
		store_remove();
	}
	unsetenv("VARVE_INLINE");
}

/* Only the owner can look at the memory of contracts. */
Test(directory, files_are_the_owners_only)
{
	struct varve_vm *vm = store_open();
	struct varve_id m = id_of("M");
	struct stat st;
	store_commit_one(vm, "M", SIZE, 1, "C1");
	must(varve_persist(vm));
	cr_assert(stat(store_path(""), &st) == 0 && (st.st_mode & 0777) == 0700);
	cr_assert(stat(store_path(text_of(&m)), &st) == 0 && (st.st_mode & 0777) == 0600);
	cr_assert(stat(store_path("commits"), &st) == 0 && (st.st_mode & 0777) == 0600);
	cr_assert(stat(store_path(".varve"), &st) == 0 && (st.st_mode & 0777) == 0700);
	varve_vm_close(vm);
}
