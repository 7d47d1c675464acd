/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/credit.h - how much a peer may send before it is read: windows that grow where they pay
 *
 * A stream begins with a small window. One whose reader uses a whole window up within four round
 * trips may have been held back by it: the window doubles, up to LIMIT_STREAM_WINDOW_BYTES, from a
 * budget that all streams of a tunnel share. So a reader that stands still holds little, a fast one
 * fills any path, and what a proven peer can make this side keep is bounded whatever it does.
 *
 * Plain structures with the times given: nothing here reads a clock or knows nghttp2.
 */
#ifndef TUNNEL_CREDIT_H
#define TUNNEL_CREDIT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes by which all windows of a tunnel together may exceed what they began with. */
#define CREDIT_BUDGET_BYTES ((size_t)32 * 1024 * 1024)
/* Bytes that came and were not read: from here on the whole connection waits. */
#define CREDIT_HELD_BYTES ((size_t)128 * 1024 * 1024)

struct credit_pool {
	size_t budget; /* left to grow windows with */
	size_t held; /* bytes that came and are not used up */
	size_t withheld; /* bytes of the connection's window that wait for `held` to fall */
};

struct credit {
	size_t grown; /* of the budget */
	size_t held;
	size_t used; /* since since_us */
	uint64_t since_us;
};

void credit_pool_init(struct credit_pool *pool);
/* The window of a new stream beside so many others. */
size_t credit_first(size_t streams);
/* Bytes came in; how many of the connection's window may be given back at once. */
size_t credit_came(struct credit_pool *pool, struct credit *credit, size_t len);
/* Bytes were used up; how many of the connection's window are to be given back now. */
size_t credit_used(struct credit_pool *pool, struct credit *credit, size_t len);
/* By how much the stream's window is to grow after this use; window: what it is now. rtt_us: 0, not
 * known. */
size_t credit_grow(struct credit_pool *pool, struct credit *credit, size_t len, size_t window,
	uint64_t rtt_us, uint64_t now_us);
/* The stream is gone; as credit_used(). */
size_t credit_end(struct credit_pool *pool, struct credit *credit);

#endif /* TUNNEL_CREDIT_H */
