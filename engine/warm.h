/*
 * warm.h - what a process keeps of a module's files from job to job: mappings, and the page hashes of whole images.
 *
 * Opening, reading and closing the same files again is most of what a restore of a small module would cost. None of what
 * is kept is trusted: an image that was made with it has its hash checked like any other, and where that is wrong it is
 * dropped and the files are read again. Large files are mapped for one job only; of a file of tiers it counts what is
 * looked at.
 */
#ifndef ENGINE_WARM_H
#define ENGINE_WARM_H

#include "image.h"
#include "map.h"

/** Files up to this size are kept, bytes. */
#define WARM_FILE (16u << 20)
/** Bytes of files that are kept mapped in all. They are the page cache's: this bounds what a process is said to use. */
#define WARM_BYTES (256u << 20)

/** A whole image: the base, or the last. */
struct whole {
	struct map map;
	struct image_hash hash; /**< of the image whose page hashes these are */
	uint64_t *table; /**< NULL: not hashed yet */
	uint64_t size;
};

/** What is kept of one module. */
struct warm_module {
	struct varve_id id;
	struct whole base;
	struct whole last;
	struct map tiers;
	uint64_t tiers_seen; /**< bytes of it, about, that were looked at since it is mapped */
	struct map undo;
	struct map backing;
	int backing_fd; /**< one that the coordinator gave, plus 1; 0: none (backing.c) */
};

/** The image that a walk starts from. */
struct source {
	const uint8_t *data; /**< NULL: it has no bytes */
	uint64_t size;
	const uint64_t *table; /**< page hashes; NULL: warm_table() of `whole` */
	struct whole *whole;
};

struct steps;
struct warm; /**< in struct job_scratch */

/** warm_module() - what is kept of @module, empty at first. It stays until the next call for another module. NULL: -ENOMEM. */
struct warm_module *warm_module(struct job_context *context, uint32_t module);

/** warm_base(), warm_last() - the whole image of entry 0, of the newest entry. 0 or -errno. */
int warm_base(struct job_context *context, struct warm_module *kept, uint32_t module);
int warm_last(struct job_context *context, struct warm_module *kept, uint32_t module);

/** warm_source() - the image that @steps, of a plan just made, start from. 0 or -errno. */
int warm_source(struct job_context *context, struct warm_module *kept, uint32_t module, const struct steps *steps,
    struct source *source);

/** warm_table() - the page hashes of @source; NULL: -ENOMEM. Whether they are those of the image that it should be is for
 * the caller to find out. */
const uint64_t *warm_table(struct source *source);

/** warm_tiers() - the module's file of tiers as it is now; NULL: there is none. */
const struct map *warm_tiers(struct job_context *context, struct warm_module *kept, uint32_t module);

/** warm_undo() - the same of undo deltas. */
const struct map *warm_undo(struct job_context *context, struct warm_module *kept, uint32_t module);

/** warm_backing() - the first @size bytes of the backing file @fd. */
int warm_backing(struct warm_module *kept, int fd, uint64_t size);

/** warm_end() - at the end of a job: what is too large to be kept goes. warm_drop() - all that is kept of the module. */
void warm_end(struct job_context *context);
void warm_drop(struct job_context *context, uint32_t module);
void warm_free(struct warm *warm);

#endif
