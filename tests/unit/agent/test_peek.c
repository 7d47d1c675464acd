/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/peek.h"

#define HEAD "GET /healthz HTTP/1.1\r\nHost: 10.1.0.7:8080\r\n"

static const struct {
	const char *bytes;
	enum peek_result result;
} cases[] = {
	{HEAD "User-Agent: kube-probe/1.32\r\nAccept: */*\r\n\r\n", PEEK_PROBE},
	{HEAD "user-agent:kube-probe/1.32+\r\n", PEEK_PROBE},
	{HEAD "USER-AGENT: \t kube-probe/\n", PEEK_PROBE},
	{HEAD "User-Agent: kube-lifecycle/1.32\r\n", PEEK_PROBE},
	/* Undecided: the field is not complete, or not there yet. */
	{"", PEEK_MORE},
	{"GE", PEEK_MORE},
	{HEAD, PEEK_MORE},
	{HEAD "User-Agent: kube-probe/1.32", PEEK_MORE},
	{HEAD "X-User-Agent: kube-probe/1\r\n", PEEK_MORE},
	/* Somebody else. */
	{HEAD "User-Agent: curl/8\r\n", PEEK_OTHER},
	{HEAD "User-Agent: not kube-probe/1\r\n", PEEK_OTHER},
	{HEAD "User-Agent: kube-prob\r\n", PEEK_OTHER},
	{HEAD "User-Agent: kube-lifecycle\r\n", PEEK_OTHER},
	{HEAD "User-Agent:\r\n", PEEK_OTHER},
	{HEAD "User-Agent: curl\r\nUser-Agent: kube-probe/1\r\n", PEEK_OTHER},
	{HEAD "\r\nUser-Agent: kube-probe/1\r\n", PEEK_OTHER},
	{HEAD "\n", PEEK_OTHER},
	{"POST / HTTP/1.1\r\nUser-Agent: kube-probe/1\r\n\r\n", PEEK_OTHER},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PEEK_OTHER},
	{"\x16\x03\x01", PEEK_OTHER},
	{"\r\n", PEEK_OTHER},
};

static enum peek_result peek(const char *bytes, size_t len)
{
	return peek_first_bytes((const uint8_t *)bytes, len);
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(peek(cases[i].bytes, strlen(cases[i].bytes)), cases[i].result);
}

/* However much of a head has come, what is said of it holds when more comes. */
static void test_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].bytes);

		for (size_t n = 0; n < len; n++) {
			enum peek_result result = peek(cases[i].bytes, n);

			assert_true(result == PEEK_MORE || result == cases[i].result);
		}
	}
}

static void test_binary(void **state)
{
	static const char bytes[] = "GET /\0\0 HTTP/1.1\r\nX: \0\r\nUser-Agent: kube-probe/\0\r\n";

	(void)state;
	assert_int_equal(peek(bytes, sizeof(bytes) - 1), PEEK_PROBE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_binary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
