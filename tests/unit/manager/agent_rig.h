/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/manager/agent_rig.h - a table of agents on a loopback port, and scripted agents that join it
 *
 * The Session's reversed carrier is the fixture's tunnel, given by the test's own
 * sessions_reverse(): what is on top of Session objects is not needed here.
 */
#ifndef UNIT_MANAGER_AGENT_RIG_H
#define UNIT_MANAGER_AGENT_RIG_H

#include <stdio.h>

#include "tunnel/fixture_client.h"

#include "cluster/json.h"
#include "core/buf.h"
#include "manager/agents_impl.h"
#include "manager/sessions.h"
#include "tunnel/agent_link.h"
#include "tunnel/identity.h"

#define POD_UID   "aaaaaaaa-0000-0000-0000-000000000001"
#define OTHER_UID "aaaaaaaa-0000-0000-0000-000000000002"
#define HELLO \
	"{\"type\":\"hello\",\"version\":\"0.1.0\",\"name\":\"telepresence-agent-1\"," \
	"\"container\":\"web\"}"
#define LINES_MAX 32

struct scripted {
	struct rig *rig;
	struct agent_credentials *credentials;
	struct agent_link *link;
	struct h2_stream *control;
	struct buf in, out;
	char *lines[LINES_MAX]; /* heard */
	int line_count, ready, closed, control_closed;
	void (*on_line)(struct scripted *agent, const char *line); /* or NULL */
	enum err_kind closed_kind;
};

struct rig {
	struct fixture *tunnel;
	uv_loop_t *loop;
	struct identity *identity;
	struct agents *agents;
	const char *session; /* of every intercept; NULL: none */
	int connected, lost, states, counts;
	char last_connected[192], last_lost[64], last_state[128], last_count[256];
	int state_r;
	void *extra;
};

/* What the rig's sessions_reverse() gives, and what sessions_silent() was told. */
static struct h2_session *rig_carrier;
static char rig_silent[64];

struct h2_session *sessions_reverse(const struct sessions *sessions, const char *uid)
{
	(void)sessions;
	return strcmp(uid, SESSION_UID) == 0 && !rig_silent[0] ? rig_carrier : NULL;
}

void sessions_silent(struct sessions *sessions, const char *uid, uint64_t since_ms)
{
	(void)sessions;
	assert_true(since_ms > 0);
	(void)snprintf(rig_silent, sizeof(rig_silent), "%s", uid);
}

static void rig_on_connected(
	void *user, const char *pod_uid, const char *agent, const char *container)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_connected, sizeof(rig->last_connected), "%s %s %s", pod_uid, agent,
		container);
	rig->connected++;
}

static void rig_on_lost(void *user, const char *pod_uid)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_lost, sizeof(rig->last_lost), "%s", pod_uid);
	rig->lost++;
}

static void rig_on_state(void *user, const char *pod_uid, int r, const char *message)
{
	struct rig *rig = user;

	assert_string_equal(pod_uid, POD_UID);
	(void)snprintf(rig->last_state, sizeof(rig->last_state), "%s", message);
	rig->state_r = r;
	rig->states++;
}

static void rig_on_count(
	void *user, const char *pod_uid, const char *intercept_uid, json_object *count)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_count, sizeof(rig->last_count), "%s %s %d", pod_uid, intercept_uid,
		(int)json_int(count, "connections", -1));
	rig->counts++;
}

static const char *rig_session_of(void *user, const char *intercept_uid)
{
	assert_true(strncmp(intercept_uid, "i-", 2) == 0);
	return ((struct rig *)user)->session;
}

static inline struct rig *rig_new(void)
{
	static const struct agents_events events = {
		.on_connected = rig_on_connected,
		.on_lost = rig_on_lost,
		.on_state = rig_on_state,
		.on_count = rig_on_count,
		.session_of = rig_session_of,
	};
	struct rig *rig = XNEW(struct rig);
	struct ip_addr here;

	rig->tunnel = fixture_new();
	rig->loop = &rig->tunnel->loop;
	rig->session = SESSION_UID;
	rig_carrier = NULL;
	rig_silent[0] = '\0';
	assert_int_equal(ip_addr_parse("127.0.0.1", &here), 0);
	assert_int_equal(identity_new(&rig->identity, NULL), 0);
	assert_int_equal(
		agents_new(rig->loop, 0, rig->identity, NULL, &events, rig, &rig->agents, NULL), 0);
	agents_add(rig->agents, POD_UID, "shop/web-1", &here, 1);
	return rig;
}

static inline void rig_free(struct rig *rig)
{
	agents_free(rig->agents);
	fixture_free(rig->tunnel);
	identity_free(rig->identity);
	free(rig);
}

