/*
 * engine_disk.c - what a store takes on disk: all of it, in blocks, without looking at a long history again and again.
 */
#include "disk.h"
#include "io_fixture.h"
#include "names.h"

static struct store store;
static struct disk disk;
static struct varve_id module = {{0xa1}};
static uint32_t at;

static void setup(void)
{
	fixture_open();
	store = (struct store) {.base = fixture};
	cr_assert_eq(dir_make(&store.own, fixture.fd, ".varve", ".varve/"), 0);
	cr_assert_eq(dir_make(&store.priv, store.own.fd, "modules", ".varve/modules/"), 0);
	cr_assert_eq(catalog_create(&store.catalog), 0, "%s", err_text());
	cr_assert_eq(history_open(&store.history, &store.catalog), 0, "%s", err_text());
	disk = (struct disk) {0};
	int64_t index = history_add_module(&store.history, &module, NULL);
	cr_assert_geq(index, 0);
	at = (uint32_t)index;
}

static void teardown(void)
{
	disk_free(&disk);
	history_close(&store.history);
	catalog_close(&store.catalog);
	dir_close(&store.priv);
	dir_close(&store.own);
	fixture_close();
}

TestSuite(disk, .init = setup, .fini = teardown);

static struct varve_id content(uint32_t number)
{
	struct varve_id id = {{0xc0}};
	memcpy(id.bytes + 1, &number, sizeof(number));
	return id;
}

/* Entries 0 to @length - 1: images of 100,000 bytes, deltas of 5,000. */
static void append(uint32_t length)
{
	for (uint32_t i = catalog_module(&store.catalog, at)->length; i < length; i++) {
		struct chain_entry entry = {.id = content(i), .size = 100000, .delta_bytes = i ? 5000 : 0};
		cr_assert_geq(chain_append(&store.catalog, at, &entry), 0);
	}
}

/* A file of @size bytes of which only the first 4,096 are not a hole. */
static void make(const struct dir *dir, const char *name, off_t size)
{
	static const char page[4096] = "x";
	int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0, "%s", name);
	cr_assert_eq(write(fd, page, sizeof(page)), (ssize_t)sizeof(page));
	cr_assert_eq(ftruncate(fd, size), 0);
	close(fd);
}

static const char *delta(uint32_t index)
{
	static char name[NAME_MAX_SIZE];
	struct varve_id id = content(index);
	name_delta(name, &module, &id, 0);
	return name;
}

static const char *image(uint32_t index)
{
	static char name[NAME_MAX_SIZE];
	struct varve_id id = content(index);
	name_image(name, &module, &id);
	return name;
}

static uint64_t blocks(const struct dir *dir, const char *name)
{
	struct stat st;
	cr_assert_eq(fstatat(dir->fd, name, &st, 0), 0, "%s", name);
	return (uint64_t)st.st_blocks * 512;
}

static void look(void)
{
	cr_assert_eq(disk_look(&disk, &store), 0, "%s", err_text());
	cr_assert_eq(disk.modules_count, 1);
}

/* Images are full of holes, and an operator wants to know when the disk is full. */
Test(disk, each_file_counts_for_its_blocks_under_what_it_is_for_and_once)
{
	char name[NAME_MAX_SIZE];
	append(3);
	make(&fixture, image(0), 100000);
	make(&fixture, delta(1), 5000);
	make(&fixture, image(2), 100000);
	name_backing(name, &module);
	make(&fixture, name, 100000);
	name_private(name, &module, "tiers");
	make(&store.priv, name, 9000);
	name_private(name, &module, "delta");
	make(&store.priv, name, 300);
	make(&fixture, "commits", 4096);
	make(&fixture, "not-the-stores", 1 << 20);
	make(&store.own, "journal", 4096);
	make(&store.own, "stamps", 4096);
	look();
	const struct varve_module_stat *m = disk.modules;
	uint64_t one = blocks(&fixture, image(0));
	cr_assert(one > 0 && one < 100000);
	cr_assert(m->size == 100000 && m->commits == 3);
	cr_assert(m->base_bytes == one && m->deltas_bytes == one && m->last_bytes == one);
	cr_assert_eq(disk.backing_bytes, one);
	cr_assert(m->private_bytes == 2 * one && m->tiers_bytes == one && m->undo_bytes == 0);
	cr_assert_eq(disk.history_bytes, 2 * one);
	uint64_t directories = blocks(&fixture, ".") + blocks(&store.own, ".") + blocks(&store.priv, ".");
	cr_assert_eq(disk.total_bytes, 9 * one + directories);
}

/* A million commits are a million files; they do not change. */
Test(disk, what_was_looked_at_and_does_not_change_is_not_looked_at_again)
{
	append(4);
	make(&fixture, image(0), 4096);
	make(&fixture, delta(1), 4096);
	make(&fixture, delta(2), 4096);
	make(&fixture, image(3), 4096);
	look();
	uint64_t one = disk.modules->base_bytes;
	cr_assert_eq(disk.modules->deltas_bytes, 2 * one);
	unlinkat(fixture.fd, image(0), 0);
	unlinkat(fixture.fd, delta(1), 0);
	unlinkat(fixture.fd, image(3), 0);
	append(5);
	make(&fixture, delta(3), 4096);
	look();
	cr_assert_eq(disk.modules->base_bytes, one);
	cr_assert_eq(disk.modules->deltas_bytes, 3 * one);
	cr_assert_eq(disk.modules->last_bytes, 0, "the last image may change");
}

/* Whoever looks must not keep the coordinator from those who work. */
Test(disk, a_look_ends_and_what_it_has_not_come_to_counts_for_its_length_until_the_next)
{
	uint32_t length = DISK_DELTAS + 100;
	append(length);
	make(&fixture, image(0), 4096);
	/* Names of one file: quicker to make than files. */
	make(&fixture, "a-delta", 5000);
	for (uint32_t i = 1; i + 1 < length; i++)
		cr_assert_eq(linkat(fixture.fd, "a-delta", fixture.fd, delta(i), 0), 0);
	look();
	uint64_t one = blocks(&fixture, "a-delta");
	uint64_t seen = DISK_DELTAS - 1, guessed = length - 2 - seen;
	cr_assert_eq(disk.modules->deltas_bytes, seen * one + guessed * 8192);
	look();
	cr_assert_eq(disk.modules->deltas_bytes, (length - 2) * one);
}

/* A commit that is being published: its files come later, and are not to be forgotten then. */
Test(disk, a_file_that_is_not_there_yet_is_looked_at_when_it_is)
{
	append(3);
	look();
	cr_assert(disk.modules->base_bytes == 102400 && disk.modules->deltas_bytes == 8192, "%llu",
	    (unsigned long long)disk.modules->base_bytes);
	make(&fixture, image(0), 100000);
	make(&fixture, delta(1), 4096);
	look();
	cr_assert(disk.modules->base_bytes < 100000 && disk.modules->deltas_bytes == disk.modules->base_bytes);
}
