/*
 * book.c - a contract: an order book.
 *
 *   side -> level (best price) -> level -> ...
 *             |
 *             order (oldest) <-> order <-> ...
 *
 * An order first trades against the best levels of the other side, oldest orders first; what is left of it rests. Levels
 * and orders come from one pool of nodes, which grows by chunks; trades are appended to chunks that are kept for ever.
 */
#include "contract.h"

#define CHUNK_NODES 128u
#define CHUNK_TRADES 256u

struct order {
	struct order *next;
	struct order *prev;
	int64_t quantity;
	uint64_t id;
};

struct level {
	struct level *next; /* a worse price */
	struct order *oldest;
	struct order *newest;
	uint32_t orders;
	int64_t price;
	int64_t quantity; /* of all its orders */
};

union node {
	union node *free;
	struct order order;
	struct level level;
};

struct trade {
	uint64_t maker;
	uint64_t taker;
	int64_t price;
	int64_t quantity;
};

struct trades {
	struct trades *older;
	uint32_t count;
	struct trade trade[CHUNK_TRADES];
};

enum { BUY, SELL, SIDES };

static struct level *best[SIDES];
static union node *pool;
static uint32_t nodes;
static uint32_t nodes_free;
static struct trades *trades;
static uint64_t last_id;
static int64_t traded;

static union node *node_get(void)
{
	union node *node;

	if (!pool) {
		union node *chunk = heap_alloc(CHUNK_NODES * (uint32_t)sizeof(*chunk));

		for (uint32_t i = CHUNK_NODES; i-- > 0;) {
			chunk[i].free = pool;
			pool = &chunk[i];
		}
		nodes += CHUNK_NODES;
		nodes_free += CHUNK_NODES;
	}
	node = pool;
	pool = node->free;
	nodes_free--;
	__builtin_memset(node, 0, sizeof(*node));
	return node;
}

static void node_put(void *given)
{
	union node *node = given;

	node->free = pool;
	pool = node;
	nodes_free++;
}

/* better() - does a buyer (seller) who offers @price come before one who offers @other? */
static int better(int64_t side, int64_t price, int64_t other)
{
	return side == BUY ? price > other : price < other;
}

static void order_drop(struct level **link, struct order *order)
{
	struct level *level = *link;

	*(order->prev ? &order->prev->next : &level->oldest) = order->next;
	*(order->next ? &order->next->prev : &level->newest) = order->prev;
	level->quantity -= order->quantity;
	node_put(order);
	if (--level->orders == 0) {
		*link = level->next;
		node_put(level);
	}
}

static void trade_record(const struct trade *trade)
{
	if (!trades || trades->count == CHUNK_TRADES) {
		struct trades *chunk = heap_alloc(sizeof(*chunk));

		chunk->older = trades;
		trades = chunk;
	}
	trades->trade[trades->count++] = *trade;
	traded += trade->quantity;
}

/* match() - trade up to @quantity for order @id of @side. Returns what is left. */
static int64_t match(int64_t side, int64_t price, int64_t quantity, uint64_t id)
{
	struct level **other = &best[!side];

	while (quantity && *other && !better(side, (*other)->price, price)) {
		struct order *maker = (*other)->oldest;
		int64_t part = maker->quantity < quantity ? maker->quantity : quantity;

		trade_record(&(struct trade) {maker->id, id, (*other)->price, part});
		quantity -= part;
		maker->quantity -= part;
		(*other)->quantity -= part;
		if (!maker->quantity)
			order_drop(other, maker);
	}
	return quantity;
}

static struct level **level_find(int64_t side, int64_t price)
{
	struct level **link = &best[side];

	while (*link && better(side, (*link)->price, price))
		link = &(*link)->next;
	return link;
}

static void rest(int64_t side, int64_t price, int64_t quantity, uint64_t id)
{
	struct level **link = level_find(side, price);
	struct order *order = &node_get()->order;
	struct level *level = *link;

	if (!level || level->price != price) {
		level = &node_get()->level;
		level->price = price;
		level->next = *link;
		*link = level;
	}
	order->quantity = quantity;
	order->id = id;
	order->prev = level->newest;
	*(level->newest ? &level->newest->next : &level->oldest) = order;
	level->newest = order;
	level->orders++;
	level->quantity += quantity;
}

ENTRY(init)
{
	return 0;
}

/** place(side, price, quantity) - returns how much was traded at once, or -1 for a bad argument. */
ENTRY(place)
{
	int64_t left;

	if (a < 0 || a >= SIDES || b <= 0 || c <= 0)
		return -1;
	last_id++;
	left = match(a, b, c, last_id);
	if (left)
		rest(a, b, left, last_id);
	return c - left;
}

/** cancel(side, price) - take back the newest order at that price. Returns its quantity; 0: there is none. */
ENTRY(cancel)
{
	struct level **link;
	int64_t quantity;

	if (a < 0 || a >= SIDES)
		return 0;
	link = level_find(a, b);
	if (!*link || (*link)->price != b)
		return 0;
	quantity = (*link)->newest->quantity;
	order_drop(link, (*link)->newest);
	return quantity;
}

/** top(side) - the best price; 0: that side is empty. */
ENTRY(top)
{
	return a >= 0 && a < SIDES && best[a] ? best[a]->price : 0;
}

ENTRY(volume)
{
	return traded;
}

ENTRY(digest)
{
	uint64_t hash = mix(last_id) + (uint64_t)traded;

	for (int side = 0; side < SIDES; side++)
		for (const struct level *level = best[side]; level; level = level->next) {
			hash = mix(hash ^ (uint64_t)level->price);
			for (const struct order *order = level->oldest; order; order = order->next)
				hash = mix(hash ^ order->id) + (uint64_t)order->quantity;
		}
	return (int64_t)hash;
}

static int level_check(const struct level *level, uint32_t *used)
{
	int64_t sum = 0;
	uint32_t orders = 0;
	const struct order *prev = 0;

	for (const struct order *order = level->oldest; order; prev = order, order = order->next) {
		if (order->quantity <= 0 || order->prev != prev)
			return 1;
		if (prev && prev->id >= order->id)
			return 2;
		sum += order->quantity;
		orders++;
	}
	*used += orders + 1;
	if (!orders || level->newest != prev)
		return 3;
	return sum == level->quantity && orders == level->orders ? 0 : 4;
}

ENTRY(check)
{
	int64_t sum = 0;
	uint32_t used = 0;

	for (int side = 0; side < SIDES; side++)
		for (const struct level *level = best[side]; level; level = level->next) {
			int wrong = level_check(level, &used);

			if (wrong)
				return wrong;
			if (level->next && !better(side, level->price, level->next->price))
				return 5;
		}
	if (best[BUY] && best[SELL] && best[BUY]->price >= best[SELL]->price)
		return 6;
	for (const union node *node = pool; node; node = node->free)
		used++;
	if (used != nodes)
		return 7;
	for (const struct trades *chunk = trades; chunk; chunk = chunk->older)
		for (uint32_t i = 0; i < chunk->count; i++)
			sum += chunk->trade[i].quantity;
	return sum == traded ? 0 : 8;
}
