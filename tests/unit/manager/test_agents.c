/* SPDX-License-Identifier: Apache-2.0 */
/* Scripted agents of one pod: join, control lines, environments, coming back, being told to go. */
#include "manager/agents_env.h"
#include "manager/scripted_agent.h"

static void test_join(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;

	(void)state;
	assert_false(agents_connected(rig->agents, POD_UID));
	scripted_join(&agent, rig);
	assert_false(agents_connected(rig->agents, POD_UID));
	say(&agent, "{\"type\":\"unheard-of\"}");
	run_until(rig->tunnel, &agent.closed, 1);
	scripted_done(&agent);
	scripted_hello(&agent, rig);
	assert_true(agents_connected(rig->agents, POD_UID));
	assert_string_equal(rig->last_connected, POD_UID " telepresence-agent-1 web");
	say(&agent, "{\"type\":\"unheard-of\"}");
	scripted_done(&agent);
	run_until(rig->tunnel, &rig->lost, 1);
	assert_string_equal(rig->last_lost, POD_UID);
	assert_false(agents_connected(rig->agents, POD_UID));
	rig_free(rig);
}

static void test_reset_of_control(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;

	(void)state;
	scripted_hello(&agent, rig);
	h2_stream_reset(agent.control, 8); /* RFC 9113: CANCEL */
	run_until(rig->tunnel, &rig->lost, 1);
	scripted_done(&agent);
	rig_free(rig);
}

static void test_token_of_another_pod(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;
	struct ip_addr here = {.family = AF_INET, .bytes = {127, 0, 0, 1}};

	(void)state;
	agents_add(rig->agents, OTHER_UID, "shop/web-2", &here, 1);
	scripted_init(&agent, rig, OTHER_UID);
	scripted_connect(&agent);
	run_until(rig->tunnel, &agent.closed, 1);
	assert_int_equal(agent.closed_kind, ERR_AUTH);
	assert_int_equal(agent.ready, 0);
	assert_string_equal(rig->last_unproven, POD_UID);
	scripted_done(&agent);
	/* A token of a pod that is not known is nobody's. */
	scripted_init(&agent, rig, "nobody");
	scripted_connect(&agent);
	run_until(rig->tunnel, &agent.closed, 1);
	assert_int_equal(agent.closed_kind, ERR_AUTH);
	scripted_done(&agent);
	/* From another address the right one is no good either. */
	scripted_init(&agent, rig, POD_UID);
	here.bytes[3] = 9;
	agents_add(rig->agents, POD_UID, "shop/web-1", &here, 1);
	scripted_connect(&agent);
	run_until(rig->tunnel, &agent.closed, 1);
	assert_int_equal(agent.ready, 0);
	scripted_done(&agent);
	assert_int_equal(rig->unproven, 2);
	rig_free(rig);
}

static void test_configuration(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;
	json_object *nodes = json_object_new_array(), *line;

	(void)state;
	json_object_array_add(nodes, json_object_new_string("10.1.0.1"));
	scripted_hello(&agent, rig);
	agents_configure(rig->agents, POD_UID, one_intercept(), nodes);
	line = heard(&agent, 0);
	assert_string_equal(json_text(line, "type"), "config");
	assert_int_equal(json_int(line, "generation", -1), 1);
	assert_int_equal(json_int(line, "idleSeconds", -1), AGENTS_IDLE_S);
	assert_string_equal(
		json_object_get_string(json_item(line, "nodeAddresses", 0)), "10.1.0.1");
	assert_string_equal(json_text(json_item(line, "intercepts", 0), "uid"), "i-1");
	json_object_put(line);
	agents_set_idle(rig->agents, 5);
	agents_configure(rig->agents, POD_UID, NULL, NULL);
	line = heard(&agent, 1);
	assert_int_equal(json_int(line, "generation", -1), 2);
	assert_int_equal(json_int(line, "idleSeconds", -1), 5);
	assert_true(json_object_is_type(json_member(line, "intercepts"), json_type_array));
	assert_int_equal(json_count(line, "intercepts"), 0);
	json_object_put(line);
	/* What is said of an older configuration does not count. */
	say(&agent, "{\"type\":\"state\",\"generation\":1,\"ok\":true,\"message\":\"\"}");
	say(&agent, "{\"type\":\"state\",\"generation\":2,\"ok\":false,\"message\":\"why\"}");
	run_until(rig->tunnel, &rig->states, 1);
	assert_int_equal(rig->state_r, -EIO);
	assert_string_equal(rig->last_state, "why");
	say(&agent, "{\"type\":\"state\",\"generation\":2,\"ok\":true}");
	run_until(rig->tunnel, &rig->states, 2);
	assert_int_equal(rig->state_r, 0);
	scripted_done(&agent);
	rig_free(rig);
}

