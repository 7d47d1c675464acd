/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of SPDY/3.1: what is sent, and what comes in, whole, in pieces and hostile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/spdy.h"

/* What a parse reported, as text: R(stream), E(stream), P(id), payload as it is. */
struct seen {
	char text[256];
};

static void add(struct seen *seen, const char *text, size_t len)
{
	size_t at = strlen(seen->text);

	assert_true(at + len < sizeof(seen->text));
	memcpy(seen->text + at, text, len);
}

static void mark(struct seen *seen, char what, uint32_t number)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%c(%u)", what, number);
	add(seen, text, strlen(text));
}

static void on_reply(void *user, uint32_t stream)
{
	mark(user, 'R', stream);
}

static void on_data(void *user, uint32_t stream, const uint8_t *data, size_t len)
{
	assert_true(stream <= 3);
	add(user, (const char *)data, len);
}

static void on_end(void *user, uint32_t stream)
{
	mark(user, 'E', stream);
}

static void on_ping(void *user, const uint8_t frame[static SPDY_PING_BYTES])
{
	mark(user, 'P', frame[11]);
}

static const struct spdy_events events = {
	.on_reply = on_reply, .on_data = on_data, .on_end = on_end, .on_ping = on_ping};

#define DATA(flags, len)           "\0\0\0\3" flags "\0\0" len
#define CONTROL(type, len, stream) "\x80\3\0" type "\0\0\0" len "\0\0\0" stream
#define CASE(bytes, said, result)  {(bytes), sizeof(bytes) - 1, (said), (result)}

static const struct {
	const char *bytes;
	size_t len;
	const char *said;
	int r;
} cases[] = {
	CASE("", "", 0),
	CASE(DATA("\0", "\3") "abc" DATA("\0", "\0") DATA("\0", "\2") "de", "abcde", 0),
	CASE(DATA("\1", "\1") "x", "xE(3)", 0),
	CASE(DATA("\1", "\0"), "E(3)", 0),
	CASE(CONTROL("\2", "\4", "\1") CONTROL("\2", "\12", "\3") "\0\0\0\0\0\0", "R(1)R(3)", 0),
	CASE("\x80\3\0\2\1\0\0\4\0\0\0\3", "R(3)E(3)", 0),
	CASE(CONTROL("\3", "\10", "\3") "\0\0\0\5", "E(3)", 0),
	CASE(CONTROL("\7", "\10", "\0") "\0\0\0\0", "E(0)", 0),
	CASE(CONTROL("\6", "\4", "\2") CONTROL("\6", "\4", "\3"), "P(2)", 0),
	/* SETTINGS and WINDOW_UPDATE say nothing here. */
	CASE(CONTROL("\4", "\14", "\1") "\0\0\0\0\0\0\0\0" CONTROL(
		     "\x9", "\10", "\3") "\0\0\0\1" DATA("\0", "\1") "z",
		"z", 0),
	/* A stream of the server, another version, frames too short for what they are. */
	CASE(CONTROL("\1", "\12", "\2"), "", -EPROTO),
	CASE("\x80\2\0\2\0\0\0\4\0\0\0\3", "", -EPROTO),
	CASE(CONTROL("\6", "\10", "\2"), "", -EPROTO),
	CASE("\x80\3\0\2\0\0\0\3", "", -EPROTO),
};

static void test_frames(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t piece = 1; piece <= MAX(cases[i].len, (size_t)1); piece++) {
			struct spdy_parser parser = {0};
			struct seen seen = {""};
			int r = 0;

			for (size_t at = 0; at < cases[i].len && r == 0; at += piece)
				r = spdy_parse(&parser, (const uint8_t *)cases[i].bytes + at,
					MIN(piece, cases[i].len - at), &events, &seen);
			if (r != cases[i].r || strcmp(seen.text, cases[i].said) != 0)
				fail_msg("case %zu by %zu: %d %s", i, piece, r, seen.text);
		}
	}
}

/* A stored block's text stands in the frame as it is. */
static void test_streams(void **state UNUSED)
{
	static const uint8_t syn[] = {0x80, 3, 0, 1, 0, 0, 0};
	uint8_t out[SPDY_STREAMS_MAX_BYTES];
	size_t len = spdy_streams(out, 65535), first = SPDY_HEADER_BYTES + out[7];

	assert_memory_equal(out, syn, sizeof(syn));
	assert_int_equal(out[11], SPDY_STREAM_ERROR);
	assert_memory_equal(out + 18, "\x78\x01\0", 3);
	assert_int_equal(out[21] ^ out[23], 0xff);
	assert_memory_equal(out + first - 5, "\0\0\0\xff\xff", 5);
	assert_memory_equal(out + first - 10, "error", 5);
	assert_memory_equal(out + first, syn, sizeof(syn));
	assert_int_equal(out[first + 11], SPDY_STREAM_DATA);
	assert_int_equal(first + SPDY_HEADER_BYTES + out[first + 7], len);
	assert_memory_equal(out + len - 9, "data", 4);
	assert_memory_equal(out + 37,
		"\0\0\0\x5"
		"65535",
		9);
}

static void test_data_header(void **state UNUSED)
{
	uint8_t out[SPDY_HEADER_BYTES];

	spdy_data_header(out, SPDY_STREAM_DATA, 0x010203);
	assert_memory_equal(out, "\0\0\0\3\0\1\2\3", sizeof(out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_data_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
