/*
 * client_query.c - looking at a store: answers, errors, garbage, a coordinator that dies of the question; and ids.
 */
#include <limits.h>

#include "client_fake.h"
#include "client.h"

static struct fake fake;
static struct varve_vm *vm;

static void setup(void)
{
	setenv("VARVE_COORDINATOR", "/nowhere", 1);
	fake_init(&fake);
	fake_listen(&fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
}

static void teardown(void)
{
	varve_vm_close(vm);
	fake_stop(&fake);
	fake_release(&fake);
}

TestSuite(query, .init = setup, .fini = teardown);

/* ---- looking ---------------------------------------------------------------------------------------------------- */

Test(query, a_log_larger_than_a_packet_arrives)
{
	struct varve_log *log;
	for (size_t rows = 0; rows <= 3000; rows += 1500) {
		fake.log_rows = rows;
		cr_assert_eq(varve_log(vm, &log), 0, "%s", varve_last_error());
		cr_assert_eq(log->count, rows);
		if (rows) {
			cr_assert_eq(log->commits[rows - 1].index, rows - 1);
			cr_assert_eq(log->commits[rows - 1].modules[0].stored_bytes, 164);
		}
		varve_log_free(log);
	}
}

static unsigned findings;

static void found(void *arg, const struct varve_finding *finding)
{
	cr_assert_eq(arg, &findings);
	cr_assert_str_eq(finding->file, finding->damage ? "A_B" : "stray");
	/* What a file is called, and so a message, can be an attacker's: a terminal must not obey it. */
	cr_assert_str_eq(finding->problem, "it is?[31m odd");
	findings++;
}

Test(query, what_is_asked_is_answered)
{
	struct varve_id id = fake_id(1), commit = {{0}};
	struct varve_verify_report report;
	struct varve_stat *stat;
	struct varve_log *log;
	cr_assert_eq(varve_resolve(vm, "HEAD~2", &commit), 0);
	cr_assert_eq(commit.bytes[0], 9);
	cr_assert_eq(varve_commit_info(vm, &id, &log), 0);
	cr_assert_eq(log->count, 1);
	varve_log_free(log);
	cr_assert_eq(varve_stat(vm, &stat), 0);
	cr_assert_str_eq(stat->store, "/a/store");
	varve_stat_free(stat);
	cr_assert_eq(varve_set_workers(vm, 4), 0);
	cr_assert_eq(varve_set_workers(vm, 0), -EINVAL);
	struct varve_workers change = VARVE_WORKERS_INIT, now = VARVE_WORKERS_INIT;
	change.min = 0;
	change.most = 7;
	change.idle_ms = 1500;
	cr_assert_eq(varve_workers(vm, &change, &now), 0, "%s", varve_last_error());
	cr_assert(now.min == 0 && now.most == 7 && now.idle_ms == 1500 && now.running == 1 && now.passing);
	cr_assert_eq(varve_persist(vm), 0);
	cr_assert_eq(varve_verify(vm, found, &findings, &report), 0);
	cr_assert_eq(findings, 2);
	cr_assert(report.modules == 1 && report.images == 4 && report.damaged == 5);
}

/* Somebody who slips in one of three numbers has to know in which. */
Test(query, a_change_of_workers_is_refused_by_the_name_of_the_number_that_is_wrong)
{
	static const struct {
		int64_t min, most, idle_ms;
		const char *says;
	} bad[] = {{-2, -1, -1, "min is -2; "}, {1025, 4, -1, "min is 1025; "}, {-1, 0, -1, "most is 0; "},
	    {-1, 1025, 5, "most is 1025; "}, {-1, -1, 5, "idle_ms is 5; "}, {0, 1, -2, "idle_ms is -2; "},
	    {-1, -1, 31536000001, "idle_ms is 31536000001; it can be 10 to 31536000000"}};
	struct varve_workers change = VARVE_WORKERS_INIT, now = VARVE_WORKERS_INIT;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		change.min = bad[i].min;
		change.most = bad[i].most;
		change.idle_ms = bad[i].idle_ms;
		cr_assert_eq(varve_workers(vm, &change, &now), -EINVAL);
		cr_assert(strstr(varve_last_error(), bad[i].says) == varve_last_error(), "%s", varve_last_error());
	}
	cr_assert_eq(fake.seen[WIRE_WORKERS], 0);
	change.min = change.most = -1;
	change.idle_ms = 31536000000;
	cr_assert_eq(varve_workers(vm, &change, &now), 0, "%s", varve_last_error());
	cr_assert_gt(now.idle_ms, 49 * 86400000ll);
}

