/*
 * ring_memory.h - how the shared memory of a ring is laid out. For ring.c and ring_worker.c only.
 */
#ifndef WORKERS_RING_MEMORY_H
#define WORKERS_RING_MEMORY_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "ring.h"

#define RING_WORDS (RING_WORKERS / 64)
#define WORKER_IDLE UINT32_MAX

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_RUNNING, SLOT_DONE };

/** The bodies lie apart from the words, so that looking for work touches 16 cache lines and not 1,600. */
struct ring_body {
	_Alignas(64) struct job job;
	uint64_t seal; /**< ring_seal() of who wrote it: the coordinator while READY, the worker once DONE */
};

struct ring_memory {
	_Alignas(64) _Atomic uint64_t words[RING_SLOTS]; /**< slot_word(); see ring.c */
	_Alignas(64) _Atomic uint32_t posts; /**< counts what was made READY: a worker that spins watches it */
	_Alignas(64) _Atomic uint32_t next; /**< hint: the slot to look at first */
	_Alignas(64) _Atomic uint32_t coordinator_sleeps; /**< until so many jobs have ended; 0: it is awake */
	_Alignas(64) _Atomic uint64_t spin_ns;
	_Atomic uint32_t idle_ms;
	_Alignas(64) _Atomic uint32_t urgent;
	_Alignas(64) _Atomic uint8_t cancelled[RING_SLOTS]; /**< nobody wants the job any more */
	/* one bit for each worker */
	_Alignas(64) _Atomic uint64_t asleep[RING_WORDS];
	_Alignas(64) _Atomic uint64_t spinning[RING_WORDS];
	_Alignas(64) _Atomic uint64_t retiring[RING_WORDS];
	struct worker_line lines[RING_WORKERS];
	struct ring_body bodies[RING_SLOTS];
};

/** A slot's word: generation, owner and state change together, in one instruction. Of a READY one the owner is its reach:
 * how many of the first workers may take it, 0 meaning all. */
static inline uint64_t slot_word(uint32_t generation, uint32_t owner, enum slot_state state)
{
	return (uint64_t)generation << 32 | (uint64_t)(owner & 0xffff) << 8 | (uint64_t)state;
}

static inline uint32_t word_generation(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline uint32_t word_owner(uint64_t word)
{
	return (uint32_t)(word >> 8) & 0xffff;
}

static inline enum slot_state word_state(uint64_t word)
{
	return (enum slot_state)(word & 0xff);
}

/** may_take() - whether a READY job of @reach is for @worker, too. */
static inline bool may_take(uint32_t reach, uint32_t worker)
{
	return reach == 0 || worker < reach;
}

/** ring_seal() - by which both sides see whether a body is what the other one has put there, for this ticket. It is for
 * stray writes: whoever can write to the ring on purpose can make one that fits. All bytes of @job count, also those
 * between its members: bodies are copied by memcpy(), never member by member. */
static inline uint64_t ring_seal(const struct job *job, struct ticket ticket, enum slot_state state)
{
	uint64_t key = (uint64_t)ticket.generation << 32 | (uint64_t)ticket.slot << 8 | (uint64_t)state;
	return hash64(job, sizeof(*job)) ^ (key * 0x9E3779B97F4A7C15u);
}

static inline uint64_t bit_of(uint32_t worker)
{
	return (uint64_t)1 << (worker % 64);
}

/** futex() - on memory that processes share, hence without FUTEX_PRIVATE_FLAG. Returns as the system call. */
static inline long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

#endif
