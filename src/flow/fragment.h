/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow/fragment.h - datagrams of applications that the kernel sent in pieces, made whole again
 *
 * A datagram above the TUN's MTU reaches it as IP fragments. Bounded in datagrams, bytes and time
 * (core/limits.h); the oldest gives way. A piece that overlaps another one with other bytes, or
 * contradicts the datagram's end, spoils the whole datagram, and what follows of it is dropped too
 * (RFC 5722; RFC 8900 for IPv4). Pure but for memory: no clock, no packets out.
 */
#ifndef FLOW_FRAGMENT_H
#define FLOW_FRAGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

struct flow_fragment_entry;
struct packet_fragment;

struct flow_fragments {
	struct flow_fragment_entry *entries; /* owns; NULL until the first piece */
	size_t count;
	uint8_t *whole; /* owns: the last datagram handed out */
	uint64_t dropped; /* pieces that never became part of a datagram */
};

void flow_fragments_done(struct flow_fragments *fragments);
/* Takes a piece. When it was the last one missing: the whole IP packet, borrowed until the next
 * call; else NULL. */
uint8_t *flow_fragments_add(struct flow_fragments *fragments, const struct packet_fragment *piece,
	uint64_t now_ms, size_t *ret_len);
/* Drops what has waited too long. True while something waits. */
bool flow_fragments_expire(struct flow_fragments *fragments, uint64_t now_ms);

#endif /* FLOW_FRAGMENT_H */
