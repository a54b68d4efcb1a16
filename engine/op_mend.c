/*
 * op_mend.c - publish what could not be published when its commit was made: the disk was full then, say.
 *
 * The commit has been made, and its files are in .varve/. While store->unpublished says that there are such modules,
 * this runs before whatever needs modules' files. What fails again stays for the next time.
 */
#include "op_private.h"

#include "image.h"

struct op_mend {
	struct op op;
	uint32_t at;
	bool failed;
};

bool store_wants_repair(const struct store *store, uint32_t module)
{
	const struct job_context context = {.base = &store->base, .priv = &store->priv, .catalog = &store->catalog};
	uint32_t length = catalog_module(&store->catalog, module)->length;
	if (!length)
		return false;
	struct place place;
	struct stat st;
	char name[NAME_MAX_SIZE];
	name_private(name, &catalog_module(&store->catalog, module)->id, "next");
	if (file_stat(&store->priv, name, &st) == 0)
		return true;
	place_last(&context, module, length - 1, &place);
	return file_stat(place.dir, place.name, &st) ||
	       (uint64_t)st.st_size != chain_entry(&store->catalog, module, length - 1)->size;
}

static enum op_step next(struct op *op, struct job *job)
{
	struct op_mend *m = (struct op_mend *)op;
	while (m->at < catalog_count(&op->store->catalog)) {
		uint32_t module = m->at++;
		if (!store_wants_repair(op->store, module))
			continue;
		op_job(op->store, job, JOB_REPAIR, module, catalog_module(&op->store->catalog, module)->length - 1);
		return OP_JOB;
	}
	if (op->running)
		return OP_WAIT;
	op->store->unpublished = m->failed;
	return OP_END;
}

static void done(struct op *op, const struct job *job)
{
	op_fail_job(op, job);
	if (job->result)
		((struct op_mend *)op)->failed = true;
}

static const struct op_kind mend_kind = {.name = "mend", .changes = true, .next = next, .done = done};

struct op *op_mend(struct store *store)
{
	struct op_mend *m = op_new(store, &mend_kind, sizeof(*m));
	return m ? &m->op : NULL;
}
