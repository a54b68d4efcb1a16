/*
 * varve_perf_plan.c - which histories are made, and what is measured on each.
 *
 * A group is a question; a case is one point of its answer. README.md has them as a table.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "varve_perf.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define FIRST (5 * 64 * KIB)
#define LAST (9 * 64 * KIB)
#define WITH_WARM (WITH_SAME_SIZE | WITH_NEARLY | WITH_STEPS | WITH_WALK)

static const struct spec mission = {
    .shape = {.modules = 1, .first = FIRST, .last = LAST, .pattern = PATTERN_MISSION},
    .keep = {.sample = 12, .steps = 4},
    .with = WITH_WARM,
    .x_name = "commits",
    .x_unit = "",
};

/* Whether @name is one of the words of @list, which commas separate. */
static bool listed(const char *list, const char *name)
{
	size_t length = strlen(name);
	for (const char *at = list; (at = strstr(at, name)); at++)
		if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length]))
			return true;
	return false;
}

static bool wanted(const struct settings *settings, const struct spec *spec)
{
	const char *only = settings->only;
	if (spec->by_name_only)
		return settings->list || (only && listed(only, spec->name));
	return !only || listed(only, spec->group) || listed(only, spec->name) ||
	       (spec->figure && listed(only, "figures"));
}

static __attribute__((format(printf, 3, 4))) void name_it(struct spec *spec, const char *group, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(spec->name, sizeof(spec->name), format, args);
	va_end(args);
	spec->group = group;
}

static __attribute__((format(printf, 2, 3))) void ask(struct spec *spec, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(spec->title, sizeof(spec->title), format, args);
	va_end(args);
}

/* Adds it if it is wanted. */
static int add(struct plan *plan, const struct settings *settings, const struct spec *spec)
{
	if (!wanted(settings, spec))
		return 0;
	struct spec *list = realloc(plan->list, (plan->count + 1) * sizeof(*list));
	if (!list)
		return perf_fail("out of memory");
	plan->list = list;
	list[plan->count] = *spec;
	/* A commit of one module takes about a millisecond, one of a large image as long as comparing it. */
	if (!spec->recording)
		list[plan->count].making +=
		    (double)spec->shape.commits *
		    (0.0005 + (double)spec->shape.modules * (0.0002 + (double)spec->shape.last / 1e9));
	plan->count++;
	return 0;
}

/* ---- the groups ------------------------------------------------------------------------------------------------- */

static int plan_chain(struct plan *plan, const struct settings *settings)
{
	static const size_t lengths[] = {1, 2, 5, 10, 50, 200, 1000, 10000};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct spec spec = mission;
		if (settings->quick && lengths[i] > 1000)
			continue;
		name_it(&spec, "chain", "chain-%zu", lengths[i]);
		ask(&spec, "What does a restore of any commit cost, the chain being %zu long?", lengths[i]);
		spec.x = (double)lengths[i];
		spec.shape.commits = lengths[i];
		spec.often = 4;
		spec.figure = lengths[i] == 200 || lengths[i] == 10000;
		if (spec.figure) {
			spec.keep.sample = 40;
			spec.with |= WITH_COLD;
		}
		if (add(plan, settings, &spec) < 0)
			return -1;
	}
	return 0;
}

static int plan_image(struct plan *plan, const struct settings *settings)
{
	for (uint64_t size = 64 * KIB; size <= (settings->quick ? 64 * MIB : 1024 * MIB); size *= 4) {
		struct spec spec = mission;
		size_t commits = size > 256 * MIB ? settings->commits / 8 + 3 : settings->commits;
		if (settings->quick && size > 4 * MIB)
			commits = settings->commits / 4 + 3;
		if (size < MIB)
			name_it(&spec, "image", "image-%u-KiB", (unsigned)(size / KIB));
		else
			name_it(&spec, "image", "image-%u-MiB", (unsigned)(size / MIB));
		ask(&spec, "What does the size of a module's image mean to a restore? %zu commits", commits);
		spec.x = (double)size;
		spec.x_name = "image size";
		spec.x_unit = "bytes";
		spec.shape = (struct shape) {1, commits, size, size, PATTERN_MISSION};
		spec.with = WITH_NEARLY | WITH_STEPS | WITH_WALK | (size == 64 * MIB ? WITH_COLD : 0);
		spec.figure = size == 256 * MIB;
		/* Each image kept is as large as that. */
		if (size > 16 * MIB)
			spec.keep = (struct keep) {.sample = 2, .steps = 1};
		if (size > 256 * MIB) {
			spec.keep = (struct keep) {.sample = 1};
			spec.with &= ~(unsigned)WITH_STEPS;
		}
		spec.making = (double)size / 1e9 * 20;
		if (add(plan, settings, &spec) < 0)
			return -1;
	}
	return 0;
}

