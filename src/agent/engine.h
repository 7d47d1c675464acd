/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/engine.h - intercepted connections of this pod: rules, listeners, and who gets each one
 *
 * docs/agent.md, sections 4 and 5. The engine owns the nftables table and the listeners, which
 * exist only while something is configured. Each new connection is offered to the laptop over the
 * manager's link; what the laptop does not take goes to the app. Loop thread only. Privilege:
 * CAP_NET_ADMIN (rules, IP_TRANSPARENT, SO_MARK).
 */
#ifndef AGENT_ENGINE_H
#define AGENT_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"
#include "netfilter/intercept_rules.h"
#include "tunnel/reason.h"

#define ENGINE_UID_BYTES 64
/* From accept to the laptop's answer; then the app gets the connection. */
#define ENGINE_ASK_MS 800
/* An announced probe is forgotten after this. */
#define ENGINE_EXPECT_MS 5000

struct engine;
struct err;
struct h2_session;

enum engine_probe { ENGINE_PROBE_NONE, ENGINE_PROBE_TCP, ENGINE_PROBE_HTTP, ENGINE_PROBE_GRPC };

struct engine_port {
	char intercept[ENGINE_UID_BYTES]; /* UID of the Intercept that it belongs to */
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	enum engine_probe probe;
	bool close_on_refuse;
};

struct engine_config {
	struct engine_port ports[INTERCEPT_PORTS];
	size_t port_count;
	struct ip_addr nodes[INTERCEPT_NODES];
	size_t node_count;
};

struct engine_counts {
	uint64_t connections; /* offered to the laptop */
	uint64_t fallbacks[REASON_COUNT]; /* went to the app (or were closed), by reason */
};

struct engine_events {
	void (*on_captured)(void *user, uint32_t probe_id);
	/* Something of this intercept was counted. */
	void (*on_count)(void *user, const char *intercept);
};

NODISCARD int engine_new(uv_loop_t *loop, const struct engine_events *events, void *user,
	struct engine **ret_engine, struct err *err);
/* Whole each time; ports that are in both configurations are not interrupted, flows of ports that
 * are gone go on to their end. On failure the former configuration holds; -EBUSY: another agent has
 * the rules. */
NODISCARD int engine_configure(
	struct engine *engine, const struct engine_config *config, struct err *err);
/* The session to ask on; NULL: the manager is gone, every new connection goes to the app at once.
 */
void engine_set_link(struct engine *engine, struct h2_session *h2);
/* One connection or datagram from this source is a probe: on_captured, and nobody else sees it. */
void engine_expect(struct engine *engine, uint32_t probe_id, const struct ip_endpoint *source,
	uint16_t port, uint8_t protocol);
/* False for an intercept that was never configured. */
bool engine_counts(
	const struct engine *engine, const char *intercept, struct engine_counts *ret_counts);
size_t engine_flow_count(const struct engine *engine); /* open intercepted or bypassed flows */
void engine_free(struct engine *engine); /* NULL-safe; deferred */

#endif /* AGENT_ENGINE_H */
