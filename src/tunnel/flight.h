/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/flight.h - how many bytes of a pipe may be under way, so that they queue nowhere
 *
 * A plain structure with the times given: nothing here reads a clock. Offsets are those of the
 * pipe's DATA and ACK records.
 */
#ifndef TUNNEL_FLIGHT_H
#define TUNNEL_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Records whose time of sending is remembered: with more under way only each so many'th is. */
#define FLIGHT_MARKS 128
/* Round trips whose least one counts, so that one late ACK says nothing. */
#define FLIGHT_ROUNDS 3

struct flight_mark {
	uint64_t offset, sent_us;
};

struct flight {
	uint64_t sent, acked;
	size_t window;
	bool slow_start;
	uint64_t start_rate; /* most bytes a second of any round of the slow start */
	/* The least time a byte and its ACK need: of the period that runs and of the one before. */
	uint64_t base_us[2], period_us;
	bool draining; /* this round the queues run empty, to see the least time again */
	/* The round trip that runs: from its first byte to the ACK of what was sent then. */
	uint64_t round_end, round_acked, round_us;
	bool round_open; /* it began with nothing under way: its end comes with the first ACK */
	uint64_t round_rtt_us[FLIGHT_ROUNDS]; /* least of each one's second half */
	size_t round_peak; /* most bytes under way */
	uint64_t rate; /* bytes acknowledged in a second, of the last rounds */
	struct flight_mark marks[FLIGHT_MARKS];
	size_t mark_head, mark_count;
};

void flight_init(struct flight *flight, uint64_t now_us);
/* Bytes that may be sent now; 0: after the next ACK. */
size_t flight_room(const struct flight *flight);
void flight_sent(struct flight *flight, size_t len, uint64_t now_us);
/* offset must be between `acked` and `sent`. */
void flight_acked(struct flight *flight, uint64_t offset, uint64_t now_us);
/* A round trip that was measured by other means. */
void flight_round_trip(struct flight *flight, uint64_t rtt_us);
/* The least round trip seen lately; 0: none yet. */
uint32_t flight_base_us(const struct flight *flight);

#endif /* TUNNEL_FLIGHT_H */
