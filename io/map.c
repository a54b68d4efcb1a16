/*
 * map.c - mapped files, and the signal that comes when one of them is not there.
 *
 * The handler knows mappings by a table of address ranges, which is only ever written outside the handler, entry by
 * entry: size last when it is added, first when it is taken away.
 */
#include "map.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"

static struct range {
	_Atomic uintptr_t start;
	_Atomic size_t size; /* 0: free */
} ranges[MAP_MAX];
static size_t ranges_used; /* no range behind this has a size */
static volatile sig_atomic_t broken;

static void on_bus(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	/* One that somebody has sent has no address. */
	uintptr_t at = info->si_code > 0 ? (uintptr_t)info->si_addr : 0;
	for (size_t i = 0; at && i < ranges_used; i++) {
		uintptr_t start = ranges[i].start;
		size_t size = ranges[i].size;
		if (at < start || at - start >= size)
			continue;
		/* The whole of it, so that there is one signal for each mapping at the most. */
		if (mmap((void *)start, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			break;
		broken = 1;
		return;
	}
	/* Not ours: it ends the process, as soon as this returns. */
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

void map_guard(void)
{
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
	broken = 0;
}

static struct range *range_free(void)
{
	for (size_t i = 0; i < MAP_MAX; i++)
		if (!ranges[i].size) {
			if (i >= ranges_used)
				ranges_used = i + 1;
			return &ranges[i];
		}
	return NULL;
}

int map_window(struct map *map, int fd, uint64_t at, size_t size, size_t reserve, bool now)
{
	struct stat st;
	map_close(map);
	int r = fault_at("map");
	if (r)
		return fail_sys(-r, "a file could not be mapped");
	if (fstat(fd, &st) < 0)
		return fail_sys(errno, "a file that is to be mapped");
	if ((uint64_t)st.st_size < at || (uint64_t)st.st_size - at < size)
		return fail(EBADMSG, "a file is shorter than it should be");
	map->inode = st.st_ino;
	map->device = st.st_dev;
	if (!size)
		return 0;
	struct range *range = range_free();
	if (!range)
		return fail(ENOMEM, "more than %d files would be mapped at a time", MAP_MAX);
	void *data = mmap(NULL, reserve, PROT_READ, MAP_SHARED, fd, (off_t)at);
	if (data == MAP_FAILED)
		return fail_sys(errno, "mapping a file of %zu bytes", size);
	if (now)
		madvise(data, size, MADV_WILLNEED);
	map->slot = (unsigned)(range - ranges);
	range->start = (uintptr_t)data;
	range->size = reserve;
	map->data = data;
	map->size = reserve;
	return 0;
}

int map_open(struct map *map, int fd, size_t size, bool now)
{
	return map_window(map, fd, 0, size, size, now);
}

void map_want(const struct map *map, uint64_t at, uint64_t size)
{
	uint64_t from = at & ~(uint64_t)4095;
	if (at < map->size)
		madvise((void *)(uintptr_t)(map->data + from),
		    (size_t)(at + size < map->size ? at + size - from : map->size - from), MADV_WILLNEED);
}

void map_close(struct map *map)
{
	if (map->size) {
		ranges[map->slot].size = 0;
		munmap((void *)(uintptr_t)map->data, map->size);
	}
	*map = (struct map) {0};
}

bool map_failed(void)
{
	if (!broken)
		return false;
	broken = 0;
	fail(EIO, "a file was cut short, or could not be read, while it was mapped");
	return true;
}
