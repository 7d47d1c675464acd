/* SPDX-License-Identifier: Apache-2.0 */
/* The program between a scripted manager and an engine that only writes down what it is told. */
#include "tunnel/agent_fixture_link.h"

#include <stdlib.h>

#include "agent/engine.h"
#include "agent/options.h"
#include "agent/program.h"
#include "cluster/json.h"
#include "core/buf.h"

struct engine {
	int configures, expects, freed;
	size_t flows;
	struct engine_config config;
	int result; /* of the next configuration */
	struct h2_session *h2;
	struct engine_counts counts;
	struct engine_events events;
	void *user;
};

static struct engine the_engine;

int engine_new(uv_loop_t *loop, const struct engine_events *events, void *user,
	struct engine **ret_engine, struct err *err)
{
	(void)loop, (void)err;
	the_engine = (struct engine){.events = *events, .user = user};
	*ret_engine = &the_engine;
	return 0;
}

int engine_configure(struct engine *engine, const struct engine_config *config, struct err *err)
{
	engine->configures++;
	if (engine->result < 0)
		return err_set_errno(err, engine->result, "rules");
	engine->config = *config;
	return 0;
}

void engine_set_link(struct engine *engine, struct h2_session *h2)
{
	engine->h2 = h2;
}

void engine_expect(struct engine *engine, uint32_t probe_id, const struct ip_endpoint *source,
	uint16_t port, uint8_t protocol)
{
	(void)probe_id, (void)source, (void)port, (void)protocol;
	engine->expects++;
}

bool engine_counts(
	const struct engine *engine, const char *intercept, struct engine_counts *ret_counts)
{
	*ret_counts = engine->counts;
	return strcmp(intercept, "i-1") == 0;
}

size_t engine_flow_count(const struct engine *engine)
{
	return engine->flows;
}

void engine_free(struct engine *engine)
{
	engine->freed++;
}

struct manager {
	struct agent_fixture *fixture;
	struct agent_options options;
	struct program *program;
	struct h2_stream *stream;
	struct buf in, out;
	int requests, lines;
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
		return H2_READ_AGAIN;
	memcpy(out, buf_head(&manager->out), take);
	buf_consume(&manager->out, take);
	return (ssize_t)take;
}

static void manager_on_close(void *user, uint32_t code)
{
	(void)code;
	((struct manager *)user)->stream = NULL;
}

static void manager_on_stream(
	struct agent_fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events events = {.on_data = manager_on_data,
		.on_read = manager_on_read,
		.on_close = manager_on_close};
	struct manager *manager = fixture->extra;

	(void)head;
	manager->requests++;
	manager->stream = stream;
	h2_stream_set_events(stream, &events, manager);
	h2_respond(stream, 200, NULL, 0, true);
}

static void start(struct manager *manager)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct err err = ERR_INIT;

	*manager = (struct manager){.fixture = fixture};
	buf_init(&manager->in, LIMIT_CONTROL_BODY_BYTES);
	buf_init(&manager->out, LIMIT_CONTROL_BODY_BYTES);
	fixture->extra = manager;
	fixture->on_stream = manager_on_stream;
	manager->options = (struct agent_options){
		.manager = {.addr = {.family = AF_INET, .bytes = {127, 0, 0, 1}},
			.port = agent_server_port(fixture->server)},
		.pod_uid = POD_UID,
		.container = "web",
		.name = "telepresence-agent-1",
		.nodes = {{.family = AF_INET, .bytes = {10, 9, 0, 1}}},
		.node_count = 1,
	};
	identity_pin(fixture->identity, manager->options.pin);
	memcpy(manager->options.token, fixture->token, AGENT_TOKEN_BYTES);
	assert_int_equal(
		program_start(&fixture->loop, &manager->options, &manager->program, &err), 0);
}

static void stop(struct manager *manager)
{
	program_stop(manager->program);
	assert_int_equal(the_engine.freed, 1);
	agent_fixture_free(manager->fixture);
	program_free(manager->program);
	buf_done(&manager->in);
	buf_done(&manager->out);
}

static void say(struct manager *manager, const char *line)
{
	assert_non_null(manager->stream);
	assert_int_equal(buf_printf(&manager->out, "%s\n", line), 0);
	h2_stream_resume(manager->stream);
}

