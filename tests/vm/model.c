/*
 * model.c - what contracts should do, in plain C. Arithmetic is done in uint64_t, where WebAssembly's i64 wraps.
 */
#include "model.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 4096
#define SIDES 2

struct account {
	uint64_t key;
	int64_t balance;
	uint64_t nonce;
};

struct order {
	uint64_t id; /* smaller: older */
	int64_t side;
	int64_t price;
	int64_t quantity;
};

struct model {
	int64_t (*call)(struct model *model, const char *entry, const int64_t args[3]);
	struct account *accounts; /* by key */
	size_t accounts_count;
	int64_t supply;
	uint64_t transactions;
	uint64_t slots[SLOTS];
	uint64_t rule;
	struct order *orders; /* by id */
	size_t orders_count;
	uint64_t last_id;
	int64_t traded;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/*
 * room() - make @array, of @count items, large enough for one more: it grows, or after removals shrinks, whenever its
 * count stands at a power of two. The model is a test's: no memory is the end.
 */
static void *room(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	array = realloc(array, (count ? count * 2 : 1) * size);
	if (!array)
		abort();
	return array;
}

/* ---- ledger ----------------------------------------------------------------------------------------------------- */

static struct account *account_find(struct model *model, uint64_t key, bool make)
{
	size_t low = 0;
	size_t high = model->accounts_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (model->accounts[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < model->accounts_count && model->accounts[low].key == key)
		return &model->accounts[low];
	if (!make)
		return NULL;
	model->accounts = room(model->accounts, model->accounts_count, sizeof(*model->accounts));
	memmove(
	    &model->accounts[low + 1], &model->accounts[low], (model->accounts_count - low) * sizeof(*model->accounts));
	model->accounts_count++;
	model->accounts[low] = (struct account) {.key = key};
	return &model->accounts[low];
}

static int64_t mint(struct model *model, uint64_t key, int64_t amount)
{
	struct account *account;

	if (!key || amount < 0)
		return -1;
	account = account_find(model, key, true);
	account->balance += amount;
	model->supply += amount;
	model->transactions++;
	return account->balance;
}

static int64_t transfer(struct model *model, uint64_t sender, uint64_t receiver, int64_t amount)
{
	struct account *from = account_find(model, sender, false);

	if (!sender || !receiver || amount < 0 || !from || from->balance < amount)
		return -1;
	account_find(model, receiver, true)->balance += amount;
	from = account_find(model, sender, false);
	from->balance -= amount;
	from->nonce++;
	model->transactions++;
	return from->balance;
}

static int64_t ledger_call(struct model *model, const char *entry, const int64_t args[3])
{
	const struct account *account;
	uint64_t sum;

	if (strcmp(entry, "mint") == 0)
		return mint(model, (uint64_t)args[0], args[1]);
	if (strcmp(entry, "transfer") == 0)
		return transfer(model, (uint64_t)args[0], (uint64_t)args[1], args[2]);
	if (strcmp(entry, "balance") == 0) {
		account = account_find(model, (uint64_t)args[0], false);
		return account ? account->balance : 0;
	}
	if (strcmp(entry, "accounts") == 0)
		return (int64_t)model->accounts_count;
	if (strcmp(entry, "digest") != 0)
		return 0;
	sum = mix((uint64_t)model->supply) + mix(model->transactions) * 3 + model->accounts_count;
	for (size_t i = 0; i < model->accounts_count; i++) {
		account = &model->accounts[i];
		sum += mix(account->key ^ mix((uint64_t)account->balance ^ mix(account->nonce)));
	}
	return (int64_t)sum;
}

/* ---- counter ---------------------------------------------------------------------------------------------------- */

static uint64_t counted(uint64_t rule, uint64_t value, uint64_t n)
{
	switch (rule) {
	case 0:
		return value + n;
	case 1:
		return value * (n | 1) + 1;
	default:
		return value ^ n;
	}
}

static int64_t counter_call(struct model *model, const char *entry, const int64_t args[3])
{
	uint64_t *slot = &model->slots[(uint64_t)args[0] % SLOTS];
	uint64_t sum;

	if (strcmp(entry, "count") == 0)
		*slot = counted(model->rule, *slot, (uint64_t)args[1]);
	if (strcmp(entry, "count") == 0 || strcmp(entry, "value") == 0)
		return (int64_t)*slot;
	if (strcmp(entry, "choose") == 0) {
		model->rule = (uint64_t)args[0] % 3;
		return (int64_t)model->rule;
	}
	if (strcmp(entry, "reset") == 0) {
		memset(model->slots, 0, sizeof(model->slots));
		model->rule = 0;
	}
	if (strcmp(entry, "digest") != 0)
		return 0;
	sum = mix(model->rule + 1);
	for (uint64_t i = 0; i < SLOTS; i++)
		if (model->slots[i])
			sum += mix(i ^ mix(model->slots[i]));
	return (int64_t)sum;
}

/* ---- book ------------------------------------------------------------------------------------------------------- */

static bool better(int64_t side, int64_t price, int64_t other)
{
	return side == 0 ? price > other : price < other;
}

/* order_best() - the order of @side that comes next after @after (NULL: the first), by price, then age. */
static struct order *order_best(struct model *model, int64_t side, const struct order *after)
{
	struct order *best = NULL;