static void test_counts(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;

	(void)state;
	scripted_hello(&agent, rig);
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	/* An intercept that this pod does not have is none of its business. */
	say(&agent,
		"{\"type\":\"count\",\"intercept\":\"i-2\",\"connections\":9,\"fallbacks\":{}}");
	say(&agent, "{\"type\":\"count\",\"intercept\":\"i-1\",\"connections\":10,"
		    "\"fallbacks\":{\"refused\":1}}");
	run_until(rig->tunnel, &rig->counts, 1);
	assert_string_equal(rig->last_count, POD_UID " i-1 10");
	assert_int_equal(rig->counts, 1);
	scripted_done(&agent);
	rig_free(rig);
}

/* With its certificate, and it gets the configuration and the open questions again. */
static void test_comes_back(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;
	json_object *line;

	(void)state;
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	scripted_hello(&agent, rig);
	line = heard(&agent, 0);
	json_object_put(line);
	agent_link_free(TAKE_PTR(agent.link));
	run_until(rig->tunnel, &rig->lost, 1);
	scripted_connect(&agent);
	run_until(rig->tunnel, &agent.ready, 2);
	say(&agent, HELLO);
	run_until(rig->tunnel, &rig->connected, 2);
	line = heard(&agent, 1);
	assert_string_equal(json_text(line, "type"), "config");
	assert_int_equal(json_int(line, "generation", -1), 1);
	json_object_put(line);
	scripted_done(&agent);
	rig_free(rig);
}

/* The same agent twice: what it left behind is closed, and nothing is lost. */
static void test_comes_back_first(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent, twin;

	(void)state;
	scripted_hello(&agent, rig);
	scripted_hello(&twin, rig);
	run_until(rig->tunnel, &agent.closed, 1);
	assert_int_equal(agent.line_count, 0);
	assert_int_equal(rig->lost, 0);
	assert_true(agents_connected(rig->agents, POD_UID));
	scripted_done(&agent);
	scripted_done(&twin);
	rig_free(rig);
}

static void on_env(void *user, json_object *env)
{
	struct rig *rig = user;
	int *values = rig->extra;

	values[0]++;
	values[1] = env ? (int)json_object_object_length(env) : -1;
}

static void test_environment(void **state)
{
	struct rig *rig = rig_new();
	int values[2] = {0, 0};
	struct scripted agent;
	auto_free char *answer = NULL;
	json_object *line;

	(void)state;
	rig->extra = values;
	/* Asked before there is an agent: it is asked when it comes. */
	agents_env(rig->agents, POD_UID, "web", on_env, rig);
	scripted_hello(&agent, rig);
	line = heard(&agent, 0);
	assert_string_equal(json_text(line, "type"), "env");
	answer = xasprintf("{\"type\":\"env\",\"id\":%d,\"env\":{\"PORT\":\"80\",\"A\":\"\"}}",
		(int)json_int(line, "id", -1));
	json_object_put(line);
	say(&agent, "{\"type\":\"env\",\"id\":12345,\"env\":{}}");
	say(&agent, answer);
	run_until(rig->tunnel, &values[0], 1);
	assert_int_equal(values[1], 2);
	/* An answer is taken once. */
	say(&agent, answer);
	agents_env(rig->agents, POD_UID, "web", on_env, rig);
	rig->agents->envs->deadline_ms = uv_now(rig->loop);
	run_until(rig->tunnel, &values[0], 2);
	assert_int_equal(values[1], -1);
	agents_env(rig->agents, OTHER_UID, "web", on_env, rig);
	assert_int_equal(values[0], 2);
	run_until(rig->tunnel, &values[0], 3);
	assert_int_equal(values[1], -1);
	agents_env(rig->agents, POD_UID, "web", on_env, rig);
	scripted_done(&agent);
	rig_free(rig);
	assert_int_equal(values[0], 4);
}

