/*
 * undo.c - the file of undo deltas.
 *
 * Where the next one goes: into the first gap between those that are still of use that is large enough, else behind all
 * of them. What is of use are the deltas of the newest UNDO_KEEP entries, the one that is about to be replaced by its packed
 * form among them: its slot leads to it until the other is written.
 */
#include "undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "warm.h"

void place_undo(const struct job_context *context, uint32_t module, struct place *place)
{
	place->dir = context->priv;
	name_private(place->name, &catalog_module(context->catalog, module)->id, "undo");
}

static uint64_t slot_check(
    const struct job_context *context, uint32_t module, uint32_t index, const uint8_t slot[UNDO_SLOT - 8])
{
	uint8_t all[UNDO_SLOT - 8 + 32];
	memcpy(all, slot, UNDO_SLOT - 8);
	memcpy(all + UNDO_SLOT - 8, &chain_entry(context->catalog, module, index)->hash, 16);
	memcpy(all + UNDO_SLOT + 8, &chain_entry(context->catalog, module, index - 1)->hash, 16);
	return hash64(all, sizeof(all));
}

/* Reads the slot of entry @index; @size: of the file. */
static bool get_slot(const struct job_context *context, uint32_t module, uint32_t index, const uint8_t slot[UNDO_SLOT],
    uint64_t size, struct undo *undo)
{
	uint64_t form = get_le64(slot + 16);
	undo->offset = get_le64(slot);
	undo->size = get_le64(slot + 8);
	undo->form = form == UNDO_QUICK ? UNDO_QUICK : UNDO_PACKED;
	uint64_t most = delta_most(chain_entry(context->catalog, module, index - 1)->size);
	return undo->size && undo->size <= most && form <= UNDO_QUICK && undo->offset >= UNDO_INDEX &&
	       undo->offset <= size && undo->size <= size - undo->offset &&
	       get_le64(slot + UNDO_SLOT - 8) == slot_check(context, module, index, slot);
}

bool undo_find(
    const struct job_context *context, uint32_t module, const struct map *file, uint32_t index, struct undo *undo)
{
	uint8_t slot[UNDO_SLOT];
	memcpy(slot, file->data + (size_t)(index % UNDO_KEEP) * UNDO_SLOT, sizeof(slot));
	return get_slot(context, module, index, slot, file->size, undo);
}

int undo_parse(const struct job_context *context, uint32_t module, const struct map *file, uint32_t index,
    const struct undo *undo, struct delta *delta)
{
	const struct chain_entry *after = chain_entry(context->catalog, module, index),
	                         *before = chain_entry(context->catalog, module, index - 1);
	int r = delta_parse(delta, file->data + undo->offset, (size_t)undo->size);
	if (!r && (delta->old_size != after->size || delta->new_size != before->size ||
	              !hash_equal(&delta->hash, &before->hash)))
		r = fail(EBADMSG, "this undo delta belongs to another commit");
	return r;
}

