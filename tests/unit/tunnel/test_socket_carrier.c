/* SPDX-License-Identifier: Apache-2.0 */
/* A socket that takes less than it is given: nothing is lost, and there is no room meanwhile. */
#include "fixture_client.h"

#include <signal.h>

#include "tunnel/conduit.h"
#include "tunnel/ws.h"

#define TOTAL_BYTES  (512 * 1024)
#define PIECE_BYTES  (64 * 1024)
#define SOCKET_BYTES (8 * 1024)

struct rig {
	uv_loop_t loop;
	struct carrier *carrier;
	int peer; /* the test's end */
	size_t sent, received, echoed;
	int blocked, writable, closed;
	uint8_t sent_sum, received_sum;
	int source[2]; /* a socket whose bytes go by the conduit; none */
};

static void on_data(void *user, const uint8_t *data, size_t len)
{
	(void)data;
	((struct rig *)user)->echoed += len;
}

static void on_writable(void *user)
{
	((struct rig *)user)->writable++;
}

static void on_closed(void *user, const struct err *err)
{
	(void)err;
	((struct rig *)user)->closed++;
}

static const struct carrier_events events = {
	.on_data = on_data, .on_writable = on_writable, .on_closed = on_closed};

static void rig_init(struct rig *rig, enum socket_framing framing)
{
	int fds[2], size = SOCKET_BYTES;

	memset(rig, 0, sizeof(*rig));
	rig->source[0] = rig->source[1] = -1;
	uv_loop_init(&rig->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	rig->peer = fds[1];
	rig->carrier = socket_carrier_new(&rig->loop, fds[0], framing);
	carrier_start(rig->carrier, &events, rig);
}

static void rig_done(struct rig *rig)
{
	carrier_free(rig->carrier);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	close(rig->peer);
	if (rig->source[0] >= 0) {
		close(rig->source[0]);
		close(rig->source[1]);
	}
}

static void add(uint8_t *sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*sum = (uint8_t)(*sum * 31 + data[i]);
}

/* A hundred bytes that the process has, and the rest from a socket. */
static void conduct(struct rig *rig, const uint8_t *piece, size_t len)
{
	size_t head = 100;

	while (head < len) {
		ssize_t n = send(rig->source[1], piece + head, len - head, 0);

		assert_true(n > 0);
		assert_int_equal(conduit_fill(rig->source[0], (size_t)n), n);
		rig->carrier->ops->conduct(rig->carrier, piece, head);
		assert_int_equal(conduit_len(), 0);
		piece += head + (size_t)n;
		len -= head + (size_t)n;
		head = MIN(head, len);
	}
	if (len > 0)
		carrier_send(rig->carrier, piece, len);
}

static void send_piece(struct rig *rig)
{
	static uint8_t piece[PIECE_BYTES];

	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (uint8_t)((rig->sent + i) * 7 >> 3);
	if (rig->source[0] < 0)
		carrier_send(rig->carrier, piece, sizeof(piece));
	else
		conduct(rig, piece, sizeof(piece));
	add(&rig->sent_sum, piece, sizeof(piece));
	rig->sent += sizeof(piece);
	rig->blocked += carrier_room(rig->carrier) == 0;
}

static void on_ws_payload(void *user, const uint8_t *data, size_t len)
{
	struct rig *rig = user;

	add(&rig->received_sum, data, len);
	rig->received += len;
}

static void check(enum socket_framing framing, bool conducts)
{
	static const struct ws_events ws = {.on_payload = on_ws_payload};
	struct ws_parser parser = {.role = WS_CLIENT};
	uint64_t end = uv_hrtime() + DEADLINE_MS * 1000000ull;
	uint8_t bytes[4099];
	struct rig rig;
	ssize_t n;

	rig_init(&rig, framing);
	if (conducts)
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, rig.source), 0);
	while (rig.received < TOTAL_BYTES && uv_hrtime() < end) {
		if (rig.sent < TOTAL_BYTES && carrier_room(rig.carrier) > 0)
			send_piece(&rig);
		n = recv(rig.peer, bytes, sizeof(bytes), 0);
		if (n > 0 && framing == SOCKET_RAW)
			on_ws_payload(&rig, bytes, (size_t)n);
		else if (n > 0)
			assert_int_equal(ws_parse(&parser, bytes, (size_t)n, &ws, &rig), 0);
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(rig.received, TOTAL_BYTES);
	assert_int_equal(rig.received_sum, rig.sent_sum);
	assert_true(rig.blocked > 0);
	assert_int_equal(rig.writable, rig.blocked);
	rig_done(&rig);
}

static void test_raw(void **state)
{
	(void)state;
	check(SOCKET_RAW, false);
}

static void test_websocket(void **state)
{
	(void)state;
	check(SOCKET_WEBSOCKET, false);
}

/* Nor is anything lost of what goes past the process. */
static void test_conduit(void **state)
{
	(void)state;
	check(SOCKET_RAW, true);
	check(SOCKET_WEBSOCKET, true);
}

/* Nothing stays in the conduit when the carrier cannot send. */
static void test_conduit_peer_gone(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SOCKET_RAW);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, rig.source), 0);
	assert_int_equal(shutdown(rig.peer, SHUT_RDWR), 0);
	send_piece(&rig);
	assert_int_equal(rig.closed, 0);
	assert_int_equal(carrier_room(rig.carrier), 0);
	while (!rig.closed)
		uv_run(&rig.loop, UV_RUN_ONCE);
	send_piece(&rig);
	rig_done(&rig);
}

/* Who sends to a peer that has gone hears of it from the loop, not from within carrier_send(). */
static void test_peer_gone(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SOCKET_RAW);
	assert_int_equal(shutdown(rig.peer, SHUT_RDWR), 0);
	send_piece(&rig);
	assert_int_equal(rig.closed, 0);
	assert_int_equal(carrier_room(rig.carrier), 0);
	while (!rig.closed)
		uv_run(&rig.loop, UV_RUN_ONCE);
	assert_int_equal(rig.closed, 1);
	rig_done(&rig);
}

/* PINGs are answered; a thousand of them against a full socket do not queue a thousand answers. */
static void test_ping_flood(void **state)
{
	static const uint8_t ping[] = {0x89, 0x81, 0, 0, 0, 0, 'x'};
	uint8_t bytes[4096];
	struct rig rig;
	ssize_t n;

	(void)state;
	rig_init(&rig, SOCKET_WEBSOCKET);
	assert_int_equal(send(rig.peer, ping, sizeof(ping), 0), sizeof(ping));
	uv_run(&rig.loop, UV_RUN_ONCE);
	assert_int_equal(recv(rig.peer, bytes, sizeof(bytes), 0), 3);
	assert_memory_equal(bytes, "\x8a\x01x", 3);
	while (carrier_room(rig.carrier) > 0)
		send_piece(&rig);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(send(rig.peer, ping, sizeof(ping), 0), sizeof(ping));
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	}
	/* What arrives is the messages, and their headers of ten bytes. */
	do {
		n = recv(rig.peer, bytes, sizeof(bytes), 0);
		rig.received += n > 0 ? (size_t)n : 0;
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	} while (n > 0 || rig.writable < rig.blocked);
	assert_int_equal(rig.received, rig.sent + 10 * rig.sent / PIECE_BYTES);
	assert_int_equal(rig.closed, 0);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_websocket),
		cmocka_unit_test(test_conduit),
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_conduit_peer_gone),
		cmocka_unit_test(test_ping_flood),
	};

	/* As the daemons do. */
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
