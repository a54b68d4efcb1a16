/*
 * query.c - what looks at a store and changes nothing that is committed.
 *
 * All of it may be asked again of another coordinator, should the first one die.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "err.h"

#define TEXT_MAX 4096
#define WORKERS_MAX 1024
#define IDLE_MS_MIN 10
#define IDLE_MS_MAX 31536000000ll

/* Borrow a connection for a call. */
static int query_begin(struct call *call, struct varve_vm *vm, enum wire_type type, const char *name, bool brief)
{
	int r = vm_enter(vm);
	if (r)
		return r;
	struct conn *conn = vm_borrow(vm, brief);
	if (!conn)
		return -ENOMEM;
	call_begin(call, vm, conn, type, name);
	call->retry = RETRY_ALWAYS;
	return 0;
}

static int query_end(struct call *call, int r)
{
	vm_return(call->vm, call->conn);
	return call_end(call, r);
}

static int take_log(struct call *call, struct varve_log **log)
{
	struct cursor c;
	int r = call_run(call, &c);
	if (r)
		return r;
	*log = wire_get_log(&c);
	if (!*log && !c.bad)
		return fail(ENOMEM, "not enough memory for the log of %s", call->vm->path);
	r = call_finish(call, &c);
	if (r) {
		varve_log_free(*log);
		*log = NULL;
	}
	return r;
}

int varve_log(struct varve_vm *vm, struct varve_log **log)
{
	struct call call;
	if (!log)
		return fail(EINVAL, "varve_log() has nowhere to put the log");
	*log = NULL;
	int r = query_begin(&call, vm, WIRE_LOG, "the log", true);
	return r ? r : query_end(&call, take_log(&call, log));
}

int varve_commit_info(struct varve_vm *vm, const struct varve_id *commit, struct varve_log **log)
{
	struct call call;
	if (!log || !commit)
		return fail(EINVAL, "varve_commit_info() needs a commit's id and somewhere to put the answer");
	*log = NULL;
	int r = query_begin(&call, vm, WIRE_INFO, "the look at a commit", true);
	if (r)
		return r;
	wire_put_id(&call.request, commit);
	r = take_log(&call, log);
	if (!r && (*log)->count != 1) {
		varve_log_free(*log);
		*log = NULL;
		r = call_bad(&call);
	}
	return query_end(&call, r);
}

void varve_log_free(struct varve_log *log)
{
	free(log);
}

int varve_resolve(struct varve_vm *vm, const char *text, struct varve_id *commit)
{
	struct call call;
	struct cursor c;
	struct varve_id id;
	if (!text || !commit)
		return fail(EINVAL, "varve_resolve() needs a commit's name and somewhere to put its id");
	if (strnlen(text, TEXT_MAX + 1) > TEXT_MAX)
		return fail(EINVAL, "\"%.40s...\" is too long to name a commit", text);
	int r = query_begin(&call, vm, WIRE_RESOLVE, "the look-up of a commit", true);
	if (r)
		return r;
	wire_put_string(&call.request, text);
	r = call_run(&call, &c);
	if (!r) {
		wire_get_id(&c, &id);
		r = call_finish(&call, &c);
	}
	if (!r)
		*commit = id;
	return query_end(&call, r);
}

int varve_stat(struct varve_vm *vm, struct varve_stat **stat)
{
	struct call call;
	struct cursor c;
	if (!stat)
		return fail(EINVAL, "varve_stat() has nowhere to put the figures");
	*stat = NULL;
	int r = query_begin(&call, vm, WIRE_STAT, "the look at the store", true);
	if (r)
		return r;
	/* Whoever watches a store wants to be free at once if it stands still; and the answer is nobody's loss. */
	call.abrupt = true;
	r = call_run(&call, &c);
	if (!r) {
		*stat = wire_get_stat(&c);
		if (!*stat && !c.bad)
			r = fail(ENOMEM, "not enough memory for the figures of %s", vm->path);
		else
			r = call_finish(&call, &c);
	}
	if (r) {
		varve_stat_free(*stat);
		*stat = NULL;
	}
	return query_end(&call, r);
}

void varve_stat_free(struct varve_stat *stat)
{
	free(stat);
}

