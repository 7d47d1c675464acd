/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/engine.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "flow/reply.h"
#include "net/checksum.h"

#define VNET_BYTES sizeof(struct virtio_net_hdr)
/* Puts the IP header, which follows the 10 bytes of virtio_net_hdr, on a multiple of 16. */
#define BUFFER_SKEW  (16 - VNET_BYTES)
#define BUFFER_BYTES (VNET_BYTES + LIMIT_TUN_PACKET_BYTES)
#define TICK_MS      2000
/* Bytes read per wake-up. A download's go into the device when they are written to its socket and
 * come out of it here: with no more than what carriers bring in a turn of the loop they would queue
 * in the device, and every small packet behind them. */
#define WAKE_BYTES (2 * LIMIT_PUMP_BYTES)

void flow_engine_write(struct flow_engine *engine, const struct virtio_net_hdr *vnet,
	const void *head, size_t head_len, const void *data, size_t data_len)
{
	/* writev() does not write to them; struct iovec has no const. */
	struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)vnet, .iov_len = VNET_BYTES},
		{.iov_base = (void *)(uintptr_t)head, .iov_len = head_len},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = data_len},
	};
	ssize_t n;

	if (flow_engine_closed(engine))
		return;
	do {
		n = writev(engine->tun_fd, iov, data_len > 0 ? 3 : 2);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		engine->counters.dropped_tun_full++;
	else
		engine->counters.packets_out++;
}

/* Addresses that a routed packet may go to. */
static bool is_unicast(const struct ip_addr *addr)
{
	if (addr->family == AF_INET)
		return addr->bytes[0] != 0 && addr->bytes[0] < 224;
	return addr->bytes[0] != 0xff && !(addr->bytes[0] == 0xfe && addr->bytes[1] >> 6 == 2);
}

