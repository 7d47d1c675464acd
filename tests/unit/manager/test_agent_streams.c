/* SPDX-License-Identifier: Apache-2.0 */
/* Intercepted connections: from a scripted agent through the manager to a scripted laptop. */
#include "manager/scripted_agent.h"
#include "tunnel/fixture_end.h"

#define SOURCE "10.1.0.9:40123"

static const struct h2_header fields[] = {
	{"telepresence-intercept", "i-1"},
	{"telepresence-source", SOURCE},
	{"forged", "x"},
};

/* The laptop's end: what it was asked, and how it answers. */
struct laptop {
	struct end end;
	int status; /* 0: not at all */
	int asked;
	char authority[64], path[128], pod[64], source[64], intercept[64], port[64];
	bool forged;
};

static void copy(char *out, size_t len, const char *text)
{
	(void)snprintf(out, len, "%s", text ? text : "-");
}

static void serve(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_header refused = {"telepresence-reason", "refused"};
	struct laptop *laptop = fixture->extra;

	assert_string_equal(head->method, "CONNECT");
	copy(laptop->authority, sizeof(laptop->authority), head->authority);
	copy(laptop->path, sizeof(laptop->path), head->path);
	copy(laptop->pod, sizeof(laptop->pod), h2_head_get(head, "telepresence-pod"));
	copy(laptop->source, sizeof(laptop->source), h2_head_get(head, "telepresence-source"));
	copy(laptop->intercept, sizeof(laptop->intercept),
		h2_head_get(head, "telepresence-intercept"));
	copy(laptop->port, sizeof(laptop->port), h2_head_get(head, "telepresence-port"));
	laptop->forged = h2_head_get(head, "forged") != NULL;
	laptop->end.stream = stream;
	h2_stream_set_events(stream, &end_events, &laptop->end);
	if (laptop->status == 200)
		h2_respond(stream, 200, NULL, 0, true);
	else if (laptop->status > 0)
		h2_respond(stream, laptop->status, &refused, 1, false);
	laptop->asked++;
}

/* An agent with the one intercept, and a laptop. */
static struct rig *start(struct scripted *agent, struct laptop *laptop)
{
	struct rig *rig = rig_new();

	rig->tunnel->on_reversed = serve;
	rig->tunnel->extra = laptop;
	fixture_start_client(rig->tunnel, SESSION_UID, rig->tunnel->key);
	run_until(rig->tunnel, &rig->tunnel->peers, 1);
	rig_carrier = tunnel_peer_h2(rig->tunnel->peer);
	assert_non_null(rig_carrier);
	scripted_hello(agent, rig);
	agents_configure(rig->agents, POD_UID, one_intercept(), NULL);
	return rig;
}

static void stop(struct rig *rig, struct scripted *agent)
{
	scripted_done(agent);
	rig_free(rig);
}

static char reason[64];

static void on_head(void *user, const struct h2_head *head)
{
	copy(reason, sizeof(reason), h2_head_get(head, "telepresence-reason"));
	end_on_head(user, head);
}

static const struct h2_stream_events ask_events = {
	.on_head = on_head,
	.on_data = end_on_data,
	.on_end = end_on_end,
	.on_read = end_on_read,
	.on_close = end_on_close,
};

static void ask(struct scripted *agent, struct end *end, const struct h2_head *head)
{
	reason[0] = '\0';
	assert_int_equal(
		h2_request(agent_link_h2(agent->link), head, &ask_events, end, &end->stream), 0);
	run_until(agent->rig->tunnel, &end->heads, 1);
}

static const struct h2_head connect_head = {.method = "CONNECT",
	.authority = "10.1.0.7:8080",
	.headers = fields,
	.header_count = ARRAY_SIZE(fields)};

static void test_connection(void **state)
{
	struct laptop laptop = {.status = 200, .end = {.to_send = 100000}};
	struct end end = {.to_send = 200000};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	ask(&agent, &end, &connect_head);
	assert_int_equal(end.status, 200);
	run_until(rig->tunnel, &end.closed, 1);
	run_until(rig->tunnel, &laptop.end.closed, 1);
	assert_int_equal(end.received, 100000);
	assert_int_equal(laptop.end.received, 200000);
	assert_int_equal(laptop.end.sum_received, end.sum_sent);
	assert_string_equal(laptop.authority, "10.1.0.7:8080");
	assert_string_equal(laptop.intercept, "i-1");
	assert_string_equal(laptop.source, SOURCE);
	assert_string_equal(laptop.pod, "shop/web-1");
	assert_string_equal(laptop.port, "8080");
	assert_false(laptop.forged);
	assert_null(rig->agents->asks);
	stop(rig, &agent);
}

