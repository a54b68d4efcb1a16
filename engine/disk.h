/*
 * disk.h - what a store takes on disk: blocks, not lengths.
 */
#ifndef ENGINE_DISK_H
#define ENGINE_DISK_H

#include "store.h"

/** As of the last look; zero-initialise it. */
struct disk {
	struct varve_module_stat *modules; /**< one for each committed module */
	size_t modules_count;
	uint64_t backing_bytes;
	uint64_t history_bytes; /**< `commits` and the journal */
	uint64_t total_bytes;
	/* What never changes any more is looked at once. */
	struct disk_seen *seen; /**< by module */
	uint32_t seen_count;
};

/**
 * disk_look() - take stock. Costs a look at each file in .varve/, at two of each module, and at deltas that were not looked
 * at before: at most DISK_DELTAS of these, others count for their length, in blocks of 4 KiB, until a later look.
 * Returns 0 or -ENOMEM; then @disk is as it was.
 */
#define DISK_DELTAS 2048
int disk_look(struct disk *disk, const struct store *store);
void disk_free(struct disk *disk);

#endif