static int plan_modules(struct plan *plan, const struct settings *settings)
{
	for (size_t modules = 1; modules <= (settings->quick ? 64u : 256u); modules *= settings->quick ? 4 : 2) {
		struct spec spec = mission;
		name_it(&spec, "modules", "modules-%zu", modules);
		ask(&spec, "How does a restore grow with the number of modules? All of them active in each commit");
		spec.x = (double)modules;
		spec.x_name = "modules";
		spec.shape.modules = modules;
		spec.shape.commits = settings->commits;
		spec.figure = modules == 64 || modules == 8;
		/* What is kept of 256 modules are 150 MB for each commit. */
		if (modules >= 64)
			spec.keep = (struct keep) {.sample = modules == 64 ? 8 : 3, .steps = 1};
		if (modules == 1 || modules == 8 || modules == 64)
			spec.with |= WITH_COLD;
		if (add(plan, settings, &spec) < 0)
			return -1;
	}
	return 0;
}

static int plan_workers(struct plan *plan, const struct settings *settings)
{
	struct spec spec = mission;
	name_it(&spec, "workers", "workers-64-modules");
	ask(&spec, "What do more workers gain where there are 64 modules?");
	spec.x = 64;
	spec.x_name = "modules";
	spec.shape.modules = 64;
	spec.shape.commits = settings->commits;
	spec.keep = (struct keep) {.sample = 6};
	spec.with = WITH_ALL_WORKERS | WITH_COLD;
	if (add(plan, settings, &spec) < 0)
		return -1;
	spec = mission;
	name_it(&spec, "workers", "workers-1-module-64-MiB");
	ask(&spec, "What do more workers gain where there is one module, of 64 MiB?");
	spec.x = 1;
	spec.x_name = "modules";
	spec.shape = (struct shape) {
	    1, settings->quick ? settings->commits / 4 + 3 : settings->commits, 64 * MIB, 64 * MIB, PATTERN_MISSION};
	spec.keep.sample = 3;
	spec.with = WITH_ALL_WORKERS | WITH_COLD;
	spec.making = 2;
	return add(plan, settings, &spec);
}

static int plan_position(struct plan *plan, const struct settings *settings)
{
	struct spec spec = mission;
	name_it(&spec, "position", "position");
	ask(&spec, "Is there a place in the chain that is dear to get to?");
	spec.x_name = "position";
	spec.shape.commits = settings->commits;
	spec.keep = (struct keep) {0};
	spec.with = WITH_POSITIONS;
	spec.figure = true;
	return add(plan, settings, &spec);
}

static int plan_pattern(struct plan *plan, const struct settings *settings)
{
	static const char *const how[] = {
	    [PATTERN_SCATTERED] = "64 words anywhere",
	    [PATTERN_CLUSTERED] = "four stretches of 256 to 4,095 bytes",
	    [PATTERN_HOT] = "256 words, nine tenths of them in one twentieth of the pages",
	};
	for (enum pattern pattern = PATTERN_SCATTERED; pattern <= PATTERN_HOT; pattern++) {
		struct spec spec = mission;
		name_it(&spec, "pattern", "pattern-%s", pattern_names[pattern]);
		ask(&spec, "What does it mean where the changes of a commit lie? Here: %s, in each of 8 modules",
		    how[pattern]);
		spec.x = (double)pattern;
		spec.x_name = "pattern";
		spec.shape = (struct shape) {8, settings->commits, 512 * KIB, 512 * KIB, pattern};
		spec.with = WITH_NEARLY | WITH_STEPS | WITH_WALK;
		if (add(plan, settings, &spec) < 0)
			return -1;
	}
	return 0;
}

