/*
 * io_file.c - files are what they seem to be, and get their name only when they are whole.
 */
#include <stdint.h>
#include <signal.h>
#include <sys/resource.h>

#include "io_fixture.h"

TestSuite(file, .init = fixture_open, .fini = fixture_close);

Test(file, a_file_is_opened_read_and_written)
{
	char text[16] = "";

	int fd = file_create(&fixture, "f");
	cr_assert_geq(fd, 0);
	cr_assert_eq(file_write_at(fd, "0123456789", 10, 0, &fixture, "f"), 0);
	cr_assert_eq(file_write_at(fd, "ab", 2, 4, &fixture, "f"), 0);
	cr_assert_eq(file_resize(fd, 9, &fixture, "f"), 0);
	cr_assert_eq(file_sync(fd, &fixture, "f"), 0);
	cr_assert_eq(dir_sync(&fixture), 0);
	close(fd);
	fd = file_open(&fixture, "f", O_RDONLY);
	cr_assert_geq(fd, 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(file_read_at(fd, text, 8, 1, &fixture, "f"), 0);
	cr_assert_str_eq(text, "123ab678");
	close(fd);
}

/* What is behind such a name may be anything: another file, a terminal, a pipe that never answers. */
Test(file, nothing_but_a_regular_file_is_taken_for_one)
{
	fixture_file("real", "x", 1);
	cr_assert_eq(symlinkat("real", fixture.fd, "link"), 0);
	cr_assert_eq(mkfifoat(fixture.fd, "fifo", 0600), 0);
	cr_assert_eq(mkdirat(fixture.fd, "dir", 0700), 0);

	cr_assert_eq(file_open(&fixture, "link", O_RDONLY), -ELOOP);
	cr_assert(fixture_says("link can not be opened") && fixture_says("symbolic links are not followed"));
	cr_assert_eq(file_open(&fixture, "fifo", O_RDONLY), -EINVAL);
	cr_assert(fixture_says("fifo is not a regular file"));
	cr_assert_eq(file_open(&fixture, "fifo", O_WRONLY), -EINVAL);
	cr_assert_eq(file_open(&fixture, "fifo", O_RDWR), -EINVAL);
	cr_assert_eq(file_open(&fixture, "dir", O_RDONLY), -EINVAL);
	cr_assert_eq(file_open(&fixture, "dir", O_RDWR), -EISDIR);
	cr_assert(!file_exists(&fixture, "link") && !file_exists(&fixture, "fifo") && !file_exists(&fixture, "dir"));
	cr_assert(file_exists(&fixture, "real"));
	cr_assert_eq(file_open(&fixture, "none", O_RDONLY), -ENOENT);
	cr_assert(fixture_says("none can not be opened: No such file"));
}

static void refused_and_accepted(void)
{
	fixture_file("real", "x", 1);
	symlinkat("real", fixture.fd, "link");
	mkfifoat(fixture.fd, "fifo", 0600);
	for (int again = 0; again < 2; again++) {
		int fd = file_open(&fixture, "real", O_RDONLY);
		cr_assert_geq(fd, 0, "%s", err_text());
		close(fd);
		cr_assert_eq(file_open(&fixture, "link", O_RDONLY), -ELOOP);
		cr_assert_eq(file_open(&fixture, "fifo", O_RDONLY), -EINVAL);
		cr_assert_eq(file_open(&fixture, "none", O_RDONLY), -ENOENT);
		fd = file_create(&fixture, "new");
		cr_assert_geq(fd, 0, "%s", err_text());
		close(fd);
	}
}

/* Old kernels and old container runtimes: it must work there, and be no less careful. */
Test(file, without_openat2_the_same_is_refused)
{
	fixture_deny(437, ENOSYS); /* openat2, on every architecture but Alpha */
	refused_and_accepted();
}

Test(file, where_openat2_is_forbidden_the_same_is_refused)
{
	fixture_deny(437, EPERM);
	refused_and_accepted();
}

/* Ids from a peer become names: none of them may lead out of the directory. */
Test(file, a_name_is_one_component_and_stays_beneath)
{
	static const char *const names[] = {"", ".", "..", "/etc/passwd", "../x", "a/b", "a/", "/"};
	struct stat st;
	struct buf b = {0};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cr_assert_eq(file_open(&fixture, names[i], O_RDONLY), -EINVAL, "\"%s\"", names[i]);
		cr_assert_eq(file_create(&fixture, names[i]), -EINVAL);
		cr_assert_eq(file_stat(&fixture, names[i], &st), -EINVAL);
		cr_assert_eq(file_unlink(&fixture, names[i]), -EINVAL);
		cr_assert_eq(file_rename(&fixture, names[i], &fixture, "x"), -EINVAL);
		cr_assert_eq(file_rename(&fixture, "x", &fixture, names[i]), -EINVAL);
		cr_assert_eq(file_load(&fixture, names[i], 100, &b), -EINVAL);
		cr_assert_lt(file_publish(&fixture, &fixture, names[i], "x", 1, false), 0);
	}
}

