/*
 * session.c - the one session of a store, as the coordinator has it.
 *
 * A module that is deployed does not exist for the history until its first commit: until then it is a backing file and
 * a mark, .varve/<ModId>.new, by which the next coordinator would know that nobody wants the file any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "names.h"
#include "store.h"

int session_busy(const struct store *store)
{
	if (store->session.owner)
		return fail(
		    EBUSY, "process %d has the session of this store; wait for its end", (int)store->session.pid);
	return fail(EBUSY,
	    "a process still maps memories of a session whose coordinator died; end that process, or its session");
}

int session_lock(struct store *store)
{
	if (store->session.lock >= 0)
		return 0;
	if (store->read_only)
		return fail(
		    EROFS, "the store can only be read: its file system is read-only, or its directory not writable");
	int fd = openat(store->own.fd, "session", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_sys(errno, ".varve/session");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int err = errno;
		close(fd);
		if (err != EWOULDBLOCK)
			return fail_sys(err, ".varve/session");
		return session_busy(store);
	}
	store->session.lock = fd;
	return 0;
}

void session_unlock(struct store *store)
{
	if (store->session.lock < 0 || store->session.owner)
		return;
	/* A VM that has a copy of the descriptor has unmapped its memories, or is about to. */
	flock(store->session.lock, LOCK_UN);
	close(store->session.lock);
	store->session.lock = -1;
}

int session_begin(struct store *store, const void *owner, pid_t pid)
{
	if (store->session.owner)
		return session_busy(store);
	int r = session_lock(store);
	if (r)
		return r;
	store->session.owner = owner;
	store->session.pid = pid;
	store->session.count = 0;
	return 0;
}

void session_end(struct store *store)
{
	store->session.owner = NULL;
	store->session.pid = 0;
	store->session.count = 0;
	session_unlock(store);
}

struct session_module *session_find(struct store *store, const struct varve_id *id)
{
	for (uint32_t i = 0; i < store->session.count; i++)
		if (id_equal(&store->session.modules[i].id, id))
			return &store->session.modules[i];
	return NULL;
}

static int session_add(struct store *store, const struct session_module *module)
{
	struct session *s = &store->session;
	if (s->count == s->capacity) {
		uint32_t capacity = s->capacity ? s->capacity * 2 : 16;
		struct session_module *list = realloc(s->modules, capacity * sizeof(*list));
		if (!list)
			return fail_sys(ENOMEM, "memory for a session");
		s->modules = list;
		s->capacity = capacity;
	}
	s->modules[s->count++] = *module;
	return 0;
}

/* ---- deploy ----------------------------------------------------------------------------------------------------- */

