/* SPDX-License-Identifier: Apache-2.0 */
/* Overlapping attempts through a canned API server behind which a manager says what it has to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/opening.h"
#include "cluster/fake_api.h"
#include "cluster/fake_clock.h"
#include "core/err.h"
#include "tunnel/client.h"
#include "tunnel/key.h"
#include "tunnel/ws.h"

#define UID     "11111111-2222-3333-4444-555555555555"
#define HELLO   "\x01\0\0\x21\x01"
#define ACCEPT  "\x03\0\0\0"
#define REFUSE  "\x04\0\0\x02no"
#define RTT_US  1000
#define LATE_MS 60000

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct session_key *key;
	struct opening *opening;
	struct tunnel_client *tunnel;
	struct kube_carrier_report report;
	struct err err;
	int silent_until; /* requests that get no answer */
	bool unavailable, refuse, both_ways, mute;
	int pods; /* asked for: the second way's beginning */
	int ready, failed, refused, closed;
};

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);
	const char *key = strstr(head, "Sec-WebSocket-Key: ");
	auto_free char *key_text = NULL;
	char accept[WS_ACCEPT_BYTES];

	api->raw_after = false;
	if (strstr(head, "/pods?")) {
		rig->pods++;
		return fake_json(403, "{\"message\":\"User cannot list pods\"}");
	}
	if (!key || api->requests <= rig->silent_until)
		return NULL;
	if (rig->unavailable)
		return fake_json(503, "{\"message\":\"no endpoints available\"}");
	key_text = xstrndup(key + 19, strcspn(key + 19, "\r"));
	ws_accept(key_text, accept);
	api->raw_after = true;
	return xasprintf("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n"
			 "Sec-WebSocket-Protocol: telepresence.io.v1\r\n\r\n",
		accept);
}

static void send_frame(struct fake_conn *conn, const void *data, size_t len)
{
	uint8_t frame[WS_HEADER_MAX_BYTES + 64];
	size_t at = ws_frame_header(frame, WS_OP_BINARY, len, NULL);

	memcpy(frame + at, data, len);
	fake_send(conn, frame, at + len);
}

/* Whatever the client says first is its PROOF; then there are heartbeats. */
static void raw(struct fake_conn *conn, uint8_t *data, size_t len)
{
	const struct rig *rig = container_of(conn->api, struct rig, api);

	(void)data, (void)len;
	if (conn->len++ == 0)
		send_frame(conn, rig->refuse ? REFUSE : ACCEPT,
			rig->refuse ? sizeof(REFUSE) - 1 : sizeof(ACCEPT) - 1);
}

/* The HELLO to those who have been upgraded since. */
static void greet(struct rig *rig)
{
	uint8_t hello[37] = HELLO;

	for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
		struct fake_conn *conn = rig->api.conns[i];

		if (conn && conn->raw && conn->head[0] == '\0') {
			conn->head[0] = 'g';
			send_frame(conn, hello, sizeof(hello));
		}
	}
}

static void on_closed(void *user, const struct err *err)
{
	struct rig *rig = user;

	(void)err;
	rig->closed++;
}

static void on_ready(
	void *user, struct tunnel_client *tunnel, const struct kube_carrier_report *report)
{
	static const struct tunnel_client_events events = {.on_closed = on_closed};
	struct rig *rig = user;

	rig->ready++;
	rig->opening = NULL;
	rig->tunnel = tunnel;
	rig->report = *report;
	tunnel_client_set_events(tunnel, &events, rig);
}

static void on_failed(
	void *user, bool refused, const struct kube_carrier_report *report, const struct err *err)
{
	struct rig *rig = user;

	rig->failed++;
	rig->refused += refused;
	rig->opening = NULL;
	rig->report = *report;
	rig->err = *err;
}

static void rig_start(struct rig *rig, bool endless)
{
	struct kube_config kube = {.server = rig->api.url, .context = (char[]){"ctx"}};
	struct opening_config config = {.loop = &rig->loop,
		.manager_namespace = "ns",
		.kind = rig->both_ways ? KUBE_CARRIER_AUTO : KUBE_CARRIER_PROXY,
		.session_uid = UID,
		.endless = endless,
		.rtt_us = RTT_US};
	const struct opening_events events = {
		.on_ready = on_ready, .on_failed = on_failed, .user = rig};

	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->api.answer = answer;
	rig->api.raw = raw;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(session_key_new(&rig->key, NULL), 0);
	assert_int_equal(kube_client_new(&rig->loop, &kube, &rig->client, NULL), 0);
	config.client = rig->client;
	config.key = rig->key;
	rig->opening = opening_start(&config, &events);
	assert_int_equal(rig->ready + rig->failed, 0);
}

