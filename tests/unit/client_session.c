/*
 * client_session.c - sessions: their memories' ends, and how a session ends in peace and in disorder.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include "client_case.h"

TestSuite(session, .init = setup, .fini = teardown);

/* A VM's guard pages rely on it: SIGBUS would mean a page that is mapped but has no file behind it. */
Test(session, what_lies_beyond_the_end_is_sigsegv_never_sigbus)
{
	static const uint64_t sizes[] = {
	    3 * PAGE, 5 * PAGE, PAGE, 0, 10, PAGE, PAGE + 1, RESERVE, 7 * PAGE + 5, RESERVE - 1, 0, 2 * PAGE};
	deploy(2 * PAGE);
	assert_ends_at(2 * PAGE);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cr_assert_eq(varve_memory_resize(memory, sizes[i]), 0, "%s", varve_last_error());
		assert_ends_at(sizes[i]);
		cr_assert_eq((uint64_t)file_size(), sizes[i]);
	}
}

Test(session, what_is_written_to_a_memory_is_in_its_backing_file)
{
	char text[8] = {0}, name[NAME_MAX_SIZE];
	struct varve_id module = fake_id(1);
	deploy(PAGE);
	cr_assert_eq(varve_memory_resize(memory, 4 * PAGE), 0);
	memcpy(base + 3 * PAGE, "deeply", 6);
	name_backing(name, &module);
	int fd = openat(fake.dir.fd, name, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(pread(fd, text, 6, 3 * PAGE), 6);
	cr_assert_str_eq(text, "deeply");
	close(fd);
}

/* The rest of the last page can be written though it is not part of the memory. */
Test(session, bytes_that_a_memory_grows_by_are_zero)
{
	deploy(100);
	memset(base, 0xaa, PAGE);
	cr_assert_eq(varve_memory_resize(memory, 2 * PAGE), 0);
	cr_assert_eq(base[99], 0xaa);
	for (size_t i = 100; i < 2 * PAGE; i++)
		cr_assert_eq(base[i], 0, "byte %zu", i);
	memset(base, 0xbb, 2 * PAGE);
	cr_assert_eq(varve_memory_resize(memory, 200), 0);
	cr_assert_eq(varve_memory_resize(memory, 2 * PAGE), 0);
	for (size_t i = 200; i < 2 * PAGE; i++)
		cr_assert_eq(base[i], 0, "byte %zu", i);
}

Test(session, a_memory_never_exceeds_the_reserve)
{
	struct varve_id module = fake_id(2);
	struct varve_memory *other;
	deploy(PAGE);
	cr_assert_eq(varve_memory_resize(memory, RESERVE + 1), -EFBIG);
	assert_error_says("reserve");
	cr_assert_eq(varve_memory_resize(memory, UINT64_MAX), -EFBIG);
	assert_ends_at(PAGE);
	cr_assert_eq(varve_session_deploy(session, &module, RESERVE + 1, &other), -EFBIG);
	cr_assert_null(other);
	cr_assert_eq(fake.seen[WIRE_DEPLOY], 1, "the coordinator made a module that can not be used");
}

/* RLIMIT_FSIZE stands for every reason why a file may not grow. */
Test(session, a_file_that_can_not_grow_leaves_the_memory_as_it_was)
{
	struct rlimit limit = {2 * PAGE, RLIM_INFINITY};
	deploy(PAGE);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(varve_memory_resize(memory, 3 * PAGE), -EFBIG);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_ends_at(PAGE);
	cr_assert_eq(file_size(), PAGE);
}

Test(session, a_file_that_can_not_shrink_leaves_the_memory_as_it_was)
{
	deploy(PAGE);
	int fd = memfd_create("unshrinkable", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(fd, 3 * PAGE), 0);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	cr_assert_eq(memory_adopt(memory, fd, 3 * PAGE), 0, "%s", varve_last_error());
	base[2 * PAGE] = 7;
	cr_assert_eq(varve_memory_resize(memory, PAGE), -EPERM);
	assert_ends_at(3 * PAGE);
	cr_assert_eq(base[2 * PAGE], 7);
}

Test(session, a_module_is_given_again_without_being_asked_for_again)
{
	struct varve_id module = fake_id(1), absent = fake_id(2);
	struct varve_memory *again;
	deploy(PAGE);
	cr_assert_eq(varve_session_module(session, &module, &again), 0);
	cr_assert_eq(again, memory);
	cr_assert_eq(fake.seen[WIRE_MODULE], 0);
	cr_assert_eq(varve_session_deploy(session, &module, PAGE, &again), -EEXIST);
	cr_assert_null(again);
	cr_assert_eq(varve_session_module(session, &absent, &again), -ENOENT);
	assert_error_says("no such module");
}

/* The table of modules grows while pointers into it are out. */
Test(session, a_session_can_have_a_thousand_modules)
{
	static struct varve_memory *memories[1000];
	struct varve_memory *again;
	struct varve_id module = fake_id(3);
	for (unsigned i = 0; i < 1000; i++) {
		put_le32(module.bytes, i);
		cr_assert_eq(varve_session_deploy(session, &module, 10, &memories[i]), 0, "%s", varve_last_error());
		*(uint32_t *)varve_memory_base(memories[i]) = i;
	}
	for (unsigned i = 0; i < 1000; i++) {
		put_le32(module.bytes, i);
		cr_assert_eq(varve_session_module(session, &module, &again), 0);
		cr_assert_eq(again, memories[i]);
		cr_assert_eq(*(uint32_t *)varve_memory_base(again), i);
	}
}

/* The answer to DEPLOY says how long the file is; believing it would mean SIGBUS. */
Test(session, a_file_shorter_than_said_is_not_mapped)
{
	struct varve_id module = fake_id(1);
	char name[NAME_MAX_SIZE];
	name_backing(name, &module);
	deploy(PAGE);
	int fd = openat(fake.dir.fd, name, O_RDWR | O_CLOEXEC);
	cr_assert_eq(memory_adopt(memory, fd, PAGE + 1), -EPROTO);
	cr_assert_eq(varve_memory_size(memory), 0);
	cr_assert_eq(memory_adopt(memory, open("/dev/zero", O_RDWR | O_CLOEXEC), 0), -EPROTO);
}

/* ---- begin ------------------------------------------------------------------------------------------------------ */

Test(session, a_second_session_of_the_handle_is_refused_if_it_will_not_wait)
{
	struct varve_session *second;
	cr_assert_eq(varve_session_begin(vm, 0, &second), -EBUSY);
	cr_assert_eq(varve_session_begin(vm, 20, &second), -EBUSY);
	cr_assert_null(second);
	cr_assert_eq(fake.seen[WIRE_BEGIN], 1);
}

static void *begin_and_wait(void *arg)
{
	struct varve_session *second;
	int r = varve_session_begin(vm, -1, &second);
	if (!r)
		r = varve_session_abandon(second);
	*(int *)arg = r;
	return NULL;
}

/* Waiting must not hold what the first session needs to end. */
Test(session, a_second_session_of_the_handle_waits_for_the_end_of_the_first)
{
	pthread_t thread;
	int result = -1;
	pthread_create(&thread, NULL, begin_and_wait, &result);
	usleep(20000);
	deploy(PAGE);
	cr_assert_eq(varve_session_commit(session, NULL, NULL), 0, "%s", varve_last_error());
	pthread_join(thread, NULL);
	cr_assert_eq(result, 0);
	cr_assert_eq(fake.seen[WIRE_BEGIN], 2);
}

Test(session, waiting_for_a_session_can_be_cancelled)
{
	pthread_t thread;
	int result = 0;
	pthread_create(&thread, NULL, begin_and_wait, &result);
	usleep(20000);
	varve_vm_cancel(vm);
	pthread_join(thread, NULL);
	cr_assert_eq(result, -ECANCELED);
}

/* ---- commit and abandon ----------------------------------------------------------------------------------------- */

static bool lock_is_free(void)
{
	int fd = openat(fake.priv.fd, "lock", O_RDWR | O_CLOEXEC);
	bool got = !flock(fd, LOCK_EX | LOCK_NB);
	close(fd);
	return got;
}

Test(session, a_commit_ends_the_session_and_everything_of_it)
{
	struct varve_id id = {{0}};
	deploy(PAGE);
	cr_assert(maps_file(fake.base));
	cr_assert_not(lock_is_free());
	cr_assert_eq(varve_session_commit(session, NULL, &id), 0, "%s", varve_last_error());
	cr_assert_eq(id.bytes[0], 9);
	cr_assert_not(maps_file(fake.base));
	cr_assert(lock_is_free());
	cr_assert_eq(varve_session_begin(vm, 0, &session), 0);
}

Test(session, a_commit_that_fails_leaves_the_session_as_it_was)
{
	deploy(PAGE);
	fake.fail_at = WIRE_COMMIT;
	base[5] = 5;
	cr_assert_eq(varve_session_commit(session, NULL, NULL), -EIO);
	assert_error_says("the fake fails");
	cr_assert_eq(base[5], 5);
	assert_ends_at(PAGE);
	fake.fail_at = 0;
	cr_assert_eq(varve_session_commit(session, NULL, NULL), 0);
}

Test(session, a_label_must_be_short_utf8)
{
	static const char *const bad[] = {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "ok\x80"};
	static char text[4098];
	struct varve_commit_options options = VARVE_COMMIT_INIT;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.label = bad[i];
		cr_assert_eq(varve_session_commit(session, &options, NULL), -EINVAL, "label %zu", i);
	}
	memset(text, 'x', 4097);
	options.label = text;
	cr_assert_eq(varve_session_commit(session, &options, NULL), -EINVAL);
	cr_assert_eq(fake.seen[WIRE_COMMIT], 0);
	memcpy(text, "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10);
	text[4096] = 0;
	cr_assert_eq(varve_session_commit(session, &options, NULL), 0, "%s", varve_last_error());
}

/* Its files are about to be brought back, and perhaps cut, under whatever is still mapped. */
Test(session, abandoning_unmaps_before_it_asks)
{
	deploy(PAGE);
	fake.mapped_at_abandon = true;
	cr_assert_eq(varve_session_abandon(session), 0);
	cr_assert_not(fake.mapped_at_abandon);
	cr_assert(lock_is_free());
}

/* Whoever dies over it: the session is gone, and that was what was asked for. */
Test(session, abandoning_succeeds_though_the_coordinator_dies_of_it)
{
	deploy(PAGE);
	fake.die_at = WIRE_ABANDON;
	cr_assert_eq(varve_session_abandon(session), 0, "%s", varve_last_error());
	fake.die_at = 0;
	cr_assert(lock_is_free());
	cr_assert_eq(varve_session_begin(vm, 0, &session), 0, "%s", varve_last_error());
}

/* ---- a coordinator that dies ------------------------------------------------------------------------------------ */

/* The session's files may be anywhere between two commits: only its end is left. */
Test(session, after_the_coordinators_death_only_abandoning_is_left)
{
	struct varve_id id = fake_id(1), other = fake_id(2);
	struct varve_memory *more;
	struct varve_session *second;
	deploy(PAGE);
	base[0] = 1;
	fake_stop(&fake);
	fake_listen(&fake);
	cr_assert_eq(varve_session_deploy(session, &other, PAGE, &more), -ECONNRESET);
	cr_assert_eq(varve_session_module(session, &other, &more), -ECONNRESET);
	cr_assert_eq(varve_session_module(session, &id, &more), -ECONNRESET);
	cr_assert_eq(varve_restore(vm, &id, NULL, NULL), -ECONNRESET);
	cr_assert_eq(varve_session_commit(session, NULL, NULL), -ECONNRESET);
	assert_error_says("abandon");
	cr_assert_eq(varve_memory_resize(memory, 2 * PAGE), -ECONNRESET);
	cr_assert_eq(varve_session_begin(vm, 0, &second), -EBUSY);
	cr_assert_eq(base[0], 1, "the memory must stay readable");
	/* Looking, and persisting what was committed, need no session. */
	cr_assert_eq(varve_resolve(vm, "HEAD", &id), 0, "%s", varve_last_error());
	cr_assert_eq(varve_persist(vm), 0, "%s", varve_last_error());
	cr_assert_eq(varve_session_commit(session, NULL, NULL), -ECONNRESET);
	cr_assert_not(lock_is_free(), "the next coordinator must see that files are mapped still");
	cr_assert_eq(varve_session_abandon(session), 0);
	cr_assert(lock_is_free());
	cr_assert_eq(fake.seen[WIRE_ABANDON], 0);
	cr_assert_eq(varve_session_begin(vm, 0, &session), 0, "%s", varve_last_error());
	deploy(PAGE);
}

Test(session, a_commit_whose_answer_is_lost_says_where_to_look)
{
	deploy(PAGE);
	fake.die_at = WIRE_COMMIT;
	cr_assert_eq(varve_session_commit(session, NULL, NULL), -ECONNRESET);
	assert_error_says("look at the log");
	cr_assert_eq(fake.seen[WIRE_COMMIT], 1, "a commit must not be sent twice");
	cr_assert_eq(varve_session_abandon(session), 0);
}

/* ---- looking while there is a session ---------------------------------------------------------------------------- */

Test(session, looking_takes_another_connection_than_the_sessions)
{
	struct varve_id id;
	for (int i = 0; i < 3; i++)
		cr_assert_eq(varve_resolve(vm, "HEAD", &id), 0);
	cr_assert_eq(fake.seen[WIRE_HELLO], 2, "the second connection is kept");
}

static void *look_about(void *arg)
{
	struct varve_id id;
	for (int i = 0; i < 50 && !*(int *)arg; i++)
		*(int *)arg = varve_resolve(vm, "HEAD", &id);
	return NULL;
}

Test(session, threads_may_look_at_once_while_another_changes)
{
	pthread_t threads[4];
	int results[4] = {0};
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, look_about, &results[i]);
	for (int i = 0; i < 20; i++) {
		deploy(PAGE);
		cr_assert_eq(varve_session_commit(session, NULL, NULL), 0);
		cr_assert_eq(varve_session_begin(vm, 0, &session), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(results[i], 0);
	}
}
