/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/root_proto.h"

static const struct ip_prefix example4 = {{AF_INET, {10, 96}}, 16};
static const struct ip_prefix example6 = {{AF_INET6, {0xfd, [15] = 1}}, 126};

/* One filled message of every type. */
static size_t examples(struct root_message out[16])
{
	size_t n = 0;

	for (unsigned int reply = 0; reply < 2; reply++) {
		out[n] = (struct root_message){
			.type = (uint8_t)(reply ? ROOT_HELLO | ROOT_REPLY : ROOT_HELLO),
			.id = 1,
			.hello = {.protocol = 7, .version = "1.2.3-x"}};
		n++;
	}
	out[n++] = (struct root_message){.type = ROOT_TUN,
		.id = 2,
		.tun = {.name = "tel0", .mtu = 1500, .addr4 = example4, .addr6 = example6}};
	out[n++] = (struct root_message){.type = ROOT_TUN, .id = 2, .tun = {.mtu = 1280}};
	out[n++] = (struct root_message){.type = ROOT_TUN | ROOT_REPLY,
		.id = UINT32_MAX,
		.tun_reply = {.ifindex = 77, .name = "tel12345678901", .ipv6 = true}};
	out[n] = (struct root_message){
		.type = ROOT_ROUTES, .id = 3, .routes = {.count = LIMIT_ROOT_PREFIXES}};
	for (size_t i = 0; i < LIMIT_ROOT_PREFIXES; i++)
		out[n].routes.prefixes[i] = i % 2 ? example4 : example6;
	n++;
	out[n++] = (struct root_message){.type = ROOT_ROUTES | ROOT_REPLY, .id = 3};
	out[n++] = (struct root_message){.type = ROOT_DNS,
		.id = 4,
		.dns = {.port = 5353, .count = 2, .nameservers = {example4.addr, example6.addr}}};
	out[n++] = (struct root_message){.type = ROOT_DNS | ROOT_REPLY, .id = 4};
	out[n++] = (struct root_message){
		.type = ROOT_SOCKET, .id = 5, .socket = {.family = AF_INET6, .type = SOCK_STREAM}};
	out[n++] = (struct root_message){.type = ROOT_SOCKET | ROOT_REPLY, .id = 5};
	out[n++] = (struct root_message){.type = ROOT_RESOLVED,
		.id = 6,
		.resolved = {.port = 5353,
			.bytes = sizeof("~svc\0shop.local"),
			.domains = "~svc\0shop.local"}};
	out[n++] = (struct root_message){.type = ROOT_RESOLVED | ROOT_REPLY, .id = 6};
	out[n++] = (struct root_message){.type = ROOT_ERROR,
		.error = {.code = -EEXIST, .kind = ERR_CONFLICT, .msg = "there already"}};
	return n;
}

static void every_message_comes_back(void **state)
{
	struct root_message messages[16];
	struct root_message decoded;
	uint8_t frame[LIMIT_ROOT_MESSAGE_BYTES];
	size_t count = examples(messages);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		int len = root_message_encode(&messages[i], frame, sizeof(frame));

		assert_true(len >= 8);
		assert_int_equal(root_message_decode(frame, (size_t)len, &decoded, NULL), 0);
		assert_memory_equal(&decoded, &messages[i], sizeof(decoded));
	}
}

static void other_lengths_are_refused(void **state)
{
	struct root_message messages[16];
	struct root_message decoded;
	uint8_t frame[LIMIT_ROOT_MESSAGE_BYTES];
	size_t count = examples(messages);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		size_t len = (size_t)root_message_encode(&messages[i], frame, sizeof(frame) - 1);

		frame[len] = 0;
		assert_int_equal(root_message_decode(frame, len + 1, &decoded, NULL), -EPROTO);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(root_message_decode(frame, cut, &decoded, NULL), -EPROTO);
		assert_int_equal(root_message_encode(&messages[i], frame, len - 1), -EINVAL);
	}
}

