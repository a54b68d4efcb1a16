/*
 * varve_perf.c - varve-perf: what does a restore cost, beside a plain copy and a naive walk along the chain?
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "varve_perf.h"

static struct {
	const char *program;
	bool line; /* the progress line is there */
} out = {.program = "varve-perf"};

int perf_fail(const char *format, ...)
{
	va_list args;
	perf_progress(NULL);
	fprintf(stderr, "%s: ", out.program);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return -1;
}

void perf_progress(const char *format, ...)
{
	va_list args;
	if (!isatty(STDERR_FILENO) || (!format && !out.line))
		return;
	fputs("\r\033[K", stderr);
	out.line = format != NULL;
	if (format) {
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
	}
	fflush(stderr);
}

double perf_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

const char *argp_program_version = "varve-perf " VARVE_VERSION_STRING;

enum { KEY_NO_COLD = 256, KEY_KEEP, KEY_BUDGET, KEY_COMMITS };

static const struct argp_option options[] = {
    {"dir", 'd', "DIR", 0,
        "Make the stores in DIR, which must exist (default: a new one in TMPDIR); the file system matters", 0},
    {"recording", 'r', "DIR", 0, "Also measure the recording in DIR (manifest.json); may be given again", 0},
    {"only", 'o', "NAMES", 0,
        "Only these histories, separated by commas: gen-1, gen-8, gen-64, or a recording's folder", 0},
    {"runs", 'n', "N", 0, "Rounds per history and state (default 15)", 0},
    {"budget", KEY_BUDGET, "SECONDS", 0, "No new round of a history and state after so long (default 20)", 0},
    {"commits", KEY_COMMITS, "N", 0, "Length of generated histories (default 200)", 0},
    {"workers", 'w', "N", 0, "The most workers to try (default twice the CPUs)", 0},
    {"seed", 's', "N", 0, "Seed of generated histories (default 1)", 0},
    {"json", 'j', "FILE", 0, "Write all figures to FILE", 0},
    {"no-cold", KEY_NO_COLD, NULL, 0, "Leave out the measurements with the files out of the page cache", 0},
    {"keep", KEY_KEEP, NULL, 0, "Leave the stores where they are", 0},
    {0},
};

static const char help[] =
    "Measure restores of a history through libvarve, by 1 to N worker processes, beside a plain copy of the same final "
    "images and beside a naive walk along the chain.\v"
    "A restore begins with backing files that are at the first commit and of which nothing is known, and goes to the "
    "last commit but one. `copy` reads each final image and writes it over an existing file, in one thread. Every "
    "image is compared, byte for byte, outside the timed part.\n\n"
    "Example: varve-perf --only gen-8 --runs 5 --json out.json";

