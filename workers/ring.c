/*
 * ring.c - jobs in memory that coordinator and workers share: the coordinator's side. ring_worker.c has the workers'.
 *
 * A worker may die at any instruction. So each slot is one word {generation, owner, state}, changed by one
 * compare-and-swap, and there is no moment between two states:
 *
 *   FREE --ring_post--> READY --ring_take--> RUNNING --ring_done--> DONE --ring_reap--> FREE
 *    ^                    |  ^                  |
 *    +---ring_withdraw----+  +-----ring_lost----+  (its worker is dead; FREE if it was the second one)
 *
 * R1  A slot holds indices, never pointers: mappings differ from process to process.
 * R2  (slot, generation) names a job. Whatever makes a slot READY gives it a new generation; a DONE with an old one is
 *     dropped before it touches the slot's body.
 * R3  The body belongs to the coordinator while FREE and DONE, and to the owner while RUNNING. READY: to nobody.
 * R4  The coordinator believes its mirror, not the shared memory: which slots are in use, with which generation, and
 *     what was posted there. A word that does not fit is noticed (ring_scribbled), never followed. No loop here runs
 *     on what a worker can write.
 * R5  A job is run by two workers at a time never: it is posted again only after its worker was reaped by waitpid().
 *
 * Sleeping. A worker that finds nothing watches `posts` for a while (its bit in `spinning`), then sleeps on a futex of
 * its own (its bit in `asleep`). Whoever posts counts `posts` up, then looks at the bits. All four accesses are
 * sequentially consistent, so one of the two sees the other:
 *
 *   worker:   1. seen = posts   2. look at all slots: nothing   3. set asleep   4. posts != seen: look again; else sleep
 *   ring_post: a. slot READY    b. posts++                      c. asleep: clear one bit, wake that worker
 *
 * If b comes before 4 the worker looks again; if not, 3 came before c and it is woken. A post makes no system call if
 * as many workers spin as there are jobs waiting, or if all are busy. The bit is cleared by the one that wakes, so that
 * ten posts in a row wake ten workers and not the same one ten times; the lowest number is woken first, so that few
 * jobs keep few workers, with warm caches. A worker that dies between being woken and taking the job leaves it READY:
 * ring_lost() passes the wake-up on. One that is stopped there is what ring_nudge() is for.
 *
 * The other way round, the coordinator says how many jobs may end before it wants to know: where workers have something
 * to go on with, being woken for each would cost more than it gains. Each end counts that number down, and who brings it
 * to 0 wakes the coordinator; so does a worker that has ended a job and finds no other, since nobody may come after it.
 */
#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "cpu.h"
#include "names.h"
#include "ring_mirror.h"

int ring_create(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->shm.fd = -1;
	ring->wake_fd = -1;
	ring->mirror = calloc(1, sizeof(*ring->mirror));
	if (!ring->mirror)
		return fail(ENOMEM, "no memory for the job ring");
	int err = shm_create(&ring->shm, "varve-ring", sizeof(struct ring_memory), false);
	if (err < 0)
		return err;
	ring->memory = ring->shm.base;
	ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->wake_fd < 0)
		return fail_sys(errno, "eventfd() for the job ring");
	for (uint32_t i = 0; i < RING_WORKERS; i++)
		atomic_init(&ring->memory->lines[i].slot, WORKER_IDLE);
	return 0;
}

void ring_close(struct ring *ring)
{
	if (ring->wake_fd >= 0)
		close(ring->wake_fd);
	if (ring->shm.fd >= 0)
		shm_close(&ring->shm);
	free(ring->mirror);
	*ring = (struct ring) {.shm = {.fd = -1}, .wake_fd = -1};
}

/** within() - the bits of word @i that stand for workers within @reach. */
static uint64_t within(uint32_t reach, unsigned i)
{
	if (reach == 0 || reach >= (i + 1) * 64)
		return ~(uint64_t)0;
	return reach <= i * 64 ? 0 : bit_of(reach) - 1;
}