static int take_metrics(struct call *call, char **text)
{
	struct cursor c;
	uint32_t length;
	int r = call_run(call, &c);
	if (r)
		return r;
	const char *from = wire_get_string(&c, &length);
	if (!c.bad && !(*text = strndup(length ? from : "", length)))
		return fail(ENOMEM, "not enough memory for the figures of %s", call->vm->path);
	return call_finish(call, &c);
}

int varve_metrics(struct varve_vm *vm, char **text)
{
	struct call call;
	if (!text)
		return fail(EINVAL, "varve_metrics() has nowhere to put the text");
	*text = NULL;
	int r = query_begin(&call, vm, WIRE_METRICS, "the look at the store", true);
	if (r)
		return r;
	r = take_metrics(&call, text);
	if (r) {
		free(*text);
		*text = NULL;
	}
	return query_end(&call, r);
}

void varve_metrics_free(char *text)
{
	free(text);
}

/* The first value of a change that is out of its range. */
static int check_change(const struct varve_workers *to)
{
	if (to->min < -1 || to->min > WORKERS_MAX)
		return fail(EINVAL, "min is %lld; so many workers that are kept can be 0 to %d; -1: as it is",
		    (long long)to->min, WORKERS_MAX);
	if (to->most < -1 || to->most == 0 || to->most > WORKERS_MAX)
		return fail(EINVAL, "most is %lld; so many workers that there can be are 1 to %d; -1: as it is",
		    (long long)to->most, WORKERS_MAX);
	if (to->idle_ms < -1 || (to->idle_ms > 0 && to->idle_ms < IDLE_MS_MIN) || to->idle_ms > IDLE_MS_MAX)
		return fail(EINVAL, "idle_ms is %lld; it can be %d to %lld; 0: never; -1: as it is",
		    (long long)to->idle_ms, IDLE_MS_MIN, IDLE_MS_MAX);
	return 0;
}

/* Above what the coordinator counts with nobody notices the difference. */
static void put_change(struct buf *b, int64_t value)
{
	buf_u32(b, value < 0 ? WIRE_AS_IS : value < WIRE_AS_IS ? (uint32_t)value : WIRE_AS_IS - 1);
}

static int take_workers(struct call *call, struct varve_workers *now)
{
	struct cursor c;
	int r = call_run(call, &c);
	if (r)
		return r;
	now->min = cursor_u32(&c);
	now->most = cursor_u32(&c);
	now->idle_ms = cursor_u32(&c);
	now->running = cursor_u32(&c);
	now->passing = wire_get_bool(&c);
	return call_finish(call, &c);
}

int varve_workers(struct varve_vm *vm, const struct varve_workers *change, struct varve_workers *now)
{
	struct call call;
	struct varve_workers to = VARVE_WORKERS_INIT, got = {0};
	/* Who was compiled before `passing` was there has no room for it. */
	if (now && (now->struct_size < offsetof(struct varve_workers, passing) || now->struct_size > sizeof(*now)))
		return fail(EINVAL,
		    "struct_size in struct varve_workers is %zu; initialise it with the macro of varve.h",
		    now->struct_size);
	int r = change ? options_take(&to, sizeof(to), change, "struct varve_workers") : 0;
	if (!r)
		r = check_change(&to);
	if (!r)
		r = query_begin(&call, vm, WIRE_WORKERS, "the look at the workers", true);
	if (r)
		return r;
	put_change(&call.request, to.min);
	put_change(&call.request, to.most);
	put_change(&call.request, to.idle_ms);
	r = take_workers(&call, &got);
	if (!r && now) {
		got.struct_size = now->struct_size;
		memcpy(now, &got, got.struct_size);
	}
	return query_end(&call, r);
}

int varve_set_workers(struct varve_vm *vm, unsigned workers)
{
	struct varve_workers change = VARVE_WORKERS_INIT;
	if (workers < 1 || workers > WORKERS_MAX)
		return fail(EINVAL, "%u workers were asked for; it can be 1 to %d", workers, WORKERS_MAX);
	change.most = (int64_t)workers;
	return varve_workers(vm, &change, NULL);
}

