/*
 * op.c - what all operations share.
 */
#include "op.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sock.h"

void op_fail(struct op *op, int result)
{
	if (op->result || !result)
		return;
	op->result = result;
	snprintf(op->text, sizeof(op->text), "%s", err_text());
}

void op_fail_job(struct op *op, const struct job *job)
{
	if (op->result || !job->result || (op->cancelled && job->result == -ECANCELED))
		return;
	op->result = job->result;
	snprintf(op->text, sizeof(op->text), "%.*s", (int)sizeof(job->text) - 1, job->text);
}

void op_free(struct op *op)
{
	if (!op)
		return;
	if (op->fd >= 0)
		sock_discard(op->fd);
	if (op->kind->free)
		op->kind->free(op);
	free(op);
}
