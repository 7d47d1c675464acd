/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/credit.h"

#include "core/attr.h"
#include "core/limits.h"

/* A path without delay has one all the same: until this process and the peer's have had the CPU. */
#define ROUND_MIN_US 2000
/* Half a window is sure in a round trip, and under load one takes up to twice as long as the path's
 * own: a reader that uses a window up within four of these may be held back by it. */
#define ROUNDS 4

void credit_pool_init(struct credit_pool *pool)
{
	*pool = (struct credit_pool){.budget = CREDIT_BUDGET_BYTES};
}

size_t credit_first(size_t streams)
{
	/* In all never more than 32 MB, until each has as little as it can work with. */
	if (streams <= 128)
		return LIMIT_STREAM_FIRST_BYTES;
	return streams <= 512 ? LIMIT_STREAM_FIRST_BYTES / 4 : LIMIT_STREAM_FIRST_BYTES / 16;
}

static size_t give_back(struct credit_pool *pool, size_t len)
{
	if (pool->held > CREDIT_HELD_BYTES) {
		pool->withheld += len;
		return 0;
	}
	len += pool->withheld;
	pool->withheld = 0;
	return len;
}

size_t credit_came(struct credit_pool *pool, struct credit *credit, size_t len)
{
	pool->held += len;
	credit->held += len;
	return give_back(pool, len);
}

size_t credit_used(struct credit_pool *pool, struct credit *credit, size_t len)
{
	len = MIN(len, credit->held);
	credit->held -= len;
	pool->held -= len;
	return give_back(pool, 0);
}

size_t credit_grow(struct credit_pool *pool, struct credit *credit, size_t len, size_t window,
	uint64_t rtt_us, uint64_t now_us)
{
	uint64_t round_us = MAX(rtt_us, (uint64_t)ROUND_MIN_US);
	size_t more;

	credit->used += len;
	if (credit->used < window)
		return 0;
	more = now_us - credit->since_us <= ROUNDS * round_us ? window : 0;
	more = MIN(more, LIMIT_STREAM_WINDOW_BYTES - MIN(window, LIMIT_STREAM_WINDOW_BYTES));
	more = MIN(more, pool->budget);
	credit->used = 0;
	credit->since_us = now_us;
	credit->grown += more;
	pool->budget -= more;
	return more;
}

size_t credit_end(struct credit_pool *pool, struct credit *credit)
{
	size_t back = credit_used(pool, credit, credit->held);

	pool->budget += credit->grown;
	credit->grown = 0;
	return back;
}
