/*
 * worker_limits.c - what a worker denies itself.
 *
 * Priority. Lowering it is free, raising it again takes a privilege, or RLIMIT_NICE, which is 0 nearly everywhere: that
 * holds for a nice value and for leaving SCHED_IDLE alike, and SCHED_BATCH, which can be left, changes next to nothing.
 * So no worker is lowered for one job and raised for the next: background work has a worker of its own, lowered from the
 * start. Nor does anybody ever wait behind a process that gets no CPU.
 *
 * Where the kernel groups processes by session (autogroup, the default outside of systemd's slices), nice values are
 * compared within a session only, and the coordinator, which has left the VM's session, would be lowered against nobody
 * but its own workers. A session of its own, whose group as a whole is lowered, is lowered against all. What is set is
 * never better than what was inherited.
 *
 * Memory. RLIMIT_DATA counts private writable memory, touched or not: the images and buffers that jobs are made of, but
 * not the stack, nor what is shared (catalog, ring). It counts from what the coordinator had when it forked.
 */
#include "worker_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"

#define AUTOGROUP "/proc/self/autogroup"
#define NICE_MOST 19

static int no_higher(int nice)
{
	return nice < NICE_MOST ? nice : NICE_MOST;
}

/* The nice value of the session's group; 0, too, where there is no such grouping: then that of the process is enough. */
static int read_autogroup(void)
{
	int nice = 0;
	FILE *file = fopen(AUTOGROUP, "re");
	if (!file)
		return 0;
	if (fscanf(file, "/autogroup-%*d nice %d", &nice) != 1)
		nice = 0;
	fclose(file);
	return nice;
}

static void write_autogroup(int nice)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%d", nice);
	int fd = open(AUTOGROUP, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)size) < 0)
		err_clear();
	close(fd);
}

/* The group of a new session begins at 0, whatever that was lowered to which it leaves. */
static void lower_cpu(int by)
{
	int group = read_autogroup();
	if (setsid() >= 0)
		write_autogroup(no_higher(group + by));
	errno = 0;
	int now = getpriority(PRIO_PROCESS, 0);
	if (errno == 0)
		setpriority(PRIO_PROCESS, 0, no_higher(now + by));
}

/* Who is idle would be raised to the lowest level of best effort: whether it was said (ionice -c 3), or follows from how it
 * is scheduled (chrt -i). */
static bool io_idles(void)
{
	int now = (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	int class = now < 0 ? IOPRIO_CLASS_NONE : (int)IOPRIO_PRIO_CLASS(now);
	return class == IOPRIO_CLASS_IDLE || (class == IOPRIO_CLASS_NONE && sched_getscheduler(0) == SCHED_IDLE);
}

static void lower(const struct pool_setup *setup)
{
	if (setup->nice)
		lower_cpu((int)setup->nice);
	if (setup->io == POOL_IO_LOW && !io_idles())
		syscall(
		    SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, IOPRIO_NR_LEVELS - 1));
	else if (setup->io == POOL_IO_IDLE)
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

/* Private writable memory of this process, bytes; 0: not known. */
static unsigned long long data_size(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*u %*u %*u %*u %*u %llu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static int limit_memory(unsigned long long most)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_DATA, &limit) < 0)
		return fail_sys(errno, "the memory limit of a worker");
	unsigned long long all = data_size() + most;
	if (limit.rlim_max == RLIM_INFINITY || all < limit.rlim_max)
		limit.rlim_max = all;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_DATA, &limit) < 0 ? fail_sys(errno, "the memory limit of a worker") : 0;
}

int limits_take(const struct pool_setup *setup)
{
	static char hint[96];
	lower(setup);
	if (!setup->memory_limit)
		return 0;
	snprintf(hint, sizeof(hint), "a worker may take %llu MiB: raise memory-limit, or set it to 0",
	    (unsigned long long)(setup->memory_limit >> 20));
	err_set_hint(ENOMEM, hint);
	return limit_memory(setup->memory_limit);
}
