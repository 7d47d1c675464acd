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
 * it is queued, and the round did not carry much more than those before: TCP below that only begins
 * holds bytes back as a queue does, but twice as many get through each round trip. What counts of a
 * round is its second half: the first bytes of a burst find an empty queue however long the burst
 * is. base is forgotten
 * after BASE_PERIOD_US to 2 * BASE_PERIOD_US, because paths change; so that what is seen then is
 * the path and not our own queue, one round per period goes with less than the path carries.
 */
#include "tunnel/flight.h"

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
/* So much more than ever before in a round: the path is not at its end. */
#define WARM_NUMERATOR   3
#define WARM_DENOMINATOR 2
/* Of what the path carries, while the queues run empty. */
#define DRAIN_NUMERATOR   3
#define DRAIN_DENOMINATOR 4
/* A record is remembered when so much was sent since the last one. */
#define MARK_BYTES (16 * 1024)
/* The window counts as used when no more than a record is left of it. */
#define SLACK_BYTES (64 * 1024)

static uint64_t base_of(const struct flight *flight)
{
	return MIN(flight->base_us[0], flight->base_us[1]);
}

uint32_t flight_base_us(const struct flight *flight)
{
	uint64_t base = base_of(flight);

	return base == UINT64_MAX ? 0 : (uint32_t)MIN(base, (uint64_t)UINT32_MAX);
}

static uint64_t rtt_of(const struct flight *flight)
{
	uint64_t least = UINT64_MAX;

	/* While the window doubles an older round speaks of half of it. */
	for (int i = 0; i < (flight->slow_start ? 1 : FLIGHT_ROUNDS); i++)
		least = MIN(least, flight->round_rtt_us[i]);
	return least; /* UINT64_MAX: not known */
}

/* The part of `bytes` that was on the path and not in a queue. */
static size_t carried(const struct flight *flight, size_t bytes)
{
	uint64_t rtt = rtt_of(flight);

	return rtt == UINT64_MAX ? bytes : (size_t)(bytes * MIN(base_of(flight), rtt) / rtt);
}

static void begin_round(struct flight *flight, uint64_t now_us)
{
	for (int i = FLIGHT_ROUNDS - 1; i > 0; i--)
		flight->round_rtt_us[i] = flight->round_rtt_us[i - 1];
	flight->round_rtt_us[0] = UINT64_MAX;
	flight->round_end = flight->sent;
	flight->round_open = flight->sent == flight->acked;
	flight->round_acked = flight->acked;
	flight->round_us = now_us;
	flight->round_peak = (size_t)(flight->sent - flight->acked);
}

void flight_init(struct flight *flight, uint64_t now_us)
{
	*flight = (struct flight){
		.window = START_BYTES,
		.slow_start = true,
		.base_us = {UINT64_MAX, UINT64_MAX},
		.period_us = now_us,
	};
	for (int i = 0; i < FLIGHT_ROUNDS; i++)
		flight->round_rtt_us[i] = UINT64_MAX;
	begin_round(flight, now_us);
}

size_t flight_room(const struct flight *flight)
{
	size_t under_way = (size_t)(flight->sent - flight->acked);
	size_t window = flight->window;

	if (flight->draining)
		window = MAX((size_t)DRAIN_BYTES,
			carried(flight, window) / DRAIN_DENOMINATOR * DRAIN_NUMERATOR);
	return under_way < window ? window - under_way : 0;
}

void flight_sent(struct flight *flight, size_t len, uint64_t now_us)
{
	const struct flight_mark *last =
		&flight->marks[(flight->mark_head + flight->mark_count + FLIGHT_MARKS - 1) %
			       FLIGHT_MARKS];

	if (flight->sent == flight->acked)
		flight->round_us = now_us;
	flight->sent += len;
	flight->round_peak = MAX(flight->round_peak, (size_t)(flight->sent - flight->acked));
	if (flight->mark_count == FLIGHT_MARKS ||
		(flight->mark_count > 0 && flight->sent - last->offset < MARK_BYTES))
		return;
	flight->marks[(flight->mark_head + flight->mark_count++) % FLIGHT_MARKS] =
		(struct flight_mark){.offset = flight->sent, .sent_us = now_us};
}

