/* SPDX-License-Identifier: Apache-2.0 */
/* Carriers through a canned API server: both ways, the race, refusals, and how they end. SPDY it
 * does not know (test_port_forward.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/carrier.h"
#include "cluster/fake_api.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/ws.h"

#define PROXY_PATH   "GET /api/v1/namespaces/ns/services/traffic-manager:tunnel/proxy/tunnel "
#define FORWARD_PATH " /api/v1/namespaces/ns/pods/ready/portforward?ports=8081 "
#define PODS_PATH    "GET /api/v1/namespaces/ns/pods?labelSelector=app%3Dtraffic-manager "
#define PODS \
	"{\"items\":[{\"metadata\":{\"name\":\"starting\"},\"status\":{}}," \
	"{\"metadata\":{\"name\":\"ready\"},\"status\":{\"conditions\":" \
	"[{\"type\":\"Ready\",\"status\":\"True\"}]}}]}"

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct kube_carrier_open *open;
	struct carrier *carrier;
	struct ws_parser parser;
	struct buf sent, got, message;
	size_t to_send;
	bool refuse_proxy, forbid_proxy, silent_proxy, refuse_forward, hang_up, say_goodbye,
		forwarding;
	int opened, closed;
	int stranger_status; /* of a proxy that lets no services/proxy through */
	struct err err;
	struct kube_carrier_report report;
};

static char *switch_protocols(const char *head)
{
	const char *key = strstr(head, "Sec-WebSocket-Key: ") + 19;
	const char *protocol = strstr(head, "Sec-WebSocket-Protocol: ") + 24;
	auto_free char *key_text = xstrndup(key, strcspn(key, "\r"));
	char accept[WS_ACCEPT_BYTES];

	ws_accept(key_text, accept);
	return xasprintf("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n"
			 "Sec-WebSocket-Protocol: %.*s\r\n\r\n",
		accept, (int)strcspn(protocol, "\r"), protocol);
}

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);

	api->raw_after = false;
	if (strncmp(head, PODS_PATH, strlen(PODS_PATH)) == 0)
		return fake_json(200, PODS);
	if (strstr(head, FORWARD_PATH)) {
		if (rig->refuse_forward)
			return fake_json(403,
				"{\"message\":\"User \\\"u\\\" cannot create pods/portforward\"}");
		if (strstr(head, "Upgrade: SPDY/3.1"))
			return fake_json(400, "{}");
		rig->forwarding = api->raw_after = true;
		return switch_protocols(head);
	}
	assert_int_equal(strncmp(head, PROXY_PATH, strlen(PROXY_PATH)), 0);
	if (rig->silent_proxy)
		return NULL;
	if (rig->stranger_status)
		return xasprintf(
			"HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\n<no>", rig->stranger_status);
	if (rig->forbid_proxy)
		return fake_json(403, "{\"message\":\"User \\\"u\\\" cannot get services/proxy\"}");
	if (rig->refuse_proxy)
		return fake_json(503, "{\"message\":\"no endpoints available\"}");
	api->raw_after = true;
	return switch_protocols(head);
}

static void send_frame(struct fake_conn *conn, uint8_t op, const void *prefix, size_t prefix_len,
	const void *data, size_t len)
{
	uint8_t *frame = xcalloc(1, WS_HEADER_MAX_BYTES + prefix_len + len);
	size_t at = ws_frame_header(frame, op, prefix_len + len, NULL);

	if (prefix_len > 0)
		memcpy(frame + at, prefix, prefix_len);
	if (len > 0)
		memcpy(frame + at + prefix_len, data, len);
	fake_send(conn, frame, at + prefix_len + len);
	free(frame);
}

static void on_server_payload(void *user, const uint8_t *data, size_t len)
{
	struct rig *rig = user;

	assert_int_equal(buf_append(&rig->message, data, len), 0);
}

/* Echoes each message; a port-forward's begin with the channel, and the ports come first. */
static void on_server_message(void *user)
{
	static const uint8_t ports[2][3] = {{0, 0x91, 0x1f}, {1, 0x91, 0x1f}};
	struct rig *rig = user;
	struct fake_conn *conn = NULL;

	for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
		if (rig->api.conns[i] && rig->api.conns[i]->raw)
			conn = rig->api.conns[i];
	}
	assert_non_null(conn);
	if (rig->forwarding) {
		rig->forwarding = false;
		send_frame(conn, WS_OP_BINARY, NULL, 0, ports[0], 3);
		send_frame(conn, WS_OP_BINARY, NULL, 0, ports[1], 3);
	}
	send_frame(conn, WS_OP_BINARY, NULL, 0, buf_head(&rig->message), buf_len(&rig->message));
	buf_consume(&rig->message, buf_len(&rig->message));
}

static void raw(struct fake_conn *conn, uint8_t *data, size_t len)
{
	static const struct ws_events events = {
		.on_payload = on_server_payload, .on_message_end = on_server_message};
	struct rig *rig = container_of(conn->api, struct rig, api);

	assert_int_equal(ws_parse(&rig->parser, data, len, &events, rig), 0);
	if (rig->say_goodbye)
		send_frame(conn, WS_OP_CLOSE, NULL, 0, "\x03\xe8", 2);
	else if (rig->hang_up)
		fake_close(conn);
}

