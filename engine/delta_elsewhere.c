/*
 * delta_elsewhere.c - a delta that is not where it should be.
 *
 * While a commit is published, and for longer if that fails, the deltas of the newest entries lie one step behind their
 * places (job_publish.c): written and not yet pending, or pending and not yet in sight. The chain's length says that
 * the commit is made; a reader that looked at it just then, or that must do without the repair, finds them here.
 */
#include "image.h"

#include <errno.h>
#include <stdio.h>

bool delta_elsewhere(struct job_context *context, uint32_t module, uint32_t index)
{
	static const char *const suffixes[] = {"delta", "next"};
	struct job_scratch *s = context->scratch;
	const struct varve_id *id = &catalog_module(context->catalog, module)->id;
	const struct chain_entry *entry = chain_entry(context->catalog, module, index);
	char before[ERR_TEXT];
	snprintf(before, sizeof(before), "%s", err_text());
	for (int i = 0; i < 3; i++) {
		struct place place = {.dir = i < 2 ? context->priv : context->base};
		if (i < 2)
			name_private(place.name, id, suffixes[i]);
		else
			name_delta(place.name, id, &entry->id, entry->ordinal);
		buf_clear(&s->out);
		if (!delta_load(&place, entry, &s->out) && !delta_parse(&s->delta, s->out.data, s->out.size) &&
		    s->delta.new_size == entry->size && hash_equal(&s->delta.hash, &entry->hash))
			return true;
	}
	/* What is wrong at its place matters more than what these have. */
	fail_with(EBADMSG, before);
	return false;
}
