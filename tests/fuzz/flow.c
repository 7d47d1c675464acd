/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: flow */
/*
 * A sequence of packets through a whole engine whose TUN is a socket pair. The input is a list of
 * (what, length, bytes): what & 3 is the verdict that the next tcp_open gets, 3 none; what & 4
 * turns the last packet that the engine wrote around (as if our listener had answered) before
 * `bytes`.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "core/wire.h"
#include "flow/flow.h"

#define HEADER 10 /* virtio_net_hdr */

struct fuzz {
	struct flow_engine *engine;
	uint8_t verdict;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_open(
	void *user, flow_id_t id, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct fuzz *fuzz = user;

	if (src->addr.family != dst->addr.family)
		abort();
	if (fuzz->verdict < 3)
		flow_tcp_answer(fuzz->engine, id, (enum flow_verdict)fuzz->verdict);
}

static void on_cancelled(void *user, flow_id_t id)
{
	struct fuzz *fuzz = user;

	flow_tcp_answer(fuzz->engine, id, FLOW_OPENED);
}

static void on_established(void *user, flow_id_t id, int fd)
{
	(void)user;
	(void)id;
	close(fd);
}

static void on_udp(void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst,
	const uint8_t *data, size_t len)
{
	struct fuzz *fuzz = user;

	if (len > 0 && data[0] == 0xff)
		flow_udp_refuse(fuzz->engine, src, dst);
	else
		flow_udp_send(fuzz->engine, dst, src, data, len);
}

static void on_echo(void *user, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t ident, uint16_t sequence, const uint8_t *data, size_t len)
{
	struct fuzz *fuzz = user;

	flow_icmp_reply(fuzz->engine, dst, src, ident, sequence, data, len);
}

static void on_unreachable(void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct fuzz *fuzz = user;

	flow_udp_send(fuzz->engine, dst, src, "x", 1);
}

/* Nothing that comes after it would be looked at, in this input and all others. */
static void on_lost(void *user, int error)
{
	(void)user;
	(void)error;
	abort();
}

static const struct flow_events events = {
	.tcp_open = on_open,
	.tcp_cancelled = on_cancelled,
	.tcp_established = on_established,
	.udp_received = on_udp,
	.icmp_echo = on_echo,
	.udp_unreachable = on_unreachable,
	.tun_lost = on_lost,
};

/* Swaps addresses and ports of the IPv4 packet at `ip`. */
static void turn_around(uint8_t *ip, size_t len)
{
	uint8_t kept[4];

	if (len < 24)
		return;
	memcpy(kept, ip + 12, 4);
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, kept, 4);
	memcpy(kept, ip + 20, 2);
	memcpy(ip + 20, ip + 22, 2);
	memcpy(ip + 22, kept, 2);
}

static void run_packets(uv_loop_t *loop, struct fuzz *fuzz, int tun, struct wire *wire)
{
	static uint8_t packet[70000], written[70000];
	ssize_t last = 0, n;

	for (unsigned int i = 0; i < 16 && wire_left(wire) > 0; i++) {
		uint8_t what = wire_get_u8(wire);
		size_t len = wire_get_u8(wire);

		fuzz->verdict = what & 3;
		if (what & 4 && last > HEADER) {
			turn_around(written + HEADER, (size_t)last - HEADER);
			(void)!send(tun, written, (size_t)last, MSG_DONTWAIT);
		}
		len = len < wire_left(wire) ? len : wire_left(wire);
		wire_get(wire, packet, len);
		/* A packet of no bytes would be the device's end. */
		if (len > 0)
			(void)!send(tun, packet, len, MSG_DONTWAIT);
		uv_run(loop, UV_RUN_NOWAIT);
		while ((n = recv(tun, written, sizeof(written), MSG_DONTWAIT)) > 0)
			last = n;
	}
}

static void start(uv_loop_t *loop, struct fuzz *fuzz, int *ret_tun)
{
	struct flow_config config = {.tun_fd = -1, .shortcut_fd = -1};
	int pair[2];

	if (ip_addr_parse("127.0.0.1", &config.local4) ||
		ip_addr_parse("127.0.0.2", &config.peer4) ||
		ip_addr_parse("fd00:5::1", &config.local6) ||
		ip_addr_parse("fd00:5::2", &config.peer6) || uv_loop_init(loop) ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	config.tun_fd = pair[0];
	if (flow_engine_new(loop, &config, &events, fuzz, &fuzz->engine, NULL) < 0)
		abort();
	*ret_tun = pair[1];
}

/* One engine for all inputs: making its tables costs 10 ms under ASan. Flows of earlier inputs are
 * therefore known to later ones, as in the laptop's daemon. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	static uv_loop_t loop;
	static int tun;
	struct wire wire = wire_reader(data, size);

	if (!fuzz.engine)
		start(&loop, &fuzz, &tun);
	run_packets(&loop, &fuzz, tun, &wire);
	return 0;
}
