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

static void usage(FILE *to)
{
	fprintf(to, "Usage: varve-coordinator (--foreground | --client FD) [--workers N] [--io auto|uring|pread]\n"
	            "                         [--sync persist|commit|none] [--must-exist] [--] DIRECTORY\n"
	            "\n"
	            "Serves the store in DIRECTORY. Programs that use libvarve start it by themselves, with --client;\n"
	            "to run it as a service, use `varve serve`.\n");
}

static int choose(const char *text, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	fprintf(stderr, "varve-coordinator: %s is none of the values that this option has\n", text);
	exit(2);
}

static unsigned number(const char *text, unsigned most)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || !*text || *end || *text == '-' || n > most) {
		fprintf(stderr, "varve-coordinator: %s is not a number from 0 to %u\n", text, most);
		exit(2);
	}
	return (unsigned)n;
}

static void parse(int argc, char **argv, struct coordinator_options *o)
{
	static const char *const methods[] = {"auto", "uring", "pread", NULL};
	static const char *const syncs[] = {"persist", "commit", "none", NULL};
	static const struct option options[] = {
	    {"client", required_argument, NULL, 'c'},
	    {"foreground", no_argument, NULL, 'f'},
	    {"workers", required_argument, NULL, 'w'},
	    {"io", required_argument, NULL, 'i'},
	    {"sync", required_argument, NULL, 's'},
	    {"must-exist", no_argument, NULL, 'm'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int opt;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			o->client = (int)number(optarg, 1u << 20);
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'w':
			o->workers = number(optarg, RING_WORKERS);
			break;
		case 'i':
			o->method = (enum read_method)choose(optarg, methods);
			break;
		case 's':
			o->sync = (enum varve_sync)choose(optarg, syncs);
			break;
		case 'm':
			o->must_exist = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc - 1 || (o->client < 0) != o->foreground) {
		usage(stderr);
		exit(2);
	}
	o->path = argv[optind];
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
	struct coordinator_options options = {.client = -1};
	parse(argc, argv, &options);
	if (!options.foreground) {
		fcntl(options.client, F_SETFD, FD_CLOEXEC);
		detach();
	}
	return coordinator_run(&options);
}
