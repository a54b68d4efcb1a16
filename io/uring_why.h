/*
 * uring_why.h - why there is no io_uring, and what repairs it.
 */
#ifndef IO_URING_WHY_H
#define IO_URING_WHY_H

/** What decides whether a process may use io_uring, as far as it can be seen from inside. */
struct uring_place {
	int disabled; /**< sysctl kernel.io_uring_disabled; -1: there is none */
	int filter; /**< a seccomp filter is on this process: 1; 0: none; -1: not known */
};

/** uring_place() - this process's. */
struct uring_place uring_place(void);

/** uring_why() - remember a sentence for errno @err, and return -@err. */
int uring_why(int err, struct uring_place place);

#endif
