/*
 * store_everywhere.c - stores in places that are not like a developer's machine: no /dev/shm, a file system that is
 * mounted for reading, a path of 4,000 characters, an ordinary user with the usual limits, a system without io_uring.
 */
#include "helper_life.h"
#include "helper_service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 40000
#define NOBODY 65534
#define PATH_CHARACTERS 4000

TestSuite(everywhere, .init = store_setup, .fini = store_teardown, .timeout = 60);

/* ---- mounts of our own --------------------------------------------------------------------------------------------- */

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return done;
}

/* Mounts that nobody else sees. An ordinary user needs a user namespace for that, which may be forbidden. */
static bool own_mounts(void)
{
	char text[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWNS) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			return false;
		snprintf(text, sizeof(text), "%u %u 1", uid, uid);
		put("/proc/self/setgroups", "deny");
		if (!put("/proc/self/uid_map", text))
			return false;
		snprintf(text, sizeof(text), "%u %u 1", gid, gid);
		if (!put("/proc/self/gid_map", text))
			return false;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Shared memory is memfds: nothing has to be mounted for it. */
Test(everywhere, without_dev_shm_all_is_as_with_it)
{
	if (strncmp(store_path(""), "/dev/shm/", 9) == 0)
		cr_skip_test("the store itself is there");
	if (!own_mounts() || mount("none", "/dev/shm", "tmpfs", MS_RDONLY, "mode=000,size=4k") < 0)
		cr_skip_test("mounting is not allowed here, or there is no /dev/shm");
	int fd = open("/dev/shm/varve", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd < 0, "/dev/shm can still be used");
	life_undisturbed("without /dev/shm");
}

/* @without: a copy that has no .varve/, as of a backup. */
static void look_at_what_is_mounted_for_reading(bool without)
{
	struct varve_session *session;
	struct varve_log *log;
	struct varve_id ids[3];
	struct varve_stat *stat;
	struct varve_vm *vm = store_open();
	for (int k = 0; k < 3; k++)
		ids[k] = store_commit_one(vm, "M", SIZE, 'a' + k, NULL);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	if (without)
		cr_assert_eq(rename(store_path(".varve"), store_path("../aside")), 0);
	if (!own_mounts() || mount(store_path(""), store_path(""), NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, store_path(""), NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		cr_skip_test("mounting is not allowed here");
	vm = store_open();
	must(varve_log(vm, &log));
	cr_assert(log->count == 3);
	varve_log_free(log);
	must(varve_commit_info(vm, &ids[1], &log));
	varve_log_free(log);
	expect_verified(vm, NULL);
	for (int k = 0; k < 3; k++) {
		size_t size;
		char *image = store_checkout(vm, &ids[k], "M", &size);
		cr_assert(size == SIZE && image[0] == 'a' + k && image[SIZE - 1] == 'a' + k);
		free(image);
	}
	must_fail(varve_session_begin(vm, 0, &session), -EROFS);
	must_fail(varve_restore(vm, &ids[0], NULL, NULL), -EROFS);
	cr_assert(strstr(varve_last_error(), "read"), "%s", varve_last_error());
	must(varve_stat(vm, &stat));
	cr_assert(!strstr(stat->sandbox_reason, "Bad file"), "%s", stat->sandbox_reason);
	varve_stat_free(stat);
	varve_vm_close(vm);
	/* Nobody could connect to it, so it must not say that it is ready. */
	struct service service = service_start(NULL);
	int status;
	cr_assert(waitpid(service.pid, &status, 0) == service.pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	cr_assert(strstr(service_log(&service), "can only be read"), "%s", service_log(&service));
	close(service.err);
	umount2(store_path(""), MNT_DETACH);
}

Test(everywhere, what_is_mounted_for_reading_can_be_looked_at_verified_and_checked_out)
{
	look_at_what_is_mounted_for_reading(false);
}

Test(everywhere, so_can_a_copy_of_only_what_is_in_sight)
{
	look_at_what_is_mounted_for_reading(true);
}

/* ---- no /proc --------------------------------------------------------------------------------------------------------- */

/* Sockets are reached by way of it. "There is no store" would send whoever hears it looking in the wrong place. */
Test(everywhere, without_proc_it_is_said_that_proc_is_needed)
{
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	if (!own_mounts() || mount("none", "/proc", "tmpfs", 0, "mode=755,size=4k") < 0)
		cr_skip_test("mounting is not allowed here");
	for (int i = 0; i < 2; i++) {
		struct varve_vm *other = NULL;
		/* One that runs, and then one that would have to be started. */
		must_fail(varve_vm_open(store_path(""), NULL, &other), -ENOSYS);
		cr_assert(strstr(varve_last_error(), "/proc"), "%s", varve_last_error());
		if (i == 0)
			varve_vm_close(vm);
		while (i == 0 && access(store_path(".varve/socket"), F_OK) == 0)
			usleep(1000);
	}
	umount2("/proc", MNT_DETACH);
}

/* ---- a long path ---------------------------------------------------------------------------------------------------- */

/* Directories in directories, so that the path of the last has so many characters. */
static char *make_deep(void)
{
	char name[201], *path = calloc(1, PATH_CHARACTERS + 1);
	strcpy(path, store_path(""));
	cr_assert(mkdir(path, 0700) == 0);
	while (strlen(path) < PATH_CHARACTERS) {
		size_t left = PATH_CHARACTERS - strlen(path) - 1;
		/* What is left for the last one must be a name, too. */
		size_t part = left <= 200 ? left : left < 202 ? left - 2 : 200;
		memset(name, 'd', part);
		name[part] = 0;
		strcat(strcat(path, "/"), name);
		cr_assert(mkdir(path, 0700) == 0, "%zu characters: %m", strlen(path));
	}
	return path;
}

/* Sockets' addresses have 108 characters, messages of errors 512: neither may be in the way. */
Test(everywhere, a_store_whose_path_has_4000_characters_works)
{
	char *path = make_deep();
	cr_assert(strlen(path) == PATH_CHARACTERS);
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm, *other;
	must(varve_vm_open(path, NULL, &vm));
	struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', NULL), nobody = id_of("NOBODY");
	store_commit_one(vm, "M", SIZE, 'b', NULL);
	must(varve_vm_open(path, NULL, &other));
	must(varve_restore(other, &a, NULL, NULL));
	size_t size;
	char *image = store_checkout(other, &a, "M", &size);
	cr_assert(size == SIZE && image[0] == 'a');
	free(image);
	must_fail(varve_restore(vm, &nobody, NULL, NULL), -ENOENT);
	expect_verified(vm, NULL);
	must(varve_persist(vm));
	varve_vm_close(other);
	varve_vm_close(vm);
	must(varve_vm_open(path, NULL, &vm));
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	free(path);
}

/* ---- an ordinary user ------------------------------------------------------------------------------------------------ */

static int be_ordinary(void *arg)
{
	(void)arg;
	if (geteuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
		return -EPERM;
	life_undisturbed("as an ordinary user");
	return 0;
}

Test(everywhere, an_ordinary_user_with_the_usual_limits_lacks_nothing)
{
	struct rlimit locked = {8 << 20, 8 << 20}, files = {1024, 1024};
	const char *coordinator = getenv("VARVE_COORDINATOR");
	char command[600];
	must(setrlimit(RLIMIT_MEMLOCK, &locked));
	must(setrlimit(RLIMIT_NOFILE, &files));
	if (geteuid() == 0) {
		snprintf(command, sizeof(command), "setpriv --reuid=%d test -x '%s'", NOBODY,
		    coordinator ? coordinator : "");
		if (system(command) != 0)
			cr_skip_test("others can not run the coordinator where it is");
		snprintf(command, sizeof(command), "chown %d %s/..", NOBODY, store_path(""));
		mkdir(store_path(""), 0700);
		cr_assert(chown(store_path(""), NOBODY, NOBODY) == 0 && system(command) == 0);
	}
	child_run(be_ordinary, NULL);
}

/* ---- no io_uring ------------------------------------------------------------------------------------------------------ */

/* System calls @from to @to are not there, as in an old or a hardened kernel, or behind some container's filter. */
static void forget_calls(unsigned from, unsigned to, unsigned err)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, from, 0, 2),
	    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, to, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
	cr_assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	cr_assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

Test(everywhere, a_system_that_knows_no_io_uring_is_read_from_by_other_means)
{
	struct varve_stat *stat;
	unsetenv("VARVE_IO");
	forget_calls(SYS_io_uring_setup, SYS_io_uring_register, ENOSYS);
	life_undisturbed("without io_uring");
	struct varve_vm *vm = store_open();
	expect_verified(vm, NULL);
	must(varve_stat(vm, &stat));
	cr_assert(strcmp(stat->io_method, "pread") == 0 && strlen(stat->io_reason) > 10, "%s: %s", stat->io_method,
	    stat->io_reason);
	varve_stat_free(stat);
	varve_vm_close(vm);
}

/* ---- no Landlock ------------------------------------------------------------------------------------------------------ */

/* That it is there does not mean that it may be entered; and status has to say so before a worker has tried. */
Test(everywhere, a_sandbox_that_can_not_be_entered_is_partial_from_the_first_look_on)
{
	struct varve_stat *stat;
	struct varve_vm *vm = store_open();
	must(varve_stat(vm, &stat));
	bool whole = strcmp(stat->sandbox, "on") == 0;
	varve_stat_free(stat);
	varve_vm_close(vm);
	end_processes();
	if (!whole)
		cr_skip_test("there is no sandbox here, or not all of it");
	forget_calls(SYS_landlock_restrict_self, SYS_landlock_restrict_self, EPERM);
	vm = store_open();
	must(varve_stat(vm, &stat));
	cr_assert_str_eq(stat->sandbox, "partial");
	cr_assert(strstr(stat->sandbox_reason, "Landlock"), "%s", stat->sandbox_reason);
	varve_stat_free(stat);
	varve_vm_close(vm);
}