static void send_more(struct rig *rig)
{
	uint8_t data[10000];

	while (rig->to_send > 0 && carrier_room(rig->carrier) >= sizeof(data)) {
		size_t n = MIN(rig->to_send, sizeof(data));

		for (size_t i = 0; i < n; i++)
			data[i] = (uint8_t)((rig->to_send + i) * 7 >> 3);
		assert_int_equal(buf_append(&rig->sent, data, n), 0);
		carrier_send(rig->carrier, data, n);
		rig->to_send -= n;
	}
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct rig *rig = user;

	assert_int_equal(buf_append(&rig->got, data, len), 0);
}

static void on_writable(void *user)
{
	struct rig *rig = user;

	assert_true(carrier_room(rig->carrier) > 0);
	send_more(rig);
}

static void on_closed(void *user, const struct err *err)
{
	struct rig *rig = user;

	rig->closed++;
	rig->err = *err;
}

static void on_open(void *user, int r, struct carrier *carrier,
	const struct kube_carrier_report *report, const struct err *err)
{
	static const struct carrier_events events = {
		.on_data = on_data, .on_writable = on_writable, .on_closed = on_closed};
	struct rig *rig = user;

	rig->opened++;
	rig->open = NULL;
	rig->err = *err;
	rig->report = *report;
	rig->carrier = carrier;
	assert_int_equal(r == 0, carrier != NULL);
	if (carrier) {
		carrier_start(carrier, &events, rig);
		send_more(rig);
	}
}

static void rig_open(struct rig *rig, enum kube_carrier_kind kind)
{
	struct kube_config config = {.server = rig->api.url, .context = (char[]){"ctx"}};

	rig->parser.role = WS_SERVER;
	buf_init(&rig->sent, 8 * 1024 * 1024);
	buf_init(&rig->got, 8 * 1024 * 1024);
	buf_init(&rig->message, 8 * 1024 * 1024);
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->api.answer = answer;
	rig->api.raw = raw;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
	rig->open = kube_carrier_open(
		&(struct kube_carrier_config){
			.client = rig->client, .manager_namespace = "ns", .kind = kind},
		on_open, rig);
	assert_int_equal(rig->opened, 0);
}

static void rig_wait_open(struct rig *rig)
{
	while (!rig->opened)
		uv_run(&rig->loop, UV_RUN_ONCE);
}

static void rig_end(struct rig *rig)
{
	kube_carrier_cancel(rig->open);
	carrier_free(rig->carrier);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	assert_true(rig->opened <= 1 && rig->closed <= 1);
	buf_done(&rig->sent);
	buf_done(&rig->got);
	buf_done(&rig->message);
}

static void check_echo(struct rig *rig, const char *name, const char *first)
{
	size_t want = 3000000 + strlen(first);

	rig_wait_open(rig);
	assert_non_null(rig->carrier);
	assert_string_equal(rig->carrier->ops->name, name);
	while (!rig->closed && buf_len(&rig->got) < want)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_int_equal(buf_len(&rig->got), want);
	assert_memory_equal(buf_head(&rig->got), first, strlen(first));
	assert_memory_equal(
		buf_head(&rig->got) + strlen(first), buf_head(&rig->sent), buf_len(&rig->sent));
	rig_end(rig);
}

static void check_fates(
	const struct rig *rig, enum kube_carrier_fate proxy, enum kube_carrier_fate forward)
{
	assert_string_equal(rig->report.ways[0].name, "services/proxy");
	assert_string_equal(rig->report.ways[1].name, "port-forward");
	assert_int_equal(rig->report.ways[0].fate, proxy);
	assert_int_equal(rig->report.ways[1].fate, forward);
}

static void test_proxy_echo(void **state UNUSED)
{
	struct rig rig = {.to_send = 3000000};

	rig_open(&rig, KUBE_CARRIER_AUTO);
	check_echo(&rig, "services/proxy", "");
	check_fates(&rig, KUBE_CARRIER_CHOSEN, KUBE_CARRIER_UNTRIED);
}

static void test_forward_echo(void **state UNUSED)
{
	struct rig rig = {.to_send = 3000000};

	rig_open(&rig, KUBE_CARRIER_PORT_FORWARD);
	check_echo(&rig, "port-forward", TUNNEL_PREAMBLE);
	check_fates(&rig, KUBE_CARRIER_OFF, KUBE_CARRIER_CHOSEN);
}

