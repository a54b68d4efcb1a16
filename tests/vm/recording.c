/*
 * recording.c - write a history as a recording.
 */
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "vm.h"

struct image {
	struct image *next;
	struct varve_id module;
	uint8_t digest[SHA256_DIGEST_SIZE];
	uint64_t commit; /* the file of its newest image is named after this one */
};

struct recording {
	int dir;
	FILE *manifest;
	struct image *images;
	uint64_t commits;
	uint64_t modules; /* of the commit that is being written */
};

int recording_create(const char *dir, struct recording **out)
{
	struct recording *recording = calloc(1, sizeof(*recording));
	int err;
	int fd = -1;

	*out = NULL;
	if (!recording)
		return vm_fail(ENOMEM, "%s: no memory for a recording", dir);
	recording->dir = -1;
	if (mkdir(dir, 0777))
		goto fail;
	recording->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (recording->dir < 0)
		goto fail;
	fd = openat(recording->dir, "manifest.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		goto fail;
	recording->manifest = fdopen(fd, "w");
	if (!recording->manifest)
		goto fail;
	fprintf(recording->manifest, "{\"commits\":[");
	*out = recording;
	return 0;
fail:
	err = errno;
	if (fd >= 0)
		close(fd);
	if (recording->dir >= 0)
		close(recording->dir);
	free(recording);
	return vm_fail(err, "%s: %s", dir, strerror(err));
}

void recording_commit(struct recording *recording, const char *label)
{
	fprintf(recording->manifest, "%s\n{\"label\":\"%s\",\"modules\":[", recording->commits ? "]}," : "", label);
	recording->commits++;
	recording->modules = 0;
}

static int image_write(int dir, const char *name, const uint8_t *image, uint64_t size)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int err = fd < 0 ? errno : 0;

	while (size && !err) {
		ssize_t wrote = write(fd, image, size);

		if (wrote < 0 && errno != EINTR)
			err = errno;
		if (wrote > 0) {
			image += wrote;
			size -= (uint64_t)wrote;
		}
	}
	if (fd >= 0 && close(fd) && !err)
		err = errno;
	return err ? vm_fail(err, "%s: %s", name, strerror(err)) : 0;
}

/* image_of() - what is known of a module, which at first is that it has a folder. */
static struct image *image_of(struct recording *recording, const struct varve_id *module, const char *folder)
{
	struct image *image = recording->images;

	while (image && memcmp(&image->module, module, sizeof(*module)) != 0)
		image = image->next;
	if (image)
		return image;
	if (mkdirat(recording->dir, folder, 0777)) {
		vm_fail(errno, "%s: %s", folder, strerror(errno));
		return NULL;
	}
	image = calloc(1, sizeof(*image));
	if (!image) {
		vm_fail(ENOMEM, "%s: no memory", folder);
		return NULL;
	}
	image->module = *module;
	image->commit = UINT64_MAX;
	image->next = recording->images;
	recording->images = image;
	return image;
}

int recording_module(struct recording *recording, const struct varve_id *module, const void *data, uint64_t size)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	char folder[VARVE_ID_TEXT + 1];
	char name[VARVE_ID_TEXT + 32];
	struct sha256_ctx sha;
	struct image *image;
	int err;

	varve_id_format(module, folder);
	image = image_of(recording, module, folder);
	if (!image)
		return -EIO;
	sha256_init(&sha);
	sha256_update(&sha, size, data);
	sha256_digest(&sha, sizeof(digest), digest);
	if (image->commit == UINT64_MAX || memcmp(image->digest, digest, sizeof(digest)) != 0) {
		snprintf(name, sizeof(name), "%s/%06" PRIu64 ".mem", folder, recording->commits - 1);
		err = image_write(recording->dir, name, data, size);
		if (err)
			return err;
		image->commit = recording->commits - 1;
		memcpy(image->digest, digest, sizeof(digest));
	}
	fprintf(recording->manifest,
	    "%s\n {\"id\":\"%s\",\"file\":\"%s/%06" PRIu64 ".mem\",\"size\":%" PRIu64 ",\"sha256\":\"",
	    recording->modules++ ? "," : "", folder, folder, image->commit, size);
	for (size_t i = 0; i < sizeof(digest); i++)
		fprintf(recording->manifest, "%02x", digest[i]);
	fprintf(recording->manifest, "\"}");
	return 0;
}

int recording_close(struct recording *recording, bool complete)
{
	bool bad;

	if (complete)
		fprintf(recording->manifest, "%s]}\n", recording->commits ? "]}" : "");
	bad = ferror(recording->manifest);
	if (fclose(recording->manifest))
		bad = true;
	close(recording->dir);
	while (recording->images) {
		struct image *image = recording->images;

		recording->images = image->next;
		free(image);
	}
	free(recording);
	return bad && complete ? vm_fail(EIO, "manifest.json could not be written completely") : 0;
}
