/*
 * catalog.c - every module and every module commit, in memory that the coordinator writes and workers read.
 *
 *   +--------+------------------------------------+-----------+-----------+--------------------+
 *   | header | CATALOG_MODULES_MAX module records | segment   | segment   | ... nothing yet    |
 *   +--------+------------------------------------+-----------+-----------+--------------------+
 *                       | segments[0]                  ^           ^       ^ header->top
 *                       +------------------------------+           |
 *                       | segments[1] ----------------------------+
 *
 * All of it is one sparse memfd: address space is reserved for far more than any store needs, memory is used where
 * something was written. Workers are forked when the catalog may still be empty, so it can neither move nor grow.
 *
 * C1  One writer. It writes an entry, then stores the chain's length (release); a reader loads the length (acquire)
 *     and looks at nothing beyond it. The module count works in the same way.
 * C2  What has been allocated stays allocated: a chain that is cut, or a module that is dropped, keeps its segments
 *     in its record, and whatever comes next in that place uses them.
 * C3  What is found by id (modules, and how often an id occurs in a chain) is the writer's alone, in its own memory.
 */
#include "catalog.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "err.h"
#include "fault.h"
#include "idmap.h"
#include "names.h"

#define FIRST_SEGMENT 16u
#define CATALOG_BYTES (UINT64_C(64) << 30)
#define CATALOG_BYTES_MIN (UINT64_C(1) << 30)

struct catalog_header {
	uint64_t size; /**< of the mapping */
	uint64_t top; /**< where the next segment goes; the writer's */
	uint32_t count; /**< modules */
	uint32_t reserved;
	_Alignas(64) struct catalog_module modules[CATALOG_MODULES_MAX];
};

struct catalog_writer {
	struct idmap modules; /**< id to index */
	struct idmap ids; /**< (module, id) to its first entry behind the base, and how many there are */
};

/* Segment k begins with entry (16 << k) - 16: an index plus 16 has its highest bit at 4 + k. */
static inline unsigned segment_of(uint32_t index, uint32_t *within)
{
	uint32_t at = index + FIRST_SEGMENT;
	unsigned k = 27 - (unsigned)__builtin_clz(at);
	*within = at - (FIRST_SEGMENT << k);
	return k;
}

static struct chain_entry *entry_at(
    const struct catalog_header *header, const struct catalog_module *module, uint32_t index)
{
	uint32_t within;
	unsigned k = segment_of(index, &within);
	struct chain_entry *segment = (void *)((char *)(uintptr_t)header + module->segments[k]);
	return segment + within;
}

static bool same_module(const void *arg, const struct idmap_slot *slot, const struct varve_id *id)
{
	const struct catalog_header *header = arg;
	return id_equal(&header->modules[slot->value].id, id);
}

static bool same_entry(const void *arg, const struct idmap_slot *slot, const struct varve_id *id)
{
	const struct catalog_header *header = arg;
	return id_equal(&entry_at(header, &header->modules[slot->owner], slot->value)->id, id);
}

/* Where address space or file sizes are limited (ulimit -v, -f) less has to do. A file size beyond the limit would
 * also bring SIGXFSZ, so that limit is looked at before trying. */
static int create_memory(struct shm *shm)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	(void)getrlimit(RLIMIT_FSIZE, &limit);
	int ret = -EFBIG;
	for (uint64_t size = CATALOG_BYTES; size >= CATALOG_BYTES_MIN; size /= 2) {
		if (limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur)
			continue;
		ret = shm_create(shm, "varve-catalog", size, true);
		if (ret == 0)
			return 0;
	}
	if (ret == -EFBIG)
		return fail(EFBIG,
		    "the catalog of modules needs 1 GiB of sparse memory: raise the limit of file sizes (ulimit -f)");
	err_prefix("the catalog of modules: ");
	return ret;
}

int catalog_create(struct catalog *catalog)
{
	*catalog = (struct catalog) {.shm = {.fd = -1}};
	int ret = create_memory(&catalog->shm);
	if (ret)
		return ret;
	/* A core dump of mostly nothing, 64 GiB of it, helps nobody. */
	(void)madvise(catalog->shm.base, catalog->shm.size, MADV_DONTDUMP);
	catalog->header = catalog->shm.base;
	catalog->header->size = catalog->shm.size;
	catalog->header->top = sizeof(struct catalog_header);

	catalog->writer = fault_at("alloc") ? NULL : calloc(1, sizeof(*catalog->writer));
	if (!catalog->writer)
		ret = fail(ENOMEM, "no memory for the catalog of modules");
	if (!ret)
		ret = idmap_open(&catalog->writer->modules, same_module, catalog->header);
	if (!ret)
		ret = idmap_open(&catalog->writer->ids, same_entry, catalog->header);
	if (ret)
		catalog_close(catalog);
	return ret;
}