void flight_round_trip(struct flight *flight, uint64_t rtt_us)
{
	flight->base_us[0] = MIN(flight->base_us[0], MAX(rtt_us, 1U));
}

static bool window_used(const struct flight *flight)
{
	return flight->round_peak + SLACK_BYTES >= flight->window;
}

/* Bytes a second of the round that ends. What was acknowledged had been under way for a round trip:
 * ACKs that are read together, because this process waited for the processor, end a round within
 * microseconds, and a path that carries terabytes would have been allowed a queue of megabytes. */
static uint64_t round_rate(const struct flight *flight, uint64_t now_us)
{
	uint64_t rtt = flight->round_rtt_us[0] == UINT64_MAX ? 0 : flight->round_rtt_us[0];
	uint64_t took_us = MAX(MAX(now_us - flight->round_us, rtt / 2), 1U);

	return (flight->acked - flight->round_acked) * 1000000 / took_us;
}

/* Whether the path itself still carries more with each round: what is queued waits for that. */
static bool warming(struct flight *flight, uint64_t rate)
{
	bool more = rate > flight->start_rate / WARM_DENOMINATOR * WARM_NUMERATOR;

	flight->start_rate = MAX(flight->start_rate, rate);
	return flight->slow_start && more;
}

static void set_window(struct flight *flight, uint64_t now_us)
{
	uint64_t rate = round_rate(flight, now_us);
	uint64_t rate_alpha = rate * ALPHA_US / 1000000;
	size_t alpha = (size_t)MIN(MAX(rate_alpha, (uint64_t)ALPHA_BYTES), (uint64_t)MAX_BYTES);
	size_t basis = MIN(flight->round_peak, flight->window);
	bool warm_up = warming(flight, rate);
	size_t on_path = carried(flight, basis);
	size_t target = on_path + alpha;

	if (flight->slow_start && on_path >= basis - basis / SLOW_START_PART)
		target = MAX(target, basis);
	if (basis > target && warm_up)
		return;
	if (basis > target) {
		flight->slow_start = false;
		/* Half the way: an ACK that stood in the peer's queue is no reason to stop. */
		flight->window = (flight->window + target) / 2;
	} else if (window_used(flight)) {
		flight->window = flight->slow_start
					 ? flight->window * 2
					 : (flight->window + MAX(flight->window, target)) / 2;
	}
	flight->window = MIN(MAX(flight->window, (size_t)MIN_BYTES), (size_t)MAX_BYTES);
}

static void end_round(struct flight *flight, uint64_t now_us)
{
	flight->rate = (3 * flight->rate + round_rate(flight, now_us)) / 4;
	/* A round that was held back says nothing of what the path carries. */
	if (flight->draining)
		flight->round_rtt_us[0] = UINT64_MAX;
	else
		set_window(flight, now_us);
	flight->draining = false;
	if (now_us - flight->period_us >= BASE_PERIOD_US) {
		flight->period_us = now_us;
		flight->draining = window_used(flight);
		flight->base_us[1] = flight->base_us[0];
		flight->base_us[0] = UINT64_MAX;
	}
	begin_round(flight, now_us);
}

void flight_acked(struct flight *flight, uint64_t offset, uint64_t now_us)
{
	uint64_t sent_us = 0, rtt;

	flight->acked = offset;
	if (flight->round_open) {
		flight->round_open = false;
		flight->round_end = flight->sent;
	}
	while (flight->mark_count > 0 && flight->marks[flight->mark_head].offset <= offset) {
		sent_us = flight->marks[flight->mark_head].sent_us;
		flight->mark_head = (flight->mark_head + 1) % FLIGHT_MARKS;
		flight->mark_count--;
	}
	if (sent_us > 0) {
		rtt = now_us - sent_us;
		flight_round_trip(flight, rtt);
		if (offset - flight->round_acked >= (flight->round_end - flight->round_acked) / 2)
			flight->round_rtt_us[0] = MIN(flight->round_rtt_us[0], MAX(rtt, 1U));
	}
	if (offset >= flight->round_end)
		end_round(flight, now_us);
}
