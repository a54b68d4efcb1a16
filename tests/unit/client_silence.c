/*
 * client_silence.c - a coordinator that hangs, or is stopped: whoever opens a store, or has cancelled a call, gets an
 * answer all the same. Whatever a coordinator says counts as a sign of life.
 */
#include "client_fake.h"
#include "client.h"

static struct fake fake;
static struct varve_vm *vm;

static void setup(void)
{
	setenv("VARVE_COORDINATOR", "/nowhere", 1);
	setenv("VARVE_SILENCE_MS", "250", 1);
	fake_init(&fake);
	vm = NULL;
}

static void teardown(void)
{
	varve_vm_close(vm);
	fake_release(&fake);
}

TestSuite(silence, .init = setup, .fini = teardown, .timeout = 30);

Test(silence, opening_ends_with_what_to_do_about_it)
{
	fake_listen(&fake);
	fake.silent_at = WIRE_HELLO;
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -ETIMEDOUT, "%s", varve_last_error());
	assert_error_says("does not answer");
	assert_error_says("stopped");
	assert_error_says(fake.base);
	fake.silent_at = 0;
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	fake_stop(&fake);
}

/* Bringing a large store in order takes its time. */
Test(silence, who_says_that_he_is_alive_is_waited_for)
{
	setenv("VARVE_SILENCE_MS", "600", 1);
	fake_listen(&fake);
	fake.alive_first = 8;
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	fake_stop(&fake);
}

/* Connecting itself waits, once the queue is full of others who wait. */
Test(silence, one_that_does_not_even_accept_is_not_waited_for)
{
	int clients[8], listener = sock_listen(&fake.priv, "socket", NULL);
	cr_assert_geq(listener, 0);
	cr_assert_eq(listen(listener, 1), 0);
	for (int i = 0; i < 8; i++)
		clients[i] = sock_connect(&fake.priv, "socket");
	cr_assert_eq(clients[7], -EAGAIN, "the queue is not full");
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -ETIMEDOUT, "%s", varve_last_error());
	assert_error_says("does not answer");
	for (int i = 0; i < 8; i++)
		if (clients[i] >= 0)
			close(clients[i]);
	close(listener);
}

static void *look(void *arg)
{
	struct varve_log *log;
	*(int *)arg = varve_log(vm, &log);
	if (!*(int *)arg)
		varve_log_free(log);
	return NULL;
}

static void *begin(void *arg)
{
	struct varve_session *session;
	*(int *)arg = varve_session_begin(vm, -1, &session);
	return NULL;
}

/* What becomes of @call if it is cancelled once the coordinator has its request, and says nothing from then on. */
static int cancelled_in_silence(int type, void *(*call)(void *arg))
{
	pthread_t thread;
	int result = 0;
	fake.silent_at = type;
	pthread_create(&thread, NULL, call, &result);
	while (!fake.seen[type])
		usleep(500);
	varve_vm_cancel(vm);
	pthread_join(thread, NULL);
	fake.silent_at = 0;
	return result;
}

/* Cancelling asks the coordinator; it is not to be waited for if it can not hear. */
Test(silence, a_call_that_was_cancelled_ends)
{
	static void *(*const calls[])(void *) = {look, begin};
	static const int types[] = {WIRE_LOG, WIRE_BEGIN};
	fake_listen(&fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	for (int i = 0; i < 2; i++) {
		int result = cancelled_in_silence(types[i], calls[i]);
		cr_assert_eq(result, -ETIMEDOUT, "%d", result);
		/* Should it come to itself, there are no bad feelings. */
		look(&result);
		cr_assert_eq(result, 0);
	}
	fake_stop(&fake);
}

static void *watch(void *arg)
{
	struct varve_stat *stat;
	*(int *)arg = varve_stat(vm, &stat);
	varve_stat_free(stat);
	return NULL;
}

/* Who watches a store that stands still wants to be rid of it at once, not after a silence. */
Test(silence, a_look_at_the_figures_that_was_cancelled_ends_without_waiting_for_silence)
{
	setenv("VARVE_SILENCE_MS", "86400000", 1);
	fake_listen(&fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	int result = cancelled_in_silence(WIRE_STAT, watch);
	cr_assert_eq(result, -ECANCELED, "%d", result);
	watch(&result);
	cr_assert_eq(result, 0);
	fake_stop(&fake);
}

/* A commit may take as long as it takes: only who has asked for the end of it is owed an answer. */
Test(silence, a_call_that_nobody_cancels_waits)
{
	fake_listen(&fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	pthread_t thread;
	int result = 1;
	fake.silent_at = WIRE_LOG;
	pthread_create(&thread, NULL, look, &result);
	while (!fake.seen[WIRE_LOG])
		usleep(500);
	usleep(600000);
	cr_assert_eq(result, 1, "%d", result);
	varve_vm_cancel(vm);
	pthread_join(thread, NULL);
	cr_assert_eq(result, -ETIMEDOUT);
	fake_stop(&fake);
}
