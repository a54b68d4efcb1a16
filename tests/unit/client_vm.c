/*
 * client_vm.c - opening and closing, starting a coordinator, and looking at a store.
 *
 * Started with --client or --foreground this program is a coordinator itself, of the kind that FAKE_MODE says: it
 * leaves behind how it was called and what it inherited, in files beside the base directory.
 */
#include <limits.h>
#include <sys/wait.h>

#include "client_fake.h"
#include "client.h"

/** Where the library puts a coordinator's first connection. */
#define FAKE_FD 3

static struct fake fake;

/* ---- the program that is started -------------------------------------------------------------------------------- */

static FILE *note(const char *base, const char *name)
{
	char path[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s.%s", base, name);
	return fopen(path, "ae");
}

static void note_inheritance(const char *base)
{
	FILE *f = note(base, "inherited");
	struct sigaction old;
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && fd != fileno(f))
			fprintf(f, "fd%d ", fd);
	for (int sig = 1; sig < 32; sig++) {
		if (sigismember(&mask, sig))
			fprintf(f, "blocked%d ", sig);
		if (!sigaction(sig, NULL, &old) && old.sa_handler == SIG_IGN)
			fprintf(f, "ignored%d ", sig);
	}
	fclose(f);
}

static int started(int argc, char **argv)
{
	const char *mode = getenv("FAKE_MODE");
	struct fake f = {.protocol = WIRE_PROTOCOL};
	struct wire_message *m = malloc(sizeof(*m));
	FILE *args = note(argv[argc - 1], "argv");
	for (int i = 0; i < argc; i++)
		fprintf(args, "%s%c", argv[i], i + 1 < argc ? ' ' : '\n');
	fclose(args);
	note_inheritance(argv[argc - 1]);
	if (!mode || !strcmp(mode, "die"))
		return 7;
	if (!strcmp(mode, "already")) {
		if (fake_next(FAKE_FD, m))
			fake_reply(FAKE_FD, m->serial, -EALREADY, "another has it", NULL, -1);
		return 0;
	}
	if (!fork())
		fake_serve(&f, FAKE_FD);
	return 0;
}

__attribute__((constructor)) static void become_coordinator(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "--client") || !strcmp(argv[1], "--foreground")))
		_exit(started(argc, argv));
}

/* The line that note() left, without its newline. */
static char *noted(const char *name)
{
	static char line[PATH_MAX + 256];
	char path[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s.%s", fake.base, name);
	FILE *f = fopen(path, "re");
	cr_assert_not_null(f, "the coordinator was not started");
	line[0] = 0;
	cr_assert_not_null(fgets(line, sizeof(line), f));
	line[strcspn(line, "\n")] = 0;
	fclose(f);
	return line;
}

/* ---- the test's side -------------------------------------------------------------------------------------------- */

static struct varve_vm *vm;

static void setup(void)
{
	fake_init(&fake);
	setenv("VARVE_COORDINATOR", "/proc/self/exe", 1);
	unsetenv("VARVE_WORKERS");
	unsetenv("VARVE_IO");
	unsetenv("FAKE_MODE");
	vm = NULL;
}

static void teardown(void)
{
	static const char *const names[] = {"argv", "inherited"};
	char path[PATH_MAX + 16];
	varve_vm_close(vm);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s.%s", fake.base, names[i]);
		unlink(path);
	}
	fake_release(&fake);
}

TestSuite(vm, .init = setup, .fini = teardown);

static void open_fake(void)
{
	fake_listen(&fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
}

static int open_files(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(vm, a_coordinator_that_runs_is_connected_to)
{
	open_fake();
	cr_assert_str_eq(varve_vm_notice(vm), "a notice");
	cr_assert_eq(fake.seen[WIRE_HELLO], 1);
	varve_vm_close(vm);
	vm = NULL;
	fake_stop(&fake);
}

/* Nothing to set up: opening is enough. */
Test(vm, a_coordinator_is_started_when_nobody_listens)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	char expected[PATH_MAX + 256];
	setenv("FAKE_MODE", "serve", 1);
	options.workers = 3;
	options.io = VARVE_IO_PREAD;
	options.sync = VARVE_SYNC_COMMIT;
	options.must_exist = true;
	cr_assert_eq(varve_vm_open(fake.base, &options, &vm), 0, "%s", varve_last_error());
	snprintf(expected, sizeof(expected),
	    "varve-coordinator --client 3 --workers 3 --io pread --sync commit --must-exist -- %s", fake.base);
	cr_assert_str_eq(noted("argv"), expected);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "the process that was started was not reaped");
}

