/*
 * restore.c - the library's part of a restore: waiting, telling how far it is, and moving the ends of live memories.
 *
 * A restore may cut backing files that are mapped here. The order that keeps SIGBUS away:
 *
 *   1. the coordinator says SHRINK: which memories will end where;
 *   2. here everything beyond is made inaccessible, and SHRUNK is answered;
 *   3. the files are cut and written;
 *   4. the REPLY says how long each file is now, and exactly that is made accessible.
 *
 * If the restore fails, step 4 has no sizes in it; the files themselves say how long they are. If it was cancelled and the
 * files are still being brought back, which they may not be seen at, memories stay empty until the session asks for their
 * modules again.
 */
#include <errno.h>
#include <stdlib.h>

#include "client.h"
#include "cpu.h"
#include "err.h"

/** id, u8, u64 in the reply; the same without the u8 in SHRINK. */
#define PLACE_SIZE (VARVE_ID_SIZE + 1 + 8)
#define SHRINK_SIZE (VARVE_ID_SIZE + 8)

/** A restore by difference, of one module, takes 0.2 to 0.6 ms. Where the last one took more than BRIEF_NS the next one is
 * waited for asleep. */
#define YIELD_NS 600000u
#define BRIEF_NS 2500000u

struct restore {
	struct varve_restore_options options;
	struct varve_report report; /**< the last that came */
};

static int tell(struct call *call)
{
	struct restore *restore = call->arg;
	return restore->options.progress(restore->options.progress_arg, &restore->report);
}

static int take_progress(struct call *call, struct cursor *c)
{
	struct restore *restore = call->arg;
	wire_get_report(c, &restore->report);
	if (c->bad || cursor_left(c))
		return call_bad(call);
	if (restore->options.progress && !call->cancelled && tell(call))
		return call_cancel(call);
	return 0;
}

static int take_shrink(struct call *call, struct cursor *c)
{
	struct varve_session *session = call->vm->session;
	struct varve_id module;
	uint32_t count = cursor_u32(c);
	if (c->bad || cursor_left(c) != (uint64_t)count * SHRINK_SIZE)
		return call_bad(call);
	for (uint32_t i = 0; i < count; i++) {
		wire_get_id(c, &module);
		uint64_t size = cursor_u64(c);
		struct varve_memory *memory = session ? session_find(session, &module) : NULL;
		int r = memory ? memory_limit(memory, size) : 0;
		if (r)
			return r;
	}
	return call_send(call, WIRE_SHRUNK);
}

static int on_event(struct call *call, struct wire_message *message)
{
	if (message->type == WIRE_PROGRESS)
		return take_progress(call, &message->payload);
	if (message->type == WIRE_SHRINK)
		return take_shrink(call, &message->payload);
	return call_bad(call);
}

/* Step 4 for one memory. */
static int place(struct varve_memory *memory, bool part, uint64_t size)
{
	int r = part ? memory_show(memory, size) : memory_limit(memory, 0);
	if (r)
		memory_limit(memory, 0);
	memory->gone = !part || r;
	return r;
}

static int take_reply(struct call *call, struct cursor *c)
{
	struct restore *restore = call->arg;
	struct varve_session *session = call->vm->session;
	struct varve_id module;
	int result = 0;
	wire_get_report(c, &restore->report);
	uint32_t count = cursor_u32(c);
	if (c->bad || cursor_left(c) != (uint64_t)count * PLACE_SIZE)
		return call_bad(call);
	for (uint32_t i = 0; i < count; i++) {
		wire_get_id(c, &module);
		bool part = wire_get_bool(c);
		uint64_t size = cursor_u64(c);
		if (c->bad)
			return call_bad(call);
		struct varve_memory *memory = session ? session_find(session, &module) : NULL;
		int r = memory && !restore->options.dry_run ? place(memory, part, size) : 0;
		if (r)
			result = r;
	}
	return result;
}

