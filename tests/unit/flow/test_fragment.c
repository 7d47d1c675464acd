/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/limits.h"
#include "flow/fragment.h"
#include "net/packet.h"

static uint8_t payload[65536];

static void fill(void)
{
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + i / 251);
}

static struct packet_fragment piece_of(
	const char *src, uint32_t ident, size_t from, size_t to, bool more)
{
	struct packet_fragment piece = {.ident = ident,
		.protocol = 17,
		.more = more,
		.offset = from,
		.len = to - from,
		.data = payload + from};

	assert_int_equal(ip_addr_parse(src, &piece.src), 0);
	assert_int_equal(
		ip_addr_parse(strchr(src, ':') ? "fd00:244::2" : "10.244.0.2", &piece.dst), 0);
	return piece;
}

/* Adds payload[from..to-1]; the whole packet or NULL. */
static uint8_t *add(struct flow_fragments *fragments, uint32_t ident, size_t from, size_t to,
	bool more, size_t *ret_len)
{
	struct packet_fragment piece = piece_of("10.9.0.1", ident, from, to, more);

	return flow_fragments_add(fragments, &piece, 1000, ret_len);
}

static void assert_whole(const uint8_t *packet, size_t len, size_t header, size_t total)
{
	assert_non_null(packet);
	assert_int_equal(len, header + total);
	assert_memory_equal(packet + header, payload, total);
}

static void any_order_becomes_whole(void **state)
{
	static const size_t orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct flow_fragments fragments = {.count = 0};
		size_t len = 0;

		for (size_t n = 0; n < 4; n++) {
			size_t at = orders[i][n];
			uint8_t *whole = add(&fragments, 7, at * 1480,
				at == 3 ? 5000 : (at + 1) * 1480, at < 3, &len);

			if (n < 3)
				assert_null(whole);
			else
				assert_whole(whole, len, PACKET_IP4_HEADER, 5000);
		}
		assert_int_equal(fragments.count, 0);
		assert_int_equal(fragments.dropped, 0);
		flow_fragments_done(&fragments);
	}
}

/* The largest datagrams of both families, at the smallest MTU. */
static void largest_datagrams(void **state)
{
	static const struct {
		const char *src;
		size_t total, header, step;
	} cases[] = {{"10.9.0.1", 65515, PACKET_IP4_HEADER, 1256},
		{"fd00:9::1", 65535, PACKET_IP6_HEADER, 1232}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct flow_fragments fragments = {.count = 0};
		uint8_t *whole = NULL;
		size_t len = 0;

		/* Every second piece first: as many holes as there can be. */
		for (size_t pass = 0; pass < 2; pass++) {
			for (size_t at = pass * cases[i].step; at < cases[i].total;
				at += 2 * cases[i].step) {
				size_t end = at + cases[i].step;
				bool more = end < cases[i].total;
				struct packet_fragment piece = piece_of(
					cases[i].src, 1, at, more ? end : cases[i].total, more);

				assert_null(whole);
				whole = flow_fragments_add(&fragments, &piece, 1, &len);
			}
		}
		assert_whole(whole, len, cases[i].header, cases[i].total);
		flow_fragments_done(&fragments);
	}
}

/* Datagrams with other identifiers, addresses or protocols do not mix. */
static void datagrams_are_told_apart(void **state)
{
	struct flow_fragments fragments = {.count = 0};
	struct packet_fragment other = piece_of("10.9.0.2", 1, 800, 1000, false);
	uint8_t *whole;
	size_t len = 0;

	(void)state;
	assert_null(add(&fragments, 1, 0, 800, true, &len));
	assert_null(add(&fragments, 2, 800, 1000, false, &len));
	assert_null(flow_fragments_add(&fragments, &other, 1000, &len));
	other = piece_of("10.9.0.1", 1, 800, 1000, false);
	other.protocol = 1;
	assert_null(flow_fragments_add(&fragments, &other, 1000, &len));
	assert_int_equal(fragments.count, 4);
	whole = add(&fragments, 1, 800, 1000, false, &len);
	assert_whole(whole, len, PACKET_IP4_HEADER, 1000);
	assert_int_equal(fragments.count, 3);
	flow_fragments_done(&fragments);
}

