/*
 * ledger.c - a contract: accounts that hold balances.
 *
 * Accounts live in a hash table with open addressing. At three quarters full it is copied into one of twice the size,
 * for which the memory grows; the old table is not used again. The sum of all balances is the supply, always.
 */
#include "contract.h"

#define FIRST_CAPACITY 512u
#define JOURNAL 512u

struct account {
	uint64_t key; /* 0: the place is free */
	int64_t balance;
	uint64_t nonce; /* transfers it has sent */
	uint64_t last; /* number of the transaction that touched it last */
	uint64_t partners[4]; /* whom it sent to most recently, by nonce modulo 4 */
};

struct transfer {
	uint64_t number;
	uint64_t from;
	uint64_t to;
	int64_t amount;
};

static struct account *table;
static uint32_t capacity;
static uint32_t count;
static int64_t supply;
static uint64_t transactions;
static struct transfer journal[JOURNAL];

static struct account *account_find(struct account *in, uint32_t size, uint64_t key)
{
	uint32_t i = (uint32_t)mix(key) & (size - 1);

	while (in[i].key && in[i].key != key)
		i = (i + 1) & (size - 1);
	return &in[i];
}

static void table_double(void)
{
	uint32_t size = capacity * 2;
	struct account *bigger = heap_alloc(size * (uint32_t)sizeof(*bigger));

	for (uint32_t i = 0; i < capacity; i++)
		if (table[i].key)
			*account_find(bigger, size, table[i].key) = table[i];
	table = bigger;
	capacity = size;
}

/* Pointers into the table do not survive this. */
static struct account *account_make(uint64_t key)
{
	struct account *account = account_find(table, capacity, key);

	if (account->key)
		return account;
	if ((count + 1) * 4 > capacity * 3) {
		table_double();
		account = account_find(table, capacity, key);
	}
	account->key = key;
	count++;
	return account;
}

ENTRY(init)
{
	capacity = FIRST_CAPACITY;
	table = heap_alloc(capacity * (uint32_t)sizeof(*table));
	return 0;
}

/** mint(account, amount) - make @b new coins for account @a. Returns its balance, or -1 for a bad argument. */
ENTRY(mint)
{
	struct account *account;

	if (!a || b < 0)
		return -1;
	account = account_make((uint64_t)a);
	account->balance += b;
	account->last = ++transactions;
	supply += b;
	return account->balance;
}

/** transfer(from, to, amount) - returns what @a has left, or -1: no such account, or it has too little. */
ENTRY(transfer)
{
	struct account *from;
	struct account *to;

	if (!a || !b || c < 0)
		return -1;
	from = account_find(table, capacity, (uint64_t)a);
	if (!from->key || from->balance < c)
		return -1;
	to = account_make((uint64_t)b);
	from = account_find(table, capacity, (uint64_t)a);
	from->balance -= c;
	to->balance += c;
	from->partners[from->nonce++ % 4] = (uint64_t)b;
	from->last = to->last = ++transactions;
	journal[transactions % JOURNAL] = (struct transfer) {transactions, (uint64_t)a, (uint64_t)b, c};
	return from->balance;
}

ENTRY(balance)
{
	return account_find(table, capacity, (uint64_t)a)->balance;
}

ENTRY(accounts)
{
	return count;
}

/** digest() - of all that the ledger means, wherever in memory it lies. */
ENTRY(digest)
{
	uint64_t sum = mix((uint64_t)supply) + mix(transactions) * 3 + count;

	for (uint32_t i = 0; i < capacity; i++) {
		const struct account *at = &table[i];

		if (at->key)
			sum += mix(at->key ^ mix((uint64_t)at->balance ^ mix(at->nonce)));
	}
	return (int64_t)sum;
}

/** check() - 0, or which of the ledger's invariants does not hold. */
ENTRY(check)
{
	int64_t sum = 0;
	uint32_t found = 0;

	for (uint32_t i = 0; i < capacity; i++) {
		const struct account *at = &table[i];

		if (!at->key)
			continue;
		if (at->balance < 0)
			return 1;
		if (account_find(table, capacity, at->key) != at)
			return 2;
		if (at->last > transactions)
			return 3;
		sum += at->balance;
		found++;
	}
	if (sum != supply)
		return 4;
	return found == count ? 0 : 5;
}
