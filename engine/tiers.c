/*
 * tiers.c - where tiers are, and the plan of a walk along them.
 */
#include "tiers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void place_tiers(const struct job_context *context, uint32_t module, struct place *place)
{
	place->dir = context->priv;
	name_private(place->name, &catalog_module(context->catalog, module)->id, "tiers");
}

/* Half of the index is level 1's; each level has a quarter of the room of the one below, where an eighth would do. */
static uint64_t slot_at(unsigned level, uint32_t index)
{
	uint64_t at = 0, room = TIER_INDEX / 2;
	for (unsigned l = 1; l < level; l++) {
		at += room;
		room /= 4;
	}
	uint64_t offset = (uint64_t)index * TIER_SLOT;
	return offset + TIER_SLOT <= room ? at + offset : UINT64_MAX;
}

static uint64_t slot_check(
    const struct job_context *context, uint32_t module, unsigned level, uint32_t index, const uint8_t slot[16])
{
	uint8_t all[48];
	uint32_t span = tier_span(level);
	memcpy(all, slot, 16);
	memcpy(all + 16, &chain_entry(context->catalog, module, index * span)->hash, 16);
	memcpy(all + 32, &chain_entry(context->catalog, module, (index + 1) * span)->hash, 16);
	return hash64(all, sizeof(all));
}

bool tier_find(const struct job_context *context, uint32_t module, int fd, unsigned level, uint32_t index,
    uint64_t *offset, uint64_t *size)
{
	uint8_t slot[TIER_SLOT];
	uint64_t at = slot_at(level, index);
	if (at == UINT64_MAX || pread(fd, slot, sizeof(slot), (off_t)at) != sizeof(slot))
		return false;
	*offset = get_le64(slot);
	*size = get_le64(slot + 8);
	return *size && *size < (uint64_t)1 << 40 &&
	       get_le64(slot + 16) == slot_check(context, module, level, index, slot);
}

int tier_append(struct job_context *context, uint32_t module, unsigned level, uint32_t index, const struct buf *delta)
{
	uint64_t at = slot_at(level, index);
	struct place place;
	struct stat st;
	if (at == UINT64_MAX)
		return 0;
	place_tiers(context, module, &place);
	int fd = file_open(place.dir, place.name, O_RDWR);
	if (fd == -ENOENT)
		fd = file_create(place.dir, place.name);
	if (fd < 0)
		return fd;
	int r = fstat(fd, &st) < 0 ? fail_sys(errno, "%s%s", place.dir->label, place.name) : 0;
	uint64_t end = !r && (uint64_t)st.st_size > TIER_INDEX ? (uint64_t)st.st_size : TIER_INDEX;
	uint8_t slot[TIER_SLOT];
	put_le64(slot, end);
	put_le64(slot + 8, delta->size);
	put_le64(slot + 16, slot_check(context, module, level, index, slot));
	if (!r)
		r = file_write_at(fd, delta->data, delta->size, end, place.dir, place.name);
	if (!r)
		r = file_write_at(fd, slot, sizeof(slot), at, place.dir, place.name);
	close(fd);
	return r;
}

/* ---- plans ------------------------------------------------------------------------------------------------------ */

void steps_free(struct steps *steps)
{
	free(steps->list);
	*steps = (struct steps) {NULL, 0, 0, 0};
}

static int add(struct steps *steps, struct step step)
{
	if (steps->count == steps->capacity) {
		size_t capacity = steps->capacity ? steps->capacity * 2 : 64;
		struct step *list = realloc(steps->list, capacity * sizeof(*list));
		if (!list)
			return fail_sys(ENOMEM, "memory for a plan");
		steps->list = list;
		steps->capacity = capacity;
	}
	steps->list[steps->count++] = step;
	steps->bytes += step.size;
	return 0;
}

/* The largest tier that starts at @at and does not go beyond @to. */
static bool largest(
    const struct job_context *context, uint32_t module, int fd, uint32_t at, uint32_t to, struct step *step)
{
	for (unsigned level = TIER_LEVELS; level >= 1; level--) {
		uint32_t span = tier_span(level);
		if (at % span || to - at < span)
			continue;
		if (!tier_find(context, module, fd, level, at / span, &step->offset, &step->size))
			continue;
		step->from = at;
		step->to = at + span;
		step->tier = true;
		return true;
	}
	return false;
}

int plan_forward(
    struct job_context *context, uint32_t module, uint32_t from, uint32_t to, bool tiers, struct steps *steps)
{
	struct place place;
	int fd = -1, r = 0;
	steps->count = 0;
	steps->bytes = 0;
	if (tiers && context->priv->fd >= 0 && to - from >= TIER_FAN) {
		place_tiers(context, module, &place);
		fd = file_open(place.dir, place.name, O_RDONLY);
	}
	while (!r && from < to) {
		struct step step = {
		    from, from + 1, false, 0, chain_entry(context->catalog, module, from + 1)->delta_bytes};
		if (fd >= 0)
			largest(context, module, fd, from, to, &step);
		r = add(steps, step);
		from = step.to;
	}
	if (fd >= 0)
		close(fd);
	return r;
}

/* ---- undo ------------------------------------------------------------------------------------------------------- */

/* A ring of files: that of entry i takes the place of entry i - UNDO_KEEP. */
void place_undo(const struct job_context *context, uint32_t module, uint32_t index, struct place *place)
{
	char suffix[16];
	snprintf(suffix, sizeof(suffix), "undo%u", index % UNDO_KEEP);
	place->dir = context->priv;
	name_private(place->name, &catalog_module(context->catalog, module)->id, suffix);
}

int undo_load(struct job_context *context, uint32_t module, uint32_t index)
{
	struct job_scratch *s = context->scratch;
	const struct chain_entry *after = chain_entry(context->catalog, module, index);
	const struct chain_entry *before = chain_entry(context->catalog, module, index - 1);
	struct place place;
	if (context->priv->fd < 0)
		return -ENOENT;
	place_undo(context, module, index, &place);
	buf_clear(&s->file);
	int r = file_load(place.dir, place.name, (size_t)1 << 40, &s->file);
	if (r)
		return r;
	/* It may be that of an entry UNDO_KEEP earlier: the hash of the image it starts from stands before it. */
	if (s->file.size < 16 || memcmp(s->file.data, &after->hash, 16) != 0)
		return -ENOENT;
	r = delta_parse(&s->delta, s->file.data + 16, s->file.size - 16);
	if (!r && (s->delta.old_size != after->size || s->delta.new_size != before->size ||
	              !hash_equal(&s->delta.hash, &before->hash)))
		return -ENOENT;
	return r;
}