static int make_mark(struct store *store, const struct varve_id *id, bool make)
{
	char name[NAME_MAX_SIZE];
	name_private(name, id, "new");
	if (!make)
		return file_unlink(&store->own, name);
	int fd = file_create(&store->own, name);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* A backing file that is new to the store. */
static int deploy_new(struct store *store, const struct varve_id *id, const char *name, uint64_t size)
{
	struct stat st;
	if (fstatat(store->base.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return fail(EEXIST,
		    "%s: there is a file of this name that belongs to no module of the store; move it away", name);
	int r = make_mark(store, id, true);
	if (r)
		return r;
	int fd = file_create(&store->base, name);
	if (fd >= 0) {
		r = file_resize(fd, size, &store->base, name);
		if (!r)
			return fd;
		close(fd);
		file_unlink(&store->base, name);
	}
	make_mark(store, id, false);
	return fd < 0 ? fd : r;
}

/* A module of another line of history, deployed once more: its backing file is there. */
static int deploy_again(struct store *store, const char *name, uint64_t size, struct session_module *module)
{
	struct stamp stamp = store_stamp(store, module->module);
	int fd = file_open(&store->base, name, O_RDWR);
	if (fd == -ENOENT)
		fd = file_create(&store->base, name);
	if (fd < 0)
		return fd;
	module->before =
	    stamp_holds(&stamp, fd) ? stamp.entry : catalog_module(&store->catalog, module->module)->length - 1;
	int r = stamps_clear(&store->stamps, module->module);
	if (!r)
		r = file_resize(fd, 0, &store->base, name);
	if (!r)
		r = file_resize(fd, size, &store->base, name);
	if (!r)
		return fd;
	close(fd);
	return r;
}

int session_deploy(struct store *store, const struct varve_id *id, uint64_t size)
{
	char name[NAME_MAX_SIZE];
	name_backing(name, id);
	struct session_module module = {.id = *id, .basis = CHAIN_NONE, .before = CHAIN_NONE};
	module.module = history_module(&store->history, id);
	bool current = module.module != MODULE_NONE && store->history.current != COMMIT_NONE &&
	               history_standing(&store->history, store->history.current, module.module) != CHAIN_NONE;
	if (current || session_find(store, id))
		return fail(EEXIST, "%s: there is such a module already; instantiate it", name);
	int fd = module.module == MODULE_NONE || !catalog_module(&store->catalog, module.module)->length
	             ? deploy_new(store, id, name, size)
	             : deploy_again(store, name, size, &module);
	if (fd < 0)
		return fd;
	int r = session_add(store, &module);
	if (!r)
		return fd;
	close(fd);
	return r;
}

void session_undeploy(struct store *store)
{
	struct session *s = &store->session;
	for (uint32_t i = 0; i < s->count; i++) {
		char name[NAME_MAX_SIZE];
		if (s->modules[i].basis != CHAIN_NONE || s->modules[i].before != CHAIN_NONE)
			continue;
		name_backing(name, &s->modules[i].id);
		if (file_unlink(&store->base, name) || make_mark(store, &s->modules[i].id, false))
			store->unmended = true;
	}
}

void session_deployed(struct store *store)
{
	struct session *s = &store->session;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->modules[i].basis == CHAIN_NONE && s->modules[i].before == CHAIN_NONE &&
		    make_mark(store, &s->modules[i].id, false))
			store->unmended = true;
}

/* ---- instantiate ------------------------------------------------------------------------------------------------ */

static int open_backing(struct store *store, const struct varve_id *id)
{
	char name[NAME_MAX_SIZE];
	name_backing(name, id);
	return file_open(&store->base, name, O_RDWR);
}

int session_ready(struct store *store, const struct varve_id *id, uint32_t *module)
{
	if (session_find(store, id))
		return 1;
	uint32_t m = history_module(&store->history, id);
	uint32_t entry = CHAIN_NONE;
	if (m != MODULE_NONE)
		entry = store_standing(store, m);
	if (entry == CHAIN_NONE) {
		char text[NAME_MAX_SIZE];
		name_backing(text, id);
		return fail(ENOENT, "%s: the current commit has no such module", text);
	}
	*module = m;
	struct stamp stamp = store_stamp(store, m);
	if (stamp.entry != entry)
		return 0;
	int fd = open_backing(store, id);
	if (fd < 0)
		return 0; /* bringing it there makes it again, or says what is wrong */
	bool holds = stamp_holds(&stamp, fd);
	close(fd);
	return holds;
}

int session_map(struct store *store, const struct varve_id *id, uint64_t *size)
{
	int fd = open_backing(store, id);
	struct stat st;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return fail_sys(errno, "a backing file");
	}
	*size = (uint64_t)st.st_size;
	if (session_find(store, id))
		return fd;
	struct session_module module = {.id = *id, .before = CHAIN_NONE};
	module.module = history_module(&store->history, id);
	module.basis = history_standing(&store->history, store->history.current, module.module);
	int r = stamps_clear(&store->stamps, module.module);
	if (!r)
		r = session_add(store, &module);
	if (!r)
		return fd;
	close(fd);
	return r;
}