int varve_optimize(struct varve_vm *vm)
{
	struct call call;
	struct cursor c;
	int r = query_begin(&call, vm, WIRE_OPTIMIZE, "the background work", false);
	if (r)
		return r;
	r = call_run(&call, &c);
	return query_end(&call, r ? r : call_finish(&call, &c));
}

int varve_persist(struct varve_vm *vm)
{
	struct call call;
	struct cursor c;
	int r = vm_enter(vm);
	if (!r)
		r = vm_lock(vm);
	if (r)
		return r;
	call_begin(&call, vm, vm->main, WIRE_PERSIST, "the persist");
	call.retry = RETRY_ALWAYS;
	r = call_run(&call, &c);
	if (!r)
		r = call_finish(&call, &c);
	call_end(&call, r);
	vm_unlock(vm);
	return r;
}

/* ---- checkout --------------------------------------------------------------------------------------------------- */

static int check_target(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st))
		return fail(EBADF, "descriptor %d, to check out into, is not open", fd);
	if (!S_ISREG(st.st_mode))
		return fail(EBADF, "descriptor %d, to check out into, is not a regular file or memfd", fd);
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY)
		return fail(EBADF, "descriptor %d, to check out into, is not open for writing", fd);
	if (flags & O_APPEND)
		return fail(EBADF, "descriptor %d, to check out into, can only append; open it without O_APPEND", fd);
	return 0;
}

int varve_checkout(
    struct varve_vm *vm, const struct varve_id *commit, const struct varve_id *module, int fd, uint64_t *size)
{
	struct call call;
	struct cursor c;
	if (!commit || !module)
		return fail(EINVAL, "varve_checkout() needs the ids of a commit and a module");
	int r = check_target(fd);
	if (!r)
		r = query_begin(&call, vm, WIRE_CHECKOUT, "the checkout", true);
	if (r)
		return r;
	wire_put_id(&call.request, commit);
	wire_put_id(&call.request, module);
	call.pass = fd;
	r = call_run(&call, &c);
	if (!r) {
		uint64_t image = cursor_u64(&c);
		r = call_finish(&call, &c);
		if (!r && size)
			*size = image;
	}
	return query_end(&call, r);
}

/* ---- verify ----------------------------------------------------------------------------------------------------- */

struct findings {
	void (*found)(void *arg, const struct varve_finding *finding);
	void *arg;
};

static int on_finding(struct call *call, struct wire_message *message)
{
	const struct findings *findings = call->arg;
	struct cursor *c = &message->payload;
	uint32_t file_length, problem_length;
	bool damage = wire_get_bool(c);
	const char *file = wire_get_string(c, &file_length);
	const char *problem = wire_get_string(c, &problem_length);
	if (message->type != WIRE_FINDING || c->bad || cursor_left(c))
		return call_bad(call);
	/* Findings are told once: what has been told can not be asked of another coordinator again. */
	call->retry = RETRY_NEVER;
	if (!findings->found)
		return 0;
	char *file_text = text_copy(file, file_length), *problem_text = text_copy(problem, problem_length);
	int r = file_text && problem_text ? 0 : fail(ENOMEM, "not enough memory for a finding");
	if (!r) {
		struct varve_finding finding = {damage, file_text, problem_text};
		findings->found(findings->arg, &finding);
	}
	free(file_text);
	free(problem_text);
	return r;
}

int varve_verify(struct varve_vm *vm, void (*found)(void *arg, const struct varve_finding *finding), void *arg,
    struct varve_verify_report *report)
{
	struct call call;
	struct cursor c;
	struct findings findings = {found, arg};
	struct varve_verify_report got = {0};
	int r = query_begin(&call, vm, WIRE_VERIFY, "the verification", false);
	if (r)
		return r;
	call.event = on_finding;
	call.arg = &findings;
	r = call_run(&call, &c);
	if (!r) {
		got.modules = cursor_u64(&c);
		got.files = cursor_u64(&c);
		got.bytes = cursor_u64(&c);
		got.images = cursor_u64(&c);
		got.damaged = cursor_u64(&c);
		r = call_finish(&call, &c);
	}
	if (report)
		*report = r ? (struct varve_verify_report) {0} : got;
	return query_end(&call, r);
}
