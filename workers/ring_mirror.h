/*
 * ring_mirror.h - what the coordinator itself remembers of each slot, and how it looks at the shared words by that.
 * For ring.c and ring_check.c only.
 */
#ifndef WORKERS_RING_MIRROR_H
#define WORKERS_RING_MIRROR_H

#include "ring_memory.h"

struct mirror_slot {
	uint32_t generation;
	unsigned losses; /**< workers that died running it */
	uint32_t owner; /**< who had done it when it was reaped; UINT32_MAX: it was not */
	bool cancelled; /**< ring_cancel() */
	bool spoilt; /**< its answer is none: somebody has written over it. ring_mend() */
	uint32_t reach; /**< as posted */
	uint64_t number; /**< counts what was made READY, to tell the oldest */
	struct job job; /**< as posted */
};

struct ring_mirror {
	uint64_t used[RING_SLOTS / 64];
	uint32_t post_at; /**< slots are used in turn, so that jobs are taken roughly in the order of their posting */
	uint32_t reap_at;
	uint64_t numbers;
	struct mirror_slot slots[RING_SLOTS];
};

static inline bool is_used(const struct ring_mirror *mirror, uint32_t slot)
{
	return mirror->used[slot / 64] >> (slot % 64) & 1;
}

static inline void set_used(struct ring_mirror *mirror, uint32_t slot, bool used)
{
	if (used)
		mirror->used[slot / 64] |= (uint64_t)1 << (slot % 64);
	else
		mirror->used[slot / 64] &= ~((uint64_t)1 << (slot % 64));
}

/** next_used() - the first slot >= @slot that is in use (or not, if !@used); RING_SLOTS if there is none. */
static inline uint32_t next_used(const struct ring_mirror *mirror, uint32_t slot, bool used)
{
	while (slot < RING_SLOTS) {
		uint64_t word = used ? mirror->used[slot / 64] : ~mirror->used[slot / 64];
		word &= ~(uint64_t)0 << (slot % 64);
		if (word)
			return (slot & ~63u) + (uint32_t)__builtin_ctzll(word);
		slot = (slot & ~63u) + 64;
	}
	return RING_SLOTS;
}

/** load_word() - the word of a slot in use, if it is one that such a slot can have; else a word with state FREE. */
static inline uint64_t load_word(const struct ring *ring, uint32_t slot)
{
	uint64_t word = atomic_load(&ring->memory->words[slot]);
	uint32_t generation = ring->mirror->slots[slot].generation;
	uint32_t owner = word_owner(word);
	enum slot_state state = word_state(word);

	/* Made again from its parts, it shows stray bits and an owner where none can be. */
	if (state == SLOT_READY && word == slot_word(generation, ring->mirror->slots[slot].reach, state))
		return word;
	if ((state == SLOT_RUNNING || state == SLOT_DONE) && owner < RING_WORKERS &&
	    word == slot_word(generation, owner, state))
		return word;
	return slot_word(generation, 0, SLOT_FREE);
}

static inline void release_slot(struct ring *ring, uint32_t slot)
{
	set_used(ring->mirror, slot, false);
	atomic_store(&ring->memory->words[slot], slot_word(ring->mirror->slots[slot].generation, 0, SLOT_FREE));
}

static inline void wake_worker(struct ring *ring, uint32_t worker)
{
	atomic_store(&ring->memory->lines[worker].wake, 1);
	futex(&ring->memory->lines[worker].wake, FUTEX_WAKE, 1, NULL);
}

/** ring_fill_body() - write the mirror's job in @slot to the shared memory. */
void ring_fill_body(struct ring *ring, uint32_t slot);

/** ring_publish() - make the mirror's job in @slot READY under a new generation, and wake a worker for it. */
struct ticket ring_publish(struct ring *ring, uint32_t slot);

/** ring_repeat() - @slot's worker is dead. Returns as ring_lost() does. */
int ring_repeat(struct ring *ring, uint32_t slot, struct ticket *was, struct ticket *now);

#endif
