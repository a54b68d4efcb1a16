/*
 * spawn.c - starting a coordinator.
 *
 * The VM's process must not notice: the program started forks twice by itself, so that the process we wait for ends at
 * once, and it gets nothing of ours but one end of a socket pair. posix_spawn() rather than fork(): the VM may have
 * mapped many GiB and may run many threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "err.h"
#include "sock.h"

/** The descriptor of its first client, in the coordinator. */
#define CLIENT_FD 3
/** 0.1 ms, doubled each time: two seconds in all. */
#define REAP_NAP_NS 100000
#define REAP_TRIES 15

extern char **environ;

static int take_workers(const struct varve_options *options, unsigned *workers)
{
	const char *text = secure_getenv("VARVE_WORKERS");
	char *end;
	*workers = options->workers;
	if (*workers || !text || !*text)
		return 0;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || n < 1 || n > 1024)
		return fail(EINVAL, "VARVE_WORKERS is \"%.40s\"; it must be a number from 1 to 1024", text);
	*workers = (unsigned)n;
	return 0;
}

static int take_io(const struct varve_options *options, const char **io)
{
	const char *text = secure_getenv("VARVE_IO");
	*io = options->io == VARVE_IO_URING ? "uring" : options->io == VARVE_IO_PREAD ? "pread" : NULL;
	if (*io || !text || !*text || !strcmp(text, "auto"))
		return 0;
	if (strcmp(text, "uring") && strcmp(text, "pread"))
		return fail(EINVAL, "VARVE_IO is \"%.40s\"; it must be auto, uring or pread", text);
	*io = text;
	return 0;
}

static const char *sync_name(enum varve_sync sync)
{
	return sync == VARVE_SYNC_COMMIT ? "commit" : sync == VARVE_SYNC_NONE ? "none" : "persist";
}

/* execve() takes pointers to what is not const, and does not write there. */
static void add_arg(struct spawn_args *args, const char *arg)
{
	args->argv[args->count++] = (char *)(uintptr_t)arg;
	args->argv[args->count] = NULL;
}

static void add_option(struct spawn_args *args, const char *name, const char *value)
{
	if (!value)
		return;
	add_arg(args, name);
	add_arg(args, value);
}

/* The environment is for the coordinator to read where there may be a configuration file, too, over which it wins; a
 * VM's own coordinator is started only with what makes sense. */
static int take_environment(struct varve_options *options)
{
	const char *io;
	int r = take_workers(options, &options->workers);
	if (!r)
		r = take_io(options, &io);
	if (!r && io)
		options->io = io[0] == 'u' ? VARVE_IO_URING : VARVE_IO_PREAD;
	return r;
}

int spawn_args(struct spawn_args *args, const struct varve_options *options, const char *path, int client_fd)
{
	struct varve_options own = *options;
	args->count = 0;
	add_arg(args, "varve-coordinator");
	if (client_fd >= 0) {
		int r = take_environment(&own);
		if (r)
			return r;
		snprintf(args->fd, sizeof(args->fd), "%d", client_fd);
		add_option(args, "--client", args->fd);
	} else {
		add_arg(args, "--foreground");
		add_option(args, "--config", own.config);
		add_option(args, "--metrics", own.metrics);
	}
	snprintf(args->workers, sizeof(args->workers), "%u", own.workers);
	add_option(args, "--workers", own.workers ? args->workers : NULL);
	add_option(args, "--io", own.io == VARVE_IO_URING ? "uring" : own.io == VARVE_IO_PREAD ? "pread" : NULL);
	/* When files are synced is for the program to say: no environment changes that. */
	if (client_fd >= 0 || own.sync != VARVE_SYNC_PERSIST)
		add_option(args, "--sync", sync_name(own.sync));
	add_option(args, "--set", own.settings);
	if (own.must_exist)
		add_arg(args, "--must-exist");
	add_arg(args, "--");
	add_arg(args, path);
	return 0;
}

void spawn_check(struct spawn_args *args, bool json)
{
	for (size_t i = 1; i < args->count; i++) {
		if (strcmp(args->argv[i], "--foreground") == 0) {
			args->argv[i] = (char *)(uintptr_t)(json ? "--check-config=json" : "--check-config");
			return;
		}
	}
}

char **spawn_environment(void)
{
	/* A set-user-id VM was given its environment by somebody with fewer rights. */
	static char *nothing[] = {NULL};
	return getauxval(AT_SECURE) ? nothing : environ;
}

/* What the child's descriptors shall be. The socket is moved first: it may lie on 0, 1 or 2 if these are closed here. */
static int set_files(posix_spawn_file_actions_t *files, int sock)
{
	const char *log = secure_getenv("VARVE_LOG");
	int r = posix_spawn_file_actions_adddup2(files, sock, CLIENT_FD);
	if (!r)
		r = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0);
	if (!r && (!log || strcmp(log, "stderr") || fcntl(2, F_GETFD) < 0 || sock == 2))
		r = posix_spawn_file_actions_addopen(files, 2, "/dev/null", O_WRONLY, 0);
	return r ? r : posix_spawn_file_actions_addclosefrom_np(files, CLIENT_FD + 1);
}

static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	int r = posix_spawnattr_setsigdefault(attr, &all);
	if (!r)
		r = posix_spawnattr_setsigmask(attr, &none);
	return r ? r : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static int start(const char *program, struct spawn_args *args, int sock, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&files);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (!r) {
		r = set_files(&files, sock);
		if (!r)
			r = set_signals(&attr);
		if (!r)
			r = posix_spawn(pid, program, &files, &attr, args->argv, spawn_environment());
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

int spawn_coordinator(const struct varve_vm *vm, int *sock, pid_t *pid)
{
	struct spawn_args args;
	char *program;
	int fds[2];
	int r = spawn_args(&args, &vm->options, vm->path, CLIENT_FD);
	if (!r)
		r = spawn_find(vm->options.coordinator, &program);
	if (r)
		return r;
	r = sock_pair(fds);
	if (r) {
		free(program);
		return fail_sys(-r, "no socket for a coordinator of %s", vm->path);
	}
	r = start(program, &args, fds[1], pid);
	close(fds[1]);
	if (r) {
		close(fds[0]);
		r = r == -ENOEXEC || r == -ENOENT
		        ? fail(ENOEXEC, "%s is not a program that this machine can run; install it again", program)
		        : fail_sys(-r, "%s can not be started", program);
	} else {
		*sock = fds[0];
	}
	free(program);
	return r;
}

int spawn_reap(pid_t pid)
{
	/* Not for ever: it may be a program that is no coordinator, and our caller wants an answer. */
	struct timespec nap = {0, REAP_NAP_NS};
	int status;
	for (int tries = 0; tries < REAP_TRIES; tries++) {
		pid_t r = waitpid(pid, &status, WNOHANG);
		if (r == pid)
			return status;
		if (r < 0 && errno != EINTR)
			return -1; /* ECHILD: the program ignores SIGCHLD, or waits for all its children itself */
		if (r == 0) {
			nanosleep(&nap, NULL);
			nap.tv_sec = nap.tv_nsec >= 500000000;
			nap.tv_nsec = nap.tv_sec ? 0 : nap.tv_nsec * 2;
		}
	}
	return -1;
}
