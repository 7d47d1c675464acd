/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/ws.h"

/* What a parse reported, as text: payload bytes, '|' per message end, P(..) C(code). */
struct seen {
	char text[512];
};

static void add(struct seen *seen, const char *text, size_t len)
{
	size_t at = strlen(seen->text);

	assert_true(at + len < sizeof(seen->text));
	memcpy(seen->text + at, text, len);
	seen->text[at + len] = '\0';
}

static void on_payload(void *user, const uint8_t *data, size_t len)
{
	add(user, (const char *)data, len);
}

static void on_message_end(void *user)
{
	add(user, "|", 1);
}

static void on_ping(void *user, const uint8_t *data, size_t len)
{
	add(user, "P(", 2);
	add(user, (const char *)data, len);
	add(user, ")", 1);
}

static void on_close(void *user, uint16_t code)
{
	char text[16];

	add(user, text, (size_t)snprintf(text, sizeof(text), "C(%u)", code));
}

static const struct ws_events events = {
	.on_payload = on_payload,
	.on_message_end = on_message_end,
	.on_ping = on_ping,
	.on_close = on_close,
};

struct row {
	enum ws_role role;
	const char *bytes;
	size_t len;
	int r;
	const char *seen;
};

#define ROW(role, bytes, r, seen) {role, bytes, sizeof(bytes) - 1, r, seen}

static const struct row rows[] = {
	/* RFC 6455 5.7 with binary opcodes. */
	ROW(WS_CLIENT, "\x82\x05Hello", 0, "Hello|"),
	ROW(WS_SERVER, "\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 0, "Hello|"),
	ROW(WS_CLIENT, "\x02\x03Hel\x80\x02lo", 0, "Hello|"),
	ROW(WS_CLIENT, "\x89\x05Hello", 0, "P(Hello)"),
	ROW(WS_SERVER, "\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 0, "P(Hello)"),
	ROW(WS_CLIENT, "\x8a\x05Hello", 0, ""),
	/* A control frame between fragments. */
	ROW(WS_CLIENT,
		"\x02\x01"
		"a\x89\x01x\x80\x01"
		"b",
		0, "aP(x)b|"),
	ROW(WS_CLIENT, "\x82\x00\x82\x01z", 0, "|z|"),
	ROW(WS_CLIENT, "\x88\x02\x03\xe8", 0, "C(1000)"),
	ROW(WS_CLIENT, "\x88\x00", 0, "C(1005)"),
	/* After a close frame the rest is ignored, whatever it is. */
	ROW(WS_CLIENT, "\x88\x00\xff\xff\xff\xff", 0, "C(1005)"),
	ROW(WS_CLIENT, "\x88\x01\x03", -EPROTO, ""),
	/* Text, reserved opcodes and bits. */
	ROW(WS_CLIENT, "\x81\x01x", -EPROTO, ""),
	ROW(WS_CLIENT, "\x83\x01x", -EPROTO, ""),
	ROW(WS_CLIENT, "\x8b\x01x", -EPROTO, ""),
	ROW(WS_CLIENT, "\xc2\x01x", -EPROTO, ""),
	/* Masked by a server, not masked by a client. */
	ROW(WS_CLIENT, "\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", -EPROTO, ""),
	ROW(WS_SERVER, "\x82\x05Hello", -EPROTO, ""),
	/* Fragments out of order, fragmented and long control frames. */
	ROW(WS_CLIENT, "\x80\x01x", -EPROTO, ""),
	ROW(WS_CLIENT, "\x02\x01x\x82\x01y", -EPROTO, "x"),
	ROW(WS_CLIENT, "\x09\x00\x00", -EPROTO, ""),
	ROW(WS_CLIENT, "\x89\x7e\x00\x7e", -EPROTO, ""),
	/* Lengths that are not minimal, or negative. */
	ROW(WS_CLIENT, "\x82\x7e\x00\x7d", -EPROTO, ""),
	ROW(WS_CLIENT, "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", -EPROTO, ""),
	ROW(WS_CLIENT, "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", -EPROTO, ""),
};

static void check(const struct row *row, size_t piece)
{
	struct ws_parser parser = {.role = row->role};
	struct seen seen = {""};
	uint8_t bytes[64];
	int r = 0;

	memcpy(bytes, row->bytes, row->len);
	for (size_t at = 0; at < row->len && r == 0; at += piece) {
		size_t len = row->len - at < piece ? row->len - at : piece;

		r = ws_parse(&parser, bytes + at, len, &events, &seen);
	}
	assert_int_equal(r, row->r);
	assert_string_equal(seen.text, row->seen);
}

static void test_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t piece = 1; piece <= rows[i].len; piece++)
			check(&rows[i], piece);
}

static void count_payload(void *user, const uint8_t *data, size_t len)
{
	uint8_t *sum = user;

	for (size_t i = 0; i < len; i++)
		*sum = (uint8_t)(*sum * 31 + data[i]);
}

/* Every length class, written by ws_frame_header() and ws_mask(), read in uneven pieces. */
static void test_round_trip(void **state)
{
	static const size_t lens[] = {0, 1, 125, 126, 127, 65535, 65536, 100000};
	static const uint8_t mask[4] = {0x12, 0x00, 0xff, 0x7e};
	static uint8_t plain[100000], wire[100000 + WS_HEADER_MAX_BYTES];
	const struct ws_events sums = {.on_payload = count_payload};

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 13 >> 2);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct ws_parser parser = {.role = WS_SERVER};
		size_t header = ws_frame_header(wire, WS_OP_BINARY, lens[i], mask);
		size_t cut = lens[i] / 3, total = header + lens[i];
		uint8_t want = 0, got = 0;

		count_payload(&want, plain, lens[i]);
		/* Masked in two pieces: the position goes on. */
		ws_mask(wire + header, plain, cut, mask, 0);
		ws_mask(wire + header + cut, plain + cut, lens[i] - cut, mask, cut);
		for (size_t at = 0; at < total; at += 4099)
			assert_int_equal(
				ws_parse(&parser, wire + at, total - at < 4099 ? total - at : 4099,
					&sums, &got),
				0);
		assert_int_equal(got, want);
		assert_false(parser.in_payload);
	}
}

static void test_accept(void **state)
{
	char accept[WS_ACCEPT_BYTES];

	(void)state;
	/* RFC 6455 1.3. */
	ws_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_accept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
