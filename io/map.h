/*
 * map.h - files mapped for reading, safely: one that gets shorter meanwhile, or that the disk can not read, is an error
 * afterwards, not the process's end.
 *
 * The kernel tells of both by SIGBUS. map_guard() installs a handler that puts zero pages where the file's were and
 * remembers that it did; whoever has read a mapping asks map_failed() before it believes what it has read. (libwayland
 * guards its shared-memory buffers in the same way: wl_shm_buffer_begin_access().) A SIGBUS anywhere else ends the
 * process, as ever. One thread only.
 */
#ifndef IO_MAP_H
#define IO_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes of a file, from its start. Zero-initialise it: then it is a mapping of nothing. */
struct map {
	const uint8_t *data;
	size_t size;
	uint64_t inode; /**< of the file, for the caller */
	uint64_t device;
	unsigned slot; /**< map.c's */
};

/** Mappings that may be open at a time in a process. */
#define MAP_MAX 4096

/** map_guard() - from now on this process survives what mapped files do. Once per process, after fork(). */
void map_guard(void);

/** map_open() - map the first @size bytes of @fd, which may be closed then. What @map had is unmapped first. @now: all of
 * it will be read soon: the kernel begins to. Returns 0 or -errno with a sentence: -EBADMSG where the file is shorter,
 * -ENOMEM. */
int map_open(struct map *map, int fd, size_t size, bool now);

/** map_window() - the same for bytes [@at, @at + @size) only, @at a multiple of the page size; map->data is where @at is.
 * @reserve: address space to take, at least @size: what the file grows by is there later without mapping it again. */
int map_window(struct map *map, int fd, uint64_t at, size_t size, size_t reserve, bool now);

/** map_want() - these bytes of it will be read soon: the kernel begins to, and returns at once. */
void map_want(const struct map *map, uint64_t at, uint64_t size);

void map_close(struct map *map);

/** map_failed() - whether any mapping was not what its file says since the last call; then with a sentence, and the
 * mapping is to be closed: it has zeros in it. */
bool map_failed(void);

#endif
