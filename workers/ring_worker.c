/*
 * ring_worker.c - jobs in memory that coordinator and workers share: a worker's side. States and rules are in ring.c.
 *
 * Nothing here needs to be undone if the worker dies: a bit that it leaves behind in `spinning` or `asleep` is taken
 * back by ring_lost(), and costs at most a late wake-up until then.
 */
#include "ring.h"

#include <errno.h>
#include <string.h>

#include "cpu.h"
#include "ring_memory.h"

/** No worker burns a CPU longer than this for one wait, whatever is asked. */
#define SPIN_MAX_NS 1000000u

uint64_t ring_spin(const struct ring *ring)
{
	uint64_t spin_ns = atomic_load_explicit(&ring->memory->spin_ns, memory_order_relaxed);
	return spin_ns < SPIN_MAX_NS ? spin_ns : SPIN_MAX_NS;
}

unsigned ring_idle(const struct ring *ring)
{
	return atomic_load_explicit(&ring->memory->idle_ms, memory_order_relaxed);
}

bool ring_urgent(const struct ring *ring)
{
	return atomic_load_explicit(&ring->memory->urgent, memory_order_relaxed) != 0;
}

bool ring_cancelled(const struct ring *ring, uint32_t slot)
{
	return atomic_load_explicit(&ring->memory->cancelled[slot % RING_SLOTS], memory_order_relaxed) != 0;
}

bool ring_retiring(const struct ring *ring, uint32_t worker)
{
	return atomic_load(&ring->memory->retiring[worker / 64]) & bit_of(worker);
}

static void beat(struct worker_line *line)
{
	atomic_store_explicit(&line->beat_ns, clock_now(), memory_order_relaxed);
}

/** take_body() - the job that a slot was posted with. If somebody has written over it, it is none that there is: what
 * comes of that the coordinator sees when it looks at the answer. */
static void take_body(const struct ring_body *body, struct job *job, struct ticket ticket)
{
	uint64_t seal = body->seal;

	memcpy(job, &body->job, sizeof(*job));
	if (seal != ring_seal(job, ticket, SLOT_READY)) {
		memset(job, 0, sizeof(*job));
		job->kind = JOB_NONE;
	}
}

/** take_ready() - look at all slots once, from the one that is probably next. */
static bool take_ready(struct ring *ring, uint32_t worker, struct job *job, struct ticket *ticket)
{
	struct ring_memory *memory = ring->memory;
	uint32_t start = atomic_load_explicit(&memory->next, memory_order_relaxed);

	for (uint32_t i = 0; i < RING_SLOTS; i++) {
		uint32_t slot = (start + i) % RING_SLOTS;
		uint64_t word = atomic_load(&memory->words[slot]);
		if (word_state(word) != SLOT_READY || !may_take(word_owner(word), worker))
			continue;
		uint32_t generation = word_generation(word);
		if (!atomic_compare_exchange_strong(
		        &memory->words[slot], &word, slot_word(generation, worker, SLOT_RUNNING)))
			continue;
		atomic_store_explicit(&memory->next, slot + 1, memory_order_relaxed);
		atomic_store_explicit(&memory->lines[worker].slot, slot, memory_order_relaxed);
		*ticket = (struct ticket) {slot, generation};
		take_body(&memory->bodies[slot], job, *ticket);
		return true;
	}
	return false;
}

/** spin() - watch `posts` for @spin_ns; whether it has moved on from @seen. */
static bool spin(struct ring *ring, uint32_t worker, uint32_t seen, uint64_t spin_ns)
{
	struct ring_memory *memory = ring->memory;
	uint64_t end = clock_now() + spin_ns;
	bool moved = false;

	atomic_fetch_or(&memory->spinning[worker / 64], bit_of(worker));
	do {
		/* Reading the clock costs as much as a dozen looks at the word. */
		for (unsigned i = 0; i < 16 && !moved; i++) {
			cpu_relax();
			moved = atomic_load_explicit(&memory->posts, memory_order_relaxed) != seen;
		}
	} while (!moved && clock_now() < end);
	/* Before anything is taken: ring_post() counts those that still look (ring.c). */
	atomic_fetch_and(&memory->spinning[worker / 64], ~bit_of(worker));
	return moved;
}

