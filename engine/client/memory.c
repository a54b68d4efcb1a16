/*
 * memory.c - a module's memory: its backing file, mapped at an address that never moves.
 *
 *   base                mapped                                reserve   + a guard page
 *    |  the file, shared   |   reserved: PROT_NONE, no memory     |
 *    '---- size -----'pad--'
 *
 * M1  What is mapped is never longer than the file: a page of a mapping that lies wholly behind its file's end raises
 *     SIGBUS, a page that is only reserved SIGSEGV, which is what a VM expects of its guard pages. So a file grows
 *     before its mapping does, and shrinks after it.
 * M2  The padding between size and the end of the last page can be written but is not part of the file. It is cleared
 *     before the file grows over it, for file systems differ in whether they do.
 *
 * The file grows sparse. A disk that is full when a new page is first written raises SIGBUS after all; allocating at
 * once (fallocate) would prevent that at the price of writing out zeros for memory that may never be touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "err.h"
#include "file.h"
#include "names.h"

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t round_up(uint64_t size)
{
	uint64_t page = page_size();
	return (size + page - 1) / page * page;
}

/* -@err with a sentence that names the module. */
static int memory_fail(const struct varve_memory *memory, int err, const char *what)
{
	char name[NAME_MAX_SIZE];
	name_backing(name, &memory->module);
	return fail_sys(err, "the memory of module %s %s", name, what);
}

/* Put the boundary between file and reserve at the page that @size ends in. */
static int move_end(struct varve_memory *memory, uint64_t size)
{
	uint64_t end = round_up(size);
	void *p = memory->base;
	if (end < memory->mapped)
		p = mmap(memory->base + end, memory->mapped - end, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	else if (end > memory->mapped)
		p = mmap(memory->base + memory->mapped, end - memory->mapped, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, memory->fd, (off_t)memory->mapped);
	if (p == MAP_FAILED)
		return memory_fail(memory, errno, "can not be mapped");
	memory->mapped = end;
	atomic_store(&memory->size, size);
	return 0;
}

int memory_show(struct varve_memory *memory, uint64_t size)
{
	struct stat st;
	char name[NAME_MAX_SIZE];
	name_backing(name, &memory->module);
	if (size > memory->reserve)
		return fail(EFBIG,
		    "module %s has %llu bytes, more than the %llu reserved; open the VM with a larger `reserve`", name,
		    (unsigned long long)size, (unsigned long long)memory->reserve);
	if (fstat(memory->fd, &st))
		return memory_fail(memory, errno, "can not be examined");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < size)
		return fail(EPROTO, "%s is not the file of %llu bytes that the coordinator says it is", name,
		    (unsigned long long)size);
	return move_end(memory, size);
}

int memory_limit(struct varve_memory *memory, uint64_t size)
{
	return size < atomic_load(&memory->size) ? move_end(memory, size) : 0;
}

int memory_follow(struct varve_memory *memory)
{
	struct stat st;
	if (fstat(memory->fd, &st))
		return memory_fail(memory, errno, "can not be examined");
	return memory_show(memory, (uint64_t)st.st_size);
}

int memory_open(
    struct varve_session *session, const struct varve_id *module, int fd, uint64_t size, struct varve_memory **memory)
{
	struct varve_memory *new = calloc(1, sizeof(*new));
	*memory = NULL;
	if (!new) {
		close(fd);
		return fail(ENOMEM, "not enough memory for a module");
	}
	new->session = session;
	new->module = *module;
	new->fd = fd;
	new->reserve = round_up(session->vm->options.reserve);
	void *base =
	    mmap(NULL, new->reserve + page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r = base == MAP_FAILED
	            ? memory_fail(new, errno, "has no address space; open the VM with a smaller `reserve`")
	            : 0;
	if (!r) {
		new->base = base;
		r = memory_show(new, size);
	}
	if (r) {
		memory_free(new);
		return r;
	}
	*memory = new;
	return 0;
}

int memory_adopt(struct varve_memory *memory, int fd, uint64_t size)
{
	int r = memory_limit(memory, 0);
	if (r) {
		close(fd);
		return r;
	}
	close(memory->fd);
	memory->fd = fd;
	return memory_show(memory, size);
}

void memory_free(struct varve_memory *memory)
{
	if (!memory)
		return;
	if (memory->base)
		munmap(memory->base, memory->reserve + page_size());
	close(memory->fd);
	free(memory);
}

void *varve_memory_base(const struct varve_memory *memory)
{
	return memory ? memory->base : NULL;
}

uint64_t varve_memory_size(const struct varve_memory *memory)
{
	return memory ? atomic_load(&memory->size) : 0;
}

/* M2. Only bytes that are not zero are written: a page that is clean stays so. */
static void clear_padding(const struct varve_memory *memory)
{
	uint8_t *end = memory->base + memory->mapped;
	for (uint8_t *p = memory->base + atomic_load(&memory->size); p < end; p++)
		if (*p)
			*p = 0;
}

static int resize(struct varve_memory *memory, uint64_t size)
{
	const struct dir dir = {-1, ""};
	char name[NAME_MAX_SIZE];
	uint64_t before = atomic_load(&memory->size);
	name_backing(name, &memory->module);
	if (memory->gone)
		return fail(ENOENT, "module %s can not be used since the last restore; instantiate it again", name);
	if (atomic_load(&memory->session->dead))
		return fail(ECONNRESET, "the coordinator of %s died during this session; abandon it, then begin again",
		    memory->session->vm->path);
	if (size > memory->reserve)
		return fail(EFBIG,
		    "module %s can not have %llu bytes, %llu are reserved; open the VM with a larger `reserve`", name,
		    (unsigned long long)size, (unsigned long long)memory->reserve);
	int r = 0;
	if (size < before)
		r = move_end(memory, size);
	else
		clear_padding(memory);
	if (!r)
		r = file_resize(memory->fd, size, &dir, name);
	if (r && size < before)
		move_end(memory, before);
	if (r || size <= before)
		return r;
	r = move_end(memory, size);
	if (r)
		file_resize(memory->fd, before, &dir, name);
	return r;
}

int varve_memory_resize(struct varve_memory *memory, uint64_t size)
{
	if (!memory)
		return fail(EINVAL, "the memory is NULL");
	struct varve_session *session = memory->session;
	int r = vm_enter(session->vm);
	if (r)
		return r;
	if (pthread_mutex_lock(&session->lock))
		return fail(EDEADLK, "a memory can not be resized inside a restore's progress callback");
	r = size == atomic_load(&memory->size) ? 0 : resize(memory, size);
	pthread_mutex_unlock(&session->lock);
	return r;
}
