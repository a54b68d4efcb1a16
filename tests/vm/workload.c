/*
 * workload.c - what is done with contracts.
 *
 * Most steps use a third of the modules with a few dozen transactions each. Among them are what a history has to cope
 * with: steps that use nothing, steps that only look, modules that come later than others, counters that are reset to
 * their first state, and now and then a busy step, which makes memories grow.
 */
#include "workload.h"

#include <stdbool.h>
#include <string.h>

#define LATE 5 /* modules from this one on are deployed one by one after the first step */
#define PRICE 1000

const char *const workload_modules[WORKLOAD_MODULES] = {
    "ledger.coins",
    "ledger.shares",
    "counter.votes",
    "book.coins",
    "book.shares",
    "ledger.points",
    "counter.visits",
    "book.points",
};

struct step {
	uint64_t random;
	uint64_t number;
	const char *module;
	int (*run)(void *arg, const struct transaction *transaction);
	void *arg;
};

/* random_below() - splitmix64. */
static uint64_t random_below(struct step *step, uint64_t limit)
{
	uint64_t x = step->random += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return (x ^ (x >> 31)) % limit;
}

static int64_t random_from(struct step *step, int64_t first, int64_t last)
{
	return first + (int64_t)random_below(step, (uint64_t)(last - first + 1));
}

static int run(struct step *step, const char *entry, int64_t a, int64_t b, int64_t c)
{
	return step->run(step->arg, &(struct transaction) {step->module, entry, {a, b, c}});
}

/* account() - the key of one of the accounts known so far: there are more of them as time goes on. */
static int64_t account(struct step *step)
{
	uint64_t number = 1 + random_below(step, 1024 + 64 * step->number);

	return (int64_t)(number * 0x9e3779b97f4a7c15u);
}

static int ledger_transaction(struct step *step)
{
	int64_t from = account(step);

	if (random_below(step, 10) < 4)
		return run(step, "mint", from, random_from(step, 1, 10000), 0);
	return run(step, "transfer", from, account(step), random_from(step, 1, 500));
}

static int counter_transaction(struct step *step)
{
	switch (random_below(step, 40)) {
	case 0:
		return run(step, "choose", random_from(step, 0, 2), 0, 0);
	case 1:
		return run(step, "reset", 0, 0, 0);
	default:
		return run(step, "count", (int64_t)random_below(step, 4096), random_from(step, 1, 1 << 20), 0);
	}
}

static int book_transaction(struct step *step)
{
	int64_t side = random_from(step, 0, 1);
	int64_t away = random_from(step, -12, 30); /* below 0: across the middle, so that it trades */
	int64_t price = side ? PRICE + away : PRICE - away;

	if (random_below(step, 10) == 0)
		return run(step, "cancel", side, price, 0);
	return run(step, "place", side, price, random_from(step, 1, 100));
}

static int transaction(struct step *step)
{
	if (step->module[0] == 'l')
		return ledger_transaction(step);
	return step->module[0] == 'c' ? counter_transaction(step) : book_transaction(step);
}

static int module_use(struct step *step)
{
	int64_t left = step->number == 0 ? 200 : random_from(step, 1, 80);
	int err = 0;

	if (step->number % 16 == 15)
		left *= 10;
	while (left-- > 0 && !err)
		err = transaction(step);
	return err;
}

int workload_step(
    uint64_t seed, uint64_t number, int (*fn)(void *arg, const struct transaction *transaction), void *arg)
{
	struct step step = {(seed << 32) ^ number, number, NULL, fn, arg};
	bool idle = number % 50 == 25;
	bool looking = number % 10 == 7;
	int err = 0;

	for (size_t i = 0; i < WORKLOAD_MODULES && !err && !idle; i++) {
		uint64_t born = i < LATE ? 0 : i - LATE + 1;

		step.module = workload_modules[i];
		if (number < born)
			continue;
		if (number == born)
			err = run(&step, NULL, 0, 0, 0);
		if (!err && looking)
			err = run(&step, "digest", 0, 0, 0);
		else if (!err && (number == born || random_below(&step, 3) == 0))
			err = module_use(&step);
	}
	return err;
}
