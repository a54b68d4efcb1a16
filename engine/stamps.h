/*
 * stamps.h - which module commit each backing file holds, kept in .varve/stamps so that the next coordinator knows, too.
 *
 * A stamp is taken off before the first write, and before a writable mapping is handed out; it is put on after what was
 * written is verified. The file is bound to the store and to one boot of the machine: backing files are not synced, so
 * after a crash of the system no stamp holds. A stamp that is lost costs a comparison, never a wrong image.
 */
#ifndef ENGINE_STAMPS_H
#define ENGINE_STAMPS_H

#include "job.h"

struct stamps {
	int fd; /**< -1: kept in memory only */
	struct stamp *list;
	uint32_t count;
	bool
	    other_boot; /**< the machine was off since they were written, or there are none: what was not synced may be lost */
};

/** stamps_open() - read those of this boot and of @store (16 bytes). Never fails but for -ENOMEM: without a file, or
 * with one that can not be read, no stamps are known. */
int stamps_open(struct stamps *stamps, const struct dir *priv, const uint8_t store[16]);
void stamps_close(struct stamps *stamps);

/** stamps_get() - the module's stamp; its entry is CHAIN_NONE if nothing is known. */
struct stamp stamps_get(const struct stamps *stamps, uint32_t module);

/** stamps_set() - put a stamp on. stamps_clear() - take it off: when it returns 0 the file says so, too. */
int stamps_set(struct stamps *stamps, uint32_t module, const struct stamp *stamp);
int stamps_clear(struct stamps *stamps, uint32_t module);

#endif
