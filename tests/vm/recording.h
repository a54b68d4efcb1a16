/*
 * recording.h - write a history as a recording: manifest.json and raw images, as `varve import` reads them.
 */
#ifndef VM_RECORDING_H
#define VM_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include "varve.h"

struct recording;

/** recording_create() - begin a recording in the new directory @dir. Returns 0, -EEXIST or another negative errno. */
int recording_create(const char *dir, struct recording **recording);

/** recording_commit() - begin the next commit. @label: printable ASCII without quotes or backslashes. */
void recording_commit(struct recording *recording, const char *label);

/** recording_module() - add a module's image to the commit; an image that it had at its last one is not stored again. */
int recording_module(struct recording *recording, const struct varve_id *module, const void *image, uint64_t size);

/** recording_close() - complete the manifest, unless @complete is false. Returns 0, or -EIO: it could not be written. */
int recording_close(struct recording *recording, bool complete);

#endif
