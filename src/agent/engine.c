/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine_priv.h"
#include "agent/tcp_flow.h"
#include "agent/tcp_listener.h"
#include "agent/udp.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "netfilter/nft.h"

/* Connections that the former rules redirected are accepted by then, if they ever are: a SYN is
 * sent again after 1 s (RFC 6298 2). */
#define LINGER_MS 2000

const struct engine_port *engine_find_port(
	const struct engine *engine, uint16_t port, uint8_t protocol)
{
	for (size_t i = 0; i < engine->config.port_count; i++) {
		const struct engine_port *one = &engine->config.ports[i];

		if (one->port == port && one->protocol == protocol)
			return one;
	}
	return NULL;
}

bool engine_is_node(const struct engine *engine, const struct ip_addr *addr)
{
	for (size_t i = 0; i < engine->config.node_count; i++) {
		if (ip_addr_equal(&engine->config.nodes[i], addr))
			return true;
	}
	return false;
}

bool engine_take_expected(
	struct engine *engine, const struct ip_endpoint *source, uint16_t port, uint8_t protocol)
{
	for (size_t i = 0; i < ENGINE_EXPECTS; i++) {
		struct engine_expect *expect = &engine->expects[i];
		uint32_t id = expect->id;

		if (expect->protocol != protocol || expect->port != port ||
			expect->source.port != source->port ||
			!ip_addr_equal(&expect->source.addr, &source->addr) ||
			uv_now(engine->loop) > expect->until_ms)
			continue;
		*expect = (struct engine_expect){.protocol = 0};
		engine->events.on_captured(engine->user, id);
		return true;
	}
	return false;
}

void engine_expect(struct engine *engine, uint32_t probe_id, const struct ip_endpoint *source,
	uint16_t port, uint8_t protocol)
{
	struct engine_expect *oldest = &engine->expects[0];

	for (size_t i = 0; i < ENGINE_EXPECTS; i++) {
		struct engine_expect *expect = &engine->expects[i];

		/* The manager may use a port again: then the newer announcement holds. */
		if (expect->protocol == protocol && expect->port == port &&
			expect->source.port == source->port &&
			ip_addr_equal(&expect->source.addr, &source->addr)) {
			oldest = expect;
			break;
		}
		if (expect->until_ms < oldest->until_ms)
			oldest = expect;
	}
	*oldest = (struct engine_expect){.id = probe_id,
		.source = *source,
		.port = port,
		.protocol = protocol,
		.until_ms = uv_now(engine->loop) + ENGINE_EXPECT_MS};
}

static struct engine_count *count_of(const struct engine *engine, const char *intercept)
{
	struct engine_count *count = NULL;

	HASH_FIND_STR(engine->counts, intercept, count);
	return count;
}

void engine_count_connection(struct engine *engine, const char *intercept)
{
	struct engine_count *count = count_of(engine, intercept);

	if (!count)
		return;
	count->counts.connections++;
	engine->events.on_count(engine->user, intercept);
}

void engine_count_fallback(struct engine *engine, const char *intercept, enum reason reason)
{
	struct engine_count *count = count_of(engine, intercept);

	if (!count || reason >= REASON_COUNT)
		return;
	count->counts.fallbacks[reason]++;
	engine->events.on_count(engine->user, intercept);
}

bool engine_counts(
	const struct engine *engine, const char *intercept, struct engine_counts *ret_counts)
{
	const struct engine_count *count = count_of(engine, intercept);

	if (count)
		*ret_counts = count->counts;
	return count != NULL;
}

static bool is_configured(const struct engine *engine, const char *intercept)
{
	for (size_t i = 0; i < engine->config.port_count; i++) {
		if (strcmp(engine->config.ports[i].intercept, intercept) == 0)
			return true;
	}
	return false;
}

