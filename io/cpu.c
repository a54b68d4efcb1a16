/*
 * cpu.c - what the scheduler will give this process.
 *
 * A container often sees all CPUs of its host but may use the time of two: as many workers as CPUs are seen would only
 * take turns. The quota of a control group holds for all below it, so the tightest of all ancestors counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "cpu.h"

/* CPUs in the affinity mask. The kernel wants a mask as large as it was built for, which it does not tell. */
static unsigned affinity(void)
{
	for (int cpus = CPU_SETSIZE; cpus <= 1 << 20; cpus *= 4) {
		cpu_set_t *set = CPU_ALLOC((size_t)cpus);
		if (!set)
			break;
		size_t size = CPU_ALLOC_SIZE((size_t)cpus);
		int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
		bool too_small = count == 0 && errno == EINVAL;
		CPU_FREE(set);
		if (count > 0)
			return (unsigned)count;
		if (!too_small)
			break;
	}
	return 1;
}

/* A small text of the system's, whole and terminated: the caller's to free; NULL if it can not be read. */
static char *slurp(const char *path)
{
	struct buf text = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return NULL;
	for (;;) {
		uint8_t *room = buf_reserve(&text, 4096);
		ssize_t got = room ? read(fd, room, 4095) : -1;
		if (got <= 0)
			break;
		text.size += (size_t)got;
	}
	close(fd);
	buf_u8(&text, 0);
	if (text.bad)
		buf_free(&text);
	return (char *)text.data;
}

/* CPUs for @quota microseconds in each @period, rounded up; UINT_MAX: no limit. */
static unsigned rate(long long quota, long long period)
{
	if (quota <= 0 || period <= 0)
		return UINT_MAX;
	long long cpus = quota / period + (quota % period != 0);
	return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

static unsigned quota_at(const char *group, bool v2)
{
	char path[PATH_MAX + 32];
	long long quota = -1;
	long long period = -1;

	snprintf(path, sizeof(path), "%s/%s", group, v2 ? "cpu.max" : "cpu.cfs_quota_us");
	char *text = slurp(path);
	if (text && v2 && sscanf(text, "%lld %lld", &quota, &period) != 2)
		quota = -1; /* "max 100000" */
	else if (text && !v2)
		quota = strtoll(text, NULL, 10);
	free(text);
	if (!v2 && quota > 0) {
		snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", group);
		text = slurp(path);
		period = text ? strtoll(text, NULL, 10) : -1;
		free(text);
	}
	return rate(quota, period);
}

/* mountinfo writes blanks and backslashes of paths as \ooo. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* Whether @word is in the comma-separated @list. */
static bool listed(const char *list, const char *word)
{
	size_t length = strlen(word);
	for (const char *at = list; (at = strstr(at, word)); at += length) {
		if ((at == list || at[-1] == ',') && (at[length] == '\0' || at[length] == ',' || at[length] == '\n'))
			return true;
	}
	return false;
}

/*
 * One line of /proc/self/mountinfo: "36 35 98:0 /root /mount opts tags... - type source superopts". If it mounts the
 * hierarchy asked for, climb from @group to the mount and return the tightest quota on the way.
 */
static unsigned quota_of_mount(const char *root, char *line, const char *group, bool v2)
{
	char *fields[6];
	char *rest = line;
	for (size_t i = 0; i < 6; i++) {
		if (!(fields[i] = strsep(&rest, " ")))
			return UINT_MAX;
	}
	char *type = rest ? strstr(rest, "- ") : NULL;
	if (!type)
		return UINT_MAX;
	type += 2;
	char *super = strrchr(type, ' ');
	if (v2 ? strncmp(type, "cgroup2 ", 8) != 0
	       : strncmp(type, "cgroup ", 7) != 0 || !super || !listed(super + 1, "cpu"))
		return UINT_MAX;
	unescape(fields[3]);
	unescape(fields[4]);

	/* Where only a part of the hierarchy is mounted, groups outside of it can not be seen: start at its top. */
	size_t above = strcmp(fields[3], "/") == 0 ? 0 : strlen(fields[3]);
	bool inside = strncmp(group, fields[3], above) == 0 && (group[above] == '/' || group[above] == '\0');
	char path[PATH_MAX];
	int top = snprintf(path, sizeof(path), "%s%s", root, fields[4]);
	int all = snprintf(
	    path, sizeof(path), "%s%s%s", root, fields[4], inside && !strstr(group, "/..") ? group + above : "");
	if (top < 0 || all < top || (size_t)all >= sizeof(path))
		return UINT_MAX;

	unsigned least = UINT_MAX;
	for (;;) {
		unsigned cpus = quota_at(path, v2);
		least = cpus < least ? cpus : least;
		char *slash = strrchr(path + top, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

static unsigned quota_of_group(const char *root, const char *mounts, const char *group, bool v2)
{
	unsigned least = UINT_MAX;
	char *copy = strdup(mounts);
	char *rest = copy;

	for (char *line; rest && (line = strsep(&rest, "\n"));) {
		unsigned cpus = quota_of_mount(root, line, group, v2);
		least = cpus < least ? cpus : least;
	}
	free(copy);
	return least;
}

unsigned cpu_quota(const char *root)
{
	char path[PATH_MAX];
	unsigned least = UINT_MAX;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	char *groups = slurp(path);
	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
	char *mounts = slurp(path);
	char *rest = groups;
	/* Lines are "4:cpu,cpuacct:/group" (version 1) and "0::/group" (version 2). */
	for (char *line; mounts && rest && (line = strsep(&rest, "\n"));) {
		char *names = strchr(line, ':');
		char *group = names ? strchr(names + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		bool v2 = names[1] == '\0';
		if (!v2 && !listed(names + 1, "cpu"))
			continue;
		unsigned cpus = quota_of_group(root, mounts, group, v2);
		least = cpus < least ? cpus : least;
	}
	free(groups);
	free(mounts);
	return least;
}

unsigned cpu_available(void)
{
	unsigned mask = affinity();
	unsigned quota = cpu_quota("");
	return quota < mask ? quota : mask;
}

unsigned long long clock_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec;
}
