/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/manager/scripted_agent.h - scripted agents that join the rig's table, and what they are told
 */
#ifndef UNIT_MANAGER_SCRIPTED_AGENT_H
#define UNIT_MANAGER_SCRIPTED_AGENT_H

#include "manager/scripted_link.h"

#define HELLO \
	"{\"type\":\"hello\",\"version\":\"0.1.0\",\"name\":\"telepresence-agent-1\"," \
	"\"container\":\"web\"}"
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

#endif /* UNIT_MANAGER_SCRIPTED_AGENT_H */
