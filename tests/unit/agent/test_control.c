/* SPDX-License-Identifier: Apache-2.0 */
/* The control stream against a scripted manager at the other end of a real link. */
#include "tunnel/agent_fixture_link.h"

#include <nghttp2/nghttp2.h>

#include "agent/control.h"
#include "cluster/json.h"
#include "core/buf.h"

struct manager {
	struct agent_fixture *fixture;
	struct link_seen link;
	struct h2_stream *stream;
	struct buf in, out;
	int status; /* of its answer */
	bool out_end;
	/* The agent's end. */
	struct control *control;
	struct control_config config;
	struct control_expect expect;
	int64_t env_id;
	char reason[64];
	bool free_in_callback;
	int requests, lines, configs, expects, envs, reaches, exits, overs, closes;
	struct err err;
};

static void manager_on_data(void *user, const uint8_t *data, size_t len)
{
	struct manager *manager = user;

	h2_stream_consumed(manager->stream, len);
	assert_int_equal(buf_append(&manager->in, data, len), 0);
	for (size_t i = 0; i < len; i++)
		manager->lines += data[i] == '\n';
}

static ssize_t manager_on_read(void *user, uint8_t *out, size_t len)
{
	struct manager *manager = user;
	size_t take = MIN(len, buf_len(&manager->out));

	if (take == 0)
		return manager->out_end ? H2_READ_EOF : H2_READ_AGAIN;
	memcpy(out, buf_head(&manager->out), take);
	buf_consume(&manager->out, take);
	return (ssize_t)take;
}

static void manager_on_close(void *user, uint32_t code)
{
	struct manager *manager = user;

	(void)code;
	manager->stream = NULL;
	manager->closes++;
}

static void manager_on_stream(
	struct agent_fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events events = {.on_data = manager_on_data,
		.on_read = manager_on_read,
		.on_close = manager_on_close};
	struct manager *manager = fixture->extra;

	assert_string_equal(head->method, "POST");
	assert_string_equal(head->path, "/v1/agent");
	manager->requests++;
	manager->stream = stream;
	h2_stream_set_events(stream, &events, manager);
	h2_respond(stream, manager->status, NULL, 0, true);
}

static void on_config(void *user, const struct control_config *config)
{
	struct manager *manager = user;

	manager->config = *config;
	manager->configs++;
	if (manager->free_in_callback)
		control_free(TAKE_PTR(manager->control));
}

static void on_expect(void *user, const struct control_expect *expect)
{
	struct manager *manager = user;

	manager->expect = *expect;
	manager->expects++;
}

static void on_env(void *user, int64_t id)
{
	struct manager *manager = user;

	manager->env_id = id;
	manager->envs++;
}

static void on_reach(void *user)
{
	struct manager *manager = user;

	manager->reaches++;
}

static void on_exit_told(void *user, const char *reason)
{
	struct manager *manager = user;

	(void)snprintf(manager->reason, sizeof(manager->reason), "%s", reason);
	manager->exits++;
}

static void on_over(void *user, const struct err *err)
{
	struct manager *manager = user;

	manager->err = *err;
	manager->overs++;
	control_free(TAKE_PTR(manager->control));
}

static void start(struct manager *manager)
{
	static const struct control_events events = {.on_config = on_config,
		.on_expect = on_expect,
		.on_env = on_env,
		.on_reach = on_reach,
		.on_exit = on_exit_told,
		.on_over = on_over};
	int status = manager->status;

	*manager =
		(struct manager){.fixture = agent_fixture_new(), .status = status ? status : 200};
	buf_init(&manager->in, (size_t)4 * LIMIT_CONTROL_BODY_BYTES);
	buf_init(&manager->out, (size_t)4 * LIMIT_CONTROL_BODY_BYTES);
	manager->fixture->extra = manager;
	manager->fixture->on_stream = manager_on_stream;
	agent_fixture_link(manager->fixture, &manager->link, AGENT_CLIENT);
	agent_run_until(manager->fixture, &manager->link.ready, 1);
	assert_int_equal(control_new(agent_link_h2(manager->link.link), "telepresence-agent-1",
				 "web", &events, manager, &manager->control),
		0);
	agent_run_until(manager->fixture, &manager->requests, 1);
}

