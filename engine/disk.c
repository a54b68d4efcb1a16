/*
 * disk.c - taking stock of a store's files.
 *
 * A long history has many files, and whoever looks at them is the coordinator, for whom others wait: so base and deltas,
 * which never change once they are in sight, are looked at once, and never too many of them in one go.
 */
#include "disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

#define BLOCK 4096u

struct disk_seen {
	uint32_t upto; /**< entries that were looked at: the base, then deltas; the last is never among them */
	uint64_t base_bytes;
	uint64_t deltas_bytes;
};

/** One look. */
struct look {
	const struct store *store;
	struct disk disk; /**< being made */
	uint32_t *places; /**< by module: where it is in the list */
	uint32_t left; /**< deltas that may still be looked at */
};

static uint64_t blocks(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

/* What a file of that length takes, as far as is known without looking. */
static uint64_t blocks_for(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* 0 where there is no such file. */
static uint64_t file_blocks(const struct dir *dir, const char *name)
{
	struct stat st;
	return file_stat(dir, name, &st) ? 0 : blocks(&st);
}

/* ---- modules ---------------------------------------------------------------------------------------------------- */

/* Goes on where the last look has ended, as far as files are in sight. */
static void see_chain(struct look *look, const struct catalog_module *m, uint32_t module, struct disk_seen *seen)
{
	const struct store *store = look->store;
	char name[NAME_MAX_SIZE];
	struct stat st;
	while (look->left && (seen->upto == 0 || seen->upto + 1 < m->length)) {
		const struct chain_entry *entry = chain_entry(&store->catalog, module, seen->upto);
		if (seen->upto == 0)
			name_image(name, &m->id, &entry->id);
		else
			name_delta(name, &m->id, &entry->id, entry->ordinal);
		look->left--;
		if (file_stat(&store->base, name, &st))
			break;
		*(seen->upto == 0 ? &seen->base_bytes : &seen->deltas_bytes) += blocks(&st);
		seen->upto++;
	}
}

static void look_at_module(struct look *look, uint32_t module)
{
	const struct store *store = look->store;
	const struct catalog_module *m = catalog_module(&store->catalog, module);
	struct disk_seen *seen = &look->disk.seen[module];
	struct varve_module_stat *stat = &look->disk.modules[look->disk.modules_count];
	const struct chain_entry *first, *last;
	char name[NAME_MAX_SIZE];
	if (!m->length)
		return;
	see_chain(look, m, module, seen);
	first = chain_entry(&store->catalog, module, 0);
	last = chain_entry(&store->catalog, module, m->length - 1);
	*stat = (struct varve_module_stat) {
	    .module = m->id,
	    .commits = m->length,
	    .size = last->size,
	    .base_bytes = seen->upto ? seen->base_bytes : blocks_for(first->size),
	    .deltas_bytes = seen->deltas_bytes,
	};
	for (uint32_t i = seen->upto ? seen->upto : 1; i + 1 < m->length; i++)
		stat->deltas_bytes += blocks_for(chain_entry(&store->catalog, module, i)->delta_bytes);
	/* One with the base's id has no name of its own, but its delta may be in sight already. */
	name_image(name, &m->id, &last->id);
	if (m->length > 1 && !id_equal(&last->id, &first->id)) {
		stat->last_bytes = file_blocks(&store->base, name);
	} else if (m->length > 1) {
		name_delta(name, &m->id, &last->id, last->ordinal);
		stat->deltas_bytes += file_blocks(&store->base, name);
	}
	name_backing(name, &m->id);
	look->disk.backing_bytes += file_blocks(&store->base, name);
	look->disk.total_bytes += stat->base_bytes + stat->deltas_bytes + stat->last_bytes;
	look->places[module] = (uint32_t)look->disk.modules_count++;
}

/* Those that are deployed, and not committed yet. */
static void look_at_session(struct look *look)
{
	const struct session *session = &look->store->session;
	char name[NAME_MAX_SIZE];
	for (uint32_t i = 0; i < session->count; i++) {
		if (session->modules[i].module != MODULE_NONE)
			continue;
		name_backing(name, &session->modules[i].id);
		look->disk.backing_bytes += file_blocks(&look->store->base, name);
	}
}

/* ---- .varve/ ---------------------------------------------------------------------------------------------------- */

/* A file in .varve/modules/ is its module's, which its name begins with. */
static int add_private(void *arg, const char *name)
{
	struct look *look = arg;
	char text[VARVE_ID_TEXT + 1];
	struct varve_id id;
	uint64_t bytes = file_blocks(&look->store->priv, name);
	look->disk.total_bytes += bytes;
	if (strlen(name) <= VARVE_ID_TEXT || name[VARVE_ID_TEXT] != '.')
		return 0;
	memcpy(text, name, VARVE_ID_TEXT);
	text[VARVE_ID_TEXT] = 0;
	uint32_t module = id_from_text(text, &id) ? history_module(&look->store->history, &id) : MODULE_NONE;
	if (module == MODULE_NONE || look->places[module] == UINT32_MAX)
		return 0;
	struct varve_module_stat *stat = &look->disk.modules[look->places[module]];
	const char *suffix = name + VARVE_ID_TEXT + 1;
	stat->private_bytes += bytes;
	if (strcmp(suffix, "tiers") == 0)
		stat->tiers_bytes += bytes;
	else if (strncmp(suffix, "undo", 4) == 0)
		stat->undo_bytes += bytes;
	return 0;
}

/* The journal, and what else the coordinator keeps; the directory of modules' files by itself. */
static int add_own(void *arg, const char *name)
{
	struct look *look = arg;
	uint64_t bytes = file_blocks(&look->store->own, name);
	look->disk.total_bytes += bytes;
	if (strcmp(name, "journal") == 0)
		look->disk.history_bytes += bytes;
	return 0;
}

static void look_at_directories(struct look *look)
{
	const struct store *store = look->store;
	const struct dir *dirs[] = {&store->base, &store->own};
	struct stat st;
	for (unsigned i = 0; i < 2; i++)
		if (dirs[i]->fd >= 0 && !fstat(dirs[i]->fd, &st))
			look->disk.total_bytes += blocks(&st);
	if (store->own.fd >= 0)
		dir_each(&store->own, add_own, look);
	if (store->priv.fd >= 0)
		dir_each(&store->priv, add_private, look);
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static int seen_grow(struct disk *disk, uint32_t modules)
{
	if (modules <= disk->seen_count)
		return 0;
	uint32_t room = modules + modules / 4;
	struct disk_seen *seen = realloc(disk->seen, room * sizeof(*seen));
	if (!seen)
		return fail_sys(ENOMEM, "memory for the status");
	memset(seen + disk->seen_count, 0, (room - disk->seen_count) * sizeof(*seen));
	disk->seen = seen;
	disk->seen_count = room;
	return 0;
}

int disk_look(struct disk *disk, const struct store *store)
{
	uint32_t modules = catalog_count(&store->catalog);
	struct look look = {.store = store, .left = DISK_DELTAS};
	int r = seen_grow(disk, modules);
	if (r)
		return r;
	look.disk.seen = disk->seen;
	look.disk.seen_count = disk->seen_count;
	look.disk.modules = calloc(modules + 1, sizeof(*look.disk.modules));
	look.places = malloc((modules + 1) * sizeof(*look.places));
	if (!look.disk.modules || !look.places) {
		free(look.disk.modules);
		free(look.places);
		return fail_sys(ENOMEM, "memory for the status");
	}
	memset(look.places, 0xff, (modules + 1) * sizeof(*look.places));
	for (uint32_t m = 0; m < modules; m++)
		look_at_module(&look, m);
	look_at_session(&look);
	look.disk.history_bytes = file_blocks(&store->base, "commits");
	look.disk.total_bytes += look.disk.history_bytes + look.disk.backing_bytes;
	look_at_directories(&look);
	free(look.places);
	free(disk->modules);
	*disk = look.disk;
	return 0;
}

void disk_free(struct disk *disk)
{
	free(disk->modules);
	free(disk->seen);
	*disk = (struct disk) {0};
}
