/*
 * varve_perf_compare.h - the rows that two results have in common.
 */
#ifndef VARVE_PERF_COMPARE_H
#define VARVE_PERF_COMPARE_H

#include "varve_perf_report.h"

enum verdict { VERDICT_SAME, VERDICT_SLOWER, VERDICT_FASTER, VERDICT_FEW };

struct side {
	double *seconds, *copies; /**< samples of the row, and of the copy of the same case */
	size_t count, copies_count;
};

/** What two results say of one scheme in one case. */
struct pair {
	const char *name, *state, *scheme; /**< the documents' */
	unsigned workers;
	bool positions; /**< all positions of a chain */
	struct side before, after;
	bool by_copy; /**< the difference is one of ratios to the copy */
	bool scaled; /**< ... to all copies, as this case has none */
	bool few; /**< too few samples to say anything */
	struct difference difference;
	double q;
	enum verdict verdict;
};

/** A standard deviation of logarithms of ratios, with so many degrees of freedom; 0: not known. */
struct spread {
	double deviation, freedom;
};

struct pairs {
	struct pair *list;
	size_t count;
	size_t only_before, only_after; /**< rows that one result has */
	struct spread warm, cold; /**< what two runs differ in anyway */
};

/** pairs_find() - -ENODATA: there are none. The documents must outlive them. */
int pairs_find(struct pairs *pairs, const struct document *before, const struct document *after);

/** pairs_copies() - how the copies compare: by the median of their ratios, and whether any of them differs beyond the
 * noise. Must be called before pairs_judge(). */
int pairs_copies(struct pairs *pairs, double least, double *ratio, bool *differ);

/** pairs_judge() - verdicts. @by_copy: of ratios to the copy, else of times. @least: what is worth a word, 0.05 for 5 %. */
int pairs_judge(struct pairs *pairs, bool by_copy, double least);

/** pair_is_control() - whether no change of Varve's restores makes it faster or slower. */
bool pair_is_control(const struct pair *pair);

void pairs_release(struct pairs *pairs);

#endif
