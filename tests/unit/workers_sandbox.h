/*
 * workers_sandbox.h - a store, what lies beside it, and a pool of one worker that tries things from inside a job. Where
 * the system lacks a part of the sandbox there is nothing to be seen, and the tests say so.
 */
#ifndef TESTS_WORKERS_SANDBOX_H
#define TESTS_WORKERS_SANDBOX_H

#include "workers_pool.h"

#include <stdio.h>

#include "names.h"

#include "reader_method.h"
#include "uring.h"

static char box[64]; /* holds the store, and what lies beside it */
static char outside[96];
static struct dir own; /* .varve/, the coordinator's */
static struct varve_id module;
static char backing[NAME_MAX_SIZE], image[NAME_MAX_SIZE];

static inline void fill(const char *dir, const char *name)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && write(fd, "secret", 6) == 6);
	close(fd);
}

static inline void set_up(void)
{
	prepare();
	dir_close(&base);
	dir_close(&priv);
	strcpy(box, "/tmp/varve-sandbox-XXXXXX");
	cr_assert_not_null(mkdtemp(box));
	char store[80];
	snprintf(store, sizeof(store), "%s/store", box);
	snprintf(outside, sizeof(outside), "%s/outside", box);
	cr_assert(mkdir(store, 0700) == 0 && mkdir(outside, 0700) == 0);
	fill(store, "file");
	fill(outside, "file");
	cr_assert_eq(dir_open(&base, -1, store, ""), 0);
	cr_assert_eq(dir_make(&own, base.fd, ".varve", ".varve/"), 0);
	cr_assert_eq(dir_make(&priv, own.fd, "modules", ".varve/modules/"), 0);
	setup.sandbox = SANDBOX_ON;
	setup.writes_backing = true;
	memset(&module, 0xAB, sizeof(module));
	cr_assert_eq(catalog_add(&catalog, &module), 0);
	name_backing(backing, &module);
	fill(store, backing);
	fill(store, "commits");
	name_image(image, &module, &module);
	fill(store, image);
	strcat(store, "/.varve");
	fill(store, "journal");
}

static inline void clean_up(void)
{
	char command[96];
	unsetenv("VARVE_SANDBOX_DENY");
	unsetenv("VARVE_LANDLOCK_ABI");
	dir_close(&own);
	close_all();
	snprintf(command, sizeof(command), "rm -rf '%s'", box);
	cr_assert_eq(system(command), 0);
}

/* open_confined() - a pool of one, whose worker has all of the sandbox; where there is not all of it, the test is left out. */
static inline void open_confined(void)
{
	open_pool(1);
	wait_until_serving(1);
	if (strcmp(pool_sandbox(pool), "on") != 0)
		cr_skip_test("the sandbox is %s here: %s", pool_sandbox(pool), pool_sandbox_reason(pool));
}

/* What a worker gets that tries @what. */
static inline int result_of(int (*what)(struct job_context *context))
{
	static uint32_t number;
	struct job job = {.kind = JOB_RESTORE, .module = ++number, .target = ATTEMPT};
	unsigned before = ended_count;
	pool->allowance = 4; /* it may die of it, and the next one, too */
	atomic_store(&stage->attempt, (uintptr_t)what);
	cr_assert_eq(pool_post(pool, &job, 0, (void *)(uintptr_t)number, -1), 0);
	wait_for_ends(before + 1);
	return results[number];
}

static inline int error_of(long result)
{
	return result < 0 ? -errno : 0;
}

static inline int make_socket(struct job_context *context)
{
	(void)context;
	return error_of(socket(AF_INET, SOCK_STREAM, 0));
}

static inline int open_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return error_of(fd);
}

static inline int read_outside(struct job_context *context)
{
	(void)context;
	char path[160];
	snprintf(path, sizeof(path), "%s/file", outside);
	return open_path(path, O_RDONLY);
}

static inline int open_path_at(const struct dir *dir, const char *name, int flags)
{
	int fd = openat(dir->fd, name, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return error_of(fd);
}

static inline int write_backing(struct job_context *context)
{
	int fd = file_open(context->base, backing, O_RDWR);
	if (fd < 0)
		return fd;
	int err = file_write_at(fd, "12345678", 8, 0, context->base, backing);
	if (!err)
		err = file_resize(fd, 5, context->base, backing);
	close(fd);
	return err;
}

static inline int work(struct job_context *context)
{
	struct stat st;
	int fd = file_create(context->priv, "new");
	if (fd < 0)
		return fd;
	int err = file_write_at(fd, "12345678", 8, 0, context->priv, "new");
	if (!err)
		err = file_resize(fd, 5, context->priv, "new");
	if (!err)
		err = file_sync(fd, context->priv, "new");
	void *map = err ? MAP_FAILED : mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (!err && map == MAP_FAILED)
		err = -EIO;
	if (map != MAP_FAILED)
		munmap(map, 5);
	if (!err)
		err = file_rename(context->priv, "new", context->priv, "again");
	if (!err)
		err = file_stat(context->priv, "again", &st);
	if (!err)
		err = file_unlink(context->priv, "again");
	if (!err)
		err = write_backing(context);
	if (!err)
		err = open_path_at(context->base, "commits", O_RDONLY);
	if (!err)
		err = dir_sync(context->base);
	if (!err && syncfs(context->base->fd) < 0)
		err = -errno;
	return err ? err : st.st_size == 5 ? 0 : -EIO;
}

#endif
