/*
 * disk.c - the model.
 *
 * A file has what was synced of it, and a list of writes and cuts since. A name has the file that it led to when its
 * directory was last synced, and there is one list of all changes of names since. Syncing a file says nothing of its name
 * (POSIX), syncing a directory nothing of files. A rename is all or nothing, and no change of a name is there without the
 * ones that it depends on, by name or by file: journals and soft updates give that.
 *
 * Three directories: the base, .varve/ and .varve/modules/; that they are there is taken for granted.
 */
#include "disk.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record.h"

#define FILES 4000
#define NAMES 1000
#define CHANGES 20000
#define DIRS 3
#define SECTOR 512

static const char *const dir_names[DIRS] = {"", ".varve", ".varve/modules"};

struct step {
	bool cut;
	uint64_t offset, size;
	const uint8_t *data;
};

struct content {
	uint8_t *data;
	uint64_t size;
};

struct file {
	uint64_t ino;
	struct content synced;
	struct step *steps;
	size_t count, room;
};

struct name {
	int dir;
	char text[160];
	int synced, now; /* files; -1: none */
};

struct change {
	int names[2], files[2];
	int count;
	unsigned dirs;
};

struct disk {
	uint8_t *records;
	size_t size, count;
	size_t *at;
	uint64_t device, inos[DIRS];
	struct file *files;
	int files_count;
	struct name *names;
	int names_count;
	struct change *changes;
	size_t changes_count;
	uint64_t promised;
};

/* ---- records ---------------------------------------------------------------------------------------------------- */

struct disk *disk_open(const char *path, const char *store)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	struct stat st;
	char name[4200];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
	disk->size = (size_t)st.st_size;
	disk->records = malloc(disk->size + 1);
	cr_assert(read(fd, disk->records, disk->size) == (ssize_t)disk->size);
	close(fd);
	disk->at = calloc(disk->size / sizeof(struct record) + 1, sizeof(*disk->at));
	for (size_t at = 0; at < disk->size; disk->count++) {
		const struct record *record = (const void *)(disk->records + at);
		disk->at[disk->count] = at;
		at += sizeof(*record) + (record->bytes + 7u) / 8 * 8;
	}
	for (int i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "%s/%s", store, dir_names[i]);
		cr_assert(stat(name, &st) == 0, "%s", name);
		disk->inos[i] = st.st_ino;
		disk->device = st.st_dev;
	}
	disk->files = calloc(FILES, sizeof(*disk->files));
	disk->names = calloc(NAMES, sizeof(*disk->names));
	disk->changes = calloc(CHANGES, sizeof(*disk->changes));
	return disk;
}

size_t disk_records(const struct disk *disk)
{
	return disk->count;
}

static void forget(struct disk *disk)
{
	for (int i = 0; i < disk->files_count; i++) {
		free(disk->files[i].synced.data);
		free(disk->files[i].steps);
	}
	memset(disk->files, 0, FILES * sizeof(*disk->files));
	disk->files_count = disk->names_count = 0;
	disk->changes_count = 0;
	disk->promised = 0;
}

void disk_close(struct disk *disk)
{
	forget(disk);
	free(disk->files);
	free(disk->names);
	free(disk->changes);
	free(disk->records);
	free(disk->at);
	free(disk);
}

/* ---- what is where ---------------------------------------------------------------------------------------------- */

static int dir_of(const struct disk *disk, uint64_t ino)
{
	for (int i = 0; i < DIRS; i++)
		if (disk->inos[i] == ino)
			return i;
	return -1;
}

static int name_of(struct disk *disk, int dir, const char *text)
{
	for (int i = 0; i < disk->names_count; i++)
		if (disk->names[i].dir == dir && strcmp(disk->names[i].text, text) == 0)
			return i;
	cr_assert(disk->names_count < NAMES);
	struct name *name = &disk->names[disk->names_count];
	*name = (struct name) {.dir = dir, .synced = -1, .now = -1};
	strcpy(name->text, text);
	return disk->names_count++;
}

