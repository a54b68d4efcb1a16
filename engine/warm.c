/*
 * warm.c - mapped files and page hashes that are kept from job to job.
 *
 * A module has one place, by its index; another that falls on it takes it over. Modules are told apart by id as well:
 * an index may be given again after a commit that failed.
 */
#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "plan.h"
#include "undo.h"

#define PLACES 256u

struct warm {
	struct warm_module *places[PLACES];
	unsigned hand; /* whose file of tiers goes next */
	struct warm_module *in_use; /* by the job at hand */
};

static void whole_close(struct whole *whole)
{
	map_close(&whole->map);
	free(whole->table);
	*whole = (struct whole) {0};
}

static void tiers_close(struct warm_module *kept)
{
	map_close(&kept->tiers);
	kept->tiers_seen = 0;
}

static void module_close(struct warm_module *kept)
{
	whole_close(&kept->base);
	whole_close(&kept->last);
	tiers_close(kept);
	map_close(&kept->undo);
	map_close(&kept->backing);
	if (kept->backing_fd)
		close(kept->backing_fd - 1);
	kept->backing_fd = 0;
}

static struct warm_module **place_of(struct warm *warm, uint32_t module)
{
	return &warm->places[module % PLACES];
}

struct warm_module *warm_module(struct job_context *context, uint32_t module)
{
	struct job_scratch *s = context->scratch;
	const struct varve_id *id = &catalog_module(context->catalog, module)->id;
	if (!s->warm)
		s->warm = calloc(1, sizeof(*s->warm));
	struct warm_module **place = s->warm ? place_of(s->warm, module) : NULL;
	if (place && !*place)
		*place = calloc(1, sizeof(**place));
	if (!place || !*place) {
		fail_sys(ENOMEM, "memory for what is kept of a module");
		return NULL;
	}
	if (!id_equal(&(*place)->id, id)) {
		module_close(*place);
		(*place)->id = *id;
	}
	return s->warm->in_use = *place;
}

/* ---- whole images ----------------------------------------------------------------------------------------------- */

static int open_whole(struct whole *whole, const struct place *place, const struct chain_entry *entry)
{
	if (whole->size == entry->size && hash_equal(&whole->hash, &entry->hash) && (whole->map.data || !whole->size))
		return 0;
	whole_close(whole);
	int fd = file_open(place->dir, place->name, O_RDONLY);
	if (fd < 0)
		return fd;
	int r = map_open(&whole->map, fd, (size_t)entry->size, true);
	close(fd);
	if (r) {
		err_prefix("%s%s: ", place->dir->label, place->name);
		return r;
	}
	whole->hash = entry->hash;
	whole->size = entry->size;
	return 0;
}

int warm_base(struct job_context *context, struct warm_module *kept, uint32_t module)
{
	struct place place;
	place_base(context, module, &place);
	return open_whole(&kept->base, &place, chain_entry(context->catalog, module, 0));
}

int warm_last(struct job_context *context, struct warm_module *kept, uint32_t module)
{
	uint32_t last = catalog_module(context->catalog, module)->length - 1;
	struct place place;
	place_last(context, module, last, &place);
	return open_whole(&kept->last, &place, chain_entry(context->catalog, module, last));
}

int warm_source(struct job_context *context, struct warm_module *kept, uint32_t module, const struct steps *steps,
    struct source *source)
{
	const struct start *start = &steps->start;
	if (start->frame) {
		uint64_t size = chain_entry(context->catalog, module, start->entry)->size;
		*source = (struct source) {.data = steps->tiers->data + start->frame,
		    .size = size,
		    .table = frame_table(steps->tiers, start->frame, size)};
		return 0;
	}
	struct whole *whole = start->entry ? &kept->last : &kept->base;
	int r = start->entry ? warm_last(context, kept, module) : warm_base(context, kept, module);
	*source = (struct source) {.data = whole->map.data, .size = whole->size, .whole = whole};
	return r;
}

const uint64_t *warm_table(struct source *source)
{
	struct whole *whole = source->whole;
	if (source->table)
		return source->table;
	if (!whole->table) {
		whole->table = malloc((size_t)(pages_of(whole->size) + 1) * sizeof(*whole->table));
		if (whole->table)
			hash_pages(whole->map.data, whole->size, whole->table);
		else
			fail_sys(ENOMEM, "memory for page hashes");
	}
	return source->table = whole->table;
}

/* ---- the others ------------------------------------------------------------------------------------------------- */

