/*
 * store_full.c - directories that can not be used as they should be: of others, not writable, no directory, full.
 */
#include "helper_life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define NOBODY 65534
#define SIZE 30000

TestSuite(full, .init = store_setup, .fini = store_teardown, .timeout = 60);

/* Returns from a test that needs what is not to be had here. */
#define need(condition, why)                                                                                           \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			cr_skip_test(why);                                                                             \
	} while (0)

static int open_again(const char *path, bool must_exist, struct varve_vm **vm)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	options.must_exist = must_exist;
	return varve_vm_open(path, &options, vm);
}

Test(full, a_path_that_is_no_store_is_refused_with_a_reason)
{
	struct varve_vm *vm;
	must_fail(open_again(store_path(""), true, &vm), -ENOENT);
	cr_assert(access(store_path(""), F_OK) < 0, "the directory was made all the same");
	must_fail(open_again(store_path("below"), false, &vm), -ENOENT);
	cr_assert(mkdir(store_path(""), 0700) == 0);
	must_fail(open_again(store_path(""), true, &vm), -ENOENT);
	cr_assert(
	    access(store_path(".varve"), F_OK) < 0, "something was made in a directory that was not to become a store");
	file_put("file", "x", 1);
	must_fail(open_again(store_path("file"), false, &vm), -ENOTDIR);
	must_fail(open_again(store_path("file/below"), false, &vm), -ENOTDIR);
	cr_assert(strstr(varve_last_error(), "file"), "%s", varve_last_error());
}

/* ---- as an ordinary user ----------------------------------------------------------------------------------------- */

static struct varve_id ids[3];

static void become_nobody(void)
{
	/* The parent's scratch directory is root's and closed to others. */
	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		_exit(7);
}

static int others_directory(void *arg)
{
	struct varve_vm *vm;
	(void)arg;
	become_nobody();
	int r = open_again(store_path(""), false, &vm);
	return r == -EPERM && strstr(varve_last_error(), store_path("")) ? 0 : r ? r : -1;
}

Test(full, a_directory_of_another_user_is_not_touched)
{
	need(geteuid() == 0, "only root can give a directory to another user");
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	varve_vm_close(vm);
	end_processes();
	char parent[512];
	snprintf(parent, sizeof(parent), "%s/..", store_path(""));
	cr_assert(chmod(parent, 0755) == 0 && chmod(store_path(""), 0755) == 0);
	child_run(others_directory, NULL);
	/* And the other way round: root does not take over what is somebody else's. */
	cr_assert(chown(store_path(""), NOBODY, NOBODY) == 0);
	must_fail(open_again(store_path(""), false, &vm), -EPERM);
	cr_assert(chown(store_path(""), 0, 0) == 0);
	vm = store_open();
	store_expect_fill("M", SIZE, 'a');
	varve_vm_close(vm);
}

static int not_writable_and_empty(void *arg)
{
	struct varve_vm *vm;
	(void)arg;
	become_nobody();
	int r = open_again(store_path(""), false, &vm);
	return r == -EACCES || r == -EROFS ? 0 : r ? r : -1;
}

static int count_damage(struct varve_vm *vm)
{
	struct varve_verify_report report;
	int r = varve_verify(vm, NULL, NULL, &report);
	return r ? r : (int)report.damaged;
}