Test(vm, a_socket_that_nobody_listens_on_does_not_hinder_a_start)
{
	setenv("FAKE_MODE", "serve", 1);
	close(sock_listen(&fake.priv, "socket", NULL));
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
}

/* A VM's descriptors kept open, or its blocked signals, would be the coordinator's for as long as it runs. */
Test(vm, a_coordinator_inherits_neither_descriptors_nor_signals)
{
	sigset_t all;
	setenv("FAKE_MODE", "serve", 1);
	int fd = dup(1);
	int high = fcntl(1, F_DUPFD, 200);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	close(fd);
	close(high);
	cr_assert_str_eq(noted("inherited"), "fd0 fd1 fd2 fd3 ");
}

Test(vm, a_program_whose_own_standard_files_are_closed_can_open_a_store)
{
	int saved[3], r;
	setenv("FAKE_MODE", "serve", 1);
	for (int fd = 0; fd < 3; fd++)
		saved[fd] = fcntl(fd, F_DUPFD, 100);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	r = varve_vm_open(fake.base, NULL, &vm);
	varve_vm_close(vm);
	vm = NULL;
	for (int fd = 0; fd < 3; fd++) {
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
	cr_assert_eq(r, 0, "%s", varve_last_error());
	cr_assert_str_eq(noted("inherited"), "fd0 fd1 fd2 fd3 ");
}

static void *listen_later(void *arg)
{
	struct stat st = {0};
	char path[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s.argv", fake.base);
	/* Twice told that another has it. */
	while (stat(path, &st) || (size_t)st.st_size < 2 * strlen(fake.base))
		usleep(500);
	fake_listen(arg);
	return NULL;
}

/* Two programs may open a store at once; the slower one is not to fail. */
Test(vm, opening_goes_on_trying_while_another_coordinator_comes_up)
{
	pthread_t thread;
	setenv("FAKE_MODE", "already", 1);
	pthread_create(&thread, NULL, listen_later, &fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	pthread_join(thread, NULL);
	cr_assert_eq(fake.seen[WIRE_HELLO], 1);
	varve_vm_close(vm);
	vm = NULL;
	fake_stop(&fake);
}

static void *stop_soon(void *arg)
{
	struct fake *f = arg;
	while (!f->seen[WIRE_HELLO])
		usleep(500);
	fake_stop(f);
	return NULL;
}

/* Its last client has gone, and with it goes whoever connects at that moment. */
Test(vm, a_coordinator_that_was_just_leaving_is_replaced)
{
	pthread_t thread;
	setenv("FAKE_MODE", "serve", 1);
	fake.die_at = WIRE_HELLO;
	fake_listen(&fake);
	pthread_create(&thread, NULL, stop_soon, &fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	pthread_join(thread, NULL);
	cr_assert_geq(fake.seen[WIRE_HELLO], 1);
}

Test(vm, a_program_that_is_not_there_is_named)
{
	char path[PATH_MAX + 16];
	struct varve_options options = VARVE_OPTIONS_INIT;
	options.coordinator = "/nowhere/coordinator";
	cr_assert_eq(varve_vm_open(fake.base, &options, &vm), -ENOEXEC);
	assert_error_says("/nowhere/coordinator");
	setenv("VARVE_COORDINATOR", "/nowhere/else", 1);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -ENOEXEC);
	assert_error_says("/nowhere/else");
	cr_assert_null(vm);
	/* One that is there but is no program: its magic number is not one. */
	snprintf(path, sizeof(path), "%s/text", fake.base);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	cr_assert_eq(write(fd, "prose", 5), 5);
	close(fd);
	options.coordinator = path;
	cr_assert_eq(varve_vm_open(fake.base, &options, &vm), -ENOEXEC);
	assert_error_says(path);
}

Test(vm, a_program_is_found_in_the_path)
{
	char path[PATH_MAX + 32], *found = NULL;
	unsetenv("VARVE_COORDINATOR");
	snprintf(path, sizeof(path), "%s/varve-coordinator", fake.base);
	setenv("PATH", "", 1);
	if (spawn_find(NULL, &found) == 0)
		cr_skip_test("a coordinator is installed here");
	assert_error_says("VARVE_COORDINATOR");
	cr_assert_eq(symlink("/proc/self/exe", path), 0);
	snprintf(path, sizeof(path), "/nowhere::%s:/bin", fake.base);
	setenv("PATH", path, 1);
	cr_assert_eq(spawn_find(NULL, &found), 0, "%s", varve_last_error());
	cr_assert(strncmp(found, fake.base, strlen(fake.base)) == 0);
	free(found);
}

Test(vm, a_coordinator_that_dies_as_it_starts_is_an_error_with_its_status)
{
	setenv("FAKE_MODE", "die", 1);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -ECONNRESET);
	assert_error_says("status 7");
	assert_error_says(fake.base);
}

Test(vm, a_coordinator_that_refuses_is_quoted)
{
	fake.hello_result = -EBADMSG;
	fake_listen(&fake);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -EBADMSG);
	assert_error_says("the fake does not want you");
	fake.hello_result = 0;
	fake.protocol = WIRE_PROTOCOL + 1;
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -EPROTONOSUPPORT);
	fake_stop(&fake);
}