/* It has room for what its header knew, and no byte more. */
Test(query, a_program_of_an_earlier_header_is_told_what_it_has_room_for)
{
	struct varve_workers now = VARVE_WORKERS_INIT;
	now.struct_size = offsetof(struct varve_workers, passing);
	cr_assert_eq(varve_workers(vm, NULL, &now), 0, "%s", varve_last_error());
	cr_assert(now.running == 1 && !now.passing && now.struct_size == offsetof(struct varve_workers, passing));
	now.struct_size--;
	cr_assert_eq(varve_workers(vm, NULL, &now), -EINVAL);
}

Test(query, a_checkout_fills_the_callers_file_and_refuses_what_it_can_not_fill)
{
	struct varve_id id = fake_id(1);
	char path[PATH_MAX + 16], text[8] = {0};
	uint64_t size = 0;
	int pipe_fds[2];
	snprintf(path, sizeof(path), "%s/out", fake.base);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int reading = open(path, O_RDONLY | O_CLOEXEC);
	int appending = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert_eq(varve_checkout(vm, &id, &id, fd, &size), 0, "%s", varve_last_error());
	cr_assert_eq(size, 5);
	cr_assert_eq(pread(fd, text, 5, 0), 5);
	cr_assert_str_eq(text, "image");
	cr_assert_eq(varve_checkout(vm, &id, &id, reading, NULL), -EBADF);
	cr_assert_eq(varve_checkout(vm, &id, &id, appending, NULL), -EBADF);
	cr_assert_eq(varve_checkout(vm, &id, &id, pipe_fds[1], NULL), -EBADF);
	cr_assert_eq(varve_checkout(vm, &id, &id, -1, NULL), -EBADF);
	cr_assert_eq(varve_checkout(vm, &id, NULL, fd, NULL), -EINVAL);
	cr_assert_eq(fake.seen[WIRE_CHECKOUT], 1);
	close(fd);
	close(reading);
	close(appending);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

Test(query, a_coordinators_error_is_passed_on_in_its_words)
{
	struct varve_id commit;
	fake.fail_at = WIRE_RESOLVE;
	cr_assert_eq(varve_resolve(vm, "HEAD", &commit), -EIO);
	cr_assert_str_eq(varve_last_error(), "the fake fails");
	fake.fail_at = 0;
	cr_assert_eq(varve_resolve(vm, "HEAD", &commit), 0, "an error is not the connection's end");
	cr_assert_eq(fake.seen[WIRE_HELLO], 1);
}

/* A caller takes a positive number for a count, and would hand on -5000 as an errno. */
Test(query, a_result_that_is_no_errno_is_refused)
{
	static const int results[] = {1, INT_MAX, INT_MIN, -4096};
	struct varve_id commit;
	fake.fail_at = WIRE_RESOLVE;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		fake.fail_result = results[i];
		cr_assert_eq(varve_resolve(vm, "HEAD", &commit), -EPROTO, "result %d", results[i]);
	}
}

/* Whoever asks for one commit looks at the first entry. */
Test(query, an_answer_without_the_commit_that_was_asked_for_is_refused)
{
	struct varve_id id = fake_id(1);
	struct varve_log *log;
	buf_u32(&fake.garbage, 0);
	fake.garbage_at = WIRE_INFO;
	cr_assert_eq(varve_commit_info(vm, &id, &log), -EPROTO);
	cr_assert_null(log);
}

