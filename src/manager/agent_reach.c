/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a laptop into a pod (docs/agent.md, section 8). The agent's second connection, on which it
 * is the HTTP/2 server, is asked for by the first request and stays; requests wait for it.
 *
 *   WAITING -> JOINED -> gone    the request was made of the agent: a splice has the stream
 *   WAITING -> gone              the agent did not come in time, or the caller gave up
 */
#include "manager/agents_impl.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/log.h"
#include "manager/agent_messages.h"
#include "tunnel/reply.h"
#include "tunnel/splice.h"

/* The agent connects with a certificate that it has, to an address that it knows. */
#define REACH_OPEN_MS 3000
/* Afterwards: a connect(2) to the pod's own loopback. */
#define REACH_ANSWER_MS 3000

struct agent_reach {
	struct agents *agents; /* NULL: the table is gone */
	char pod_uid[AGENT_UID_BYTES];
	char *intercept;
	uint16_t port;
	bool udp;
	struct h2_stream *stream; /* WAITING; NULL once it is the splice's */
	struct splice *splice; /* JOINED */
	uint64_t deadline_ms;
	struct agent_reach *prev, *next;
};

static void free_reach(struct agent_reach *reach)
{
	if (reach->agents)
		DL_DELETE(reach->agents->reaches, reach);
	free(reach->intercept);
	free(reach);
}

static void on_done(void *user)
{
	free_reach(user);
}

/* Nothing is due before the answer: bytes that came now would be lost. */
static void give_up(struct agent_reach *reach)
{
	struct h2_stream *stream = TAKE_PTR(reach->stream);

	h2_stream_set_events(stream, &(struct h2_stream_events){0}, NULL);
	h2_stream_reset(stream, NGHTTP2_CANCEL);
	free_reach(reach);
}

static void on_early_data(void *user, const uint8_t *data UNUSED, size_t len)
{
	struct agent_reach *reach = user;

	h2_stream_consumed(reach->stream, len);
	give_up(reach);
}

static void on_early_end(void *user)
{
	give_up(user);
}

static void on_early_close(void *user, uint32_t code UNUSED)
{
	free_reach(user);
}

static const struct h2_stream_events waiting_events = {
	.on_data = on_early_data, .on_end = on_early_end, .on_close = on_early_close};

static void refuse(struct agent_reach *reach, enum reason reason)
{
	reply_reason(TAKE_PTR(reach->stream), reason);
	free_reach(reach);
}

static void join(struct agent_reach *reach, struct h2_session *h2)
{
	static const struct splice_events events = {.on_done = on_done};
	static const struct h2_header capsules = {"capsule-protocol", "?1"};
	char target[64];
	struct h2_head head = {.method = "CONNECT", .authority = target};
	struct h2_stream *stream = reach->stream;

	(void)snprintf(target, sizeof(target),
		reach->udp ? "/.well-known/masque/udp/127.0.0.1/%u/" : "127.0.0.1:%u", reach->port);
	if (reach->udp)
		head = (struct h2_head){.method = "CONNECT",
			.authority = "traffic-agent",
			.path = target,
			.protocol = "connect-udp",
			.headers = &capsules,
			.header_count = 1};
	if (splice_start(stream, h2, &head, REACH_ANSWER_MS, &events, reach, &reach->splice) < 0)
		refuse(reach, REASON_OVERLOADED);
	else
		reach->stream = NULL;
}

void agents_reach(struct agents *agents, const char *pod_uid, const char *intercept,
	const struct agents_reach_target *target, struct h2_stream *stream)
{
	struct agent_pod *pod = agents_find(agents, pod_uid);
	struct agent_reach *reach;

	if (!pod || !pod->conn || !agent_pod_has(pod, intercept, 0, 0)) {
		reply_reason(stream, REASON_NO_CLIENT);
		return;
	}
	reach = XNEW(struct agent_reach);
	reach->agents = agents;
	(void)snprintf(reach->pod_uid, sizeof(reach->pod_uid), "%s", pod->uid);
	reach->intercept = xstrdup(intercept);
	reach->port = target->port;
	reach->udp = target->udp;
	reach->stream = stream;
	reach->deadline_ms = uv_now(agents->loop) + REACH_OPEN_MS;
	DL_APPEND(agents->reaches, reach);
	if (pod->reverse) {
		join(reach, agent_peer_h2(pod->reverse->peer));
		return;
	}
	h2_stream_set_events(stream, &waiting_events, reach);
	agent_send_reach(pod->conn);
	agents_arm(agents);
}

void agent_reach_open(struct agent_pod *pod)
{
	struct agents *agents = pod->agents;
	struct agent_reach *reach = NULL, *next = NULL;

	DL_FOREACH_SAFE (agents->reaches, reach, next) {
		if (reach->stream && strcmp(reach->pod_uid, pod->uid) == 0)
			join(reach, agent_peer_h2(pod->reverse->peer));
	}
}

bool agent_reach_sweep(struct agents *agents, uint64_t now_ms)
{
	struct agent_reach *reach = NULL, *next = NULL;
	bool left = false;

	DL_FOREACH_SAFE (agents->reaches, reach, next) {
		if (reach->stream && now_ms >= reach->deadline_ms)
			refuse(reach, REASON_TIMED_OUT);
		else
			left = left || reach->stream;
	}
	return left;
}

static void end(struct agent_reach *reach)
{
	if (reach->stream)
		refuse(reach, REASON_FORBIDDEN);
	else
		splice_abort(reach->splice);
}

void agent_reach_check(struct agents *agents, const char *pod_uid)
{
	const struct agent_pod *pod = agents_find(agents, pod_uid);
	struct agent_reach *reach = NULL, *next = NULL;

	DL_FOREACH_SAFE (agents->reaches, reach, next) {
		if (strcmp(reach->pod_uid, pod_uid) == 0 &&
			!(pod && agent_pod_has(pod, reach->intercept, 0, 0)))
			end(reach);
	}
}

void agent_reach_forget(struct agents *agents)
{
	struct agent_reach *reach = NULL, *next = NULL;

	DL_FOREACH_SAFE (agents->reaches, reach, next) {
		DL_DELETE(agents->reaches, reach);
		reach->agents = NULL;
		/* A splice ends with its carriers. */
		if (reach->stream)
			refuse(reach, REASON_NO_CLIENT);
	}
}
