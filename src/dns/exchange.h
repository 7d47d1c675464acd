/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/exchange.h - one message to one server over one socket of its own
 *
 * A new socket is a new random port, and the id on the wire is random too: an answer from elsewhere
 * would have to guess 32 bits. The exchange frees itself: after its callback, or once cancelled.
 * It has no time limit; its owner cancels it.
 */
#ifndef DNS_EXCHANGE_H
#define DNS_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct dns_exchange;

/* r 0 and the answer with the message's own id, or -errno. The exchange is dead when it returns. */
typedef void (*dns_exchange_fn)(
	void *user, struct dns_exchange *exchange, int r, const uint8_t *msg, size_t len);

/* Takes fd (a non-connected socket of this kind) whether it succeeds or not; copies msg. */
NODISCARD int dns_exchange_start(uv_loop_t *loop, int fd, bool tcp,
	const struct ip_endpoint *server, const uint8_t *msg, size_t len, dns_exchange_fn on_done,
	void *user, struct dns_exchange **ret_exchange);
bool dns_exchange_is_tcp(const struct dns_exchange *exchange);
void dns_exchange_cancel(struct dns_exchange *exchange);

#endif /* DNS_EXCHANGE_H */
