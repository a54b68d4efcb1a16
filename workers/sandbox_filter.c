/*
 * sandbox_filter.c - the system calls that a worker may make (seccomp).
 *
 * Three kinds:
 *
 *   allowed   what a worker's code, libc beneath it, zstd and liburing call; with limits on arguments where they decide
 *   fatal     what no worker has a use for, and whoever has taken one over would try: the process ends by SIGSYS, its
 *             job goes to another worker, and the second death fails the job by name
 *   all else  is not made either, but seems to be missing (ENOSYS): another libc, or a later one, may try what this one
 *             does not, and knows how to go on without. The coordinator is told, so that it can be found in the log.
 *
 * The filter can not look behind pointers: where openat2() leads is Landlock's to say.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "control.h"

static const int allowed[] = {
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    /* files; those that are opened lie where Landlock allows it */
    SCMP_SYS(close),
    SCMP_SYS(copy_file_range),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fallocate),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fstat),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(getdents64),
    SCMP_SYS(lseek),
    SCMP_SYS(newfstatat),
    SCMP_SYS(openat),
    SCMP_SYS(openat2),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwrite64),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(statx),
    SCMP_SYS(syncfs),
    SCMP_SYS(unlinkat),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    /* time, sleep and identity */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(futex),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getrandom),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    /* signals, and the end */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
};

