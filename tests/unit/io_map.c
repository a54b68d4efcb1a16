/*
 * io_map.c - files that are mapped while others cut them: an error afterwards, and not the end of the process.
 */
#include <signal.h>
#include <sys/mman.h>

#include "io_fixture.h"
#include "map.h"

#define PAGE 4096u

static int open_file(size_t size)
{
	static uint8_t page[PAGE];
	int fd = openat(fixture.fd, "f", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	for (size_t at = 0; at < size; at += PAGE) {
		memset(page, (int)(at / PAGE) + 1, PAGE);
		size_t part = size - at < PAGE ? size - at : PAGE;
		cr_assert_eq(pwrite(fd, page, part, (off_t)at), (ssize_t)part);
	}
	return fd;
}

static void setup(void)
{
	fixture_open();
	map_guard();
}

static void teardown(void)
{
	fixture_fault(NULL);
	fixture_close();
}

TestSuite(map, .init = setup, .fini = teardown);

static int read_byte(const struct map *map, size_t at)
{
	return ((const volatile uint8_t *)map->data)[at];
}

Test(map, has_the_bytes_of_the_file_after_its_descriptor_was_closed)
{
	struct map map = {0};
	struct stat st;
	int fd = open_file(3 * PAGE + 100);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(map_open(&map, fd, 3 * PAGE + 100, true), 0);
	close(fd);
	cr_assert(map.size == 3 * PAGE + 100 && map.inode == st.st_ino && map.device == st.st_dev);
	cr_assert(read_byte(&map, 0) == 1 && read_byte(&map, 3 * PAGE + 99) == 4);
	cr_assert_not(map_failed());
	map_close(&map);
	cr_assert(!map.data && !map.size);
	map_close(&map);
}

/* Large files are mapped a part at a time. */
Test(map, a_window_has_the_bytes_from_where_it_begins)
{
	struct map map = {0};
	int fd = open_file(9 * PAGE + 5);
	for (unsigned page = 0; page < 9; page++) {
		size_t size = page == 8 ? PAGE + 5 : 2 * PAGE;
		cr_assert_eq(map_window(&map, fd, page * PAGE, size, size, page % 2), 0);
		cr_assert(map.size == size);
		cr_assert(read_byte(&map, 0) == (int)page + 1 && read_byte(&map, size - 1) == (int)page + 2);
	}
	cr_assert_eq(map_window(&map, fd, 8 * PAGE, PAGE + 6, PAGE + 6, true), -EBADMSG);
	cr_assert_eq(map_window(&map, fd, 10 * PAGE, 1, 1, true), -EBADMSG);
	cr_assert(!map.data && fixture_says("shorter"), "%s", err_text());
	close(fd);
}

Test(map, nothing_of_a_file_is_nothing)
{
	struct map map = {0};
	int fd = open_file(0);
	cr_assert_eq(map_open(&map, fd, 0, true), 0);
	cr_assert(!map.data && !map.size);
	cr_assert_eq(map_open(&map, fd, 1, true), -EBADMSG);
	cr_assert(fixture_says("shorter"));
	map_close(&map);
	close(fd);
}

/* What a VM, or a stranger, may do at any moment. */
Test(map, a_file_that_is_cut_reads_as_zeros_and_is_told_of_once)
{
	struct map map = {0}, other = {0};
	int fd = open_file(8 * PAGE);
	cr_assert_eq(map_open(&map, fd, 8 * PAGE, true), 0);
	cr_assert_eq(map_window(&other, fd, 0, PAGE, PAGE, true), 0);
	cr_assert_eq(read_byte(&map, 7 * PAGE), 8);
	cr_assert_eq(ftruncate(fd, 2 * PAGE), 0);
	cr_assert_not(map_failed());
	err_clear();
	cr_assert_eq(read_byte(&map, 7 * PAGE), 0);
	cr_assert_eq(read_byte(&map, 0), 0, "what is no longer believed must not change its mind");
	cr_assert_eq(read_byte(&other, 0), 1, "another mapping was harmed");
	cr_assert(map_failed());
	cr_assert(fixture_says("cut short"), "%s", err_text());
	cr_assert_not(map_failed());
	map_close(&map);
	map_close(&other);
	/* Its place is another's now. */
	cr_assert_eq(map_open(&map, fd, 2 * PAGE, true), 0);
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(read_byte(&map, PAGE), 0);
	cr_assert(map_failed());
	map_close(&map);
	close(fd);
}

/* A file that grows again is another file: the mapping must not show half of each. */
Test(map, a_file_that_is_cut_and_grows_again_stays_failed_until_it_is_mapped_anew)
{
	struct map map = {0};
	int fd = open_file(4 * PAGE);
	cr_assert_eq(map_open(&map, fd, 4 * PAGE, true), 0);
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(read_byte(&map, 3 * PAGE), 0);
	cr_assert_eq(pwrite(fd, "new", 3, 0), 3);
	cr_assert_eq(read_byte(&map, 0), 0);
	cr_assert(map_failed());
	cr_assert_eq(map_open(&map, fd, 3, true), 0);
	cr_assert_eq(read_byte(&map, 0), 'n');
	cr_assert_not(map_failed());
	map_close(&map);
	close(fd);
}

/* ---- where it must not help -------------------------------------------------------------------------------------- */

/* How a child that does @what ends. */
static int end_of(void (*what)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		map_guard();
		what();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void touch_what_is_no_map(void)
{
	int fd = open_file(PAGE);
	volatile uint8_t *bytes = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	_exit(bytes[2 * PAGE]);
}

static void touch_what_is_closed(void)
{
	struct map map = {0};
	int fd = open_file(2 * PAGE);
	if (map_open(&map, fd, 2 * PAGE, true))
		_exit(1);
	const uint8_t *where = map.data;
	map_close(&map);
	volatile uint8_t *bytes = mmap((void *)(uintptr_t)where, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	if (ftruncate(fd, 0) < 0)
		_exit(2);
	_exit(bytes[0]);
}

static void be_sent_one(void)
{
	struct map map = {0};
	if (map_open(&map, open_file(2 * PAGE), 2 * PAGE, true))
		_exit(1);
	kill(getpid(), SIGBUS);
}

/* Memory of the process itself that is gone is no file's fault: going on with zeros would hide it. */
Test(map, any_other_bus_error_ends_the_process)
{
	static void (*const whats[])(void) = {touch_what_is_no_map, touch_what_is_closed, be_sent_one};
	for (size_t i = 0; i < sizeof(whats) / sizeof(*whats); i++) {
		int status = end_of(whats[i]);
		cr_assert(
		    WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "case %zu ends with %#x", i, (unsigned)status);
	}
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

Test(map, more_than_there_is_room_for_are_an_error_and_no_harm)
{
	static struct map maps[MAP_MAX + 1];
	int fd = open_file(PAGE);
	for (size_t i = 0; i < MAP_MAX; i++)
		cr_assert_eq(map_open(&maps[i], fd, PAGE, false), 0, "%zu: %s", i, err_text());
	cr_assert_eq(map_open(&maps[MAP_MAX], fd, PAGE, false), -ENOMEM);
	cr_assert(!maps[MAP_MAX].data && fixture_says("mapped"), "%s", err_text());
	map_close(&maps[MAP_MAX / 2]);
	cr_assert_eq(map_open(&maps[MAP_MAX], fd, PAGE, false), 0);
	/* The last of them is guarded like the first. */
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert(read_byte(&maps[0], 0) == 0 && map_failed());
	cr_assert(read_byte(&maps[MAP_MAX], 0) == 0 && map_failed());
	cr_assert(read_byte(&maps[MAP_MAX - 1], 0) == 0 && map_failed());
	for (size_t i = 0; i <= MAP_MAX; i++)
		map_close(&maps[i]);
	close(fd);
}

Test(map, a_mapping_that_is_refused_is_an_error_with_a_sentence)
{
	struct map map = {0};
	int fd = open_file(PAGE);
	cr_assert_eq(map_open(&map, fd, PAGE, false), 0);
	fixture_fault("map:1:ENOMEM");
	cr_assert_eq(map_open(&map, fd, PAGE, false), -ENOMEM);
	cr_assert(!map.data && fixture_says("mapped"), "%s", err_text());
	cr_assert_eq(map_open(&map, fd, PAGE, false), 0);
	map_close(&map);
	close(fd);
	cr_assert_eq(map_open(&map, fd, PAGE, false), -EBADF);
	cr_assert(err_text()[0]);
}