/* What is there can be read; whatever would write says that it can not, and why. */
static int read_only_use(void *arg)
{
	struct varve_session *session;
	struct varve_vm *vm;
	struct varve_log *log;
	struct varve_id m = id_of("M");
	uint64_t size;
	(void)arg;
	become_nobody();
	int r = open_again(store_path(""), true, &vm);
	if (r)
		return r;
	if ((r = varve_log(vm, &log)))
		return r;
	if (log->count != 3)
		return -2;
	varve_log_free(log);
	for (int k = 0; k < 3; k++) {
		FILE *file = tmpfile();
		if (!file || (r = varve_checkout(vm, &ids[k], &m, fileno(file), &size)))
			return r ? r : -3;
		fclose(file);
	}
	if ((r = count_damage(vm)))
		return r;
	r = varve_session_begin(vm, 0, &session);
	if (r != -EROFS && r != -EACCES)
		return r ? r : -4;
	if (!strstr(varve_last_error(), "read"))
		return -5;
	r = varve_restore(vm, &ids[0], NULL, NULL);
	if (r != -EROFS && r != -EACCES)
		return r ? r : -6;
	r = varve_persist(vm);
	if (r != -EROFS && r != -EACCES)
		return r ? r : -7;
	varve_vm_close(vm);
	return 0;
}

Test(full, a_store_that_can_not_be_written_can_be_read)
{
	need(geteuid() == 0, "only root can become another user");
	char command[700];
	struct varve_vm *vm = store_open();
	for (int k = 0; k < 3; k++)
		ids[k] = store_commit_one(vm, "M", SIZE, 'a' + k, NULL);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	snprintf(command, sizeof(command), "chmod 755 %s/.. && chown -R %d %s && chmod -R a-w %s && chmod 755 %s",
	    store_path(""), NOBODY, store_path(""), store_path(""), store_path(""));
	cr_assert(system(command) == 0);
	/* Two cases: nothing may be made in the directory, and nothing in .varve/ either. */
	chmod(store_path(""), 0500);
	chmod(store_path(".varve"), 0500);
	child_run(read_only_use, NULL);
	snprintf(command, sizeof(command), "chmod 700 %s && rm -r %s/* %s/.varve && chmod 500 %s", store_path(""),
	    store_path(""), store_path(""), store_path(""));
	cr_assert(system(command) == 0);
	child_run(not_writable_and_empty, NULL);
	chown(store_path(""), 0, 0);
	chmod(store_path(""), 0700);
}

/* ---- no room ----------------------------------------------------------------------------------------------------- */

/* From the Nth write on there is no room: everything that writes fails, and says so; then there is room again. */
static void fill_from(const char *role, const char *here, int n)
{
	struct life life;
	char fault[64], what[128];
	snprintf(fault, sizeof(fault), "write.*:%d+:ENOSPC", n);
	snprintf(what, sizeof(what), "%s in the %s, VARVE_INLINE=%s", fault, role, here);
	setenv("VARVE_INLINE", here, 1);
	fault_set(role, fault, true);
	life_live(&life);
	fault_clear();
	end_processes();
	cr_assert(!life.failed || strstr(life.last_text, "space") || life.last_error != -ENOSPC, "%s: %s", what,
	    life.last_text);
	life_check(&life, what);
	store_remove();
}

Test(full, a_disk_that_stays_full_loses_nothing_that_was_committed)
{
	for (int n = 1; n < 120; n += how_many(9, 1)) {
		fill_from("coordinator", "1", n);
		fill_from("worker", "0", n);
	}
}

