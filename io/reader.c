/*
 * reader.c - choose a reading method, and what is the same in both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "file_open.h"
#include "reader_method.h"

int reader_open(enum read_method method, unsigned depth, struct reader **reader)
{
	int rc = fault_at("alloc");
	struct reader *r = rc ? NULL : calloc(1, sizeof(*r));

	*reader = NULL;
	if (!r)
		return fail_sys(ENOMEM, "no reader can be made");
	r->depth = depth < 1 ? 1 : depth > READER_DEPTH_MAX ? READER_DEPTH_MAX : depth;
	r->ops = &reader_pread;
	if (method != READ_PREAD) {
		rc = reader_uring.open(r);
		if (rc && method == READ_URING) {
			free(r);
			return rc;
		}
		if (rc)
			memcpy(r->reason, err_text(), sizeof(r->reason));
		else
			r->ops = &reader_uring;
	}
	*reader = r;
	return 0;
}

void reader_close(struct reader *reader)
{
	if (!reader)
		return;
	reader->ops->close(reader);
	free(reader);
}

const char *reader_name(const struct reader *reader)
{
	return reader->ops->name;
}

bool reader_has_ring(const struct reader *reader)
{
	return reader->uring != NULL;
}

const char *reader_reason(const struct reader *reader)
{
	return reader->reason;
}

int reader_run(struct reader *reader, struct read_request *requests, size_t count)
{
	reader->failed = NULL;
	int rc = reader->ops->run(reader, requests, count);
	if (rc || !reader->failed)
		return rc;
	return fail_with(-reader->failed->result, reader->sentence);
}

void reader_settle(struct reader *r, struct read_request *request, int result)
{
	request->result = result;
	if (result && (!r->failed || request < r->failed)) {
		r->failed = request;
		memcpy(r->sentence, err_text(), sizeof(r->sentence));
	}
}

bool reader_allowed(struct reader *r, struct read_request *request)
{
	int rc = file_name_check(request->dir, request->name);

	if (!rc && (request->size > INT64_MAX || request->offset > (uint64_t)INT64_MAX - request->size))
		rc = file_too_short(request->dir, request->name, request->offset);
	if (!rc && (rc = fault_at("read.open")))
		file_open_failed(-rc, request->dir, request->name);
	if (rc)
		reader_settle(r, request, rc);
	return !rc;
}