static void scripted_on_data(void *user, const uint8_t *data, size_t len)
{
	struct scripted *agent = user;
	const uint8_t *end;

	h2_stream_consumed(agent->control, len);
	assert_int_equal(buf_append(&agent->in, data, len), 0);
	while (buf_len(&agent->in) > 0 &&
		(end = memchr(buf_head(&agent->in), '\n', buf_len(&agent->in)))) {
		size_t count = (size_t)(end - buf_head(&agent->in));
		char *line = xstrndup((const char *)buf_head(&agent->in), count);

		buf_consume(&agent->in, count + 1);
		assert_true(agent->line_count < LINES_MAX);
		agent->lines[agent->line_count++] = line;
		if (agent->on_line)
			agent->on_line(agent, line);
	}
}

static ssize_t scripted_on_read(void *user, uint8_t *out, size_t len)
{
	struct scripted *agent = user;
	size_t take = MIN(len, buf_len(&agent->out));

	if (take == 0)
		return H2_READ_AGAIN;
	memcpy(out, buf_head(&agent->out), take);
	buf_consume(&agent->out, take);
	return (ssize_t)take;
}

static void scripted_on_head(void *user, const struct h2_head *head)
{
	(void)user;
	assert_int_equal(head->status, 200);
}

static void scripted_on_close(void *user, uint32_t code)
{
	struct scripted *agent = user;

	(void)code;
	agent->control = NULL;
	agent->control_closed++;
}

static inline void say(struct scripted *agent, const char *line)
{
	assert_non_null(agent->control);
	assert_int_equal(buf_printf(&agent->out, "%s\n", line), 0);
	h2_stream_resume(agent->control);
}

static void scripted_on_ready(void *user)
{
	static const struct h2_stream_events events = {
		.on_head = scripted_on_head,
		.on_data = scripted_on_data,
		.on_read = scripted_on_read,
		.on_close = scripted_on_close,
	};
	const struct h2_head head = {.method = "POST", .path = "/v1/agent"};
	struct scripted *agent = user;

	agent->ready++;
	assert_int_equal(
		h2_request(agent_link_h2(agent->link), &head, &events, agent, &agent->control), 0);
}

static void scripted_on_closed(void *user, const struct err *err)
{
	struct scripted *agent = user;

	agent->closed++;
	agent->closed_kind = err->kind;
}

/* Connects with the credentials that the agent has. */
static inline void scripted_connect(struct scripted *agent)
{
	static const struct agent_link_events events = {
		.on_ready = scripted_on_ready, .on_closed = scripted_on_closed};
	struct agent_link_config config = {.credentials = agent->credentials, .role = AGENT_CLIENT};

	assert_int_equal(ip_addr_parse("127.0.0.1", &config.manager.addr), 0);
	config.manager.port = agent_server_port(agent->rig->agents->server);
	agent_link_free(agent->link);
	buf_done(&agent->in);
	buf_done(&agent->out);
	agent->link = agent_link_new(agent->rig->loop, &config, &events, agent);
}

static inline void scripted_init(struct scripted *agent, struct rig *rig, const char *pod_uid)
{
	uint8_t pin[IDENTITY_PIN_BYTES], token[AGENT_TOKEN_BYTES];

	*agent = (struct scripted){.rig = rig};
	buf_init(&agent->in, 4 * LIMIT_CONTROL_BODY_BYTES);
	buf_init(&agent->out, 4 * LIMIT_CONTROL_BODY_BYTES);
	identity_pin(rig->identity, pin);
	agents_token(rig->agents, pod_uid, token);
	assert_int_equal(agent_credentials_new(pin, token, POD_UID, &agent->credentials, NULL), 0);
}

static inline void scripted_done(struct scripted *agent)
{
	agent_link_free(agent->link);
	agent_credentials_free(agent->credentials);
	for (int i = 0; i < agent->line_count; i++)
		free(agent->lines[i]);
	buf_done(&agent->in);
	buf_done(&agent->out);
}

/* An agent that has joined, with its control stream open. */
static inline void scripted_join(struct scripted *agent, struct rig *rig)
{
	scripted_init(agent, rig, POD_UID);
	scripted_connect(agent);
	run_until(rig->tunnel, &agent->ready, 1);
}

/* ... and that has said who it is. */
static inline void scripted_hello(struct scripted *agent, struct rig *rig)
{
	int connected = rig->connected;

	scripted_join(agent, rig);
	say(agent, HELLO);
	run_until(rig->tunnel, &rig->connected, connected + 1);
}

/* The n-th line that the agent hears, parsed. */
static inline json_object *heard(struct scripted *agent, int n)
{
	json_object *line;

	run_until(agent->rig->tunnel, &agent->line_count, n + 1);
	line = json_parse(agent->lines[n], strlen(agent->lines[n]));
	assert_non_null(line);
	return line;
}

/* One intercept "i-1" of TCP port 8080 and UDP port 53. */
static inline json_object *one_intercept(void)
{
	static const char text[] = "[{\"uid\":\"i-1\",\"onRefuse\":\"app\",\"ports\":["
				   "{\"port\":8080,\"protocol\":\"TCP\",\"probe\":\"http\"},"
				   "{\"port\":53,\"protocol\":\"UDP\",\"probe\":\"none\"}]}]";

	return json_parse(text, strlen(text));
}

#endif /* UNIT_MANAGER_AGENT_RIG_H */