/* The next line of the agent, parsed, of which the type is this. */
static json_object *hear(struct manager *manager, const char *type)
{
	json_object *line;
	const uint8_t *end;
	size_t len;

	agent_run_until(manager->fixture, &manager->lines, 1);
	end = memchr(buf_head(&manager->in), '\n', buf_len(&manager->in));
	assert_non_null(end);
	len = (size_t)(end - buf_head(&manager->in));
	line = json_parse((const char *)buf_head(&manager->in), len);
	buf_consume(&manager->in, len + 1);
	manager->lines--;
	assert_string_equal(json_text_or(line, "type", ""), type);
	return line;
}

static void hear_and_forget(struct manager *manager, const char *type)
{
	json_object_put(hear(manager, type));
}

#define CONFIG(generation, idle) \
	"{\"type\":\"config\",\"generation\":" #generation ",\"idleSeconds\":" #idle "," \
	"\"nodeAddresses\":[\"10.9.0.2\",\"10.9.0.1\"],\"intercepts\":[{\"uid\":\"i-1\"," \
	"\"ports\":[{\"port\":8080,\"protocol\":\"TCP\"}]}]}"

static void does_as_configured(void **state)
{
	struct manager manager;
	json_object *line;

	(void)state;
	start(&manager);
	hear_and_forget(&manager, "hello");
	assert_non_null(the_engine.h2);
	say(&manager, CONFIG(7, 600));
	line = hear(&manager, "state");
	assert_true(json_object_get_boolean(json_member(line, "ok")));
	assert_int_equal(json_int(line, "generation", 0), 7);
	json_object_put(line);
	assert_int_equal(the_engine.config.port_count, 1);
	/* The manager's two, of which the spec has one as well, and whatever gateways there are. */
	assert_true(the_engine.config.node_count >= 2);
	assert_int_equal(the_engine.config.nodes[0].bytes[3], 2);
	hear_and_forget(&manager, "count");
	the_engine.result = -EPERM;
	say(&manager, CONFIG(8, 600));
	line = hear(&manager, "state");
	assert_false(json_object_get_boolean(json_member(line, "ok")));
	assert_int_equal(json_int(line, "generation", 0), 8);
	assert_non_null(strstr(json_text_or(line, "message", ""), "rules"));
	json_object_put(line);
	stop(&manager);
}

static void answers_probes_and_environment(void **state)
{
	struct manager manager;
	json_object *line;

	(void)state;
	(void)setenv("AGENT_TEST_VARIABLE", "a value", 1);
	start(&manager);
	hear_and_forget(&manager, "hello");
	say(&manager, "{\"type\":\"expect\",\"id\":3,\"source\":\"10.1.0.9\",\"sourcePort\":40123,"
		      "\"port\":8080,\"protocol\":\"TCP\"}");
	line = hear(&manager, "expecting");
	assert_int_equal(json_int(line, "id", 0), 3);
	json_object_put(line);
	assert_int_equal(the_engine.expects, 1);
	the_engine.events.on_captured(the_engine.user, 3);
	line = hear(&manager, "captured");
	assert_int_equal(json_int(line, "id", 0), 3);
	json_object_put(line);
	say(&manager, "{\"type\":\"env\",\"id\":4}");
	line = hear(&manager, "env");
	assert_string_equal(json_text_or(line, "env.AGENT_TEST_VARIABLE", ""), "a value");
	json_object_put(line);
	stop(&manager);
}

/* A thousand connections at once are one line, not a thousand. */
static void counts_are_gathered(void **state)
{
	struct manager manager;
	json_object *line;
	uint64_t first_ms;

	(void)state;
	start(&manager);
	hear_and_forget(&manager, "hello");
	for (int i = 0; i < 1000; i++) {
		the_engine.counts.connections++;
		the_engine.events.on_count(the_engine.user, "i-1");
	}
	line = hear(&manager, "count");
	assert_int_equal(json_int(line, "connections", 0), 1000);
	json_object_put(line);
	first_ms = uv_now(&manager.fixture->loop);
	the_engine.counts.connections++;
	the_engine.events.on_count(the_engine.user, "i-1");
	line = hear(&manager, "count");
	assert_int_equal(json_int(line, "connections", 0), 1001);
	json_object_put(line);
	assert_true(uv_now(&manager.fixture->loop) - first_ms >= 900);
	stop(&manager);
}

