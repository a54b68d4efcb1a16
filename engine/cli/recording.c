/*
 * recording.c - read a recording's manifest.
 *
 * A recording may have been made by anybody. Its manifest is checked in full before the first commit is made of it:
 * the types of all values, the ids, that no module is listed twice in a commit, and that the image files are regular
 * files of the size stated beneath the recording's directory. The last is the kernel's to judge (RESOLVE_BENEATH): it
 * sees symbolic links and renames that looking at the text of a path does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli.h"
#include "recording.h"

#define MANIFEST "manifest.json"
#define MANIFEST_MAX (256U << 20) /* parsed it takes some ten times as much memory */
#define LABEL_MAX 4096

/* Where in the manifest a value stands, for messages. */
struct place {
	const struct recording *recording;
	size_t commit;
	size_t module;
};

__attribute__((format(printf, 2, 3))) static int manifest_error(const struct place *place, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return complain("%s/" MANIFEST ": commits[%zu].modules[%zu]: %s", place->recording->path, place->commit,
	    place->module, text);
}

static int open_beneath(int dir, const char *name)
{
	struct open_how how = {
	    .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	long fd;

	do /* EAGAIN: something was renamed meanwhile, and the kernel could not be sure */
		fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return (int)fd;
}

static int open_complain(const struct recording *recording, const char *name)
{
	if (errno == EXDEV || errno == ELOOP)
		return complain(
		    "%s/%s: it leads out of the recording's directory; images must lie in it", recording->path, name);
	if (errno == ENOSYS || errno == EPERM)
		return complain("%s/%s: openat2: %s; reading a recording needs Linux 5.6, and a container that allows "
		                "this call",
		    recording->path, name, strerror(errno));
	return complain("%s/%s: %s", recording->path, name, strerror(errno));
}

int recording_image(const struct recording *recording, const struct recorded_module *module)
{
	int fd = open_beneath(recording->dir, module->file);
	uint64_t size;

	if (fd < 0) {
		open_complain(recording, module->file);
		return -1;
	}
	if (image_stat(fd, module->file, &size))
		goto wrong;
	if (size == module->size)
		return fd;
	complain("%s/%s: it has %llu bytes, and the recording states %llu", recording->path, module->file,
	    (unsigned long long)size, (unsigned long long)module->size);
wrong:
	close(fd);
	return -1;
}

/* The kernel would refuse these, too; but only for files that exist, and less clearly. */
static bool path_stays(const char *path)
{
	if (!*path || *path == '/')
		return false;
	for (const char *part = path; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2]))
			return false;
	}
	return true;
}

static int module_parse(const struct place *place, const json_t *value, struct recorded_module *module)
{
	const char *id = json_string_value(json_object_get(value, "id"));
	const json_t *size = json_object_get(value, "size");
	const json_t *sha256 = json_object_get(value, "sha256");
	struct varve_id digest;

	if (!id || varve_id_parse(id, &module->id))
		return manifest_error(place, "`id' is missing, or not 64 hex digits");
	module->file = json_string_value(json_object_get(value, "file"));
	if (!module->file || !path_stays(module->file))
		return manifest_error(place, "`file' is missing, or not a path beneath the recording's directory");
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return manifest_error(place, "`size' is missing, or not a number of bytes");
	module->size = (uint64_t)json_integer_value(size);
	module->has_sha256 = sha256 != NULL;
	if (!sha256)
		return EXIT_DONE;
	if (!json_is_string(sha256) || varve_id_parse(json_string_value(sha256), &digest))
		return manifest_error(place, "`sha256' is not 64 hex digits");
	memcpy(module->sha256, digest.bytes, sizeof(module->sha256));
	return EXIT_DONE;
}

