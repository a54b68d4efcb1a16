/*
 * main.c - the program varve-coordinator. Started by the library (--client), or by `varve serve` (--foreground).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator.h"

enum {
	OPT_SETTING = 0x100, /**< and enum setting */
};

/** What is not for the coordinator itself. */
struct program {
	struct coordinator_options options;
	struct settings settings;
	const char *config; /**< --config; NULL: the usual file, if it is there */
	bool check; /**< --check-config: show the settings, serve nothing */
	bool json;
};

static void usage(FILE *to)
{
	fprintf(to,
	    "Usage: varve-coordinator (--foreground | --client FD | --check-config[=json]) [--must-exist]\n"
	    "                         [--config FILE] [--metrics SOCKET] [--set NAME=VALUE,...] [--NAME VALUE]...\n"
	    "                         [--] DIRECTORY\n"
	    "\n"
	    "Serves the store in DIRECTORY. Programs that use libvarve start it by themselves, with --client;\n"
	    "to run it as a service, use `varve serve`, which alone reads a configuration file.\n"
	    "\n"
	    "Settings, by --NAME, --set, the environment (VARVE_NAME), or the configuration file:\n");
	for (enum setting i = 0; i < SETTINGS; i++)
		fprintf(to, "  %-16s %s\n", settings_name(i), settings_help(i));
}

static _Noreturn void refuse(void)
{
	fprintf(stderr, "varve-coordinator: %s\n", err_text());
	exit(2);
}

static int descriptor(const char *text)
{
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (errno || !*text || *end || n < 0 || n > 1 << 20) {
		fail(EINVAL, "%s is not a descriptor", text);
		refuse();
	}
	return (int)n;
}

/* The first thing that is wrong with the command line is what is told: to a client, if there is one. */
static void note_problem(struct program *p, int result)
{
	if (!p->options.problem)
		p->options.problem = result;
}

static void take(struct program *p, int opt)
{
	if (opt >= OPT_SETTING && !p->options.problem) {
		struct origin origin = {ORIGIN_FLAG, 0};
		const char *name = settings_name((enum setting)(opt - OPT_SETTING));
		note_problem(p, settings_set(&p->settings, name, optarg, origin));
		return;
	}
	switch (opt) {
	case 'c':
		p->options.client = descriptor(optarg);
		break;
	case 'f':
		p->options.foreground = true;
		break;
	case 'm':
		p->options.must_exist = true;
		break;
	case 'S':
		if (!p->options.problem)
			note_problem(p, settings_list(&p->settings, optarg));
		break;
	case 'C':
		p->config = optarg;
		break;
	case 'M':
		p->options.metrics = optarg;
		break;
	case 'k':
		p->check = true;
		p->json = optarg && strcmp(optarg, "json") == 0;
		break;
	case 'h':
		usage(stdout);
		exit(0);
	case '?':
		usage(stderr);
		exit(2);
	}
}

static void parse(int argc, char **argv, struct program *p)
{
	static const struct option fixed[] = {
	    {"client", required_argument, NULL, 'c'},
	    {"foreground", no_argument, NULL, 'f'},
	    {"must-exist", no_argument, NULL, 'm'},
	    {"set", required_argument, NULL, 'S'},
	    {"config", required_argument, NULL, 'C'},
	    {"metrics", required_argument, NULL, 'M'},
	    {"check-config", optional_argument, NULL, 'k'},
	    {"help", no_argument, NULL, 'h'},
	};
	enum { FIXED = sizeof(fixed) / sizeof(fixed[0]) };
	struct option options[FIXED + SETTINGS + 1] = {0};
	int opt;
	memcpy(options, fixed, sizeof(fixed));
	for (enum setting i = 0; i < SETTINGS; i++)
		options[FIXED + i] = (struct option) {settings_name(i), required_argument, NULL, OPT_SETTING + (int)i};
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		take(p, opt);
	bool foreground = p->options.foreground || p->check;
	if (optind != argc - 1 || (p->options.client < 0) != foreground) {
		usage(stderr);
		exit(2);
	}
	p->options.path = argv[optind];
}

/* What else there is to be set by. A VM's coordinator reads no file: a slip in it would end every program of the system
 * that opens a store. */
static void gather(struct program *p)
{
	const char *file = p->config ? p->config : SETTINGS_FILE;
	int r = settings_environment(&p->settings);
	if (!r && p->options.client < 0)
		r = settings_file_read(&p->settings, file, p->config != NULL, p->options.path);
	if (!r)
		r = settings_check(&p->settings);
	if (r)
		note_problem(p, r);
}

/* Out of sight of the process that started it: not its child, not of its session. */
static void detach(void)
{
	pid_t pid = fork();
	if (pid < 0)
		_exit(1);
	if (pid)
		_exit(0);
	setsid();
}

int main(int argc, char **argv)
{
	static struct program p;
	p.options = (struct coordinator_options) {.client = -1, .settings = &p.settings};
	settings_init(&p.settings);
	parse(argc, argv, &p);
	if (p.options.problem && p.options.client < 0)
		refuse();
	if (!p.options.problem)
		gather(&p);
	if (p.check) {
		if (!p.options.problem && !settings_show(&p.settings, stdout, p.json))
			return 0;
		fprintf(stderr, "varve-coordinator: %s\n", err_text());
		return 1;
	}
	if (!p.options.foreground) {
		fcntl(p.options.client, F_SETFD, FD_CLOEXEC);
		detach();
	}
	return coordinator_run(&p.options);
}
