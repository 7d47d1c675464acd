/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/forward.h - asks a nameserver one wire-format message: UDP, TCP when truncated
 *
 * Used by the manager (its pod's nameserver answers the DoH queries) and by the resolver (original
 * nameservers). The message id on the wire is random and its own; the answer carries the caller's.
 * Retries once after 2 s, gives up after LIMIT_DNS_TIMEOUT_MS. At most LIMIT_DNS_INFLIGHT at a
 * time.
 */
#ifndef DNS_FORWARD_H
#define DNS_FORWARD_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct dns_forward;
struct dns_forwarder;
struct err;

/* r 0 and the answer, or -errno (-ETIMEDOUT, -ECONNREFUSED). */
typedef void (*dns_forward_fn)(void *user, int r, const uint8_t *msg, size_t len);

struct dns_forwarder_config {
	const struct ip_endpoint *servers; /* tried in order; copied */
	unsigned int server_count;
	/* NULL: socket(2). Else as dns_events.upstream_socket. */
	int (*socket)(void *user, int family, int type);
	void *user;
	/* Hand on a truncated UDP answer as it is: the asking side repeats its query by TCP. */
	bool pass_truncated;
};

NODISCARD int dns_forwarder_new(uv_loop_t *loop, const struct dns_forwarder_config *config,
	struct dns_forwarder **ret_forwarder, struct err *err);
/* Others from the next message on; 1 to 16. Copied. */
void dns_forwarder_set_servers(struct dns_forwarder *forwarder, const struct ip_endpoint *servers,
	unsigned int server_count);
void dns_forwarder_free(struct dns_forwarder *forwarder); /* cancels all; no callback follows */
/*
 * Never calls back from within. ret_forward may be NULL and is dead once called back. prefer_tcp:
 * the client came by TCP. -ENOBUFS: too many in flight.
 */
NODISCARD int dns_forward(struct dns_forwarder *forwarder, const uint8_t *msg, size_t len,
	bool prefer_tcp, dns_forward_fn on_done, void *user, struct dns_forward **ret_forward);
void dns_forward_cancel(struct dns_forward *forward);

#endif /* DNS_FORWARD_H */