static void overlaps_spoil_the_datagram(void **state)
{
	static const size_t bad[][3] = {{792, 1000, 0}, {0, 808, 1}, {400, 1600, 1}, {0, 2000, 0},
		{408, 640, 0}, {0, 400, 0}};

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct flow_fragments fragments = {.count = 0};
		size_t len = 0;

		assert_null(add(&fragments, 1, 0, 800, true, &len));
		assert_null(add(&fragments, 1, bad[i][0], bad[i][1], bad[i][2], &len));
		assert_int_equal(fragments.dropped, 2);
		/* What would have made it whole comes too late. */
		assert_null(add(&fragments, 1, 0, 800, true, &len));
		assert_null(add(&fragments, 1, 800, 1000, false, &len));
		assert_int_equal(fragments.dropped, 4);
		assert_false(flow_fragments_expire(&fragments, 1000 + LIMIT_FRAGMENT_MS));
		flow_fragments_done(&fragments);
	}
}

static void repeated_pieces_pass(void **state)
{
	struct flow_fragments fragments = {.count = 0};
	struct packet_fragment piece;
	uint8_t other[800];
	uint8_t *whole;
	size_t len = 0;

	(void)state;
	assert_null(add(&fragments, 1, 0, 800, true, &len));
	assert_null(add(&fragments, 1, 0, 800, true, &len));
	assert_null(add(&fragments, 1, 8, 400, true, &len));
	whole = add(&fragments, 1, 800, 1000, false, &len);
	assert_whole(whole, len, PACKET_IP4_HEADER, 1000);
	assert_int_equal(fragments.dropped, 0);
	/* The same place with other bytes is no repetition. */
	assert_null(add(&fragments, 2, 0, 800, true, &len));
	memset(other, 0, sizeof(other));
	piece = piece_of("10.9.0.1", 2, 0, 800, true);
	piece.data = other;
	assert_null(flow_fragments_add(&fragments, &piece, 1000, &len));
	assert_int_equal(fragments.dropped, 2);
	flow_fragments_done(&fragments);
}

static void bounded_in_number_and_time(void **state)
{
	struct flow_fragments fragments = {.count = 0};
	struct packet_fragment piece;
	size_t len = 0;

	(void)state;
	for (uint32_t i = 0; i < LIMIT_FRAGMENT_DATAGRAMS + 10; i++) {
		piece = piece_of("10.9.0.1", i, 0, 8, true);
		assert_null(flow_fragments_add(&fragments, &piece, 1000 + i, &len));
	}
	assert_int_equal(fragments.count, LIMIT_FRAGMENT_DATAGRAMS);
	assert_int_equal(fragments.dropped, 10);
	/* The oldest gave way: the youngest is still there. */
	piece = piece_of("10.9.0.1", LIMIT_FRAGMENT_DATAGRAMS + 9, 8, 16, false);
	assert_non_null(flow_fragments_add(&fragments, &piece, 1100, &len));
	assert_true(flow_fragments_expire(&fragments, 1000 + LIMIT_FRAGMENT_MS));
	assert_false(flow_fragments_expire(&fragments, 1100 + LIMIT_FRAGMENT_MS));
	assert_int_equal(fragments.dropped, LIMIT_FRAGMENT_DATAGRAMS + 9);
	flow_fragments_done(&fragments);
}

static void too_many_holes(void **state)
{
	struct flow_fragments fragments = {.count = 0};
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i <= LIMIT_FRAGMENT_RUNS; i++)
		assert_null(add(&fragments, 1, i * 16, i * 16 + 8, true, &len));
	assert_int_equal(fragments.dropped, LIMIT_FRAGMENT_RUNS + 1);
	flow_fragments_done(&fragments);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_becomes_whole),
		cmocka_unit_test(largest_datagrams),
		cmocka_unit_test(datagrams_are_told_apart),
		cmocka_unit_test(overlaps_spoil_the_datagram),
		cmocka_unit_test(repeated_pieces_pass),
		cmocka_unit_test(bounded_in_number_and_time),
		cmocka_unit_test(too_many_holes),
	};

	fill();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
