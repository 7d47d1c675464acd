/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/upgrade.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static void test_upgrade(void **state)
{
	/* As the API server's proxy forwards it. */
	static const char head[] =
		"GET /tunnel?x=1 HTTP/1.1\r\nHost: 10.0.0.9:8081\r\nUser-Agent: x\r\n"
		"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
		"Sec-WebSocket-Protocol: other, telepresence.io.v1\r\n"
		"Sec-WebSocket-Version: 13\r\nUpgrade: WebSocket\r\n"
		"X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nX-Forwarded-Uri: /api/v1/x\r\n\r\n";
	struct upgrade_request request;

	(void)state;
	for (size_t len = 0; len < sizeof(head) - 1; len++)
		assert_int_equal(upgrade_head_len(head, len), 0);
	assert_int_equal(upgrade_head_len(head, sizeof(head) - 1), sizeof(head) - 1);
	assert_int_equal(upgrade_parse(head, sizeof(head) - 1, &request), 0);
	assert_string_equal(request.path, "/tunnel");
	assert_true(request.websocket && request.version_13 && request.subprotocol);
	assert_string_equal(request.key, KEY);
}

static void test_plain(void **state)
{
	static const char head[] = "GET /healthz HTTP/1.1\r\n\r\n";
	static const char other[] = "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
	static const char h2c[] = "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
	struct upgrade_request request;

	(void)state;
	assert_int_equal(upgrade_parse(head, sizeof(head) - 1, &request), 0);
	assert_string_equal(request.path, "/healthz");
	assert_false(request.websocket);
	assert_string_equal(request.key, "");
	/* Both headers are needed (RFC 6455 4.2.1). */
	assert_int_equal(upgrade_parse(other, sizeof(other) - 1, &request), 0);
	assert_false(request.websocket);
	assert_int_equal(upgrade_parse(h2c, sizeof(h2c) - 1, &request), 0);
	assert_false(request.websocket);
}

static void test_refused(void **state)
{
	static const struct {
		const char *head;
		int r;
	} rows[] = {
		{"", -EPROTO},
		{"\r\n\r\n", -EPROTO},
		{"GET\r\n\r\n", -EPROTO},
		{"GET /\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.0\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1 \r\n\r\n", -EPROTO},
		{"GET  / HTTP/1.1\r\n\r\n", -EPROTO},
		{"GET x HTTP/1.1\r\n\r\n", -EPROTO},
		{"GET http://x/ HTTP/1.1\r\n\r\n", -EPROTO},
		{"G(T / HTTP/1.1\r\n\r\n", -EPROTO},
		{"POST / HTTP/1.1\r\n\r\n", -EOPNOTSUPP},
		{"PRI * HTTP/2.0\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\nno colon\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\n: empty\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\nspace : x\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\n folded: x\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\na: b\rc\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0},
		{"GET / HTTP/1.1\r\nSec-WebSocket-Key: short\r\n\r\n", -EPROTO},
		{"GET / HTTP/1.1\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Key: " KEY
		 "\r\n\r\n",
			-EPROTO},
	};
	struct upgrade_request request;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(
			upgrade_parse(rows[i].head, strlen(rows[i].head), &request), rows[i].r);
}

static void test_bounds(void **state)
{
	char head[4096] = "GET /";
	struct upgrade_request request;
	size_t at;

	(void)state;
	memset(head + 5, 'a', UPGRADE_PATH_MAX);
	strcpy(head + 5 + UPGRADE_PATH_MAX - 1, " HTTP/1.1\r\n\r\n");
	assert_int_equal(upgrade_parse(head, strlen(head), &request), -EPROTO);
	strcpy(head + 5 + UPGRADE_PATH_MAX - 2, " HTTP/1.1\r\n\r\n");
	assert_int_equal(upgrade_parse(head, strlen(head), &request), 0);
	strcpy(head, "GET / HTTP/1.1\r\n");
	at = strlen(head);
	for (int i = 0; i < 65; i++, at += 6)
		strcpy(head + at, "a: b\r\n");
	strcpy(head + at, "\r\n");
	assert_int_equal(upgrade_parse(head, strlen(head), &request), -EPROTO);
	assert_int_equal(upgrade_parse("GET / HTTP/1.1\r\na: \0\r\n\r\n", 23, &request), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
