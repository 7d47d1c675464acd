/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of agents. An intercepted connection (docs/agent.md, section 4) goes on to the laptop
 * over a reversed carrier; only what the pod's own configuration has, and only fields that were
 * understood.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/log.h"
#include "manager/agent_messages.h"
#include "manager/agents_impl.h"
#include "manager/sessions.h"
#include "tunnel/reply.h"
#include "tunnel/splice.h"
#include "tunnel/target.h"

/* Less than the 800 ms after which the agent gives the connection to the app itself. */
#define ANSWER_MS 700

/* One connection that the laptop was asked for; until both its streams are closed. */
struct agent_ask {
	struct agents *agents; /* NULL: the table is gone */
	char *session_uid;
	uint64_t asked_ms;
	struct agent_ask *prev, *next;
};

static void on_answer(void *user, enum reason reason)
{
	struct agent_ask *ask = user;

	if (ask->agents && reason == REASON_TIMED_OUT)
		sessions_silent(ask->agents->sessions, ask->session_uid, ask->asked_ms);
}

static void on_done(void *user)
{
	struct agent_ask *ask = user;

	if (ask->agents)
		DL_DELETE(ask->agents->asks, ask);
	free(ask->session_uid);
	free(ask);
}

static const struct splice_events splice_events = {.on_answer = on_answer, .on_done = on_done};

void agent_streams_forget(struct agents *agents)
{
	struct agent_ask *ask = NULL, *next = NULL;

	DL_FOREACH_SAFE (agents->asks, ask, next) {
		DL_DELETE(agents->asks, ask);
		ask->agents = NULL;
	}
}

static void ask_laptop(struct agents *agents, const char *session_uid, struct h2_session *carrier,
	struct h2_stream *stream, const struct h2_head *head)
{
	struct agent_ask *ask = XNEW(struct agent_ask);
	struct splice *splice = NULL;

	ask->agents = agents;
	ask->session_uid = xstrdup(session_uid);
	ask->asked_ms = uv_now(agents->loop);
	DL_APPEND(agents->asks, ask);
	if (splice_start(stream, carrier, head, ANSWER_MS, &splice_events, ask, &splice) < 0) {
		on_done(ask);
		reply_reason(stream, REASON_OVERLOADED);
	}
}

/* The source as the app would have seen it: an address and a port, nothing else. */
static bool source_valid(const char *source)
{
	struct target target;

	return source && target_parse(source, &target) == 0 && target.addr.family != 0;
}

static void serve_connection(struct agent_conn *conn, struct h2_stream *stream,
	const struct h2_head *head, uint16_t port, int protocol)
{
	const char *intercept = h2_head_get(head, "telepresence-intercept");
	const char *source = h2_head_get(head, "telepresence-source");
	struct agents *agents = conn->agents;
	char known_as[8] = "";
	const struct h2_header headers[] = {
		{.name = "telepresence-intercept", .value = intercept},
		{.name = "telepresence-source", .value = source},
		{.name = "telepresence-pod", .value = conn->pod->name},
		{.name = "telepresence-port", .value = known_as},
		{.name = "capsule-protocol", .value = "?1"},
	};
	const struct h2_head forward = {
		.method = "CONNECT",
		.authority = head->authority,
		.path = head->protocol ? head->path : NULL,
		.protocol = head->protocol,
		.headers = headers,
		.header_count = ARRAY_SIZE(headers) - (head->protocol ? 0 : 1),
	};
	const char *session_uid;
	struct h2_session *carrier;

	if (!intercept || !source_valid(source)) {
		reply_status(stream, 400);
		return;
	}
	if (!agent_pod_has(conn->pod, intercept, port, protocol)) {
		reply_reason(stream, REASON_FORBIDDEN);
		return;
	}
	(void)snprintf(known_as, sizeof(known_as), "%u",
		agent_pod_known_as(conn->pod, intercept, port, protocol));
	session_uid = agents->events.session_of(agents->user, intercept);
	carrier = session_uid ? sessions_reverse(agents->sessions, session_uid) : NULL;
	if (carrier)
		ask_laptop(agents, session_uid, carrier, stream, &forward);
	else
		reply_reason(stream, REASON_NO_CLIENT);
}

static void serve_connect(
	struct agent_conn *conn, struct h2_stream *stream, const struct h2_head *head)
{
	struct target target;
	bool udp = head->protocol != NULL;
	int r = udp ? target_parse_udp(head->path, &target)
		    : target_parse(head->authority, &target);

	if (!conn->pod)
		reply_reason(stream, REASON_NO_CLIENT);
	else if (r < 0 || target.addr.family == 0)
		reply_status(stream, 400);
	else
		serve_connection(conn, stream, head, target.port, udp ? IPPROTO_UDP : IPPROTO_TCP);
}

static void serve_control(struct agent_conn *conn, struct h2_stream *stream)
{
	if (conn->control)
		reply_status(stream, 409);
	else
		conn->control = lines_serve(stream, &agent_lines_events, conn);
}

void agent_streams_serve(
	struct agent_conn *conn, struct h2_stream *stream, const struct h2_head *head)
{
	const char *method = head->method ? head->method : "", *path = head->path ? head->path : "";
	bool connect = strcmp(method, "CONNECT") == 0;

	if (connect && (!head->protocol || strcmp(head->protocol, "connect-udp") == 0))
		serve_connect(conn, stream, head);
	else if (connect || strcmp(path, "/v1/agent") != 0)
		reply_status(stream, 404);
	else if (strcmp(method, "POST") != 0)
		reply_status(stream, 405);
	else
		serve_control(conn, stream);
}
