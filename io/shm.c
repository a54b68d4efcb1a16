/*
 * shm.c - memfds as memory of several processes.
 *
 * The size is sealed before anyone else can have the descriptor: a process gone wrong that cut the file would make all
 * others die of SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "fault.h"
#include "shm.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Some systems forbid memfds that could be executed; kernels before 6.3 do not know the flag that says so. */
static int memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

int shm_create(struct shm *shm, const char *name, size_t size, bool readers_only)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (readers_only ? F_SEAL_FUTURE_WRITE : 0);
	int rc = fault_at("shm.create");

	*shm = (struct shm) {.fd = -1};
	if (!size || size > INT64_MAX)
		return fail(EINVAL, "shared memory \"%s\" can not be %zu bytes long", name, size);
	if (!rc && (shm->fd = memfd(name)) < 0)
		rc = -errno;
	if (rc)
		return fail_sys(-rc, "shared memory \"%s\" of %zu bytes can not be made", name, size);
	if (ftruncate(shm->fd, (off_t)size) < 0)
		goto failed;
	/* Mapped before it is sealed: F_SEAL_FUTURE_WRITE forbids it from then on. */
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, shm->fd, 0);
	if (base == MAP_FAILED)
		goto failed;
	shm->base = base;
	shm->size = size;
	if (fcntl(shm->fd, F_ADD_SEALS, seals) < 0)
		goto failed;
	return 0;
failed:
	rc = fail_sys(errno, "shared memory \"%s\" of %zu bytes can not be made", name, size);
	shm_close(shm);
	return rc;
}

int shm_remap_readonly(struct shm *shm)
{
	/* MAP_FIXED replaces the old mapping in one step: there is no moment at which others could take the address. */
	void *base = mmap(shm->base, shm->size, PROT_READ, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, shm->fd, 0);
	if (base == MAP_FAILED)
		return fail_sys(errno, "shared memory of %zu bytes can not be mapped for reading", shm->size);
	return 0;
}

void shm_close(struct shm *shm)
{
	if (shm->base)
		munmap(shm->base, shm->size);
	if (shm->fd >= 0)
		close(shm->fd);
	*shm = (struct shm) {.fd = -1};
}