static int number(struct argp_state *state, const char *arg, uint64_t least, uint64_t most, uint64_t *value)
{
	char *end;
	errno = 0;
	*value = strtoull(arg, &end, 10);
	if (errno || *end || arg[0] < '0' || arg[0] > '9' || *value < least || *value > most)
		argp_error(state, "'%s' is not a number from %" PRIu64 " to %" PRIu64, arg, least, most);
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct settings *s = state->input;
	uint64_t n = 0;
	switch (key) {
	case 'd':
		s->dir = arg;
		break;
	case 'r':
		if (s->recordings_count == sizeof(s->recordings) / sizeof(s->recordings[0]))
			argp_error(state, "too many recordings");
		s->recordings[s->recordings_count++] = arg;
		break;
	case 'o':
		s->only = arg;
		break;
	case 'n':
		number(state, arg, 3, 100000, &n);
		s->runs = n;
		break;
	case KEY_BUDGET:
		number(state, arg, 0, 1000000, &n);
		s->budget = (double)n;
		break;
	case KEY_COMMITS:
		number(state, arg, 3, 1000000, &n);
		s->commits = n;
		break;
	case 'w':
		number(state, arg, 1, 1024, &n);
		s->workers = (unsigned)n;
		break;
	case 's':
		number(state, arg, 0, INT64_MAX, &s->seed);
		break;
	case 'j':
		s->json = arg;
		break;
	case KEY_NO_COLD:
		s->no_cold = true;
		break;
	case KEY_KEEP:
		s->keep = true;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- the histories ---------------------------------------------------------------------------------------------- */

static bool wanted(const struct settings *settings, const char *name)
{
	size_t length = strlen(name);
	if (!settings->only)
		return true;
	for (const char *at = settings->only; (at = strstr(at, name)); at++)
		if ((at == settings->only || at[-1] == ',') && (at[length] == ',' || !at[length]))
			return true;
	return false;
}

static void note_method(struct report *report, struct varve_vm *vm)
{
	struct varve_stat *stat;
	if (varve_stat(vm, &stat) < 0)
		return;
	snprintf(report->io_method, sizeof(report->io_method), "%s", stat->io_method);
	snprintf(report->io_reason, sizeof(report->io_reason), "%s", stat->io_reason);
	varve_stat_free(stat);
}

/* @made: what source_generate() or source_recording() returned. */
static int run_history(
    const struct settings *settings, const char *name, struct source *source, int made, struct report *report)
{
	struct store store = {0};
	int r = made < 0 ? -1 : store_make(&store, settings, name, source);
	struct history_figures figures = {
	    name, source->commits, store.goals_count, store.image_bytes, store.stored_bytes, store.commit_seconds};
	source_release(source);
	if (!r) {
		note_method(report, store.vm);
		r = report_add_history(report, &figures);
	}
	if (!r)
		r = measure(&store, settings, name, report);
	store_release(&store, settings->keep);
	perf_progress(NULL);
	return r;
}

static int run_all(const struct settings *settings, struct report *report)
{
	static const struct {
		const char *name;
		size_t modules;
	} generated[] = {{"gen-1", 1}, {"gen-8", 8}, {"gen-64", 64}};
	struct source source;
	int r = 0;
	for (size_t i = 0; i < sizeof(generated) / sizeof(generated[0]) && !r; i++) {
		if (!wanted(settings, generated[i].name))
			continue;
		int made = source_generate(&source, generated[i].modules, settings->commits, settings->seed);
		r = run_history(settings, generated[i].name, &source, made, report);
	}
	for (size_t i = 0; i < settings->recordings_count && !r; i++) {
		const char *slash = strrchr(settings->recordings[i], '/');
		const char *name = slash && slash[1] ? slash + 1 : settings->recordings[i];
		if (wanted(settings, name))
			r = run_history(
			    settings, name, &source, source_recording(&source, settings->recordings[i]), report);
	}
	if (!r && !report->histories_count)
		r = perf_fail("--only %s: there is no such history; see --help", settings->only);
	return r;
}

static int make_directory(struct settings *settings, char made[4096])
{
	const char *tmp = getenv("TMPDIR");
	struct stat st;
	made[0] = '\0';
	if (!settings->dir) {
		snprintf(made, 4096, "%s/varve-perf-XXXXXX", tmp && *tmp ? tmp : "/tmp");
		if (!mkdtemp(made))
			return perf_fail("%s: %s", made, strerror(errno));
		settings->dir = made;
	}
	if (stat(settings->dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return perf_fail("%s: it is not a directory; make it first", settings->dir);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {options, parse, NULL, help, NULL, NULL, NULL};
	struct settings settings = {.commits = 200, .seed = 1, .runs = 15, .budget = 20};
	struct report report = {0};
	char made[4096];
	cpu_set_t set;
	settings.workers = sched_getaffinity(0, sizeof(set), &set) < 0 ? 2 : 2 * (unsigned)CPU_COUNT(&set);
	argp_err_exit_status = 2;
	if (argp_parse(&argp, argc, argv, 0, NULL, &settings) != 0)
		return 2;
	int r = make_directory(&settings, made);
	if (!r)
		r = run_all(&settings, &report);
	if (!r)
		report_print(&report, &settings);
	if (!r && settings.json)
		r = report_json(&report, &settings, settings.json);
	report_release(&report);
	if (made[0] && !settings.keep)
		rmdir(made);
	return r < 0 ? 1 : fflush(stdout) != 0;
}
