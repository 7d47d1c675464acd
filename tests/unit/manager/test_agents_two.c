/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents in one pod: which of them stays, and one that only has an environment. */
#include "manager/agents_env.h"
#include "manager/scripted_agent.h"

#define HELLO_AS(number) \
	"{\"type\":\"hello\",\"name\":\"telepresence-agent-" number "\",\"container\":\"web\"}"
#define SECOND HELLO_AS("2")
#define THIRD  HELLO_AS("3")
#define READER "{\"type\":\"hello\",\"name\":\"telepresence-environment-1\",\"container\":\"side\"}"
#define STATE(generation, ok) \
	"{\"type\":\"state\",\"generation\":" generation ",\"ok\":" ok ",\"message\":\"\"}"

static void scripted_on_served(void *user)
{
	((struct scripted *)user)->ready++;
}

static void test_newer_agent_wins(void **state)
{
	struct rig *rig = rig_new();
	struct scripted older, newer;
	json_object *line;

	(void)state;
	scripted_hello(&older, rig);
	scripted_join(&newer, rig);
	say(&newer, SECOND);
	run_until(rig->tunnel, &rig->connected, 2);
	line = heard(&older, 0);
	assert_string_equal(json_text(line, "type"), "exit");
	json_object_put(line);
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	line = heard(&newer, 0);
	assert_string_equal(json_text(line, "type"), "config");
	json_object_put(line);
	/* One that does not go is closed. */
	rig->agents->conns->close_ms = 1;
	run_until(rig->tunnel, &older.closed, 1);
	assert_int_equal(older.line_count, 1);
	assert_int_equal(rig->lost, 0);
	scripted_done(&older);
	scripted_done(&newer);
	rig_free(rig);
}

/* The rules are with the older one, and the connections: the newer one is not needed. */
static void test_agent_with_rules_stays(void **state)
{
	struct rig *rig = rig_new();
	struct scripted older, newer;
	json_object *line;

	(void)state;
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	scripted_hello(&older, rig);
	json_object_put(heard(&older, 0));
	say(&older, STATE("1", "true"));
	run_until(rig->tunnel, &rig->states, 1);
	scripted_join(&newer, rig);
	say(&newer, SECOND);
	line = heard(&newer, 0);
	assert_string_equal(json_text(line, "type"), "exit");
	json_object_put(line);
	assert_int_equal(rig->connected, 1);
	assert_int_equal(older.line_count, 1);
	/* What it says before it goes is nobody's state, and its end is no loss. */
	say(&newer, STATE("1", "false"));
	agent_link_free(TAKE_PTR(newer.link));
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	json_object_put(heard(&older, 1));
	assert_true(agents_connected(rig->agents, POD_UID));
	assert_int_equal(rig->states, 1);
	assert_int_equal(rig->lost, 0);
	/* Without rules it is one that has lost them, or waits for them: the newest counts. */
	say(&older, STATE("2", "false"));
	run_until(rig->tunnel, &rig->states, 2);
	scripted_done(&newer);
	scripted_join(&newer, rig);
	say(&newer, THIRD);
	line = heard(&older, 2);
	assert_string_equal(json_text(line, "type"), "exit");
	json_object_put(line);
	assert_string_equal(rig->last_connected, POD_UID " telepresence-agent-3 web");
	scripted_done(&older);
	scripted_done(&newer);
	rig_free(rig);
}

/* One that was told to exit and does not is closed, and the connection on which it serves. */
static void test_both_connections_end(void **state)
{
	static const struct agent_link_events events = {
		.on_ready = scripted_on_served, .on_closed = scripted_on_closed};
	struct rig *rig = rig_new();
	struct scripted agent, serving = {.rig = rig};
	struct agent_link_config config = {.role = AGENT_SERVER};

	(void)state;
	agents_configure(rig->agents, POD_UID, NULL, NULL);
	scripted_hello(&agent, rig);
	assert_int_equal(ip_addr_parse("127.0.0.1", &config.manager.addr), 0);
	config.manager.port = agent_server_port(rig->agents->server);
	config.credentials = agent.credentials;
	serving.link = agent_link_new(rig->loop, &config, &events, &serving);
	run_until(rig->tunnel, &serving.ready, 1);
	while (!agents_find(rig->agents, POD_UID)->reverse)
		uv_run(rig->loop, UV_RUN_ONCE);
	assert_int_equal(agents_exit(rig->agents, POD_UID, "over"), 1);
	agents_find(rig->agents, POD_UID)->conn->close_ms = 1;
	run_until(rig->tunnel, &agent.closed, 1);
	run_until(rig->tunnel, &serving.closed, 1);
	assert_null(rig->agents->conns);
	agent_link_free(serving.link);
	scripted_done(&agent);
	rig_free(rig);
}

static void on_env(void *user, json_object *env)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_state, sizeof(rig->last_state), "%s",
		env ? json_text_or(env, "OF", "?") : "none");
	rig->states++;
}

/* Says whose it is when it is asked. */
static void answer(struct scripted *agent, int line, const char *container)
{
	json_object *asked = heard(agent, line);
	auto_free char *text = NULL;

	assert_string_equal(json_text(asked, "type"), "env");
	text = xasprintf("{\"type\":\"env\",\"id\":%d,\"env\":{\"OF\":\"%s\"}}",
		(int)json_int(asked, "id", -1), container);
	json_object_put(asked);
	say(agent, text);
}

/* The agent goes on beside a container that has the other one's environment, whichever is asked. */
static void test_reader_is_no_agent(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent, reader;
	json_object *line;

	(void)state;
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	scripted_hello(&agent, rig);
	json_object_put(heard(&agent, 0));
	assert_true(agents_has_env(rig->agents, POD_UID, "web"));
	agents_env(rig->agents, POD_UID, "side", on_env, rig);
	scripted_join(&reader, rig);
	assert_false(agents_has_env(rig->agents, POD_UID, "side"));
	say(&reader, READER);
	line = heard(&reader, 0);
	assert_string_equal(json_text(line, "type"), "config");
	assert_int_equal(json_count(line, "intercepts"), 0);
	json_object_put(line);
	answer(&reader, 1, "side");
	run_until(rig->tunnel, &rig->states, 1);
	assert_string_equal(rig->last_state, "side");
	agents_env(rig->agents, POD_UID, "web", on_env, rig);
	answer(&agent, 1, "web");
	run_until(rig->tunnel, &rig->states, 2);
	assert_string_equal(rig->last_state, "web");
	/* It is neither the pod's agent nor missed. */
	assert_int_equal(rig->connected, 1);
	scripted_done(&reader);
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	json_object_put(heard(&agent, 2));
	assert_true(agents_connected(rig->agents, POD_UID));
	assert_int_equal(rig->lost, 0);
	assert_false(agents_has_env(rig->agents, POD_UID, "side"));
	scripted_done(&agent);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newer_agent_wins),
		cmocka_unit_test(test_agent_with_rules_stays),
		cmocka_unit_test(test_both_connections_end),
		cmocka_unit_test(test_reader_is_no_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
