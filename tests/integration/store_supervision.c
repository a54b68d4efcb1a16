/*
 * store_supervision.c - processes that are stopped, or killed at a chosen moment, and calls that are cancelled: what is
 * under way ends, the others do not notice, and memories never raise SIGBUS.
 */
#include "helper_trouble.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE 40000
#define LARGE (512u << 10)

TestSuite(supervision, .init = store_setup, .fini = store_teardown, .timeout = 60);

static int other_open(struct varve_vm **vm)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	options.workers = 2;
	return varve_vm_open(store_path(""), &options, vm);
}

/* ---- a coordinator that is stopped ------------------------------------------------------------------------------- */

/* Whoever opens the store is told which process it is, instead of waiting for it without end. */
Test(supervision, a_coordinator_that_is_stopped_is_named_to_whoever_opens_the_store)
{
	struct varve_vm *vm = store_open(), *other;
	char name[32];
	int pid = coordinator_pid(vm);
	setenv("VARVE_SILENCE_MS", "300", 1);
	cr_assert(kill(pid, SIGSTOP) == 0);
	must_fail(other_open(&other), -ETIMEDOUT);
	snprintf(name, sizeof(name), "process %d", pid);
	cr_assert(strstr(varve_last_error(), name), "%s", varve_last_error());
	cr_assert(kill(pid, SIGCONT) == 0);
	unsetenv("VARVE_SILENCE_MS");
	must(other_open(&other));
	varve_vm_close(other);
	varve_vm_close(vm);
}

struct call {
	struct varve_vm *vm;
	struct varve_id commit;
	int result;
	_Atomic bool over;
};

static void *restore_main(void *arg)
{
	struct call *call = arg;
	call->result = varve_restore(call->vm, &call->commit, NULL, NULL);
	atomic_store(&call->over, true);
	return NULL;
}

static void *verify_main(void *arg)
{
	struct call *call = arg;
	call->result = varve_verify(call->vm, NULL, NULL, NULL);
	atomic_store(&call->over, true);
	return NULL;
}

/* Until the call is over; cancelled again and again, since it may not have begun. */
static void cancel_until_over(struct call *call)
{
	for (int i = 0; i < 2000 && !atomic_load(&call->over); i++) {
		varve_vm_cancel(call->vm);
		usleep(10000);
	}
}

