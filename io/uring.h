/*
 * uring.h - the io_uring reader's ring; seen by reader_uring.c (runs) and uring.c (opening) only.
 */
#ifndef IO_URING_H
#define IO_URING_H

#include <liburing.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/uio.h>

struct read_request;

/** A place in the ring's own file table, and what is read by way of it. */
struct uring_slot {
	struct read_request *request; /**< NULL: free */
	uint32_t serial; /**< of its use */
	struct iovec parts[2];
};

struct uring {
	struct io_uring ring; /**< two entries for each slot */
	struct open_how how;
	unsigned depth; /**< slots */
	unsigned in_flight;
	unsigned free_count;
	unsigned used; /**< slots that may hold a file are those below */
	unsigned *free_list;
	struct uring_slot *slots;
	uint8_t spare;
};

/** uring_open() - a ring with @depth slots that has been tried out. Returns 0, or -errno with a sentence that says what
 * would make it work. */
int uring_open(unsigned depth, struct uring **uring);

/** uring_close() - NULL is allowed. */
void uring_close(struct uring *uring);

/** uring_chain() - prepare the two operations of one file: open @name into slot @index, then read @parts parts from it. */
void uring_chain(
    struct uring *uring, unsigned index, int dir, const char *name, unsigned parts, uint64_t offset, uint64_t token);

#endif