void catalog_close(struct catalog *catalog)
{
	if (catalog->writer) {
		idmap_close(&catalog->writer->modules);
		idmap_close(&catalog->writer->ids);
		free(catalog->writer);
	}
	if (catalog->header)
		shm_close(&catalog->shm);
	*catalog = (struct catalog) {.shm = {.fd = -1}};
}

uint32_t catalog_count(const struct catalog *catalog)
{
	return __atomic_load_n(&catalog->header->count, __ATOMIC_ACQUIRE);
}

const struct catalog_module *catalog_module(const struct catalog *catalog, uint32_t index)
{
	assert(index < catalog_count(catalog));
	return &catalog->header->modules[index];
}

uint32_t catalog_find(const struct catalog *catalog, const struct varve_id *id)
{
	const struct idmap_slot *slot = idmap_find(&catalog->writer->modules, 0, id);
	return slot ? slot->value : MODULE_NONE;
}

int64_t catalog_add(struct catalog *catalog, const struct varve_id *id)
{
	struct catalog_header *header = catalog->header;
	uint32_t index = header->count;
	if (index == CATALOG_MODULES_MAX)
		return fail(ENOSPC, "a store has room for %u modules, and all are in use", CATALOG_MODULES_MAX);
	int ret = idmap_reserve(&catalog->writer->modules, 1);
	if (ret)
		return ret;
	header->modules[index].id = *id;
	header->modules[index].length = 0; /* segments of a module dropped here stay (C2) */
	__atomic_store_n(&header->count, index + 1, __ATOMIC_RELEASE);
	idmap_add(&catalog->writer->modules, 0, id, index);
	return index;
}

void catalog_drop_newest(struct catalog *catalog)
{
	struct catalog_header *header = catalog->header;
	uint32_t index = header->count - 1;
	assert(header->count && !header->modules[index].length);
	struct idmap_slot *slot = idmap_find(&catalog->writer->modules, 0, &header->modules[index].id);
	assert(slot && slot->value == index);
	idmap_remove(&catalog->writer->modules, slot);
	__atomic_store_n(&header->count, index, __ATOMIC_RELEASE);
}

const struct chain_entry *chain_entry(const struct catalog *catalog, uint32_t module, uint32_t index)
{
	const struct catalog_module *m = catalog_module(catalog, module);
	assert(index < __atomic_load_n(&m->length, __ATOMIC_ACQUIRE));
	return entry_at(catalog->header, m, index);
}

/* Make sure that entry @index has a segment. */
static int grow_chain(struct catalog *catalog, struct catalog_module *module, uint32_t index)
{
	struct catalog_header *header = catalog->header;
	uint32_t within;
	unsigned k = segment_of(index, &within);
	if (k >= CATALOG_SEGMENTS)
		return fail(ENOSPC, "a module has room for %u commits, and all are in use", index);
	if (module->segments[k])
		return 0;
	uint64_t bytes = (uint64_t)(FIRST_SEGMENT << k) * sizeof(struct chain_entry);
	if (bytes > header->size - header->top)
		return fail(
		    ENOSPC, "the catalog of modules is full: it has %llu bytes", (unsigned long long)header->size);
	module->segments[k] = header->top;
	header->top += bytes;
	return 0;
}

int64_t chain_append(struct catalog *catalog, uint32_t module, const struct chain_entry *entry)
{
	assert(module < catalog->header->count);
	struct catalog_module *m = &catalog->header->modules[module];
	struct idmap *ids = &catalog->writer->ids;
	uint32_t index = m->length;
	int ret = idmap_reserve(ids, 1);
	if (!ret)
		ret = grow_chain(catalog, m, index);
	if (ret)
		return ret;

	struct idmap_slot *slot = index ? idmap_find(ids, module, &entry->id) : NULL;
	struct chain_entry *to = entry_at(catalog->header, m, index);
	*to = *entry;
	to->ordinal = slot ? slot->count : 0;
	__atomic_store_n(&m->length, index + 1, __ATOMIC_RELEASE);
	if (slot)
		slot->count++;
	else if (index)
		idmap_add(ids, module, &entry->id, index);
	return index;
}

void chain_truncate(struct catalog *catalog, uint32_t module)
{
	struct catalog_module *m = &catalog->header->modules[module];
	struct idmap *ids = &catalog->writer->ids;
	assert(module < catalog->header->count && m->length);
	uint32_t index = m->length - 1;
	struct idmap_slot *slot = index ? idmap_find(ids, module, &entry_at(catalog->header, m, index)->id) : NULL;
	assert(!index || slot);
	if (slot && --slot->count == 0) {
		slot->count = 1; /* 0 would make it a free slot before it is closed */
		idmap_remove(ids, slot);
	}
	__atomic_store_n(&m->length, index, __ATOMIC_RELEASE);
}

uint32_t chain_ordinal(const struct catalog *catalog, uint32_t module, const struct varve_id *id)
{
	const struct idmap_slot *slot = idmap_find(&catalog->writer->ids, module, id);
	return slot ? slot->count : 0;
}
