/* SPDX-License-Identifier: Apache-2.0 */
/* Port-forwards through a canned API server: by SPDY with either right, and by WebSocket instead.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/carrier.h"
#include "cluster/fake_api.h"
#include "cluster/spdy.h"
#include "core/buf.h"
#include "core/err.h"

#define PATH "/api/v1/namespaces/ns/pods/ready/portforward?ports=8081 "
#define PODS \
	"{\"items\":[{\"metadata\":{\"name\":\"ready\"},\"status\":{\"conditions\":" \
	"[{\"type\":\"Ready\",\"status\":\"True\"}]}}]}"
#define BYTES 3000000

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct kube_carrier_open *open;
	struct carrier *carrier;
	struct spdy_parser parser;
	struct buf syn, sent, got;
	/* What the server does. */
	bool forbid_post, forbid_get, no_spdy, silent, early, reset, refused_port;
	char asked[64]; /* P: POST, G: GET, W: WebSocket */
	size_t to_send;
	int opened, closed, pongs;
	struct err err;
};

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);
	bool post = strncmp(head, "POST ", 5) == 0, spdy = strstr(head, "Upgrade: SPDY/3.1");
	size_t n = strlen(rig->asked);

	api->raw_after = false;
	if (!strstr(head, PATH))
		return fake_json(200, PODS);
	assert_true(n + 1 < sizeof(rig->asked));
	rig->asked[n] = spdy ? post ? 'P' : 'G' : 'W';
	if (post ? rig->forbid_post : rig->forbid_get)
		return fake_json(403, post ? "{\"message\":\"User \\\"u\\\" cannot create it\"}"
					   : "{\"message\":\"User \\\"u\\\" cannot get it\"}");
	if (!spdy)
		return fake_json(503, "{\"message\":\"no WebSocket either\"}");
	if (rig->no_spdy)
		return fake_json(400, "{}");
	if (rig->silent)
		return NULL;
	api->raw_after = true;
	return xasprintf("HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n");
}

static void send_data(struct fake_conn *conn, uint32_t stream, const void *data, size_t len)
{
	uint8_t *frame = xcalloc(1, SPDY_HEADER_BYTES + len);

	spdy_data_header(frame, stream, len);
	memcpy(frame + SPDY_HEADER_BYTES, data, len);
	fake_send(conn, frame, SPDY_HEADER_BYTES + len);
	free(frame);
}

static void send_control(struct fake_conn *conn, uint8_t type, uint8_t stream)
{
	const uint8_t frame[] = {
		0x80, 3, 0, type, 0, 0, 0, type == 3 ? 8 : 4, 0, 0, 0, stream, 0, 0, 0, 1};

	fake_send(conn, frame, type == 3 ? 16 : 12);
}

static void on_server_data(void *user, uint32_t stream, const uint8_t *data, size_t len)
{
	assert_int_equal(stream, SPDY_STREAM_DATA);
	send_data(user, stream, data, len);
}

static void on_server_nothing(void *user, uint32_t stream)
{
	(void)user;
	fail_msg("stream %u", stream);
}

static void on_server_ping(void *user, const uint8_t frame[static SPDY_PING_BYTES])
{
	struct fake_conn *conn = user;

	assert_int_equal(frame[11], 2);
	container_of(conn->api, struct rig, api)->pongs++;
}

/* The two streams, byte by byte what is expected; then their replies. */
static void take_streams(struct rig *rig, struct fake_conn *conn)
{
	uint8_t want[SPDY_STREAMS_MAX_BYTES];
	size_t len = spdy_streams(want, 8081);

	if (buf_len(&rig->syn) < len)
		return;
	assert_int_equal(buf_len(&rig->syn), len);
	assert_memory_equal(buf_head(&rig->syn), want, len);
	if (rig->early)
		send_data(conn, SPDY_STREAM_DATA, "x", 1);
	if (rig->reset)
		send_control(conn, 3, SPDY_STREAM_DATA);
	send_control(conn, 2, SPDY_STREAM_ERROR);
	send_control(conn, 6, 2);
	send_control(conn, 6, 7);
	send_control(conn, 2, SPDY_STREAM_DATA);
	if (rig->refused_port) {
		send_data(conn, SPDY_STREAM_ERROR, "connection refused", 18);
		send_control(conn, 3, SPDY_STREAM_DATA);
	}
}