/* Looking does no harm when done twice: the caller need not know that a coordinator died. */
Test(query, a_question_is_asked_again_when_the_coordinator_has_died)
{
	struct varve_id commit;
	cr_assert_eq(varve_resolve(vm, "HEAD", &commit), 0);
	fake_stop(&fake);
	fake_listen(&fake);
	cr_assert_eq(varve_resolve(vm, "HEAD", &commit), 0, "%s", varve_last_error());
	cr_assert_eq(varve_persist(vm), 0);
	/* One that dies of the question is asked no third time. */
	fake.die_at = WIRE_RESOLVE;
	fake.seen[WIRE_RESOLVE] = 0;
	cr_assert_eq(varve_resolve(vm, "HEAD", &commit), -ECONNRESET);
	assert_error_says(fake.base);
	cr_assert_eq(fake.seen[WIRE_RESOLVE], 2);
}

static int ask(int type)
{
	struct varve_id id = fake_id(1);
	struct varve_log *log = NULL;
	struct varve_stat *stat = NULL;
	struct varve_session *session = NULL;
	int r;
	switch (type) {
	case WIRE_LOG:
		r = varve_log(vm, &log);
		break;
	case WIRE_INFO:
		r = varve_commit_info(vm, &id, &log);
		break;
	case WIRE_STAT:
		r = varve_stat(vm, &stat);
		break;
	case WIRE_RESOLVE:
		r = varve_resolve(vm, "HEAD", &id);
		break;
	case WIRE_VERIFY:
		r = varve_verify(vm, NULL, NULL, NULL);
		break;
	case WIRE_RESTORE:
		r = varve_restore(vm, &id, NULL, NULL);
		break;
	case WIRE_BEGIN:
		r = varve_session_begin(vm, 0, &session);
		break;
	default:
		r = varve_persist(vm);
		break;
	}
	cr_assert(!log && !stat && !session, "an answer was made of garbage");
	return r;
}

/* A coordinator gone wrong must not take the VM along. */
Test(query, an_answer_of_garbage_closes_the_connection_and_the_next_call_opens_another)
{
	static const int types[] = {
	    WIRE_LOG, WIRE_INFO, WIRE_STAT, WIRE_RESOLVE, WIRE_VERIFY, WIRE_RESTORE, WIRE_BEGIN, WIRE_PERSIST};
	for (unsigned i = 0; i < 37; i++)
		buf_u8(&fake.garbage, (uint8_t)(i * 37 + 200));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		fake.garbage_at = types[i];
		cr_assert_eq(ask(types[i]), -EPROTO, "request %d: %s", types[i], varve_last_error());
		fake.garbage_at = 0;
		cr_assert_eq(varve_persist(vm), 0, "%s", varve_last_error());
	}
}

/* ---- ids -------------------------------------------------------------------------------------------------------- */

Test(query, ids_come_back_from_their_text_and_nothing_else_is_one)
{
	char text[VARVE_ID_TEXT + 2] = {0};
	struct varve_id id, back = fake_id(1);
	for (int i = 0; i < VARVE_ID_SIZE; i++)
		id.bytes[i] = (uint8_t)(i * 8 + 3);
	varve_id_format(&id, text);
	cr_assert_str_eq(text, "030B131B232B333B434B535B636B737B838B939BA3ABB3BBC3CBD3DBE3EBF3FB");
	cr_assert_eq(varve_id_parse("030b131b232b333b434b535b636b737b838b939ba3abb3bbc3cbd3dbe3ebf3fb", &back), 0);
	cr_assert_arr_eq(back.bytes, id.bytes, VARVE_ID_SIZE);
	for (size_t i = 0; i < VARVE_ID_TEXT; i++) {
		char was = text[i];
		text[i] = i % 2 ? 'G' : 0;
		cr_assert_eq(varve_id_parse(text, &back), -EINVAL);
		text[i] = was;
	}
	text[VARVE_ID_TEXT] = '0';
	cr_assert_eq(varve_id_parse(text, &back), -EINVAL);
	cr_assert_eq(varve_id_parse("", &back), -EINVAL);
	cr_assert_eq(varve_id_parse(NULL, &back), -EINVAL);
	cr_assert_eq(varve_id_parse("00G", &back), -EINVAL);
	cr_assert_arr_eq(back.bytes, id.bytes, VARVE_ID_SIZE, "a failure changed the id");
}
