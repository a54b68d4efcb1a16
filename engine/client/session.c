/*
 * session.c - a session: the memories it has, and its end.
 *
 *   begin --> LIVE --commit--> gone        LIVE --the connection is lost--> DEAD --abandon--> gone
 *              '----abandon--> gone
 *
 * The coordinator knows the session by the connection that began it. Should the coordinator die, the next one must not
 * touch backing files that are still mapped here: therefore the session holds a descriptor with the store's session
 * lock, which is closed after the last memory has been unmapped, and no earlier.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "cpu.h"
#include "err.h"
#include "names.h"

#define BUCKETS_FIRST 16
#define NAP_NS 50000000ull

static size_t bucket_of(const struct varve_session *session, const struct varve_id *module)
{
	uint64_t h = session->seed;
	for (int i = 0; i < VARVE_ID_SIZE; i += 8) {
		h = (h ^ get_le64(module->bytes + i)) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	return (size_t)h & (session->buckets_count - 1);
}

struct varve_memory *session_find(const struct varve_session *session, const struct varve_id *module)
{
	struct varve_memory *memory = session->buckets[bucket_of(session, module)];
	while (memory && !id_equal(&memory->module, module))
		memory = memory->next;
	return memory;
}

static void insert(struct varve_session *session, struct varve_memory *memory)
{
	struct varve_memory **bucket = &session->buckets[bucket_of(session, &memory->module)];
	memory->next = *bucket;
	*bucket = memory;
}

/* Should there be no memory for more buckets, the ones there are get longer. */
static void grow(struct varve_session *session)
{
	size_t count = session->buckets_count;
	struct varve_memory **old = session->buckets;
	struct varve_memory **new = calloc(2 * count, sizeof(*new));
	if (!new)
		return;
	session->buckets = new;
	session->buckets_count = 2 * count;
	for (size_t i = 0; i < count; i++) {
		for (struct varve_memory *memory = old[i], *next; memory; memory = next) {
			next = memory->next;
			insert(session, memory);
		}
	}
	free(old);
}

static struct varve_session *session_new(struct varve_vm *vm)
{
	pthread_mutexattr_t attr;
	struct varve_session *session = calloc(1, sizeof(*session));
	struct varve_memory **buckets = calloc(BUCKETS_FIRST, sizeof(struct varve_memory *));
	if (!session || !buckets || pthread_mutexattr_init(&attr)) {
		free(session);
		free(buckets);
		fail(ENOMEM, "not enough memory for a session");
		return NULL;
	}
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&session->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	session->vm = vm;
	session->lock_fd = -1;
	session->buckets = buckets;
	session->buckets_count = BUCKETS_FIRST;
	if (getrandom(&session->seed, sizeof(session->seed), GRND_NONBLOCK) < 0)
		session->seed = clock_now() ^ (uintptr_t)session;
	return session;
}

static void unmap_all(struct varve_session *session)
{
	for (size_t i = 0; i < session->buckets_count; i++) {
		while (session->buckets[i]) {
			struct varve_memory *memory = session->buckets[i];
			session->buckets[i] = memory->next;
			memory_free(memory);
		}
	}
}

void session_end(struct varve_session *session)
{
	struct varve_vm *vm = session->vm;
	unmap_all(session);
	if (session->lock_fd >= 0)
		close(session->lock_fd);
	pthread_mutex_destroy(&session->lock);
	free(session->buckets);
	free(session);
	if (vm->session == session) {
		vm->session = NULL;
		if (vm->pid == getpid())
			pthread_cond_signal(&vm->session_ended);
	}
}

int session_dead(const struct varve_session *session)
{
	return fail(ECONNRESET, "the coordinator of %s died during this session; abandon it, then begin again",
	    session->vm->path);
}

int session_enter(struct varve_session *session)
{
	if (!session)
		return fail(EINVAL, "the session is NULL");
	int r = vm_enter(session->vm);
	if (!r)
		r = vm_lock(session->vm);
	if (r)
		return r;
	if (!atomic_load(&session->dead))
		return 0;
	vm_unlock(session->vm);
	return session_dead(session);
}

/* ---- begin ------------------------------------------------------------------------------------------------------ */

/* What is left of @wait_ms, as BEGIN has it. */
static int32_t wait_left(int wait_ms, uint64_t until)
{
	uint64_t now = clock_now();
	if (wait_ms <= 0)
		return wait_ms < 0 ? -1 : 0;
	return now >= until ? 0 : (int32_t)((until - now + 999999) / 1000000);
}

/* Wait until this handle has no session. Cancelling can not signal a condition (it may come from a signal handler), so
 * it is looked for now and then. */
static int wait_own(struct call *call, int wait_ms, uint64_t until)
{
	struct varve_vm *vm = call->vm;
	while (vm->session) {
		if (call_stopped(call))
			return fail(ECANCELED, "waiting for the session of %s was cancelled", vm->path);
		int32_t left = wait_left(wait_ms, until);
		if (left == 0)
			return fail(
			    EBUSY, "this handle of %s has a session already; commit or abandon that one", vm->path);
		uint64_t nap = left > 0 && (uint64_t)left * 1000000 < NAP_NS ? (uint64_t)left * 1000000 : NAP_NS;
		uint64_t wake = clock_now() + nap;
		struct timespec at = {(time_t)(wake / 1000000000), (long)(wake % 1000000000)};
		pthread_cond_timedwait(&vm->session_ended, &vm->lock, &at);
	}
	return 0;
}

