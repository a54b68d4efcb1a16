/*
 * recording.h - a recorded history: a directory with manifest.json and raw images.
 */
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <varve.h>

/** One image: a module that was active in a commit. */
struct recorded_module {
	struct varve_id id;
	const char *file; /**< beneath the recording's directory */
	uint64_t size;
	bool has_sha256;
	uint8_t sha256[VARVE_ID_SIZE];
};

struct recorded_commit {
	const char *label; /**< NULL: none */
	struct recorded_module *modules;
	size_t count;
};

struct recording {
	const char *path;
	int dir;
	json_t *root; /**< owns the strings */
	struct recorded_commit *commits;
	size_t count;
	uint64_t bytes; /**< of all images */
};

/**
 * recording_open() - read and check the manifest of the recording in @path, and that every image is there and has the
 * size stated. Returns an exit code, after a complaint; @recording is to be released in any case.
 */
int recording_open(struct recording *recording, const char *path);

/** recording_image() - open an image. Returns a descriptor of a file of the size stated, or -1 after a complaint. */
int recording_image(const struct recording *recording, const struct recorded_module *module);

void recording_release(struct recording *recording);

#endif