/** spinners_suffice() - whether as many workers within @reach are looking for a job as there are jobs waiting. */
static bool spinners_suffice(const struct ring *ring, uint32_t reach)
{
	unsigned spinners = 0;
	for (unsigned i = 0; i < RING_WORDS; i++)
		spinners += (unsigned)__builtin_popcountll(atomic_load(&ring->memory->spinning[i]) & within(reach, i));
	if (spinners == 0)
		return false;
	for (uint32_t s = next_used(ring->mirror, 0, true); s < RING_SLOTS; s = next_used(ring->mirror, s + 1, true)) {
		if (word_state(load_word(ring, s)) != SLOT_READY)
			continue;
		if (spinners-- == 0)
			return false;
	}
	return true;
}

static void wake_one(struct ring *ring, uint32_t reach)
{
	if (spinners_suffice(ring, reach))
		return;
	for (unsigned i = 0; i < RING_WORDS; i++) {
		uint64_t bits = atomic_load(&ring->memory->asleep[i]) & within(reach, i);
		for (; bits; bits &= bits - 1) {
			uint64_t bit = bits & -bits;
			if (atomic_fetch_and(&ring->memory->asleep[i], ~bit) & bit) {
				wake_worker(ring, i * 64 + (uint32_t)__builtin_ctzll(bit));
				return;
			}
		}
	}
}

void ring_fill_body(struct ring *ring, uint32_t slot)
{
	const struct mirror_slot *mine = &ring->mirror->slots[slot];
	struct ring_body *body = &ring->memory->bodies[slot];

	memcpy(&body->job, &mine->job, sizeof(body->job));
	body->seal = ring_seal(&mine->job, (struct ticket) {slot, mine->generation}, SLOT_READY);
}

struct ticket ring_publish(struct ring *ring, uint32_t slot)
{
	struct mirror_slot *mine = &ring->mirror->slots[slot];

	mine->generation++;
	mine->owner = UINT32_MAX;
	mine->spoilt = false;
	mine->number = ring->mirror->numbers++;
	ring_fill_body(ring, slot);
	atomic_store_explicit(&ring->memory->cancelled[slot], mine->cancelled, memory_order_relaxed);
	atomic_store(&ring->memory->words[slot], slot_word(mine->generation, mine->reach, SLOT_READY));
	atomic_fetch_add(&ring->memory->posts, 1);
	wake_one(ring, mine->reach);
	return (struct ticket) {slot, mine->generation};
}

int ring_post(struct ring *ring, const struct job *job, uint32_t reach, struct ticket *ticket)
{
	struct ring_mirror *mirror = ring->mirror;
	uint32_t slot = next_used(mirror, mirror->post_at, false);
	if (slot == RING_SLOTS)
		slot = next_used(mirror, 0, false);
	if (slot == RING_SLOTS)
		return -EAGAIN;

	mirror->post_at = (slot + 1) % RING_SLOTS;
	set_used(mirror, slot, true);
	mirror->slots[slot].losses = 0;
	mirror->slots[slot].cancelled = false;
	mirror->slots[slot].reach = reach < RING_WORKERS ? reach : 0;
	memcpy(&mirror->slots[slot].job, job, sizeof(*job));
	*ticket = ring_publish(ring, slot);
	return 0;
}

/** answers() - whether @job, copied from shared memory, can be the answer to what was posted: its seal fits, its inputs
 * are what they were, and it was not cancelled by anybody but us. */
static bool answers(const struct mirror_slot *mine, const struct job *job, uint64_t seal, struct ticket ticket)
{
	const struct job *posted = &mine->job;

	return seal == ring_seal(job, ticket, SLOT_DONE) && job->kind == posted->kind &&
	       job->module == posted->module && job->target == posted->target && job->flags == posted->flags &&
	       job->basis == posted->basis && job->has_id == posted->has_id && id_equal(&job->id, &posted->id) &&
	       job->from == posted->from && job->to == posted->to && (job->result != -ECANCELED || mine->cancelled);
}

