/*
 * history_modules.c - which modules have a record, and the number that records know them by.
 *
 *   catalog:   0      1      2      3      4          (deployed and never committed: 1 and 4)
 *   number:    0      -      2      1      -
 *   numbers:   [0] = 0, [1] = 3, [2] = 2              (in the order of their records)
 */
#include "history_private.h"

#include <errno.h>
#include <string.h>

#include "err.h"

uint32_t module_number(const struct history *history, uint32_t module)
{
	return module < history->index->known ? history->index->number_of[module] : NUMBER_NONE;
}

/* Make room for a number of module @module. */
static int reserve_number(struct history_index *index, uint32_t module)
{
	if (module >= index->known) {
		uint32_t known = index->known ? index->known : 64;
		while (known <= module)
			known *= 2;
		uint32_t *number_of = history_alloc(index->number_of, known * sizeof(*number_of));
		if (!number_of)
			return fail(ENOMEM, "no memory for %u modules", known);
		memset(number_of + index->known, 0xff, (known - index->known) * sizeof(*number_of));
		index->number_of = number_of;
		index->known = known;
	}
	if (index->numbers_count == index->numbers_capacity) {
		uint32_t capacity = index->numbers_capacity ? index->numbers_capacity * 2 : 64;
		struct module_record *numbers = history_alloc(index->numbers, capacity * sizeof(*numbers));
		if (!numbers)
			return fail(ENOMEM, "no memory for %u modules", capacity);
		index->numbers = numbers;
		index->numbers_capacity = capacity;
	}
	return 0;
}

int history_record_module(struct history *history, uint32_t module, uint64_t sequence)
{
	struct history_index *index = history->index;
	int ret = reserve_number(index, module);
	if (ret)
		return ret;
	index->number_of[module] = index->numbers_count;
	index->numbers[index->numbers_count++] = (struct module_record) {module, sequence};
	return 0;
}

int64_t history_add_module(struct history *history, const struct varve_id *id, struct buf *records)
{
	uint32_t count = catalog_count(history->catalog);
	uint64_t sequence = history->sequence;
	int64_t module = history_module(history, id);
	if (module == MODULE_NONE)
		module = catalog_add(history->catalog, id);
	if (module < 0 || !records || module_number(history, (uint32_t)module) != NUMBER_NONE)
		return module;

	size_t size = records->size;
	bool bad = records->bad;
	write_module(records, sequence + 1, id);
	int ret = records->bad ? fail(ENOMEM, "no memory for the record of a module")
	                       : history_record_module(history, (uint32_t)module, sequence + 1);
	if (ret) {
		records->size = size;
		records->bad = bad;
		history_drop_modules(history, count, sequence);
		return ret;
	}
	history->sequence = sequence + 1;
	return module;
}

void history_forget_modules(struct history *history, uint64_t sequence)
{
	struct history_index *index = history->index;
	while (index->numbers_count && index->numbers[index->numbers_count - 1].sequence > sequence)
		index->number_of[index->numbers[--index->numbers_count].module] = NUMBER_NONE;
}

void history_drop_modules(struct history *history, uint32_t count, uint64_t sequence)
{
	history_forget_modules(history, sequence);
	while (catalog_count(history->catalog) > count)
		catalog_drop_newest(history->catalog);
	history->index->order_count = 0;
	history->sequence = sequence;
}

uint32_t history_modules_until(const struct history *history, uint64_t sequence)
{
	uint32_t count = history->index->numbers_count;
	while (count && history->index->numbers[count - 1].sequence > sequence)
		count--;
	return count;
}
