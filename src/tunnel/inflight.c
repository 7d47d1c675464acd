/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On the way through an API server bytes queue in the buffers of relays, where no socket option
 * reaches and where a small request stands behind all of them. So the sender itself keeps no more
 * under way than the path carries, as FAST TCP does (Wei et al., 2006): once per round trip
 *
 *   window = window * base / rtt + alpha
 *
 * where base is the least round trip seen. It comes to rest with alpha bytes queued. These are
 * ALPHA_BYTES, or what the path carries in ALPHA_US where that is more: a gigabit needs more than
 * a slow line to stay busy between two ACKs, and a path over which everything takes microseconds
 * is one whose time is the scheduler's, not a queue's.
 *
 * Before that the window doubles with each round trip, until more than alpha and than a quarter of
 * it is queued. What counts of a round is its second half: the first bytes of a burst find an empty
 * queue however long the burst is. base is forgotten
 * after BASE_PERIOD_US to 2 * BASE_PERIOD_US, because paths change; so that what is seen then is
 * the path and not our own queue, one round per period goes with less than the path carries.
 */
#include "tunnel/inflight.h"

#include "core/attr.h"

#define ALPHA_BYTES    (128 * 1024)
#define ALPHA_US       3000
#define START_BYTES    (1024 * 1024)
#define MIN_BYTES      (128 * 1024)
#define MAX_BYTES      (64 * 1024 * 1024)
#define DRAIN_BYTES    (64 * 1024)
#define BASE_PERIOD_US 10000000
/* Of a window, queued: the end of doubling it. */
#define SLOW_START_PART 4
/* Of what the path carries, while the queues run empty. */
#define DRAIN_NUMERATOR   3
#define DRAIN_DENOMINATOR 4
/* A record is remembered when so much was sent since the last one. */
#define MARK_BYTES (16 * 1024)
/* The window counts as used when no more than a record is left of it. */
#define SLACK_BYTES (64 * 1024)

static uint64_t base_of(const struct inflight *inflight)
{
	return MIN(inflight->base_us[0], inflight->base_us[1]);
}

static uint64_t rtt_of(const struct inflight *inflight)
{
	uint64_t least = UINT64_MAX;

	/* While the window doubles an older round speaks of half of it. */
	for (int i = 0; i < (inflight->slow_start ? 1 : INFLIGHT_ROUNDS); i++)
		least = MIN(least, inflight->round_rtt_us[i]);
	return least; /* UINT64_MAX: not known */
}

/* The part of `bytes` that was on the path and not in a queue. */
static size_t carried(const struct inflight *inflight, size_t bytes)
{
	uint64_t rtt = rtt_of(inflight);

	return rtt == UINT64_MAX ? bytes : (size_t)(bytes * MIN(base_of(inflight), rtt) / rtt);
}

static void begin_round(struct inflight *inflight, uint64_t now_us)
{
	for (int i = INFLIGHT_ROUNDS - 1; i > 0; i--)
		inflight->round_rtt_us[i] = inflight->round_rtt_us[i - 1];
	inflight->round_rtt_us[0] = UINT64_MAX;
	inflight->round_end = inflight->sent;
	inflight->round_open = inflight->sent == inflight->acked;
	inflight->round_acked = inflight->acked;
	inflight->round_us = now_us;
	inflight->round_peak = (size_t)(inflight->sent - inflight->acked);
}

void inflight_init(struct inflight *inflight, uint64_t now_us)
{
	*inflight = (struct inflight){
		.window = START_BYTES,
		.slow_start = true,
		.base_us = {UINT64_MAX, UINT64_MAX},
		.period_us = now_us,
	};
	for (int i = 0; i < INFLIGHT_ROUNDS; i++)
		inflight->round_rtt_us[i] = UINT64_MAX;
	begin_round(inflight, now_us);
}

size_t inflight_room(const struct inflight *inflight)
{
	size_t under_way = (size_t)(inflight->sent - inflight->acked);
	size_t window = inflight->window;

	if (inflight->draining)
		window = MAX((size_t)DRAIN_BYTES,
			carried(inflight, window) / DRAIN_DENOMINATOR * DRAIN_NUMERATOR);
	return under_way < window ? window - under_way : 0;
}

