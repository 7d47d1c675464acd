/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of frames: what goes in comes out as RFC 6455 frames, and what was shown stays put. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/sendq.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "tunnel/ws.h"

#define CAP_BYTES 4096

static void on_payload(void *user, const uint8_t *data, size_t len)
{
	assert_int_equal(buf_append(user, data, len), 0);
}

/* Takes at most `max` bytes out, and parses them as a server does. */
static void drain(struct sendq *queue, struct ws_parser *parser, struct buf *out, size_t max)
{
	const struct ws_events events = {.on_payload = on_payload};
	uint8_t copy[CAP_BYTES];
	size_t len = 0;
	const uint8_t *data = sendq_peek(queue, &len);
	size_t n = MIN(len, max);

	memcpy(copy, data, n);
	sendq_consume(queue, n);
	assert_int_equal(ws_parse(parser, copy, n, &events, out), 0);
}

static void test_frames_round_trip(void **state UNUSED)
{
	struct sendq queue;
	struct ws_parser parser = {.role = WS_SERVER};
	struct buf sent, got;
	uint8_t data[1500];
	unsigned int seed = 1;

	sendq_init(&queue, CAP_BYTES);
	buf_init(&sent, 1024 * 1024);
	buf_init(&got, 1024 * 1024);
	for (int round = 0; round < 500; round++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(data);
		const uint8_t prefix = (uint8_t)round;

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)rand_r(&seed);
		while (sendq_frame(&queue, WS_OP_BINARY, &prefix, 1, data, len) == -ENOBUFS)
			drain(&queue, &parser, &got, 1 + (size_t)rand_r(&seed) % 700);
		assert_int_equal(buf_append(&sent, &prefix, 1), 0);
		assert_int_equal(buf_append(&sent, data, len), 0);
	}
	while (queue.len > 0)
		drain(&queue, &parser, &got, 300);
	assert_int_equal(buf_len(&got), buf_len(&sent));
	assert_memory_equal(buf_head(&got), buf_head(&sent), buf_len(&sent));
	buf_done(&sent);
	buf_done(&got);
	sendq_done(&queue);
}

static void test_frames_are_masked_differently(void **state UNUSED)
{
	struct sendq queue;
	static const uint8_t zeros[16];
	uint8_t frame[2][22];

	sendq_init(&queue, CAP_BYTES);
	for (int i = 0; i < 2; i++) {
		size_t len = 0;
		const uint8_t *data = NULL;

		assert_int_equal(
			sendq_frame(&queue, WS_OP_BINARY, NULL, 0, zeros, sizeof(zeros)), 0);
		data = sendq_peek(&queue, &len);
		assert_int_equal(len, sizeof(frame[0]));
		memcpy(frame[i], data, len);
		assert_memory_equal(data + 2, data + 6, 4); /* zeros show the key */
		sendq_consume(&queue, len);
	}
	/* 32 random bits: equal once in four thousand million runs. */
	assert_memory_not_equal(frame[0] + 2, frame[1] + 2, 4);
	sendq_done(&queue);
}

/* An SSL_write() that blocked is repeated with the same bytes at the same place and length. */
static void test_blocked_write_is_repeatable(void **state UNUSED)
{
	struct sendq queue;
	size_t len = 0, again = 0;
	const uint8_t *at = NULL;

	sendq_init(&queue, CAP_BYTES);
	assert_int_equal(sendq_raw(&queue, NULL, 0, "first", 5), 0);
	at = sendq_peek(&queue, &len);
	assert_int_equal(len, 5);
	assert_int_equal(sendq_raw(&queue, NULL, 0, "second", 6), 0);
	assert_ptr_equal(sendq_peek(&queue, &again), at);
	assert_int_equal(again, 5);
	sendq_consume(&queue, 5);
	(void)sendq_peek(&queue, &again);
	assert_int_equal(again, 6);
	sendq_done(&queue);
}

static void test_full_queue_takes_nothing(void **state UNUSED)
{
	struct sendq queue;
	uint8_t *data = xcalloc(1, CAP_BYTES);

	sendq_init(&queue, CAP_BYTES);
	assert_int_equal(sendq_frame(&queue, WS_OP_BINARY, NULL, 0, data, CAP_BYTES), -ENOBUFS);
	assert_int_equal(sendq_raw(&queue, NULL, 0, data, CAP_BYTES), 0);
	assert_int_equal(sendq_raw(&queue, NULL, 0, data, 1), -ENOBUFS);
	assert_int_equal(queue.len, CAP_BYTES);
	sendq_done(&queue);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_round_trip),
		cmocka_unit_test(test_frames_are_masked_differently),
		cmocka_unit_test(test_blocked_write_is_repeatable),
		cmocka_unit_test(test_full_queue_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