/* The newest of that number: an inode is used again. */
static int file_of(const struct disk *disk, uint64_t ino)
{
	for (int i = disk->files_count; i-- > 0;)
		if (disk->files[i].ino == ino)
			return i;
	return -1;
}

static void apply_step(struct content *content, const struct step *step, uint64_t size)
{
	uint64_t end = step->cut ? step->size : step->offset + size;
	if (step->cut || end > content->size) {
		content->data = realloc(content->data, end + 1);
		if (end > content->size)
			memset(content->data + content->size, 0, end - content->size);
		content->size = end;
	}
	if (!step->cut && size)
		memcpy(content->data + step->offset, step->data, size);
}

static void sync_file(struct file *file)
{
	for (size_t i = 0; i < file->count; i++)
		apply_step(&file->synced, &file->steps[i], file->steps[i].size);
	file->count = 0;
}

static void add_step(struct file *file, struct step step)
{
	if (file->count == file->room)
		file->steps = realloc(file->steps, (file->room = file->room * 2 + 16) * sizeof(step));
	file->steps[file->count++] = step;
}

static void apply_change(struct disk *disk, const struct change *change)
{
	for (int i = 0; i < change->count; i++)
		disk->names[change->names[i]].synced = change->files[i];
}

/* With the changes in directories of @dirs come all before them that they depend on. */
static void sync_names(struct disk *disk, unsigned dirs)
{
	static bool due[CHANGES];
	size_t left = 0;
	for (size_t i = disk->changes_count; i-- > 0;) {
		due[i] = disk->changes[i].dirs & dirs;
		if (due[i])
			dirs |= disk->changes[i].dirs;
	}
	for (size_t i = 0; i < disk->changes_count; i++) {
		if (due[i])
			apply_change(disk, &disk->changes[i]);
		else
			disk->changes[left++] = disk->changes[i];
	}
	disk->changes_count = left;
}

static void add_change(struct disk *disk, struct change change)
{
	cr_assert(disk->changes_count < CHANGES);
	for (int i = 0; i < change.count; i++) {
		struct name *name = &disk->names[change.names[i]];
		name->now = change.files[i];
		change.dirs |= 1u << name->dir;
	}
	disk->changes[disk->changes_count++] = change;
}

/* ---- one record ------------------------------------------------------------------------------------------------- */

static void create(struct disk *disk, const struct record *record, int dir)
{
	int name = name_of(disk, dir, record->name[0]);
	if (disk->names[name].now >= 0 && disk->files[disk->names[name].now].ino == record->ino)
		return; /* it was there */
	cr_assert(disk->files_count < FILES);
	disk->files[disk->files_count] = (struct file) {.ino = record->ino};
	add_change(disk, (struct change) {.names = {name}, .files = {disk->files_count++}, .count = 1});
}

static void rename_file(struct disk *disk, const struct record *record, int from, int to)
{
	int old = name_of(disk, from, record->name[0]), new = name_of(disk, to, record->name[1]);
	if (disk->names[old].now >= 0)
		add_change(
		    disk, (struct change) {.names = {new, old}, .files = {disk->names[old].now, -1}, .count = 2});
}