/* A named port has another number in this pod than in the intercept. */
static void test_port_of_another_number(void **state)
{
	static const char ports[] =
		"[{\"uid\":\"i-1\",\"onRefuse\":\"app\",\"ports\":[{\"port\":8080,\"protocol\":"
		"\"TCP\","
		"\"as\":9000},{\"port\":9000,\"protocol\":\"TCP\",\"as\":8080}]}]";
	struct laptop laptop = {.status = 200};
	struct end end = {.to_send = 1};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	agents_configure(rig->agents, POD_UID, json_parse(ports, sizeof(ports) - 1), NULL);
	ask(&agent, &end, &connect_head);
	assert_int_equal(end.status, 200);
	assert_string_equal(laptop.authority, "10.1.0.7:8080");
	assert_string_equal(laptop.port, "9000");
	stop(rig, &agent);
}

static void test_datagrams(void **state)
{
	const struct h2_head head = {.method = "CONNECT",
		.protocol = "connect-udp",
		.path = "/.well-known/masque/udp/10.1.0.7/53/",
		.headers = fields,
		.header_count = ARRAY_SIZE(fields)};
	struct laptop laptop = {.status = 200};
	struct end end = {.to_send = 10};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	ask(&agent, &end, &head);
	assert_int_equal(end.status, 200);
	run_until(rig->tunnel, &laptop.end.closed, 1);
	assert_string_equal(laptop.path, "/.well-known/masque/udp/10.1.0.7/53/");
	assert_string_equal(laptop.pod, "shop/web-1");
	stop(rig, &agent);
}

static void test_refused(void **state)
{
	struct laptop laptop = {.status = 502};
	struct end end = {.to_send = 1};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	ask(&agent, &end, &connect_head);
	assert_int_equal(end.status, 502);
	assert_string_equal(reason, "refused");
	run_until(rig->tunnel, &end.closed, 1);
	assert_string_equal(rig_silent, "");
	stop(rig, &agent);
}

/* No answer in time: the agent is told so, and the next one is told at once that nobody is there.
 */
static void test_silent(void **state)
{
	struct laptop laptop = {.status = 0};
	struct end end = {.to_send = SIZE_MAX}, next = {.to_send = SIZE_MAX};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);
	uint64_t begun_ms = uv_now(rig->loop);

	(void)state;
	ask(&agent, &end, &connect_head);
	assert_string_equal(reason, "timed-out");
	assert_in_range(uv_now(rig->loop) - begun_ms, 690, 10000);
	assert_string_equal(rig_silent, SESSION_UID);
	run_until(rig->tunnel, &end.closed, 1);
	ask(&agent, &next, &connect_head);
	assert_string_equal(reason, "no-client");
	assert_int_equal(laptop.asked, 1);
	stop(rig, &agent);
}

/* The laptop goes in the middle: the agent hears of it, and may ask the app. */
static void test_laptop_goes(void **state)
{
	struct laptop laptop = {.status = 200, .end = {.hold = true}};
	struct end end = {.hold = true};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	ask(&agent, &end, &connect_head);
	rig_carrier = NULL;
	tunnel_client_free(TAKE_PTR(rig->tunnel->client));
	run_until(rig->tunnel, &end.closed, 1);
	assert_int_not_equal(end.code, 0);
	stop(rig, &agent);
}

/* The table goes while a connection is open and another waits. */
static void test_manager_goes(void **state)
{
	struct laptop laptop = {.status = 200, .end = {.hold = true}};
	struct end end = {.hold = true}, waiting = {.hold = true};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	ask(&agent, &end, &connect_head);
	laptop.status = 0;
	assert_int_equal(h2_request(agent_link_h2(agent.link), &connect_head, &ask_events, &waiting,
				 &waiting.stream),
		0);
	run_until(rig->tunnel, &laptop.asked, 2);
	agents_free(TAKE_PTR(rig->agents));
	run_until(rig->tunnel, &end.closed, 1);
	run_until(rig->tunnel, &waiting.closed, 1);
	stop(rig, &agent);
}

