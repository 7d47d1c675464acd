/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/dial.h - TCP flows of the laptop become CONNECT streams of the tunnel
 *
 * dialer_open() asks the manager; its answer goes to the flow (flow_tcp_answer), and the socket of
 * dialer_established() is relayed. Without a tunnel an open stays silent, so that the
 * application's kernel asks again.
 * Threading: loop thread only. Free the dialer before the engine.
 */
#ifndef CLIENT_USERD_DIAL_H
#define CLIENT_USERD_DIAL_H

#include <uv.h>

#include "core/attr.h"
#include "flow/flow.h"
#include "net/addr.h"
#include "tunnel/reason.h"

struct dialer;
struct flow_engine;
struct h2_head;
struct uplink;

struct dial_counters {
	uint64_t opened, failed, active;
	uint64_t bytes_out, bytes_in; /* to the cluster, from it; of ended connections */
};

/* What a flow is told when its stream was refused for this reason; one that is none stays silent.
 */
enum flow_verdict dial_verdict(const struct h2_head *head);
enum flow_verdict dial_verdict_of(enum reason reason);

struct dialer *dialer_new(uv_loop_t *loop, const struct uplink *uplink);
/* The engine that answers go to; set before the first open. */
void dialer_set_engine(struct dialer *dialer, struct flow_engine *engine);
void dialer_free(struct dialer *dialer); /* resets every connection; NULL-safe */
const struct dial_counters *dialer_counters(const struct dialer *dialer);

void dialer_open(struct dialer *dialer, flow_id_t id, const struct ip_endpoint *dst);
void dialer_cancelled(struct dialer *dialer, flow_id_t id);
void dialer_established(struct dialer *dialer, flow_id_t id, int fd);

#endif /* CLIENT_USERD_DIAL_H */
