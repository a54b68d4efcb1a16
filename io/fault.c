/*
 * fault.c - the places that tests make fail, and their counts.
 *
 * The list is read from the environment when the program starts, and again by fault_role() and fault_load(), which
 * also begin counting from zero: so a forked worker counts its own passages, not those its parent had made. Counting
 * is atomic, since a library client may have threads; loading is not, and is done before there are any.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"

#define FAULTS_MAX 32
#define FAULT_EXIT_STATUS 66
#define ERRNO_LAST 133

enum { ACT_KILL = -1, ACT_STOP = -2, ACT_EXIT = -3, ACT_HANG = -4 }; /* else an errno */

struct fault {
	char name[48];
	size_t length; /* of the part to compare */
	bool prefix; /* the name ended in "*" */
	bool onwards; /* the count ended in "+" */
	unsigned long count;
	int action;
	atomic_ulong passed;
};

bool fault_armed;

static struct fault faults[FAULTS_MAX];
static size_t faults_count;
static char role[32] = "client";

static int action_parse(const char *text)
{
	if (strcmp(text, "kill") == 0)
		return ACT_KILL;
	if (strcmp(text, "stop") == 0)
		return ACT_STOP;
	if (strcmp(text, "exit") == 0)
		return ACT_EXIT;
	if (strcmp(text, "hang") == 0)
		return ACT_HANG;
	for (int err = 1; err <= ERRNO_LAST; err++) {
		const char *name = strerrorname_np(err);
		if (name && strcmp(text, name) == 0)
			return err;
	}
	return 0;
}

/* NAME:COUNT:ACTION, cut up in place. */
static bool fault_parse(struct fault *fault, char *text)
{
	char *count = strchr(text, ':');
	if (!count)
		return false;
	*count++ = '\0';
	char *action = strchr(count, ':');
	if (!action)
		return false;
	*action++ = '\0';

	char *end;
	*fault = (struct fault) {.length = strlen(text), .action = action_parse(action)};
	fault->count = strtoul(count, &end, 10);
	fault->onwards = *end == '+';
	if (end == count || end[fault->onwards] != '\0' || !fault->count || !fault->action)
		return false;
	if (!fault->length || fault->length >= sizeof(fault->name))
		return false;
	memcpy(fault->name, text, fault->length);
	fault->prefix = text[fault->length - 1] == '*';
	fault->length -= fault->prefix;
	return true;
}

/* A list with a slip of the pen would make a test pass without having tested anything. */
static void complain(void)
{
	static const char text[] =
	    "VARVE_FAULT: not of the form NAME:COUNT:ACTION[,...]; it is a means of tests only\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)ignored;
	_exit(FAULT_EXIT_STATUS);
}

void fault_load(void)
{
	const char *list = secure_getenv("VARVE_FAULT");
	const char *only = secure_getenv("VARVE_FAULT_ROLE");

	fault_armed = false;
	faults_count = 0;
	if (!list || !*list)
		return;
	char *copy = strdup(list);
	char *rest = copy;
	for (char *text; rest && (text = strsep(&rest, ","));) {
		if (faults_count == FAULTS_MAX || !fault_parse(&faults[faults_count], text))
			complain();
		faults_count++;
	}
	free(copy);
	fault_armed = faults_count && (!only || !*only || strcmp(only, role) == 0);
}

static void __attribute__((constructor)) fault_start(void)
{
	fault_load();
}

void fault_role(const char *name)
{
	strncpy(role, name, sizeof(role) - 1);
	fault_load();
}

const char *fault_file(void)
{
	const char *path = fault_armed ? secure_getenv("VARVE_FAULT_FILE") : NULL;
	return path && *path ? path : NULL;
}

/* Whether this process may strike: with VARVE_FAULT_FILE only the first of all. */
static bool claim(void)
{
	const char *path = fault_file();
	if (!path)
		return true;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno != EEXIST;
	close(fd);
	return true;
}

static int strike(const char *name, int action)
{
	switch (action) {
	case ACT_KILL:
		kill(getpid(), SIGKILL);
		_exit(FAULT_EXIT_STATUS); /* the first process of a pid namespace can not kill itself */
	case ACT_STOP:
		kill(getpid(), SIGSTOP);
		return 0;
	case ACT_EXIT:
		_exit(FAULT_EXIT_STATUS);
	case ACT_HANG:
		for (;;)
			sleep(1000);
	default:
		/* Whoever adds a sentence of its own replaces this one. */
		return fail_sys(action, "a fault was asked for at %s", name);
	}
}

/* Count a passage through @name; whether it is one that the fault means. */
static bool due(struct fault *fault, const char *name, size_t length)
{
	if (fault->prefix ? length < fault->length : length != fault->length)
		return false;
	if (memcmp(fault->name, name, fault->length) != 0)
		return false;
	unsigned long passage = atomic_fetch_add(&fault->passed, 1) + 1;
	return passage == fault->count || (fault->onwards && passage > fault->count);
}

int fault_pass(const char *name)
{
	size_t length = strlen(name);
	int rc = 0;

	/* All of them count, also behind one that strikes: else counts would depend on the order of the list. */
	for (size_t i = 0; i < faults_count; i++) {
		if (due(&faults[i], name, length) && !rc && claim())
			rc = strike(name, faults[i].action);
	}
	return rc;
}
