/*
 * store.c - open a base directory, mend what a crash left in it, close it.
 *
 * .varve/clean is there only while no coordinator runs and the last one ended as it should. Where it is missing (a
 * crash, or .varve/ was removed) every module's newest files are looked at, and mended where publishing them was cut
 * off (job_publish.c); backing files are brought to the current commit before anyone uses them.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "names.h"
#include "outage.h"

#define PRIVATE ".varve"
#define MODULES "modules"
#define CLEAN "clean"

static void notice(struct store *store, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void notice(struct store *store, const char *format, ...)
{
	char line[ERR_TEXT + 64];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	buf_put(&store->notices, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	buf_u8(&store->notices, '\n');
}

static int open_base(struct store *store, bool create)
{
	int r = dir_open(&store->base, -1, store->path, "");
	if (r == -ENOENT && create) {
		if (mkdir(store->path, 0700) < 0 && errno != EEXIST)
			return fail_sys(errno, "%s: making the directory", store->path);
		r = dir_open(&store->base, -1, store->path, "");
	}
	if (r)
		return r == -ENOENT ? fail(ENOENT, "%s: there is no such directory", store->path) : r;
	struct stat st;
	if (fstat(store->base.fd, &st) < 0)
		return fail_sys(errno, "%s", store->path);
	if (st.st_uid != geteuid())
		return fail(EPERM, "%s belongs to user %u; open it as that user, or give it to user %u with chown -R",
		    store->path, (unsigned)st.st_uid, (unsigned)geteuid());
	return 0;
}

static bool holds_a_store(const struct store *store)
{
	struct stat st;
	return fstatat(store->base.fd, "commits", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	       fstatat(store->base.fd, PRIVATE, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int take_lock(struct store *store)
{
	if (store->lock >= 0)
		return 0;
	store->lock = openat(store->own.fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock < 0)
		return fail_sys(errno, PRIVATE "/lock");
	if (flock(store->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return fail_sys(errno, PRIVATE "/lock");
	return fail(EWOULDBLOCK,
	    "%s: another coordinator (varve serve, perhaps) has the store already; use it, or end it first",
	    store->path);
}

void store_unlock(struct store *store)
{
	dir_close(&store->priv);
	dir_close(&store->own);
	dir_close(&store->base);
	if (store->lock >= 0)
		close(store->lock);
	store->lock = -1;
}

int store_lock(struct store *store, const char *path, bool create, int lock)
{
	*store = (struct store) {.path = path,
	    .base.fd = -1,
	    .own = {-1, PRIVATE "/"},
	    .priv = {-1, PRIVATE "/" MODULES "/"},
	    .lock = lock,
	    .session.lock = -1};
	int r = open_base(store, create);
	if (r)
		return r;
	if (!create && !holds_a_store(store))
		return fail(ENOENT, "%s holds no store", path);
	r = faccessat(store->base.fd, ".", W_OK, AT_EACCESS) < 0 ? -errno : 0;
	if (!r)
		r = dir_make(&store->own, store->base.fd, PRIVATE, PRIVATE "/");
	else
		fail_sys(-r, "the directory %s can not be written", path);
	if (!r)
		r = take_lock(store);
	if (!r)
		r = dir_make(&store->priv, store->own.fd, MODULES, PRIVATE "/" MODULES "/");
	if (r != -EROFS && r != -EACCES)
		return r;
	/* What is there can still be read. */
	store->read_only = true;
	if (!holds_a_store(store))
		return r;
	if (store->own.fd < 0)
		dir_open(&store->own, store->base.fd, PRIVATE, PRIVATE "/");
	if (store->own.fd >= 0 && store->priv.fd < 0)
		dir_open(&store->priv, store->own.fd, MODULES, PRIVATE "/" MODULES "/");
	return 0;
}

/* ---- mending ---------------------------------------------------------------------------------------------------- */

/* One directory that is swept. */
struct sweep {
	struct store *store;
	const struct dir *dir;
};

/* Files in .varve/ that no commit refers to: half written ones, and those of modules that were never committed. */
static int sweep_one(void *arg, const char *name)
{
	const struct sweep *sweep = arg;
	struct store *store = sweep->store;
	struct varve_id id;
	char text[VARVE_ID_TEXT + 1];
	const char *dot = strchr(name, '.'), *end = strrchr(name, '.');
	if (end && strcmp(end, FILE_TEMPORARY) == 0)
		file_unlink(sweep->dir, name);
	if (!dot || dot - name != VARVE_ID_TEXT)
		return 0;
	memcpy(text, name, VARVE_ID_TEXT);
	text[VARVE_ID_TEXT] = 0;
	if (name_parse(text, &id, NULL, NULL) != NAME_BACKING)
		return 0;
	uint32_t m = history_module(&store->history, &id);
	bool known = m != MODULE_NONE && catalog_module(&store->catalog, m)->length > 0;
	bool deployed = strcmp(dot, ".new") == 0;
	if (deployed && !known)
		file_unlink(&store->base, text);
	if (deployed || !known || strcmp(dot, ".repair") == 0 || strcmp(dot, ".table") == 0 ||
	    strcmp(dot, ".written") == 0)
		file_unlink(sweep->dir, name);
	return 0;
}

/* An earlier version had all files in .varve/ itself. */
static int adopt_one(void *arg, const char *name)
{
	struct store *store = arg;
	const char *dot = strchr(name, '.');
	if (!dot || dot - name != VARVE_ID_TEXT || strspn(name, "0123456789ABCDEF") != VARVE_ID_TEXT ||
	    strcmp(dot, ".new") == 0)
		return 0;
	return file_rename(&store->own, name, &store->priv, name);
}