	for (size_t i = 0; i < model->orders_count; i++) {
		struct order *at = &model->orders[i];

		if (at->side != side)
			continue;
		if (after && !better(side, after->price, at->price) &&
		    !(after->price == at->price && after->id < at->id))
			continue;
		if (!best || better(side, at->price, best->price))
			best = at;
	}
	return best;
}

static void order_remove(struct model *model, struct order *order)
{
	size_t i = (size_t)(order - model->orders);

	model->orders_count--;
	memmove(order, order + 1, (model->orders_count - i) * sizeof(*order));
}

static int64_t place(struct model *model, int64_t side, int64_t price, int64_t quantity)
{
	int64_t left = quantity;
	struct order *maker;

	if (side < 0 || side >= SIDES || price <= 0 || quantity <= 0)
		return -1;
	model->last_id++;
	while (left && (maker = order_best(model, !side, NULL)) && !better(side, maker->price, price)) {
		int64_t part = maker->quantity < left ? maker->quantity : left;

		model->traded += part;
		left -= part;
		maker->quantity -= part;
		if (!maker->quantity)
			order_remove(model, maker);
	}
	if (left) {
		model->orders = room(model->orders, model->orders_count, sizeof(*model->orders));
		model->orders[model->orders_count++] = (struct order) {model->last_id, side, price, left};
	}
	return quantity - left;
}

static int64_t cancel(struct model *model, int64_t side, int64_t price)
{
	struct order *newest = NULL;
	int64_t quantity;

	for (size_t i = 0; i < model->orders_count; i++)
		if (model->orders[i].side == side && model->orders[i].price == price)
			newest = &model->orders[i];
	if (!newest)
		return 0;
	quantity = newest->quantity;
	order_remove(model, newest);
	return quantity;
}

static int64_t book_digest(struct model *model)
{
	uint64_t hash = mix(model->last_id) + (uint64_t)model->traded;

	for (int64_t side = 0; side < SIDES; side++) {
		const struct order *before = NULL;
		const struct order *order;

		for (; (order = order_best(model, side, before)); before = order) {
			if (!before || before->price != order->price)
				hash = mix(hash ^ (uint64_t)order->price);
			hash = mix(hash ^ order->id) + (uint64_t)order->quantity;
		}
	}
	return (int64_t)hash;
}

static int64_t book_call(struct model *model, const char *entry, const int64_t args[3])
{
	const struct order *first;

	if (strcmp(entry, "place") == 0)
		return place(model, args[0], args[1], args[2]);
	if (strcmp(entry, "cancel") == 0)
		return cancel(model, args[0], args[1]);
	if (strcmp(entry, "top") == 0) {
		first = order_best(model, args[0], NULL);
		return first ? first->price : 0;
	}
	if (strcmp(entry, "volume") == 0)
		return model->traded;
	return strcmp(entry, "digest") == 0 ? book_digest(model) : 0;
}

/* ----------------------------------------------------------------------------------------------------------------- */

struct model *model_new(const char *module_name)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	if (strncmp(module_name, "ledger.", 7) == 0)
		model->call = ledger_call;
	else if (strncmp(module_name, "counter.", 8) == 0)
		model->call = counter_call;
	else if (strncmp(module_name, "book.", 5) == 0)
		model->call = book_call;
	if (!model->call) {
		free(model);
		return NULL;
	}
	return model;
}

void model_free(struct model *model)
{
	if (!model)
		return;
	free(model->accounts);
	free(model->orders);
	free(model);
}

int64_t model_call(struct model *model, const char *entry, const int64_t args[3])
{
	return model->call(model, entry, args);
}
