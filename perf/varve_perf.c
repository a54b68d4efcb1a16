/*
 * varve_perf.c - varve-perf: what does a restore cost, beside a plain copy and a naive walk along the chain?
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "varve_perf.h"
#include "varve_perf_report.h"

/* What is on the line of progress. */
static struct {
	const char *program;
	bool line; /* it is there */
	char prefix[96]; /* which case this is */
	double start; /* of the case */
	double expected, rest; /* seconds that this case and all after it are taken to need */
	double factor; /* by which things took longer than expected so far */
} out = {.program = "varve-perf", .factor = 1};

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

static void print_left(void)
{
	double spent = perf_now() - out.start, left = out.expected * out.factor - spent;
	left = (left > 0 ? left : 0) + out.rest * out.factor;
	if (left < 90)
		fprintf(stderr, "; about %.0f s left", left);
	else
		fprintf(stderr, "; about %.0f min left", left / 60);
}

void perf_progress(const char *format, ...)
{
	static double last;
	va_list args;
	if (!isatty(STDERR_FILENO) || (!format && !out.line) || (format && out.line && perf_now() - last < 0.05))
		return;
	last = perf_now();
	fputs("\r\033[K", stderr);
	out.line = format != NULL;
	if (format) {
		fputs(out.prefix, stderr);
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
		print_left();
	}
	fflush(stderr);
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = number;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

bool perf_stopped(void)
{
	return stopped && perf_fail("ended by %s, without a report", strsignal(stopped)) < 0;
}

double perf_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

const char *argp_program_version = "varve-perf " VARVE_VERSION_STRING;

enum { KEY_NO_COLD = 256, KEY_KEEP, KEY_BUDGET, KEY_COMMITS, KEY_LIST };

static const struct argp_option options[] = {
    {"dir", 'd', "DIR", 0,
        "Make the stores in DIR, which must exist (default: a new one in TMPDIR); the file system matters", 0},
    {"recording", 'r', "DIR", 0, "Also measure the recording in DIR (manifest.json); may be given again", 0},
    {"only", 'o', "NAMES", 0,
        "Only these groups or cases, separated by commas; groups: chain, image, modules, workers, position, pattern, "
        "recordings, rivals, figures (what the targets need)",
        0},
    {"list", KEY_LIST, NULL, 0, "Say which cases there are, those too that --only has to name; measure nothing", 0},
    {"quick", 'q', NULL, 0, "Some minutes: fewer and smaller histories, less time for each", 0},
    {"runs", 'n', "N", 0, "Rounds per case (default 15)", 0},
    {"budget", KEY_BUDGET, "SECONDS", 0, "No new round of a case after so long, at least 3 (default 12, quick 1)", 0},
    {"commits", KEY_COMMITS, "N", 0, "Length of generated histories where it is not the question (default 200)", 0},
    {"workers", 'w', "N", 0, "The most workers to try (default twice the CPUs)", 0},
    {"seed", 's', "N", 0, "Seed of generated histories (default 1)", 0},
    {"json", 'j', "FILE", 0, "Write all figures to FILE", 0},
    {"no-cold", KEY_NO_COLD, NULL, 0, "Leave out the measurements with the files out of the page cache", 0},
    {"keep", KEY_KEEP, NULL, 0, "Leave the stores where they are", 0},
    {0},
};

static const char help[] =
    "Measure restores of histories through libvarve, by 1 to N worker processes, beside a plain copy of the same final "
    "images, beside a naive walk along the chain, and beside what other programs take.\v"
    "A restore goes from a random commit to a random commit, and nothing is known of what the backing files hold, "
    "unless "
    "its name says otherwise. `copy` reads each final image and writes it over an existing file, in one thread. Every "
    "image is compared, byte for byte, outside the timed part; one wrong byte ends the run without a report.\n\n"
    "Example: varve-perf --only chain-200,modules --runs 5 --json out.json\n\n"
    "`varve-perf report` makes pages of the JSON, `varve-perf compare` says what got slower from one to another.";

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
	case KEY_LIST:
		s->list = true;
		break;
	case 'q':
		s->quick = true;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- the cases -------------------------------------------------------------------------------------------------- */

static int make_source(struct source *source, const struct settings *settings, const struct spec *spec)
{
	*source = (struct source) {0};
	if (!spec->recording)
		return source_generate(source, &spec->shape, settings->seed);
	int r = source_recording(source, spec->recording);
	return !r && spec->one_module ? source_one_module(source, spec->one_module) : r;
}

/* What is measured while the history is made. */
static int add_measured(const struct store *store, const struct spec *spec, struct perf_case *c, struct report *report)
{
	if (case_begin(c, store, spec) < 0)
		return -1;
	c->image_bytes = store->states.list[store->states.count - 1].bytes;
	return report_add(report, c);
}

static int run_spec(const struct settings *settings, const struct spec *spec, struct report *report)
{
	struct store store = {0};
	struct source source;
	struct perf_case measured = {0};
	int r = make_source(&source, settings, spec);
	if (!r)
		r = store_make(&store, settings, spec, &source, &measured);
	source_release(&source);
	if (!r && spec->with & WITH_POSITIONS)
		r = measure_positions(&store, settings, spec, report);
	else if (!r && spec->with & WITH_COMMITS)
		r = add_measured(&store, spec, &measured, report);
	else if (!r)
		r = measure(&store, settings, spec, report);
	memcpy(report->io_method, store.io_method, sizeof(report->io_method));
	memcpy(report->io_reason, store.io_reason, sizeof(report->io_reason));
	case_release(&measured);
	store_release(&store, settings->keep);
	perf_progress(NULL);
	return r;
}

static int run_all(const struct settings *settings, const struct plan *plan, struct report *report)
{
	double spent = 0, expected = 0, all = 0;
	for (size_t i = 0; i < plan->count; i++)
		all += plan_seconds(settings, &plan->list[i]);
	for (size_t i = 0; i < plan->count; i++) {
		const struct spec *spec = &plan->list[i];
		out.start = perf_now();
		out.expected = plan_seconds(settings, spec);
		out.rest = all - expected - out.expected;
		/* The first cases are short and say little. */
		out.factor = (spent + 20) / (expected + 20);
		snprintf(out.prefix, sizeof(out.prefix), "[%zu/%zu] %s: ", i + 1, plan->count, spec->name);
		if (run_spec(settings, spec, report) < 0)
			return -1;
		double took = perf_now() - out.start;
		if (!isatty(STDERR_FILENO))
			fprintf(stderr, "[%zu/%zu] %s: %.0f s\n", i + 1, plan->count, spec->name, took);
		spent += took;
		expected += out.expected;
	}
	return 0;
}

static void list_all(const struct settings *settings, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		printf("%-10s  %-24s  about %3.0f s  %s\n", plan->list[i].group, plan->list[i].name,
		    plan_seconds(settings, &plan->list[i]), plan->list[i].title);
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

static int run(struct settings *settings, const struct plan *plan)
{
	struct report report = {0};
	char made[4096];
	int r = make_directory(settings, made);
	catch_signals();
	if (!r)
		r = run_all(settings, plan, &report);
	if (!r) {
		figures_judge(&report);
		int printed = report_print(&report, settings);
		/* What was measured is kept all the same. */
		if (settings->json)
			r = report_json(&report, settings, settings->json);
		r = r ? r : printed;
	}
	report_release(&report);
	if (made[0] && !settings->keep)
		rmdir(made);
	return r;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {options, parse, NULL, help, NULL, NULL, NULL};
	struct settings settings = {.commits = 200, .seed = 1, .runs = 15, .budget = -1};
	struct plan plan;
	cpu_set_t set;
	if (argc > 1 && !strcmp(argv[1], "report"))
		return report_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "compare"))
		return compare_main(argc - 1, argv + 1);
	argp_err_exit_status = 2;
	settings.cpus = sched_getaffinity(0, sizeof(set), &set) < 0 ? 2 : (unsigned)CPU_COUNT(&set);
	settings.workers = 2 * settings.cpus;
	if (argp_parse(&argp, argc, argv, 0, NULL, &settings) != 0)
		return 2;
	if (settings.budget < 0)
		settings.budget = settings.quick ? 1 : 12;
	int r = plan_make(&plan, &settings);
	if (!r && settings.list)
		list_all(&settings, &plan);
	else if (!r)
		r = run(&settings, &plan);
	plan_release(&plan);
	if (fflush(stdout) != 0 || ferror(stdout))
		r = perf_fail("standard output can not be written: %s", strerror(errno));
	return r < 0;
}
