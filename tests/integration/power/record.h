/*
 * record.h - what a coordinator has done to files, in order: written by one whose calls are wrapped (record.c), read by
 * the model of a disk that forgets what was not synced (disk.c).
 */
#ifndef POWER_RECORD_H
#define POWER_RECORD_H

#include <stdint.h>

enum record_kind {
	RECORD_CREATE, /**< name[0] in dir[0] is file `ino`, new */
	RECORD_WRITE, /**< `size` bytes at `offset`, which follow */
	RECORD_CUT, /**< `ino` is `size` bytes long now */
	RECORD_RENAME, /**< name[0] in dir[0] is name[1] in dir[1] now */
	RECORD_UNLINK, /**< name[0] in dir[0] is gone */
	RECORD_SYNC, /**< of file or directory `ino` */
	RECORD_SYNC_ALL,
	RECORD_MARK, /**< the test's: a call has returned that promises that `size` commits survive */
};

struct record {
	uint32_t kind;
	uint32_t bytes; /**< that follow */
	uint64_t device;
	uint64_t ino;
	uint64_t dir[2];
	uint64_t offset;
	uint64_t size;
	char name[2][160];
};

#endif
