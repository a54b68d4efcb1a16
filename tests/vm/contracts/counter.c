/*
 * counter.c - a contract: a row of counters, and the rule by which they count.
 *
 * The rule is a function pointer in memory, which is an index into the table of the module's instance: it stays right
 * only if each new instance has the same table. It starts as a value of the data segment, so that writing the data
 * segment over a memory that has been used would show.
 */
#include "contract.h"

#define SLOTS 4096u

typedef uint64_t rule_fn(uint64_t value, uint64_t n);

static uint64_t rule_add(uint64_t value, uint64_t n)
{
	return value + n;
}

static uint64_t rule_scale(uint64_t value, uint64_t n)
{
	return value * (n | 1) + 1;
}

static uint64_t rule_flip(uint64_t value, uint64_t n)
{
	return value ^ n;
}

static rule_fn *const rules[] = {rule_add, rule_scale, rule_flip};
#define RULES (sizeof(rules) / sizeof(rules[0]))

static rule_fn *rule = rule_add;
static uint64_t slots[SLOTS];
static uint64_t total; /* of all slots */

ENTRY(init)
{
	return 0;
}

/** count(slot, n) - apply the rule to slot @a. Returns its new value. */
ENTRY(count)
{
	uint64_t *slot = &slots[(uint64_t)a % SLOTS];

	total -= *slot;
	*slot = rule(*slot, (uint64_t)b);
	total += *slot;
	return (int64_t)*slot;
}

/** choose(rule) - count by rule @a from now on. */
ENTRY(choose)
{
	uint64_t index = (uint64_t)a % RULES;

	rule = rules[index];
	return (int64_t)index;
}

/** reset() - everything as it was when the contract was deployed, to the byte. */
ENTRY(reset)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		slots[i] = 0;
	total = 0;
	rule = rule_add;
	return 0;
}

ENTRY(value)
{
	return (int64_t)slots[(uint64_t)a % SLOTS];
}

static uint32_t rule_index(void)
{
	uint32_t i = 0;

	while (i < RULES && rules[i] != rule)
		i++;
	return i;
}

ENTRY(digest)
{
	uint64_t sum = mix(rule_index() + 1);

	for (uint32_t i = 0; i < SLOTS; i++)
		if (slots[i])
			sum += mix(i ^ mix(slots[i]));
	return (int64_t)sum;
}

ENTRY(check)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		sum += slots[i];
	if (sum != total)
		return 1;
	return rule_index() < RULES ? 0 : 2;
}