static void mend(struct store *store, struct job_context *own)
{
	dir_each(&store->own, sweep_one, &(struct sweep) {store, &store->own});
	dir_each(&store->priv, sweep_one, &(struct sweep) {store, &store->priv});
	for (uint32_t m = 0; m < catalog_count(&store->catalog); m++) {
		if (!store_wants_repair(store, m))
			continue;
		struct job job = {.kind = JOB_REPAIR,
		    .module = m,
		    .target = catalog_module(&store->catalog, m)->length - 1,
		    .basis = CHAIN_NONE};
		job_run(own, &job);
		if (!job.result)
			continue;
		store->unmended = true;
		notice(store, "%s", job.text);
	}
}

/* Files of commits that `commits` has were synced before it was written. */
static int know_synced(struct store *store)
{
	uint32_t count = catalog_count(&store->catalog);
	store->synced = calloc(count + 1, sizeof(*store->synced));
	if (!store->synced)
		return fail_sys(ENOMEM, "memory for the store");
	store->synced_count = count;
	for (uint32_t m = 0; m < count; m++) {
		uint32_t length = catalog_module(&store->catalog, m)->length;
		while (length && chain_entry(&store->catalog, m, length - 1)->commit >= store->journal.persisted)
			length--;
		store->synced[m] = length;
	}
	return 0;
}

static int open_history(struct store *store)
{
	int r = catalog_create(&store->catalog);
	if (!r)
		r = history_open(&store->history, &store->catalog);
	if (!r)
		r = journal_open(
		    &store->journal, &store->base, &store->own, &store->history, store->read_only, &store->notices);
	return r ? r : know_synced(store);
}

/* After the machine was off: commits that were not persisted, and have lost files, are none. */
static int take_back_lost(struct store *store, struct job_context *own)
{
	uint32_t lost = outage_first_lost(store, own), count = store->history.count;
	if (lost == COMMIT_NONE)
		return 0;
	notice(store,
	    "%u commits that were not persisted are not there: the machine was switched off before all of their files "
	    "had reached the disk (%s)",
	    count - lost, err_text());
	int r = journal_cut(&store->journal, lost);
	if (r)
		return r;
	history_close(&store->history);
	catalog_close(&store->catalog);
	free(store->synced);
	store->synced = NULL;
	return open_history(store);
}

int store_open(struct store *store, struct job_context *own, enum varve_sync sync)
{
	store->sync = sync;
	int r = open_history(store);
	if (r)
		return r;
	if (store->read_only) {
		store->stamps.fd = -1;
		return 0;
	}
	r = stamps_open(&store->stamps, &store->own, store->history.store);
	if (!r)
		r = dir_each(&store->own, adopt_one, store);
	if (!r && store->stamps.other_boot && journal_unpersisted(&store->journal))
		r = take_back_lost(store, own);
	if (r)
		return r;
	/* An orderly end says nothing of what had reached the disk when the machine was switched off. */
	bool clean = file_exists(&store->own, CLEAN) && !store->stamps.other_boot;
	if (file_exists(&store->own, CLEAN))
		r = file_unlink(&store->own, CLEAN);
	if (r || clean)
		return r;
	/* What files would be mended to is not what they were: that is left until it is clear what there is. */
	if (store->journal.missing[0])
		store->unmended = true;
	else
		mend(store, own);
	store->unsettled = store->history.current != COMMIT_NONE;
	return 0;
}

void store_close(struct store *store, bool clean)
{
	bool all_well = !store->unsettled && !store->unpublished && !store->unmended;
	if (clean && !store->read_only && all_well && store->own.fd >= 0) {
		int fd = file_create(&store->own, CLEAN);
		if (fd >= 0)
			close(fd);
	}
	stamps_close(&store->stamps);
	history_close(&store->history);
	catalog_close(&store->catalog);
	store_unlock(store);
	free(store->session.modules);
	free(store->synced);
	free(store->work);
	buf_free(&store->notices);
}

/* ---- small things ----------------------------------------------------------------------------------------------- */

struct stamp store_stamp(const struct store *store, uint32_t module)
{
	struct stamp stamp = stamps_get(&store->stamps, module);
	if (stamp.entry != CHAIN_NONE && stamp.entry >= catalog_module(&store->catalog, module)->length)
		stamp.entry = CHAIN_NONE;
	return stamp;
}

uint32_t store_standing(const struct store *store, uint32_t module)
{
	uint32_t current = store->history.current;
	return current == COMMIT_NONE ? CHAIN_NONE : history_standing(&store->history, current, module);
}

struct module_work store_work(const struct store *store, uint32_t module)
{
	return module < store->work_count ? store->work[module] : (struct module_work) {0};
}

int store_set_work(struct store *store, uint32_t module, struct module_work work)
{
	if (module >= store->work_count) {
		uint32_t count = module + 64 + module / 2;
		struct module_work *list = realloc(store->work, count * sizeof(*list));
		if (!list)
			return fail_sys(ENOMEM, "memory for the store");
		memset(list + store->work_count, 0, (count - store->work_count) * sizeof(*list));
		store->work = list;
		store->work_count = count;
	}
	store->work[module] = work;
	return 0;
}

void store_tiers_gone(struct store *store, uint32_t module)
{
	struct module_work work = store_work(store, module);
	work.tiers_to = 0;
	store_set_work(store, module, work);
}

int store_set_current(struct store *store, uint32_t commit)
{
	uint32_t before = store->history.current;
	if (commit == before)
		return 0;
	uint64_t sequence = store->history.sequence;
	struct buf records = {0};
	history_set_current(&store->history, commit, &records);
	int r = journal_append(&store->journal, &records, true, store->sync == VARVE_SYNC_COMMIT);
	if (r) {
		store->history.current = before;
		store->history.sequence = sequence;
	}
	buf_free(&records);
	return r;
}
