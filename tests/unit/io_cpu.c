/*
 * io_cpu.c - the number of workers follows what the machine really gives, in containers as well.
 */
#include <limits.h>
#include <sched.h>
#include <stdarg.h>

#include "cpu.h"
#include "io_fixture.h"

/* Write a small file below the fixture, with its directories. */
static void put(const char *path, const char *text)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%s", fixture_path, path);
	for (char *slash = whole + strlen(fixture_path) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(whole, 0700);
		*slash = '/';
	}
	fixture_file(whole, text, strlen(text));
}

static unsigned quota(void)
{
	return cpu_quota(fixture_path);
}

TestSuite(cpu, .init = fixture_open, .fini = fixture_close);

Test(cpu, there_is_at_least_one_and_never_more_than_the_mask_allows)
{
	cpu_set_t mask;

	cr_assert_geq(cpu_available(), 1u);
	cr_assert_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
	size_t first = 0;
	while (!CPU_ISSET(first, &mask))
		first++;
	CPU_ZERO(&mask);
	CPU_SET(first, &mask);
	cr_assert_eq(sched_setaffinity(0, sizeof(mask), &mask), 0);
	cr_assert_eq(cpu_available(), 1u);
}

Test(cpu, without_groups_there_is_no_quota)
{
	cr_assert_eq(quota(), UINT_MAX);
	put("/proc/self/cgroup", "0::/a/b\n");
	cr_assert_eq(quota(), UINT_MAX);
	put("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	cr_assert_eq(quota(), UINT_MAX);
	put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	cr_assert_eq(quota(), UINT_MAX);
}

/* A quota of one and a half CPUs is best used by two workers. */
Test(cpu, a_quota_is_rounded_up)
{
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/proc/self/mountinfo",
	    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 20 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
	cr_assert_eq(quota(), 2u);
	put("/sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
	cr_assert_eq(quota(), 1u);
	put("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
	cr_assert_eq(quota(), 4u);
}

/* The quota of an outer group, a pod's, holds for the containers in it. */
Test(cpu, the_tightest_of_all_ancestors_counts)
{
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
	put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
	cr_assert_eq(quota(), 3u);
	put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
	cr_assert_eq(quota(), 2u);
}

/* A container without a namespace of groups: its path is the host's, but only its own part is mounted. */
Test(cpu, a_hierarchy_mounted_in_part_is_understood)
{
	put("/proc/self/cgroup", "0::/docker/abc/inner\n");
	put("/proc/self/mountinfo", "30 20 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
	put("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
	put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
	cr_assert_eq(quota(), 1u);
	put("/proc/self/cgroup", "0::/elsewhere\n");
	cr_assert_eq(quota(), 2u, "a group that can not be seen: what is mounted is at least near it");
	put("/proc/self/cgroup", "0::/../../x\n");
	cr_assert_eq(quota(), 2u);
}

Test(cpu, version_1_is_understood)
{
	put("/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/g\n1:name=systemd:/s\n");
	put("/proc/self/mountinfo", "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	                            "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
	put("/sys/fs/cgroup/cpu,cpuacct/g/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/g/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/m/cpu.cfs_quota_us", "100000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/m/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/memory/g/cpu.cfs_quota_us", "100000\n");
	put("/sys/fs/cgroup/memory/g/cpu.cfs_period_us", "100000\n");
	cr_assert_eq(quota(), UINT_MAX);
	put("/sys/fs/cgroup/cpu,cpuacct/g/cpu.cfs_quota_us", "250000\n");
	cr_assert_eq(quota(), 3u);
}

Test(cpu, blanks_in_the_path_of_a_mount_are_understood)
{
	put("/proc/self/cgroup", "0::/\n");
	put("/proc/self/mountinfo", "30 20 0:26 / /my\\040groups rw - cgroup2 none rw\n");
	put("/my groups/cpu.max", "100000 100000\n");
	cr_assert_eq(quota(), 1u);
}

Test(cpu, nonsense_is_no_quota)
{
	static const char *const texts[] = {"", "\n", "abc", "0 0", "-5 100000", "100000 0", "max", "9e9 1"};

	put("/proc/self/cgroup", "0::/\n::\nx\n0:\n");
	put("/proc/self/mountinfo", "\n1 2 3\n30 20 0:26 / /g rw -\n30 20 0:26 / /g rw - cgroup2 none rw\n");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put("/g/cpu.max", texts[i]);
		cr_assert_eq(quota(), UINT_MAX, "\"%s\" was taken for a quota", texts[i]);
	}
}

Test(cpu, the_clock_does_not_go_back)
{
	unsigned long long before = clock_now();
	for (int i = 0; i < 1000; i++) {
		unsigned long long now = clock_now();
		cr_assert_geq(now, before);
		before = now;
	}
}