static void stop(struct manager *manager)
{
	control_free(TAKE_PTR(manager->control));
	agent_link_free(TAKE_PTR(manager->link.link));
	agent_fixture_free(manager->fixture);
	buf_done(&manager->in);
	buf_done(&manager->out);
}

static void say(struct manager *manager, const char *text)
{
	assert_non_null(manager->stream);
	assert_int_equal(buf_append(&manager->out, text, strlen(text)), 0);
	h2_stream_resume(manager->stream);
}

/* The next line of the agent, parsed. */
static json_object *hear(struct manager *manager)
{
	json_object *line;
	const uint8_t *end;
	size_t len;

	agent_run_until(manager->fixture, &manager->lines, 1);
	end = memchr(buf_head(&manager->in), '\n', buf_len(&manager->in));
	assert_non_null(end);
	len = (size_t)(end - buf_head(&manager->in));
	line = json_parse((const char *)buf_head(&manager->in), len);
	assert_non_null(line);
	buf_consume(&manager->in, len + 1);
	manager->lines--;
	return line;
}

static void hear_type(struct manager *manager, const char *type, int64_t id)
{
	json_object *line = hear(manager);

	assert_string_equal(json_text_or(line, "type", ""), type);
	assert_int_equal(json_int(line, "id", -1), id);
	json_object_put(line);
}

static void says_hello(void **state)
{
	struct manager manager = {.status = 0};
	json_object *line;

	(void)state;
	start(&manager);
	line = hear(&manager);
	assert_string_equal(json_text_or(line, "type", ""), "hello");
	assert_string_equal(json_text_or(line, "name", ""), "telepresence-agent-1");
	assert_string_equal(json_text_or(line, "container", ""), "web");
	assert_string_equal(json_text_or(line, "version", ""), TP_VERSION);
	json_object_put(line);
	stop(&manager);
}

static void hears_messages(void **state)
{
	struct manager manager = {.status = 0};
	char text[ADDR_TEXT_BYTES];

	(void)state;
	start(&manager);
	say(&manager, "{\"type\":\"news\"}\n{\"type\":\"env\",\"id\":4}\n");
	say(&manager, "{\"type\":\"expect\",\"id\":3,\"source\":\"10.1.0.9\","
		      "\"sourcePort\":40123,\"port\":8080,\"protocol\":\"TCP\"}\n");
	say(&manager, "{\"type\":\"config\",\"generation\":7,\"intercepts\":[]}\n");
	say(&manager, "{\"type\":\"exit\",\"reason\":\"uninstalled\"}\n");
	agent_run_until(manager.fixture, &manager.exits, 1);
	assert_int_equal(manager.env_id, 4);
	assert_int_equal(manager.expect.id, 3);
	assert_int_equal(manager.expect.port, 8080);
	assert_int_equal(manager.expect.protocol, IPPROTO_TCP);
	assert_string_equal(ip_endpoint_format(&manager.expect.source, text), "10.1.0.9:40123");
	assert_int_equal(manager.config.generation, 7);
	assert_int_equal(manager.config.idle_s, 600);
	assert_string_equal(manager.reason, "uninstalled");
	assert_int_equal(manager.envs + manager.expects + manager.configs, 3);
	assert_int_equal(manager.overs, 0);
	stop(&manager);
}

static void answers(void **state)
{
	struct manager manager = {.status = 0};
	const struct engine_counts counts = {
		.connections = 10, .fallbacks = {[REASON_REFUSED] = 1, [REASON_NO_CLIENT] = 2}};
	struct err err = ERR_INIT;
	json_object *line, *env = json_object_new_object();

	(void)state;
	start(&manager);
	json_object_put(hear(&manager));
	control_send_state(manager.control, 7, 0, &err);
	line = hear(&manager);
	assert_true(json_object_get_boolean(json_member(line, "ok")));
	json_object_put(line);
	err_set(&err, -EPERM, ERR_PERMISSION, "no \"rule\"");
	control_send_state(manager.control, 8, -EPERM, &err);
	line = hear(&manager);
	assert_int_equal(json_int(line, "generation", 0), 8);
	assert_false(json_object_get_boolean(json_member(line, "ok")));
	assert_string_equal(json_text_or(line, "message", ""), "no \"rule\"");
	json_object_put(line);
	control_send_expecting(manager.control, 3);
	hear_type(&manager, "expecting", 3);
	control_send_captured(manager.control, UINT32_MAX);
	hear_type(&manager, "captured", UINT32_MAX);
	json_add_text(env, "PORT", "8080");
	control_send_env(manager.control, 4, env);
	line = hear(&manager);
	assert_string_equal(json_text_or(line, "env.PORT", ""), "8080");
	json_object_put(line);
	control_send_count(manager.control, "i-1", &counts);
	line = hear(&manager);
	assert_int_equal(json_int(line, "connections", 0), 10);
	assert_int_equal(json_int(line, "fallbacks.refused", 0), 1);
	assert_int_equal(json_int(line, "fallbacks.no-client", 0), 2);
	assert_int_equal(json_object_object_length(json_member(line, "fallbacks")), 2);
	json_object_put(line);
	stop(&manager);
}

