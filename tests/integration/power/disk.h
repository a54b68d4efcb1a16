/*
 * disk.h - a disk that loses its power: what was synced is there, and of what was not whatever happens to be.
 */
#ifndef POWER_DISK_H
#define POWER_DISK_H

#include <stddef.h>
#include <stdint.h>

struct disk;

/** disk_open() - from the records in @path, about the store in @store. Ends the test if that can not be. */
struct disk *disk_open(const char *path, const char *store);
void disk_close(struct disk *disk);

/** disk_records() - how many there are. */
size_t disk_records(const struct disk *disk);

/** How much of what was not synced is lost. */
enum disk_loss {
	LOSS_ALL,
	LOSS_DATA, /**< names are there, what was written is not */
	LOSS_LATEST, /**< names in their order up to some moment, and of what was written something */
	LOSS_ANY, /**< of names and of what was written something; what depends on what is lost is lost, too */
	LOSS_KINDS
};

/** disk_crash() - the state after the first @count records, put into the directory @to, which it makes. Returns how many
 * commits had been promised by then. */
uint64_t disk_crash(struct disk *disk, size_t count, enum disk_loss loss, uint64_t seed, const char *to);

#endif
