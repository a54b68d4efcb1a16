/*
 * store_crowd.c - a hundred processes with one store: all of them get on, and sessions go round in the order in which
 * they were asked for.
 */
#include "helper_trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define CROWD 100
#define ROUNDS 12
#define QUEUE 6
#define SIZE 40000

TestSuite(crowd, .init = store_setup, .fini = store_teardown, .timeout = 120);

struct shared {
	_Atomic int here; /* those that have opened the store */
	_Atomic int go;
	_Atomic int rounds[CROWD];
	_Atomic int turn; /* sessions begun so far */
	_Atomic int turns[CROWD]; /* which one was whose */
	struct varve_id ids[3];
};

static struct shared *shared;

struct member {
	int number;
};

static void share(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(shared != MAP_FAILED);
}

static void wait_for(_Atomic int *value, int least)
{
	for (int i = 0; i < 100000 && atomic_load(value) < least; i++)
		usleep(500);
}

static int join(struct varve_vm **vm)
{
	int r = varve_vm_open(store_path(""), NULL, vm);
	if (r)
		return r;
	atomic_fetch_add(&shared->here, 1);
	wait_for(&shared->go, 1);
	return 0;
}

/* An old image, and the log. */
static int look(struct varve_vm *vm, int k, int fd)
{
	static char image[SIZE];
	struct varve_log *log;
	struct varve_id m = id_of("M");
	uint64_t size;
	int r = varve_checkout(vm, &shared->ids[k], &m, fd, &size);
	if (!r && (size != SIZE || pread(fd, image, SIZE, 0) != SIZE || image[SIZE - 1] != 'a' + k))
		r = -EBADMSG;
	if (r || (r = varve_log(vm, &log)))
		return r;
	r = log->count < 3 ? -EBADMSG : 0;
	varve_log_free(log);
	return r;
}

/* Were one served only when the others have had enough, this would never be so. */
static bool all_had_theirs(void)
{
	for (int i = 0; i < CROWD; i++)
		if (atomic_load(&shared->rounds[i]) < ROUNDS)
			return false;
	return true;
}

/* Adds one to the number in the module, in a session of its own. */
static int add_one(struct varve_vm *vm)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id n = id_of("N");
	int r = varve_session_begin(vm, -1, &session);
	if (r)
		return r;
	r = varve_session_module(session, &n, &memory);
	if (!r) {
		++*(uint32_t *)varve_memory_base(memory);
		return varve_session_commit(session, NULL, NULL);
	}
	varve_session_abandon(session);
	return r;
}

static int live(void *arg)
{
	const struct member *member = arg;
	struct varve_vm *vm;
	int fd = memfd_create("image", MFD_CLOEXEC);
	int r = join(&vm);
	for (int i = 0; !r && !all_had_theirs(); i++) {
		r = look(vm, (member->number + i) % 3, fd);
		atomic_fetch_add(&shared->rounds[member->number], 1);
	}
	if (!r)
		r = add_one(vm);
	if (!r)
		varve_vm_close(vm);
	return r;
}

Test(crowd, a_hundred_processes_look_and_commit_and_none_is_forgotten)
{
	pid_t children[CROWD];
	share();
	struct varve_vm *vm = store_open();
	uint32_t *numbers = calloc(1, SIZE);
	for (int k = 0; k < 3; k++)
		shared->ids[k] = store_commit_one(vm, "M", SIZE, 'a' + k, NULL);
	store_commit(vm, &(struct content) {"N", numbers, SIZE, NULL}, 1);
	for (int i = 0; i < CROWD; i++)
		children[i] = child_start(live, &(struct member) {i});
	wait_for(&shared->here, CROWD);
	struct varve_stat *stat;
	must(varve_stat(vm, &stat));
	cr_assert(stat->clients >= CROWD, "%u clients", stat->clients);
	varve_stat_free(stat);
	atomic_store(&shared->go, 1);
	for (int i = 0; i < CROWD; i++)
		cr_assert(child_end(children[i]) == 0, "process %d", i);
	numbers[0] = CROWD;
	store_expect("N", numbers, SIZE);
	free(numbers);
	expect_verified(vm, NULL);
	varve_vm_close(vm);
	end_processes();
	cr_assert(!store_is_clean(), "%s", store_is_clean());
}

/* ---- order ---------------------------------------------------------------------------------------------------------- */

static int wait_in_line(void *arg)
{
	const struct member *member = arg;
	struct varve_vm *vm;
	struct varve_session *session;
	int r = varve_vm_open(store_path(""), NULL, &vm);
	if (r)
		return r;
	atomic_store(&shared->here, member->number + 1);
	r = varve_session_begin(vm, -1, &session);
	if (r)
		return r;
	atomic_store(&shared->turns[atomic_fetch_add(&shared->turn, 1)], member->number);
	r = varve_session_abandon(session);
	varve_vm_close(vm);
	return r;
}

/* A process that sleeps behind `here` waits for the answer to its request, which is in the coordinator's socket. */
static void wait_until_asleep(pid_t pid)
{
	falls_asleep(pid, 20000);
}

Test(crowd, who_waits_for_a_session_gets_it_in_the_order_of_asking)
{
	pid_t children[QUEUE];
	struct varve_session *session, *second;
	struct varve_vm *other;
	share();
	struct varve_vm *vm = store_open();
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_session_begin(vm, 0, &session));
	for (int i = 0; i < QUEUE; i++) {
		children[i] = child_start(wait_in_line, &(struct member) {i});
		wait_for(&shared->here, i + 1);
		wait_until_asleep(children[i]);
	}
	must(varve_vm_open(store_path(""), NULL, &other));
	must_fail(varve_session_begin(other, 0, &second), -EBUSY);
	must(varve_session_abandon(session));
	for (int i = 0; i < QUEUE; i++)
		cr_assert(child_end(children[i]) == 0);
	for (int i = 0; i < QUEUE; i++)
		cr_assert(shared->turns[i] == i, "turn %d was that of process %d", i, shared->turns[i]);
	varve_vm_close(other);
	varve_vm_close(vm);
}
