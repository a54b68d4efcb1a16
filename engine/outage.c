/*
 * outage.c - after the machine was off.
 *
 * The journal is not synced, nor are the files of the commits in it. What of them has reached the disk is chance: a commit
 * may be in the journal and its files lost. Such a commit, and all after it, are taken back: with a hole in its chain a
 * module could never be committed again, as its newest image could not be had. What is in `commits` was synced before.
 */
#include "outage.h"

#include <errno.h>
#include <stdlib.h>

#include "image.h"

static bool image_is_right(struct job_context *own, const struct place *place, const struct chain_entry *is)
{
	struct image image = {.source = -1};
	struct image_hash hash;
	bool right = image_load(own, place, is->size, &image) == 0;
	if (right)
		hash_image(image.data, image.size, &hash);
	right = right && hash_equal(&hash, &is->hash);
	image_free(&image);
	return right;
}

/* By its delta, wherever that is; the base, and the newest of all, by the whole image. The base may not be in sight yet. */
static bool can_be_had(struct job_context *own, uint32_t module, uint32_t entry)
{
	const struct chain_entry *is = chain_entry(own->catalog, module, entry);
	struct place place, next = {.dir = own->priv};
	if (entry > 0 && delta_elsewhere(own, module, entry))
		return true;
	if (entry > 0 && entry != catalog_module(own->catalog, module)->length - 1)
		return false;
	place_whole(own, module, entry, &place);
	name_private(next.name, &catalog_module(own->catalog, module)->id, "next");
	return image_is_right(own, &place, is) || (entry == 0 && image_is_right(own, &next, is));
}

uint32_t outage_first_lost(const struct store *store, struct job_context *own)
{
	uint32_t first = COMMIT_NONE;
	char name[VARVE_ID_TEXT + 1] = "";
	for (uint32_t m = 0; m < catalog_count(&store->catalog); m++) {
		uint32_t length = catalog_module(&store->catalog, m)->length;
		for (uint32_t e = length; e-- > 0;) {
			uint32_t commit = chain_entry(&store->catalog, m, e)->commit;
			if (commit < store->journal.persisted)
				break;
			if (commit >= first || can_be_had(own, m, e))
				continue;
			first = commit;
			id_to_text(&catalog_module(&store->catalog, m)->id, name);
		}
	}
	if (first != COMMIT_NONE)
		fail(EBADMSG, "files of module %s are not whole", name);
	return first;
}