/** doze() - sleep until woken or @deadline. False: time is up, or a signal came. */
static bool doze(struct ring *ring, uint32_t worker, uint32_t seen, uint64_t deadline)
{
	struct ring_memory *memory = ring->memory;
	struct worker_line *line = &memory->lines[worker];
	struct timespec left = {0};
	bool goes_on = true;

	if (deadline != UINT64_MAX) {
		uint64_t now = clock_now();
		if (now >= deadline)
			return false;
		left.tv_sec = (time_t)((deadline - now) / 1000000000u);
		left.tv_nsec = (long)((deadline - now) % 1000000000u);
	}
	atomic_store(&line->wake, 0);
	atomic_fetch_or(&memory->asleep[worker / 64], bit_of(worker));
	/* What came before the bit was set has woken nobody: look once more. */
	if (atomic_load(&memory->posts) == seen && !ring_retiring(ring, worker)) {
		long result = futex(&line->wake, FUTEX_WAIT, 0, deadline == UINT64_MAX ? NULL : &left);
		goes_on = result == 0 || errno == EAGAIN;
	}
	atomic_fetch_and(&memory->asleep[worker / 64], ~bit_of(worker));
	return goes_on;
}

static void wake_coordinator(struct ring *ring)
{
	uint64_t one = 1;
	/* It can fail only if 2^64 - 2 such marks wait to be read. */
	if (write(ring->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/** tell_end() - one more has ended: who is the last that the coordinator wants to sleep through wakes it. */
static void tell_end(struct ring *ring, uint32_t worker)
{
	_Atomic uint32_t *sleeps = &ring->memory->coordinator_sleeps;
	uint32_t left = atomic_load(sleeps);

	while (left && !atomic_compare_exchange_weak(sleeps, &left, left - 1))
		;
	atomic_store_explicit(&ring->memory->lines[worker].untold, left > 1, memory_order_relaxed);
	if (left == 1)
		wake_coordinator(ring);
}

/** tell_rest() - before this worker idles: nobody may come after it to count down. */
static void tell_rest(struct ring *ring, uint32_t worker)
{
	_Atomic bool *untold = &ring->memory->lines[worker].untold;

	if (!atomic_load_explicit(untold, memory_order_relaxed))
		return;
	atomic_store_explicit(untold, false, memory_order_relaxed);
	if (atomic_exchange(&ring->memory->coordinator_sleeps, 0))
		wake_coordinator(ring);
}

bool ring_take(
    struct ring *ring, uint32_t worker, uint64_t spin_ns, int timeout_ms, struct job *job, struct ticket *ticket)
{
	uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : clock_now() + (uint64_t)timeout_ms * 1000000u;

	for (;;) {
		beat(&ring->memory->lines[worker]);
		if (ring_retiring(ring, worker))
			return false;
		uint32_t seen = atomic_load(&ring->memory->posts);
		if (take_ready(ring, worker, job, ticket))
			return true;
		tell_rest(ring, worker);
		if (spin_ns && spin(ring, worker, seen, spin_ns))
			continue;
		if (!doze(ring, worker, seen, deadline))
			return false;
	}
}

bool ring_done(struct ring *ring, uint32_t worker, struct ticket ticket, const struct job *job)
{
	struct ring_memory *memory = ring->memory;
	uint64_t word = slot_word(ticket.generation, worker, SLOT_RUNNING);

	if (ticket.slot >= RING_SLOTS)
		return false;
	beat(&memory->lines[worker]);
	atomic_store_explicit(&memory->lines[worker].slot, WORKER_IDLE, memory_order_relaxed);
	/* The body is not touched unless it is still ours: the slot may hold another job by now. */
	if (atomic_load(&memory->words[ticket.slot]) != word)
		return false;
	memcpy(&memory->bodies[ticket.slot].job, job, sizeof(*job));
	memory->bodies[ticket.slot].seal = ring_seal(job, ticket, SLOT_DONE);
	if (!atomic_compare_exchange_strong(
	        &memory->words[ticket.slot], &word, slot_word(ticket.generation, worker, SLOT_DONE)))
		return false;
	tell_end(ring, worker);
	return true;
}
