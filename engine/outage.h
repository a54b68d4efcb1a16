/*
 * outage.h - what a power failure may have taken.
 */
#ifndef ENGINE_OUTAGE_H
#define ENGINE_OUTAGE_H

#include "store.h"

/** outage_first_lost() - of the commits that were never persisted the first whose files are not all there and right;
 * COMMIT_NONE: they are. err_text() then names a file. */
uint32_t outage_first_lost(const struct store *store, struct job_context *own);

#endif
