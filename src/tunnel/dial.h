/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/dial.h - a CONNECT stream becomes a TCP connection of this host
 *
 * In the manager the peer names the target and the policy says whether it may be; on the laptop, at
 * the end of a reversed tunnel, the target is the caller's own choice. The answer is held until
 * connect(2) ended: 200, or the reason why not. Names are resolved in libuv's pool and their
 * addresses tried in order. The whole takes at most LIMIT_DIAL_MS and ends at once when the stream
 * does. Afterwards tunnel/relay.h moves the bytes.
 */
#ifndef TUNNEL_DIAL_H
#define TUNNEL_DIAL_H

#include <uv.h>

#include "tunnel/target.h"
#include "tunnel/dials.h"
#include "tunnel/h2.h"
#include "tunnel/reason.h"

struct dial_env {
	uv_loop_t *loop;
	struct target_policy policy; /* of what peers ask for */
	/* Of dial_host(): an address that is not connected with. NULL: each is. */
	bool (*refuses)(void *user, const struct ip_addr *addr);
	void *user;
};

/* Answers the stream now or later. */
void dial_start(const struct dial_env *env, struct dials *dials, struct h2_stream *stream,
	const struct h2_head *head);

/* The same to host:port of the caller's choice, whatever the stream asked for; host is an address
 * or a name. */
void dial_host(const struct dial_env *env, struct dials *dials, struct h2_stream *stream,
	const char *host, uint16_t port);

/* reason_from_errno(), where what this host lacks is an overload. */
enum reason dial_reason(int code);

#endif /* TUNNEL_DIAL_H */
