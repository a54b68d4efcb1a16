/*
 * vm.c - a VM handle: its options, its path, its locks, its connections.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "cpu.h"
#include "err.h"

#define RESERVE_DEFAULT (8ull << 30)
#define RESERVE_MAX (1ull << 46)
#define WORKERS_MAX 1024
/** Longer than a coordinator that is awake takes to answer what it need not read files for. */
#define SPIN_NS 30000
#define SILENCE_MS 10000
#define SILENCE_MS_MAX 86400000

int options_take(void *to, size_t size, const void *from, const char *what)
{
	size_t given;
	memset(to, 0, size);
	if (!from)
		return 0;
	memcpy(&given, from, sizeof(given));
	if (given <= sizeof(given) || given > 4096)
		return fail(EINVAL, "struct_size in %s is %zu; initialise it with the macro of varve.h", what, given);
	for (size_t i = size; i < given; i++)
		if (((const uint8_t *)from)[i])
			return fail(EINVAL, "%s sets what this library, version %s, does not know; use a later one",
			    what, VARVE_VERSION_STRING);
	memcpy(to, from, given < size ? given : size);
	return 0;
}

int vm_options(const struct varve_options *options, struct varve_options *copy)
{
	int r = options_take(copy, sizeof(*copy), options, "struct varve_options");
	if (r)
		return r;
	if (copy->workers > WORKERS_MAX)
		return fail(EINVAL, "%u workers were asked for; it can be 1 to %u", copy->workers, WORKERS_MAX);
	if ((unsigned)copy->io > VARVE_IO_PREAD || (unsigned)copy->sync > VARVE_SYNC_NONE)
		return fail(EINVAL, "an io or sync option is none of those in varve.h");
	if (copy->reserve > RESERVE_MAX)
		return fail(EINVAL, "%llu bytes of reserve are more than a process can have; at most %llu",
		    (unsigned long long)copy->reserve, RESERVE_MAX);
	if (!copy->reserve)
		copy->reserve = RESERVE_DEFAULT;
	return 0;
}

/* The path of a directory that does not exist: its parent must. */
static int path_of_new(const char *base_dir, char **path)
{
	size_t length = strlen(base_dir);
	while (length > 1 && base_dir[length - 1] == '/')
		length--;
	char *copy = strndup(base_dir, length);
	if (!copy)
		return -ENOMEM;
	char *slash = strrchr(copy, '/');
	const char *name = slash ? slash + 1 : copy;
	if (slash)
		*slash = 0;
	char *parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
	int r = parent ? 0 : -errno;
	if (!r && asprintf(path, "%s/%s", parent[1] ? parent : "", name) < 0) {
		*path = NULL;
		r = -ENOMEM;
	}
	free(parent);
	free(copy);
	return r;
}

int vm_path(const char *base_dir, char **path)
{
	if (!base_dir || !*base_dir)
		return fail(EINVAL, "no directory is named");
	*path = realpath(base_dir, NULL);
	int r = *path ? 0 : -errno;
	if (r == -ENOENT)
		r = path_of_new(base_dir, path);
	if (r == -ENOENT)
		return fail(ENOENT, "%s: its parent directory does not exist; make that first", base_dir);
	if (r)
		return fail_sys(-r, "%s can not be opened", base_dir);
	if (strlen(*path) < PATH_MAX)
		return 0;
	free(*path);
	*path = NULL;
	return fail(ENAMETOOLONG, "the absolute path of %.80s... is too long; move it, or open it by a link", base_dir);
}

static int init_locks(struct varve_vm *vm)
{
	pthread_mutexattr_t attr;
	pthread_condattr_t monotonic;
	int r = pthread_mutexattr_init(&attr);
	if (!r) {
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
		r = pthread_mutex_init(&vm->lock, &attr);
		pthread_mutexattr_destroy(&attr);
	}
	if (!r)
		r = pthread_mutex_init(&vm->idle_lock, NULL);
	if (!r)
		r = pthread_condattr_init(&monotonic);
	if (!r) {
		pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
		r = pthread_cond_init(&vm->session_ended, &monotonic);
		pthread_condattr_destroy(&monotonic);
	}
	return r ? fail_sys(r, "a lock can not be made") : 0;
}

static int take_silence(struct varve_vm *vm)
{
	const char *text = secure_getenv("VARVE_SILENCE_MS");
	char *end;
	vm->silence_ns = SILENCE_MS * 1000000ull;
	if (!text || !*text)
		return 0;
	errno = 0;
	unsigned long ms = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || ms < 1 || ms > SILENCE_MS_MAX)
		return fail(
		    EINVAL, "VARVE_SILENCE_MS is \"%.40s\"; it must be a number from 1 to %d", text, SILENCE_MS_MAX);
	vm->silence_ns = ms * 1000000ull;
	return 0;
}