int undo_load(struct job_context *context, uint32_t module, uint32_t index)
{
	struct warm_module *kept = warm_module(context, module);
	const struct map *file = kept ? warm_undo(context, kept, module) : NULL;
	struct undo undo;
	if (!file || !undo_find(context, module, file, index, &undo))
		return -ENOENT;
	return undo_parse(context, module, file, index, &undo, &context->scratch->delta);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* The file, with room for its slots; files of an earlier version, one for each entry, go when it is made. */
static int open_file(const struct job_context *context, uint32_t module, struct place *place)
{
	place_undo(context, module, place);
	int fd = file_open(place->dir, place->name, O_RDWR);
	if (fd != -ENOENT)
		return fd;
	for (unsigned i = 0; i < UNDO_KEEP; i++) {
		char suffix[16], name[NAME_MAX_SIZE];
		snprintf(suffix, sizeof(suffix), "undo%u", i);
		name_private(name, &catalog_module(context->catalog, module)->id, suffix);
		file_unlink(place->dir, name);
	}
	fd = file_create(place->dir, place->name);
	int r = fd < 0 ? fd : file_resize(fd, UNDO_INDEX, place->dir, place->name);
	if (r && fd >= 0)
		close(fd);
	return r ? r : fd;
}

/* Those that are of use, in order of their offsets. Returns how many. */
static unsigned list_used(const struct job_context *context, uint32_t module, const uint8_t index[UNDO_INDEX],
    uint64_t size, struct undo used[UNDO_KEEP])
{
	uint32_t length = catalog_module(context->catalog, module)->length;
	unsigned count = 0;
	for (uint32_t i = length > UNDO_KEEP ? length - UNDO_KEEP : 1; i < length; i++) {
		struct undo undo;
		if (!get_slot(context, module, i, index + (size_t)(i % UNDO_KEEP) * UNDO_SLOT, size, &undo))
			continue;
		unsigned at = count++;
		for (; at > 0 && used[at - 1].offset > undo.offset; at--)
			used[at] = used[at - 1];
		used[at] = undo;
	}
	return count;
}

/* Where @size bytes go; *@end: where all of it ends then. */
static uint64_t find_room(const struct undo *used, unsigned count, uint64_t size, uint64_t *end)
{
	uint64_t at = UNDO_INDEX, room = 0;
	for (unsigned i = 0; i < count; i++) {
		if (!room && used[i].offset >= at && used[i].offset - at >= size)
			room = at;
		at = used[i].offset + used[i].size > at ? used[i].offset + used[i].size : at;
	}
	*end = room ? at : at + size;
	return room ? room : at;
}

static int put_slot(const struct job_context *context, uint32_t module, uint32_t index, const struct undo *undo, int fd,
    const struct place *place)
{
	uint8_t slot[UNDO_SLOT];
	put_le64(slot, undo->offset);
	put_le64(slot + 8, undo->size);
	put_le64(slot + 16, undo->form);
	put_le64(slot + 24, slot_check(context, module, index, slot));
	return file_write_at(
	    fd, slot, sizeof(slot), (uint64_t)(index % UNDO_KEEP) * UNDO_SLOT, place->dir, place->name);
}

static int put_delta(struct job_context *context, uint32_t module, uint32_t index, enum undo_form form)
{
	const struct buf *delta = &context->scratch->out;
	struct undo used[UNDO_KEEP], undo = {0, delta->size, form};
	uint8_t slots[UNDO_INDEX];
	struct place place;
	struct stat st;
	uint64_t end;
	int fd = open_file(context, module, &place);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return fail_sys(errno, "%s%s", place.dir->label, place.name);
	}
	int r = (uint64_t)st.st_size < UNDO_INDEX ? file_resize(fd, UNDO_INDEX, place.dir, place.name) : 0;
	if (!r)
		r = file_read_at(fd, slots, sizeof(slots), 0, place.dir, place.name);
	if (!r) {
		unsigned count = list_used(context, module, slots, (uint64_t)st.st_size, used);
		undo.offset = find_room(used, count, undo.size, &end);
		r = file_write_at(fd, delta->data, delta->size, undo.offset, place.dir, place.name);
	}
	if (!r)
		r = put_slot(context, module, index, &undo, fd, &place);
	/* On a full disk nothing stays that is of no use. What is mapped is cut only where that is worth mapping it anew. */
	if (r)
		(void)!ftruncate(fd, st.st_size);
	else if ((uint64_t)st.st_size > end && (uint64_t)st.st_size - end > end / 4)
		r = file_resize(fd, end, place.dir, place.name);
	close(fd);
	return r;
}

int undo_write(struct job_context *context, uint32_t module, uint32_t index, enum undo_form form,
    const struct image *image, const struct image *before)
{
	struct job_scratch *s = context->scratch;
	buf_clear(&s->out);
	int r = delta_encode(s->encoder, image->data, image->size, before->data, before->size, &s->runs,
	    &chain_entry(context->catalog, module, index - 1)->hash, form == UNDO_QUICK ? DELTA_STORED : 0, &s->out);
	return r ? r : put_delta(context, module, index, form);
}