/* A count for each configured intercept; those of ended ones have been told. */
static void update_counts(struct engine *engine)
{
	struct engine_count *count, *next;

	HASH_ITER (hh, engine->counts, count, next) {
		if (is_configured(engine, count->intercept))
			continue;
		/* The analyzer takes uthash's list for a freed element's.
		 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		HASH_DEL(engine->counts, count);
		free(count);
	}
	for (size_t i = 0; i < engine->config.port_count; i++) {
		const char *intercept = engine->config.ports[i].intercept;

		if (count_of(engine, intercept))
			continue;
		count = XNEW(struct engine_count);
		(void)snprintf(count->intercept, sizeof(count->intercept), "%s", intercept);
		HASH_ADD_STR(engine->counts, intercept, count);
	}
}

static void on_accept(
	void *user, int fd, const struct ip_endpoint *source, const struct ip_endpoint *target)
{
	tcp_flow_start(user, fd, source, target);
}

static void on_linger_over(uv_timer_t *timer)
{
	struct engine *engine = container_of(timer, struct engine, linger);

	tcp_listener_close(TAKE_PTR(engine->listener));
}

static bool has_protocol(const struct engine_config *config, uint8_t protocol)
{
	for (size_t i = 0; i < config->port_count; i++) {
		if (config->ports[i].protocol == protocol)
			return true;
	}
	return false;
}

/* The sockets that a configuration needs and the engine has not got yet. */
struct sockets {
	struct tcp_listener *listener;
	struct udp_port *udp[INTERCEPT_PORTS]; /* by place in the new configuration */
	bool is_new[INTERCEPT_PORTS], new_listener;
};

static void close_new(struct sockets *sockets, size_t count)
{
	if (sockets->new_listener)
		tcp_listener_close(sockets->listener);
	for (size_t i = 0; i < count; i++) {
		if (sockets->is_new[i])
			udp_port_close(sockets->udp[i]);
	}
}

static struct udp_port *find_udp(const struct engine *engine, uint16_t port)
{
	for (size_t i = 0; i < engine->config.port_count; i++) {
		if (engine->udp[i] && engine->config.ports[i].port == port)
			return engine->udp[i];
	}
	return NULL;
}

static int open_sockets(struct engine *engine, const struct engine_config *config,
	struct sockets *sockets, struct err *err)
{
	int r = 0;

	*sockets = (struct sockets){.listener = engine->listener};
	if (!sockets->listener && has_protocol(config, IPPROTO_TCP)) {
		r = tcp_listener_open(engine->loop, on_accept, engine, &sockets->listener, err);
		sockets->new_listener = r == 0;
	}
	for (size_t i = 0; i < config->port_count && r == 0; i++) {
		if (config->ports[i].protocol != IPPROTO_UDP)
			continue;
		sockets->udp[i] = find_udp(engine, config->ports[i].port);
		if (sockets->udp[i])
			continue;
		r = udp_port_open(engine, config->ports[i].port, &sockets->udp[i], err);
		sockets->is_new[i] = r == 0;
	}
	if (r < 0)
		close_new(sockets, config->port_count);
	return r;
}

static void fill_want(const struct engine_config *config, const struct sockets *sockets,
	struct intercept_want *want)
{
	*want = (struct intercept_want){.port_count = config->port_count};
	for (size_t i = 0; i < config->port_count; i++) {
		const struct engine_port *port = &config->ports[i];
		bool tcp = port->protocol == IPPROTO_TCP;

		want->ports[i] = (struct intercept_port){
			.port = port->port,
			.protocol = port->protocol,
			.listener = tcp ? tcp_listener_port(sockets->listener)
					: udp_port_listener(sockets->udp[i]),
			/* What gRPC's client says first does not name it (RFC 9113 3.4). */
			.tcp_probe = tcp && (port->probe == ENGINE_PROBE_TCP ||
						    port->probe == ENGINE_PROBE_GRPC),
		};
	}
	want->node_count = config->node_count;
	memcpy(want->nodes, config->nodes, sizeof(want->nodes));
}

/* The rules are as the new configuration says: what only the old one needed is closed. */
static void adopt(
	struct engine *engine, const struct engine_config *config, struct sockets *sockets)
{
	for (size_t i = 0; i < engine->config.port_count; i++) {
		bool kept = false;

		for (size_t j = 0; j < config->port_count; j++)
			kept = kept || sockets->udp[j] == engine->udp[i];
		if (engine->udp[i] && !kept)
			udp_port_close(engine->udp[i]);
	}
	memcpy(engine->udp, sockets->udp, sizeof(engine->udp));
	engine->listener = sockets->listener;
	engine->config = *config;
	if (has_protocol(config, IPPROTO_TCP))
		(void)uv_timer_stop(&engine->linger);
	else if (engine->listener && !uv_is_active((uv_handle_t *)&engine->linger))
		(void)uv_timer_start(&engine->linger, on_linger_over, LINGER_MS, 0);
	update_counts(engine);
}

int engine_configure(struct engine *engine, const struct engine_config *config, struct err *err)
{
	struct sockets sockets;
	struct intercept_want want;
	int r;

	if (config->port_count > INTERCEPT_PORTS || config->node_count > INTERCEPT_NODES)
		return err_set(err, -E2BIG, ERR_INTERNAL, "%zu ports, %zu node addresses",
			config->port_count, config->node_count);
	r = open_sockets(engine, config, &sockets, err);
	if (r < 0)
		return r;
	fill_want(config, &sockets, &want);
	r = intercept_rules_set(engine->rules, &want, err);
	if (r < 0) {
		close_new(&sockets, config->port_count);
		return r;
	}
	adopt(engine, config, &sockets);
	return 0;
}

void engine_set_link(struct engine *engine, struct h2_session *h2)
{
	engine->h2 = h2;
}

size_t engine_flow_count(const struct engine *engine)
{
	return engine->flow_count;
}

int engine_new(uv_loop_t *loop, const struct engine_events *events, void *user,
	struct engine **ret_engine, struct err *err)
{
	struct nft *nft;
	struct engine *engine;
	int r = nft_open(&nft, err);

	if (r < 0)
		return r;
	engine = XNEW(struct engine);
	engine->loop = loop;
	engine->events = *events;
	engine->user = user;
	engine->nft = nft;
	engine->rules = intercept_rules_new(nft);
	LIST_INIT(&engine->flows);
	(void)uv_timer_init(loop, &engine->linger);
	*ret_engine = engine;
	return 0;
}

void engine_free_if_done(struct engine *engine)
{
	if (engine->closing && engine->flow_count == 0)
		free(engine);
}

static void on_linger_closed(uv_handle_t *handle)
{
	struct engine *engine = container_of(handle, struct engine, linger);

	engine->flow_count--;
	engine_free_if_done(engine);
}

void engine_free(struct engine *engine)
{
	struct engine_count *count, *next_count;

	if (!engine)
		return;
	/* The socket owns the table. */
	nft_free(engine->nft);
	intercept_rules_free(engine->rules);
	tcp_listener_close(engine->listener);
	for (size_t i = 0; i < engine->config.port_count; i++) {
		if (engine->udp[i])
			udp_port_close(engine->udp[i]);
	}
	engine->h2 = NULL;
	/* One more flow than there are, until the timer is closed. */
	engine->flow_count++;
	for (struct tcp_flow *flow = LIST_FIRST(&engine->flows), *next; flow; flow = next) {
		next = tcp_flow_next(flow);
		tcp_flow_abort(flow);
	}
	HASH_ITER (hh, engine->counts, count, next_count) {
		/* The analyzer takes uthash's list for a freed element's.
		 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		HASH_DEL(engine->counts, count);
		free(count);
	}
	engine->closing = true;
	uv_close((uv_handle_t *)&engine->linger, on_linger_closed);
}
