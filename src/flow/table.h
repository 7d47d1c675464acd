/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow/table.h - the TCP flows: fixed memory, found by addresses, by NAT port or by id
 *
 * Nothing is allocated after flow_table_init(); pages that were never used are not resident.
 * Slots are reused last in, first out (warm memory; a generation tells old ids), NAT ports first
 * in, first out, so that a port rests as long as possible (docs/dataplane.md, "NAT ports").
 */
#ifndef FLOW_TABLE_H
#define FLOW_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/limits.h"
#include "flow/flow.h"
#include "net/addr.h"

/* Ports below are left alone: filters and people treat them as special. */
#define FLOW_PORT_FIRST 1024
#define FLOW_PORTS      (65536 - FLOW_PORT_FIRST)
_Static_assert(LIMIT_FLOWS < FLOW_PORTS, "every flow has a port of its own");

/* The largest IPv4 (60) or IPv6 (40) header and TCP header (60). */
#define FLOW_SYN_BYTES 120

/*
 * FREE -> OPENING (SYN held) -> HANDSHAKE (SYN given to our listener) -> ESTABLISHED (accepted)
 * -> LINGER (FIN both ways, or RST) -> FREE. OPENING ends in FREE when the target cannot be
 * reached; HANDSHAKE in LINGER by RST; each but FREE in FREE by its time limit or by replacement.
 */
enum flow_state {
	FLOW_STATE_FREE,
	FLOW_STATE_OPENING,
	FLOW_STATE_HANDSHAKE,
	FLOW_STATE_ESTABLISHED,
	FLOW_STATE_LINGER,
	FLOW_STATE_COUNT
};

struct flow {
	struct ip_endpoint src, dst; /* the application's end, the target it asked for */
	uint32_t generation;
	uint32_t hash_next, prev, next; /* slots of the same bucket; of the same state. 0: none */
	uint32_t isn; /* of the SYN that made it */
	uint32_t app_next; /* of the application's bytes, the first that was not acknowledged */
	uint32_t app_end; /* after the application's FIN */
	uint16_t nat_port;
	uint16_t delta_addrs, delta_ports; /* what the rewrite towards the listener adds to sums */
	uint8_t state; /* enum flow_state, by flow_table_set_state() only */
	uint8_t syn_len; /* of the held copy */
	bool shortcut; /* it is in the kernel's map */
	bool fin_app, fin_listener, listener_first; /* FINs seen; the listener's side sent first */
	uint64_t since_ms; /* in this state */
	uint64_t seen_ms; /* last packet of the listener's side */
};

struct flow_list {
	uint32_t first, last, count;
};

struct flow_table {
	struct flow *flows; /* owns; slot 0 is none */
	uint8_t (*syns)[FLOW_SYN_BYTES]; /* owns; the held SYN of each slot */
	uint32_t *buckets, *by_port; /* own; slots */
	uint16_t *ports; /* owns; ring of ports that were given back */
	uint32_t ports_head, ports_count, fresh_port, fresh_slot;
	uint64_t seed[2];
	struct flow_list lists[FLOW_STATE_COUNT]; /* by state, oldest since_ms first */
};

void flow_table_init(struct flow_table *table);
void flow_table_done(struct flow_table *table);

struct flow *flow_table_find(const struct flow_table *table, const struct ip_endpoint *src,
	const struct ip_endpoint *dst);
struct flow *flow_table_by_port(const struct flow_table *table, uint16_t nat_port);
struct flow *flow_table_by_id(const struct flow_table *table, flow_id_t id); /* NULL: stale */
/* In state OPENING, with a NAT port; NULL when full. The pair must not be in the table. */
struct flow *flow_table_add(struct flow_table *table, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, uint64_t now_ms);
/* To FREE removes it. The same state again moves it to the end of its list. */
void flow_table_set_state(
	struct flow_table *table, struct flow *flow, enum flow_state state, uint64_t now_ms);

static inline flow_id_t flow_table_id(const struct flow_table *table, const struct flow *flow)
{
	return (uint64_t)flow->generation << 32 | (uint64_t)(flow - table->flows);
}

static inline uint8_t *flow_table_syn(const struct flow_table *table, const struct flow *flow)
{
	return table->syns[flow - table->flows];
}

/* NULL if there is none. */
static inline struct flow *flow_table_oldest(const struct flow_table *table, enum flow_state state)
{
	uint32_t slot = table->lists[state].first;

	return slot ? &table->flows[slot] : NULL;
}

static inline uint32_t flow_table_count(const struct flow_table *table)
{
	return table->fresh_slot - table->lists[FLOW_STATE_FREE].count;
}

#endif /* FLOW_TABLE_H */
