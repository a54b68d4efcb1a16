/* A user's program: two commits, back to the first, and what was in memory then is in memory again. */
#include <stdio.h>
#include <string.h>
#include <varve.h>

static int check(int result, const char *what)
{
	if (result < 0)
		fprintf(stderr, "%s: %s\n", what, varve_last_error());
	return result < 0;
}

int main(int argc, char **argv)
{
	struct varve_id module = {{1}}, first, second;
	struct varve_session *session;
	struct varve_memory *memory;
	struct varve_vm *vm;

	if (argc != 2 || check(varve_vm_open(argv[1], NULL, &vm), "open"))
		return 1;
	if (check(varve_session_begin(vm, 0, &session), "begin") ||
	    check(varve_session_deploy(session, &module, 65536, &memory), "deploy"))
		return 1;
	strcpy(varve_memory_base(memory), "the first state");
	if (check(varve_session_commit(session, NULL, &first), "commit") ||
	    check(varve_session_begin(vm, 0, &session), "begin") ||
	    check(varve_session_module(session, &module, &memory), "module"))
		return 1;
	strcpy(varve_memory_base(memory), "the second state");
	if (check(varve_session_commit(session, NULL, &second), "commit") ||
	    check(varve_restore(vm, &first, NULL, NULL), "restore") ||
	    check(varve_session_begin(vm, 0, &session), "begin") ||
	    check(varve_session_module(session, &module, &memory), "module"))
		return 1;
	puts(varve_memory_base(memory));
	if (check(varve_session_abandon(session), "abandon"))
		return 1;
	varve_vm_close(vm);
	return 0;
}