static void replay(struct disk *disk, const struct record *record, const uint8_t *data)
{
	int file = file_of(disk, record->ino), dir = dir_of(disk, record->dir[0]), other = dir_of(disk, record->dir[1]);
	if (record->kind == RECORD_MARK)
		disk->promised = record->size;
	if (record->device != disk->device)
		return;
	switch (record->kind) {
	case RECORD_CREATE:
		if (dir >= 0)
			create(disk, record, dir);
		break;
	case RECORD_WRITE:
		if (file >= 0)
			add_step(&disk->files[file], (struct step) {false, record->offset, record->size, data});
		break;
	case RECORD_CUT:
		if (file >= 0)
			add_step(&disk->files[file], (struct step) {true, 0, record->size, NULL});
		break;
	case RECORD_RENAME:
		if (dir >= 0 && other >= 0)
			rename_file(disk, record, dir, other);
		break;
	case RECORD_UNLINK:
		if (dir >= 0)
			add_change(
			    disk, (struct change) {
			              .names = {name_of(disk, dir, record->name[0])}, .files = {-1}, .count = 1});
		break;
	case RECORD_SYNC:
		if (dir_of(disk, record->ino) >= 0)
			sync_names(disk, 1u << dir_of(disk, record->ino));
		else if (file >= 0)
			sync_file(&disk->files[file]);
		break;
	case RECORD_SYNC_ALL:
		sync_names(disk, ~0u);
		for (int i = 0; i < disk->files_count; i++)
			sync_file(&disk->files[i]);
		break;
	default:
		break;
	}
}

/* ---- the crash -------------------------------------------------------------------------------------------------- */

static uint64_t state;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

/* Which changes of names have reached the disk. */
static void lose_names(struct disk *disk, enum disk_loss loss)
{
	static bool lost_file[FILES], lost_name[NAMES];
	size_t upto = loss == LOSS_ALL ? 0 : loss == LOSS_LATEST ? draw() % (disk->changes_count + 1) : SIZE_MAX;
	memset(lost_file, 0, sizeof(lost_file));
	memset(lost_name, 0, sizeof(lost_name));
	for (size_t i = 0; i < disk->changes_count && i < upto; i++) {
		const struct change *change = &disk->changes[i];
		bool lost = loss == LOSS_ANY && draw() % 3 == 0;
		for (int k = 0; k < change->count; k++)
			lost |= lost_name[change->names[k]] || (change->files[k] >= 0 && lost_file[change->files[k]]);
		for (int k = 0; lost && k < change->count; k++) {
			lost_name[change->names[k]] = true;
			if (change->files[k] >= 0)
				lost_file[change->files[k]] = true;
		}
		if (!lost)
			apply_change(disk, change);
	}
}

static void lose_data(struct file *file, enum disk_loss loss)
{
	for (size_t i = 0; i < file->count && loss != LOSS_ALL && loss != LOSS_DATA; i++) {
		uint64_t size = file->steps[i].size, what = draw() % 4;
		if (what == 0)
			continue;
		if (what == 1 && !file->steps[i].cut)
			size = draw() % (size / SECTOR + 1) * SECTOR;
		apply_step(&file->synced, &file->steps[i], size);
	}
}

static void put_file(const struct disk *disk, const struct name *name, const char *to)
{
	const struct content *content = &disk->files[name->synced].synced;
	char path[4600];
	snprintf(path, sizeof(path), "%s/%s/%s", to, dir_names[name->dir], name->text);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert(fd >= 0, "%s: %m", path);
	cr_assert(content->size == 0 || write(fd, content->data, content->size) == (ssize_t)content->size);
	close(fd);
}

uint64_t disk_crash(struct disk *disk, size_t count, enum disk_loss loss, uint64_t seed, const char *to)
{
	char path[4300];
	forget(disk);
	state = (seed + 1) * 0x9E3779B97F4A7C15u;
	for (size_t i = 0; i < count; i++) {
		const struct record *record = (const void *)(disk->records + disk->at[i]);
		replay(disk, record, disk->records + disk->at[i] + sizeof(*record));
	}
	lose_names(disk, loss);
	for (int i = 0; i < disk->files_count; i++)
		lose_data(&disk->files[i], loss);
	for (int i = 0; i < DIRS; i++) {
		snprintf(path, sizeof(path), "%s/%s", to, dir_names[i]);
		cr_assert(mkdir(path, 0700) == 0, "%s: %m", path);
	}
	for (int i = 0; i < disk->names_count; i++)
		if (disk->names[i].synced >= 0)
			put_file(disk, &disk->names[i], to);
	return disk->promised;
}