/* Cancelling works then, too; and once the coordinator goes on all is at one commit, whichever that is. */
Test(supervision, a_restore_can_be_cancelled_though_the_coordinator_is_stopped)
{
	pthread_t thread;
	struct varve_id head, ids[2];
	setenv("VARVE_SILENCE_MS", "300", 1);
	struct varve_vm *vm = store_open();
	ids[0] = store_commit_one(vm, "M", SIZE, 'a', NULL);
	ids[1] = store_commit_one(vm, "M", SIZE, 'b', NULL);
	struct call call = {.vm = vm, .commit = ids[0]};
	int pid = coordinator_pid(vm);
	cr_assert(kill(pid, SIGSTOP) == 0);
	cr_assert(pthread_create(&thread, NULL, restore_main, &call) == 0);
	usleep(50000);
	cancel_until_over(&call);
	cr_assert(atomic_load(&call.over), "it can not be cancelled");
	pthread_join(thread, NULL);
	cr_assert(kill(pid, SIGCONT) == 0);
	cr_assert(call.result == -ETIMEDOUT || call.result == -ECANCELED, "%d", call.result);
	must(varve_persist(vm));
	must(varve_resolve(vm, "HEAD", &head));
	store_expect_fill("M", SIZE, memcmp(&head, &ids[0], sizeof(head)) == 0 ? 'a' : 'b');
	must(varve_restore(vm, &ids[0], NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	varve_vm_close(vm);
}

/* ---- workers that are stopped ------------------------------------------------------------------------------------ */

/* Stopped in the middle of a job, of each kind: another does the job, and nobody who waits for it notices. */
Test(supervision, the_work_of_a_worker_that_is_stopped_is_done_by_another)
{
	static const char *const places[] = {
	    "restore.written", "commit.written", "publish.last", "read.open", "write.data"};
	setenv("VARVE_INLINE", "0", 1);
	int count = how_many(2, (int)(sizeof(places) / sizeof(*places)));
	for (int i = 0; i < count; i++) {
		char fault[64];
		snprintf(fault, sizeof(fault), "%s:1:stop", places[i]);
		fault_set("worker", fault, false);
		struct varve_vm *vm = store_open();
		struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', NULL);
		store_commit_one(vm, "M", SIZE, 'b', NULL);
		store_commit_one(vm, "M", SIZE, 'c', NULL);
		must(varve_restore(vm, &a, NULL, NULL));
		store_expect_fill("M", SIZE, 'a');
		expect_verified(vm, NULL);
		cr_assert(fault_struck(), "%s was never passed", places[i]);
		cr_assert(workers_sum(vm).restarts >= 1, "%s", places[i]);
		varve_vm_close(vm);
		fault_clear();
		end_processes();
		store_remove();
	}
}

/* Also one that has nothing to do: whoever comes next finds the pool whole. */
Test(supervision, an_idle_worker_that_is_stopped_is_replaced)
{
	struct varve_vm *vm = store_open();
	struct varve_stat *stat;
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	must(varve_stat(vm, &stat));
	int before = stat->workers[0].pid, after = before;
	cr_assert(before && kill(before, SIGSTOP) == 0);
	varve_stat_free(stat);
	while (after == before || !after) {
		usleep(10000);
		must(varve_stat(vm, &stat));
		after = stat->workers[0].pid;
		varve_stat_free(stat);
	}
	cr_assert_eq(workers_sum(vm).restarts, 1);
	varve_vm_close(vm);
}

static int verify_once(void *arg)
{
	struct varve_vm *vm;
	(void)arg;
	int r = other_open(&vm);
	return r ? r : varve_verify(vm, NULL, NULL, NULL);
}

/* Nobody waits for what it had asked for any more, and its worker does not come to an end: others are served. */
Test(supervision, a_client_that_is_killed_while_its_worker_hangs_holds_up_nobody)
{
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	struct varve_id a = store_commit_one(vm, "M", SIZE, 'a', NULL);
	store_commit_one(vm, "M", SIZE, 'b', NULL);
	varve_vm_close(vm);
	end_processes();
	setenv("VARVE_HANG_MS", "1000", 1);
	fault_set("worker", "worker.take:1:hang", false);
	pid_t child = child_start(verify_once, NULL);
	for (int i = 0; i < 20000 && !fault_struck(); i++)
		usleep(1000);
	cr_assert(fault_struck());
	must(other_open(&vm));
	kill(child, SIGKILL);
	child_end(child);
	usleep(20000);
	struct varve_log *log;
	must(varve_log(vm, &log));
	varve_log_free(log);
	must(varve_restore(vm, &a, NULL, NULL));
	store_expect_fill("M", SIZE, 'a');
	fault_clear();
	varve_vm_close(vm);
}

/* What it had half written is no use to anybody. */
Test(supervision, a_worker_that_is_killed_leaves_no_temporary_file)
{
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	for (int k = 0; k < 5; k++)
		store_commit_one(vm, "M", SIZE, 'a' + k, NULL);
	must(varve_optimize(vm));
	varve_vm_close(vm);
	end_processes();
	/* Background work shall not have been through with this one. */
	fault_set("worker", "tiers.write:1+:EIO", true);
	vm = store_open();
	struct varve_id last = store_commit_one(vm, "M", SIZE, 'z', NULL);
	varve_vm_close(vm);
	end_processes();
	fault_set("worker", "write.data:1:kill", false);
	vm = store_open();
	must(varve_optimize(vm));
	cr_assert(fault_struck());
	must(varve_restore(vm, &last, NULL, NULL));
	varve_vm_close(vm);
	end_processes();
	cr_assert(!store_is_clean(), "%s", store_is_clean());
	fault_clear();
}

/* It need not be read to its end when nobody wants to know any more. */
Test(supervision, a_verification_that_is_cancelled_does_not_go_on)
{
	pthread_t thread;
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	char *image = calloc(1, 4u << 20);
	for (int k = 0; k < 20; k++) {
		noise(image + k * 100000, 100000, (uint64_t)k);
		store_commit(vm, &(struct content) {"M", image, 4u << 20, NULL}, 1);
	}
	free(image);
	varve_vm_close(vm);
	end_processes();
	/* Half way, and under way for certain when it is cancelled. */
	setenv("VARVE_HANG_MS", "400", 1);
	fault_set("worker", "read.data:8:hang", false);
	vm = store_open();
	struct call call = {.vm = vm};
	cr_assert(pthread_create(&thread, NULL, verify_main, &call) == 0);
	for (int i = 0; i < 20000 && !fault_struck(); i++)
		usleep(1000);
	cr_assert(fault_struck());
	cancel_until_over(&call);
	pthread_join(thread, NULL);
	cr_assert(call.result == -ECANCELED, "%d", call.result);
	uint64_t later = workers_sum(vm).bytes_read;
	struct varve_verify_report report;
	must(varve_verify(vm, NULL, NULL, &report));
	cr_assert(later < report.bytes / 2, "%llu of %llu bytes were read all the same", (unsigned long long)later,
	    (unsigned long long)report.bytes);
	fault_clear();
	varve_vm_close(vm);
}

/* ---- cancelling ---------------------------------------------------------------------------------------------------- */

static int stop_at_once(void *arg, const struct varve_report *so_far)
{
	(void)so_far;
	++*(int *)arg;
	return 1;
}

static void *cancel_soon(void *arg)
{
	usleep(3000);
	varve_vm_cancel(arg);
	return NULL;
}

/* All or nothing, also when it is not an error that ends it. */
Test(supervision, a_restore_that_is_cancelled_leaves_every_module_where_it_was)
{
	enum { MODULES = 60 };
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id ids[2];
	static char image[200000];
	char name[16];
	for (int k = 0; k < 2; k++) {
		must(varve_session_begin(vm, 0, &session));
		for (int m = 0; m < MODULES; m++) {
			snprintf(name, sizeof(name), "M%d", m);
			struct varve_id id = id_of(name);
			if (k == 0)
				must(varve_session_deploy(session, &id, sizeof(image), &memory));
			else
				must(varve_session_module(session, &id, &memory));
			noise(varve_memory_base(memory), sizeof(image), (uint64_t)(100 * k + m));
		}
		must(varve_session_commit(session, NULL, &ids[k]));
	}
	for (int i = 0; i < 10; i++) {
		struct varve_restore_options options = VARVE_RESTORE_INIT;
		struct varve_id head;
		pthread_t thread;
		int calls = 0, way = i % 2;
		if (way) {
			options.progress = stop_at_once;
			options.progress_arg = &calls;
		} else {
			cr_assert(pthread_create(&thread, NULL, cancel_soon, vm) == 0);
		}
		int r = varve_restore(vm, &ids[0], &options, NULL);
		if (!way)
			pthread_join(thread, NULL);
		cr_assert(r == 0 || r == -ECANCELED, "%d, %s", r, varve_last_error());
		must(varve_resolve(vm, "HEAD", &head));
		cr_assert(memcmp(&head, &ids[r ? 1 : 0], sizeof(head)) == 0);
		for (int m = 0; m < MODULES; m++) {
			snprintf(name, sizeof(name), "M%d", m);
			noise(image, sizeof(image), (uint64_t)((r ? 100 : 0) + m));
			store_expect(name, image, sizeof(image));
		}
		must(varve_restore(vm, &ids[1], NULL, NULL));
	}
	varve_vm_close(vm);
}

/* ---- memories that get shorter ----------------------------------------------------------------------------------- */

static sigjmp_buf landing;

static void on_fault(int sig)
{
	siglongjmp(landing, sig);
}

static int signal_at(volatile char *p)
{
	int sig = sigsetjmp(landing, 1);
	if (sig == 0)
		(void)*p;
	return sig;
}

/* The VM's other threads go on while one restores. What is about to be cut off is out of reach before its file is cut:
 * else there were a moment, here made long, in which it raises SIGBUS, which no VM expects. */
Test(supervision, a_thread_that_reads_the_tail_of_a_shrinking_memory_never_gets_sigbus)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id m = id_of("M");
	pthread_t thread;
	int seen = 0;
	setenv("VARVE_INLINE", "0", 1);
	struct varve_vm *vm = store_open();
	struct varve_id small = store_commit_one(vm, "M", SIZE, 's', NULL);
	store_commit_one(vm, "M", LARGE, 'l', NULL);
	varve_vm_close(vm);
	end_processes();
	setenv("VARVE_HANG_MS", "400", 1);
	fault_set("worker", "restore.written:1:hang", false);
	vm = store_open();
	must(varve_session_begin(vm, 0, &session));
	must(varve_session_module(session, &m, &memory));
	char *tail = (char *)varve_memory_base(memory) + LARGE - 1;
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	struct call call = {.vm = vm, .commit = small};
	cr_assert(signal_at(tail) == 0);
	cr_assert(pthread_create(&thread, NULL, restore_main, &call) == 0);
	while (!atomic_load(&call.over)) {
		bool cut = fault_struck();
		int sig = signal_at(tail);
		cr_assert(sig != SIGBUS, "SIGBUS %s the file was cut", cut ? "after" : "before or while");
		seen += cut && sig == SIGSEGV;
		usleep(500);
	}
	pthread_join(thread, NULL);
	cr_assert(call.result == 0, "%d", call.result);
	cr_assert(seen > 0, "nobody looked while the file was cut and the call not over");
	fault_clear();
	must(varve_session_abandon(session));
	varve_vm_close(vm);
}

static int raw_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", store_path(".varve/socket"));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* A request: its type and serial, then @size bytes. Returns the type of what comes next. */
static int raw_ask(int sock, uint8_t type, const void *payload, size_t size)
{
	uint8_t message[128] = {type, 0, 0, 0, type}, answer[512];
	memcpy(message + 8, payload, size);
	cr_assert(send(sock, message, 8 + size, MSG_NOSIGNAL) == (ssize_t)(8 + size));
	cr_assert(recv(sock, answer, sizeof(answer), 0) > 8);
	cr_assert(answer[0] != WIRE_REPLY || (answer[8] | answer[9]) == 0, "request %u was refused", type);
	return answer[0];
}

/* A VM that is stopped in just that moment: its session is its own, and everything else goes on. */
Test(supervision, a_client_that_does_not_take_tails_away_keeps_nobody_waiting)
{
	struct varve_vm *vm = store_open();
	struct varve_session *session;
	struct varve_log *log;
	struct varve_id m = id_of("M");
	struct varve_id small = store_commit_one(vm, "M", SIZE, 's', NULL);
	store_commit_one(vm, "M", LARGE, 'l', NULL);
	int sock = raw_connect();
	uint8_t restore[37] = {0}, hello[] = {WIRE_PROTOCOL, 0, 0, 0, 1, 0, 0, 0, '1'};
	memcpy(restore, &small, sizeof(small));
	cr_assert(raw_ask(sock, WIRE_HELLO, hello, sizeof(hello)) == WIRE_REPLY);
	cr_assert(raw_ask(sock, WIRE_BEGIN, "\0\0\0\0", 4) == WIRE_REPLY);
	cr_assert(raw_ask(sock, WIRE_MODULE, &m, sizeof(m)) == WIRE_REPLY);
	cr_assert(raw_ask(sock, WIRE_RESTORE, restore, sizeof(restore)) == WIRE_SHRINK);
	must(varve_log(vm, &log));
	varve_log_free(log);
	size_t size;
	free(store_checkout(vm, &small, "M", &size));
	must(varve_persist(vm));
	expect_verified(vm, NULL);
	must_fail(varve_session_begin(vm, 0, &session), -EBUSY);
	close(sock);
	must(varve_session_begin(vm, 5000, &session));
	must(varve_session_abandon(session));
	store_expect_fill("M", LARGE, 'l');
	varve_vm_close(vm);
}

/* ---- versions ---------------------------------------------------------------------------------------------------- */

/* A library of another version is told so in a sentence, and disturbs nobody. */
Test(supervision, a_library_of_another_version_is_refused_in_a_sentence)
{
	struct varve_vm *vm = store_open();
	uint8_t hello[] = {WIRE_HELLO, 0, 0, 0, 1, 0, 0, 0, 99, 0, 0, 0, 4, 0, 0, 0, '9', '.', '9', '9'};
	uint8_t answer[512] = {0};
	int sock = raw_connect();
	cr_assert(send(sock, hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello));
	cr_assert(recv(sock, answer, sizeof(answer) - 1, 0) > 16);
	int result =
	    (int)(answer[8] | (uint32_t)answer[9] << 8 | (uint32_t)answer[10] << 16 | (uint32_t)answer[11] << 24);
	cr_assert(answer[0] == WIRE_REPLY && result == -EPROTONOSUPPORT, "%d", result);
	const char *sentence = (const char *)answer + 16;
	cr_assert(strstr(sentence, "9.99") && strstr(sentence, varve_version()), "%s", sentence);
	close(sock);
	store_commit_one(vm, "M", SIZE, 'a', NULL);
	varve_vm_close(vm);
}