/* Until *value is there; fails after LATE_MS. */
static void rig_wait(struct rig *rig, const int *value, int least)
{
	uint64_t end = uv_hrtime() + LATE_MS * 1000000ull;

	while (*value < least && uv_hrtime() < end) {
		fake_clock_turn(&rig->loop);
		if (!rig->mute)
			greet(rig);
	}
	assert_true(*value >= least);
}

static void rig_end(struct rig *rig)
{
	opening_cancel(rig->opening);
	tunnel_client_free(rig->tunnel);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	session_key_free(rig->key);
	assert_true(rig->ready + rig->failed <= 1);
}

static void test_first_one(void **state UNUSED)
{
	struct rig rig = {.ready = 0};

	rig_start(&rig, false);
	rig_wait(&rig, &rig.ready, 1);
	assert_int_equal(rig.api.requests, 1);
	assert_string_equal(tunnel_client_carrier(rig.tunnel), "services/proxy");
	assert_int_equal(rig.report.ways[0].fate, KUBE_CARRIER_CHOSEN);
	assert_int_equal(rig.report.ways[1].fate, KUBE_CARRIER_OFF);
	assert_int_equal(rig.closed, 0);
	rig_end(&rig);
}

/* One that gets no answer is overtaken by the next, and ended. */
static void test_overtaken(void **state UNUSED)
{
	struct rig rig = {.silent_until = 1};
	uint64_t begun = uv_hrtime();

	rig_start(&rig, false);
	rig_wait(&rig, &rig.ready, 1);
	assert_int_equal(rig.api.requests, 2);
	assert_true(uv_hrtime() - begun < 4000000000ull);
	rig_end(&rig);
}

/* Behind a carrier that is open and mute the other way is tried; that it is forbidden says nothing
 * of the first, which may be slow. */
static void test_mute_way(void **state UNUSED)
{
	struct rig rig = {.both_ways = true, .mute = true};

	rig_start(&rig, false);
	rig_wait(&rig, &rig.pods, 1);
	assert_true(opening_is_mute(rig.opening));
	rig_wait(&rig, &rig.api.requests, 3); /* and the first again */
	assert_int_equal(rig.failed, 0);
	rig.mute = false;
	rig_wait(&rig, &rig.ready, 1);
	assert_string_equal(tunnel_client_carrier(rig.tunnel), "services/proxy");
	assert_int_equal(rig.report.ways[0].fate, KUBE_CARRIER_CHOSEN);
	rig_end(&rig);
}

static void test_failures(void **state UNUSED)
{
	struct rig unavailable = {.unavailable = true}, refused = {.refuse = true};

	rig_start(&unavailable, false);
	rig_wait(&unavailable, &unavailable.failed, 1);
	assert_int_equal(unavailable.refused, 0);
	assert_int_equal(unavailable.report.ways[0].fate, KUBE_CARRIER_FAILED);
	assert_string_equal(unavailable.err.msg, "no endpoints available");
	rig_end(&unavailable);
	rig_start(&refused, false);
	rig_wait(&refused, &refused.failed, 1);
	assert_int_equal(refused.refused, 1);
	assert_int_equal(refused.err.kind, ERR_AUTH);
	rig_end(&refused);
}

/* It goes on until it is cancelled, or somebody takes it. */
static void test_endless(void **state UNUSED)
{
	struct rig rig = {.unavailable = true};

	rig_start(&rig, true);
	rig_wait(&rig, &rig.api.requests, 3);
	assert_int_equal(rig.failed, 0);
	rig.unavailable = false;
	rig_wait(&rig, &rig.ready, 1);
	rig_end(&rig);
}

static void test_cancel(void **state UNUSED)
{
	struct rig rig = {.silent_until = 100};

	rig_start(&rig, false);
	rig_wait(&rig, &rig.api.requests, 2);
	rig_end(&rig);
	assert_int_equal(rig.ready + rig.failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_one),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_mute_way),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
