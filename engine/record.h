/*
 * record.h - a file of checked records that is appended to: `commits`, and the journal in .varve/. Its format is
 * written down in record_format.md beside this.
 *
 * Each record: a 24-byte head (length of the payload u32, type u16, version u16, sequence number u64, XXH3-64 of the
 * 16 bytes before it u64), the payload, and the XXH3-64 of head and payload. The first record is RECORD_STORE; the
 * second has any higher sequence number; from there on they ascend by one.
 */
#ifndef ENGINE_RECORD_H
#define ENGINE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "file.h"

enum record_type {
	RECORD_STORE = 1, /**< magic, format version, the store's random 16 bytes, what the file goes on from */
	RECORD_MODULE = 2,
	RECORD_COMMIT = 3,
	RECORD_CURRENT = 4,
};

/** record_begin() - start a record at the end of @b; what is appended until record_end() is its payload. Returns its
 * position, for record_end(). */
size_t record_begin(struct buf *b, enum record_type type, uint64_t sequence);

/** record_end() - fill in length and checksums. Sets b->bad if the payload is longer than 256 MiB. */
void record_end(struct buf *b, size_t position);

/** What reading a file of records has seen. */
struct record_scan {
	uint64_t good; /**< length of what is whole and checked; what follows is torn */
	uint64_t torn; /**< bytes behind that */
	uint64_t records;
	uint64_t sequence; /**< of the last record */
};

/**
 * record_read() - check the records in @bytes in order and give each one's payload to @fn, in sequence.
 *
 * A record that the file's end cuts off (a whole head that promises more than is there; less than a head; a tail of
 * zero bytes; a last record whose checksum is wrong and that ends where the file ends) is torn: reading stops before
 * it, without an error; where several records were being appended, only zeros may follow. Any other damage is -EBADMSG
 * with a sentence that gives the offset. A type or version that is not known is -EPROTONOSUPPORT. @fn's result, if not
 * 0, ends the reading and is returned, the offset put before its sentence. */
int record_read(const void *bytes, size_t size,
    int (*fn)(void *arg, enum record_type type, uint64_t sequence, struct cursor *payload), void *arg,
    struct record_scan *scan);

#endif
