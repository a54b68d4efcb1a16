/*
 * ring_check.c - what the coordinator can tell of the ring's state, and how it puts right what a worker gone wrong has
 * written there.
 *
 * Workers share the memory with each other, so one that runs wild can write over the slots of all. Which one it was can
 * not be found out, and a job whose word was lost may still be run by somebody. Hence the rule: once a word is found
 * that can not be, all workers are killed and reaped; only then is the ring mended, from the mirror, and jobs are run
 * again. Nothing is ever run by two workers at a time for it (R5).
 */
#include "ring.h"

#include <errno.h>
#include <string.h>

#include "ring_mirror.h"

bool ring_scribbled(const struct ring *ring)
{
	for (uint32_t s = 0; s < RING_SLOTS; s++) {
		if (is_used(ring->mirror, s) && ring->mirror->slots[s].spoilt)
			return true;
		uint64_t free_word = slot_word(ring->mirror->slots[s].generation, 0, SLOT_FREE);
		if (is_used(ring->mirror, s) ? word_state(load_word(ring, s)) == SLOT_FREE
		                             : atomic_load(&ring->memory->words[s]) != free_word)
			return true;
	}
	return false;
}

int ring_mend(struct ring *ring, struct ticket *was, struct ticket *now)
{
	/* Nobody is there: whatever says that somebody sleeps or spins would be waited for in vain. */
	for (unsigned i = 0; i < RING_WORDS; i++) {
		atomic_store(&ring->memory->asleep[i], 0);
		atomic_store(&ring->memory->spinning[i], 0);
	}
	for (uint32_t s = 0; s < RING_SLOTS; s++) {
		if (!is_used(ring->mirror, s)) {
			release_slot(ring, s);
			continue;
		}
		enum slot_state state = word_state(load_word(ring, s));
		if ((state != SLOT_READY && state != SLOT_DONE) || ring->mirror->slots[s].spoilt)
			return ring_repeat(ring, s, was, now);
		if (state == SLOT_READY)
			ring_fill_body(ring, s);
	}
	return 0;
}

bool ring_spoilt(const struct ring *ring)
{
	for (uint32_t s = next_used(ring->mirror, 0, true); s < RING_SLOTS; s = next_used(ring->mirror, s + 1, true))
		if (ring->mirror->slots[s].spoilt)
			return true;
	return false;
}

uint32_t ring_owner(const struct ring *ring, struct ticket ticket)
{
	if (ticket.slot >= RING_SLOTS || ring->mirror->slots[ticket.slot].generation != ticket.generation)
		return UINT32_MAX;
	if (!is_used(ring->mirror, ticket.slot))
		return ring->mirror->slots[ticket.slot].owner;
	uint64_t word = load_word(ring, ticket.slot);
	return word_state(word) == SLOT_RUNNING || word_state(word) == SLOT_DONE ? word_owner(word) : UINT32_MAX;
}

unsigned ring_running(const struct ring *ring, uint64_t busy[RING_WORKERS / 64], uint64_t *oldest)
{
	unsigned ready = 0;

	memset(busy, 0, sizeof(uint64_t) * RING_WORDS);
	*oldest = UINT64_MAX;
	for (uint32_t s = next_used(ring->mirror, 0, true); s < RING_SLOTS; s = next_used(ring->mirror, s + 1, true)) {
		uint64_t word = load_word(ring, s);
		if (word_state(word) == SLOT_RUNNING)
			busy[word_owner(word) / 64] |= bit_of(word_owner(word));
		if (word_state(word) != SLOT_READY)
			continue;
		ready++;
		if (ring->mirror->slots[s].number < *oldest)
			*oldest = ring->mirror->slots[s].number;
	}
	return ready;
}
