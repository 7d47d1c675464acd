/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/intercept_serve.h - the manager's requests on the reversed carrier
 *
 * CONNECT and connect-udp with the field telepresence-intercept: the intercept says where on the
 * laptop the connection goes. Anything that is not asked for by an intercept of this session is
 * forbidden.
 */
#ifndef CLIENT_USERD_INTERCEPT_SERVE_H
#define CLIENT_USERD_INTERCEPT_SERVE_H

#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "tunnel/dial.h"

struct h2_head;
struct h2_stream;
struct intercepts;
struct intercepts_config;

struct intercept_serve {
	struct dial_env env;
	struct dials dials;
	unsigned int associations; /* counted by datagram.h */
};

void intercept_serve_init(struct intercept_serve *serve, const struct intercepts_config *config);
/* Answers the stream, now or later. */
void intercept_serve(struct intercept_serve *serve, const struct intercepts *intercepts,
	struct h2_stream *stream, const struct h2_head *head);

#endif /* CLIENT_USERD_INTERCEPT_SERVE_H */
