/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/udp_app.h - one source's datagrams with the app, by a marked socket
 *
 * The app's ICMP errors are silence: it may listen a moment later.
 */
#ifndef AGENT_UDP_APP_H
#define AGENT_UDP_APP_H

#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct udp_app;

/* `on_answer` has each datagram of the app. 0 or -errno. */
NODISCARD int udp_app_open(uv_loop_t *loop, const struct ip_endpoint *target,
	void (*on_answer)(void *user, const uint8_t *payload, size_t len), void *user,
	struct udp_app **ret_app);
void udp_app_send(struct udp_app *app, const uint8_t *payload, size_t len);
void udp_app_close(struct udp_app *app); /* memory deferred; NULL-safe */

#endif /* AGENT_UDP_APP_H */