/* Step 4 after a failure: the sizes may be those of before, or of the commit where the session stood. */
static void place_all(struct varve_session *session, bool behind)
{
	for (size_t i = 0; i < session->buckets_count; i++) {
		for (struct varve_memory *memory = session->buckets[i]; memory; memory = memory->next) {
			if (behind)
				place(memory, false, 0);
			else if (!memory->gone)
				memory_follow(memory);
		}
	}
}

/* The coordinator has answered with an error. It stays what it is, whatever becomes of the memories. */
static int refused(struct call *call, int r)
{
	const struct restore *restore = call->arg;
	struct varve_session *session = call->vm->session;
	char *sentence = strdup(err_text());
	bool behind = r == -EINPROGRESS;
	call->conn->behind |= behind;
	if (session && !restore->options.dry_run && !atomic_load(&session->dead))
		place_all(session, behind);
	r = behind ? -ECANCELED : r;
	fail_with(-r, sentence ? sentence : "the restore has failed");
	free(sentence);
	return r;
}

static int run(struct varve_vm *vm, const struct varve_id *commit, struct restore *restore)
{
	struct call call;
	struct cursor c;
	bool live = vm->session != NULL;
	call_begin(&call, vm, vm->main, WIRE_RESTORE, "the restore");
	/* Whatever a coordinator that died had done of it, the next one does the rest. But memories of a session went with it. */
	call.retry = live ? RETRY_NEVER : RETRY_ALWAYS;
	call.event = on_event;
	call.tick = restore->options.progress ? tell : NULL;
	call.arg = restore;
	call.yield_ns = vm->restore_ns < BRIEF_NS ? YIELD_NS : 0;
	uint64_t start = clock_now();
	wire_put_id(&call.request, commit);
	buf_u32(&call.request, restore->options.workers);
	buf_u8(&call.request, restore->options.dry_run);
	int r = call_run(&call, &c);
	vm->restore_ns = clock_now() - start;
	if (!r) {
		r = take_reply(&call, &c);
	} else if (call.lost && call.sent) {
		r = fail(ECONNRESET, "the coordinator of %s died during the restore; %srestore again", vm->path,
		    live ? "abandon the session, then " : "");
	} else if (call.lost && live) {
		r = session_dead(vm->session);
	} else {
		r = refused(&call, r);
	}
	return call_end(&call, r);
}

/* vm->lock is held. */
static int run_locked(struct varve_vm *vm, const struct varve_id *commit, struct restore *restore)
{
	struct varve_session *session = vm->session;
	if (!session)
		return run(vm, commit, restore);
	if (atomic_load(&session->dead))
		return session_dead(session);
	pthread_mutex_lock(&session->lock);
	int r = run(vm, commit, restore);
	pthread_mutex_unlock(&session->lock);
	return r;
}

int varve_restore(struct varve_vm *vm, const struct varve_id *commit, const struct varve_restore_options *options,
    struct varve_report *report)
{
	struct restore restore = {0};
	if (report)
		memset(report, 0, sizeof(*report));
	int r = vm_enter(vm);
	if (!r && !commit)
		r = fail(EINVAL, "varve_restore() needs the id of a commit");
	if (!r)
		r = options_take(&restore.options, sizeof(restore.options), options, "struct varve_restore_options");
	if (!r && restore.options.workers > 1024)
		r = fail(EINVAL, "%u workers were asked for; it can be 1 to 1024", restore.options.workers);
	if (r)
		return r;
	uint32_t cancels = atomic_load(&vm->cancels);
	r = vm_lock(vm);
	if (r)
		return r;
	restore.report.commit = *commit;
	r = atomic_load(&vm->cancels) != cancels
	        ? fail(ECANCELED, "the restore was cancelled while it waited for another call")
	        : run_locked(vm, commit, &restore);
	vm_unlock(vm);
	if (!r && report)
		*report = restore.report;
	return r;
}
