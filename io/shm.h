/*
 * shm.h - memory that several processes share: a memfd, sealed against shrinking.
 */
#ifndef IO_SHM_H
#define IO_SHM_H

#include <stdbool.h>
#include <stddef.h>

struct shm {
	int fd; /**< -1: none */
	void *base;
	size_t size; /**< sparse: pages cost memory once they are touched */
};

/** shm_create() - @size zero bytes, mapped here for writing; F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL are set unless
 * @readers_only, where F_SEAL_FUTURE_WRITE is, too: mappings made from now on can only read. */
int shm_create(struct shm *shm, const char *name, size_t size, bool readers_only);

/** shm_remap_readonly() - in a child: replace the inherited mapping, at the same address, by one that can only read. */
int shm_remap_readonly(struct shm *shm);

void shm_close(struct shm *shm);

#endif
