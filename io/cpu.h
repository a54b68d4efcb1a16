/*
 * cpu.h - how many CPUs this process really has.
 */
#ifndef IO_CPU_H
#define IO_CPU_H

/** cpu_available() - the smaller of the affinity mask's CPUs and the cgroup's quota (v2 or v1, the tightest of all its
 * ancestors), rounded up; at least 1. */
unsigned cpu_available(void);

/** cpu_quota() - the quota alone, rounded up; UINT_MAX: none. @root stands before every path that is looked at: "" but
 * in tests. */
unsigned cpu_quota(const char *root);

/** cpu_relax() - tell the CPU that this is a spin loop. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/** clock_now() - CLOCK_MONOTONIC, nanoseconds. */
unsigned long long clock_now(void);

#endif
