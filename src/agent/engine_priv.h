/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/engine_priv.h - what the engine's files share
 *
 * The engine owns the rules, the listeners, the flows and the counts. After engine_free() it lives
 * until the last flow and the listener are over.
 */
#ifndef AGENT_ENGINE_PRIV_H
#define AGENT_ENGINE_PRIV_H

#include <stdbool.h>
#include <sys/queue.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/engine.h"

#define ENGINE_EXPECTS 64

struct nft;
struct tcp_flow;
struct udp_port;

struct engine_count {
	char intercept[ENGINE_UID_BYTES];
	struct engine_counts counts;
	UT_hash_handle hh;
};

struct engine_expect {
	uint32_t id;
	struct ip_endpoint source;
	uint16_t port;
	uint8_t protocol; /* 0: free */
	uint64_t until_ms; /* uv_now() */
};

struct tcp_listener;

LIST_HEAD(tcp_flow_list, tcp_flow);

struct engine {
	uv_loop_t *loop;
	struct engine_events events;
	void *user;
	struct nft *nft;
	struct intercept_rules *rules;
	struct engine_config config;
	struct tcp_listener *listener; /* NULL while no TCP port is configured */
	uv_timer_t linger; /* until the listener of no port is closed */
	struct udp_port *udp[INTERCEPT_PORTS]; /* by place in config.ports; NULL for TCP */
	struct h2_session *h2; /* NULL: no manager */
	struct engine_count *counts;
	struct engine_expect expects[ENGINE_EXPECTS];
	struct tcp_flow_list flows;
	size_t flow_count;
	bool closing; /* engine_free() was called */
};

/* The configured port, or NULL. */
const struct engine_port *engine_find_port(
	const struct engine *engine, uint16_t port, uint8_t protocol);
/* Whether this is an announced probe: then it has been told. */
bool engine_take_expected(
	struct engine *engine, const struct ip_endpoint *source, uint16_t port, uint8_t protocol);
void engine_free_if_done(struct engine *engine);
bool engine_is_node(const struct engine *engine, const struct ip_addr *addr);
void engine_count_connection(struct engine *engine, const char *intercept);
void engine_count_fallback(struct engine *engine, const char *intercept, enum reason reason);

#endif /* AGENT_ENGINE_PRIV_H */
