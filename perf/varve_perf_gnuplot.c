/*
 * varve_perf_gnuplot.c - gnuplot, which turns a script into a picture.
 *
 * It gets the script by its standard input and gives the picture by its standard output. Both, and what it complains
 * of, are files in memory: nothing has to be cleaned up, and neither side can wait for the other for ever.
 */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "varve_perf_report.h"

enum { SCRIPT, PICTURE, COMPLAINTS, FILES };

static int make_files(int fds[FILES])
{
	for (size_t i = 0; i < FILES; i++) {
		fds[i] = memfd_create("varve-perf", MFD_CLOEXEC);
		if (fds[i] < 0)
			return fail_sys(errno, "memory for a plot");
	}
	return 0;
}

static int write_script(int fd, const struct plot *plot, bool background)
{
	int copy = dup(fd);
	FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
	if (!out) {
		int r = fail_sys(errno, "the script of a plot");
		if (copy >= 0)
			close(copy);
		return r;
	}
	int r = plot_script(out, plot, background);
	int bad = ferror(out);
	if ((fclose(out) != 0 || bad) && !r)
		r = fail(EIO, "the script of a plot could not be written");
	if (!r && lseek(fd, 0, SEEK_SET) < 0)
		r = fail_sys(errno, "the script of a plot");
	return r;
}

static int read_whole(int fd, char **text)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return fail_sys(errno, "a plot");
	*text = malloc((size_t)st.st_size + 1);
	if (!*text)
		return fail(ENOMEM, "out of memory");
	ssize_t n = pread(fd, *text, (size_t)st.st_size, 0);
	if (n < 0) {
		int r = fail_sys(errno, "a plot");
		free(*text);
		*text = NULL;
		return r;
	}
	(*text)[n] = '\0';
	return 0;
}

/* No start-up files (-d), and numbers with a point whatever the locale. */
static int run(const int fds[FILES], int *status)
{
	char *const argv[] = {"gnuplot", "-d", "-", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;
	setenv("LC_ALL", "C.UTF-8", 1);
	int error = posix_spawn_file_actions_init(&actions);
	if (error)
		return fail_sys(error, "gnuplot");
	for (int i = 0; i < FILES && !error; i++)
		error = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	if (!error)
		error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error == ENOENT)
		return fail(ENOENT, "there are no plots, as gnuplot is not installed (Debian package gnuplot-nox)");
	if (error)
		return fail_sys(error, "gnuplot");
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return fail_sys(errno, "waiting for gnuplot");
	return 0;
}

/* A warning is no failure; a picture that does not end is one, whatever the exit code. */
static int look_at(const struct plot *plot, int fd, int status, char **svg)
{
	char *complaints = NULL;
	int r = read_whole(fd, &complaints);
	if (!r && (status != 0 || !*svg || !strstr(*svg, "</svg>"))) {
		/* What it ended with comes last, on a line of its own. */
		const char *last = "it said nothing";
		char *rest;
		for (char *line = strtok_r(complaints, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			last = line[strspn(line, " \t^")] ? line : last;
		r = fail(EPROTO, "gnuplot did not draw %s (wait status 0x%x): %s", plot->name, (unsigned)status, last);
	}
	free(complaints);
	return r;
}

int plot_draw(struct plot *plot, bool background)
{
	int fds[FILES] = {-1, -1, -1}, status = 0;
	char *svg = NULL;
	int r = make_files(fds);
	if (!r)
		r = write_script(fds[SCRIPT], plot, background);
	if (!r)
		r = run(fds, &status);
	if (!r)
		r = read_whole(fds[PICTURE], &svg);
	if (!r)
		r = look_at(plot, fds[COMPLAINTS], status, &svg);
	for (size_t i = 0; i < FILES; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (r)
		free(svg);
	else
		plot->svg = svg;
	return r;
}
