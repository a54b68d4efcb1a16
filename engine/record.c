/*
 * record.c - a file of checked records that is appended to. The format: record_format.md.
 *
 * The one hard question is whether a record that does not check out is the torn end of an append that a crash cut off,
 * or damage to what had been whole. It is torn only if nothing whole can lie behind it: the file ends within it, or
 * only zeros follow (a file system that had lengthened the file before the data came). The head has a checksum of its
 * own, so that a length is believed only when it is what was written: a damaged one can not lead past the records
 * behind it.
 */
#include "record.h"

#include <errno.h>

#include "err.h"
#include "hash.h"

#define RECORD_HEAD 24u
#define RECORD_TRAILER 8u
#define RECORD_VERSION 1u
#define PAYLOAD_MAX (UINT32_C(256) << 20)
/** No file comes near it, so numbers can be added to without a thought of overflow. */
#define SEQUENCE_MAX (UINT64_C(1) << 62)

size_t record_begin(struct buf *b, enum record_type type, uint64_t sequence)
{
	size_t position = b->size;
	buf_u32(b, 0);
	buf_u16(b, (uint16_t)type);
	buf_u16(b, RECORD_VERSION);
	buf_u64(b, sequence);
	buf_u64(b, 0);
	return position;
}

void record_end(struct buf *b, size_t position)
{
	if (b->bad)
		return;
	size_t length = b->size - position - RECORD_HEAD;
	if (length > PAYLOAD_MAX) {
		b->bad = true;
		return;
	}
	uint8_t *head = b->data + position;
	put_le32(head, (uint32_t)length);
	put_le64(head + 16, hash64(head, 16));
	buf_u64(b, hash64(head, RECORD_HEAD + length));
}

static bool all_zero(const uint8_t *p, size_t size)
{
	return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

/* The head as it is written, checked against its checksum before. */
struct head {
	uint32_t length;
	uint16_t type;
	uint16_t version;
	uint64_t sequence;
};

static int check_head(const struct head *head, const struct record_scan *scan)
{
	if (head->version != RECORD_VERSION || head->type < RECORD_STORE || head->type > RECORD_CURRENT)
		return fail(EPROTONOSUPPORT,
		    "a record of type %u, version %u, which this version of Varve does not know: use a newer one",
		    head->type, head->version);
	if (head->length > PAYLOAD_MAX)
		return fail(EBADMSG, "a record of %u bytes is longer than any can be", head->length);
	if ((head->type == RECORD_STORE) != (scan->records == 0))
		return fail(EBADMSG, "a record of type %u is out of place", head->type);
	/* The first record has the number of the last one elsewhere when the file was made; since then there may have
	 * been more elsewhere, so the next one is any higher number. What the reader has must be without a gap. */
	bool follows = scan->records == 1 ? head->sequence > scan->sequence : head->sequence == scan->sequence + 1;
	if (head->sequence >= SEQUENCE_MAX || (scan->records && !follows))
		return fail(EBADMSG, "record number %llu does not follow number %llu",
		    (unsigned long long)head->sequence, (unsigned long long)scan->sequence);
	return 0;
}

/*
 * Look at the record that @at begins with, @left bytes before the file's end. Returns its whole length, 0 if it is
 * torn, or -errno.
 */
static int64_t check_record(const uint8_t *at, size_t left, const struct record_scan *scan, struct head *head)
{
	if (left < RECORD_HEAD)
		return 0;
	if (get_le64(at + 16) != hash64(at, 16)) {
		if (all_zero(at + RECORD_HEAD, left - RECORD_HEAD))
			return 0;
		return fail(EBADMSG, "the head of a record is damaged");
	}
	*head = (struct head) {get_le32(at), get_le16(at + 4), get_le16(at + 6), get_le64(at + 8)};
	int ret = check_head(head, scan);
	if (ret)
		return ret;
	size_t checked = (size_t)RECORD_HEAD + head->length;
	if (checked + RECORD_TRAILER > left)
		return 0;
	if (get_le64(at + checked) != hash64(at, checked)) {
		if (all_zero(at + checked + RECORD_TRAILER, left - checked - RECORD_TRAILER))
			return 0;
		return fail(EBADMSG, "a record is damaged: its checksum is wrong");
	}
	return (int64_t)(checked + RECORD_TRAILER);
}

int record_read(const void *bytes, size_t size,
    int (*fn)(void *arg, enum record_type type, uint64_t sequence, struct cursor *payload), void *arg,
    struct record_scan *scan)
{
	const uint8_t *start = bytes;
	*scan = (struct record_scan) {0};
	while (scan->good < size) {
		struct head head = {0};
		const uint8_t *at = start + scan->good;
		int64_t length = check_record(at, size - scan->good, scan, &head);
		int ret = length < 0 ? (int)length : 0;
		if (length > 0) {
			struct cursor payload = cursor_over(at + RECORD_HEAD, head.length);
			ret = fn(arg, (enum record_type)head.type, head.sequence, &payload);
		}
		if (ret) {
			err_prefix("at offset %llu: ", (unsigned long long)scan->good);
			return ret;
		}
		if (length == 0)
			break;
		scan->good += (uint64_t)length;
		scan->sequence = head.sequence;
		scan->records++;
	}
	scan->torn = size - scan->good;
	return 0;
}