static void test_second_way_wins(void **state UNUSED)
{
	struct rig refused = {.to_send = 3000000, .refuse_proxy = true};
	struct rig silent = {.to_send = 3000000, .silent_proxy = true};

	rig_open(&refused, KUBE_CARRIER_AUTO);
	check_echo(&refused, "port-forward", TUNNEL_PREAMBLE);
	check_fates(&refused, KUBE_CARRIER_FAILED, KUBE_CARRIER_CHOSEN);
	assert_string_equal(refused.report.ways[0].err.msg, "no endpoints available");
	rig_open(&silent, KUBE_CARRIER_AUTO);
	check_echo(&silent, "port-forward", TUNNEL_PREAMBLE);
	check_fates(&silent, KUBE_CARRIER_SLOWER, KUBE_CARRIER_CHOSEN);
}

/* What is not the API server's word says nothing of the other way. */
static void test_a_strangers_refusal(void **state UNUSED)
{
	static const int statuses[] = {400, 403, 404, 410, 426, 502};

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct rig rig = {.to_send = 3000000, .stranger_status = statuses[i]};

		rig_open(&rig, KUBE_CARRIER_AUTO);
		check_echo(&rig, "port-forward", TUNNEL_PREAMBLE);
		check_fates(&rig, KUBE_CARRIER_FAILED, KUBE_CARRIER_CHOSEN);
	}
}

static void test_refusals(void **state UNUSED)
{
	struct rig one = {.refuse_proxy = true},
		   both = {.refuse_proxy = true, .refuse_forward = true};
	struct rig forbidden = {.forbid_proxy = true, .refuse_forward = true};

	rig_open(&one, KUBE_CARRIER_PROXY);
	rig_wait_open(&one);
	assert_null(one.carrier);
	assert_int_equal(one.err.kind, ERR_UNREACHABLE);
	assert_string_equal(one.err.msg, "no endpoints available");
	check_fates(&one, KUBE_CARRIER_FAILED, KUBE_CARRIER_OFF);
	rig_end(&one);
	rig_open(&both, KUBE_CARRIER_AUTO);
	rig_wait_open(&both);
	assert_non_null(strstr(both.err.msg, "services/proxy: no endpoints available"));
	assert_non_null(strstr(both.err.msg, "port-forward: User \"u\" cannot create"));
	check_fates(&both, KUBE_CARRIER_FAILED, KUBE_CARRIER_FAILED);
	rig_end(&both);
	rig_open(&forbidden, KUBE_CARRIER_AUTO);
	rig_wait_open(&forbidden);
	assert_int_equal(forbidden.err.kind, ERR_PERMISSION);
	assert_non_null(strstr(forbidden.err.msg, "cannot get services/proxy"));
	assert_null(strstr(forbidden.err.msg, "pods/portforward"));
	rig_end(&forbidden);
}

static void test_cancel_while_opening(void **state UNUSED)
{
	struct rig rig = {.silent_proxy = true};

	rig_open(&rig, KUBE_CARRIER_PROXY);
	assert_false(kube_carrier_reached(rig.open));
	while (rig.api.requests == 0)
		uv_run(&rig.loop, UV_RUN_ONCE);
	assert_true(kube_carrier_reached(rig.open));
	rig_end(&rig);
	assert_int_equal(rig.opened, 0);
}

static void test_ends(void **state UNUSED)
{
	struct rig cut = {.to_send = 1, .hang_up = true}, bye = {.to_send = 1, .say_goodbye = true};

	rig_open(&cut, KUBE_CARRIER_PROXY);
	while (!cut.closed)
		uv_run(&cut.loop, UV_RUN_ONCE);
	assert_int_equal(cut.err.kind, ERR_UNREACHABLE);
	assert_non_null(strstr(cut.err.msg, cut.api.url));
	assert_int_equal(carrier_room(cut.carrier), 0);
	carrier_send(cut.carrier, "late", 4);
	rig_end(&cut);
	rig_open(&bye, KUBE_CARRIER_PROXY);
	while (!bye.closed)
		uv_run(&bye.loop, UV_RUN_ONCE);
	assert_int_equal(bye.err.kind, ERR_NONE);
	rig_end(&bye);
}

static void test_names(void **state UNUSED)
{
	enum kube_carrier_kind kind = KUBE_CARRIER_PROXY;
	struct err err = ERR_INIT;

	assert_int_equal(kube_carrier_parse(NULL, &kind, &err), 0);
	assert_int_equal(kind, KUBE_CARRIER_AUTO);
	assert_int_equal(kube_carrier_parse("services/proxy", &kind, &err), 0);
	assert_int_equal(kind, KUBE_CARRIER_PROXY);
	assert_int_equal(kube_carrier_parse("port-forward", &kind, &err), 0);
	assert_int_equal(kind, KUBE_CARRIER_PORT_FORWARD);
	assert_int_equal(kube_carrier_parse("pigeon", &kind, &err), -EINVAL);
	assert_int_equal(err.kind, ERR_USAGE);
	assert_non_null(strstr(err.msg, "services/proxy and port-forward"));
	assert_int_equal(kind, KUBE_CARRIER_PORT_FORWARD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proxy_echo),
		cmocka_unit_test(test_forward_echo),
		cmocka_unit_test(test_second_way_wins),
		cmocka_unit_test(test_a_strangers_refusal),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_cancel_while_opening),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
