/*
 * serve.c - becoming the coordinator, as `varve serve` does.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "err.h"

static int become(struct spawn_args *args, const struct varve_options *options)
{
	char *program;
	int r = spawn_find(options->coordinator, &program);
	if (r)
		return r;
	execve(program, args->argv, spawn_environment());
	r = errno == ENOEXEC || errno == ENOENT
	        ? fail(ENOEXEC, "%s is not a program that this machine can run; install it again", program)
	        : fail_sys(errno, "%s can not be started", program);
	free(program);
	return r;
}

/* @check: only say what it would do with which settings. */
static int serve(const char *base_dir, const struct varve_options *options, bool check, bool json)
{
	struct varve_options copy;
	struct spawn_args args;
	char *path = NULL;
	int r = vm_options(options, &copy);
	if (!r)
		r = vm_path(base_dir, &path);
	if (!r)
		r = spawn_args(&args, &copy, path, -1);
	if (!r && check)
		spawn_check(&args, json);
	if (!r)
		r = become(&args, &copy);
	free(path);
	return r;
}

int varve_serve(const char *base_dir, const struct varve_options *options)
{
	return serve(base_dir, options, false, false);
}

int varve_serve_check(const char *base_dir, const struct varve_options *options, bool json)
{
	return serve(base_dir, options, true, json);
}