/** tidy_answer() - make @job fit for use. */
static void tidy_answer(struct job *job)
{
	job->text[sizeof(job->text) - 1] = '\0';
	for (char *c = job->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	if (job->result > 0 || job->result < -4095) {
		job->result = -EPROTO;
		strcpy(job->text, "a worker gave an answer that makes no sense; try again");
	} else if (job->result == 0) {
		job->text[0] = '\0';
	} else if (!job->text[0]) {
		strcpy(job->text, "a worker has failed and has not said why; try again");
	}
}

/** take_answer() - from a slot that is DONE. False: what lies there is none, and ring_scribbled() from now on. */
static bool take_answer(struct ring *ring, uint32_t slot, struct job *job, struct ticket *ticket)
{
	struct mirror_slot *mine = &ring->mirror->slots[slot];
	const struct ring_body *body = &ring->memory->bodies[slot];

	if (mine->spoilt)
		return false;
	*ticket = (struct ticket) {slot, mine->generation};
	uint64_t seal = body->seal;
	memcpy(job, &body->job, sizeof(*job));
	mine->spoilt = !answers(mine, job, seal, *ticket);
	if (mine->spoilt)
		return false;
	tidy_answer(job);
	return true;
}

bool ring_reap(struct ring *ring, struct job *job, struct ticket *ticket)
{
	struct ring_mirror *mirror = ring->mirror;

	/* From where the last call ended, once around: nobody's answer waits behind those of others. */
	for (unsigned round = 0; round < 2; round++) {
		uint32_t slot = round == 0 ? mirror->reap_at : 0;
		uint32_t end = round == 0 ? RING_SLOTS : mirror->reap_at;
		for (slot = next_used(mirror, slot, true); slot < end; slot = next_used(mirror, slot + 1, true)) {
			uint64_t word = load_word(ring, slot);
			if (word_state(word) != SLOT_DONE)
				continue;
			if (!take_answer(ring, slot, job, ticket))
				continue;
			mirror->slots[slot].owner = word_owner(word);
			mirror->reap_at = (slot + 1) % RING_SLOTS;
			release_slot(ring, slot);
			return true;
		}
	}
	return false;
}

int ring_repeat(struct ring *ring, uint32_t slot, struct ticket *was, struct ticket *now)
{
	struct mirror_slot *mine = &ring->mirror->slots[slot];

	*was = (struct ticket) {slot, mine->generation};
	if (++mine->losses >= RING_TRIES) {
		release_slot(ring, slot);
		return -ENOTRECOVERABLE;
	}
	*now = ring_publish(ring, slot);
	return 1;
}

/** forget_worker() - take back what a dead worker has said of itself. */
static void forget_worker(struct ring *ring, uint32_t worker)
{
	struct worker_line *line = &ring->memory->lines[worker];

	atomic_fetch_and(&ring->memory->asleep[worker / 64], ~bit_of(worker));
	atomic_fetch_and(&ring->memory->spinning[worker / 64], ~bit_of(worker));
	atomic_store(&line->slot, WORKER_IDLE);
}

int ring_lost(struct ring *ring, uint32_t worker, struct ticket *was, struct ticket *now)
{
	struct ring_mirror *mirror = ring->mirror;
	uint32_t waiting = RING_SLOTS;

	forget_worker(ring, worker);
	for (uint32_t s = next_used(mirror, 0, true); s < RING_SLOTS; s = next_used(mirror, s + 1, true)) {
		uint64_t word = load_word(ring, s);
		if (word_state(word) == SLOT_RUNNING && word_owner(word) == worker)
			return ring_repeat(ring, s, was, now);
		if (word_state(word) == SLOT_READY && may_take(word_owner(word), worker))
			waiting = s;
	}
	/* It may have been woken for a job that it did not live to take. */
	if (waiting < RING_SLOTS)
		wake_one(ring, mirror->slots[waiting].reach);
	return 0;
}

void ring_open_up(struct ring *ring)
{
	struct ring_mirror *mirror = ring->mirror;

	for (uint32_t s = next_used(mirror, 0, true); s < RING_SLOTS; s = next_used(mirror, s + 1, true)) {
		struct mirror_slot *mine = &mirror->slots[s];
		uint64_t word = slot_word(mine->generation, mine->reach, SLOT_READY);
		if (!mine->reach || !atomic_compare_exchange_strong(
		                        &ring->memory->words[s], &word, slot_word(mine->generation, 0, SLOT_READY)))
			continue;
		mine->reach = 0;
		atomic_fetch_add(&ring->memory->posts, 1);
		wake_one(ring, 0);
	}
}

const struct job *ring_job(const struct ring *ring, uint32_t slot)
{
	return &ring->mirror->slots[slot].job;
}

bool ring_withdraw(struct ring *ring, struct ticket ticket)
{
	if (ticket.slot >= RING_SLOTS || !is_used(ring->mirror, ticket.slot) ||
	    ring->mirror->slots[ticket.slot].generation != ticket.generation)
		return false;
	uint64_t word = slot_word(ticket.generation, ring->mirror->slots[ticket.slot].reach, SLOT_READY);
	if (!atomic_compare_exchange_strong(
	        &ring->memory->words[ticket.slot], &word, slot_word(ticket.generation, 0, SLOT_FREE)))
		return false;
	set_used(ring->mirror, ticket.slot, false);
	return true;
}

void ring_cancel(struct ring *ring, struct ticket ticket)
{
	struct mirror_slot *mine = &ring->mirror->slots[ticket.slot];
	if (!is_used(ring->mirror, ticket.slot) || mine->generation != ticket.generation)
		return;
	/* In the mirror, too: should its worker die, the next one has no reason to begin. */
	mine->cancelled = true;
	atomic_store_explicit(&ring->memory->cancelled[ticket.slot], true, memory_order_relaxed);
}

void ring_nudge(struct ring *ring, uint32_t worker)
{
	atomic_fetch_add(&ring->memory->posts, 1);
	wake_worker(ring, worker);
}

bool ring_sleep_begin(struct ring *ring, unsigned ends)
{
	atomic_store(&ring->memory->coordinator_sleeps, ends);
	for (uint32_t s = next_used(ring->mirror, 0, true); s < RING_SLOTS; s = next_used(ring->mirror, s + 1, true)) {
		if (!ring->mirror->slots[s].spoilt && word_state(load_word(ring, s)) == SLOT_DONE) {
			atomic_store(&ring->memory->coordinator_sleeps, 0);
			return false;
		}
	}
	return true;
}

void ring_sleep_end(struct ring *ring)
{
	/* A worker takes the mark away before it writes: so there may be something to read only if it is gone. */
	if (atomic_exchange(&ring->memory->coordinator_sleeps, 0) == 0)
		ring_drain(ring);
}

void ring_drain(struct ring *ring)
{
	uint64_t count;
	while (read(ring->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

void ring_set_spin(struct ring *ring, uint64_t spin_ns)
{
	atomic_store(&ring->memory->spin_ns, spin_ns);
}

void ring_set_idle(struct ring *ring, unsigned idle_ms)
{
	atomic_store(&ring->memory->idle_ms, idle_ms);
}

void ring_set_urgent(struct ring *ring, bool urgent)
{
	atomic_store_explicit(&ring->memory->urgent, urgent, memory_order_relaxed);
}

void ring_retire(struct ring *ring, uint32_t worker, bool retire)
{
	if (!retire) {
		atomic_fetch_and(&ring->memory->retiring[worker / 64], ~bit_of(worker));
		return;
	}
	atomic_fetch_or(&ring->memory->retiring[worker / 64], bit_of(worker));
	wake_worker(ring, worker);
}

struct worker_line *ring_worker(struct ring *ring, uint32_t worker)
{
	return &ring->memory->lines[worker];
}
