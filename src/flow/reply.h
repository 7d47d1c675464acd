/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow/reply.h - packets that say no: RST and ICMP errors, with a bounded rate of the latter
 */
#ifndef FLOW_REPLY_H
#define FLOW_REPLY_H

#include <stdint.h>

#include "flow/flow.h"

struct flow_engine;
struct packet_view;

enum flow_unreachable {
	FLOW_UNREACHABLE_NET,
	FLOW_UNREACHABLE_HOST,
	FLOW_UNREACHABLE_PORT,
	FLOW_UNREACHABLE_PROHIBITED,
	FLOW_UNREACHABLE_TTL, /* time exceeded */
	FLOW_UNREACHABLE_COUNT
};

/* Of a verdict that is told by ICMP. */
enum flow_unreachable flow_unreachable_of(enum flow_verdict verdict);
/* Fills the bucket of ICMP errors. */
void flow_reply_init(struct flow_engine *engine);
/* Answers a TCP segment with RST (RFC 9293 3.5.2); nothing when it is one itself. */
void flow_reply_reset(struct flow_engine *engine, const struct packet_view *view);
/* Sends a RST that is exactly in sequence from our side of a flow to our listener. */
void flow_reply_reset_listener(
	struct flow_engine *engine, uint8_t family, uint16_t nat_port, uint32_t seq);
/* Answers a packet with destination unreachable or time exceeded. */
void flow_reply_unreachable(
	struct flow_engine *engine, const struct packet_view *view, enum flow_unreachable why);

#endif /* FLOW_REPLY_H */