Test(file, creating_never_touches_the_old_file_or_what_a_link_points_to)
{
	struct stat old;
	struct stat st;

	fixture_file("target", "precious", 8);
	cr_assert_eq(symlinkat("target", fixture.fd, "link"), 0);
	int fd = file_create(&fixture, "link");
	cr_assert_geq(fd, 0);
	cr_assert_eq(file_write_at(fd, "new", 3, 0, &fixture, "link"), 0);
	close(fd);
	cr_assert_str_eq(fixture_text("target"), "precious");
	cr_assert_str_eq(fixture_text("link"), "new");

	cr_assert_eq(file_stat(&fixture, "target", &old), 0);
	cr_assert_eq(linkat(fixture.fd, "target", fixture.fd, "other name", 0), 0);
	close(file_create(&fixture, "target"));
	cr_assert_str_eq(fixture_text("other name"), "precious");
	cr_assert_eq(file_stat(&fixture, "target", &st), 0);
	cr_assert_eq(st.st_size, 0);
	cr_assert_neq(st.st_ino, old.st_ino);
	cr_assert_eq(st.st_mode & 07777, 0600u);
	mkdirat(fixture.fd, "dir", 0700);
	cr_assert_eq(file_create(&fixture, "dir"), -EEXIST);
}

Test(file, a_file_that_is_too_short_is_damage_and_is_named)
{
	char bytes[16];

	fixture_file("f", "0123456789", 10);
	int fd = file_open(&fixture, "f", O_RDONLY);
	cr_assert_eq(file_read_at(fd, bytes, 11, 0, &fixture, "f"), -EBADMSG);
	cr_assert(fixture_says("f is damaged"));
	cr_assert_eq(file_read_at(fd, bytes, 1, 10, &fixture, "f"), -EBADMSG);
	cr_assert_eq(file_read_at(fd, bytes, 1, UINT64_MAX, &fixture, "f"), -EBADMSG);
	cr_assert_eq(file_read_at(fd, bytes, SIZE_MAX, 2, &fixture, "f"), -EBADMSG);
	cr_assert_eq(file_read_at(fd, bytes, 0, 10, &fixture, "f"), 0);
	close(fd);
}

Test(file, sizes_that_no_file_has_are_refused)
{
	int fd = file_create(&fixture, "f");

	cr_assert_eq(file_write_at(fd, "x", 1, INT64_MAX, &fixture, "f"), -EFBIG);
	cr_assert_eq(file_write_at(fd, "x", 1, UINT64_MAX, &fixture, "f"), -EFBIG);
	cr_assert_eq(file_resize(fd, (uint64_t)INT64_MAX + 1, &fixture, "f"), -EFBIG);
	close(fd);
}

Test(file, looking_at_what_is_not_there_leaves_no_sentence)
{
	struct stat st;
	struct buf b = {0};

	fail(EIO, "an older sentence");
	cr_assert_eq(file_stat(&fixture, "none", &st), -ENOENT);
	cr_assert_eq(file_load(&fixture, "none", 100, &b), -ENOENT);
	cr_assert_eq(file_unlink(&fixture, "none"), 0);
	cr_assert(!file_exists(&fixture, "none"));
	cr_assert_str_eq(err_text(), "an older sentence");
}

Test(file, loading_appends_the_whole_file_or_nothing)
{
	struct buf b = {0};

	fixture_file("f", "0123456789", 10);
	buf_put(&b, "ab", 2);
	cr_assert_eq(file_load(&fixture, "f", 9, &b), -EFBIG);
	cr_assert_eq(b.size, 2u);
	cr_assert_eq(file_load(&fixture, "f", 10, &b), 0);
	cr_assert_eq(b.size, 12u);
	cr_assert_arr_eq(b.data, "ab0123456789", 12);
	fixture_file("empty", "", 0);
	cr_assert_eq(file_load(&fixture, "empty", 0, &b), 0);
	cr_assert_eq(b.size, 12u);
	buf_free(&b);
	fixture_fault("alloc:1:ENOMEM");
	cr_assert_eq(file_load(&fixture, "f", 10, &b), -ENOMEM);
	cr_assert(fixture_says("f can not be loaded"));
	buf_free(&b);
}