/* The checksum's place, when it is to be completed, must be the transport header's own. */
static bool vnet_valid(const struct flow_packet *packet)
{
	size_t offset = packet->view.protocol == IPPROTO_TCP ? PACKET_TCP_CHECK : PACKET_UDP_CHECK;

	if (!(packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	return packet->vnet.csum_start == packet->view.transport &&
	       packet->vnet.csum_offset == offset;
}

/* By protocol; the packet goes to a host, of a family that is set up. */
static void dispatch(struct flow_engine *engine, struct flow_packet *packet)
{
	uint8_t icmp = packet->view.family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;

	if (packet_ttl(&packet->view) <= 1) {
		engine->counters.dropped_ttl++;
		if (!flow_icmp_is_error(&packet->view))
			flow_reply_unreachable(engine, &packet->view, FLOW_UNREACHABLE_TTL);
	} else if (packet->view.protocol == IPPROTO_TCP && vnet_valid(packet)) {
		flow_tcp_input(engine, packet);
	} else if (packet->view.protocol == IPPROTO_TCP) {
		engine->counters.dropped_malformed++;
	} else if (packet->view.protocol == IPPROTO_UDP) {
		flow_udp_input(engine, packet);
	} else if (packet->view.protocol == icmp) {
		flow_icmp_input(engine, packet);
	} else {
		engine->counters.dropped_protocol++;
	}
}

static void route_in(struct flow_engine *engine, struct flow_packet *packet)
{
	struct ip_addr dst = packet_dst(&packet->view);

	if (is_unicast(&dst) && flow_engine_listener(engine, packet->view.family))
		dispatch(engine, packet);
	else
		engine->counters.dropped_protocol++;
}

/* A datagram that was in pieces has its checksum complete: pieces of two are told apart by it
 * (RFC 4963: identifiers of 16 bits come again). IPv4 may leave it out. */
static bool checksum_good(const struct packet_view *view)
{
	struct ip_addr src = packet_src(view), dst = packet_dst(view);
	const uint8_t *at = view->ip + view->transport;
	size_t len = view->len - view->transport;
	uint16_t pseudo = packet_pseudo_sum(&src, &dst, view->protocol, len);

	if (view->protocol != IPPROTO_UDP ||
		(view->family == AF_INET && packet_load16(at + PACKET_UDP_CHECK) == 0))
		return true;
	return checksum_fold(checksum_add(pseudo, at, len)) == 0xffff;
}

static void fragment_in(struct flow_engine *engine, const uint8_t *ip, size_t len)
{
	struct flow_packet packet = {.vnet = {.flags = 0}};
	struct packet_fragment piece;
	uint8_t *whole = NULL;
	size_t whole_len = 0;

	engine->counters.fragments_in++;
	if (packet_parse_fragment(ip, len, &piece)) {
		whole = flow_fragments_add(
			&engine->fragments, &piece, uv_now(engine->loop), &whole_len);
		flow_engine_wake(engine);
	} else {
		engine->fragments.dropped++;
	}
	engine->counters.dropped_fragment = engine->fragments.dropped;
	if (!whole)
		return;
	if (packet_parse(whole, whole_len, &packet.view) != PACKET_OK ||
		!checksum_good(&packet.view)) {
		engine->counters.dropped_malformed++;
		return;
	}
	engine->counters.reassembled++;
	route_in(engine, &packet);
}

static void input(struct flow_engine *engine, uint8_t *data, size_t len)
{
	struct flow_packet packet;
	enum packet_verdict verdict = PACKET_MALFORMED;

	engine->counters.packets_in++;
	if (len > VNET_BYTES) {
		memcpy(&packet.vnet, data, VNET_BYTES);
		verdict = packet_parse(data + VNET_BYTES, len - VNET_BYTES, &packet.view);
	}
	switch (verdict) {
	case PACKET_OK:
		route_in(engine, &packet);
		break;
	case PACKET_FRAGMENT:
		fragment_in(engine, data + VNET_BYTES, len - VNET_BYTES);
		break;
	case PACKET_MALFORMED:
		engine->counters.dropped_malformed++;
		break;
	case PACKET_UNSUPPORTED:
		engine->counters.dropped_protocol++;
		break;
	}
}

static void tun_lost(struct flow_engine *engine, int error)
{
	uv_poll_stop(&engine->tun_poll);
	if (engine->events.tun_lost)
		engine->events.tun_lost(engine->user, error);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct flow_engine *engine = poll->data;
	uint8_t *data = engine->buffer + BUFFER_SKEW;
	size_t bytes = 0;
	ssize_t n;

	(void)events;
	if (status < 0) {
		tun_lost(engine, status);
		return;
	}
	for (unsigned int i = 0; i < LIMIT_TUN_BATCH && bytes < WAKE_BYTES; i++) {
		if (flow_engine_closed(engine))
			return;
		n = read(engine->tun_fd, data, BUFFER_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			tun_lost(engine, n < 0 ? -errno : -EPIPE);
			return;
		}
		bytes += (size_t)n;
		input(engine, data, (size_t)n);
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct flow_engine *engine = timer->data;

	bool waiting = flow_fragments_expire(&engine->fragments, uv_now(engine->loop));

	engine->counters.dropped_fragment = engine->fragments.dropped;
	flow_tcp_expire(engine, uv_now(engine->loop));
	if (!flow_engine_closed(engine) && !waiting && flow_table_count(&engine->table) == 0)
		uv_timer_stop(timer);
}

void flow_engine_wake(struct flow_engine *engine)
{
	if (!uv_is_active((uv_handle_t *)&engine->timer))
		uv_timer_start(&engine->timer, on_tick, TICK_MS, TICK_MS);
}

static void engine_release(struct flow_engine *engine)
{
	flow_table_done(&engine->table);
	flow_fragments_done(&engine->fragments);
	free(engine->buffer);
	free(engine);
}

static void handle_closed(struct flow_engine *engine)
{
	if (--engine->handles == 0)
		engine_release(engine);
}

static void on_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct flow_listener *listener = handle->data;

	handle_closed(listener->engine);
}

static void listener_close(struct flow_listener *listener)
{
	if (listener->poll.loop)
		uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->spare_fd >= 0)
		close(listener->spare_fd);
	listener->fd = listener->spare_fd = -1;
}

void flow_engine_free(struct flow_engine *engine)
{
	if (!engine || flow_engine_closed(engine))
		return;
	for (unsigned int i = 0; i < FLOW_LISTENER_COUNT; i++)
		listener_close(&engine->listeners[i]);
	uv_close((uv_handle_t *)&engine->timer, on_closed);
	if (engine->tun_poll.loop) /* stops polling at once, so the fd may go */
		uv_close((uv_handle_t *)&engine->tun_poll, on_closed);
	close(take_fd(&engine->tun_fd));
	if (engine->shortcut_fd >= 0)
		close(take_fd(&engine->shortcut_fd));
}

const struct flow_counters *flow_engine_counters(const struct flow_engine *engine)
{
	return &engine->counters;
}

static void set_listener(struct flow_engine *engine, enum flow_listener_index index,
	struct ip_addr local, struct ip_addr peer)
{
	engine->listeners[index].engine = engine;
	engine->listeners[index].fd = engine->listeners[index].spare_fd = -1;
	engine->listeners[index].local = local;
	engine->listeners[index].peer = peer;
}

/* The TUN's interface name; "" when the fd is none. */
static void device_name(int fd, char out[static IFNAMSIZ])
{
	struct ifreq ifr = {.ifr_name = ""};

	out[0] = '\0';
	if (ioctl(fd, TUNGETIFF, &ifr) == 0)
		memcpy(out, ifr.ifr_name, IFNAMSIZ);
	out[IFNAMSIZ - 1] = '\0';
}

static int start_tun(struct flow_engine *engine, struct err *err)
{
	int r = uv_poll_init(engine->loop, &engine->tun_poll, engine->tun_fd);

	if (r < 0)
		return err_set_errno(err, r, "watch the TUN device");
	engine->handles++;
	engine->tun_poll.data = engine;
	r = uv_poll_start(&engine->tun_poll, UV_READABLE, on_readable);
	return r < 0 ? err_set_errno(err, r, "watch the TUN device") : 0;
}

static int start(struct flow_engine *engine, struct err *err)
{
	char device[IFNAMSIZ];
	int r;

	device_name(engine->tun_fd, device);
	for (unsigned int i = 0; i < FLOW_LISTENER_COUNT; i++) {
		struct flow_listener *listener = &engine->listeners[i];

		if (listener->local.family == 0)
			continue;
		r = flow_listener_open(listener, device, err);
		if (r == 0)
			r = flow_listener_start(listener, err);
		if (r < 0)
			return r;
	}
	return start_tun(engine, err);
}

int flow_engine_new(uv_loop_t *loop, const struct flow_config *config,
	const struct flow_events *events, void *user, struct flow_engine **ret_engine,
	struct err *err)
{
	struct flow_engine *engine = XNEW(struct flow_engine);
	int r;

	engine->loop = loop;
	engine->tun_fd = config->tun_fd;
	engine->shortcut_fd = config->shortcut_fd;
	engine->events = *events;
	engine->user = user;
	flow_reply_init(engine);
	engine->buffer = xcalloc(1, BUFFER_SKEW + BUFFER_BYTES);
	set_listener(engine, FLOW_LISTENER_IP4, config->local4, config->peer4);
	set_listener(engine, FLOW_LISTENER_IP6, config->local6, config->peer6);
	flow_table_init(&engine->table);
	uv_timer_init(loop, &engine->timer);
	engine->timer.data = engine;
	engine->handles = 1;
	r = start(engine, err);
	if (r < 0) {
		flow_engine_free(engine);
		return r;
	}
	*ret_engine = engine;
	return 0;
}
