/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/shortcut.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/shortcut.h"

#define NS_PER_MS 1000000

static int bpf(enum bpf_cmd command, int map_fd, struct shortcut_from *from, struct shortcut_to *to)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uintptr_t)from;
	attr.value = (uintptr_t)to;
	return syscall(SYS_bpf, command, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static void put_ports(uint8_t out[static 4], uint16_t src, uint16_t dst)
{
	packet_store16(out, src);
	packet_store16(out + 2, dst);
}

static void make_key(struct flow_engine *engine, const struct flow *flow, enum direction direction,
	struct shortcut_from *ret_from)
{
	const struct flow_listener *listener = flow_engine_listener(engine, flow->src.addr.family);
	bool to_app = direction == TO_APP;
	const struct ip_addr *src = to_app ? &listener->local : &flow->src.addr;
	const struct ip_addr *dst = to_app ? &listener->peer : &flow->dst.addr;

	memset(ret_from, 0, sizeof(*ret_from));
	memcpy(ret_from->src, src->bytes, ip_addr_len(src));
	memcpy(ret_from->dst, dst->bytes, ip_addr_len(dst));
	ret_from->family = src->family;
	if (to_app)
		put_ports(ret_from->ports, listener->port, flow->nat_port);
	else
		put_ports(ret_from->ports, flow->src.port, flow->dst.port);
}

static void make_entry(struct flow_engine *engine, const struct flow *flow,
	enum direction direction, struct shortcut_to *ret_to)
{
	const struct flow_listener *listener = flow_engine_listener(engine, flow->src.addr.family);
	bool to_app = direction == TO_APP;
	const struct ip_addr *src = to_app ? &flow->dst.addr : &listener->peer;
	const struct ip_addr *dst = to_app ? &flow->src.addr : &listener->local;
	size_t len = ip_addr_len(src);

	memset(ret_to, 0, sizeof(*ret_to));
	memcpy(ret_to->addrs, src->bytes, len);
	memcpy(ret_to->addrs + len, dst->bytes, len);
	ret_to->delta_addrs = to_app ? (uint16_t)~flow->delta_addrs : flow->delta_addrs;
	ret_to->delta_ports = to_app ? (uint16_t)~flow->delta_ports : flow->delta_ports;
	if (to_app)
		put_ports(ret_to->ports, flow->dst.port, flow->src.port);
	else
		put_ports(ret_to->ports, flow->nat_port, listener->port);
}

void flow_shortcut_add(struct flow_engine *engine, struct flow *flow)
{
	struct shortcut_from from;
	struct shortcut_to to;

	for (int i = 0; i < DIRECTIONS && engine->shortcut_fd >= 0; i++) {
		make_key(engine, flow, (enum direction)i, &from);
		make_entry(engine, flow, (enum direction)i, &to);
		flow->shortcut |= bpf(BPF_MAP_UPDATE_ELEM, engine->shortcut_fd, &from, &to) == 0;
	}
	engine->counters.tcp_shortcut += flow->shortcut;
}

/* Of the way to the application: what the listener's side has said last. */
static void note(struct flow *flow, const struct shortcut_to *to)
{
	if (to->packets == 0 || to->seen_ns / NS_PER_MS <= flow->seen_ms)
		return;
	flow->seen_ms = to->seen_ns / NS_PER_MS;
	flow->app_next = (uint32_t)to->ack[0] << 24 | (uint32_t)to->ack[1] << 16 |
			 (uint32_t)to->ack[2] << 8 | to->ack[3];
}

void flow_shortcut_look(struct flow_engine *engine, struct flow *flow)
{
	struct shortcut_from from;
	struct shortcut_to to;

	if (!flow->shortcut)
		return;
	make_key(engine, flow, TO_APP, &from);
	if (bpf(BPF_MAP_LOOKUP_ELEM, engine->shortcut_fd, &from, &to) == 0)
		note(flow, &to);
}

void flow_shortcut_remove(struct flow_engine *engine, struct flow *flow)
{
	struct shortcut_from from;
	struct shortcut_to to;

	if (!flow->shortcut)
		return;
	for (int i = 0; i < DIRECTIONS; i++) {
		make_key(engine, flow, (enum direction)i, &from);
		if (bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, engine->shortcut_fd, &from, &to) < 0)
			continue;
		engine->counters.packets_shortcut += to.packets;
		if (i == TO_APP)
			note(flow, &to);
	}
	flow->shortcut = false;
}
