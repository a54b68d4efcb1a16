/*
 * helper_service.c - starting and ending a service.
 */
#include "helper_service.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 16

static char log_text[1 << 18];
static size_t log_size;

static void hand_over(const struct service_setup *setup)
{
	int first = setup->handed > 0 ? fcntl(setup->handed, F_DUPFD, 20) : -1;
	int second = setup->handed_metrics > 0 ? fcntl(setup->handed_metrics, F_DUPFD, 20) : -1;
	char pid[16];
	if (first < 0)
		return;
	dup2(first, 3);
	if (second >= 0)
		dup2(second, 4);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", second >= 0 ? "2" : "1", 1);
}

/* Where CTest says, or else where this program was built. */
static const char *coordinator(void)
{
	static char path[4096];
	const char *told = getenv("VARVE_COORDINATOR");
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 64);
	path[length < 0 ? 0 : length] = 0;
	char *slash = strrchr(path, '/');
	if (slash)
		strcpy(slash, "/../../bin/varve-coordinator");
	return told ? told : path;
}

static void be_service(const struct service_setup *setup, int err)
{
	const char *argv[ARGS_MAX] = {"varve-coordinator", "--foreground"};
	int count = 2;
	struct stat st;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(err, 2);
	if (setup->files)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit) {setup->files, setup->files});
	for (int i = 0; setup->environment && setup->environment[i]; i++)
		putenv((char *)(uintptr_t)setup->environment[i]);
	if (setup->journal && !fstat(2, &st)) {
		static char stream[64];
		snprintf(stream, sizeof(stream), "JOURNAL_STREAM=%llu:%llu", (unsigned long long)st.st_dev,
		    (unsigned long long)st.st_ino);
		putenv(stream);
	}
	for (int i = 0; setup->args && setup->args[i] && count < ARGS_MAX - 3; i++)
		argv[count++] = setup->args[i];
	argv[count++] = "--";
	argv[count] = store_path("");
	hand_over(setup);
	execv(coordinator(), (char **)(uintptr_t)argv);
	_exit(127);
}

struct service service_start(const struct service_setup *setup)
{
	static const struct service_setup nothing;
	int err[2];
	cr_assert(pipe2(err, O_CLOEXEC) == 0);
	if (setup && setup->pipe_size)
		fcntl(err[1], F_SETPIPE_SZ, setup->pipe_size);
	log_size = 0;
	pid_t pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0)
		be_service(setup ? setup : &nothing, err[1]);
	close(err[1]);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	return (struct service) {pid, err[0]};
}

void service_wait_ready(void)
{
	for (int i = 0; i < 20000 && access(store_path(".varve/socket"), F_OK); i++)
		usleep(500);
}

void service_end(struct service *service)
{
	int status = 0;
	kill(service->pid, SIGTERM);
	cr_assert(waitpid(service->pid, &status, 0) == service->pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with status %#x: %s", (unsigned)status,
	    service_log(service));
	close(service->err);
}

const char *service_log(struct service *service)
{
	ssize_t n;
	while (log_size < sizeof(log_text) - 1 &&
	       (n = read(service->err, log_text + log_size, sizeof(log_text) - 1 - log_size)) > 0)
		log_size += (size_t)n;
	log_text[log_size] = 0;
	return log_text;
}

const char *service_log_until(struct service *service, const char *text)
{
	for (int i = 0; i < 20000 && !strstr(service_log(service), text); i++)
		usleep(500);
	return log_text;
}
