/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/flow/rig.h - a flow engine whose "TUN" is a socket pair in the test's hands
 *
 * The listener is a real one on 127.0.0.1, its peer 127.0.0.2, so that a test can connect to it as
 * the kernel would after a handshake through the TUN.
 */
#ifndef TESTS_UNIT_FLOW_RIG_H
#define TESTS_UNIT_FLOW_RIG_H

#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/err.h"
#include "flow/flow.h"
#include "net/packet.h"

struct rig {
	uv_loop_t loop;
	struct flow_engine *engine;
	int tun; /* the test's end */
	bool free_in_callback, answer_in_callback;
	unsigned int opens, cancels, established, lost;
	flow_id_t id;
	struct ip_endpoint src, dst;
	int fd; /* of the last established */
	/* The last packet from the engine. */
	struct virtio_net_hdr vnet;
	uint8_t packet[70000];
	struct packet_view view;
};

static inline struct ip_endpoint rig_endpoint(const char *addr, uint16_t port)
{
	struct ip_endpoint ep = {.port = port};

	assert_int_equal(ip_addr_parse(addr, &ep.addr), 0);
	return ep;
}

static inline void rig_on_open(
	void *user, flow_id_t id, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct rig *rig = user;

	rig->opens++;
	rig->id = id;
	rig->src = *src;
	rig->dst = *dst;
	if (rig->answer_in_callback)
		flow_tcp_answer(rig->engine, id, FLOW_OPENED);
	if (rig->free_in_callback)
		flow_engine_free(rig->engine);
}

static inline void rig_on_cancelled(void *user, flow_id_t id)
{
	struct rig *rig = user;

	rig->cancels++;
	rig->id = id;
	if (rig->free_in_callback)
		flow_engine_free(rig->engine);
}

static inline void rig_on_established(void *user, flow_id_t id, int fd)
{
	struct rig *rig = user;

	rig->established++;
	rig->id = id;
	rig->fd = fd;
}

static inline void rig_on_lost(void *user, int error)
{
	struct rig *rig = user;

	assert_true(error < 0);
	rig->lost++;
}

/* Other events may have been set in `events` by the caller. */
static inline void rig_start(struct rig *rig, struct flow_events events)
{
	struct flow_config config = {.shortcut_fd = -1,
		.local4 = rig_endpoint("127.0.0.1", 0).addr,
		.peer4 = rig_endpoint("127.0.0.2", 0).addr,
		.local6 = rig_endpoint("fd00:5::1", 0).addr,
		.peer6 = rig_endpoint("fd00:5::2", 0).addr};
	struct err err = ERR_INIT;
	int pair[2], bytes = 1024 * 1024;

	memset(rig, 0, sizeof(*rig));
	rig->fd = -1;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	for (unsigned int i = 0; i < 2; i++)
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	config.tun_fd = pair[0];
	rig->tun = pair[1];
	events.tcp_open = rig_on_open;
	events.tcp_cancelled = rig_on_cancelled;
	events.tcp_established = rig_on_established;
	events.tun_lost = rig_on_lost;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	assert_int_equal(flow_engine_new(&rig->loop, &config, &events, rig, &rig->engine, &err), 0);
}

static inline void rig_stop(struct rig *rig)
{
	if (!rig->free_in_callback)
		flow_engine_free(rig->engine);
	if (rig->fd >= 0)
		close(rig->fd);
	close(rig->tun);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
}

#endif /* TESTS_UNIT_FLOW_RIG_H */