static int names_left(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

/* The commits store is replaced like this: a reader, and a crash, find the old one or the new one. */
Test(file, publishing_replaces_a_file_whole_or_leaves_it)
{
	static const char *const points[] = {"write.create", "write.data", "file.sync", "file.rename"};
	char fault[64];
	int count = 0;

	cr_assert_eq(file_publish(&fixture, &fixture, "f", "old", 3, true), 0);
	cr_assert_str_eq(fixture_text("f"), "old");
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		snprintf(fault, sizeof(fault), "%s:1:ENOSPC", points[i]);
		fixture_fault(fault);
		cr_assert_eq(file_publish(&fixture, &fixture, "f", "new one", 7, true), -ENOSPC, "%s", points[i]);
		cr_assert(fixture_says("f") && fixture_says("free space"));
		cr_assert_str_eq(fixture_text("f"), "old");
	}
	dir_each(&fixture, names_left, &count);
	cr_assert_eq(count, 1, "a temporary file was left behind");
	fixture_fault("file.sync:1:EIO");
	cr_assert_eq(file_publish(&fixture, &fixture, "f", "new one", 7, false), 0, "no sync was asked for");
	cr_assert_str_eq(fixture_text("f"), "new one");
}

Test(file, renaming_goes_between_directories_and_replaces)
{
	struct dir priv;

	cr_assert_eq(dir_make(&priv, fixture.fd, ".varve", ".varve/"), 0);
	fixture_file(".varve/a", "new", 3);
	fixture_file("b", "old", 3);
	cr_assert_eq(file_rename(&priv, "a", &fixture, "b"), 0);
	cr_assert_str_eq(fixture_text("b"), "new");
	cr_assert_eq(file_rename(&priv, "a", &fixture, "b"), -ENOENT);
	cr_assert(fixture_says(".varve/a can not be renamed to b"));
	cr_assert_eq(file_unlink(&fixture, "b"), 0);
	cr_assert_eq(file_unlink(&fixture, ".varve"), -EISDIR);
	dir_close(&priv);
	cr_assert_eq(priv.fd, -1);
}

/* Each of these is where a disk may be full or broken, and every caller must cope. */
Test(file, every_step_can_be_made_to_fail)
{
	char byte;
	struct buf b = {0};

	fixture_file("f", "0123", 4);
	int fd = file_open(&fixture, "f", O_RDWR);
	fixture_fault("read.open:1+:EACCES,read.data:1+:EIO,write.data:1+:ENOSPC,write.create:1+:EMFILE,"
	              "file.rename:1+:EIO,file.sync:1+:EIO,file.resize:1+:ENOSPC,dir.sync:1+:EIO,"
	              "file.unlink:1+:EROFS");
	cr_assert_eq(file_open(&fixture, "f", O_RDONLY), -EACCES);
	cr_assert_eq(file_load(&fixture, "f", 9, &b), -EACCES);
	cr_assert_eq(file_read_at(fd, &byte, 1, 0, &fixture, "f"), -EIO);
	cr_assert_eq(file_write_at(fd, "ab", 2, 0, &fixture, "f"), -ENOSPC);
	cr_assert_eq(file_create(&fixture, "g"), -EMFILE);
	cr_assert_eq(file_rename(&fixture, "f", &fixture, "g"), -EIO);
	cr_assert_eq(file_sync(fd, &fixture, "f"), -EIO);
	cr_assert_eq(file_resize(fd, 2, &fixture, "f"), -ENOSPC);
	cr_assert_eq(dir_sync(&fixture), -EIO);
	cr_assert_eq(file_unlink(&fixture, "f"), -EROFS);
	fixture_fault(NULL);
	cr_assert_eq(file_sync(-1, &fixture, "f"), -EBADF, "the system's errors count as well");
	cr_assert_str_eq(fixture_text("f"), "a123", "a write that fails has written a part");
	close(fd);
}

Test(file, a_disk_that_is_full_is_said_to_be)
{
	struct rlimit limit = {4096, 4096};
	static char data[8192];

	signal(SIGXFSZ, SIG_IGN);
	int fd = file_create(&fixture, "f");
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_assert_eq(file_write_at(fd, data, sizeof(data), 0, &fixture, "f"), -EFBIG);
	cr_assert(fixture_says("f can not be written: File too large; raise"));
	close(fd);
}

