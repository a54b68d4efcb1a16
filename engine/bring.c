/*
 * bring.c - see bring.h.
 *
 *   a small module               JOB_RESTORE
 *   a large one, with a stamp    JOB_RESTORE, by difference only --that does not lead there--> shards
 *   a large one without          shards (split.c) --one of them, or the whole, is not right--> JOB_RESTORE
 *
 * The stamp is taken off before a job is given out that may write.
 */
#include "bring.h"

#include <fcntl.h>
#include <unistd.h>

#include "op_private.h"

int bring_open(struct bring *bring, struct store *store, uint32_t most, uint32_t flags)
{
	*bring = (struct bring) {.store = store, .flags = flags};
	bring->aims = malloc((most + 1) * sizeof(*bring->aims));
	bring->splits = malloc((most + 1) * sizeof(*bring->splits));
	return bring->aims && bring->splits ? 0 : fail_sys(ENOMEM, "memory for an operation");
}

void bring_add(struct bring *bring, uint32_t module, uint32_t entry, uint64_t cut)
{
	bring->aims[bring->count++] = (struct aim) {module, entry, cut};
}

/* A job that takes the module there by itself. */
static int whole(struct bring *bring, struct job *job, uint32_t module, uint32_t entry)
{
	struct store *store = bring->store;
	op_job(store, job, JOB_RESTORE, module, entry);
	job->flags = bring->flags;
	bool there = job->stamp.entry == entry;
	int r = there || bring->flags & JOB_DRY ? 0 : stamps_clear(&store->stamps, module);
	return r ? r : 1;
}

static int next_of_splits(struct bring *bring, struct job *job)
{
	for (uint32_t i = 0; i < bring->splits_count; i++) {
		struct split *split = &bring->splits[i];
		int r = split_next(split, bring->store, job);
		if (r)
			return r;
		if (split->state == SPLIT_ALONE) {
			split->state = SPLIT_DONE;
			return whole(bring, job, split->module, split->target);
		}
	}
	return 0;
}

static void split_up(struct bring *bring, uint32_t module, uint32_t entry, uint64_t cut)
{
	split_begin(&bring->splits[bring->splits_count++], bring->store, module, entry, bring->flags, cut);
}

/* Whether anything is known of the module's backing file. */
static bool is_known(const struct store *store, uint32_t module)
{
	struct stamp stamp = store_stamp(store, module);
	struct place place;
	place_backing(&store->base, &store->catalog, module, &place);
	int fd = stamp.entry == CHAIN_NONE ? -1 : file_open(place.dir, place.name, O_RDONLY);
	if (fd < 0)
		return false;
	bool known = stamp_holds(&stamp, fd);
	close(fd);
	return known;
}

int bring_next(struct bring *bring, struct job *job)
{
	int r = next_of_splits(bring, job);
	if (r || bring->at == bring->count)
		return r;
	const struct aim *aim = &bring->aims[bring->at++];
	bool large = split_wanted(bring->store, aim->module, aim->entry);
	if (large && !is_known(bring->store, aim->module)) {
		split_up(bring, aim->module, aim->entry, aim->cut);
		return bring_next(bring, job);
	}
	r = whole(bring, job, aim->module, aim->entry);
	job->flags |= large ? JOB_NEAR : 0;
	return r;
}

static struct split *find_split(const struct bring *bring, uint32_t module)
{
	for (uint32_t i = 0; i < bring->splits_count; i++)
		if (bring->splits[i].module == module)
			return &bring->splits[i];
	return NULL;
}

const struct split *bring_split(const struct bring *bring, uint32_t module)
{
	return find_split(bring, module);
}

int bring_done(struct bring *bring, const struct job *job, struct stamp *stamp)
{
	*stamp = job->stamp;
	if (job->kind == JOB_HASH_SHARD || job->kind == JOB_WRITE_SHARD) {
		struct split *split = find_split(bring, job->module);
		int r = split_done(split, bring->store, job);
		*stamp = split->stamp;
		return r ? r : split->state == SPLIT_DONE;
	}
	if (job->result)
		return fail(-job->result, "%s", job->text);
	if (!job->far || !(job->flags & JOB_NEAR))
		return 1;
	split_up(bring, job->module, job->target, 0);
	return 0;
}

void bring_count(struct bring *bring, const struct job *job, uint64_t *bytes_read, uint64_t *deltas)
{
	split_count(find_split(bring, job->module), job, bytes_read, deltas);
}

void bring_end(struct bring *bring)
{
	for (uint32_t i = 0; i < bring->splits_count; i++)
		split_end(&bring->splits[i], bring->store);
	bring->splits_count = 0;
	bring->at = bring->count;
}

void bring_close(struct bring *bring)
{
	free(bring->aims);
	free(bring->splits);
	*bring = (struct bring) {0};
}
