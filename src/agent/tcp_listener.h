/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/tcp_listener.h - where the redirect delivers: one port of 127.0.0.1 and ::1
 *
 * The sockets are transparent (IP_TRANSPARENT), so an accepted connection keeps the address that
 * was meant as its local one. A connection to the listener itself comes from this pod without
 * having been redirected: it is reset without a byte.
 */
#ifndef AGENT_TCP_LISTENER_H
#define AGENT_TCP_LISTENER_H

#include <stdint.h>
#include <uv.h>

#include "core/attr.h"

struct err;
struct ip_endpoint;
struct tcp_listener;

/* Takes the fd. source: who connects; target: what was meant. */
typedef void (*tcp_accept_fn)(
	void *user, int fd, const struct ip_endpoint *source, const struct ip_endpoint *target);

NODISCARD int tcp_listener_open(uv_loop_t *loop, tcp_accept_fn on_accept, void *user,
	struct tcp_listener **ret_listener, struct err *err);
uint16_t tcp_listener_port(const struct tcp_listener *listener);
void tcp_listener_close(struct tcp_listener *listener); /* NULL-safe; no callback follows */

#endif /* AGENT_TCP_LISTENER_H */