static void comes_again_when_cut(void **state)
{
	struct manager manager;

	(void)state;
	start(&manager);
	hear_and_forget(&manager, "hello");
	say(&manager, CONFIG(7, 600));
	hear_and_forget(&manager, "state");
	hear_and_forget(&manager, "count");
	agent_peer_close(manager.fixture->peer, "restarting");
	agent_run_until(manager.fixture, &manager.fixture->gone, 1);
	hear_and_forget(&manager, "hello");
	assert_non_null(the_engine.h2);
	/* By its certificate: the token is spent. */
	assert_int_equal(manager.fixture->spends, 1);
	/* The rules stayed meanwhile. */
	assert_int_equal(the_engine.config.port_count, 1);
	assert_int_equal(the_engine.configures, 1);
	stop(&manager);
}

/* When only the control stream ends, the link is made anew as well. */
static void comes_again_without_control(void **state)
{
	struct manager manager;

	(void)state;
	start(&manager);
	hear_and_forget(&manager, "hello");
	h2_stream_reset(manager.stream, 8);
	hear_and_forget(&manager, "hello");
	assert_int_equal(manager.fixture->agents, 2);
	assert_int_equal(manager.requests, 2);
	stop(&manager);
}

static void ends_when_told(void **state)
{
	struct manager manager;

	(void)state;
	start(&manager);
	hear_and_forget(&manager, "hello");
	say(&manager, "{\"type\":\"exit\",\"reason\":\"uninstalled\"}");
	agent_run_until(manager.fixture, &the_engine.freed, 1);
	assert_int_equal(program_exit_code(manager.program), 0);
	stop(&manager);
}

static void ends_when_refused(void **state)
{
	struct manager manager;

	(void)state;
	start(&manager);
	manager.fixture->token_spent = true;
	agent_run_until(manager.fixture, &the_engine.freed, 1);
	assert_int_equal(program_exit_code(manager.program), err_exit_code(ERR_AUTH));
	assert_int_equal(manager.requests, 0);
	stop(&manager);
}

static void ends_when_idle(void **state)
{
	struct manager manager;

	(void)state;
	start(&manager);
	hear_and_forget(&manager, "hello");
	/* While something is intercepted it stays, however short the time. */
	say(&manager, CONFIG(7, 1));
	hear_and_forget(&manager, "state");
	hear_and_forget(&manager, "count");
	assert_int_equal(the_engine.freed, 0);
	say(&manager, "{\"type\":\"config\",\"generation\":8,\"idleSeconds\":1,\"intercepts\":[]}");
	agent_run_until(manager.fixture, &the_engine.freed, 1);
	assert_int_equal(the_engine.config.port_count, 0);
	assert_int_equal(program_exit_code(manager.program), 0);
	stop(&manager);
}

static void ends_with_the_last_connection(void **state)
{
	struct manager manager;

	(void)state;
	start(&manager);
	hear_and_forget(&manager, "hello");
	say(&manager, CONFIG(7, 600));
	hear_and_forget(&manager, "state");
	hear_and_forget(&manager, "count");
	the_engine.flows = 1;
	assert_true(program_drain(manager.program));
	assert_int_equal(the_engine.config.port_count, 0);
	/* What is configured now comes too late: the next word is the answer to the other. */
	say(&manager, CONFIG(8, 600));
	say(&manager, "{\"type\":\"env\",\"id\":4}");
	hear_and_forget(&manager, "env");
	assert_int_equal(the_engine.config.port_count, 0);
	assert_int_equal(the_engine.freed, 0);
	the_engine.flows = 0;
	agent_run_until(manager.fixture, &the_engine.freed, 1);
	stop(&manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(does_as_configured),
		cmocka_unit_test(answers_probes_and_environment),
		cmocka_unit_test(counts_are_gathered),
		cmocka_unit_test(comes_again_when_cut),
		cmocka_unit_test(comes_again_without_control),
		cmocka_unit_test(ends_when_told),
		cmocka_unit_test(ends_when_refused),
		cmocka_unit_test(ends_when_idle),
		cmocka_unit_test(ends_with_the_last_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