static void bytes_are_as_documented(void **state)
{
	static const uint8_t wanted[] = {0x54, 4, 0, 0, 0, 0, 1, 2, /* header */
		0x14, 0xe9, 1, /* port, count */
		4, 10, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	const struct root_message msg = {.type = ROOT_DNS,
		.id = 0x102,
		.dns = {.port = 5353, .count = 1, .nameservers = {example4.addr}}};
	uint8_t frame[64];

	(void)state;
	assert_int_equal(root_message_encode(&msg, frame, sizeof(frame)), sizeof(wanted));
	assert_memory_equal(frame, wanted, sizeof(wanted));
}

static void unknown_types_do_not_encode(void **state)
{
	uint8_t frame[64];

	(void)state;
	for (unsigned int type = 0; type <= UINT8_MAX; type++) {
		struct root_message msg = {.type = (uint8_t)type};
		uint8_t low = (uint8_t)(type & 0x7f);
		bool known = type == ROOT_ERROR || (low >= ROOT_HELLO && low < ROOT_REQUEST_END);

		assert_int_equal(root_message_encode(&msg, frame, sizeof(frame)) < 0,
			!known && type != ROOT_ERROR);
	}
}

/* A field changed to what has no meaning, in a message that is fine otherwise. */
static void values_without_meaning_are_refused(void **state)
{
	static const struct {
		uint8_t type;
		size_t offset;
		uint8_t value;
	} cases[] = {
		{ROOT_HELLO, 0, 0x55}, {ROOT_HELLO, 1, 0}, {ROOT_HELLO, 1, ROOT_REQUEST_END},
		{ROOT_HELLO, 2, 1}, {ROOT_HELLO, 10, ' '}, /* version */
		{ROOT_HELLO, 10, 0x7f}, {ROOT_HELLO, 10, 0xc3},
		{ROOT_HELLO, 10 + 31, 'x'}, /* behind its NUL */
		{ROOT_TUN, 8 + 15, 'x'}, /* name not ended */
		{ROOT_TUN, 8 + 20, 5}, /* family of addr4 */
		{ROOT_TUN, 8 + 20, 0}, /* no address, but bytes in it */
		{ROOT_TUN, 8 + 20 + 16, 1}, /* IPv4's tail */
		{ROOT_TUN, 8 + 20 + 17, 33}, /* its length */
		{ROOT_TUN, 8 + 38 + 17, 129}, /* IPv6's */
		{ROOT_TUN | ROOT_REPLY, 8 + 20, 2}, /* a bool */
		{ROOT_DNS, 8 + 2, LIMIT_ROOT_NAMESERVERS + 1}, {ROOT_DNS, 8 + 3, 0},
		{ROOT_SOCKET, 8, 0}, {ROOT_SOCKET, 9, 0}, {ROOT_SOCKET, 9, 3},
		{ROOT_ROUTES, 8, 0xff}, {ROOT_ROUTES, 9, 1}, /* fewer than there are */
		{ROOT_ROUTES, 9, 3}, /* more */
		{ROOT_ERROR, 8 + 2, 0x10}, /* no errno is that large */
		{ROOT_ERROR, 8 + 4, ERR_KIND_COUNT}, {ROOT_ERROR, 8 + 7, '\0'}, /* in its text */
	};
	struct root_message messages[16];
	struct root_message decoded;
	uint8_t frame[LIMIT_ROOT_MESSAGE_BYTES];
	size_t count = examples(messages);
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t at = 0;
		int len;

		while (at < count && messages[at].type != cases[i].type)
			at++;
		if (messages[at].type == ROOT_ROUTES)
			messages[at].routes.count = 2;
		len = root_message_encode(&messages[at], frame, sizeof(frame));
		assert_true(len > (int)cases[i].offset);
		assert_int_equal(root_message_decode(frame, (size_t)len, &decoded, &err), 0);
		frame[cases[i].offset] = cases[i].value;
		if (root_message_decode(frame, (size_t)len, &decoded, &err) != -EPROTO)
			fail_msg("case %zu is taken", i);
	}
}

/* Found by tests/fuzz/root_ipc.c: was taken for "no address". */
static void no_address_has_one_form(void **state)
{
	const struct root_message msg = {.type = ROOT_TUN, .tun = {.mtu = 1500}};
	struct root_message decoded;
	uint8_t frame[128];
	int len = root_message_encode(&msg, frame, sizeof(frame));

	(void)state;
	assert_true(len > 0);
	assert_int_equal(root_message_decode(frame, (size_t)len, &decoded, NULL), 0);
	frame[8 + 20] = 0x10;
	assert_int_equal(root_message_decode(frame, (size_t)len, &decoded, NULL), -EPROTO);
}

static void an_error_needs_a_code(void **state)
{
	const uint8_t frame[] = {0x54, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9, 0, 0};
	struct root_message decoded;

	(void)state;
	assert_int_equal(root_message_decode(frame, sizeof(frame), &decoded, NULL), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_comes_back),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(bytes_are_as_documented),
		cmocka_unit_test(unknown_types_do_not_encode),
		cmocka_unit_test(values_without_meaning_are_refused),
		cmocka_unit_test(no_address_has_one_form),
		cmocka_unit_test(an_error_needs_a_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