/* The manager ends: what is open is finished, and then the agent's connection is closed. */
static void test_manager_leaves(void **state)
{
	struct laptop laptop = {.status = 200, .end = {.to_send = 100000, .hold = true}};
	struct end end = {.to_send = 200000};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	ask(&agent, &end, &connect_head);
	assert_int_equal(agents_leave(rig->agents), 1);
	for (int i = 0; i < 20; i++)
		uv_run(rig->loop, UV_RUN_NOWAIT);
	assert_int_equal(agents_leave(rig->agents), 1);
	assert_int_equal(agent.closed, 0);
	laptop.end.hold = false;
	h2_stream_resume(laptop.end.stream);
	run_until(rig->tunnel, &end.closed, 1);
	run_until(rig->tunnel, &laptop.end.closed, 1);
	assert_int_equal(end.code, 0);
	assert_int_equal(end.received, 100000);
	assert_int_equal(laptop.end.received, 200000);
	assert_int_equal(agents_leave(rig->agents), 0);
	run_until(rig->tunnel, &agent.closed, 1);
	stop(rig, &agent);
}

static void test_not_taken(void **state)
{
	static const struct h2_header bare[] = {{"telepresence-intercept", "i-1"}};
	static const struct h2_header bad_source[] = {
		{"telepresence-intercept", "i-1"}, {"telepresence-source", "web:80"}};
	static const struct h2_header other[] = {
		{"telepresence-intercept", "i-2"}, {"telepresence-source", SOURCE}};
	static const struct {
		struct h2_head head;
		int status;
		const char *reason;
	} rows[] = {
		{{.method = "CONNECT",
			 .authority = "10.1.0.7:8080",
			 .headers = bare,
			 .header_count = 1},
			400, "-"},
		{{.method = "CONNECT",
			 .authority = "10.1.0.7:8080",
			 .headers = bad_source,
			 .header_count = 2},
			400, "-"},
		{{.method = "CONNECT", .authority = "10.1.0.7:8080"}, 400, "-"},
		{{.method = "CONNECT",
			 .authority = "web:8080",
			 .headers = fields,
			 .header_count = 2},
			400, "-"},
		{{.method = "CONNECT",
			 .authority = "10.1.0.7:8080",
			 .headers = other,
			 .header_count = 2},
			403, "forbidden"},
		{{.method = "CONNECT",
			 .authority = "10.1.0.7:53",
			 .headers = fields,
			 .header_count = 2},
			403, "forbidden"},
		{{.method = "CONNECT",
			 .protocol = "connect-udp",
			 .path = "/.well-known/masque/udp/10.1.0.7/8080/",
			 .headers = fields,
			 .header_count = 2},
			403, "forbidden"},
		{{.method = "CONNECT",
			 .protocol = "telepresence-icmp",
			 .path = "/.well-known/telepresence/icmp/10.1.0.7/"},
			404, "-"},
		{{.method = "GET", .path = "/v1/cluster"}, 404, "-"},
		{{.method = "GET", .path = "/v1/agent"}, 405, "-"},
		{{.method = "POST", .path = "/v1/agent"}, 409, "-"},
	};
	struct laptop laptop = {.status = 200};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct end end = {.to_send = 1};

		ask(&agent, &end, &rows[i].head);
		assert_int_equal(end.status, rows[i].status);
		assert_string_equal(reason, rows[i].reason);
		run_until(rig->tunnel, &end.closed, 1);
	}
	assert_int_equal(laptop.asked, 0);
	stop(rig, &agent);
}

static void test_no_client(void **state)
{
	struct laptop laptop = {.status = 200};
	struct end end = {.to_send = SIZE_MAX}, next = {.to_send = SIZE_MAX},
		   last = {.to_send = SIZE_MAX};
	struct scripted agent;
	struct rig *rig = start(&agent, &laptop);

	(void)state;
	rig->session = NULL;
	ask(&agent, &end, &connect_head);
	assert_int_equal(end.status, 503);
	assert_string_equal(reason, "no-client");
	run_until(rig->tunnel, &end.closed, 1);
	rig->session = "another";
	ask(&agent, &next, &connect_head);
	assert_string_equal(reason, "no-client");
	run_until(rig->tunnel, &next.closed, 1);
	rig->session = SESSION_UID;
	agents_remove(rig->agents, POD_UID);
	ask(&agent, &last, &connect_head);
	assert_string_equal(reason, "no-client");
	run_until(rig->tunnel, &last.closed, 1);
	assert_int_equal(laptop.asked, 0);
	stop(rig, &agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_port_of_another_number),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_laptop_goes),
		cmocka_unit_test(test_manager_goes),
		cmocka_unit_test(test_manager_leaves),
		cmocka_unit_test(test_not_taken),
		cmocka_unit_test(test_no_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
