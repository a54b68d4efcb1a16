/*
 * tiers.c - where tiers are.
 */
#include "tiers.h"

#include "frames.h"
#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/** Bytes of tiers that are read ahead. */
#define TIERS_WANT (4u << 20)

void place_tiers(const struct job_context *context, uint32_t module, struct place *place)
{
	place->dir = context->priv;
	name_private(place->name, &catalog_module(context->catalog, module)->id, "tiers");
}

/* Half of the index is level 1's; each level has a quarter of the room of the one below, where an eighth would do. Of the
 * last quarter one half is the anchors', the other the keyframes'. */
static uint64_t slot_at(struct tier tier)
{
	uint64_t at = 0, room = TIER_INDEX / 2;
	for (unsigned l = 1; l < tier.level && tier.level < TIER_ANCHOR; l++) {
		at += room;
		room /= 4;
	}
	if (tier.level >= TIER_ANCHOR) {
		room = TIER_INDEX / 8;
		at = TIER_INDEX - (tier.level == TIER_ANCHOR ? 2 : 1) * room;
	}
	uint64_t offset = (uint64_t)tier.index * TIER_SLOT;
	return offset + TIER_SLOT <= room ? at + offset : UINT64_MAX;
}

static uint64_t slot_check(const struct job_context *context, uint32_t module, struct tier tier, const uint8_t slot[16])
{
	uint8_t all[48];
	memcpy(all, slot, 16);
	memcpy(all + 16, &chain_entry(context->catalog, module, tier_from(tier))->hash, 16);
	memcpy(all + 32, &chain_entry(context->catalog, module, tier_to(tier))->hash, 16);
	return hash64(all, sizeof(all));
}

bool tier_find(const struct job_context *context, uint32_t module, const struct map *file, struct tier tier,
    uint64_t *offset, uint64_t *size)
{
	uint64_t at = slot_at(tier);
	uint8_t slot[TIER_SLOT];
	if (at == UINT64_MAX)
		return false;
	memcpy(slot, file->data + at, sizeof(slot));
	*offset = get_le64(slot);
	*size = get_le64(slot + 8);
	/* Keyframes are whole images, and look at their sizes themselves. */
	uint64_t most = tier.level == TIER_FRAME
	                    ? file->size
	                    : delta_most(chain_entry(context->catalog, module, tier_to(tier))->size);
	return *size && *size <= most && *offset >= TIER_INDEX && *offset <= file->size &&
	       *size <= file->size - *offset && get_le64(slot + 16) == slot_check(context, module, tier, slot);
}

void tiers_want(const struct job_context *context, uint32_t module, const struct map *file)
{
	uint32_t length = catalog_module(context->catalog, module)->length;
	for (unsigned level = 1; level <= TIER_FRAME; level++) {
		struct tier first = {level, 0};
		uint32_t tiers = length / tier_to((struct tier) {level, 0});
		if (tiers)
			map_want(file, slot_at(first), (uint64_t)tiers * TIER_SLOT);
	}
	if (length <= FRAME_FIRST)
		map_want(file, TIER_INDEX, TIERS_WANT);
}

int tier_begin(const struct job_context *context, uint32_t module, struct tier_writer *writer)
{
	struct stat st;
	place_tiers(context, module, &writer->place);
	const struct place *place = &writer->place;
	writer->fd = file_open(place->dir, place->name, O_RDWR);
	if (writer->fd == -ENOENT)
		writer->fd = file_create(place->dir, place->name);
	if (writer->fd < 0)
		return writer->fd;
	if (fstat(writer->fd, &st) < 0) {
		close(writer->fd);
		return fail_sys(errno, "%s%s", place->dir->label, place->name);
	}
	writer->end = (uint64_t)st.st_size > TIER_INDEX ? (uint64_t)st.st_size : TIER_INDEX;
	return 0;
}

int tier_end(const struct job_context *context, uint32_t module, struct tier tier, struct tier_writer *writer,
    uint64_t offset, uint64_t size, int r)
{
	uint64_t at = slot_at(tier);
	uint8_t slot[TIER_SLOT];
	put_le64(slot, offset);
	put_le64(slot + 8, size);
	put_le64(slot + 16, slot_check(context, module, tier, slot));
	if (!r && at != UINT64_MAX)
		r = file_write_at(writer->fd, slot, sizeof(slot), at, writer->place.dir, writer->place.name);
	/* Half of it would take disk for nothing; if it stays all the same, nobody will ever read it. */
	if (r)
		(void)!ftruncate(writer->fd, (off_t)writer->end);
	close(writer->fd);
	return r;
}

int tier_append(struct job_context *context, uint32_t module, struct tier tier, const struct buf *delta)
{
	struct tier_writer w;
	if (slot_at(tier) == UINT64_MAX)
		return 0;
	int r = tier_begin(context, module, &w);
	if (r)
		return r;
	r = file_write_at(w.fd, delta->data, delta->size, w.end, w.place.dir, w.place.name);
	return tier_end(context, module, tier, &w, w.end, delta->size, r);
}

/* Whether all tiers of @level are whole. */
static bool are_whole(
    struct job_context *context, uint32_t module, const struct map *file, unsigned level, uint32_t last)
{
	struct tier tier = {level, 0};
	uint64_t offset, size;
	for (; tier_to(tier) <= last; tier.index++)
		if (tier_find(context, module, file, tier, &offset, &size) &&
		    delta_parse(&context->scratch->delta, file->data + offset, (size_t)size) == -EBADMSG)
			return false;
	return true;
}

bool tiers_mend(struct job_context *context, uint32_t module, uint32_t last)
{
	struct warm_module *kept = warm_module(context, module);
	const struct map *file = kept ? warm_tiers(context, kept, module) : NULL;
	bool whole = true;
	struct place place;
	for (unsigned level = 1; file && whole && level <= TIER_ANCHOR; level++)
		whole = are_whole(context, module, file, level, last);
	whole = whole && (!file || frames_whole(context, module, file));
	if (whole && !map_failed())
		return false;
	warm_drop(context, module);
	place_tiers(context, module, &place);
	return file_unlink(place.dir, place.name) == 0;
}

/* What the deltas take, up to that of entry @to. */
static uint64_t deltas_bytes(const struct job_context *context, uint32_t module, uint32_t to)
{
	uint64_t bytes = 0;
	for (uint32_t i = 1; i <= to; i++)
		bytes += chain_entry(context->catalog, module, i)->delta_bytes;
	return bytes;
}

static uint64_t left_of(uint64_t bytes, uint64_t percent, uint64_t used)
{
	uint64_t most = bytes / 100 * percent + bytes % 100 * percent / 100;
	return most > used ? most - used : 0;
}

uint64_t tiers_room(const struct job_context *context, uint32_t module, const struct map *file, uint32_t to, bool frame)
{
	uint64_t deltas = deltas_bytes(context, module, to), all = file ? file->size - TIER_INDEX : 0;
	struct frames_sum frames = file ? frames_sum(context, module, file) : (struct frames_sum) {0};
	uint64_t tiers = all > frames.bytes ? all - frames.bytes : 0;
	uint64_t room = left_of(deltas, context->tiers_percent, tiers + frames.stored);
	uint64_t for_tiers = left_of(deltas, TIER_PERCENT, tiers);
	return frame || room < for_tiers ? room : for_tiers;
}