static int modules_check(struct recording *recording, const struct place *place, const struct recorded_commit *commit)
{
	struct varve_id *ids = memory_take(commit->count, sizeof(*ids));
	bool unique;

	for (size_t i = 0; i < commit->count; i++)
		ids[i] = commit->modules[i].id;
	unique = ids_unique(ids, commit->count);
	free(ids);
	if (!unique)
		return complain(
		    "%s/" MANIFEST ": commits[%zu]: a module is listed twice", recording->path, place->commit);
	for (size_t i = 0; i < commit->count; i++) {
		int fd = recording_image(recording, &commit->modules[i]);

		if (fd < 0)
			return EXIT_FAILED;
		close(fd);
		if (__builtin_add_overflow(recording->bytes, commit->modules[i].size, &recording->bytes))
			return complain("%s/" MANIFEST ": its images are larger than any disk", recording->path);
	}
	return EXIT_DONE;
}

static int commit_parse(struct recording *recording, size_t index, const json_t *value)
{
	struct recorded_commit *commit = &recording->commits[index];
	struct place place = {recording, index, 0};
	const json_t *label = json_object_get(value, "label");
	const json_t *modules = json_object_get(value, "modules");

	if (label && !json_is_null(label) && (!json_is_string(label) || json_string_length(label) > LABEL_MAX))
		return complain("%s/" MANIFEST ": commits[%zu]: `label' is not a text of at most %d bytes",
		    recording->path, index, LABEL_MAX);
	if (!json_is_array(modules))
		return complain(
		    "%s/" MANIFEST ": commits[%zu]: `modules' is missing, or not a list", recording->path, index);
	commit->label = json_string_value(label);
	commit->count = json_array_size(modules);
	commit->modules = memory_take(commit->count, sizeof(*commit->modules));
	for (; place.module < commit->count; place.module++) {
		int code = module_parse(&place, json_array_get(modules, place.module), &commit->modules[place.module]);

		if (code)
			return code;
	}
	return modules_check(recording, &place, commit);
}

static int manifest_load(struct recording *recording)
{
	json_error_t error;
	uint64_t size;
	FILE *stream;
	int fd = open_beneath(recording->dir, MANIFEST);
	int code;

	if (fd < 0)
		return open_complain(recording, MANIFEST);
	code = image_stat(fd, MANIFEST, &size);
	if (!code && size > MANIFEST_MAX)
		code = complain("%s/" MANIFEST ": it is larger than %s", recording->path, text_size(MANIFEST_MAX).s);
	if (code) {
		close(fd);
		return code;
	}
	stream = fdopen(fd, "r");
	if (!stream) {
		close(fd);
		return complain("%s/" MANIFEST ": %s", recording->path, strerror(errno));
	}
	recording->root = json_loadf(stream, JSON_REJECT_DUPLICATES, &error);
	fclose(stream);
	if (!recording->root)
		return complain("%s/" MANIFEST ": line %d: not JSON: %s", recording->path, error.line, error.text);
	return EXIT_DONE;
}

int recording_open(struct recording *recording, const char *path)
{
	const json_t *commits;
	int code;

	*recording = (struct recording) {.path = path};
	recording->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (recording->dir < 0)
		return complain("%s: %s; a recording is a directory with a " MANIFEST, path, strerror(errno));
	code = manifest_load(recording);
	if (code)
		return code;
	commits = json_object_get(recording->root, "commits");
	if (!json_is_array(commits))
		return complain("%s/" MANIFEST ": `commits' is missing, or not a list", path);
	recording->count = json_array_size(commits);
	recording->commits = memory_take(recording->count, sizeof(*recording->commits));
	for (size_t i = 0; i < recording->count && !code; i++)
		code = commit_parse(recording, i, json_array_get(commits, i));
	return code;
}

void recording_release(struct recording *recording)
{
	for (size_t i = 0; recording->commits && i < recording->count; i++)
		free(recording->commits[i].modules);
	free(recording->commits);
	json_decref(recording->root);
	if (recording->dir >= 0)
		close(recording->dir);
	*recording = (struct recording) {.dir = -1};
}