static void raw(struct fake_conn *conn, uint8_t *data, size_t len)
{
	static const struct spdy_events events = {.on_reply = on_server_nothing,
		.on_data = on_server_data,
		.on_end = on_server_nothing,
		.on_ping = on_server_ping};
	struct rig *rig = container_of(conn->api, struct rig, api);
	uint8_t want[SPDY_STREAMS_MAX_BYTES];

	if (buf_len(&rig->syn) < spdy_streams(want, 8081)) {
		assert_int_equal(buf_append(&rig->syn, data, len), 0);
		take_streams(rig, conn);
		return;
	}
	assert_int_equal(spdy_parse(&rig->parser, data, len, &events, conn), 0);
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
	send_more(user);
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

	(void)report;
	assert_int_equal(r == 0, carrier != NULL);
	rig->opened++;
	rig->open = NULL;
	rig->err = *err;
	rig->carrier = carrier;
	if (carrier) {
		carrier_start(carrier, &events, rig);
		send_more(rig);
	}
}

static void rig_open(struct rig *rig)
{
	struct kube_config config = {.server = rig->api.url, .context = (char[]){"ctx"}};

	buf_init(&rig->syn, 4096);
	buf_init(&rig->sent, 2 * BYTES);
	buf_init(&rig->got, 2 * BYTES);
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->api.answer = answer;
	rig->api.raw = raw;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
	rig->open = kube_carrier_open(&(struct kube_carrier_config){.client = rig->client,
					      .manager_namespace = "ns",
					      .kind = KUBE_CARRIER_PORT_FORWARD},
		on_open, rig);
	while (!rig->opened)
		uv_run(&rig->loop, UV_RUN_ONCE);
}

static void rig_end(struct rig *rig)
{
	carrier_free(rig->carrier);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	buf_done(&rig->syn);
	buf_done(&rig->sent);
	buf_done(&rig->got);
}

static void check_echo(struct rig *rig, const char *asked)
{
	size_t first = strlen(TUNNEL_PREAMBLE);

	rig->to_send = BYTES;
	rig_open(rig);
	assert_non_null(rig->carrier);
	assert_string_equal(rig->asked, asked);
	assert_string_equal(rig->carrier->ops->name, "port-forward");
	while (!rig->closed && buf_len(&rig->got) < BYTES + first)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_int_equal(buf_len(&rig->got), BYTES + first);
	assert_memory_equal(buf_head(&rig->got), TUNNEL_PREAMBLE, first);
	assert_memory_equal(buf_head(&rig->got) + first, buf_head(&rig->sent), BYTES);
	assert_int_equal(rig->pongs, 1);
	rig_end(rig);
}

static void check_failure(struct rig *rig, const char *asked, enum err_kind kind, const char *what)
{
	rig_open(rig);
	while (rig->carrier && !rig->closed)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_string_equal(rig->asked, asked);
	assert_int_equal(rig->err.kind, kind);
	if (!strstr(rig->err.msg, what))
		fail_msg("%s", rig->err.msg);
	rig_end(rig);
}

static void test_either_right_is_enough(void **state UNUSED)
{
	struct rig create = {.forbid_get = true}, get = {.forbid_post = true};

	check_echo(&create, "P");
	check_echo(&get, "PG");
}

static void test_neither_right_names_the_usual_one(void **state UNUSED)
{
	struct rig rig = {.forbid_post = true, .forbid_get = true};

	check_failure(&rig, "PGW", ERR_PERMISSION, "cannot create it");
}

static void test_without_spdy_a_websocket(void **state UNUSED)
{
	struct rig none = {.no_spdy = true}, reset = {.reset = true}, early = {.early = true};
	struct rig forbidden = {.forbid_post = true, .no_spdy = true};

	check_failure(&none, "PW", ERR_UNREACHABLE, "no WebSocket either");
	check_failure(&reset, "PW", ERR_UNREACHABLE, "no WebSocket either");
	check_failure(&early, "PW", ERR_UNREACHABLE, "no WebSocket either");
	check_failure(&forbidden, "PGW", ERR_UNREACHABLE, "no WebSocket either");
}

/* What swallows the upgrade costs three seconds, not the ten of a handshake. */
static void test_silence_is_not_waited_for(void **state UNUSED)
{
	struct rig rig = {.silent = true};
	uint64_t began = uv_hrtime();

	check_failure(&rig, "PW", ERR_UNREACHABLE, "no WebSocket either");
	assert_in_range((uv_hrtime() - began) / 1000000, 2900, 9000);
}

static void test_the_kubelets_word(void **state UNUSED)
{
	struct rig rig = {.refused_port = true};

	check_failure(&rig, "P", ERR_UNREACHABLE, "port-forward: connection refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_either_right_is_enough),
		cmocka_unit_test(test_neither_right_names_the_usual_one),
		cmocka_unit_test(test_without_spdy_a_websocket),
		cmocka_unit_test(test_silence_is_not_waited_for),
		cmocka_unit_test(test_the_kubelets_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
