/* SPDX-License-Identifier: Apache-2.0 */
/* The upgrade's request and every kind of answer, whole and in pieces. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/http_upgrade.h"

/* RFC 6455 1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define SWITCH \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
	"sec-websocket-accept:  " ACCEPT " \r\nSec-WebSocket-Protocol: p1\r\n\r\n"

static const struct http_upgrade websocket = {"GET", "/tunnel", HTTP_UPGRADE_WEBSOCKET, "p1"};
static const struct http_upgrade spdy = {"POST", "/pf", HTTP_UPGRADE_SPDY, "p2"};

static int parse(const char *text, bool at_end, struct buf *in, struct http_upgrade_answer *answer)
{
	buf_init(in, 4096);
	if (*text)
		assert_int_equal(buf_append(in, text, strlen(text)), 0);
	return http_upgrade_parse(in, at_end, &websocket, KEY, answer);
}

static void test_switch_leaves_frames(void **state UNUSED)
{
	struct http_upgrade_answer answer = {0};
	struct buf in;

	assert_true(parse(SWITCH "frames", false, &in, &answer) > 0);
	assert_int_equal(answer.status, 101);
	assert_int_equal(buf_len(&in), 6);
	assert_memory_equal(buf_head(&in), "frames", 6);
	buf_done(&in);
}

static void test_byte_by_byte(void **state UNUSED)
{
	static const char text[] = SWITCH;
	struct http_upgrade_answer answer = {0};
	struct buf in;
	int r = 0;

	buf_init(&in, 4096);
	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		assert_int_equal(r, 0);
		assert_int_equal(buf_append(&in, text + i, 1), 0);
		r = http_upgrade_parse(&in, false, &websocket, KEY, &answer);
	}
	assert_true(r > 0);
	assert_int_equal(buf_len(&in), 0);
	buf_done(&in);
}

static void test_answers(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool at_end;
		int r, status;
		const char *body;
	} cases[] = {
		{"", false, 0, 0, NULL},
		{"", true, -EPROTO, 0, NULL},
		{"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n{\"a", false, 0, 0, NULL},
		{"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n{ab}", false, 1, 403, "{ab}"},
		{"HTTP/1.1 403 Forbidden\r\n\r\nhalf", false, 0, 0, NULL},
		{"HTTP/1.1 403 Forbidden\r\n\r\nhalf", true, 1, 403, "half"},
		{"HTTP/1.1 503 No\r\nContent-Length: 99999999999999999999999\r\n\r\nx", false, 1,
			503, "x"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 1, 200, ""},
		{"HTTP/1.0 101 Yes\r\n\r\n", false, -EPROTO, 0, NULL},
		{"HTTP/1.1 10\r\n\r\n", false, -EPROTO, 0, NULL},
		{"SSH-2.0-x\r\n\r\n", false, -EPROTO, 0, NULL},
		{"HTTP/1.1 101 No key\r\nSec-WebSocket-Protocol: p1\r\n\r\n", false, -EPROTO, 0,
			NULL},
		{"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: " ACCEPT
		 "\r\nSec-WebSocket-Protocol: p2\r\n\r\n",
			false, -EPROTO, 0, NULL},
		{"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: AAAALMBiTxaQ9kYGzzhZRbK+xOo="
		 "\r\nSec-WebSocket-Protocol: p1\r\n\r\n",
			false, -EPROTO, 0, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_upgrade_answer answer = {0};
		struct buf in;
		int r = parse(cases[i].text, cases[i].at_end, &in, &answer);

		if (r != cases[i].r || (r > 0 && answer.status != cases[i].status))
			fail_msg("case %zu: r %d status %d", i, r, answer.status);
		if (r > 0) {
			assert_int_equal(answer.body_len, strlen(cases[i].body));
			assert_memory_equal(answer.body, cases[i].body, answer.body_len);
		}
		buf_done(&in);
	}
}

static void test_spdy(void **state UNUSED)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{"HTTP/1.1 101 Switching Protocols\r\nupgrade: spdy/3.1\r\n\r\nrest", 1},
		{"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", -EPROTO},
		{"HTTP/1.1 101 X\r\n\r\n", -EPROTO},
		{"HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n", 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_upgrade_answer answer = {0};
		struct buf in;

		buf_init(&in, 4096);
		assert_int_equal(buf_append(&in, cases[i].text, strlen(cases[i].text)), 0);
		assert_int_equal(http_upgrade_parse(&in, false, &spdy, "", &answer), cases[i].r);
		buf_done(&in);
	}
}

static void test_endless_head_ends(void **state UNUSED)
{
	struct http_upgrade_answer answer = {0};
	struct buf in;

	buf_init(&in, 64);
	while (buf_room(&in) > 1)
		assert_int_equal(buf_append(&in, "x", 1), 0);
	assert_int_equal(http_upgrade_parse(&in, false, &websocket, KEY, &answer), -EPROTO);
	buf_done(&in);
}

static void test_request(void **state UNUSED)
{
	struct kube_config config = {.server = (char[]){"https://h.example:6443/base"},
		.token = (char[]){"tok\r\nEvil: yes"},
		.as = (char[]){"boss"}};
	const struct kube_credential none = {NULL, NULL, NULL};
	struct transport transport;
	struct buf out;
	char key[HTTP_UPGRADE_KEY_BYTES];
	const char *text = NULL;

	buf_init(&out, 4096);
	transport_init(&transport, &config, &none, "/x");
	assert_int_equal(http_upgrade_request(&out, &transport, config.server, &websocket, key), 0);
	text = buf_cstr(&out);
	assert_int_equal(strncmp(text, "GET /base/tunnel HTTP/1.1\r\n", 27), 0);
	assert_non_null(strstr(text, "\r\nHost: h.example:6443\r\n"));
	assert_non_null(strstr(text, "\r\nAuthorization: Bearer tok\r\n"));
	assert_non_null(strstr(text, "\r\nImpersonate-User: boss\r\n"));
	assert_null(strstr(text, "Evil"));
	assert_non_null(strstr(text, key));
	assert_int_equal(strlen(key), 24);
	buf_consume(&out, buf_len(&out));
	assert_int_equal(http_upgrade_request(&out, &transport, config.server, &spdy, key), 0);
	text = buf_cstr(&out);
	assert_int_equal(strncmp(text, "POST /base/pf HTTP/1.1\r\n", 24), 0);
	assert_non_null(strstr(text, "\r\nConnection: Upgrade\r\nContent-Length: 0\r\n"));
	assert_non_null(strstr(text, "\r\nUpgrade: SPDY/3.1\r\n"));
	assert_non_null(strstr(text, "\r\nX-Stream-Protocol-Version: p2\r\n\r\n"));
	assert_null(strstr(text, "WebSocket"));
	transport_done(&transport);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_switch_leaves_frames),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_spdy),
		cmocka_unit_test(test_endless_head_ends),
		cmocka_unit_test(test_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