/* A whole megabyte of environment goes through, in as many frames as it takes. */
static void sends_long_lines(void **state)
{
	struct manager manager = {.status = 0};
	size_t len = LIMIT_CONTROL_BODY_BYTES - 100;
	char *value = xcalloc(1, len + 1);
	json_object *line, *env = json_object_new_object();

	(void)state;
	start(&manager);
	json_object_put(hear(&manager));
	memset(value, 'v', len);
	json_add_text(env, "BIG", value);
	control_send_env(manager.control, 4, env);
	line = hear(&manager);
	assert_string_equal(json_text_or(line, "env.BIG", ""), value);
	json_object_put(line);
	free(value);
	stop(&manager);
}

static void malformed_config_is_told(void **state)
{
	struct manager manager = {.status = 0};
	json_object *line;

	(void)state;
	start(&manager);
	json_object_put(hear(&manager));
	say(&manager, "{\"type\":\"config\",\"generation\":9,\"intercepts\":[{\"uid\":\"\"}]}\n");
	line = hear(&manager);
	assert_string_equal(json_text_or(line, "type", ""), "state");
	assert_int_equal(json_int(line, "generation", 0), 9);
	assert_false(json_object_get_boolean(json_member(line, "ok")));
	json_object_put(line);
	assert_int_equal(manager.configs + manager.overs, 0);
	stop(&manager);
}

static void ends_with(const char *text, bool end)
{
	struct manager manager = {.status = 0};

	start(&manager);
	manager.out_end = end;
	say(&manager, text);
	agent_run_until(manager.fixture, &manager.overs, 1);
	assert_null(manager.control);
	stop(&manager);
	assert_int_equal(manager.overs, 1);
}

static void ends(void **state)
{
	char *line = xcalloc(1, LIMIT_CONTROL_BODY_BYTES + 2);

	(void)state;
	memset(line, ' ', LIMIT_CONTROL_BODY_BYTES + 1);
	ends_with(line, false);
	free(line);
	ends_with("", true);
	ends_with("not json\n", false);
	ends_with("[]\n", false);
	ends_with("{\"type\":7}\n", false);
	ends_with("\n", false);
	ends_with("{\"type\":\"expect\",\"id\":-1}\n", false);
}

static void ends_when_refused(void **state)
{
	struct manager manager = {.status = 404};

	(void)state;
	start(&manager);
	agent_run_until(manager.fixture, &manager.overs, 1);
	assert_string_equal(manager.err.msg, "answered with status 404");
	stop(&manager);
}

static void is_freed_in_its_callback(void **state)
{
	struct manager manager = {.status = 0};

	(void)state;
	start(&manager);
	manager.free_in_callback = true;
	say(&manager, "{\"type\":\"config\",\"intercepts\":[]}\n{\"type\":\"env\",\"id\":4}\n");
	agent_run_until(manager.fixture, &manager.configs, 1);
	stop(&manager);
	assert_int_equal(manager.envs + manager.overs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_hello),
		cmocka_unit_test(hears_messages),
		cmocka_unit_test(answers),
		cmocka_unit_test(sends_long_lines),
		cmocka_unit_test(malformed_config_is_told),
		cmocka_unit_test(ends),
		cmocka_unit_test(ends_when_refused),
		cmocka_unit_test(is_freed_in_its_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