static int begin(struct varve_vm *vm, struct varve_session *session, int wait_ms)
{
	struct call call;
	struct cursor c;
	uint64_t until = clock_now() + (uint64_t)(wait_ms > 0 ? wait_ms : 0) * 1000000;
	call_begin(&call, vm, vm->main, WIRE_BEGIN, "the beginning of a session");
	call.retry = RETRY_ALWAYS;
	int r = wait_own(&call, wait_ms, until);
	if (r)
		return call_end(&call, r);
	buf_u32(&call.request, (uint32_t)wait_left(wait_ms, until));
	r = call_run(&call, &c);
	if (!r)
		r = call_finish(&call, &c);
	if (!r)
		r = call_take_fd(&call);
	if (r >= 0) {
		session->lock_fd = r;
		r = 0;
	}
	return call_end(&call, r);
}

int varve_session_begin(struct varve_vm *vm, int wait_ms, struct varve_session **session)
{
	if (!session)
		return fail(EINVAL, "varve_session_begin() has nowhere to put the session");
	*session = NULL;
	int r = vm_enter(vm);
	if (!r)
		r = vm_lock(vm);
	if (r)
		return r;
	struct varve_session *new = session_new(vm);
	r = new ? begin(vm, new, wait_ms) : -ENOMEM;
	if (!r)
		*session = vm->session = new;
	else if (new)
		session_end(new);
	vm_unlock(vm);
	return r;
}

/* ---- modules ---------------------------------------------------------------------------------------------------- */

/* DEPLOY or MODULE: ask, and map the file that comes. */
static int obtain(struct call *call, struct varve_session *session, const struct varve_id *module)
{
	struct cursor c;
	struct varve_memory *memory = session_find(session, module);
	call->retry = RETRY_NEVER;
	int r = call_run(call, &c);
	if (r)
		return call->lost ? session_dead(session) : r;
	uint64_t size = cursor_u64(&c);
	r = call_finish(call, &c);
	int fd = r ? r : call_take_fd(call);
	if (fd < 0)
		return fd;
	if (memory) {
		pthread_mutex_lock(&session->lock);
		r = memory_adopt(memory, fd, size);
		memory->gone = r != 0;
		pthread_mutex_unlock(&session->lock);
		return r;
	}
	r = memory_open(session, module, fd, size, &memory);
	if (r)
		return r;
	if (++session->count > session->buckets_count)
		grow(session);
	insert(session, memory);
	return 0;
}

int varve_session_deploy(
    struct varve_session *session, const struct varve_id *module, uint64_t size, struct varve_memory **memory)
{
	struct call call;
	if (!module || !memory)
		return fail(EINVAL, "varve_session_deploy() needs a module's id and somewhere to put its memory");
	*memory = NULL;
	int r = session_enter(session);
	if (r)
		return r;
	struct varve_vm *vm = session->vm;
	char text[VARVE_ID_TEXT + 1];
	varve_id_format(module, text);
	struct varve_memory *known = session_find(session, module);
	if (known && !known->gone) {
		r = fail(EEXIST, "this session has module %s already; instantiate it", text);
	} else if (size > vm->options.reserve) {
		r = fail(EFBIG,
		    "module %s can not have %llu bytes, %llu are reserved; open the VM with a larger `reserve`", text,
		    (unsigned long long)size, (unsigned long long)vm->options.reserve);
	} else {
		call_begin(&call, vm, vm->main, WIRE_DEPLOY, "the deployment of a module");
		wire_put_id(&call.request, module);
		buf_u64(&call.request, size);
		r = call_end(&call, obtain(&call, session, module));
	}
	if (!r)
		*memory = session_find(session, module);
	vm_unlock(vm);
	return r;
}

int varve_session_module(struct varve_session *session, const struct varve_id *module, struct varve_memory **memory)
{
	struct call call;
	if (!module || !memory)
		return fail(EINVAL, "varve_session_module() needs a module's id and somewhere to put its memory");
	*memory = NULL;
	int r = session_enter(session);
	if (r)
		return r;
	struct varve_vm *vm = session->vm;
	struct varve_memory *known = session_find(session, module);
	if (!known || known->gone) {
		call_begin(&call, vm, vm->main, WIRE_MODULE, "the instantiation of a module");
		wire_put_id(&call.request, module);
		r = call_end(&call, obtain(&call, session, module));
	}
	if (!r)
		*memory = session_find(session, module);
	vm_unlock(vm);
	return r;
}

int varve_session_abandon(struct varve_session *session)
{
	struct call call;
	struct cursor c;
	if (!session)
		return fail(EINVAL, "the session is NULL");
	struct varve_vm *vm = session->vm;
	int r = vm_enter(vm);
	if (!r)
		r = vm_lock(vm);
	if (r)
		return r;
	/* First, for the coordinator is about to bring these files back to their commit, and to cut them. */
	unmap_all(session);
	if (!atomic_load(&session->dead)) {
		call_begin(&call, vm, vm->main, WIRE_ABANDON, "the end of a session");
		call.retry = RETRY_NEVER;
		r = call_run(&call, &c);
		if (!r)
			r = call_finish(&call, &c);
		/* If the coordinator is dead, so is the session: that is what was asked for. */
		call_end(&call, 0);
		if (call.lost)
			r = 0;
	}
	session_end(session);
	vm_unlock(vm);
	return r;
}
