/*
 * layers.c - each layer goes along its runs; the page to do next is the first that any of them is at.
 */
#include "layers.h"

#include <stdlib.h>

#include "delta_format.h"

void layers_begin(struct layers *layers)
{
	layers->count = 0;
	layers->runs = 0;
}

struct delta *layers_next(struct layers *layers)
{
	bool full = layers->count == LAYERS_MAX || layers->runs >= LAYERS_RUNS;
	return full ? NULL : &layers->list[layers->count].delta;
}

/* Where the next bytes are. */
static void layer_look(struct layer *l)
{
	const struct delta *d = &l->delta;
	bool end = l->run == d->runs.count;
	l->page = end ? UINT64_MAX : (d->runs.list[l->run].at + l->done) / PAGE_BYTES;
	if (!end && !l->done && l->section < d->sections_count && d->sections[l->section].first == l->run)
		l->literals = d->sections[l->section++].stored;
}

bool layers_push(struct layers *layers)
{
	struct layer *l = &layers->list[layers->count];
	for (size_t i = 0; i < l->delta.sections_count; i++)
		if (l->delta.sections[i].literals && l->delta.sections[i].mode != DELTA_RAW)
			return false;
	l->run = l->zero = l->section = 0;
	l->done = 0;
	l->literals = NULL;
	layer_look(l);
	layers->runs += l->delta.runs.count;
	layers->count++;
	return true;
}

/* Its bytes in the page that it is at. */
static void layer_put(struct layer *l, uint8_t *page)
{
	uint64_t at_page = l->page;
	while (l->page == at_page) {
		const struct run *run = &l->delta.runs.list[l->run];
		size_t in_page = (run->at + l->done) % PAGE_BYTES, left = PAGE_BYTES - in_page;
		size_t size = run->size - l->done < left ? (size_t)(run->size - l->done) : left;
		bool zeros = l->zero < l->delta.zeros_count && l->delta.zeros[l->zero] == l->run;
		if (zeros) {
			memset(page + in_page, 0, size);
		} else {
			delta_copy_run(page + in_page, l->literals, size);
			l->literals += size;
		}
		l->done += size;
		if (l->done == run->size) {
			l->zero += zeros;
			l->done = 0;
			l->run++;
		}
		layer_look(l);
	}
}

int layers_apply(struct layers *layers, struct touched *touched, uint64_t size)
{
	for (;;) {
		uint64_t page = UINT64_MAX;
		for (unsigned i = 0; i < layers->count; i++)
			page = layers->list[i].page < page ? layers->list[i].page : page;
		if (page >= pages_of(size))
			break; /* what lies behind the end was cut off by a later one */
		int r = touched_need(touched, page, 1);
		if (r)
			return r;
		uint8_t *bytes = touched_page(touched, touched_places(touched)[page]);
		for (unsigned i = 0; i < layers->count; i++)
			if (layers->list[i].page == page)
				layer_put(&layers->list[i], bytes);
	}
	touched_cut(touched, size);
	return 0;
}

struct layers *layers_of(struct job_scratch *scratch)
{
	if (!scratch->layers)
		scratch->layers = calloc(1, sizeof(*scratch->layers));
	return scratch->layers;
}

void layers_trim(struct layers *layers)
{
	for (unsigned i = 0; layers && i < LAYERS_MAX; i++)
		if (layers->list[i].delta.runs.capacity > LAYERS_RUNS / LAYERS_MAX)
			delta_free(&layers->list[i].delta);
}

void layers_free(struct layers *layers)
{
	for (unsigned i = 0; layers && i < LAYERS_MAX; i++)
		delta_free(&layers->list[i].delta);
	free(layers);
}