Test(file, a_directory_is_made_private_and_found_again)
{
	struct dir dir;
	struct stat st;
	char path[128];

	cr_assert_eq(dir_make(&dir, fixture.fd, ".varve", ".varve/"), 0);
	cr_assert_eq(fstat(dir.fd, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700u);
	cr_assert(fcntl(dir.fd, F_GETFD) & FD_CLOEXEC);
	dir_close(&dir);
	dir_close(&dir);
	cr_assert_eq(dir_make(&dir, fixture.fd, ".varve", ".varve/"), 0);
	dir_close(&dir);
	snprintf(path, sizeof(path), "%s/a/b", fixture_path);
	cr_assert_eq(dir_make(&dir, -1, path, ""), -ENOENT, "only the last part is made");
	cr_assert(fixture_says("a/b can not be made"));
	cr_assert_eq(dir.fd, -1);
	fixture_file("file", "", 0);
	cr_assert_eq(dir_make(&dir, fixture.fd, "file", ""), -ENOTDIR);
}

/* The private directory must be in the base directory; where that is, is the user's business. */
Test(file, the_path_may_go_through_links_but_what_is_beneath_may_not)
{
	struct dir dir;
	char path[128];

	cr_assert_eq(mkdirat(fixture.fd, "real", 0700), 0);
	cr_assert_eq(symlinkat("real", fixture.fd, "link"), 0);
	snprintf(path, sizeof(path), "%s/link", fixture_path);
	cr_assert_eq(dir_open(&dir, -1, path, ""), 0);
	dir_close(&dir);
	cr_assert_eq(dir_open(&dir, fixture.fd, "link", ""), -ELOOP);
	cr_assert_eq(dir_open(&dir, fixture.fd, "..", ""), -EXDEV);
	cr_assert_eq(dir_open(&dir, fixture.fd, "/tmp", ""), -EXDEV);
	cr_assert_eq(dir.fd, -1);
}

Test(file, a_path_of_4000_characters_is_opened)
{
	char path[4096];
	struct dir dir;

	int length = snprintf(path, sizeof(path), "%s", fixture_path);
	while (length < 3800) {
		length += snprintf(path + length, sizeof(path) - (size_t)length, "/%0198d", 7);
		cr_assert_eq(mkdir(path, 0700), 0);
	}
	length += snprintf(path + length, sizeof(path) - (size_t)length, "/%0*d", 4000 - length - 1, 7);
	cr_assert_eq(length, 4000);
	cr_assert_eq(dir_make(&dir, -1, path, ""), 0);
	int fd = file_create(&dir, "f");
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(file_unlink(&dir, "f"), 0);
	dir_close(&dir);
	memset(path + length, 'x', sizeof(path) - 1 - (size_t)length);
	path[sizeof(path) - 1] = '\0';
	cr_assert_lt(dir_open(&dir, -1, path, ""), 0);
	cr_assert(fixture_says("..."));
}

static int unlink_each(void *arg, const char *name)
{
	++*(int *)arg;
	return file_unlink(&fixture, name);
}

static int stop_at_once(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return -ECANCELED;
}

Test(file, every_name_is_listed_once_also_while_they_are_removed)
{
	char name[16];
	int count = 0;

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fixture_file(name, "", 0);
	}
	cr_assert_eq(dir_each(&fixture, stop_at_once, &count), -ECANCELED);
	cr_assert_eq(count, 1);
	count = 0;
	cr_assert_eq(dir_each(&fixture, unlink_each, &count), 0);
	cr_assert_eq(count, 300);
	count = 0;
	cr_assert_eq(dir_each(&fixture, names_left, &count), 0);
	cr_assert_eq(count, 0);
}

Test(file, failures_leak_no_descriptor)
{
	int before = fixture_descriptors();
	struct buf b = {0};
	struct dir dir;

	mkfifoat(fixture.fd, "fifo", 0600);
	fixture_file("f", "0123", 4);
	for (int i = 0; i < 3; i++) {
		file_open(&fixture, "fifo", O_RDONLY);
		file_load(&fixture, "fifo", 9, &b);
		file_load(&fixture, "f", 2, &b);
		dir_open(&dir, fixture.fd, "f", "");
		fixture_fault("write.data:1+:EIO,read.data:1+:EIO");
		file_publish(&fixture, &fixture, "g", "x", 1, true);
		file_load(&fixture, "f", 9, &b);
	}
	cr_assert_eq(fixture_descriptors(), before);
	buf_free(&b);
}

/* A store that can only be read may have no .varve/: whoever looks there finds nothing, and no error. */
Test(file, a_directory_that_is_not_open_has_no_files)
{
	const struct dir none = {-1, "none/"};
	struct buf b = {0};
	struct stat st;
	cr_assert_eq(file_open(&none, "name", O_RDONLY), -ENOENT);
	cr_assert(strstr(err_text(), "none/name"), "%s", err_text());
	cr_assert_eq(file_stat(&none, "name", &st), -ENOENT);
	cr_assert_eq(file_load(&none, "name", 100, &b), -ENOENT);
	cr_assert(!file_exists(&none, "name"));
}
