/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/flow/pair.h - one application, one target, and the flow between them in a rig
 */
#ifndef TESTS_UNIT_FLOW_PAIR_H
#define TESTS_UNIT_FLOW_PAIR_H

#include "segment.h"

#define APP    "10.9.0.1"
#define TARGET "10.244.0.2"
#define LOCAL  "127.0.0.1"
#define PEER   "127.0.0.2"

/* The flow between one application port and the target; IPv6 as well. */
struct pair {
	const char *app, *target, *local, *peer;
};

static const struct pair pairs[] = {
	{APP, TARGET, LOCAL, PEER},
	{"fd00:9::1", "fd00:244::2", "fd00:5::1", "fd00:5::2"},
};

static inline struct segment from_app(const struct pair *pair, uint8_t flags, uint32_t seq)
{
	return (struct segment){.src = pair->app,
		.dst = pair->target,
		.src_port = 40000,
		.dst_port = 80,
		.flags = flags,
		.seq = seq};
}

/* What the listener would answer to the last packet that it got. */
static inline struct segment from_listener(
	const struct rig *rig, const struct pair *pair, uint8_t flags)
{
	return (struct segment){.src = pair->local,
		.dst = pair->peer,
		.src_port = packet_dst_port(&rig->view),
		.dst_port = packet_src_port(&rig->view),
		.flags = flags};
}

/* Opens a flow and leaves the SYN that the listener gets in rig->view. */
static inline void open_flow(struct rig *rig, const struct pair *pair, uint32_t isn)
{
	struct segment syn = from_app(pair, PACKET_SYN, isn);

	rig_send_segment(rig, &syn);
	flow_tcp_answer(rig->engine, rig->id, FLOW_OPENED);
	assert_true(rig_receive(rig));
}

/* Connects to the listener as the flow's NAT port would; the client's fd. */
static inline int connect_flow(const struct rig *rig)
{
	struct ip_endpoint from = rig_endpoint(PEER, packet_src_port(&rig->view));
	struct ip_endpoint to = rig_endpoint(LOCAL, packet_dst_port(&rig->view));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&from, &sa);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = ip_endpoint_to_sockaddr(&to, &sa);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

/* The same, and has it accepted. */
static inline int accept_flow(struct rig *rig)
{
	int fd = connect_flow(rig);

	rig_run(rig);
	return fd;
}

#endif /* TESTS_UNIT_FLOW_PAIR_H */
