/*
 * store_access.c - who may get at a store: its user, and nobody else, whatever the file mode mask and whatever was put in
 * a file's place. (A link, a FIFO or a directory in the place of each module's file: store_damage.c; of `commits`:
 * store_records.c.)
 */
#include "helper_trouble.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 40000

TestSuite(access, .init = store_setup, .fini = store_teardown, .timeout = 60);

/* Every name in a directory of the store; how many. */
static int check_modes(const char *directory)
{
	char name[512];
	struct stat st;
	int count = 0;
	DIR *dir = opendir(store_path(directory));
	cr_assert_not_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		snprintf(name, sizeof(name), "%s%s%s", directory, *directory ? "/" : "", entry->d_name);
		if (strcmp(entry->d_name, "..") == 0 || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue; /* background work may just have removed it */
		count++;
		cr_expect_eq(st.st_mode & 07777, S_ISDIR(st.st_mode) ? 0700u : 0600u, "%s has mode %o", name,
		    (unsigned)st.st_mode);
	}
	closedir(dir);
	return count;
}

/* An image may hold keys and balances: a loose mask of the VM's must not show them to all. */
Test(access, nothing_of_a_store_is_for_others_whatever_the_mask)
{
	static const mode_t masks[] = {0, 0022, 0077};
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		mode_t before = umask(masks[i]);
		setenv("VARVE_INLINE", i % 2 ? "0" : "1", 1);
		struct varve_vm *vm = store_open();
		struct varve_id first = store_commit_one(vm, "M", SIZE, 'a', NULL);
		for (int k = 1; k < 12; k++)
			store_commit_one(vm, "M", SIZE, 'a' + k, NULL);
		must(varve_optimize(vm));
		must(varve_persist(vm));
		must(varve_restore(vm, &first, NULL, NULL));
		umask(before);
		cr_assert_geq(check_modes(""), 10);
		cr_assert_geq(check_modes(".varve"), 4, "with the socket");
		cr_assert_geq(check_modes(".varve/modules"), 3, "with tiers and undo deltas");
		varve_vm_close(vm);
		end_processes();
		check_modes(".varve");
		store_remove();
	}
	unsetenv("VARVE_INLINE");
}

/* Whoever put the link there would have everything written where he likes. */
Test(access, a_link_in_the_place_of_the_private_directory_is_refused)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	struct varve_vm *vm = store_open();
	char elsewhere[256];
	struct stat st;
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_persist(vm));
	varve_vm_close(vm);
	end_processes();
	snprintf(elsewhere, sizeof(elsewhere), "%s", store_path("elsewhere"));
	cr_assert(rename(store_path(".varve"), elsewhere) == 0);
	cr_assert(unlink(store_path("elsewhere/clean")) == 0);
	cr_assert(symlink("elsewhere", store_path(".varve")) == 0);
	int r = varve_vm_open(store_path(""), &options, &vm);
	cr_expect(r == -ELOOP || r == -ENOTDIR, "%d, %s", r, varve_last_error());
	cr_expect(strstr(varve_last_error(), ".varve"), "%s", varve_last_error());
	/* The library looks by itself; the coordinator must, too. */
	char command[8192];
	snprintf(command, sizeof(command), "timeout 10 '%s' --foreground '%s' 2>/dev/null", getenv("VARVE_COORDINATOR"),
	    store_path(""));
	int status = system(command);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "the coordinator ended with status 0x%x", status);
	cr_expect(stat(store_path("elsewhere/socket"), &st) < 0 && stat(store_path("elsewhere/clean"), &st) < 0);
	cr_assert(unlink(store_path(".varve")) == 0 && rename(elsewhere, store_path(".varve")) == 0);
}

/* /dev/zero never ends, and others do things when they are opened. */
Test(access, a_device_in_the_place_of_a_file_is_refused)
{
	static const char *const methods[] = {"auto", "pread"};
	struct varve_vm *vm = store_open();
	struct varve_id first = store_commit_one(vm, "M", SIZE, 'a', "A");
	store_commit_one(vm, "M", SIZE, 'b', "B");
	store_commit_one(vm, "M", SIZE, 'c', "C");
	varve_vm_close(vm);
	end_processes();
	const char *base = store_path(store_file("M", "A", ""));
	char kept[512], file[512];
	snprintf(file, sizeof(file), "%s", base);
	snprintf(kept, sizeof(kept), "%s.kept", base);
	cr_assert(rename(file, kept) == 0);
	if (mknod(file, S_IFCHR | 0600, makedev(1, 5)) < 0) {
		rename(kept, file);
		cr_skip_test("devices can not be made here: %s", strerror(errno));
	}
	for (size_t i = 0; i < 2; i++) {
		setenv("VARVE_IO", methods[i], 1);
		setenv("VARVE_INLINE", "0", 1);
		vm = store_open();
		const char *damaged[] = {store_file("M", "A", ""), NULL};
		expect_verified(vm, damaged);
		int r = varve_restore(vm, &first, NULL, NULL);
		cr_expect(r == 0 || strstr(varve_last_error(), "not a regular file"), "%d, %s", r, varve_last_error());
		store_expect_fill("M", SIZE, r ? 'c' : 'a');
		varve_vm_close(vm);
		end_processes();
		unsetenv("VARVE_IO");
	}
	unsetenv("VARVE_INLINE");
	cr_assert(unlink(file) == 0 && rename(kept, file) == 0);
}

#define NOBODY 65534

static int say_hello_as_nobody(void *arg)
{
	const uint8_t hello[] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, '1'};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char answer[512];
	/* By way of a descriptor: the directories above are not for others either. */
	int priv = open(store_path(".varve"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)arg;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/socket", priv);
	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		return 1;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return 2;
	/* It is cut off, possibly before it has said a word. */
	if (send(sock, hello, sizeof(hello), MSG_NOSIGNAL) < 0)
		return errno == EPIPE || errno == ECONNRESET ? 0 : 3;
	struct pollfd p = {sock, POLLIN, 0};
	if (poll(&p, 1, 10000) != 1)
		return 4;
	return recv(sock, answer, sizeof(answer), 0) <= 0 ? 0 : 5;
}

/* Modes can be changed by a slip; a commit of somebody else's can not be taken back. */
Test(access, a_client_of_another_user_is_dropped_though_the_modes_let_it_in)
{
	if (geteuid() != 0)
		cr_skip_test("it takes root to be another user");
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	cr_assert(chmod(store_path(""), 0755) == 0 && chmod(store_path(".varve"), 0755) == 0 &&
	          chmod(store_path(".varve/socket"), 0666) == 0);
	child_run(say_hello_as_nobody, NULL);
	store_commit_one(vm, "M", SIZE, 'b', NULL);
	struct varve_stat *stat;
	must(varve_stat(vm, &stat));
	cr_assert(stat->clients <= 2, "%u clients are left", stat->clients);
	varve_stat_free(stat);
	varve_vm_close(vm);
}
