/*
 * op_read.c - operations that change nothing: checkout and verify. They run beside others.
 */
#include "op_private.h"

#include <stdio.h>

/* ---- checkout --------------------------------------------------------------------------------------------------- */

struct op_checkout {
	struct op op;
	uint32_t module;
	uint32_t entry;
	bool handed;
	bool done;
	uint64_t size;
};

static enum op_step checkout_next(struct op *op, struct job *job)
{
	struct op_checkout *c = (struct op_checkout *)op;
	if (op->running)
		return OP_WAIT;
	if (op->cancelled && !c->done)
		op_fail(op, fail(ECANCELED, "the checkout was cancelled; what the file holds is not known"));
	if (c->handed || op->result)
		return OP_END;
	c->handed = true;
	op_job(op->store, job, JOB_CHECKOUT, c->module, c->entry);
	return OP_JOB;
}

static void checkout_done(struct op *op, const struct job *job)
{
	op_fail_job(op, job);
	((struct op_checkout *)op)->done = !job->result;
	((struct op_checkout *)op)->size = job->size;
	op->store->checkouts += !job->result;
}

static const struct op_kind checkout_kind = {"checkout", false, false, checkout_next, checkout_done, NULL};

struct op *op_checkout(struct store *store, uint32_t module, uint32_t entry, int fd)
{
	struct op_checkout *c = op_new(store, &checkout_kind, sizeof(*c));
	if (!c)
		return NULL;
	c->module = module;
	c->entry = entry;
	c->op.fd = fd;
	c->op.cancels_jobs = true;
	return &c->op;
}

uint64_t op_checkout_size(const struct op *op)
{
	return ((const struct op_checkout *)op)->size;
}

const struct varve_id *op_checkout_module(const struct op *op)
{
	return &catalog_module(&op->store->catalog, ((const struct op_checkout *)op)->module)->id;
}

/* ---- verify ----------------------------------------------------------------------------------------------------- */

struct op_verify {
	struct op op;
	uint32_t at;
	bool looked; /* at the directory */
	uint64_t *known; /* hashes of all names that belong there, sorted */
	size_t known_count;
	struct varve_verify_report report;
	void (*found)(void *arg, bool damage, const char *file, const char *problem);
	void *found_arg;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void know(struct op_verify *v, const char *name)
{
	v->known[v->known_count++] = hash64(name, strlen(name));
}

/* The names of all files that the history speaks of. */
static int know_all(struct op_verify *v)
{
	const struct store *store = v->op.store;
	size_t count = 2 + store->session.count;
	for (uint32_t m = 0; m < catalog_count(&store->catalog); m++)
		count += 2 + catalog_module(&store->catalog, m)->length;
	v->known = malloc(count * sizeof(*v->known));
	if (!v->known)
		return fail_sys(ENOMEM, "memory for verifying");
	char name[NAME_MAX_SIZE];
	know(v, "commits");
	know(v, ".varve");
	for (uint32_t i = 0; i < store->session.count; i++) {
		name_backing(name, &store->session.modules[i].id);
		know(v, name);
	}
	for (uint32_t m = 0; m < catalog_count(&store->catalog); m++) {
		const struct catalog_module *module = catalog_module(&store->catalog, m);
		for (uint32_t i = 0; i < module->length; i++) {
			const struct chain_entry *entry = chain_entry(&store->catalog, m, i);
			if (i == 0 || i == module->length - 1)
				name_image(name, &module->id, &entry->id);
			else
				name_delta(name, &module->id, &entry->id, entry->ordinal);
			know(v, name);
		}
		if (!module->length)
			continue;
		name_backing(name, &module->id);
		know(v, name);
	}
	qsort(v->known, v->known_count, sizeof(*v->known), by_value);
	return 0;
}

/* What there is to say of a file that no commit refers to. */
static const char *needless(const struct op_verify *v, const char *name)
{
	if (name_parse(name, NULL, NULL, NULL) == NAME_OTHER)
		return "this file is not the store's";
	if (v->op.store->journal.missing[0])
		return "no commit that is there refers to this file; keep it for those that are missing";
	return "no commit refers to this file; it can be removed";
}

static int look_at(void *arg, const char *name)
{
	struct op_verify *v = arg;
	uint64_t hash = hash64(name, strlen(name));
	if (!bsearch(&hash, v->known, v->known_count, sizeof(hash), by_value))
		op_verify_found(&v->op, false, name, needless(v, name));
	return 0;
}

/* Reads `commits` once more, as opening it did. */
static void check_commits(struct op_verify *v)
{
	struct store *store = v->op.store;
	struct buf b = {0};
	struct catalog catalog;
	struct history history;
	uint64_t good = 0;
	if (store->journal.missing[0]) {
		v->report.damaged++;
		op_verify_found(&v->op, true, "commits", store->journal.missing);
	}
	int r = file_load(&store->base, "commits", (size_t)1 << 36, &b);
	if (r == -ENOENT)
		return;
	v->report.files++;
	v->report.bytes += b.size;
	if (!r && !(r = catalog_create(&catalog))) {
		if (!(r = history_open(&history, &catalog))) {
			r = history_load(&history, b.data, b.size, &good);
			history_close(&history);
		}
		catalog_close(&catalog);
	}
	if (r) {
		v->report.damaged++;
		op_verify_found(&v->op, true, "commits", err_text());
	}
	buf_free(&b);
}

static enum op_step verify_next(struct op *op, struct job *job)
{
	struct op_verify *v = (struct op_verify *)op;
	if (op->cancelled) {
		op_fail(op, fail(ECANCELED, "verifying was cancelled"));
		return op->running ? OP_WAIT : OP_END;
	}
	if (!v->looked) {
		v->looked = true;
		check_commits(v);
		op_fail(op, know_all(v));
		if (!op->result)
			op_fail(op, dir_each(&op->store->base, look_at, v));
	}
	while (v->at < catalog_count(&op->store->catalog) && !op->result) {
		uint32_t m = v->at++;
		if (!catalog_module(&op->store->catalog, m)->length)
			continue;
		op_job(op->store, job, JOB_VERIFY, m, CHAIN_NONE);
		v->report.modules++;
		return OP_JOB;
	}
	return op->running ? OP_WAIT : OP_END;
}

static void verify_done(struct op *op, const struct job *job)
{
	struct op_verify *v = (struct op_verify *)op;
	op_fail_job(op, job);
	v->report.files += job->files;
	v->report.bytes += job->bytes_read;
	v->report.images += job->images;
	v->report.damaged += job->damaged;
}

static void verify_free(struct op *op)
{
	free(((struct op_verify *)op)->known);
}

static const struct op_kind verify_kind = {"verify", false, false, verify_next, verify_done, verify_free};

struct op *op_verify(
    struct store *store, void (*found)(void *arg, bool damage, const char *file, const char *problem), void *arg)
{
	struct op_verify *v = op_new(store, &verify_kind, sizeof(*v));
	if (!v)
		return NULL;
	v->found = found;
	v->found_arg = arg;
	v->op.cancels_jobs = true;
	return &v->op;
}

void op_verify_found(struct op *op, bool damage, const char *file, const char *problem)
{
	struct op_verify *v = (struct op_verify *)op;
	if (op->kind == &verify_kind && v->found)
		v->found(v->found_arg, damage, file, problem);
}

const struct varve_verify_report *op_verify_report(const struct op *op)
{
	return &((const struct op_verify *)op)->report;
}
