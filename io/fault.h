/*
 * fault.h - named places where tests make things fail.
 *
 * VARVE_FAULT in the environment (ignored in set-user-id programs) holds a list, separated by commas, of
 * NAME:COUNT:ACTION. The COUNT-th passage through NAME (from 1), in any one process, does ACTION: an errno name
 * ("ENOSPC", "EIO", "ENOMEM", ...) makes fault_at() return it, negative; "kill" ends the process as by SIGKILL;
 * "stop" stops it as by SIGSTOP; "hang" never returns; "exit" calls _exit(66). COUNT+ (a plus sign behind the
 * number): this and every later passage. NAME may end in "*": all points with that beginning, counted together.
 * VARVE_FAULT_ROLE, if set, restricts it to processes that called fault_role() with that name ("coordinator",
 * "worker"); a library client has the role "client" from the start.
 * VARVE_FAULT_FILE, if set, names a file that is made (O_EXCL) when a fault strikes; where it is there already the
 * fault does not strike: so a fault strikes once, however many processes are started again.
 * A list that is not of this form ends the program at once, by _exit(66) and with a line on stderr.
 *
 * Unarmed, a point costs one predictable branch.
 */
#ifndef IO_FAULT_H
#define IO_FAULT_H

#include <stdbool.h>

extern bool fault_armed;

int fault_pass(const char *name);

/** fault_at() - 0, or the negative errno that a test asks for here. */
static inline int fault_at(const char *name)
{
	return __builtin_expect(fault_armed, 0) ? fault_pass(name) : 0;
}

/** fault_role() - say what kind of process this is, and load the list as by fault_load(): a process that was forked
 * counts its own passages. */
void fault_role(const char *role);

/** fault_load() - read the list from the environment again and count from zero; not while other threads pass points. */
void fault_load(void);

/** fault_file() - VARVE_FAULT_FILE, if this process may have to make it; else NULL. */
const char *fault_file(void);

#endif