static void test_exit(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;
	json_object *line;

	(void)state;
	assert_int_equal(agents_exit(rig->agents, NULL, "uninstalled"), 0);
	scripted_hello(&agent, rig);
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	assert_int_equal(agents_exit(rig->agents, NULL, "uninstalled"), 0);
	agents_configure(rig->agents, POD_UID, NULL, NULL);
	assert_int_equal(agents_exit(rig->agents, OTHER_UID, "uninstalled"), 0);
	assert_int_equal(agents_exit(rig->agents, POD_UID, "uninstalled"), 1);
	assert_int_equal(agents_exit(rig->agents, NULL, "uninstalled"), 0);
	assert_false(agents_connected(rig->agents, POD_UID));
	line = heard(&agent, 2);
	assert_string_equal(json_text(line, "type"), "exit");
	assert_string_equal(json_text(line, "reason"), "uninstalled");
	json_object_put(line);
	agent_link_free(TAKE_PTR(agent.link));
	run_until(rig->tunnel, &rig->lost, 1);
	scripted_done(&agent);
	rig_free(rig);
}

static void test_removed(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;
	json_object *line;

	(void)state;
	scripted_hello(&agent, rig);
	agents_remove(rig->agents, POD_UID);
	agents_remove(rig->agents, POD_UID);
	assert_false(agents_connected(rig->agents, POD_UID));
	line = heard(&agent, 0);
	assert_string_equal(json_text(line, "type"), "exit");
	json_object_put(line);
	agent_link_free(TAKE_PTR(agent.link));
	/* It is not let in again. */
	scripted_connect(&agent);
	run_until(rig->tunnel, &agent.closed, 1);
	assert_int_equal(agent.ready, 1);
	assert_int_equal(rig->lost, 0);
	scripted_done(&agent);
	rig_free(rig);
}

static void test_hostile_lines(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"type\":7}",
		"\"hello\"",
		HELLO "\n" HELLO,
		"{\"type\":\"state\",\"generation\":1,\"ok\":true}",
		"{\"type\":\"hello\"}",
		"{\"type\":\"hello\",\"name\":\"a b\",\"container\":\"web\"}",
		"{\"type\":\"hello\",\"name\":\"\",\"container\":\"web\"}",
		"{\"type\":\"hello\",\"name\":\"a\",\"container\":[]}",
		HELLO "\n{\"type\":\"state\",\"generation\":0}",
		HELLO "\n{\"type\":\"env\",\"id\":1,\"env\":[]}",
		HELLO "\n{\"type\":\"env\",\"id\":1,\"env\":{\"A\":7}}",
		HELLO "\n{\"type\":\"count\",\"intercept\":\"i-1\",\"connections\":-1,"
		      "\"fallbacks\":{}}",
		HELLO "\n{\"type\":\"count\",\"intercept\":\"i-1\",\"connections\":1,"
		      "\"fallbacks\":{\"refused\":\"x\"}}",
	};
	struct rig *rig = rig_new();
	struct scripted agent;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		scripted_join(&agent, rig);
		say(&agent, lines[i]);
		run_until(rig->tunnel, &agent.closed, 1);
		scripted_done(&agent);
		assert_null(rig->agents->conns);
	}
	assert_int_equal(rig->connected, rig->lost);
	rig_free(rig);
}

static void test_long_line(void **state)
{
	struct rig *rig = rig_new();
	struct scripted agent;
	auto_free char *text = xcalloc(1, LIMIT_CONTROL_BODY_BYTES + 1);

	(void)state;
	memset(text, ' ', LIMIT_CONTROL_BODY_BYTES);
	memcpy(text, HELLO, sizeof(HELLO) - 1);
	scripted_join(&agent, rig);
	say(&agent, text);
	run_until(rig->tunnel, &rig->connected, 1);
	memcpy(text, "{\"type\":\"unheard-of\"}", 21);
	assert_int_equal(buf_printf(&agent.out, " "), 0);
	say(&agent, text);
	run_until(rig->tunnel, &agent.closed, 1);
	scripted_done(&agent);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_reset_of_control),
		cmocka_unit_test(test_token_of_another_pod),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_comes_back_first),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_hostile_lines),
		cmocka_unit_test(test_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
