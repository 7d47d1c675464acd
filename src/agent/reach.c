/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reach.h"

#include <string.h>

#include "agent/leaving.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "netfilter/intercept_rules.h"
#include "tunnel/agent_link.h"
#include "tunnel/datagram.h"
#include "tunnel/dial.h"
#include "tunnel/reply.h"
#include "tunnel/target.h"

#define LOOPBACK "127.0.0.1"

struct reach {
	uv_loop_t *loop;
	struct agent_credentials *credentials;
	struct agent_link *link; /* NULL: not asked for, or lost */
	struct leaving *leaving;
	struct dial_env env;
	struct dials dials;
	unsigned int associations;
};

static bool is_loopback(const struct target *target)
{
	static const struct ip_addr loopback = {.family = AF_INET, .bytes = {127, 0, 0, 1}};

	return ip_addr_equal(&target->addr, &loopback);
}

static void on_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct reach *reach = user;
	bool udp = head->protocol && strcmp(head->protocol, "connect-udp") == 0;
	struct ip_endpoint endpoint;
	struct target target;
	int r;

	if (strcmp(head->method, "CONNECT") != 0 || (head->protocol && !udp)) {
		reply_status(stream, 405);
		return;
	}
	r = udp ? target_parse_udp(head->path ? head->path : "", &target)
		: target_parse(head->authority ? head->authority : "", &target);
	if (r < 0 || !is_loopback(&target)) {
		reply_reason(stream, REASON_FORBIDDEN);
		return;
	}
	endpoint = (struct ip_endpoint){.addr = target.addr, .port = target.port};
	if (udp)
		datagram_start_endpoint(&reach->env, &reach->associations, stream, &endpoint);
	else
		dial_host(&reach->env, &reach->dials, stream, LOOPBACK, target.port);
}

static void on_ready(void *user UNUSED)
{
	log_debug("serving the laptop", "where=%s", LOOPBACK);
}

/* The manager asks again when somebody wants in. */
static void on_closed(void *user, const struct err *err)
{
	struct reach *reach = user;

	log_debug("not serving the laptop any more", "why=\"%s\"", err->msg);
	agent_link_free(TAKE_PTR(reach->link));
}

/* Its successor asks, when somebody wants in again. */
static void on_leaving(void *user)
{
	struct reach *reach = user;

	leaving_add(reach->leaving, TAKE_PTR(reach->link));
}

struct reach *reach_new(uv_loop_t *loop, struct agent_credentials *credentials)
{
	struct reach *reach = XNEW(struct reach);

	reach->loop = loop;
	reach->credentials = credentials;
	reach->leaving = leaving_new();
	reach->env = (struct dial_env){.loop = loop};
	/* The sandbox that comes next lets nothing be opened. */
	outgoing_init(&reach->dials.outgoing);
	return reach;
}

void reach_open(struct reach *reach, const struct ip_endpoint *manager)
{
	static const struct agent_link_events events = {.on_ready = on_ready,
		.on_stream = on_stream,
		.on_leaving = on_leaving,
		.on_closed = on_closed};
	const struct agent_link_config config = {
		.manager = *manager,
		.credentials = reach->credentials,
		.role = AGENT_SERVER,
		.mark = INTERCEPT_MARK,
	};

	agent_link_free(reach->link);
	reach->link = agent_link_new(reach->loop, &config, &events, reach);
}

void reach_stop(struct reach *reach)
{
	agent_link_free(TAKE_PTR(reach->link));
	leaving_clear(reach->leaving);
}

void reach_free(struct reach *reach)
{
	if (!reach)
		return;
	leaving_free(reach->leaving);
	free(reach);
}