static const char *recording_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static int plan_recordings(struct plan *plan, const struct settings *settings)
{
	for (size_t i = 0; i < settings->recordings_count; i++) {
		struct spec spec = {
		    .recording = settings->recordings[i], .x = (double)i, .x_name = "recording", .x_unit = ""};
		const char *name = recording_name(spec.recording);
		name_it(&spec, "recordings", "%s", name);
		ask(&spec, "A real program's memory (%s): what does it cost to get to the last commit but one?", name);
		spec.shape.pattern = PATTERN_RECORDING;
		spec.with = WITH_WARM | WITH_COLD | WITH_LAST_BUT_ONE | WITH_ALL_WORKERS;
		spec.figure = true;
		spec.making = 10;
		if (add(plan, settings, &spec) < 0)
			return -1;
	}
	return 0;
}

static int plan_rivals(struct plan *plan, const struct settings *settings)
{
	/* Some of them take seconds to make one patch of a large image. */
	static const struct {
		const char *recording;
		size_t commits, quick;
	} which[] = {{"contract", 100, 25}, {"sqlite", 20, 6}};
	for (size_t i = 0; i < settings->recordings_count; i++)
		for (size_t j = 0; j < sizeof(which) / sizeof(which[0]); j++) {
			const char *name = recording_name(settings->recordings[i]);
			struct spec spec = {.recording = settings->recordings[i], .x_name = "commits", .x_unit = ""};
			if (strcmp(name, which[j].recording) != 0)
				continue;
			spec.one_module = settings->quick ? which[j].quick : which[j].commits;
			name_it(&spec, "rivals", "rivals-%s", name);
			ask(&spec,
			    "What would other programs take? One module of %s, its first %zu images; to the last but "
			    "one",
			    name, spec.one_module);
			spec.x = (double)spec.one_module;
			spec.shape.pattern = PATTERN_RECORDING;
			spec.with = WITH_WALK | WITH_RIVALS | WITH_LAST_BUT_ONE;
			spec.making = j ? (double)spec.one_module * 3 : 5;
			if (add(plan, settings, &spec) < 0)
				return -1;
		}
	return 0;
}

/* What no other group has, but the targets ask for. */
static int plan_figures(struct plan *plan, const struct settings *settings)
{
	struct spec spec = mission;
	name_it(&spec, "figures", "commit-background");
	ask(&spec, "Is a commit slower while merged deltas are being made?");
	spec.shape.modules = 8;
	spec.shape.commits = 2 * settings->commits;
	spec.x = (double)spec.shape.commits;
	spec.keep = (struct keep) {.sample = 1};
	spec.with = WITH_COMMITS;
	if (add(plan, settings, &spec) < 0)
		return -1;
	if (settings->quick)
		return 0;
	for (size_t modules = 8; modules <= 64; modules *= 8) {
		spec = mission;
		name_it(&spec, "figures", "modules-%zu-chain-10000", modules);
		ask(&spec, "What does a restore of %zu modules cost, their chains being 10,000 long?", modules);
		spec.x = 10000;
		spec.shape.modules = modules;
		spec.shape.commits = 10000;
		spec.keep = (struct keep) {.sample = 6};
		spec.with = 0;
		spec.making = (double)modules / 2;
		/* 640,000 files take minutes, and are not what everybody wants to wait for. */
		spec.by_name_only = modules == 64;
		if (add(plan, settings, &spec) < 0)
			return -1;
	}
	return 0;
}

int plan_make(struct plan *plan, const struct settings *settings)
{
	static int (*const groups[])(struct plan * plan, const struct settings *settings) = {plan_chain, plan_image,
	    plan_modules, plan_workers, plan_position, plan_pattern, plan_recordings, plan_rivals, plan_figures};
	*plan = (struct plan) {0};
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (groups[i](plan, settings) < 0)
			return -1;
	if (!plan->count)
		return perf_fail(
		    "--only %s: there is no such group and no such case; --list shows them", settings->only);
	return 0;
}

double plan_seconds(const struct settings *settings, const struct spec *spec)
{
	double budget = spec->with & WITH_COMMITS ? 0 : settings->budget;
	return spec->making + budget * (spec->with & WITH_COLD && !settings->no_cold ? 2 : 1);
}

void plan_release(struct plan *plan)
{
	free(plan->list);
	*plan = (struct plan) {0};
}