Test(vm, environment_that_makes_no_sense_is_refused_by_name)
{
	setenv("FAKE_MODE", "serve", 1);
	static const char *const bad[] = {"0", "1025", "-1", "two", "3x", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("VARVE_WORKERS", bad[i], 1);
		cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -EINVAL, "VARVE_WORKERS=%s", bad[i]);
		assert_error_says("VARVE_WORKERS");
	}
	setenv("VARVE_WORKERS", "12", 1);
	setenv("VARVE_IO", "floppy", 1);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -EINVAL);
	assert_error_says("VARVE_IO");
	setenv("VARVE_IO", "uring", 1);
	setenv("VARVE_SILENCE_MS", "ten", 1);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -EINVAL);
	assert_error_says("VARVE_SILENCE_MS");
	unsetenv("VARVE_SILENCE_MS");
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), 0, "%s", varve_last_error());
	cr_assert(strstr(noted("argv"), "--workers 12 --io uring "));
}

/* A program compiled with a later header must not have an option of its ignored. */
Test(vm, options_of_another_version_are_taken_only_if_nothing_is_lost)
{
	struct {
		struct varve_options known;
		uint64_t later;
	} options = {VARVE_OPTIONS_INIT, 0};
	struct varve_options copy;
	options.known.workers = 5;
	options.known.struct_size = sizeof(options);
	cr_assert_eq(vm_options(&options.known, &copy), 0);
	cr_assert_eq(copy.workers, 5);
	options.later = 1;
	cr_assert_eq(vm_options(&options.known, &copy), -EINVAL);
	options.known.struct_size = offsetof(struct varve_options, io);
	cr_assert_eq(vm_options(&options.known, &copy), 0);
	cr_assert_eq(copy.reserve, 8ull << 30);
	options.known.struct_size = 0;
	cr_assert_eq(vm_options(&options.known, &copy), -EINVAL);
	assert_error_says("struct_size");
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

static void assert_path(const char *given, const char *expected)
{
	char *path;
	cr_assert_eq(vm_path(given, &path), 0, "%s", varve_last_error());
	cr_assert_str_eq(path, expected);
	free(path);
}

/* The coordinator has another working directory. */
Test(vm, a_path_is_made_absolute_whether_or_not_the_directory_exists)
{
	char expected[PATH_MAX + 16], *path;
	cr_assert_eq(chdir(fake.base), 0);
	assert_path(".", fake.base);
	snprintf(expected, sizeof(expected), "%s/new", fake.base);
	assert_path("new", expected);
	assert_path("./new//", expected);
	assert_path(".varve/../new", expected);
	assert_path("/", "/");
	assert_path("/new-at-the-root", "/new-at-the-root");
	cr_assert_eq(vm_path("no/parent", &path), -ENOENT);
	assert_error_says("no/parent");
	cr_assert_eq(vm_path("", &path), -EINVAL);
	cr_assert_eq(vm_path(NULL, &path), -EINVAL);
	cr_assert_eq(chdir("/"), 0);
}

Test(vm, a_directory_whose_path_has_4000_characters_can_be_opened)
{
	char path[PATH_MAX] = {0};
	struct fake deep = {.protocol = WIRE_PROTOCOL};
	strcpy(path, fake.base);
	while (strlen(path) < 4000) {
		size_t length = strlen(path), part = 4000 - length - 1 > 250 ? 200 : 4000 - length - 1;
		path[length] = '/';
		memset(path + length + 1, 'd', part);
		cr_assert_eq(mkdir(path, 0700), 0);
	}
	strcpy(deep.base, path);
	deep.dir = (struct dir) {open(path, O_PATH | O_CLOEXEC), ""};
	cr_assert_eq(mkdirat(deep.dir.fd, ".varve", 0700), 0);
	deep.priv = (struct dir) {openat(deep.dir.fd, ".varve", O_PATH | O_CLOEXEC), ".varve/"};
	fake_listen(&deep);
	cr_assert_eq(varve_vm_open(path, NULL, &vm), 0, "%s", varve_last_error());
	varve_vm_close(vm);
	vm = NULL;
	fake_stop(&deep);
	close(deep.priv.fd);
	close(deep.dir.fd);
}

Test(vm, what_is_not_a_directory_is_refused)
{
	char path[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s/file", fake.base);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	cr_assert_eq(varve_vm_open(path, NULL, &vm), -ENOTDIR);
	assert_error_says("file");
	/* A link in place of .varve could lead to another store's coordinator. */
	cr_assert_eq(unlinkat(fake.dir.fd, ".varve", AT_REMOVEDIR), 0);
	cr_assert_eq(symlinkat("/tmp", fake.dir.fd, ".varve"), 0);
	cr_assert_eq(varve_vm_open(fake.base, NULL, &vm), -ENOTDIR);
	assert_error_says(".varve");
}

/* ---- a handle --------------------------------------------------------------------------------------------------- */

/* Both processes would read each other's answers; and a child that tidies up must not end its parent's session. */
Test(vm, a_handle_is_refused_in_a_forked_child)
{
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_id module = fake_id(1);
	struct varve_log *log;
	int status;
	open_fake();
	cr_assert_eq(varve_session_begin(vm, 0, &session), 0);
	cr_assert_eq(varve_session_deploy(session, &module, 65536, &memory), 0);
	pid_t pid = fork();
	if (!pid) {
		bool refused = varve_persist(vm) == -EPERM && varve_log(vm, &log) == -EPERM &&
		               varve_memory_resize(memory, 0) == -EPERM && varve_session_abandon(session) == -EPERM;
		varve_vm_close(vm);
		_exit(refused ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(fake.seen[WIRE_ABANDON], 0);
	cr_assert_eq(varve_session_commit(session, NULL, NULL), 0, "%s", varve_last_error());
	varve_vm_close(vm);
	vm = NULL;
	fake_stop(&fake);
}

Test(vm, arguments_that_are_missing_are_refused)
{
	struct varve_id id = fake_id(1);
	struct varve_log *log;
	cr_assert_eq(varve_vm_open(fake.base, NULL, NULL), -EINVAL);
	cr_assert_eq(varve_persist(NULL), -EINVAL);
	cr_assert_eq(varve_log(NULL, &log), -EINVAL);
	cr_assert_eq(varve_restore(NULL, &id, NULL, NULL), -EINVAL);
	cr_assert_eq(varve_session_abandon(NULL), -EINVAL);
	cr_assert_eq(varve_memory_resize(NULL, 0), -EINVAL);
	varve_vm_close(NULL);
	varve_vm_cancel(NULL);
	cr_assert_str_eq(varve_vm_notice(NULL), "");
}

Test(vm, nothing_is_left_open_by_a_handle_that_was_closed)
{
	struct varve_stat *stat;
	int before = open_files();
	for (int i = 0; i < 3; i++) {
		struct varve_session *session;
		struct varve_memory *memory;
		struct varve_id module = fake_id(1);
		open_fake();
		cr_assert_eq(varve_session_begin(vm, 0, &session), 0);
		cr_assert_eq(varve_session_deploy(session, &module, 65536, &memory), 0, "%s", varve_last_error());
		cr_assert_eq(varve_stat(vm, &stat), 0);
		varve_stat_free(stat);
		varve_vm_close(vm);
		vm = NULL;
		fake_stop(&fake);
	}
	cr_assert_eq(open_files(), before);
	cr_assert_not(maps_file(fake.base));
}

/* ---- serving ---------------------------------------------------------------------------------------------------- */

Test(vm, serving_replaces_the_program_by_a_coordinator_in_the_foreground)
{
	struct varve_options options = VARVE_OPTIONS_INIT;
	char expected[PATH_MAX + 256];
	int status;
	options.workers = 2;
	options.settings = "idle-timeout=5";
	pid_t pid = fork();
	if (!pid) {
		varve_serve(fake.base, &options);
		_exit(1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	snprintf(expected, sizeof(expected), "varve-coordinator --foreground --workers 2 --set idle-timeout=5 -- %s",
	    fake.base);
	cr_assert_str_eq(noted("argv"), expected);
	options.coordinator = "/etc/passwd";
	cr_assert_eq(varve_serve(fake.base, &options), -ENOEXEC);
}