void inflight_sent(struct inflight *inflight, size_t len, uint64_t now_us)
{
	const struct inflight_mark *last =
		&inflight->marks[(inflight->mark_head + inflight->mark_count + INFLIGHT_MARKS - 1) %
				 INFLIGHT_MARKS];

	if (inflight->sent == inflight->acked)
		inflight->round_us = now_us;
	inflight->sent += len;
	inflight->round_peak =
		MAX(inflight->round_peak, (size_t)(inflight->sent - inflight->acked));
	if (inflight->mark_count == INFLIGHT_MARKS ||
		(inflight->mark_count > 0 && inflight->sent - last->offset < MARK_BYTES))
		return;
	inflight->marks[(inflight->mark_head + inflight->mark_count++) % INFLIGHT_MARKS] =
		(struct inflight_mark){.offset = inflight->sent, .sent_us = now_us};
}

void inflight_round_trip(struct inflight *inflight, uint64_t rtt_us)
{
	inflight->base_us[0] = MIN(inflight->base_us[0], MAX(rtt_us, 1U));
}

static bool window_used(const struct inflight *inflight)
{
	return inflight->round_peak + SLACK_BYTES >= inflight->window;
}

static void set_window(struct inflight *inflight, uint64_t now_us)
{
	uint64_t took_us = MAX(now_us - inflight->round_us, 1U);
	uint64_t rate_alpha = (inflight->acked - inflight->round_acked) * ALPHA_US / took_us;
	size_t alpha = (size_t)MIN(MAX(rate_alpha, (uint64_t)ALPHA_BYTES), (uint64_t)MAX_BYTES);
	size_t basis = MIN(inflight->round_peak, inflight->window);
	size_t on_path = carried(inflight, basis);
	size_t target = on_path + alpha;

	if (inflight->slow_start && on_path >= basis - basis / SLOW_START_PART)
		target = MAX(target, basis);
	if (basis > target) {
		inflight->slow_start = false;
		/* Half the way: an ACK that stood in the peer's queue is no reason to stop. */
		inflight->window = (inflight->window + target) / 2;
	} else if (window_used(inflight)) {
		inflight->window = inflight->slow_start
					   ? inflight->window * 2
					   : (inflight->window + MAX(inflight->window, target)) / 2;
	}
	inflight->window = MIN(MAX(inflight->window, (size_t)MIN_BYTES), (size_t)MAX_BYTES);
}

static void end_round(struct inflight *inflight, uint64_t now_us)
{
	/* A round that was held back says nothing of what the path carries. */
	if (inflight->draining)
		inflight->round_rtt_us[0] = UINT64_MAX;
	else
		set_window(inflight, now_us);
	inflight->draining = false;
	if (now_us - inflight->period_us >= BASE_PERIOD_US) {
		inflight->period_us = now_us;
		inflight->draining = window_used(inflight);
		inflight->base_us[1] = inflight->base_us[0];
		inflight->base_us[0] = UINT64_MAX;
	}
	begin_round(inflight, now_us);
}

void inflight_acked(struct inflight *inflight, uint64_t offset, uint64_t now_us)
{
	uint64_t sent_us = 0, rtt;

	inflight->acked = offset;
	if (inflight->round_open) {
		inflight->round_open = false;
		inflight->round_end = inflight->sent;
	}
	while (inflight->mark_count > 0 && inflight->marks[inflight->mark_head].offset <= offset) {
		sent_us = inflight->marks[inflight->mark_head].sent_us;
		inflight->mark_head = (inflight->mark_head + 1) % INFLIGHT_MARKS;
		inflight->mark_count--;
	}
	if (sent_us > 0) {
		rtt = now_us - sent_us;
		inflight_round_trip(inflight, rtt);
		if (offset - inflight->round_acked >=
			(inflight->round_end - inflight->round_acked) / 2)
			inflight->round_rtt_us[0] = MIN(inflight->round_rtt_us[0], MAX(rtt, 1U));
	}
	if (offset >= inflight->round_end)
		end_round(inflight, now_us);
}