static const int fatal[] = {
    /* programs and processes */
    SCMP_SYS(clone),
    SCMP_SYS(clone3),
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(process_madvise),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(ptrace),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo),
    SCMP_SYS(tkill),
    /* the network, and other processes' sockets */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(listen),
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    /* namespaces, mounts, and what they hide */
    SCMP_SYS(chroot),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fspick),
    SCMP_SYS(mount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(move_mount),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(open_tree),
    SCMP_SYS(pivot_root),
    SCMP_SYS(setns),
    SCMP_SYS(umount2),
    SCMP_SYS(unshare),
    /* other users */
    SCMP_SYS(capset),
    SCMP_SYS(setfsgid),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(setregid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setuid),
    /* the kernel */
    SCMP_SYS(add_key),
    SCMP_SYS(bpf),
    SCMP_SYS(delete_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(init_module),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(personality),
    SCMP_SYS(reboot),
    SCMP_SYS(request_key),
    SCMP_SYS(swapoff),
    SCMP_SYS(swapon),
    SCMP_SYS(userfaultfd),
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- calls that nobody foresaw ---------------------------------------------------------------------------------- */

/* Where the result of a call lies in what a signal handler is given. */
#if defined(__x86_64__)
#define RESULT_OF(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define RESULT_OF(context) ((context)->uc_mcontext.regs[0])
#endif

#ifdef RESULT_OF
#define UNFORESEEN SCMP_ACT_TRAP

/** System calls have numbers below this, and will for long. */
#define CALLS_MAX 1024

static int control_fd = -1;
static uint8_t told[CALLS_MAX / 8];

/* It comes in the middle of a call of ours, never at any other place. */
static void on_unforeseen(int signo, siginfo_t *info, void *context)
{
	uint32_t number = (uint32_t)info->si_syscall;
	uint8_t packet[5] = {CONTROL_DENIED};

	(void)signo;
	if (number < CALLS_MAX && !(told[number / 8] >> number % 8 & 1)) {
		struct iovec part = {packet, sizeof(packet)};
		struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
		told[number / 8] |= (uint8_t)(1u << number % 8);
		put_le32(packet + 1, number);
		/* Whoever does not hear it is about to end this process. */
		(void)!sendmsg(control_fd, &head, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	RESULT_OF((ucontext_t *)context) = -ENOSYS;
}

static int catch_unforeseen(int control)
{
	struct sigaction action = {.sa_sigaction = on_unforeseen, .sa_flags = SA_SIGINFO};
	control_fd = control;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}
#else
#define UNFORESEEN SCMP_ACT_ERRNO(ENOSYS)

static int catch_unforeseen(int control)
{
	(void)control;
	return 0;
}
#endif

/* ---- the rules -------------------------------------------------------------------------------------------------- */

/* By one argument; @value is what is left of it under @mask, for SCMP_CMP_MASKED_EQ only. */
static int add_if(scmp_filter_ctx filter, uint32_t action, int call, unsigned arg, enum scmp_compare op, uint64_t mask,
    uint64_t value)
{
	struct scmp_arg_cmp condition = {.arg = arg, .op = op, .datum_a = mask, .datum_b = value};
	return seccomp_rule_add_array(filter, action, call, 1, &condition);
}

/* The upper half of an argument that is an int can be anything. */
static int allow_if_int(scmp_filter_ctx filter, int call, unsigned arg, int value)
{
	return add_if(filter, SCMP_ACT_ALLOW, call, arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)value);
}

static int add_list(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	int err = 0;
	for (size_t i = 0; !err && i < count; i++)
		err = seccomp_rule_add(filter, action, calls[i], 0);
	return err;
}

/* Memory, which is never to be executed. */
static int add_memory(scmp_filter_ctx filter)
{
	static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
	int err = 0;
	for (size_t i = 0; !err && i < COUNT(calls); i++) {
		err = add_if(filter, SCMP_ACT_ALLOW, calls[i], 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
		if (!err)
			err = add_if(
			    filter, SCMP_ACT_KILL_PROCESS, calls[i], 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC);
	}
	return err;
}

/* What can be done with descriptors. flock() is missing on purpose: the store's lock is held by a descriptor that all
 * processes of the pool share, and any of them could give it up. */
static int add_descriptors(scmp_filter_ctx filter, const struct sandbox_needs *needs)
{
	static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC};
	static const int messages[] = {SCMP_SYS(sendmsg), SCMP_SYS(recvmsg)};
	int err = allow_if_int(filter, SCMP_SYS(ioctl), 1, FICLONE);
	for (size_t i = 0; !err && i < COUNT(commands); i++)
		err = allow_if_int(filter, SCMP_SYS(fcntl), 1, commands[i]);
	for (size_t i = 0; !err && i < COUNT(messages); i++)
		err = allow_if_int(filter, messages[i], 0, needs->control);
	return err;
}

/* Another ring can not be made; this one is restricted by itself, too (io/uring.c). */
static int add_ring(scmp_filter_ctx filter)
{
	int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(io_uring_enter), 0);
	return err ? err : allow_if_int(filter, SCMP_SYS(io_uring_register), 1, IORING_REGISTER_FILES_UPDATE);
}

/* Signals: to itself, which is how abort() ends; and the handler for mapped files that go away (io/map.c). */
static int add_signals(scmp_filter_ctx filter)
{
	static const int calls[] = {SCMP_SYS(kill), SCMP_SYS(tgkill)};
	int err = allow_if_int(filter, SCMP_SYS(rt_sigaction), 0, SIGBUS);
	for (size_t i = 0; !err && i < COUNT(calls); i++) {
		err = add_if(filter, SCMP_ACT_ALLOW, calls[i], 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0);
		if (!err)
			err = add_if(filter, SCMP_ACT_KILL_PROCESS, calls[i], 0, SCMP_CMP_NE, (uint64_t)getpid(), 0);
	}
	return err;
}

/* getrlimit() of itself, nothing set. */
static int add_limits(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp conditions[] = {
	    {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = 0}, {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = 0}};
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, conditions);
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox_needs *needs)
{
	int err = add_list(filter, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if (!err)
		err = add_list(filter, SCMP_ACT_KILL_PROCESS, fatal, COUNT(fatal));
	if (!err)
		err = add_memory(filter);
	if (!err)
		err = add_descriptors(filter, needs);
	if (!err && needs->uring)
		err = add_ring(filter);
	if (!err)
		err = add_signals(filter);
	return err ? err : add_limits(filter);
}

/* ---- putting it on ---------------------------------------------------------------------------------------------- */

static int explain(int err)
{
	return fail_sys(err, "workers can make any system call: a filter of them can not be put on; use a kernel with "
	                     "seccomp filters, and "
	                     "allow the call seccomp");
}

int filter_check(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;
	if (sandbox_denied("seccomp"))
		return explain(ENOSYS);
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? explain(errno) : 0;
}

int filter_enter(const struct sandbox_needs *needs)
{
	int err = filter_check();
	if (err < 0)
		return err;
	scmp_filter_ctx filter = seccomp_init(UNFORESEEN);
	if (!filter)
		return explain(ENOMEM);
	err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A tree instead of a list: where to look depends on the number of calls by its logarithm. */
	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* Kernels before 5.16 else slow down every process with a filter, against attacks from within: there are none
	 * of whom a worker, which has one user's data, would have to be afraid. */
	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	if (!err)
		err = add_rules(filter, needs);
	if (!err)
		err = catch_unforeseen(needs->control);
	if (!err)
		err = seccomp_load(filter);
	/* Also what the library asks of the system goes by the filter from here on: it only gives memory back. */
	seccomp_release(filter);
	return err ? explain(-err) : 0;
}