static bool is_file(const struct map *map, const struct stat *st)
{
	return map->data && map->inode == st->st_ino && map->device == st->st_dev;
}

/* The file as it is now in @map, mapped anew if it has changed since; false: it is not there, or nothing is in it. */
static bool map_again(struct map *map, const struct place *place, uint64_t least, bool *anew)
{
	struct stat st;
	*anew = false;
	if (file_stat(place->dir, place->name, &st) || (uint64_t)st.st_size <= least) {
		map_close(map);
		return false;
	}
	if (is_file(map, &st) && map->size == (uint64_t)st.st_size)
		return true;
	map_close(map);
	int fd = file_open(place->dir, place->name, O_RDONLY);
	if (fd < 0)
		return false;
	int r = map_open(map, fd, (size_t)st.st_size, false);
	close(fd);
	*anew = !r;
	return !r;
}

const struct map *warm_tiers(struct job_context *context, struct warm_module *kept, uint32_t module)
{
	struct place place;
	bool anew;
	if (context->priv->fd < 0)
		return NULL;
	place_tiers(context, module, &place);
	bool there = map_again(&kept->tiers, &place, TIER_INDEX, &anew);
	if (!there || anew)
		kept->tiers_seen = 0;
	if (!there)
		return NULL;
	if (anew)
		tiers_want(context, module, &kept->tiers);
	return &kept->tiers;
}

const struct map *warm_undo(struct job_context *context, struct warm_module *kept, uint32_t module)
{
	struct place place;
	bool anew;
	if (context->priv->fd < 0)
		return NULL;
	place_undo(context, module, &place);
	if (!map_again(&kept->undo, &place, UNDO_INDEX, &anew))
		return NULL;
	if (anew)
		map_want(&kept->undo, 0, UNDO_WANT);
	return &kept->undo;
}

int warm_backing(struct warm_module *kept, int fd, uint64_t size)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return fail_sys(errno, "a backing file");
	if (is_file(&kept->backing, &st) && kept->backing.size >= size)
		return 0;
	return map_window(&kept->backing, fd, 0, (size_t)size, (size_t)(size + size / 4), true);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static size_t tiers_bytes(const struct warm_module *kept)
{
	return kept->tiers_seen < kept->tiers.size ? (size_t)kept->tiers_seen : kept->tiers.size;
}

static size_t bytes_of(const struct warm_module *kept)
{
	return kept->base.map.size + kept->last.map.size + kept->backing.size + kept->undo.size + tiers_bytes(kept);
}

/* Mapped anew, a file of tiers costs less than a whole image whose pages have to be hashed again: those go first. */
static size_t let_go(struct warm *warm, size_t total)
{
	for (unsigned i = 0; i < PLACES && total > WARM_BYTES; i++) {
		struct warm_module *other = warm->places[warm->hand++ % PLACES];
		if (!other)
			continue;
		total -= tiers_bytes(other);
		tiers_close(other);
	}
	return total;
}

void warm_end(struct job_context *context)
{
	struct warm *warm = context->scratch->warm;
	struct warm_module *kept = warm ? warm->in_use : NULL;
	size_t total = 0;
	if (!kept)
		return;
	warm->in_use = NULL;
	if (kept->base.map.size > WARM_FILE)
		whole_close(&kept->base);
	if (kept->last.map.size > WARM_FILE)
		whole_close(&kept->last);
	if (kept->backing.size > WARM_FILE)
		map_close(&kept->backing);
	if (kept->undo.size > WARM_FILE)
		map_close(&kept->undo);
	for (unsigned i = 0; i < PLACES; i++)
		total += warm->places[i] ? bytes_of(warm->places[i]) : 0;
	total = let_go(warm, total);
	for (unsigned i = 0; i < PLACES && total > WARM_BYTES; i++) {
		if (!warm->places[i] || warm->places[i] == kept)
			continue;
		total -= bytes_of(warm->places[i]);
		module_close(warm->places[i]);
	}
}

void warm_drop(struct job_context *context, uint32_t module)
{
	struct warm *warm = context->scratch->warm;
	if (warm && *place_of(warm, module))
		module_close(*place_of(warm, module));
	delta_cache_drop(context->scratch->deltas, module);
}

void warm_free(struct warm *warm)
{
	if (!warm)
		return;
	for (unsigned i = 0; i < PLACES; i++)
		if (warm->places[i]) {
			module_close(warm->places[i]);
			free(warm->places[i]);
		}
	free(warm);
}
