/*
 * status_metrics.c - varve status --openmetrics: to standard output, or to a FILE.
 *
 * A file is replaced whole: whoever reads it finds the text of before or that of now. So is what a symbolic link leads to;
 * the link stays. What is no regular file (a device, a FIFO) can not be replaced, only written to: a program that root runs
 * must not put a file in the place of /dev/null.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status.h"

/* Says that @path can not be written, and why. */
static int refuse(const char *path, int number)
{
	return complain("%s can not be written: %s", path, strerror(number));
}

/* Writes @text to @fd, which is closed. Returns 0 or an errno. */
static int write_all(int fd, const char *text)
{
	FILE *stream = fdopen(fd, "w");
	bool bad;

	if (!stream) {
		int number = errno;

		close(fd);
		return number;
	}
	bad = fputs(text, stream) < 0;
	bad |= fclose(stream) != 0;
	return bad ? errno : 0;
}

static int write_through(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC), number = fd < 0 ? errno : write_all(fd, text);

	return number ? refuse(path, number) : EXIT_DONE;
}

/* Writes the text beside @path and renames it. */
static int replace(const char *path, const char *text)
{
	mode_t mask = umask(0);
	char *name;
	int fd, number, code = EXIT_DONE;

	umask(mask);
	if (asprintf(&name, "%s.XXXXXX", path) < 0)
		return complain("out of memory");
	fd = mkstemp(name);
	if (fd < 0) {
		code = complain("%s can not be written: a file beside it, which takes its place, can not be made: %s",
		    path, strerror(errno));
		free(name);
		return code;
	}
	/* For a collector that is another user: as any file that is made anew. */
	number = fchmod(fd, 0666 & ~mask) < 0 ? errno : 0;
	if (number)
		close(fd);
	else
		number = write_all(fd, text);
	if (!number && rename(name, path) < 0)
		number = errno;
	if (number) {
		code = refuse(path, number);
		unlink(name);
	}
	free(name);
	return code;
}

/* Where the links at @path lead: free() it. One that leads nowhere yet gets an empty file there, to be replaced. */
static char *follow(const char *path)
{
	char *target = realpath(path, NULL);
	struct stat st;
	int fd;

	if (target || errno != ENOENT)
		return target;
	if (lstat(path, &st) < 0)
		return strdup(path);
	fd = open(path, O_WRONLY | O_CREAT | O_NOCTTY | O_CLOEXEC, 0666);
	if (fd < 0)
		return NULL;
	close(fd);
	return realpath(path, NULL);
}

static int write_to(const char *path, const char *text)
{
	struct stat st, out;
	bool there = !stat(path, &st);
	char *target;
	int code;

	/* /dev/stdout: a file that the shell has opened, perhaps to append, is not to be replaced. */
	if (there && !fstat(STDOUT_FILENO, &out) && st.st_dev == out.st_dev && st.st_ino == out.st_ino) {
		fputs(text, stdout);
		return EXIT_DONE;
	}
	if (there && !S_ISREG(st.st_mode))
		return write_through(path, text);
	target = follow(path);
	if (!target)
		return refuse(path, errno);
	code = replace(target, text);
	free(target);
	return code;
}

int status_metrics(struct cli *cli)
{
	char *text;
	int code = EXIT_DONE, err = varve_metrics(cli->vm, &text);

	if (err)
		return complain_about(err, NULL);
	if (cli->count > 1)
		code = write_to(cli->args[1], text);
	else
		fputs(text, stdout);
	varve_metrics_free(text);
	return code;
}
