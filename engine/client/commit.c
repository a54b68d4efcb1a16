/*
 * commit.c - committing a session.
 */
#include <errno.h>
#include <stdlib.h>

#include "client.h"
#include "err.h"
#include "utf8.h"

#define LABEL_MAX 4096

static int check_label(const char *label)
{
	size_t at = 0;
	while (label && label[at]) {
		size_t n = utf8_length((const unsigned char *)label + at);
		if (!n)
			return fail(EINVAL, "the label is not UTF-8 at byte %zu", at);
		at += n;
		if (at > LABEL_MAX)
			return fail(EINVAL, "the label is longer than %d bytes; shorten it", LABEL_MAX);
	}
	return 0;
}

/* The request. Ids of modules that the session does not have are left out: they do not matter. */
static void put_commit(struct buf *b, const struct varve_session *session, const struct varve_commit_options *options)
{
	static const struct varve_id none;
	uint32_t count = 0;
	buf_u8(b, options->commit != NULL);
	wire_put_id(b, options->commit ? options->commit : &none);
	wire_put_string(b, options->label);
	size_t at = b->size;
	buf_u32(b, 0);
	for (size_t i = 0; i < options->ids_count; i++) {
		if (!session_find(session, &options->ids[i].module))
			continue;
		wire_put_id(b, &options->ids[i].module);
		wire_put_id(b, &options->ids[i].commit);
		count++;
	}
	if (!b->bad)
		put_le32(b->data + at, count);
}

static int commit_locked(struct varve_session *session, const struct varve_commit_options *options, struct varve_id *id)
{
	struct varve_vm *vm = session->vm;
	struct call call;
	struct cursor c;
	call_begin(&call, vm, vm->main, WIRE_COMMIT, "the commit");
	call.retry = RETRY_NEVER;
	put_commit(&call.request, session, options);
	int r = call_run(&call, &c);
	if (!r) {
		wire_get_id(&c, id);
		r = call_finish(&call, &c);
	} else if (call.lost && call.sent) {
		r = fail(ECONNRESET,
		    "the coordinator of %s died during the commit; look at the log to see whether it was made, then "
		    "try again",
		    vm->path);
	} else if (call.lost) {
		r = session_dead(session);
	}
	return call_end(&call, r);
}

int varve_session_commit(
    struct varve_session *session, const struct varve_commit_options *options, struct varve_id *commit)
{
	struct varve_commit_options copy;
	struct varve_id id;
	int r = options_take(&copy, sizeof(copy), options, "struct varve_commit_options");
	if (!r && copy.ids_count && !copy.ids)
		r = fail(EINVAL, "ids_count of struct varve_commit_options is %zu, but ids is NULL", copy.ids_count);
	if (!r)
		r = check_label(copy.label);
	if (!r)
		r = session_enter(session);
	if (r)
		return r;
	/* From now on no memory of the session may change its size: the coordinator compares the files as they are. */
	struct varve_vm *vm = session->vm;
	pthread_mutex_lock(&session->lock);
	r = commit_locked(session, &copy, &id);
	pthread_mutex_unlock(&session->lock);
	if (!r) {
		session_end(session);
		if (commit)
			*commit = id;
	}
	vm_unlock(vm);
	return r;
}