/* The real thing: a file system of 1 MiB. */
Test(full, a_small_file_system_fills_up_and_nothing_is_lost)
{
	need(geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
	    "mounting is not allowed here");
	cr_assert(mkdir(store_path(""), 0700) == 0);
	need(mount("none", store_path(""), "tmpfs", 0, "size=1m,mode=0700") == 0, "tmpfs can not be mounted");
	struct varve_vm *vm = store_open();
	static char image[SIZE];
	struct varve_id made[200];
	int count = 0, r = 0;
	while (count < 200) {
		struct varve_session *session;
		struct varve_memory *memory;
		struct varve_id m = id_of("M");
		must(varve_session_begin(vm, 0, &session));
		r = count ? varve_session_module(session, &m, &memory)
		          : varve_session_deploy(session, &m, SIZE, &memory);
		if (!r) {
			noise(image, SIZE, (uint64_t)count);
			memcpy(varve_memory_base(memory), image, SIZE);
			r = varve_session_commit(session, NULL, &made[count]);
		}
		if (r) {
			cr_assert(r == -ENOSPC, "%d, %s", r, varve_last_error());
			cr_assert(strstr(varve_last_error(), "free space"), "%s", varve_last_error());
			varve_session_abandon(session);
			break;
		}
		count++;
	}
	cr_assert(count > 10 && count < 200, "%d commits, %d", count, r);
	for (int k = count - 1; k >= 0; k -= 5) {
		noise(image, SIZE, (uint64_t)k);
		must(varve_restore(vm, &made[k], NULL, NULL));
		store_expect("M", image, SIZE);
	}
	must(varve_restore(vm, &made[count - 1], NULL, NULL));
	must(mount("none", store_path(""), "tmpfs", MS_REMOUNT, "size=8m,mode=0700"));
	store_commit_one(vm, "M", SIZE, 'z', NULL);
	must(varve_persist(vm));
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	end_processes();
	vm = store_open();
	for (int k = 0; k < count; k++) {
		noise(image, SIZE, (uint64_t)k);
		must(varve_restore(vm, &made[k], NULL, NULL));
		store_expect("M", image, SIZE);
	}
	varve_vm_close(vm);
	end_processes();
	umount2(store_path(""), MNT_DETACH);
}

/* Takes all that is left of the disk. */
static void fill_up(int fd)
{
	static const char bytes[4096];
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	cr_assert_eq(errno, ENOSPC);
}

/* Whoever has filled the disk wants to go back more than anybody else. */
Test(full, a_store_on_a_full_disk_can_be_restored_again_and_again)
{
	need(geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
	    "mounting is not allowed here");
	cr_assert(mkdir(store_path(""), 0700) == 0);
	need(mount("none", store_path(""), "tmpfs", 0, "size=4m,mode=0700") == 0, "tmpfs can not be mounted");
	struct varve_vm *vm = store_open();
	struct varve_id made[2];
	for (int persisted = 0; persisted < 2; persisted++) {
		for (int i = 0; i < 2; i++)
			made[i] = store_commit_one(vm, "M", SIZE, (char)('a' + 2 * persisted + i), NULL);
		must(persisted ? varve_persist(vm) : 0);
		must(varve_optimize(vm));
		int fd = open(store_path("ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		/* Each says where the store stands, in some 30 bytes: two hundred of them do not fit into one block. */
		for (int i = 0; i < 200; i++) {
			fill_up(fd);
			must(varve_restore(vm, &made[i % 2], NULL, NULL));
			store_expect_fill("M", SIZE, (char)('a' + 2 * persisted + i % 2));
		}
		close(fd);
		cr_assert(unlink(store_path("ballast")) == 0);
	}
	varve_vm_close(vm);
	end_processes();
	umount2(store_path(""), MNT_DETACH);
}

/* ulimit -f: the signal that comes with it must not end anybody. */
Test(full, a_limit_of_file_sizes_is_an_error_and_no_death)
{
	struct rlimit limit = {3ul << 30, RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	must(setrlimit(RLIMIT_FSIZE, &limit));
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M"), n = id_of("N");
	struct varve_id first = store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_session_begin(vm, 0, &session));
	must_fail(varve_session_deploy(session, &n, 4ul << 30, &memory), -EFBIG);
	must(varve_session_module(session, &m, &memory));
	must_fail(varve_memory_resize(memory, 4ul << 30), -EFBIG);
	memset(varve_memory_base(memory), 'b', SIZE);
	must(varve_session_commit(session, NULL, NULL));
	must(varve_restore(vm, &first, NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	varve_vm_close(vm);
	end_processes();
	limit.rlim_cur = 100000;
	must(setrlimit(RLIMIT_FSIZE, &limit));
	must_fail(open_again(store_path(""), true, &vm), -EFBIG);
}