static int fill(struct varve_vm *vm, const char *base_dir, const struct varve_options *options)
{
	int r = vm_options(options, &vm->options);
	const char *coordinator = vm->options.coordinator, *settings = vm->options.settings;
	vm->options.coordinator = vm->options.settings = vm->options.config = NULL;
	if (!r)
		r = take_silence(vm);
	if (!r)
		r = vm_path(base_dir, &vm->path);
	if (!r)
		r = init_locks(vm);
	if (r)
		return r;
	if (coordinator)
		vm->options.coordinator = strdup(coordinator);
	if (settings)
		vm->options.settings = strdup(settings);
	if ((coordinator && !vm->options.coordinator) || (settings && !vm->options.settings))
		return fail(ENOMEM, "not enough memory to open %s", vm->path);
	vm->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->cancel_fd < 0)
		return fail_sys(errno, "%s can not be opened", vm->path);
	vm->spin_ns = cpu_available() > 1 ? SPIN_NS : 0;
	vm->main = conn_new();
	return vm->main ? conn_open(vm, vm->main, 0, &vm->notice) : -ENOMEM;
}

static void vm_free(struct varve_vm *vm)
{
	while (vm->idle) {
		struct conn *conn = vm->idle;
		vm->idle = conn->next;
		conn_free(conn);
	}
	conn_free(vm->main);
	if (vm->cancel_fd >= 0)
		close(vm->cancel_fd);
	free((char *)(uintptr_t)vm->options.coordinator);
	free((char *)(uintptr_t)vm->options.settings);
	free(vm->notice);
	free(vm->path);
	free(vm);
}

int varve_vm_open(const char *base_dir, const struct varve_options *options, struct varve_vm **vm)
{
	if (!vm)
		return fail(EINVAL, "varve_vm_open() has nowhere to put the handle");
	*vm = NULL;
	struct varve_vm *new = calloc(1, sizeof(*new));
	if (!new)
		return fail(ENOMEM, "not enough memory for a VM handle");
	new->pid = getpid();
	new->cancel_fd = -1;
	int r = fill(new, base_dir, options);
	if (r) {
		vm_free(new);
		return r;
	}
	*vm = new;
	return 0;
}

void varve_vm_close(struct varve_vm *vm)
{
	if (!vm)
		return;
	if (vm->pid != getpid()) {
		/* A child of the process that opened it: its locks may be held for ever, its session is not ours. */
		if (vm->session)
			session_end(vm->session);
		vm_free(vm);
		return;
	}
	if (vm->session)
		varve_session_abandon(vm->session);
	while (vm->idle) {
		struct conn *conn = vm->idle;
		vm->idle = conn->next;
		conn_free(conn);
	}
	if (vm->main)
		conn_part(vm->main);
	pthread_cond_destroy(&vm->session_ended);
	pthread_mutex_destroy(&vm->idle_lock);
	pthread_mutex_destroy(&vm->lock);
	vm_free(vm);
}

const char *varve_vm_notice(const struct varve_vm *vm)
{
	return vm && vm->notice ? vm->notice : "";
}

int vm_enter(const struct varve_vm *vm)
{
	if (!vm)
		return fail(EINVAL, "the VM handle is NULL");
	if (vm->pid != getpid())
		return fail(EPERM, "this handle of %s was opened by process %d; open one in the process that uses it",
		    vm->path, (int)vm->pid);
	return 0;
}

int vm_lock(struct varve_vm *vm)
{
	if (pthread_mutex_lock(&vm->lock))
		return fail(EDEADLK, "a call that changes %s was made inside a callback of another; make it afterwards",
		    vm->path);
	return 0;
}

void vm_unlock(struct varve_vm *vm)
{
	pthread_mutex_unlock(&vm->lock);
}

struct conn *vm_borrow(struct varve_vm *vm, bool brief)
{
	if (brief && !pthread_mutex_trylock(&vm->lock)) {
		/* A session's thread must not find its connection taken by somebody who looks. */
		if (!vm->session)
			return vm->main;
		vm_unlock(vm);
	}
	pthread_mutex_lock(&vm->idle_lock);
	struct conn *conn = vm->idle;
	if (conn) {
		vm->idle = conn->next;
		vm->idle_count--;
	}
	pthread_mutex_unlock(&vm->idle_lock);
	return conn ? conn : conn_new();
}

void vm_return(struct varve_vm *vm, struct conn *conn)
{
	if (conn == vm->main) {
		vm_unlock(vm);
		return;
	}
	pthread_mutex_lock(&vm->idle_lock);
	bool keep = conn->sock >= 0 && vm->idle_count < IDLE_MAX;
	if (keep) {
		conn->next = vm->idle;
		vm->idle = conn;
		vm->idle_count++;
	}
	pthread_mutex_unlock(&vm->idle_lock);
	if (!keep)
		conn_free(conn);
}
