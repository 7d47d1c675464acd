/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/intercept_serve.h"

#include <string.h>

#include "client/userd/intercepts.h"
#include "client/userd/match.h"
#include "core/log.h"
#include "tunnel/datagram.h"
#include "tunnel/h2.h"
#include "tunnel/reply.h"

#define INTERCEPT_HEADER "telepresence-intercept"
#define PORT_HEADER      "telepresence-port"

void intercept_serve_init(struct intercept_serve *serve, const struct intercepts_config *config)
{
	*serve = (struct intercept_serve){.env = {.loop = config->loop}};
	serve->env.refuses = config->leads_back;
	serve->env.user = config->user;
}

/* The intercept's own number for it: a named port may have another one in each pod. 0: no port. */
static uint16_t known_as(const struct h2_head *head, const struct target *asked)
{
	const char *text = h2_head_get(head, PORT_HEADER);
	uint16_t number = asked->port;

	return text && target_parse_port(text, &number) < 0 ? 0 : number;
}

static const struct intercept_port *find_port(
	const struct intercept_target *target, uint16_t number, bool udp)
{
	for (size_t i = 0; i < target->port_count; i++) {
		const struct intercept_port *port = &target->ports[i];

		if (port->udp == udp && port->container_port == number)
			return port;
	}
	return NULL;
}

static void serve_udp(struct intercept_serve *serve, struct h2_stream *stream, const char *address,
	uint16_t local)
{
	struct ip_endpoint endpoint = {.port = local};

	if (ip_addr_parse(address, &endpoint.addr) < 0)
		reply_reason(stream, REASON_NAME_NOT_FOUND);
	else if (serve->env.refuses && serve->env.refuses(serve->env.user, &endpoint.addr))
		reply_reason(stream, REASON_FORBIDDEN);
	else
		datagram_start_endpoint(&serve->env, &serve->associations, stream, &endpoint);
}

void intercept_serve(struct intercept_serve *serve, const struct intercepts *intercepts,
	struct h2_stream *stream, const struct h2_head *head)
{
	const char *uid = h2_head_get(head, INTERCEPT_HEADER);
	bool udp = head->protocol && strcmp(head->protocol, "connect-udp") == 0;
	const struct intercept_target *target = NULL;
	const struct intercept_port *port = NULL;
	const char *address = NULL;
	struct target asked;
	int r;

	if (strcmp(head->method, "CONNECT") != 0 || (head->protocol && !udp)) {
		reply_status(stream, 405);
		return;
	}
	r = udp ? target_parse_udp(head->path ? head->path : "", &asked)
		: target_parse(head->authority ? head->authority : "", &asked);
	if (r == 0 && uid)
		target = intercepts_find_target(intercepts, uid, &address);
	if (target)
		port = find_port(target, known_as(head, &asked), udp);
	if (!port) {
		log_debug("intercepted connection refused", "intercept=%s", uid ? uid : "none");
		reply_reason(stream, REASON_FORBIDDEN);
	} else if (udp) {
		serve_udp(serve, stream, address, port->local);
	} else {
		dial_host(&serve->env, &serve->dials, stream, address, port->local);
	}
}
